"""Values of a change as people read them."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

from broker.language import Language, Words, long_date
from contracts.times import day_in_wales, first_day

_LINES: Final = (
    ("subBuildingName",),
    ("organisationName",),
    ("poBoxNumber",),
    ("buildingName",),
    ("buildingNumber", "streetName"),
    ("dependentStreetName",),
    ("doubleDependentAddressLocality",),
    ("dependentAddressLocality",),
    ("addressLocality",),
    ("postalCode",),
)

LABELS: Final[Mapping[tuple[str, str], str]] = {
    ("person", "name"): "field-name",
    ("person", "birthDate"): "field-birth-date",
    ("person", "identityLevel"): "field-identity-level",
    ("person", "preferredLanguage"): "field-preferred-language",
    ("person", "identifiers"): "field-identifiers",
    ("change", "previousAddress"): "field-previous-address",
    ("change", "newAddress"): "field-new-address",
    ("change", "effectiveDate"): "field-effective-date",
    ("change", "household"): "field-household",
    ("change", "moveKind"): "field-move-kind",
    ("change", "tenure"): "field-tenure",
    ("change", "role"): "field-role",
    ("change", "previousName"): "field-previous-name",
    ("change", "newName"): "field-new-name",
    ("change", "title"): "field-title",
    ("change", "reason"): "field-reason",
    ("change", "evidenceReference"): "field-evidence-reference",
    ("change", "previousContact"): "field-previous-contact",
    ("change", "newContact"): "field-new-contact",
    ("change", "previousLanguage"): "field-previous-language",
    ("change", "newLanguage"): "field-new-language",
    ("change", "previousFormats"): "field-previous-formats",
    ("change", "newFormats"): "field-new-formats",
    ("change", "deceased"): "field-deceased",
    ("change", "deathDate"): "field-death-date",
    ("change", "registration"): "field-registration",
    ("change", "informant"): "field-informant",
    ("change", "homeAddress"): "field-home-address",
}
"""What each member of a recipient's data is called, in the order it is shown."""
FORMATS: Final = {
    "standard": "format-standard",
    "large-print": "format-large-print",
    "braille": "format-braille",
    "easy-read": "format-easy-read",
    "bsl": "format-bsl",
    "text-relay": "format-text-relay",
}
REASONS: Final = {
    "marriage": "name-reason-marriage",
    "civil-partnership": "name-reason-civil-partnership",
    "divorce": "name-reason-divorce",
    "deed-poll": "name-reason-deed-poll",
    "correction": "name-reason-correction",
}
INFORMANTS: Final = {
    "spouse": "informant-spouse",
    "civil-partner": "informant-civil-partner",
    "partner": "informant-partner",
    "child": "informant-child",
    "parent": "informant-parent",
    "sibling": "informant-sibling",
    "other-relative": "informant-other-relative",
    "executor": "informant-executor",
    "present-at-death": "informant-present-at-death",
    "arranging-funeral": "informant-arranging-funeral",
    "other": "informant-other",
}
_LANGUAGES: Final = {"cy": "language-cy", "en": "language-en"}
_CODES: Final[Mapping[str, Mapping[str, str]]] = {
    "preferredLanguage": _LANGUAGES,
    "previousLanguage": _LANGUAGES,
    "newLanguage": _LANGUAGES,
    "previousFormats": FORMATS,
    "newFormats": FORMATS,
    "reason": REASONS,
    "informant": INFORMANTS,
    "role": {
        "leaving": "role-leaving",
        "arriving": "role-arriving",
        "resident": "role-resident",
        "national": "role-national",
    },
    "moveKind": {"permanent": "move-kind-permanent", "temporary": "move-kind-temporary"},
    "tenure": {
        "owner": "tenure-owner",
        "private-tenant": "tenure-private-tenant",
        "social-tenant": "tenure-social-tenant",
        "with-others": "tenure-with-others",
        "other": "tenure-other",
    },
}
"""By member, the message of each of its codes."""
_BASES: Final = (("6(1)(e)", "basis-public-task"),)


def address_line(address: Mapping[str, Any]) -> str:
    """Return an address on one line."""
    return ", ".join(address_lines(address))


def address_lines(address: Mapping[str, Any]) -> list[str]:
    lines = (" ".join(str(address[name]) for name in names if address.get(name)) for names in _LINES)
    return [line for line in lines if line]


def name_in_full(name: Mapping[str, Any]) -> str:
    return " ".join(part["value"] for part in name["nameParts"])


def told_fields(data: Mapping[str, Any], words: Words) -> list[tuple[str, str]]:
    """Return everything a recipient would get, as (label, value).

    Raises LookupError for a member nobody has named: it may not be sent without being shown.
    """
    told = [(block, member) for block in ("person", "change") for member in data.get(block) or {}]
    order = {labelled: place for place, labelled in enumerate(LABELS)}
    return [
        (
            words(LABELS.get((block, member)) or f"field-{_hyphenated(member)}"),
            _value(member, data[block][member], words),
        )
        for block, member in sorted(told, key=lambda named: order.get(named, len(order)))
    ]


def label_of(path: str, words: Words) -> str:
    """Return what a part of a recipient's data is called, by its path (RFC 6901)."""
    _, block, member, *_ = path.split("/")
    return words(LABELS.get((block, member)) or f"field-{_hyphenated(member)}")


def _hyphenated(member: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in member)


def _value(member: str, value: Any, words: Words) -> str:
    several = value if isinstance(value, list) else [value]
    match member:
        case "name" | "previousName" | "newName":
            return name_in_full(value)
        case "birthDate" | "effectiveDate":
            return long_date(date.fromisoformat(value), words.language)
        case "deathDate":
            return partial_in_words(value, words)
        case "previousAddress" | "newAddress" | "homeAddress":
            return address_line(value) or ", ".join(
                f"UPRN {said}" if name == "uprn" else str(said) for name, said in value.items()
            )
        case "household" | "deceased":
            return "; ".join(child_in_words(one, words) for one in several)
        case "identityLevel":
            return words("identity-level-proven", level=str(value))
        case "identifiers" | "previousContact" | "newContact":
            return "; ".join(str(one.get("value") or ", ".join(map(str, one.values()))) for one in several)
        case "registration":
            return _registration_in_words(value, words)
        case _ if member in _CODES:
            return "; ".join(words(_CODES[member][one]) for one in several)
        case _:
            return "; ".join(str(one) for one in several)


def basis_words(basis: str, words: Words) -> tuple[str, Language]:
    """Return a lawful basis in the page's language where we have words for it, else in English as agreements state it."""
    for article, message in _BASES:
        if article in basis:
            return words(message), words.language
    return basis, "en"


def child_in_words(child: Mapping[str, Any], words: Words) -> str:
    """Return another person in words: all that is told of them, which may be a part of what was said."""
    name = name_in_full(child["name"]) if "name" in child else ""
    born = long_date(date.fromisoformat(child["birthDate"]), words.language) if "birthDate" in child else ""
    who = words("child-born", name=name, born=born) if name and born else name or born
    return ", ".join([part for part in (who,) if part] + [str(one["value"]) for one in child.get("identifiers", ())])


def _registration_in_words(registration: Mapping[str, Any], words: Words) -> str:
    said = [str(registration[name]) for name in ("reference", "district") if name in registration]
    if "registeredOn" in registration:
        said.append(long_date(date.fromisoformat(registration["registeredOn"]), words.language))
    elif "registeredAt" in registration:
        day = day_in_wales(datetime.fromisoformat(registration["registeredAt"]))
        said.append(long_date(day, words.language))
    return ", ".join(said)


def partial_in_words(partial: str, words: Words) -> str:
    """Return a day, or the month or year where no more of it is known."""
    parts = partial.split("-")
    if len(parts) == 3:  # noqa: PLR2004  year, month, day
        return long_date(date.fromisoformat(partial), words.language)
    first = long_date(first_day(partial), words.language)
    return " ".join(first.split()[-len(parts) :])

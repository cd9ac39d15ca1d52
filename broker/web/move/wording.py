"""Values of a change as people read them."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from broker.language import Language, Words, long_date

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
}
"""What each member of a recipient's data is called. A member without a name may not be sent: see `told_fields`."""
_CODES: Final[Mapping[str, Mapping[str, str]]] = {
    "preferredLanguage": {"cy": "language-cy", "en": "language-en"},
    "role": {"leaving": "role-leaving", "arriving": "role-arriving", "national": "role-national"},
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
    """Return everything a recipient would get, as (label, value). Raises ValueError for a member nobody has named."""
    told = [(block, member) for block in ("person", "change") for member in data.get(block) or {}]
    order = list(LABELS)
    return [
        (words(LABELS[block, member]), _value(member, data[block][member], words))
        for block, member in sorted(told, key=order.index)
    ]


def _value(member: str, value: Any, words: Words) -> str:
    match member:
        case "name":
            return name_in_full(value)
        case "birthDate" | "effectiveDate":
            return long_date(date.fromisoformat(value), words.language)
        case "previousAddress" | "newAddress":
            return address_line(value)
        case "household":
            return "; ".join(child_in_words(child, words) for child in value)
        case "identityLevel":
            return words("identity-level-proven", level=str(value))
        case "preferredLanguage" | "role" | "moveKind" | "tenure":
            return words(_CODES[member][value])
        case "identifiers":
            return "; ".join(str(one["value"]) for one in value)
        case _:
            return str(value)


def basis_words(basis: str, words: Words) -> tuple[str, Language]:
    """Return a lawful basis in the page's language where we have words for it, else in English as agreements state it."""
    for article, message in _BASES:
        if article in basis:
            return words(message), words.language
    return basis, "en"


def child_in_words(child: Mapping[str, Any], words: Words) -> str:
    born = long_date(date.fromisoformat(child["birthDate"]), words.language)
    return words("child-born", name=name_in_full(child["name"]), born=born)

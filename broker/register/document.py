"""An agreement as a document people can read, in one language.

In the shape of Wales' own framework: what a WASPI protocol details (purposes, groups of people, legislative powers, data
shared, procedures and review: waspi.org, "The WASPI Framework") with what the ICO's data sharing code, "Data sharing
agreements", asks for beside it (parties and roles, quality, retention and deletion, rights). What an agreement leaves
open is said to be so.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from broker.language import Words, long_date
from broker.register.wales import councils
from contracts.agreement import Agreement, Share
from contracts.organisation import Organisation
from contracts.text import Bilingual


@dataclass(frozen=True, slots=True)
class Said:
    """What is said in the document's language, and what stands after it as its parties wrote it, in whichever."""

    text: str
    quoted: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.quoted}".strip()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, what is said under it, and lists with a sentence before each."""

    heading: str
    said: tuple[Said, ...]
    lists: tuple[tuple[str, tuple[Said, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """The whole document."""

    title: str
    about: str
    """Which version of which agreement."""
    warning: str | None
    """Said of invented ones."""
    sections: tuple[Section, ...]


def written(agreement: Agreement, organisation: Organisation | None, words: Words) -> Written:
    """Return a version of an agreement as a document. `organisation`: None for one that is not registered yet."""
    name = words.of(organisation.name) if organisation else agreement.organisation
    return Written(
        title=words.of(agreement.title),
        about=words("agreement-about", id=agreement.id, version=agreement.version),
        warning=words("agreement-example") if agreement.example else None,
        sections=(
            _parties(agreement, name, words),
            Section(words("agreement-purpose"), tuple(_stated((agreement.purpose, agreement.benefits), words))),
            _people(agreement, words),
            _powers(agreement, words),
            Section(
                words("agreement-information"),
                (Said(words("agreement-nothing-else")),),
                tuple(_shared(share, words) for share in agreement.shares),
            ),
            Section(words("agreement-quality"), tuple(_stated((agreement.quality,), words))),
            Section(words("agreement-security"), tuple(_stated((agreement.security,), words))),
            Section(
                words("agreement-retention"),
                (
                    Said(words("agreement-kept-days", n=agreement.retention_days)),
                    *_stated((agreement.deletion,), words),
                ),
            ),
            Section(words("agreement-rights"), tuple(_stated((agreement.rights,), words))),
            _review(agreement, words),
            Section(
                words("agreement-signatories"),
                () if agreement.signatories else (Said(words("agreement-not-stated")),),
                tuple(_signed(agreement, words)),
            ),
        ),
    )


def as_markdown(document: Written) -> str:
    """Return the document as Markdown, which reads as plain text too."""
    lines = [f"# {document.title}", "", document.about, ""]
    if document.warning:
        lines += [f"**{document.warning}**", ""]
    for number, section in enumerate(document.sections, 1):
        lines += [f"## {number}. {section.heading}", ""]
        lines += [line for said in section.said for line in (str(said), "")]
        for lead, items in section.lists:
            lines += [lead, "", *(f"- {item}" for item in items), ""]
    return "\n".join(lines)


def field_words(path: str, words: Words) -> str:
    """Return what a permitted path stands for, the path itself where there are no words for it."""
    name = "-".join(path.strip("/").split("/"))
    try:
        return words(f"agreement-field-{name}")
    except LookupError:
        return path


def _parties(agreement: Agreement, name: str, words: Words) -> Section:
    return Section(
        words("agreement-parties"),
        (
            Said(words(f"agreement-role-{agreement.exchange_role}", name="Unwaith")),
            Said(words(f"agreement-role-{agreement.controller_role}", name=name)),
            _quoted("agreement-contact", agreement.contact, words),
        ),
    )


def _people(agreement: Agreement, words: Words) -> Section:
    areas = ", ".join(_area(code, words) for code in agreement.area)
    return Section(
        words("agreement-people"),
        (
            Said(words("agreement-people-who", type=_type_words(agreement.change_type, words))),
            Said(words("agreement-level", level=agreement.identity_level.value)),
            Said(words("agreement-required" if agreement.required else "agreement-optional")),
            Said(words("agreement-area", areas=areas) if areas else words("agreement-nationwide")),
        ),
    )


def _powers(agreement: Agreement, words: Words) -> Section:
    said = [
        _quoted("agreement-lawful-basis", agreement.lawful_basis, words),
        _quoted("agreement-gateway", agreement.legal_gateway, words),
        _quoted("agreement-assessment", agreement.impact_assessment, words),
    ]
    if agreement.special_category_condition:
        said.append(_quoted("agreement-special", agreement.special_category_condition, words))
    return Section(words("agreement-powers"), tuple(said))


def _quoted(message: str, value: str | None, words: Words) -> Said:
    return Said(words(message), value) if value else Said(f"{words(message)} {words('agreement-not-stated')}")


def _shared(share: Share, words: Words) -> tuple[str, tuple[Said, ...]]:
    lead = f"{words(f'agreement-where-{share.where}')} {words.of(share.because)}"
    return lead, tuple(Said(field_words(path, words)) for path in share.paths)


def _review(agreement: Agreement, words: Words) -> Section:
    said = [words("agreement-from", day=long_date(agreement.valid_from, words.language))]
    if agreement.valid_until:
        said.append(words("agreement-until", day=long_date(agreement.valid_until, words.language)))
    said.append(words("agreement-review-by", day=long_date(agreement.review_by, words.language)))
    if agreement.revoked:
        said.append(words("agreement-is-revoked"))
    return Section(words("agreement-review"), tuple(map(Said, said)))


def _signed(agreement: Agreement, words: Words) -> Iterator[tuple[str, tuple[Said, ...]]]:
    if agreement.signatories:
        yield (
            words("agreement-signed"),
            tuple(
                Said(f"{long_date(one.signed_on, words.language)}:", f"{one.name}, {one.post}, {one.organisation}")
                for one in agreement.signatories
            ),
        )


def _stated(said: Iterable[Bilingual | None], words: Words) -> list[Said]:
    found = [Said(words.of(item)) for item in said if item is not None]
    return found or [Said(words("agreement-not-stated"))]


def _type_words(change_type: str, words: Words) -> str:
    try:
        return words(f"staff-change-{change_type}")
    except LookupError:
        return change_type


def _area(code: int, words: Words) -> str:
    found = councils().get(code)
    return words.of(found.name) if found else str(code)

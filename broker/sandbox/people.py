"""The sample people who can sign in. All are invented; so are their homes, which stand in `addresses`."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

from contracts.person import IdentityLevel
from contracts.text import normalise

PartType = Literal["GivenName", "FamilyName"]


@dataclass(frozen=True, slots=True)
class SamplePerson:
    """One invented person."""

    key: str
    """Names them on the sign-in form."""
    name_parts: tuple[tuple[PartType, str], ...]
    birth_date: date
    level: IdentityLevel
    """P2 when their identity was proved; P0 when they can only sign in (`Cl.Cm`)."""
    uprn: int
    """Their home in the sample gazetteer."""
    lived_there_since: int
    """Year."""
    preferred_language: Literal["cy", "en"] | None = None
    nhs_number: str | None = None
    """Of the range 999, which is never given out; None for staff."""
    groups: tuple[str, ...] = ()
    """Of staff: what their provider says they belong to."""
    second_factor: bool = False
    """Of staff: they prove who they are with more than a password."""

    @property
    def name(self) -> str:
        return " ".join(value for _, value in self.name_parts)

    @property
    def email(self) -> str:
        """An address under example.com, which reaches nobody (RFC 2606)."""
        return f"{self.key}@example.com"

    def proved(self) -> bool:
        return self.level.meets(IdentityLevel.P2)

    def vocabulary_name(self) -> list[dict[str, Any]]:
        """Return the name as the `data-vocab` of GOV.UK One Login writes it."""
        return [{"nameParts": [{"type": kind, "value": value} for kind, value in self.name_parts]}]


def _person(
    key: str,
    given: str | None,
    family: str | None,
    birth_date: date,
    uprn: int,
    since: int,
    nhs_number: str,
    *,
    level: IdentityLevel = IdentityLevel.P2,
    language: Literal["cy", "en"] | None = None,
) -> SamplePerson:
    parts: list[tuple[PartType, str]] = [("GivenName", part) for part in (given or "").split()]
    if family:
        parts.append(("FamilyName", family))
    named = tuple((kind, normalise(value)) for kind, value in parts)
    return SamplePerson(key, named, birth_date, level, uprn, since, language, nhs_number)


SAMPLE_PEOPLE: Final[tuple[SamplePerson, ...]] = (
    _person("sian", "Siân", "Pen-y-dŵr", date(1984, 3, 1), 900000000001, 2016, "9990001014"),
    _person("llyr", "Llŷr Siôn", "Tŷ-gwyn", date(1991, 11, 23), 900000000003, 2019, "9990002126"),
    _person("gwenno", "Gwenno", "Tân-y-graig", date(1978, 6, 14), 900000000005, 2008, "9990003238", language="cy"),
    _person("iestyn", "Iestyn", "Môr-hafan", date(1966, 2, 28), 900000000012, 1999, "9990004358"),
    _person("caitlin", "Caitlîn Mai", "O'Gŵyddel-Huws", date(2001, 8, 9), 900000000014, 2021, "9990005451"),
    _person("brychan", "Brychân", None, date(1959, 12, 31), 900000000023, 1987, "9990006563"),
    _person(
        "dafydd", "Dafydd", "Sŵn-y-gwynt", date(1996, 2, 29), 900000000007, 2022, "9990007675", level=IdentityLevel.P0
    ),
    _person("angharad", "Angharad Tŵr", "ap Gwŷdd", date(1949, 5, 17), 900000000027, 1972, "9990008787", language="en"),
    _person("robin", "Robin", "Sampleworth", date(1988, 10, 4), 900000000009, 2014, "9990009899"),
)
"""Nine people: `brychan` has a single name, `dafydd` has not proved who he is, `gwenno` prefers Welsh."""


SAMPLE_STAFF: Final[tuple[SamplePerson, ...]] = (
    SamplePerson(
        "olwen", (("GivenName", "Olwen"), ("FamilyName", "Cefn-gwlad")), date(1980, 1, 1), IdentityLevel.P0, 0, 0,
        second_factor=True, groups=("unwaith-support",),
    ),
    SamplePerson(
        "emrys", (("GivenName", "Emrys"), ("FamilyName", "Tir-neb")), date(1975, 1, 1), IdentityLevel.P0, 0, 0,
        second_factor=True, groups=("unwaith-auditor",),
    ),
    SamplePerson(
        "rhys", (("GivenName", "Rhys"), ("FamilyName", "Llyw-y-bont")), date(1985, 1, 1), IdentityLevel.P0, 0, 0,
        second_factor=True, groups=("unwaith-manager",),
    ),
    SamplePerson(
        "nia", (("GivenName", "Nia"), ("FamilyName", "Clo-clap")), date(1982, 1, 1), IdentityLevel.P0, 0, 0,
        second_factor=True, groups=("unwaith-security",),
    ),
    SamplePerson(
        "tegid", (("GivenName", "Tegid"), ("FamilyName", "Pwyll-y-maes")), date(1982, 1, 1), IdentityLevel.P0, 0, 0,
        second_factor=True, groups=("unwaith-caseworker",),
    ),
    SamplePerson(
        "mabli", (("GivenName", "Mabli"), ("FamilyName", "Heb-swydd")), date(1990, 1, 1), IdentityLevel.P0, 0, 0,
        second_factor=True,
    ),
)  # fmt: skip
"""Staff who can sign in at the staff provider, one of each role, and `mabli`, who belongs to nothing."""


def sample_people() -> tuple[SamplePerson, ...]:
    return SAMPLE_PEOPLE

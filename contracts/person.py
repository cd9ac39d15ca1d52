"""The person block: without it no organisation can match a change to its own record."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from contracts.text import Name, Strict
from contracts.times import Day


class IdentityLevel(StrEnum):
    """Confidence that the person is who they say (GOV.UK One Login's vectors of trust)."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"

    def meets(self, needed: "IdentityLevel") -> bool:
        return self.value >= needed.value


class NamePart(Strict):
    """One part of a name, in the order it is written."""

    type: Literal["GivenName", "FamilyName"]
    value: Name
    valid_from: Day | None = None
    valid_until: Day | None = None


class PersonName(Strict):
    """A whole name. A single name is allowed: not everyone has two."""

    name_parts: Annotated[tuple[NamePart, ...], Field(min_length=1, max_length=20)]


class Identifier(Strict):
    """A number the person told us; no adapter may update a record on it alone."""

    system: Annotated[str, StringConstraints(pattern=r"^https://[a-z0-9./_-]+(?:/[A-Za-z0-9._-]+)*$", max_length=200)]
    """The URI that names the register, for the NHS number `https://fhir.nhs.uk/Id/nhs-number`."""
    value: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 /.-]{0,39}$")]
    assurance: Literal["said-by-the-person"] = "said-by-the-person"


class Person(Strict):
    """Who tells the change, as the identity provider verified it; who it is about too, unless its type says otherwise."""

    name: PersonName
    birth_date: Day
    identity_level: IdentityLevel
    preferred_language: Literal["cy", "en"] | None = None
    identifiers: Annotated[tuple[Identifier, ...], Field(max_length=5)] = ()

"""A change of name: the previous and the new one, why, what proves it, and from when."""

from typing import Annotated, Literal, Self

from pydantic import StringConstraints, model_validator

from contracts.address import Address
from contracts.changes.kind import ChangeKind, Confirmation, Sensitivity
from contracts.person import IdentityLevel, PersonName
from contracts.text import Line, Strict
from contracts.times import Day

EvidenceReference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 /.-]{0,39}$")]
"""The number on a certificate or deed."""


class NameChange(Strict):
    """A change of name, version 1."""

    previous_name: PersonName
    new_name: PersonName
    title: Line | None = None
    """How the person wants to be addressed from now on; absent where that stays."""
    reason: Literal["marriage", "civil-partnership", "divorce", "deed-poll", "correction"]
    evidence_reference: EvidenceReference | None = None
    """The number on the certificate, order or deed; a correction of a slip needs none."""
    effective_date: Day
    """The first day of the new name (ISO 8601)."""
    home_address: Address
    """Where the person lives, which decides whom it concerns."""

    @model_validator(mode="after")
    def _is_a_new_name(self) -> Self:
        if _written(self.previous_name) == _written(self.new_name):
            raise ValueError("previousName and newName are the same")
        if self.evidence_reference is None and self.reason != "correction":
            raise ValueError("needs evidenceReference, unless reason is a correction")
        return self


def _written(name: PersonName) -> list[tuple[str, str]]:
    return [(part.type, part.value) for part in name.name_parts]


KIND = ChangeKind(
    name="name",
    event_type="wales.unwaith.name-changed.v1",
    model=NameChange,
    identity_level=IdentityLevel.P2,
    ends=("home",),
    places=lambda change: {"home": change.home_address},
    effective=lambda change: change.effective_date,
    known_as=lambda change: {"/change/previousName": change.previous_name, "/change/newName": change.new_name},
    confirmation=Confirmation.A_PERSON,
    sensitivity={
        "/change/evidenceReference": Sensitivity.CONFIDENTIAL,
        "/change/homeAddress": Sensitivity.CONFIDENTIAL,
    },
)

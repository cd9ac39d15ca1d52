"""A move: previous and new address, from when, who came along, and how the home is held."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contracts.address import Address
from contracts.changes.kind import ChangeKind, Sensitivity
from contracts.person import IdentityLevel, PersonName
from contracts.text import Strict
from contracts.times import Day

ADULT: int = 18
"""Age in years from which a person tells their own move; another's move never discloses it."""


class Dependant(Strict):
    """A child who moved with the person. Adults are never named here: each confirms for themselves."""

    name: PersonName
    birth_date: Day


class AddressChange(Strict):
    """A change of address, version 1."""

    previous_address: Address
    new_address: Address
    effective_date: Day
    """The first day at the new address (ISO 8601)."""
    move_kind: Literal["permanent", "temporary"] = "permanent"
    household: Annotated[tuple[Dependant, ...], Field(max_length=12)] = ()
    """Children who moved too."""
    tenure: Literal["owner", "private-tenant", "social-tenant", "with-others", "other"] | None = None
    """How the new home is held."""

    @model_validator(mode="after")
    def _is_a_move(self) -> Self:
        if self.previous_address == self.new_address or (
            self.previous_address.uprn is not None and self.previous_address.uprn == self.new_address.uprn
        ):
            raise ValueError("previousAddress and newAddress are the same")
        for dependant in self.household:
            if dependant.birth_date > self.effective_date:
                raise ValueError("a member of household was born after effectiveDate")
            if _whole_years(dependant.birth_date, self.effective_date) >= ADULT:
                raise ValueError("a member of household is an adult and must tell their own move")
        return self


def _said_by_a_newer_one(change: AddressChange) -> list[object]:
    """Return what two moves have in common where the newer says all that the older did.

    A temporary address stands beside the permanent one and is no news of it, nor the other way round; and whoever came
    along on one move alone is told of by no other.
    """
    return [change.move_kind, [one.model_dump(mode="json", exclude_none=True) for one in change.household]]


def _whole_years(born: date, on: date) -> int:
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


KIND = ChangeKind(
    name="address",
    event_type="wales.unwaith.address-changed.v1",
    model=AddressChange,
    identity_level=IdentityLevel.P2,
    ends=("old", "new"),
    places=lambda change: {"old": change.previous_address, "new": change.new_address},
    effective=lambda change: change.effective_date,
    context=frozenset(),  # that somebody moves is told by the day alone
    replaces=_said_by_a_newer_one,
    sensitivity={
        "/change/previousAddress": Sensitivity.CONFIDENTIAL,
        "/change/newAddress": Sensitivity.CONFIDENTIAL,
        "/change/household": Sensitivity.CONFIDENTIAL,
    },
)

"""A change type that is not ours: the vehicle of a resident's parking permit. Installed by a test, from a folder."""

from typing import Annotated, Self

from pydantic import StringConstraints, model_validator

from contracts.address import Address
from contracts.changes.kind import ChangeKind, Sensitivity
from contracts.person import IdentityLevel
from contracts.text import Strict
from contracts.times import Day

Plate = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{2,8}$")]


class PermitChange(Strict):
    """The permit is for another vehicle from a day on."""

    previous_vehicle: Plate
    new_vehicle: Plate
    effective_date: Day
    home_address: Address

    @model_validator(mode="after")
    def _is_another(self) -> Self:
        if self.previous_vehicle == self.new_vehicle:
            raise ValueError("previousVehicle and newVehicle are the same")
        return self


KIND = ChangeKind(
    name="parking-permit",
    event_type="wales.unwaith.parking-permit-changed.v1",
    model=PermitChange,
    identity_level=IdentityLevel.P1,
    ends=("home",),
    places=lambda change: {"home": change.home_address},
    effective=lambda change: change.effective_date,
    sensitivity={"/change/homeAddress": Sensitivity.CONFIDENTIAL},
)

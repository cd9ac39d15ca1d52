"""A death: who died, when, how it is registered, and who tells it. The person told about is not the person who tells."""

from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from contracts.address import Address
from contracts.changes.kind import ChangeKind, Confirmation, Sensitivity
from contracts.person import Identifier, IdentityLevel, PersonName
from contracts.text import Line, Strict
from contracts.times import Day, Moment, PartialDay, day_in_wales, first_day, last_day

RegistrationReference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 /.-]{0,39}$")]
"""The number of the entry, as the certificate has it."""


class Deceased(Strict):
    """Somebody who has died. Organisations match on this, not on who tells it."""

    name: PersonName
    birth_date: Day
    identifiers: Annotated[tuple[Identifier, ...], Field(max_length=5)] = ()
    """Numbers of theirs that whoever tells it knows."""


class DeathRegistration(Strict):
    """The entry in a register of deaths."""

    reference: RegistrationReference
    registered_at: Moment
    """When the death was registered; where `registeredOn` is given, no time of that day is known."""
    registered_on: Day | None = None
    """The day in Wales, where a certificate has no more; `registeredAt` is then its noon in UTC."""
    district: Line | None = None
    """The registration district, where the certificate names one."""

    @model_validator(mode="after")
    def _is_one_day(self) -> Self:
        if self.registered_on is not None and self.registered_on != day_in_wales(self.registered_at):
            raise ValueError("registeredOn and registeredAt are different days")
        return self


class Bereavement(Strict):
    """A death, version 1."""

    deceased: Deceased
    death_date: PartialDay
    """The day, or the month or year where no more is known (ISO 8601)."""
    registration: DeathRegistration
    informant: Literal[
        "spouse",
        "civil-partner",
        "partner",
        "child",
        "parent",
        "sibling",
        "other-relative",
        "executor",
        "present-at-death",
        "arranging-funeral",
        "other",
    ]
    """What whoever tells it was to the person who died."""
    home_address: Address
    """Where the person who died lived, which decides whom it concerns."""

    @model_validator(mode="after")
    def _can_be_so(self) -> Self:
        if last_day(self.death_date) < self.deceased.birth_date:
            raise ValueError("deathDate is before birthDate")
        registered = day_in_wales(self.registration.registered_at)
        if (first_day(self.death_date) - registered).days > 1:  # a day is the same day in any zone
            raise ValueError("registeredAt is before deathDate")
        return self


def _happened(change: Bereavement) -> dict[str, date]:
    return {
        "/change/deathDate": first_day(change.death_date),
        "/change/registration/registeredAt": day_in_wales(change.registration.registered_at),
        "/change/deceased/birthDate": change.deceased.birth_date,
    }


KIND = ChangeKind(
    name="bereavement",
    event_type="wales.unwaith.bereavement.v1",
    model=Bereavement,
    identity_level=IdentityLevel.P2,
    ends=("home",),
    places=lambda change: {"home": change.home_address},
    effective=lambda change: first_day(change.death_date),
    about="/change/deceased",
    confirmation=Confirmation.REGISTRAR,
    dated="/change/deathDate",
    ahead=timedelta(0),
    past=_happened,
    sensitivity={
        "/change/deceased": Sensitivity.CONFIDENTIAL,
        "/change/registration": Sensitivity.CONFIDENTIAL,
        "/change/informant": Sensitivity.CONFIDENTIAL,
        "/change/homeAddress": Sensitivity.CONFIDENTIAL,
    },
)

"""A change of how somebody is reached: one telephone number or e-mail address, named as FHIR's ContactPoint is."""

import re
from datetime import date
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from contracts.address import Address
from contracts.changes.kind import ChangeKind, Sensitivity
from contracts.person import IdentityLevel
from contracts.text import Strict
from contracts.times import Day, Moment, day_in_wales

_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
"""ITU-T E.164: the country's code and the number, 7 to 15 digits after the plus."""
_EMAIL: Final = re.compile(
    r"(?=.{1,254}$)(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])"
)
"""A mailbox as RFC 5321 has it (section 4.1.2: no quoted local part, no literal; 4.5.3.1: 64 and 254 octets). ASCII, a
domain in other letters as its `xn--` form: most systems that are told cannot write to another."""


class ContactPoint(Strict):
    """One way of reaching somebody (FHIR R4, ContactPoint)."""

    system: Literal["phone", "email"]
    use: Literal["home", "work", "mobile"] = "home"
    value: Annotated[str, Field(min_length=1, max_length=254)]
    """A number in the form of E.164, `+442920180000`, or an e-mail address."""
    verified_at: Moment | None = None
    """When it was last shown that the person is reached there; absent where nobody has."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.system == "phone" and not _PHONE.fullmatch(self.value):
            raise ValueError("value must be a number with its country's code, such as +442920180000")
        if self.system == "email" and not _EMAIL.fullmatch(self.value):
            raise ValueError("value must be an e-mail address")
        if self.system == "email" and self.use == "mobile":
            raise ValueError("use is mobile for a telephone only")
        return self


class ContactChange(Strict):
    """A change of contact, version 1. Without a previous one it is added, without a new one taken away."""

    previous_contact: ContactPoint | None = None
    new_contact: ContactPoint | None = None
    effective_date: Day
    """The first day on which it holds (ISO 8601)."""
    home_address: Address
    """Where the person lives, which decides whom it concerns."""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        previous, new = self.previous_contact, self.new_contact
        if previous is None and new is None:
            raise ValueError("needs previousContact or newContact")
        if previous is not None and new is not None:
            if previous.system != new.system:
                raise ValueError("previousContact and newContact are of different systems")
            if (previous.value, previous.use) == (new.value, new.use):
                raise ValueError("previousContact and newContact are the same")
        return self


def _verified(change: ContactChange) -> dict[str, date]:
    return {
        f"/change/{name}/verifiedAt": day_in_wales(point.verified_at)
        for name, point in (("previousContact", change.previous_contact), ("newContact", change.new_contact))
        if point is not None and point.verified_at is not None
    }


KIND = ChangeKind(
    name="contact",
    event_type="wales.unwaith.contact-changed.v1",
    model=ContactChange,
    identity_level=IdentityLevel.P2,
    ends=("home",),
    places=lambda change: {"home": change.home_address},
    effective=lambda change: change.effective_date,
    past=_verified,
    sensitivity={
        "/change/previousContact": Sensitivity.CONFIDENTIAL,
        "/change/newContact": Sensitivity.CONFIDENTIAL,
        "/change/homeAddress": Sensitivity.CONFIDENTIAL,
    },
)

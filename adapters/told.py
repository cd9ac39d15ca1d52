"""What a delivery tells, read for adapters that translate it: any member may be absent, as the agreement has it."""

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

from pydantic import ConfigDict, ValidationError

from contracts.changes import bereavement, withdrawal
from contracts.changes.kind import Role
from contracts.delivery import Delivery, Rejected
from contracts.events import SEQUENCE_DIGITS
from contracts.statuses import Reason
from contracts.text import Strict
from contracts.times import Day

ADDRESS_CHANGED: Final = "wales.unwaith.address-changed.v1"
MOVES: Final = frozenset({ADDRESS_CHANGED})
NHS_NUMBER: Final = "https://fhir.nhs.uk/Id/nhs-number"

_NHS_DIGITS: Final = 10


class _Lenient(Strict):
    """Ours, but minimised: what is not known here is not an error."""

    model_config = ConfigDict(extra="ignore")


class ToldAddress(_Lenient):
    """An address, or what of it the agreement permits."""

    uprn: int | None = None
    organisation_name: str | None = None
    department_name: str | None = None
    sub_building_name: str | None = None
    building_number: str | None = None
    building_name: str | None = None
    po_box_number: str | None = None
    dependent_street_name: str | None = None
    street_name: str | None = None
    double_dependent_address_locality: str | None = None
    dependent_address_locality: str | None = None
    address_locality: str | None = None
    postal_code: str | None = None
    address_country: str | None = None


class _Part(_Lenient):
    type: str
    value: str


class ToldName(_Lenient):
    """A name."""

    name_parts: tuple[_Part, ...] = ()

    @property
    def family(self) -> str:
        """The family name; for somebody with a single name that name, as the NHS records it; empty if not told."""
        parts = self.name_parts
        return " ".join(part.value for part in parts if part.type == "FamilyName" or len(parts) == 1)

    @property
    def given(self) -> tuple[str, ...]:
        """Given names in their order."""
        parts = self.name_parts
        return tuple(part.value for part in parts if part.type == "GivenName" and len(parts) > 1)

    def is_like(self, other: "ToldName") -> bool:
        """Return whether the family name and the first given name are the same, as `folded` compares."""
        return folded(self.family) == folded(other.family) and list(map(folded, self.given[:1])) == list(
            map(folded, other.given[:1])
        )


class Contact(_Lenient):
    """A way of reaching somebody."""

    system: Literal["phone", "email"]
    use: Literal["home", "work", "mobile"] = "home"
    value: str


class _Identifier(_Lenient):
    system: str
    value: str


class _Person(_Lenient):
    name: ToldName = ToldName()
    birth_date: Day | None = None
    identifiers: tuple[_Identifier, ...] = ()


class _Change(_Lenient):
    """What changed, of whichever type it is."""

    previous_name: ToldName | None = None
    new_name: ToldName | None = None
    title: str | None = None
    previous_contact: Contact | None = None
    new_contact: Contact | None = None
    previous_language: str | None = None
    new_language: str | None = None
    deceased: _Person | None = None
    death_date: str | None = None
    previous_address: ToldAddress | None = None
    new_address: ToldAddress | None = None
    effective_date: Day | None = None
    move_kind: Literal["permanent", "temporary"] = "permanent"


class Told(_Lenient):
    """One delivery's data. `repr` shows nothing of it."""

    person: _Person = _Person()
    """Whose record it is: of a death, the person who died."""
    change: _Change = _Change()
    roles: tuple[Role, ...] = ()

    @property
    def family(self) -> str:
        return self.person.name.family

    @property
    def given(self) -> tuple[str, ...]:
        return self.person.name.given

    @property
    def birth_date(self) -> date | None:
        return self.person.birth_date

    @property
    def names(self) -> tuple[ToldName, ...]:
        """Names by which a record may be theirs.

        Beside the one they are verified under those of a change of name, which they only say, and so only where one of
        them is that: else somebody could name another person's record as their own.
        """
        said = [name for name in (self.change.previous_name, self.change.new_name) if name is not None]
        theirs = any(name.is_like(self.person.name) for name in said)
        return (self.person.name, *(said if theirs else ()))

    @property
    def nhs_number(self) -> str | None:
        """The NHS number the person told, ten digits; None if none was told or its check digit is wrong."""
        for identifier in self.person.identifiers:
            digits = identifier.value.replace(" ", "").replace("-", "")
            if identifier.system == NHS_NUMBER and is_nhs_number(digits):
                return digits
        return None


class _Withdraws(_Lenient):
    type: str
    sequence: str = ""
    change: _Change | None = None


class _Withdrawal(_Lenient):
    person: _Person = _Person()
    roles: tuple[Role, ...] = ()
    withdraws: _Withdraws


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A change that is taken back."""

    type: str
    """The event type of the change."""
    told: Told
    """What was told, as the organisation was sent it."""
    follows: bool
    """Nothing else about the person was numbered for the organisation in between: what held before it holds again."""


def withdrawn(delivery: Delivery, types: Collection[str] = MOVES) -> Withdrawn | None:
    """Return what a delivery takes back, None for one that takes nothing back.

    Raises Rejected for data that is not as `contracts` has it, and where a change of none of these types is taken back.
    """
    if delivery.type != withdrawal.KIND.event_type:
        return None
    try:
        read = _Withdrawal.model_validate_json(delivery.data)
    except ValidationError:
        raise Rejected(Reason.UNDECODABLE) from None
    if read.withdraws.type not in types:
        raise Rejected(Reason.INVALID_FOR_RECEIVER)
    if read.withdraws.change is None:
        raise Rejected(Reason.FIELDS_MISSING)
    return Withdrawn(
        read.withdraws.type,
        _of_whom(read.withdraws.type, Told(person=read.person, change=read.withdraws.change, roles=read.roles)),
        follows=read.withdraws.sequence == f"{delivery.sequence - 1:0{SEQUENCE_DIGITS}d}",
    )


def told(delivery: Delivery, types: Collection[str] = MOVES) -> Told:
    """Return what a delivery of a change of one of these types tells.

    Raises Rejected for another type of change, for data that is not as `contracts` has it, and for a withdrawal, which is
    asked about with `withdrawn` where it can be carried.
    """
    if delivery.type not in types:
        raise Rejected(Reason.INVALID_FOR_RECEIVER)
    try:
        return _of_whom(delivery.type, Told.model_validate_json(delivery.data))
    except ValidationError:
        raise Rejected(Reason.UNDECODABLE) from None


def _of_whom(event_type: str, read: Told) -> Told:
    """Return what was told with the person whose record it is: of a death not who tells it, but who died."""
    if event_type != bereavement.KIND.event_type:
        return read
    return read.model_copy(update={"person": read.change.deceased or _Person()})


def folded(text: Any) -> str:
    """Return a name without case, accents, spaces and marks, for comparing; empty for what is no text."""
    if not isinstance(text, str):
        return ""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if letter.isalnum())


def is_nhs_number(digits: str) -> bool:
    """Return whether this is an NHS number: ten digits with the right check digit (NHS Data Dictionary, modulus 11)."""
    if len(digits) != _NHS_DIGITS or not (digits.isascii() and digits.isdecimal()):
        return False
    weighed = sum(int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1), strict=False))
    return (11 - weighed % 11) % 11 == int(digits[-1])  # 11 counts as 0, and 10 is no digit


def postal_lines(address: ToldAddress) -> tuple[str, ...]:
    """Return an address as it is written on an envelope, without town, postcode and country.

    Premises first, then streets and localities, from the narrow to the wide. A number stands before its street, or
    before the locality where there is no street, and so does a building name that is a number (`12A`, `3-5`), as Royal
    Mail's Programmers' Guide to PAF has it.
    """
    name = address.building_name or ""
    numeric = bool(name) and name[0].isdigit() and (name[-1].isdigit() or name[-2:-1].isdigit())
    number = address.building_number or (name if numeric else None)
    ways = [
        way
        for way in (
            address.dependent_street_name,
            address.street_name,
            address.double_dependent_address_locality,
            address.dependent_address_locality,
        )
        if way
    ]
    if number and ways:
        ways[0] = f"{number} {ways[0]}"
    elif number:
        ways = [number]
    premises = (
        address.organisation_name,
        address.department_name,
        f"PO Box {address.po_box_number}" if address.po_box_number else None,
        address.sub_building_name,
        name if name and name != number else None,
    )
    return (*(line for line in premises if line), *ways)

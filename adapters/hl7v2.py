r"""HL7 v2: a change as `ADT^A31` (who arrives, as `A28`) over MLLP, for health boards; taken back, as another `A31`.

What the receiver's acknowledgement means (HL7 2.5, table 0008; error codes of ERR-3, table 0357):

    AA CA                        accepted: taken in, not yet applied
    AE CE AR CR   100 to 103     Rejected: a field is missing or wrong for them
                  200 to 203     Misconfigured: they do not take this message, event, processing or version
                  204            not matched: they have no such person
                  205            a person must look: whoever was to be added is there already
                  206            Unavailable: the record is in use
    AE CE         otherwise      Unknown: tried again a few times, then a person looks
    AR CR         otherwise      Rejected
    closed without an answer     Unknown: several receivers do so on any error
    MSA-2 of another message     Unknown, and the connection is given up
    anything else                Unknown

The idempotency key is MSH-10: twenty characters made from the delivery's id, the same on every try, as is every other
byte of the message. The receiver's own MSH-10 is its reference. Free text (MSA-3, ERR-8) is never read.
"""

import base64
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from adapters.countries import ALPHA_3
from adapters.hl7v2_person import DEATH, Components, Fields, extended_name, fields, undone
from adapters.mllp import MllpConnections
from adapters.settings import settings_from, settings_of
from adapters.told import ADDRESS_CHANGED, Told, ToldAddress, Withdrawn, postal_lines, told, withdrawn
from contracts.adapters import AdapterContext
from contracts.changes import CHANGE_TYPES, contact
from contracts.credentials import CLIENT_CERTIFICATE
from contracts.delivery import Delivery, Misconfigured, Rejected, Unavailable, Unknown
from contracts.receipts import Receipt, Reference
from contracts.statuses import Outcome, Reason
from contracts.text import Strict
from contracts.times import day_in_wales

CARRIED: Final = frozenset(kind.event_type for kind in CHANGE_TYPES.values())
"""Every change type of ours; of a language, not the formats; of a number or mailbox only where it is said what becomes
of the others."""


class Said(StrEnum):
    """What an acknowledgement says, original (A) and enhanced mode (C) alike."""

    ACCEPT = "A"
    ERROR = "E"
    REJECT = "R"


CODES: Final[Mapping[str, Said]] = {mode + said.value: said for mode in "AC" for said in Said}
"""MSA-1."""
INVALID: Final = frozenset({"100", "101", "102", "103"})
NOT_TAKEN: Final = frozenset({"200", "201", "202", "203"})
NO_SUCH_PERSON: Final = "204"
PERSON_EXISTS: Final = "205"
IN_USE: Final = "206"

CONTROL_ID_LENGTH: Final = 20
"""Characters of MSH-10 in 2.5 and 2.5.1."""

_ESCAPES: Final = str.maketrans({"|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\\": "\\E\\"})
"""The delimiters of MSH-1 and MSH-2 within text (HL7 2.5, section 2.7.1)."""

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

PERSON_ID_LENGTH: Final = 15
"""Characters of CX.1 in 2.5 and 2.5.1."""

Party = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,19}$")]
"""A system or an authority by its code in the receiver's tables (HD.1), as NHS Wales numbers them."""

Event = Literal["A31", "A28"]


class Hl7v2Settings(Strict):
    """`adapter_settings` of an organisation reached by HL7 v2."""

    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:_-]{1,253}$")]
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: bool = True
    """False sends in clear, which is only done to a host an operator has allowed."""
    sending_application: Party
    sending_facility: Party
    receiving_application: Party
    receiving_facility: Party
    version: Literal["2.5", "2.5.1"] = "2.5"
    processing: Literal["P", "T", "D"] = "P"
    """MSH-11: production, training or debugging."""
    acknowledgement: Literal["original", "enhanced"] = "original"
    """Enhanced asks for an accept acknowledgement (CA, CE, CR) and no other."""
    arriving_as: Event = "A31"
    """`A28` adds a person who arrives in the board's area: only where its policy lets us add persons."""
    person_authority: Party | None = None
    """Authority under which our own pseudonym for the person stands in PID-3; without it only the NHS number does."""
    previous_address: bool = False
    """Whether an arriving person's previous address follows the new one, with the day it ended."""
    numbers: Literal["added", "replaced"] | None = None
    """What the receiver does with a number or mailbox we send (PID-13, at work PID-14): adds it to those it holds, or
    takes the field for all there is of it (snapshot mode; HL7 2.5, section 2.10). Until it is said none is sent: nobody's
    other numbers are to go without anybody having decided so."""
    keep_open: bool = False
    """Whether the receiver leaves a connection open for the next message."""
    connections: Annotated[int, Field(ge=1, le=16)] = 1
    """Connections at once. One keeps messages in the order they were handed over."""


def _carried(settings: Hl7v2Settings) -> frozenset[str]:
    return CARRIED if settings.numbers else CARRIED - {contact.KIND.event_type}


class Hl7v2:
    """Delivers to one receiver."""

    carries: ClassVar[Collection[str] | None] = CARRIED
    secrets: ClassVar[Sequence[str]] = (CLIENT_CERTIFICATE,)

    @staticmethod
    def check_settings(settings: Mapping[str, Any]) -> None:
        """Raises ValueError naming the setting that is wrong."""
        settings_from(settings, Hl7v2Settings)

    @staticmethod
    def carried_with(settings: Mapping[str, Any]) -> Collection[str]:
        """Return the event types carried. Raises ValueError naming the setting that is wrong."""
        return _carried(settings_from(settings, Hl7v2Settings))

    def __init__(self, context: AdapterContext) -> None:
        """Raises ValueError naming the setting that is wrong."""
        self._settings = settings = settings_of(context, Hl7v2Settings)
        self._context = context
        self._line = MllpConnections(
            context.connections,
            context.deadline,
            settings.host,
            settings.port,
            tls=settings.tls,
            keep_open=settings.keep_open,
            at_once=settings.connections,
        )

    async def deliver(self, delivery: Delivery) -> Receipt:
        carried = _carried(self._settings)
        back = withdrawn(delivery, carried)
        made = (
            message(delivery, told(delivery, carried), self._settings)
            if back is None
            else undoing(delivery, back, self._settings)
        )
        content = made.encode()
        expected = control_id(delivery)
        answer = await self._line.exchange(content, lambda frame: acknowledgement(frame, expected))
        return understood(delivery, answer, self._context.clock())

    async def close(self) -> None:
        self._line.close()
        await self._context.close()


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """An answer to a message of ours."""

    said: Said
    errors: frozenset[str]
    """Codes of table 0357."""
    reference: str | None


def understood(delivery: Delivery, answer: Acknowledgement, now: datetime) -> Receipt:
    """Return or raise what the table at the top of this file says. Pure."""
    if answer.said is Said.ACCEPT:
        return delivery.answered(Outcome.ACCEPTED, now, reference=answer.reference)
    if answer.errors & NOT_TAKEN:
        raise Misconfigured(Reason.ADAPTER_FAULT)
    if answer.errors & INVALID:
        raise Rejected(Reason.INVALID_FOR_RECEIVER, reference=answer.reference)
    if NO_SUCH_PERSON in answer.errors:
        return delivery.answered(Outcome.NOT_MATCHED, now, reference=answer.reference)
    if PERSON_EXISTS in answer.errors:
        return delivery.answered(Outcome.MUST_REVIEW, now, reference=answer.reference)
    if IN_USE in answer.errors:
        raise Unavailable(Reason.SERVER_ERROR)
    if answer.said is Said.ERROR:
        raise Unknown(Reason.SERVER_ERROR)
    raise Rejected(Reason.INVALID_FOR_RECEIVER, reference=answer.reference)


def acknowledgement(frame: bytes, expected: str) -> Acknowledgement:
    """Read an acknowledgement (HL7 2.5, section 2.9) of the message with this MSH-10.

    Raises Unknown for anything else, the acknowledgement of another message among it.
    """
    segments = frame.decode("utf-8", errors="replace").replace("\n", "\r").split("\r")
    head = segments[0]
    if not head.startswith("MSH") or len(head) < len("MSH|^~\\&"):
        raise Unknown(Reason.ANSWER_UNREADABLE)
    separator, component = head[3], head[4]
    fields = {name: rest for name, *rest in (segment.split(separator) for segment in segments)}
    said = CODES.get(_at(fields, "MSA", 1))
    if said is None or _at(fields, "MSA", 2) != expected:
        raise Unknown(Reason.ANSWER_UNREADABLE)
    errors = {
        error
        for name, *rest in (segment.split(separator) for segment in segments)
        if name == "ERR" and (error := (rest[2:3] or [""])[0].split(component)[0])
    }
    try:
        reference = _REFERENCE.validate_python(_at(fields, "MSH", 9))  # MSH-1 is the separator itself
    except ValidationError:
        reference = None
    return Acknowledgement(said, frozenset(errors), reference)


_REFERENCE: Final = TypeAdapter(Reference)


def _at(fields: Mapping[str, Sequence[str]], segment: str, place: int) -> str:
    return next(iter(fields.get(segment, ())[place - 1 : place]), "")


def control_id(delivery: Delivery) -> str:
    """Return MSH-10."""
    return _short(delivery.id.bytes, CONTROL_ID_LENGTH)


def message(delivery: Delivery, change: Told, settings: Hl7v2Settings) -> str:
    """Return the message, structure ADT_A05 (HL7 2.5, section 3.3.28 and 3.3.31), segments ended by CR. Pure.

    The same delivery and settings always make the same message.
    Raises Rejected when what the agreement lets us tell is too little: no name, no birth date, neither an NHS number
    nor an authority of ours, no address, no day.
    """
    if delivery.type != ADDRESS_CHANGED:
        died = change.change.death_date or ""
        effective = change.change.effective_date
        occurred = _day(effective) if effective else died.replace("-", "")
        return _written(delivery, change, settings, "A31", fields(delivery.type, change), occurred)
    event: Event = settings.arriving_as if "arriving" in change.roles else "A31"
    addresses = _addresses(change, include_previous=settings.previous_address)
    effective = change.change.effective_date
    return _written(delivery, change, settings, event, _lives(addresses), _day(effective) if effective else "")


def _lives(addresses: Sequence[Components]) -> Fields:
    """Return PID-11. Raises Rejected where there is none."""
    if not addresses:
        raise Rejected(Reason.FIELDS_MISSING)
    return {11: tuple(addresses)}


def undoing(delivery: Delivery, back: Withdrawn, settings: Hl7v2Settings) -> str:
    """Return the message that takes a change back: an `A31` with what held before. Pure.

    It occurred (EVN-6) on the day it was told. Raises Rejected where that cannot be said: the agreement permits nothing
    of before, the person was added (`A28`) or has died, a number was added beside others, or something was sent since,
    which this one would replace.
    """
    change = back.told
    occurred = _day(day_in_wales(delivery.time))
    if back.type != ADDRESS_CHANGED:
        stays = back.type == contact.KIND.event_type and settings.numbers != "replaced"
        if stays or not back.follows:
            raise Rejected(Reason.INVALID_FOR_RECEIVER)
        return _written(delivery, change, settings, "A31", undone(back.type, change), occurred)
    previous = change.change.previous_address
    added = settings.arriving_as == "A28" and "arriving" in change.roles
    if previous is None or added or not back.follows:
        raise Rejected(Reason.INVALID_FOR_RECEIVER)
    return _written(delivery, change, settings, "A31", _lives([_address(previous, "H")]), occurred)


def _written(
    delivery: Delivery,
    change: Told,
    settings: Hl7v2Settings,
    event: Event,
    said: Fields,
    occurred: str,
) -> str:
    recorded = _moment(delivery.time)
    enhanced = ("AL", "NE") if settings.acknowledgement == "enhanced" else ("", "")
    identifiers = [
        *([f"{change.nhs_number}^^^NHS^NH"] if change.nhs_number else []),
        *(
            [f"{_short(delivery.subject.encode(), PERSON_ID_LENGTH)}^^^{settings.person_authority}^PI"]
            if settings.person_authority and DEATH not in said  # the pseudonym is of who tells a death, not of who died
            else []
        ),
    ]
    if not (change.family and change.birth_date and identifiers and occurred):
        raise Rejected(Reason.FIELDS_MISSING)
    head = (
        "MSH|^~\\&",
        settings.sending_application,
        settings.sending_facility,
        settings.receiving_application,
        settings.receiving_facility,
        recorded,
        "",
        f"ADT^{event}^ADT_A05",
        control_id(delivery),
        settings.processing,
        settings.version,
        "",
        "",
        *enhanced,
        "GBR",
        "UNICODE UTF-8",
    )
    known: Fields = {5: (extended_name(change.person.name, "L"),), 7: ((_day(change.birth_date),),)} | dict(said)
    fields_of_it = {place: "~".join(_repetition(one) for one in repeated) for place, repeated in known.items()}
    fields_of_it |= {1: "1", 3: "~".join(identifiers)}
    person = ("PID", *(fields_of_it.get(place, "") for place in range(1, max(fields_of_it) + 1)))
    segments = (head, ("EVN", "", recorded, "", "", "", occurred), person, ("PV1", "1", "N"))
    return "".join("|".join(segment) + "\r" for segment in segments)


def _repetition(components: Components) -> str:
    return "^".join(map(_text, components)).rstrip("^")


def _addresses(change: Told, *, include_previous: bool) -> list[Components]:
    """Return the repetitions of PID-11: where the person lives from a day on, and where until then."""
    new, previous, effective = change.change.new_address, change.change.previous_address, change.change.effective_date
    if effective is None:
        return []
    ends = change.change.move_kind == "permanent"
    return [
        *([_address(new, "H" if ends else "C", since=_day(effective))] if new else []),
        *(
            [_address(previous, "H", until=_day(effective) if ends else "")]
            if previous and (include_previous or not new)
            else []
        ),
    ]


def _address(address: ToldAddress, kind: str, *, since: str = "", until: str = "") -> Components:
    """Return an XAD: two lines, town, postcode, country, its kind, and in XAD.13 and 14 from and until when.

    Kinds are `H` for home and `C` for a while (table 0190).
    """
    first, *others = (*postal_lines(address), "")
    return (
        first,
        ", ".join(others[:-1]),
        address.address_locality or "",
        "",
        address.postal_code or "",
        ALPHA_3.get(address.address_country or "", ""),
        kind,
        *[""] * 5,
        since,
        until,
    )


def _short(identifier: bytes, length: int) -> str:
    """Return five bits a character of the identifier's SHA-256, in base 32: receivers may change the case."""
    return base64.b32encode(hashlib.sha256(identifier).digest())[:length].decode()


def _text(value: str) -> str:
    """Return text with its delimiters escaped. Raises Rejected for control characters, which no segment can hold."""
    if _CONTROLS.search(value):
        raise Rejected(Reason.UNDECODABLE)
    return value.translate(_ESCAPES)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")


def _day(day: date) -> str:
    return f"{day:%Y%m%d}"

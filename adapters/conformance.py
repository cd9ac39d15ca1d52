# ruff: noqa: S101  a suite is made of assertions
"""The suite every adapter must pass, written against a scripted peer: the organisation's system, behaving and not.

Subclass it, override `system`, and run it with pytest in asyncio's auto mode; `tests/conformance/test_webhook.py` is
the example. It needs no pytest itself.
"""

import asyncio
import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from typing import ClassVar, Final, Protocol
from uuid import UUID, uuid4

from contracts.adapters import Adapter
from contracts.changes import CHANGE_TYPES, address
from contracts.delivery import Delivery, Failure, Misconfigured, Rejected, Unavailable, Unknown
from contracts.events import canonical
from contracts.examples import CHANGES, PERSON
from contracts.receipts import Receipt, ReceiptKind
from contracts.statuses import STATUS_OF, Outcome, Reason, Status


class Standing(StrEnum):
    """How a peer stands before anything is sent."""

    PRESENT = "present"
    ABSENT = "absent"
    """Nothing listens."""
    UNTRUSTED = "untrusted"
    """Shows a certificate or key nobody vouches for."""


class Mishap(StrEnum):
    """Ways a peer that is there can go wrong."""

    HANGS_UP_BEFORE = "hangs up before"
    """Resets the connection without reading."""
    HANGS_UP_AFTER = "hangs up after"
    """Reads the whole request, then resets the connection."""
    NEVER_ANSWERS = "never answers"
    DRIPS = "drips"
    """Answers one byte a second."""
    GARBAGE = "garbage"
    """Answers bytes that are not the protocol."""
    BABBLES = "babbles"
    """Takes it, and answers in the protocol something that cannot be understood."""
    FLOODS = "floods"
    """Takes it, and answers 100 MB."""
    BOMB = "bomb"
    """Takes it, and answers a little that decompresses to a lot."""
    REDIRECTS = "redirects"
    """Points to another place of its own, where a request is noticed."""
    UNAUTHORISED = "unauthorised"
    MISSING = "missing"
    """The place to deliver to does not exist."""
    FAILS = "fails"
    """Has trouble of its own, and says so."""


@dataclass(frozen=True, slots=True)
class Says:
    """The peer answers so."""

    outcome: Outcome
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Busy:
    """The peer asks to be tried later, in the protocol's own words."""

    wait: str | None = None


Act = Mishap | Says | Busy


@dataclass(frozen=True, slots=True)
class Arrival:
    """What reached the peer: the idempotency key, and the content with it."""

    key: str
    content: bytes = field(repr=False)


class Peer(Protocol):
    """The organisation's system under script."""

    @property
    def arrivals(self) -> Sequence[Arrival]:
        """Every request read to its end, oldest first."""
        ...

    @property
    def led_astray(self) -> int:
        """Requests that reached the place `REDIRECTS` points to."""
        ...

    @property
    def flooded(self) -> int:
        """Bytes of `FLOODS` that the connection took."""
        ...

    def does(self, *acts: Act) -> None:
        """Do these in turn for the next requests; the last for all that follow."""
        ...

    @property
    def connections(self) -> int:
        """Connections open now."""
        ...


DEADLINE: Final = timedelta(seconds=10)
REFERENCE: Final = "CT-2026/117"
SHORT_DEADLINE: Final = timedelta(seconds=1)
"""For peers that never end: long enough for one exchange on a busy machine."""
FLOOD_BOUND: Final = 32 * 1024 * 1024
"""Bytes. What two sockets and two programs may buffer of a flood, generously."""

FAILS_AS: Final[dict[Mishap | Standing, tuple[tuple[type[Failure], ...], Reason | None]]] = {
    Standing.ABSENT: ((Unavailable,), Reason.CONNECTION_REFUSED),
    Standing.UNTRUSTED: ((Misconfigured,), Reason.TLS_FAILED),
    Mishap.HANGS_UP_BEFORE: ((Unavailable, Unknown), Reason.CONNECTION_LOST),
    Mishap.HANGS_UP_AFTER: ((Unknown,), Reason.CONNECTION_LOST),
    Mishap.NEVER_ANSWERS: ((Unknown,), Reason.DEADLINE_PASSED),
    Mishap.DRIPS: ((Unknown,), Reason.DEADLINE_PASSED),
    Mishap.GARBAGE: ((Unknown,), None),
    Mishap.REDIRECTS: ((Misconfigured,), Reason.REDIRECTED),
    Mishap.UNAUTHORISED: ((Misconfigured,), Reason.UNAUTHORISED),
    Mishap.MISSING: ((Misconfigured,), Reason.ENDPOINT_MISSING),
    Mishap.FAILS: ((Unavailable,), Reason.SERVER_ERROR),
}
"""What each must be told as by a protocol that has words for it, as HTTP does."""

WELSH: Final = canonical(
    {
        "person": {
            "name": {
                "nameParts": [
                    {"type": "GivenName", "value": "Siân"},
                    {"type": "GivenName", "value": "Llŷr"},
                    {"type": "FamilyName", "value": "Gŵyr-Môn"},
                ]
            },
            "birthDate": "1987-05-14",
            "identifiers": [
                {
                    "system": "https://fhir.nhs.uk/Id/nhs-number",
                    "value": "943 476 5919",
                    "assurance": "said-by-the-person",
                }
            ],
        },
        "change": {
            "previousAddress": {
                "buildingNumber": "14",
                "streetName": "Heol y Dderwen Ddychmygol",
                "dependentAddressLocality": "Treganna",
                "addressLocality": "Caerdydd",
                "postalCode": "CF11 0ZZ",
                "addressCountry": "GB",
            },
            "newAddress": {
                "uprn": 100100999002,
                "buildingName": "Tŷ Gŵyr",
                "buildingNumber": "2",
                "streetName": "Ffordd y Môr",
                "addressLocality": "Abertawe",
                "postalCode": "SA1 0ZZ",
                "addressCountry": "GB",
            },
            "effectiveDate": "2026-03-01",
        },
        "roles": ["arriving"],
    }
)
"""An invented move, full of Welsh letters."""

PERSONAL: Final = ("Siân", "Gŵyr", "CF11", "SA1", "1987", "943")
"""What of it may never stand in a failure."""


def sample_delivery(*, delivery_id: UUID | None = None, attempt: int = 1, data: bytes = WELSH) -> Delivery:
    """Return a delivery whose data is full of Welsh letters."""
    return Delivery(
        id=delivery_id or uuid4(),
        organisation="swansea",
        epoch=0,
        attempt=attempt,
        sequence=1,
        type="wales.unwaith.address-changed.v1",
        source="urn:wales:unwaith",
        subject="7d9f0c6a1b2e4f80",
        time=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        dataschema="urn:wales:unwaith:schema:address-changed.v1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        origin="3b1f8c52d0",
        data=data,
    )


def sample_change(name: str, **changes: object) -> Delivery:
    """Return a delivery of the example of a change type, told whole to who is told because of where it happens.

    `changes` are other members of the change; None leaves one out.
    """
    kind = CHANGE_TYPES[name]
    change = CHANGES[name].model_dump(mode="json", exclude_none=True) | changes
    data = {
        "person": json.loads(WELSH)["person"] | {"name": PERSON.name.model_dump(mode="json", exclude_none=True)},
        "change": {member: value for member, value in change.items() if value is not None},
        "roles": [kind.roles[-2]],
    }
    return replace(sample_delivery(data=canonical(data)), type=kind.event_type, dataschema=kind.dataschema)


TAKEN_BACK: Final = UUID("0f5bb1f2-62d0-4d5c-9a3c-4a2f3c9d7e10")
"""The id of the delivery that `sample_withdrawal` takes back."""


def sample_withdrawal(told: bytes = WELSH, *, numbered: int = 2, **withdraws: object) -> Delivery:
    """Return a delivery by which one that told this, numbered 1, is taken back, as the exchange makes it.

    `numbered` is its own sequence; `withdraws` are other members of what is said of that one, None leaves one out.
    """
    was = json.loads(told)
    said = {"id": str(TAKEN_BACK), "type": "wales.unwaith.address-changed.v1", "change": was.get("change")}
    said |= {"sequence": "000000000001"} | withdraws
    data = {name: was[name] for name in ("person", "roles") if name in was}
    data["withdraws"] = {name: value for name, value in said.items() if value is not None}
    delivery_id = UUID("b1c7e5d4-0a3e-4f6b-8d2c-91f0a7c3e522")
    return replace(
        sample_delivery(delivery_id=delivery_id, data=canonical(data)),
        sequence=numbered,
        type="wales.unwaith.change-withdrawn.v1",
        dataschema="urn:wales:unwaith:schema:change-withdrawn.v1",
    )


async def attempt(adapter: Adapter, delivery: Delivery) -> Receipt | Failure:
    """Deliver once; return the receipt or the failure."""
    try:
        return await adapter.deliver(delivery)
    except Failure as failure:
        return failure


async def settled(condition: Callable[[], bool], within: timedelta = timedelta(seconds=5)) -> bool:
    """Return whether `condition` comes true within so long."""
    end = asyncio.get_running_loop().time() + within.total_seconds()
    while not condition():
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(0.01)
    return True


class AdapterConformance:
    """The promises of `contracts.adapters.Adapter`, a test each. Override `system`, and the marks that do not fit."""

    mishaps: ClassVar[frozenset[Mishap | Standing]] = frozenset({*Mishap, *Standing})
    """What can go wrong in this protocol; the peer must be able to do each."""
    outcomes: ClassVar[frozenset[Outcome]] = frozenset(Outcome)
    """What an organisation can say in this protocol."""
    well: ClassVar[Outcome] = Outcome.APPLIED
    """The best it can say."""
    fails_as: ClassVar[Mapping[Mishap | Standing, tuple[tuple[type[Failure], ...], Reason | None]]] = FAILS_AS
    """What each must be told as; None where any reason will do. The other mishaps end in a receipt: it was taken."""
    says_when: ClassVar[bool] = True
    """Whether it can say when to come back (`Busy`), in seconds or as an HTTP date."""
    at_once: ClassVar[int] = 50
    """Deliveries handed over at once; 1 for a serial protocol."""

    def system(
        self, *, deadline: timedelta = DEADLINE, standing: Standing = Standing.PRESENT
    ) -> AbstractAsyncContextManager[tuple[Adapter, Peer]]:
        """Return an adapter and the peer it delivers to; both are closed on leaving, twice does no harm."""
        raise NotImplementedError

    def key(self, delivery: Delivery) -> str:
        """Return the idempotency key as it arrives; override where the protocol has no room for the id itself."""
        return str(delivery.id)

    def reference(self, _delivery: Delivery) -> str | None:
        """Return the reference a receipt must have; override where the organisation gives none of its own."""
        return REFERENCE

    def carries(self, content: bytes, data: bytes) -> bool:
        """Return whether what arrived holds the whole of `data`; override where it is translated."""
        return data in content

    async def test_every_answer_is_told_as_it_was_said(self) -> None:
        async with self.system() as (adapter, peer):
            for outcome in sorted(self.outcomes):
                peer.does(Says(outcome, reference=REFERENCE))
                delivery = sample_delivery(attempt=3)
                told = await attempt(adapter, delivery)
                if outcome is Outcome.UNKNOWN:
                    assert isinstance(told, Unknown)
                elif outcome is Outcome.FAILED:
                    assert isinstance(told, Unavailable)
                elif isinstance(told, Rejected):
                    assert STATUS_OF[outcome] is Status.REJECTED
                    assert told.outcome is outcome
                else:
                    assert isinstance(told, Receipt), f"{outcome}: {told!r}"
                    assert told.kind is ReceiptKind.ANSWERED
                    assert (told.delivery_id, told.epoch, told.attempt) == (delivery.id, delivery.epoch, 3)
                    assert told.outcome is outcome
                    assert told.reference == self.reference(delivery)

    async def test_a_repeat_carries_the_same_key_and_the_same_bytes(self) -> None:
        async with self.system() as (adapter, peer):
            peer.does(Mishap.FAILS, Says(self.well))
            first = sample_delivery()
            await attempt(adapter, first)
            await attempt(adapter, replace(first, attempt=2))
            assert [arrival.key for arrival in peer.arrivals] == [self.key(first)] * 2
            assert peer.arrivals[0].content == peer.arrivals[1].content

    async def test_welsh_letters_arrive_unharmed(self) -> None:
        async with self.system() as (adapter, peer):
            peer.does(Says(self.well))
            await adapter.deliver(sample_delivery(data=WELSH))
            assert self.carries(peer.arrivals[0].content, WELSH)

    async def test_many_at_once_each_get_their_own_answer(self) -> None:
        async with self.system() as (adapter, peer):
            peer.does(Says(self.well))
            deliveries = [sample_delivery() for _ in range(self.at_once)]
            receipts = await asyncio.gather(*map(adapter.deliver, deliveries))
            assert [receipt.delivery_id for receipt in receipts] == [delivery.id for delivery in deliveries]
            assert {arrival.key for arrival in peer.arrivals} == {self.key(delivery) for delivery in deliveries}

    async def test_one_after_the_other_they_arrive_in_their_order(self) -> None:
        async with self.system() as (adapter, peer):
            peer.does(Says(self.well))
            deliveries = [sample_delivery() for _ in range(5)]
            for delivery in deliveries:
                await adapter.deliver(delivery)
            assert [arrival.key for arrival in peer.arrivals] == [self.key(delivery) for delivery in deliveries]

    async def test_a_change_taken_back_is_carried_or_rejected_aloud(self) -> None:
        async with self.system() as (adapter, peer):
            peer.does(Says(self.well))
            told = await attempt(adapter, sample_withdrawal())
            assert isinstance(told, Receipt | Rejected), f"one person's change of mind: {told!r}"
            assert isinstance(told, Receipt) or not peer.arrivals, "rejected, but sent"
            await self._delivers(adapter, peer)

    async def test_every_type_of_change_is_carried_or_rejected_aloud(self) -> None:
        async with self.system() as (adapter, peer):
            peer.does(Says(self.well))
            carried = getattr(type(adapter), "carries", {address.KIND.event_type})
            for name, kind in CHANGE_TYPES.items():
                arrived = len(peer.arrivals)
                told = await attempt(adapter, sample_change(name))
                if carried is None or kind.event_type in carried:
                    assert isinstance(told, Receipt), f"{name}: {told!r}"
                    assert len(peer.arrivals) > arrived
                else:
                    assert isinstance(told, Rejected), f"an agreement nobody should have made: {told!r}"
                    assert len(peer.arrivals) == arrived, "rejected, but sent"
            await self._delivers(adapter, peer)

    async def test_cancelling_leaves_nothing_behind(self) -> None:
        async with self.system() as (adapter, peer):
            before = asyncio.all_tasks()
            peer.does(Mishap.NEVER_ANSWERS)
            under_way = asyncio.create_task(adapter.deliver(sample_delivery()))
            assert await settled(lambda: len(peer.arrivals) == 1)
            under_way.cancel()
            ended = await asyncio.gather(under_way, return_exceptions=True)
            assert isinstance(ended[0], asyncio.CancelledError)
            assert await settled(lambda: not asyncio.all_tasks() - before), "a task or a connection was left"
            await self._delivers(adapter, peer)

    async def test_closing_gives_back_connections(self) -> None:
        async with self.system() as (adapter, peer):
            await self._delivers(adapter, peer)
            await adapter.close()
            assert await settled(lambda: peer.connections == 0)

    async def test_it_asks_to_come_back_later(self) -> None:
        if not self.says_when:
            return
        a_day = 24 * 3600
        async with self.system() as (adapter, peer):
            for wait, least, most in (
                (None, None, None),
                ("0", 0, 0),
                ("120", 120, 120),
                ("-5", 0, 0),
                ("999999999999", a_day, a_day),
                (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3500, 3600),
                (format_datetime(datetime.now(UTC) + timedelta(days=900), usegmt=True), a_day, a_day),
                ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0),
                ("yfory", None, None),
                ("1e400", None, None),
                ("NaN", None, None),
            ):
                peer.does(Busy(wait))
                told = await attempt(adapter, sample_delivery())
                assert isinstance(told, Unavailable), f"{wait}: {told!r}"
                if least is None or most is None:
                    assert told.retry_after is None, wait
                else:
                    assert told.retry_after is not None, wait
                    assert least <= told.retry_after <= most, wait

    async def test_nobody_listens(self) -> None:
        await self._fails(Standing.ABSENT)

    async def test_a_certificate_nobody_vouches_for(self) -> None:
        await self._fails(Standing.UNTRUSTED)

    async def test_a_connection_reset_before_the_request(self) -> None:
        await self._fails(Mishap.HANGS_UP_BEFORE)

    async def test_a_connection_reset_after_the_request(self) -> None:
        await self._fails(Mishap.HANGS_UP_AFTER)

    async def test_no_answer_ends_at_the_deadline(self) -> None:
        await self._fails(Mishap.NEVER_ANSWERS, deadline=SHORT_DEADLINE)

    async def test_a_dripping_answer_ends_at_the_deadline(self) -> None:
        await self._fails(Mishap.DRIPS, deadline=SHORT_DEADLINE)

    async def test_garbage(self) -> None:
        await self._fails(Mishap.GARBAGE)

    async def test_a_redirect_is_not_followed(self) -> None:
        await self._fails(Mishap.REDIRECTS)

    async def test_it_does_not_know_us(self) -> None:
        await self._fails(Mishap.UNAUTHORISED)

    async def test_the_place_is_missing(self) -> None:
        await self._fails(Mishap.MISSING)

    async def test_it_has_trouble_of_its_own(self) -> None:
        await self._fails(Mishap.FAILS)

    async def test_an_answer_that_cannot_be_understood(self) -> None:
        await self._ends(Mishap.BABBLES)

    async def test_a_flood_is_cut(self) -> None:
        await self._ends(Mishap.FLOODS)

    async def test_a_compressed_bomb_is_not_inflated(self) -> None:
        await self._ends(Mishap.BOMB)

    async def _fails(self, wrong: Mishap | Standing, *, deadline: timedelta = DEADLINE) -> None:
        if wrong not in self.mishaps:
            return
        kinds, reason = self.fails_as[wrong]
        standing = wrong if isinstance(wrong, Standing) else Standing.PRESENT
        async with self.system(deadline=deadline, standing=standing) as (adapter, peer):
            if isinstance(wrong, Mishap):
                peer.does(wrong)
            told = await attempt(adapter, sample_delivery())
            assert isinstance(told, kinds), f"{wrong}: {told!r}"
            assert reason in {None, told.reason}, f"{wrong}: {told!r}"
            assert not peer.led_astray
            assert peer.flooded < FLOOD_BOUND
            shown = "".join(traceback.format_exception(told))
            assert not any(part in shown for part in PERSONAL), "a failure repeats personal data"
            if standing is Standing.PRESENT:
                await self._delivers(adapter, peer)

    async def _ends(self, wrong: Mishap) -> None:
        if wrong not in self.mishaps:
            return
        if wrong in self.fails_as:
            await self._fails(wrong)
            return
        async with self.system() as (adapter, peer):
            peer.does(wrong)
            told = await attempt(adapter, sample_delivery())
            assert isinstance(told, Receipt), f"{wrong}: {told!r}"
            assert told.outcome is not None
            assert STATUS_OF[told.outcome] is Status.RECEIVED
            assert told.reason is Reason.ANSWER_UNREADABLE
            assert peer.flooded < FLOOD_BOUND
            await self._delivers(adapter, peer)

    async def _delivers(self, adapter: Adapter, peer: Peer) -> None:
        """Whatever became of one delivery, the next is delivered."""
        peer.does(Says(self.well))
        assert (await adapter.deliver(sample_delivery())).outcome is self.well

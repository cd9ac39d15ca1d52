"""Organisations that cannot be called: they come for what lies in their mailbox, late, twice, and crash meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar
from uuid import UUID

import orjson

from adapters.pull import Pull
from contracts.delivery import Delivery, Failure, Unavailable
from contracts.events import canonical
from contracts.receipts import Receipt
from contracts.statuses import Outcome
from tests.simulation.organisations import SAID_NO, SimulatedOrganisation

T = TypeVar("T")

COMES: Final = {
    "is_away": "stays_away",
    "asks_to_wait": "stays_away",
    "shuts_us_out": "stays_away",
    "hangs": "crashes_before_taking",
    "breaks_its_adapter": "crashes_before_taking",
    "drips": "crashes_before_acknowledging",
    "loses_the_answer": "reads_twice",
    "loses_the_request": "reads_twice",
    "answers_twice": "answers",
    "refuses": "answers",
    "doubts": "answers",
    "takes_in": "answers_later",
    "dawdles": "comes_late",
}
"""What the moods of those who are called are for one who comes."""


class Door(Protocol):
    """Where it comes to. Raises Away where it gets no answer, whatever was done."""

    async def page(self, organisation: str, after: int, limit: int) -> tuple[list[bytes], int | None]:
        """Return events, and the place the next page begins behind; None where this was the last."""
        ...

    async def acknowledge(self, organisation: str, delivery_id: UUID) -> bool:
        """Return whether it is acknowledged; False where nothing of that is known."""
        ...


class Away(Exception):  # noqa: N818  says what holds
    """The API did not answer."""


@dataclass
class ComingOrganisation(SimulatedOrganisation):
    """One that pulls. Its cursor is its own affair: it may lose it, and then begins at the oldest."""

    cursor: int = 0

    async def come(self, door: Door) -> None:
        """Come again and again, as it is in the mood to."""
        while True:
            await asyncio.sleep(self.dice.uniform(0.1, 2.0))
            how = COMES.get(self._behaviour(), "acknowledges")
            if how == "comes_late":
                await asyncio.sleep(self.dice.uniform(5.0, 40.0))
            try:
                if how != "stays_away":
                    await self._visit(door, how)
            except Away:
                self.cursor = 0

    async def _visit(self, door: Door, how: str) -> None:
        read = await self._read(door)
        if how == "reads_twice":
            read = await self._read(door)
        if how == "crashes_before_taking":
            self.cursor = 0
            return
        for delivery in read:
            taken = self.take(delivery)
            if how == "crashes_before_acknowledging":
                self.cursor = 0
            elif how == "answers":
                yes = taken and self.dice.random() < 0.6
                self._says_later(delivery, Outcome.APPLIED if yes else self.dice.choice(SAID_NO), 0.0)
            else:
                self.said[delivery.id].add(Outcome.RECEIVED)
                if await door.acknowledge(self.settings.id, delivery.id) and how == "answers_later":
                    self._says_later(delivery, Outcome.APPLIED if taken else Outcome.SUPERSEDED, 5.0)

    async def _read(self, door: Door) -> list[Delivery]:
        """Read on from the cursor; at the end begin at the oldest again, for what was not acknowledged."""
        after = self.cursor if self.dice.random() < 0.5 else 0
        events, following = await door.page(self.settings.id, after, self.dice.choice((1, 3, 100)))
        self.cursor = following or 0
        read = [delivery_of(self.settings.id, event) for event in events]
        self.witness.fetched(self.settings, read)
        return read

    def laying(self, pull: Pull) -> "Laying":
        return Laying(self, pull)


class Laying:
    """The adapter that lays down, with a witness beside it: an Adapter and a BatchAdapter."""

    def __init__(self, organisation: ComingOrganisation, pull: Pull) -> None:
        self._organisation = organisation
        self._pull = pull

    async def deliver(self, delivery: Delivery) -> Receipt:
        return await self._laid([delivery], lambda: self._pull.deliver(delivery))

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        return await self._laid(deliveries, lambda: self._pull.deliver_many(deliveries))

    async def _laid(self, deliveries: Sequence[Delivery], lay: Callable[[], Awaitable[T]]) -> T:
        calls = [self._organisation._called(delivery) for delivery in deliveries]
        try:
            return await lay()
        except asyncio.CancelledError:  # its time is over, or its worker ends
            for call in calls:
                call.counts = self._organisation.loop.time() - call.began >= call.deadline - 1e-6
            raise
        except Unavailable:
            for call in calls:
                call.counts = True
            raise
        finally:
            for call in calls:
                self._organisation.witness.ended(call)

    async def close(self) -> None:
        return None


def delivery_of(organisation: str, event: bytes) -> Delivery:
    """Return an event as its receiver reads it; what is not on the wire is left out."""
    read = orjson.loads(event)
    return Delivery(
        id=UUID(read["id"]),
        organisation=organisation,
        epoch=0,
        attempt=1,
        sequence=int(read["sequence"]),
        type=read["type"],
        source=read["source"],
        subject=read["subject"],
        time=datetime.fromisoformat(read["time"]),
        dataschema=read["dataschema"],
        traceparent=read["traceparent"],
        origin=read.get("origin", ""),
        data=canonical(read["data"]),
    )

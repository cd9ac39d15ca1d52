"""Organisations that take files closed at a cut-off, and leave their answers to be fetched."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import uuid5

from contracts.adapters import Answers
from contracts.delivery import Delivery, Failure, Unavailable
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason
from tests.simulation.organisations import SAID_NO, BatchedOrganisation


@dataclass
class FiledOrganisation(BatchedOrganisation):
    """One that takes files whole. What it answers lies in a folder, a file of answers for each file taken in."""

    today: str = "applies"
    """What it does with the file it is being handed."""
    folder: deque[list[Receipt]] = field(default_factory=deque)

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        self.witness.handed_a_file(self.settings, deliveries)
        self.today = super()._behaviour()
        self._leave_answers(deliveries)
        return await super().deliver_many(deliveries)

    def _behaviour(self) -> str:
        return self.today

    async def applies(self, delivery: Delivery, *, after: float = 0.0) -> Receipt:
        """Take it in: what becomes of it is in a file of answers."""
        await self._arrives(delivery, after=after)
        return self._says(delivery, Outcome.RECEIVED)

    def _leave_answers(self, deliveries: Sequence[Delivery]) -> None:
        """Answer what of a file has arrived, some time after it was handed over."""

        def leave() -> None:
            if told := [self._answer(one) for one in deliveries if one.id in self.applied]:
                self.folder.append(told)

        with self.loop.within(self.loop.outside):
            self.loop.call_later(self.dice.uniform(1.0, 20.0), leave)

    def _answer(self, delivery: Delivery) -> Receipt:
        outcome = Outcome.APPLIED if self.dice.random() < 0.8 else self.dice.choice(SAID_NO)
        self.said[delivery.id].add(outcome)
        told = delivery.answered(outcome, self.clock())
        known = f"{self.settings.id}/{delivery.epoch}/{outcome}"
        return told.model_copy(update={"id": uuid5(delivery.id, known), "epoch": 0, "attempt": 0})

    def collector(self) -> "Folder":
        return Folder(self)


@dataclass(slots=True)
class AnswerFile:
    """One file of answers, as it was read."""

    folder: deque[list[Receipt]]
    receipts: Sequence[Receipt]
    unreadable: bool = False

    async def done(self) -> None:
        """Take it out of the folder, once, however often it was read."""
        if self.receipts in self.folder:
            self.folder.remove(list(self.receipts))


class Folder:
    """A Collector of one organisation's answers."""

    def __init__(self, organisation: FiledOrganisation) -> None:
        self._organisation = organisation

    async def collect(self) -> AsyncIterator[Answers]:
        for receipts in list(self._organisation.folder):
            await asyncio.sleep(self._organisation.seconds_away)
            if self._organisation.mood.keys() & {"is_away", "hangs"} and self._organisation.dice.random() < 0.5:
                raise Unavailable(Reason.CONNECTION_REFUSED)
            yield AnswerFile(self._organisation.folder, receipts)

    async def close(self) -> None:
        return None

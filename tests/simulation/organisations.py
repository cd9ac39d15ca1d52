"""Organisations as they are: they apply, refuse, hang, drip, lose their answers, and answer later, twice or otherwise.

A receiver does what the wire asks of it: it ignores a delivery it has had, and a sequence not above the last applied.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final, Protocol
from uuid import UUID

from contracts.delivery import Delivery, Failure, Misconfigured, Rejected, Unavailable, Unknown
from contracts.organisation import Organisation
from contracts.receipts import Receipt
from contracts.statuses import STATUS_OF, Outcome, Reason, Status
from tests.simulation.history import Call, History
from tests.simulation.loop import PROCESS, Process, SimulatedLoop

Mood = dict[str, float]
"""How likely each behaviour is, by its name in `SimulatedOrganisation`."""

WELL: Final[Mood] = {"applies": 1.0}
SAID_NO: Final = (Outcome.NOT_MATCHED, Outcome.MUST_REVIEW, Outcome.SUPERSEDED)

Later = Callable[[Delivery, Outcome, float], None]
"""Has an organisation's later answer to a delivery come by its own door in so many seconds."""


class Witness(Protocol):
    """Told of what the receiving side sees."""

    def called(self, settings: Organisation, delivery: Delivery, process: Process, now: float) -> Call: ...

    def ended(self, call: Call) -> None: ...

    def ignored(self, delivery: Delivery) -> None: ...

    def handed_a_file(self, settings: Organisation, deliveries: Sequence[Delivery]) -> None: ...

    def fetched(self, settings: Organisation, read: Sequence[Delivery]) -> None: ...


@dataclass
class SimulatedOrganisation:
    """One organisation's system."""

    settings: Organisation
    loop: SimulatedLoop
    dice: random.Random
    history: History
    witness: Witness
    clock: Callable[[], datetime]
    later: Later
    mood: Mood = field(default_factory=lambda: dict(WELL))
    seconds_away: float = 0.002
    applied: dict[UUID, bytes] = field(default_factory=dict)
    """The data of each delivery that took effect."""
    last: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By subject, the last sequence that took effect."""
    together: ClassVar[bool] = False
    """What becomes of one in a batch is forgotten where the time of another is over: all may have arrived."""
    said: dict[UUID, set[Outcome]] = field(default_factory=lambda: defaultdict(set))
    """Every answer given, whether or not it arrived."""

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Be called by the worker, whose process this runs in; what takes effect does so outside of it."""
        return await self._asked(self._called(delivery))

    def _called(self, delivery: Delivery) -> Call:
        return self.witness.called(self.settings, delivery, PROCESS.get(), self.loop.time())

    async def _asked(self, call: Call) -> Receipt:
        delivery = call.delivery
        try:
            receipt: Receipt = await getattr(self, self._behaviour())(delivery)
        except asyncio.CancelledError:  # its time is over, or its worker ends
            call.counts = self.loop.time() - call.began >= call.deadline - 1e-6
            raise
        except Exception as error:
            call.counts = self.together or not isinstance(error, Misconfigured)
            raise
        else:
            call.counts = True
            return receipt
        finally:
            self.witness.ended(call)

    async def close(self) -> None:
        return None

    def _behaviour(self) -> str:
        [chosen] = self.dice.choices(list(self.mood), list(self.mood.values()))
        return chosen

    async def _arrives(self, delivery: Delivery, *, after: float = 0.0) -> bool:
        """Send the request, and return once it has taken effect, or not. It does even if the worker dies meanwhile."""
        done: asyncio.Future[bool] = self.loop.create_future()

        def there() -> None:
            taken = self.take(delivery)
            with self.loop.within(asker):
                self.loop.call_later(self.seconds_away, back, taken)

        def back(taken: bool) -> None:
            if not done.done():
                done.set_result(taken)

        asker = PROCESS.get(self.loop.outside)
        with self.loop.within(self.loop.outside):
            self.loop.call_later(self.seconds_away + after, there)
        return await done

    def take(self, delivery: Delivery) -> bool:
        """Let it take effect, unless it has, or something later has; return whether it now has."""
        if delivery.id in self.applied:
            return True
        if delivery.sequence <= self.last[delivery.subject]:
            self.witness.ignored(delivery)
            return False
        self.applied[delivery.id] = delivery.data
        self.last[delivery.subject] = delivery.sequence
        self.history.note("took effect", self.settings.id, delivery.id, delivery.sequence)
        return True

    def has(self, subject: str, sequence: int, delivery_id: UUID) -> bool:
        """Return whether this has taken effect here, or something later of the same person has."""
        return delivery_id in self.applied or sequence <= self.last[subject]

    def _says(self, delivery: Delivery, outcome: Outcome) -> Receipt:
        self.said[delivery.id].add(outcome)
        return delivery.answered(outcome, self.clock())

    def _says_later(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        self.said[delivery.id].add(outcome)
        self.later(delivery, outcome, seconds)

    # Behaviours

    async def applies(self, delivery: Delivery, *, after: float = 0.0) -> Receipt:
        known = delivery.id in self.applied
        if not await self._arrives(delivery, after=after):
            return self._says(delivery, Outcome.SUPERSEDED)
        return self._says(delivery, Outcome.ALREADY_CURRENT if known else Outcome.APPLIED)

    async def takes_in(self, delivery: Delivery) -> Receipt:
        """202: what becomes of it is told later, and perhaps more than once, and not always the same."""
        taken = await self._arrives(delivery)
        for _ in range(self.dice.choice((1, 1, 2))):
            yes = taken and self.dice.random() < 0.6
            outcome = Outcome.APPLIED if yes else self.dice.choice(SAID_NO)
            self._says_later(delivery, outcome, self.dice.uniform(0.0, 20.0))
        return self._says(delivery, Outcome.RECEIVED)

    async def answers_twice(self, delivery: Delivery) -> Receipt:
        """At once, and again by its own door, perhaps otherwise."""
        receipt = await self.applies(delivery)
        again = self.dice.choice((receipt.outcome, Outcome.FAILED, Outcome.UNKNOWN, Outcome.RECEIVED, *SAID_NO))
        self._says_later(delivery, again or Outcome.RECEIVED, self.dice.uniform(0.0, 10.0))
        return receipt

    async def refuses(self, delivery: Delivery) -> Receipt:
        await asyncio.sleep(self.seconds_away)
        self.said[delivery.id].add(Outcome.REJECTED_INVALID)
        raise Rejected(Reason.INVALID_FOR_RECEIVER)

    async def doubts(self, delivery: Delivery) -> Receipt:
        await asyncio.sleep(self.seconds_away)
        return self._says(delivery, self.dice.choice((*SAID_NO, Outcome.UNKNOWN, Outcome.FAILED)))

    async def is_away(self, _delivery: Delivery) -> Receipt:
        await asyncio.sleep(self.seconds_away)
        raise Unavailable(Reason.CONNECTION_REFUSED)

    async def asks_to_wait(self, _delivery: Delivery) -> Receipt:
        await asyncio.sleep(self.seconds_away)
        raise Unavailable(Reason.TOO_MANY_REQUESTS, retry_after=self.dice.choice((-1.0, 0.0, 3.0, 30.0)))

    async def loses_the_answer(self, delivery: Delivery) -> Receipt:
        await self._arrives(delivery)
        raise Unknown(Reason.CONNECTION_LOST)

    async def loses_the_request(self, _delivery: Delivery) -> Receipt:
        await asyncio.sleep(self.seconds_away)
        raise Unknown(Reason.CONNECTION_LOST)

    async def hangs(self, delivery: Delivery) -> Receipt:
        """Nothing comes; half the time it has arrived all the same."""
        if self.dice.random() < 0.5:
            await self._arrives(delivery)
        await asyncio.sleep(1_000_000.0)
        raise Unknown(Reason.CONNECTION_LOST)

    async def drips(self, delivery: Delivery) -> Receipt:
        """The answer comes a byte a second: whoever reads on has it after three minutes."""
        receipt = await self.applies(delivery)
        for _ in range(200):
            await asyncio.sleep(1.0)
        return receipt

    async def dawdles(self, delivery: Delivery) -> Receipt:
        return await self.applies(delivery, after=self.dice.uniform(0.0, 1.5 * self.settings.policy.deadline_seconds))

    async def shuts_us_out(self, _delivery: Delivery) -> Receipt:
        await asyncio.sleep(self.seconds_away)
        raise Misconfigured(Reason.UNAUTHORISED)

    async def breaks_its_adapter(self, _delivery: Delivery) -> Receipt:
        await asyncio.sleep(self.seconds_away)
        raise RuntimeError("a fault in the adapter")

    def stands_by(self, delivery_id: UUID, status: Status) -> bool:
        """Return whether it has ever said what the status says."""
        return any(STATUS_OF[outcome] is status for outcome in self.said[delivery_id])


class BatchedOrganisation(SimulatedOrganisation):
    """One that takes many at once. What becomes of each is its own, but all are waited for."""

    together = True

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        if len({delivery.subject for delivery in deliveries}) < len(deliveries):
            self.history.violated("4, one granted at a time", f"two of a lane in one batch of {self.settings.id}")
        calls = [self._called(delivery) for delivery in deliveries]
        try:
            ended = await asyncio.gather(*map(self._asked, calls), return_exceptions=True)
        finally:
            for call in calls:
                if not call.over:  # cancelled before it was looked at
                    self.witness.ended(call)
        return [_as_told(one) for one in ended]


def _as_told(ended: Receipt | BaseException) -> Receipt | Failure:
    if isinstance(ended, (Receipt, Failure)):
        return ended
    raise ended

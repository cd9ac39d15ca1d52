"""One organisation's breaker as one line goes by it: what it has seen, and what it does about it."""

import math
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

import structlog

from broker.delivery.breaker import Tally, allowed, failed, noted, opened, probed, probing, recovered, tripped
from broker.delivery.limits import places_of, share_of
from broker.delivery.ports import Breakers
from broker.telemetry.metrics import Metrics
from contracts.breaker import Breaker, Phase
from contracts.grants import GateUnavailable
from contracts.organisation import DeliveryPolicy, Organisation
from contracts.receipts import Receipt

LEFT_ALONE: Final = frozenset({Phase.OPEN, Phase.PROBING})
"""While its breaker stands so, an organisation gets probes alone, and fetching for it pauses."""
LOOK_SECONDS: Final = 0.2
"""So often it is looked whether a ramp allows more, or a probe can be taken that was due."""

log = structlog.get_logger()


class Watch:
    """What a line sees of its organisation's system, and the shared breaker it moves by that."""

    def __init__(self, organisation: str, breakers: Breakers, metrics: Metrics) -> None:
        self._organisation = organisation
        self._breakers = breakers
        self._open = metrics.breaker_open.labels(organisation)
        self._standing = Breaker(version=-1)
        self._tally = Tally()
        self._moving = False
        self.probe: int | None = None
        """The version under which this line took the probe, while that stands."""

    def well(self) -> bool:
        """Return whether its system answers."""
        return self._known().phase is Phase.CLOSED

    def left_alone(self) -> bool:
        return self._known().phase in LEFT_ALONE

    def wait(self) -> float:
        """Return in how many seconds it may be sent more than now, even if nothing else happens."""
        breaker = self._known()
        if breaker.phase is Phase.CLOSED:
            return math.inf
        left = timedelta()
        if breaker.phase in LEFT_ALONE and breaker.until is not None:
            left = breaker.until - self._breakers.now()
        return max(LOOK_SECONDS, left.total_seconds())

    async def slots(self, settings: Organisation, owned: Collection[int], *, ready: bool) -> int:
        """Return how many attempts of this worker, which owns these partitions, may be under way at once now.

        Takes the probe when one is due and the line is `ready`, with something to send and nothing under way; closes
        the breaker at the end of its ramp.
        """
        if self._moving:
            return 0  # what was seen a moment ago is being told to all
        policy, breaker = settings.policy, self._known()
        most = share_of(policy.concurrency, len(owned), settings.partitions)
        if breaker.phase is Phase.CLOSED:
            return most
        now = self._breakers.now()
        if (closed := recovered(breaker, now)) is not None:
            await self._move(closed)
        elif ready and self.probe is None:
            taken = probing(breaker, now, timedelta(seconds=policy.deadline_seconds))
            if taken is not None and await self._move(taken):
                self.probe = taken.version
        breaker = self._known()
        if self.probe is not None:
            return 1
        together = allowed(breaker, now, policy.concurrency)
        return min(most, places_of(together, owned, settings.partitions, breaker.version))

    async def observe(self, policy: DeliveryPolicy, receipts: Sequence[Receipt], probe: int | None) -> None:
        """Take note of how an attempt ended, with one delivery or a batch: it failed if nothing in it was answered.

        `probe`: what `probe` was when it began.
        """
        told = [failure for receipt in receipts if (failure := failed(receipt)) is not None]
        if not told:
            return
        failure, breaker = all(told), self._known()
        asked = max(receipt.not_before - receipt.at if receipt.not_before else timedelta() for receipt in receipts)
        if probe is not None:
            if breaker.version == probe:
                now = self._breakers.now()
                await self._move(probed(breaker, now, policy.breaker, failure=failure, asked=asked))
            return
        self._tally = noted(self._tally, failure=failure, policy=policy.breaker)
        if failure and tripped(breaker, self._tally, policy.breaker):
            await self._move(opened(breaker, self._breakers.now(), policy.breaker, asked=asked))

    def _known(self) -> Breaker:
        """Return where the breaker stands; what was seen under another standing is forgotten."""
        breaker = self._breakers.breaker(self._organisation)
        if breaker.version != self._standing.version:
            self._standing, self._tally = breaker, Tally()
            self._open.set(breaker.phase in LEFT_ALONE)
            if breaker.version != self.probe:
                self.probe = None
        return breaker

    async def _move(self, to: Breaker) -> bool:
        """Record the breaker's next state for all; return whether it was ours to do."""
        if self._moving:
            return False
        self._moving = True
        try:
            moved = await self._breakers.move(self._organisation, to)
        except GateUnavailable:
            return False  # nothing is granted either; what comes next is decided when it is
        finally:
            self._moving = False
        if moved:
            log.warning("breaker.moved", organisation=self._organisation, status=str(to.phase), count=to.probes)
        return moved

"""One organisation's line through the pool: its records wait here, and only here, when it is slow.

Takes as many as it may have under way, asks the gate for all of them at once, and starts one attempt each.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from broker import failpoints, sealing
from broker.delivery.adapting import AdapterSource, HeldAdapter, Made
from broker.delivery.asking import ASK_SECONDS, REST_SECONDS, batch_of, worth_asking
from broker.delivery.attempt import attempt, attempt_many, opened
from broker.delivery.gathering import Gathering
from broker.delivery.limits import Pace, RetryBudget
from broker.delivery.ports import Breakers, Config, Gate
from broker.delivery.watching import Watch
from broker.eventlog import Partition, Received
from broker.telemetry.metrics import Metrics
from contracts.delivery import Delivery
from contracts.grants import GateUnavailable, Grant, NotKnown, Withheld
from contracts.organisation import DeliveryPolicy, Organisation
from contracts.receipts import FailureKind, Quarantined, Receipt, ReceiptKind, withheld
from contracts.records import SealedDelivery, Undecodable, delivery_id_in, place_in, read_delivery
from contracts.statuses import Reason
from contracts.windows import is_open

GATE_RETRY_SECONDS: Final = 0.5
START_SECONDS: Final = 1.0
"""An attempt begins within so long of asking the gate, or not at all: less than a grant outlives its deadline."""
AHEAD: Final = 4
"""Records held for an organisation, as a multiple of what it may have under way, before fetching for it pauses."""

log = structlog.get_logger()

Finish = Callable[[Received, "Receipt | Quarantined"], None]
"""Called once for every record: its receipt is to be made durable, then its offset is done."""


@dataclass(frozen=True, slots=True)
class _Taken:
    received: Received
    sealed: SealedDelivery


_Granted = tuple[_Taken, Grant]


class Line:
    """The records of one organisation that this worker holds."""

    def __init__(
        self,
        organisation: str,
        *,
        adapters: AdapterSource,
        gate: Gate,
        config: Config,
        breakers: Breakers,
        finish: Finish,
        pause: Callable[[], None],
        resume: Callable[[], None],
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        """`pause` and `resume` are how fetching for this organisation stops and goes on; said again, they do nothing."""
        self.organisation = organisation
        self._owned: frozenset[int] = frozenset()
        """Partitions of its topic that this worker owns now: its share of what the organisation may be sent."""
        self._gate = gate
        self._config = config
        self._now = breakers.now
        self._finish = finish
        self._pause = pause
        self._resume = resume
        self._watch = Watch(organisation, breakers, metrics)
        self._seconds = metrics.delivery_seconds.labels(organisation)
        self._clock = clock
        self._waiting: deque[Received] = deque()
        self._batches = Gathering()
        self._running: set[asyncio.Task[None]] = set()
        self._free_since: float | None = None
        self._pace = Pace()
        """Of deliveries, by the policy's rate."""
        self._requests = Pace()
        """Of requests, of which a batch is one, by what the endpoint has agreed to."""
        self._retries = RetryBudget()
        self._woken = asyncio.Event()
        self._held = HeldAdapter(adapters)

    def put(self, records: Iterable[Received]) -> None:
        now = asyncio.get_running_loop().time()
        for received in records:
            if (place := place_in(received.headers)) is None:
                self._waiting.append(received)
            else:
                self._batches.put(received, place, now)
        self._feed(self._open())
        self._woken.set()

    def _put_back(self, records: Sequence[Received]) -> None:
        """Let these be the next."""
        now = asyncio.get_running_loop().time()
        for received in reversed(records):
            if (place := place_in(received.headers)) is None:
                self._waiting.appendleft(received)
            else:
                self._batches.put(received, place, now)

    def wake(self) -> None:
        """Settings may have changed."""
        self._woken.set()

    def own(self, partitions: frozenset[int]) -> None:
        """These partitions of its topic are this worker's now."""
        if partitions != self._owned:
            self._owned = partitions
            self._woken.set()

    def lost(self, partition: Partition) -> None:
        """The partition is somebody else's: what has not been started is theirs too."""
        self._waiting = deque(item for item in self._waiting if item.partition != partition)
        self._batches.lost(partition)
        self._woken.set()

    def _feed(self, settings: Organisation | None) -> None:
        """Have fetching for this organisation pause while nothing may be sent, or enough is here; else go on."""
        (self._pause if settings is None or self._full(settings.policy) else self._resume)()

    def _full(self, policy: DeliveryPolicy) -> bool:
        most = max(policy.concurrency, policy.batch.size if policy.batch else 0, self._batches.largest)
        if len(self._waiting) + len(self._batches) >= AHEAD * most:
            return True
        return self._something() and self._watch.left_alone()

    def _something(self) -> bool:
        """Return whether there is something to send: a record, or all rows of a batch."""
        return bool(self._waiting) or self._batches.ready(asyncio.get_running_loop().time())

    def _open(self) -> Organisation | None:
        settings = self._config.organisations().get(self.organisation)
        if settings is None or settings.paused or not self._config.fresh():
            return None
        windows = settings.policy.windows
        return settings if not windows or is_open(windows, self._now()) else None

    async def run(self) -> None:
        """Work until cancelled; then attempts under way are left to `drain`."""
        while True:
            self._woken.clear()
            settings = self._open()
            self._feed(settings)
            count, wait = (0, REST_SECONDS) if settings is None else await self._askable(settings)
            if settings is None or count == 0:
                try:
                    async with asyncio.timeout(wait):
                        await self._woken.wait()
                except TimeoutError:
                    pass
                continue
            self._free_since = None
            taken = self._taken(self._batches.take(asyncio.get_running_loop().time()) or self._first(count))
            self._feed(settings)
            if taken:
                await self._send(settings, taken)

    async def _askable(self, settings: Organisation) -> tuple[int, float]:
        """Return for how many records the gate is to be asked now, or 0 and in how many seconds to look again."""
        something = self._something()
        slots = await self._watch.slots(settings, self._owned, ready=something and not self._running)
        free = slots - len(self._running)
        if free <= 0 or not something:
            self._free_since = None
            return 0, min(REST_SECONDS, self._watch.wait())
        now = asyncio.get_running_loop().time()
        allowed, wait = self._leave_now(settings, now)
        free = min(free, allowed)
        if free == 0:
            return 0, min(REST_SECONDS, wait)
        if self._batches.ready(now):
            return 1, 0.0
        if self._free_since is None:
            self._free_since = now
        idle = now - self._free_since
        if settings.policy.batch and self._watch.probe is None:
            return batch_of(len(self._waiting), settings.policy.batch, idle)
        return worth_asking(len(self._waiting), free, slots, idle), ASK_SECONDS

    def _leave_now(self, settings: Organisation, now: float) -> tuple[int, float]:
        """Return for how many records there is leave now, and in how many seconds there is for one."""
        share = len(self._owned) / max(len(self._owned), settings.partitions)
        rate, agreed = settings.policy.rate, self._held.rate()
        self._pace = self._pace.later(now, None if rate is None else rate * share)
        self._requests = self._requests.later(now, None if agreed is None else agreed * share)
        allowed = min(self._pace.ready(), self._requests.ready())
        if settings.policy.batch and allowed:
            allowed = settings.policy.batch.size  # a whole one: the next waits so much longer
        return allowed, max(self._pace.wait(), self._requests.wait())

    def _first(self, count: int) -> list[Received]:
        return [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]

    def _taken(self, records: Sequence[Received]) -> list[_Taken]:
        taken: list[_Taken] = []
        for received in records:
            try:
                taken.append(_Taken(received, read_delivery(received.key, received.value, received.headers)))
            except Undecodable:
                self._quarantine(received, Reason.UNDECODABLE, delivery_id_in(received.headers))
        return taken

    async def _send(self, settings: Organisation, taken: list[_Taken]) -> None:
        deadline = settings.policy.deadline_seconds
        await self._prepared(settings)
        asked = asyncio.get_running_loop().time()  # nobody's clock: the gate counts its grants by the store's
        try:
            verdicts = await self._gate.grant(
                [(item.sealed.id, item.sealed.epoch) for item in taken], timedelta(seconds=deadline)
            )
        except GateUnavailable:
            self._put_back([item.received for item in taken])
            log.warning("gate.waiting", organisation=self.organisation)
            await asyncio.sleep(GATE_RETRY_SECONDS)
            return
        failpoints.reach("delivery.granted")
        closed = any(item.sealed.place for item in taken)
        attempts = [verdict.attempt for verdict in verdicts if isinstance(verdict, Grant)]
        if closed and attempts:
            attempts = [max(attempts)]  # it is one try, of all its rows
        self._retries = self._retries.tried(settings.policy.retry_share, asked, attempts.count(1))
        leave = closed and (not attempts or 1 in attempts or self._may_try_again(asked))
        granted: list[_Granted] = []
        for item, verdict in zip(taken, verdicts, strict=True):
            match verdict:
                case Grant() if not (leave if closed else verdict.attempt == 1 or self._may_try_again(asked)):
                    receipt = self._not_tried(item, verdict, FailureKind.STOPPED, Reason.RETRIES_SPENT)
                    later = receipt.at + timedelta(seconds=self._retries.turn - asked)
                    self._finish(item.received, receipt.model_copy(update={"not_before": later}))
                case Grant():
                    granted.append((item, verdict))
                case Withheld(reason, not_before):
                    sealed, now = item.sealed, self._clock()
                    self._finish(item.received, withheld(sealed.id, sealed.epoch, reason, now, not_before=not_before))
                case NotKnown():
                    self._quarantine(item.received, Reason.UNKNOWN_DELIVERY, item.sealed.id)
        self._pace = self._pace.less(len(granted))
        together = [granted] if granted and (closed or settings.policy.batch) else [[one] for one in granted]
        self._requests = self._requests.less(len(together))
        for several in together:
            task = asyncio.create_task(self._attempt(settings, several, asked, self._watch.probe))
            self._running.add(task)
            task.add_done_callback(self._ended)

    async def _prepared(self, settings: Organisation) -> None:
        """Have the adapter made before the gate is asked: where hundreds are made at once, grants would run out meanwhile.

        One that cannot be made is told of by the attempt.
        """
        with suppress(Exception):
            self._held.back(await self._held.taken(settings, self._config.secrets(self.organisation)))

    def _may_try_again(self, now: float) -> bool:
        """Return whether there is leave for one more try of what was tried before.

        Where all is not well the breaker says how much is sent.
        """
        if not self._watch.well():
            return True
        spent = self._retries.retried(now)
        self._retries = spent or self._retries.put_off(now)
        return spent is not None

    async def _attempt(
        self, settings: Organisation, granted: Sequence[_Granted], asked: float, probe: int | None
    ) -> None:
        """Hand over what was granted, one delivery or a batch, and finish every record of it."""
        newest = self._config.organisations().get(self.organisation, settings)
        try:
            made = await self._held.taken(newest, self._config.secrets(self.organisation))
        except GateUnavailable:
            self._none_tried(granted, FailureKind.STOPPED, Reason.STOPPING)
            return
        except Exception as wrong:  # wrong settings, or a secret that cannot be opened
            log.exception("adapter.misconfigured", organisation=self.organisation, error=type(wrong).__name__)
            self._none_tried(granted, FailureKind.MISCONFIGURED, Reason.ADAPTER_FAULT)
            return
        try:
            await self._attempt_with(made, settings, granted, asked, probe)
        finally:
            self._held.back(made)

    async def _attempt_with(
        self, made: Made, settings: Organisation, granted: Sequence[_Granted], asked: float, probe: int | None
    ) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        if began - asked > START_SECONDS:
            self._ask_again([item for item, _ in granted])
            return
        granted, deliveries = self._opened(granted, most=None if made.many else 1)
        if not deliveries:
            return
        try:
            receipts = await self._hand_over(made, deliveries, settings.policy)
        except asyncio.CancelledError:
            self._cut_short(granted)
            raise
        except Exception as fault:  # a fault of ours: the record must still end in a receipt, or its lane waits a day
            log.exception("delivery.failed", delivery_id=str(deliveries[0].id), error=type(fault).__name__)
            self._fell(granted)
            return
        failpoints.reach("delivery.answered")
        ended = loop.time()
        self._seconds.observe(ended - began)
        late = ended - asked > 2 * START_SECONDS + settings.policy.deadline_seconds
        for (item, grant), receipt in zip(granted, receipts, strict=True):
            if receipt.kind is ReceiptKind.ANSWERED:
                self._finish(item.received, receipt)
            elif late:
                self._ask_again([item])
            else:
                told = {"granted_until": grant.valid_until, "probe": None if probe is None else True}
                self._finish(item.received, receipt.model_copy(update=told))
        await self._watch.observe(settings.policy, receipts, probe)

    def _opened(self, granted: Sequence[_Granted], *, most: int | None) -> tuple[list[_Granted], list[Delivery]]:
        """Return what could be opened, and that in clear; what could not is set aside.

        Of a closed batch that is not whole any more nothing is returned, and nothing was tried: the store says what is
        sent in its place. Nor of more than are handed over at once since the settings changed: one after the other they
        would outlast their grants.
        """
        kept: list[_Granted] = []
        deliveries: list[Delivery] = []
        for item, grant in granted:
            try:
                deliveries.append(opened(self.organisation, item.sealed, grant))
            except sealing.CannotOpen:
                self._quarantine(item.received, Reason.UNKNOWN_KEY, item.sealed.id)
            else:
                kept.append((item, grant))
        place = granted[0][0].sealed.place
        if (place is not None and len(kept) < place.rows) or (most is not None and len(kept) > most):
            log.warning(
                "batch.broken", organisation=self.organisation, wanted=place.rows if place else most, count=len(kept)
            )
            self._none_tried(kept, FailureKind.STOPPED, Reason.BATCH_BROKEN)
            return [], []
        return kept, deliveries

    async def _hand_over(self, made: Made, deliveries: Sequence[Delivery], policy: DeliveryPolicy) -> Sequence[Receipt]:
        if made.many is not None and (policy.batch or len(deliveries) > 1):
            return await attempt_many(made.many, deliveries, policy.deadline_seconds, self._clock)
        return [await attempt(made.adapter, deliveries[0], policy.deadline_seconds, self._clock)]

    def _ask_again(self, items: Sequence[_Taken]) -> None:
        """Let the gate decide anew: this process was held up until its grant ran out.

        By now the delivery may have been withdrawn, or be under way elsewhere, so it must not be sent; nor may our own
        word about an attempt count against somebody else's. What the organisation has answered always counts.
        """
        for item in items:
            log.warning("grant.expired", organisation=self.organisation, delivery_id=str(item.sealed.id))
        self._put_back([item.received for item in items])

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._free_since is None:  # else the wait for others to end has an end of its own
            self._woken.set()

    def _none_tried(self, granted: Sequence[_Granted], failure: FailureKind, reason: Reason) -> None:
        for item, grant in granted:
            self._finish(item.received, self._not_tried(item, grant, failure, reason))

    def _cut_short(self, granted: Sequence[_Granted]) -> None:
        """Finish what had begun and may have arrived: its grant is not given back."""
        for item, grant in granted:
            receipt = self._not_tried(item, grant, FailureKind.STOPPED, Reason.STOPPING)
            self._finish(item.received, receipt.model_copy(update={"granted_until": None}))

    def _fell(self, granted: Sequence[_Granted]) -> None:
        """Finish what may have arrived, by a fault of ours: counted, so that it ends some day."""
        for item, grant in granted:
            receipt = self._not_tried(item, grant, FailureKind.UNKNOWN, Reason.ADAPTER_FAULT)
            self._finish(item.received, receipt.model_copy(update={"attempt": grant.attempt}))

    def _not_tried(self, item: _Taken, grant: Grant, failure: FailureKind, reason: Reason) -> Receipt:
        sealed = item.sealed
        return withheld(sealed.id, sealed.epoch, reason, self._clock()).model_copy(
            update={"kind": ReceiptKind.DEFERRED, "failure": failure, "granted_until": grant.valid_until}
        )

    def _quarantine(self, received: Received, reason: Reason, delivery_id: UUID | None) -> None:
        partition, number = received.partition
        log.error("record.quarantined", topic=partition, partition=number, offset=received.offset, reason=str(reason))
        self._finish(
            received,
            Quarantined(
                topic=partition,
                partition=number,
                offset=received.offset,
                reason=reason,
                at=self._clock(),
                delivery_id=delivery_id,
            ),
        )

    async def drain(self, seconds: float) -> None:
        """Let attempts under way end, at most so long; what is cut short is reported as no attempt."""
        self._waiting.clear()
        self._batches.clear()
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for task in set(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=5.0)
        await self._held.close()

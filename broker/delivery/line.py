"""One organisation's line through the pool: its records wait here, and only here, when it is slow.

Takes as many as it may have under way, asks the gate for all of them at once, and starts one attempt each.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from broker import failpoints, sealing
from broker.delivery.attempt import attempt, withheld
from broker.delivery.ports import Config, Gate
from broker.eventlog import Partition, Received
from broker.telemetry.metrics import Metrics
from contracts.adapters import Adapter
from contracts.grants import GateUnavailable, Grant, NotKnown, Withheld
from contracts.organisation import Organisation
from contracts.receipts import FailureKind, Quarantined, Receipt, ReceiptKind
from contracts.records import SealedDelivery, Undecodable, read_delivery
from contracts.statuses import Reason

GATE_RETRY_SECONDS: Final = 0.5
START_SECONDS: Final = 1.0
"""An attempt begins within so long of asking the gate, or not at all: less than a grant outlives its deadline."""
AHEAD: Final = 4
"""Records held for an organisation, as a multiple of what it may have under way, before fetching for it pauses."""
ASK_SECONDS: Final = 0.005
"""How long a free slot waits for others before the gate is asked: one question for a quarter of them costs as much as
for one."""
REST_SECONDS: Final = 1.0
"""A pause may end without a record coming."""

log = structlog.get_logger()

AdapterSource = Callable[[Organisation], Awaitable[Adapter]]
"""Makes the adapter for an organisation's settings. Raises ValueError for wrong ones, GateUnavailable for no answer."""

Finish = Callable[[Received, "Receipt | Quarantined"], None]
"""Called once for every record: its receipt is to be made durable, then its offset is done."""


@dataclass(frozen=True, slots=True)
class _Taken:
    received: Received
    sealed: SealedDelivery


def worth_asking(waiting: int, free: int, slots: int, idle_seconds: float) -> int:
    """Return for how many the gate is to be asked now: for all that wait, for a quarter of the slots, or after a while.

    `free` of the `slots` are free, and have been, with something waiting, for `idle_seconds`.
    """
    count = max(0, min(waiting, free))
    return count if count == waiting or 4 * count >= slots or idle_seconds >= ASK_SECONDS else 0


class Line:
    """The records of one organisation that this worker holds."""

    def __init__(
        self,
        organisation: str,
        adapters: AdapterSource,
        gate: Gate,
        config: Config,
        finish: Finish,
        hungry: Callable[[], None],
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        """`hungry` is called when fetching for this organisation, paused because it was `full`, is to go on."""
        self.organisation = organisation
        self._adapters = adapters
        self._gate = gate
        self._config = config
        self._finish = finish
        self._hungry = hungry
        self._seconds = metrics.delivery_seconds.labels(organisation)
        self._clock = clock
        self._waiting: deque[Received] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._free_since: float | None = None
        self._woken = asyncio.Event()
        self._adapter: Adapter | None = None
        self._making = asyncio.Lock()
        self._version = -1
        self._former: list[Adapter] = []
        self._closing: set[asyncio.Task[None]] = set()

    def put(self, records: Iterable[Received]) -> None:
        self._waiting.extend(records)
        self._woken.set()

    def wake(self) -> None:
        """Settings may have changed."""
        self._woken.set()

    def lost(self, partition: Partition) -> None:
        """The partition is somebody else's: what has not been started is theirs too."""
        self._waiting = deque(item for item in self._waiting if item.partition != partition)

    def full(self) -> bool:
        """Return whether fetching for this organisation should pause."""
        settings = self._open()
        return settings is None or len(self._waiting) >= AHEAD * settings.policy.concurrency

    def _open(self) -> Organisation | None:
        settings = self._config.organisations().get(self.organisation)
        return settings if settings and not settings.paused and self._config.fresh() else None

    async def run(self) -> None:
        """Work until cancelled; then attempts under way are left to `drain`."""
        while True:
            self._woken.clear()
            settings = self._open()
            count = 0 if settings is None else self._askable(settings)
            if settings is None or count == 0:
                await self._rest()
                continue
            self._free_since = None
            was_full = self.full()
            taken = self._take(count)
            if was_full and not self.full():
                self._hungry()
            if taken:
                await self._send(settings, taken)

    def _askable(self, settings: Organisation) -> int:
        """Return for how many records the gate is to be asked now, and note since when it might have been."""
        slots = settings.policy.concurrency
        free = slots - len(self._running)
        if free <= 0 or not self._waiting:
            self._free_since = None
            return 0
        now = asyncio.get_running_loop().time()
        if self._free_since is None:
            self._free_since = now
        return worth_asking(len(self._waiting), free, slots, now - self._free_since)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(REST_SECONDS if self._free_since is None else ASK_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _take(self, count: int) -> list[_Taken]:
        taken: list[_Taken] = []
        for _ in range(count):
            received = self._waiting.popleft()
            try:
                taken.append(_Taken(received, read_delivery(received.key, received.value, received.headers)))
            except Undecodable:
                self._quarantine(received, Reason.UNDECODABLE)
        return taken

    async def _send(self, settings: Organisation, taken: list[_Taken]) -> None:
        deadline = settings.policy.deadline_seconds
        asked = asyncio.get_running_loop().time()  # nobody's clock: the gate counts its grants by the store's
        try:
            verdicts = await self._gate.grant(
                [(item.sealed.id, item.sealed.epoch) for item in taken], timedelta(seconds=deadline)
            )
        except GateUnavailable:
            self._waiting.extendleft(item.received for item in reversed(taken))
            log.warning("gate.waiting", organisation=self.organisation)
            await asyncio.sleep(GATE_RETRY_SECONDS)
            return
        failpoints.reach("delivery.granted")
        for item, verdict in zip(taken, verdicts, strict=True):
            match verdict:
                case Grant():
                    task = asyncio.create_task(self._attempt(settings, item, verdict, asked))
                    self._running.add(task)
                    task.add_done_callback(self._ended)
                case Withheld(reason, not_before):
                    self._finish(item.received, withheld(item.sealed, reason, not_before, self._clock()))
                case NotKnown():
                    self._quarantine(item.received, Reason.UNKNOWN_DELIVERY)

    async def _attempt(self, settings: Organisation, item: _Taken, grant: Grant, asked: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            adapter = self._adapter
            if adapter is None or self._version != self._config.version():
                adapter = await self._adapter_for(settings)
        except GateUnavailable:
            self._finish(item.received, self._not_tried(item, grant, FailureKind.STOPPED, Reason.STOPPING))
            return
        except Exception as wrong:  # wrong settings, or a secret that cannot be opened
            log.exception("adapter.misconfigured", organisation=self.organisation, error=type(wrong).__name__)
            self._finish(item.received, self._not_tried(item, grant, FailureKind.MISCONFIGURED, Reason.ADAPTER_FAULT))
            return
        began = loop.time()
        if began - asked > START_SECONDS:
            self._ask_again(item)
            return
        try:
            receipt = await attempt(
                adapter, self.organisation, item.sealed, grant, settings.policy.deadline_seconds, self._clock
            )
        except sealing.CannotOpen:
            self._quarantine(item.received, Reason.UNKNOWN_KEY)
        except asyncio.CancelledError:
            self._finish(item.received, self._not_tried(item, grant, FailureKind.STOPPED, Reason.STOPPING))
            raise
        except Exception as fault:  # a fault of ours: the record must still end in a receipt, or its lane waits a day
            log.exception("delivery.failed", delivery_id=str(item.sealed.id), error=type(fault).__name__)
            self._finish(item.received, self._not_tried(item, grant, FailureKind.UNKNOWN, Reason.ADAPTER_FAULT))
        else:
            failpoints.reach("delivery.answered")
            ended = loop.time()
            self._seconds.observe(ended - began)
            late = ended - asked > 2 * START_SECONDS + settings.policy.deadline_seconds
            if late and receipt.kind is not ReceiptKind.ANSWERED:
                self._ask_again(item)
            else:
                self._finish(item.received, receipt)

    def _ask_again(self, item: _Taken) -> None:
        """Let the gate decide anew: this process was held up until its grant ran out.

        By now the delivery may have been withdrawn, or be under way elsewhere, so it must not be sent; nor may our own
        word about an attempt count against somebody else's. What the organisation has answered always counts.
        """
        log.warning("grant.expired", organisation=self.organisation, delivery_id=str(item.sealed.id))
        self._waiting.appendleft(item.received)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._free_since is None:  # else the wait for others to end has an end of its own
            self._woken.set()
        if not self._running and self._former:
            former, self._former = self._former, []
            for adapter in former:  # nobody uses them any more
                closing = asyncio.create_task(adapter.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    def _not_tried(self, item: _Taken, grant: Grant, failure: FailureKind, reason: Reason) -> Receipt:
        sealed = item.sealed
        return withheld(sealed, reason, None, self._clock()).model_copy(
            update={"kind": ReceiptKind.DEFERRED, "failure": failure, "granted_until": grant.valid_until}
        )

    def _quarantine(self, received: Received, reason: Reason) -> None:
        partition, number = received.partition
        log.error("record.quarantined", topic=partition, partition=number, offset=received.offset, reason=str(reason))
        self._finish(
            received,
            Quarantined(topic=partition, partition=number, offset=received.offset, reason=reason, at=self._clock()),
        )

    async def _adapter_for(self, settings: Organisation) -> Adapter:
        """Return the adapter for the settings as they are; other settings or secrets make a new one."""
        async with self._making:
            version = self._config.version()
            if self._adapter is None or self._version != version:
                made = await self._adapters(settings)
                if self._adapter is not None:
                    self._former.append(self._adapter)  # attempts under way still use it
                self._adapter, self._version = made, version
            return self._adapter

    async def drain(self, seconds: float) -> None:
        """Let attempts under way end, at most so long; what is cut short is reported as no attempt."""
        self._waiting.clear()
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for task in set(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=5.0)
        for adapter in (*self._former, *([self._adapter] if self._adapter else [])):
            await adapter.close()
        if self._closing:
            await asyncio.wait(self._closing)

"""The worker pool: one member of the delivery group, over the topics of all its organisations."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from broker import failpoints
from broker.delivery.adapting import AdapterSource
from broker.delivery.line import Line
from broker.delivery.offsets import Offsets
from broker.delivery.ports import Breakers, Config, Gate, OwnBreakers
from broker.eventlog import Consumer, EventLog, LogUnavailable, Partition, Received, Record
from broker.telemetry.metrics import Metrics
from contracts.organisation import Organisation
from contracts.receipts import Quarantined, Receipt
from contracts.records import write_receipt
from contracts.topics import RECEIPTS, deliveries_topic, organisation_of

GROUP: Final = "unwaith.delivery"
COMMIT_SECONDS: Final = 0.2
"""Offsets are committed so often. What was done since comes again after a crash, and the gate withholds it."""

NEWCOMER_SECONDS: Final = 0.2
"""So often it is looked whether somebody has joined who has no topic yet."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How much at once, and how long a shutdown may take."""

    fetch: int = 1000
    fetch_wait: timedelta = timedelta(milliseconds=200)
    drain_seconds: float = 10.0
    quarantine_bound: int = 100
    """So many unreadable records in a row stop the worker: something is wrong with us, not with them."""


class TooManyUnreadable(Exception):  # noqa: N818  says what holds
    """More records in a row were unreadable than can be the records' fault.

    The worker stops instead of setting everything aside.
    """


class Pool:
    """Fetches, hands to lines, makes receipts durable, commits."""

    def __init__(
        self,
        eventlog: EventLog,
        gate: Gate,
        config: Config,
        adapters: AdapterSource,
        settings: PoolSettings,
        metrics: Metrics,
        clock: Callable[[], datetime],
        breakers: Breakers | None = None,
    ) -> None:
        """`breakers` are this process's own where none are given that others share."""
        self._log = eventlog
        self._gate = gate
        self._config = config
        self._adapters = adapters
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._breakers = breakers or OwnBreakers(clock)
        self._concluded: list[tuple[Received, Receipt | Quarantined]] = []
        """What has ended and is not durable yet."""
        self._to_write, self._written = asyncio.Event(), asyncio.Event()
        """Whether there is any such, or none."""
        self._offsets = Offsets()
        self._consumer: Consumer | None = None
        self._lines: dict[str, Line] = {}
        self._work: dict[str, asyncio.Task[None]] = {}
        self._parting: set[asyncio.Task[None]] = set()
        self._with_topic: frozenset[str] = frozenset()
        self._owned: frozenset[Partition] | None = None
        """What the lines were last told they own; None where one has not been told yet."""
        self._known: Mapping[str, Organisation] = {}
        """The settings that the lines were last woken for."""
        self._unreadable = 0
        self._committed_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`. Raises TooManyUnreadable; the log or the gate being away is waited out.

        Who joins meanwhile is served from then on, who leaves is not any more; everybody else's line goes on.
        """
        pause = 0.0
        self._writer = asyncio.create_task(self._write())
        try:
            while not stop.is_set():
                try:
                    try:
                        await self._ensure(self._config.organisations())
                    except LogUnavailable:
                        if not self._served():
                            raise
                    if served := self._served():
                        async with self._log.consumer(_topics(served), GROUP) as consumer:
                            pause = 0.0
                            await self._serve(consumer, served, stop)
                    else:
                        await _until(stop, 0.5)
                except LogUnavailable as away:
                    pause = min(5.0, pause * 2 or 0.2)
                    log.warning("delivery.waiting", error=type(away).__name__, seconds=pause)
                    await _until(stop, pause)
        finally:
            await self._end_lines()
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    async def _serve(self, consumer: Consumer, served: frozenset[str], stop: asyncio.Event) -> None:
        """Serve these organisations, and whoever joins, until `stop`; then end what is under way.

        Raises LogUnavailable: what was read comes again, to whoever it may be, and what is under way goes on.
        """
        self._consumer = consumer
        newcomers = asyncio.create_task(self._see_to_newcomers())
        try:
            while not stop.is_set():
                if (now := self._served()) and now != served:
                    await self._commit(consumer)  # what is done of others need not come again
                    await consumer.follow(_topics(now))
                    served = now
                self._staff(served)
                await self._turn(consumer)
                for task in (*self._work.values(), newcomers, self._writer):
                    if task.done():
                        task.result()  # a fault of ours ends the worker; it is not to be worked around here
            await self._end_lines()
            try:
                async with asyncio.timeout(self._settings.drain_seconds):
                    await self._written.wait()
                await self._commit(consumer)
            except TimeoutError:
                log.warning("delivery.drained_late")  # uncommitted records come again, with the same ids
        finally:
            self._consumer = None
            for partition in self._offsets.partitions():
                self._let_go(partition)
            newcomers.cancel()
            await asyncio.gather(newcomers, return_exceptions=True)

    def _served(self) -> frozenset[str]:
        """Return the organisations there are, as far as they have a topic."""
        return self._with_topic.intersection(self._config.organisations())

    async def _ensure(self, organisations: Mapping[str, Organisation]) -> None:
        """See that these have topics. Raises LogUnavailable where one has none then: all others that can have theirs."""
        if not organisations:
            return
        topics = {deliveries_topic(key): item.partitions for key, item in organisations.items()}
        try:
            await self._log.ensure({**topics, RECEIPTS.name: RECEIPTS.partitions})
        except LogUnavailable:
            if len(organisations) > 1 and await self._log.ready():
                keys = sorted(organisations)
                for some in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
                    with suppress(LogUnavailable):
                        await self._ensure({key: organisations[key] for key in some})
            raise
        self._with_topic = self._with_topic.union(organisations)

    async def _see_to_newcomers(self) -> None:
        """See that whoever joins has a topic, beside what goes on: others do not wait for that, however long it takes."""
        pause = NEWCOMER_SECONDS
        while True:
            await asyncio.sleep(pause)
            known = self._config.organisations()
            try:
                await self._ensure({key: item for key, item in known.items() if key not in self._with_topic})
                pause = NEWCOMER_SECONDS
            except LogUnavailable as away:
                pause = min(5.0, pause * 2)
                log.warning("delivery.waiting", error=type(away).__name__, seconds=pause)

    def _staff(self, organisations: frozenset[str]) -> None:
        """Have a line for each of these and for nobody else; what others have under way ends beside what goes on."""
        for key in sorted(organisations - self._lines.keys()):
            self._lines[key] = line = Line(
                key,
                adapters=self._adapters,
                gate=self._gate,
                config=self._config,
                breakers=self._breakers,
                finish=self._finish,
                pause=partial(self._pause, deliveries_topic(key)),
                resume=partial(self._resume, deliveries_topic(key)),
                metrics=self._metrics,
                clock=self._clock,
            )
            self._work[key] = asyncio.create_task(line.run())
            self._owned = None
        for key in self._lines.keys() - organisations:
            parting = asyncio.create_task(self._part(self._work.pop(key), self._lines.pop(key)))
            self._parting.add(parting)
            parting.add_done_callback(self._parting.discard)

    async def _part(self, work: asyncio.Task[None], line: Line) -> None:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await line.drain(self._settings.drain_seconds)

    async def _end_lines(self) -> None:
        self._staff(frozenset())
        await asyncio.gather(*self._parting, return_exceptions=True)

    def _pause(self, topic: str) -> None:
        if self._consumer is not None:
            self._consumer.pause(topic)

    def _resume(self, topic: str) -> None:
        if self._consumer is not None:
            self._consumer.resume(topic)

    async def _turn(self, consumer: Consumer) -> None:
        """Hand on what is new, to each line only what concerns it: there may be hundreds that lie idle."""
        self._share(consumer.owned())
        if (organisations := self._config.organisations()) is not self._known:
            self._known = organisations
            for line in self._lines.values():
                line.wake()
        records = await consumer.fetch(self._settings.fetch, self._settings.fetch_wait)
        if records:
            failpoints.reach("delivery.fetched")
        fresh: dict[str, list[Received]] = {}
        for record in records:
            if self._offsets.began_anew(record):  # lost and won again within one fetch
                self._let_go(record.partition)
            self._offsets.took(record)
            fresh.setdefault(organisation_of(record.partition.topic), []).append(record)
        for key, items in fresh.items():
            if key in self._lines:  # or it has just left
                self._lines[key].put(items)
        if asyncio.get_running_loop().time() - self._committed_at >= COMMIT_SECONDS:
            await self._commit(consumer)

    def _share(self, owned: frozenset[Partition]) -> None:
        """Let go of what is no longer ours, and tell each line what it has."""
        for partition in self._offsets.partitions() - owned:
            self._let_go(partition)
        if owned == self._owned:
            return
        self._owned = owned
        held: defaultdict[str, set[int]] = defaultdict(set)
        for partition in owned:
            held[partition.topic].add(partition.number)
        for key, line in self._lines.items():
            line.own(frozenset(held[deliveries_topic(key)]))

    def _let_go(self, partition: Partition) -> None:
        """What was read of this partition is somebody else's now, or is read again."""
        self._offsets.forget(partition)
        if line := self._lines.get(organisation_of(partition.topic)):
            line.lost(partition)

    async def _commit(self, consumer: Consumer) -> None:
        self._committed_at = asyncio.get_running_loop().time()
        upto = self._offsets.ready()
        if upto:
            await consumer.commit(upto)
            failpoints.reach("delivery.committed")
            self._offsets.committed(upto)

    def _finish(self, received: Received, receipt: Receipt | Quarantined) -> None:
        self._concluded.append((received, receipt))
        self._to_write.set()
        self._written.clear()

    async def _write(self) -> None:
        """Make receipts durable in batches, then count their records as done."""
        while True:
            if not self._concluded:
                self._to_write.clear()
                self._written.set()
            await self._to_write.wait()
            batch = self._concluded[: self._settings.fetch]
            failpoints.reach("delivery.concluded")
            await self._append([Record(RECEIPTS.name, *write_receipt(receipt)) for _, receipt in batch])
            failpoints.reach("delivery.receipted")
            for received, _ in batch:
                self._offsets.done(received)
            self._count(batch)
            del self._concluded[: len(batch)]
            if self._unreadable > self._settings.quarantine_bound:
                raise TooManyUnreadable

    async def _append(self, records: list[Record]) -> None:
        """An outcome must not be lost while this process lives: wait for the log however long it takes."""
        pause = 0.2
        while True:
            try:
                return await self._log.append(records)
            except LogUnavailable:
                log.warning("receipts.waiting", count=len(records), seconds=pause)
                await asyncio.sleep(pause)
                pause = min(5.0, pause * 2)

    def _count(self, batch: Sequence[tuple[Received, Receipt | Quarantined]]) -> None:
        ended: Counter[tuple[str, str, str]] = Counter()
        for received, receipt in batch:
            if isinstance(receipt, Quarantined):
                self._unreadable += 1
                self._metrics.quarantined.labels(str(receipt.reason)).inc()
            else:
                self._unreadable = 0
                outcome = receipt.outcome or receipt.failure or receipt.kind
                ended[received.partition.topic, outcome, receipt.reason or ""] += 1
        for (topic, *how), count in ended.items():
            self._metrics.deliveries.labels(organisation_of(topic), *how).inc(count)


def _topics(organisations: Collection[str]) -> list[str]:
    return sorted(map(deliveries_topic, organisations))


async def _until(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass

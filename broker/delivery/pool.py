"""The worker pool: one member of the delivery group, over the topics of all its organisations."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
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
from contracts.receipts import Quarantined, Receipt
from contracts.records import write_receipt
from contracts.topics import RECEIPTS, deliveries_topic, organisation_of

GROUP: Final = "unwaith.delivery"
COMMIT_SECONDS: Final = 0.2
"""Offsets are committed so often. What was done since comes again after a crash, and the gate withholds it."""

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
        self._receipts: asyncio.Queue[tuple[Received, Receipt | Quarantined]] = asyncio.Queue()
        self._offsets = Offsets()
        self._lines: dict[str, Line] = {}
        self._unreadable = 0
        self._committed_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`. Raises TooManyUnreadable; the log or the gate being away is waited out."""
        pause = 0.0
        self._writer = asyncio.create_task(self._write())
        try:
            while not stop.is_set():
                organisations = {key: item.partitions for key, item in self._config.organisations().items()}
                try:
                    if organisations:
                        topics = {deliveries_topic(key): count for key, count in organisations.items()}
                        await self._log.ensure({**topics, RECEIPTS.name: RECEIPTS.partitions})
                        async with self._log.consumer(topics, GROUP) as consumer:
                            await self._serve(consumer, frozenset(organisations), stop)
                            pause = 0.0
                    else:
                        await _until(stop, 0.5)
                except LogUnavailable as away:
                    pause = min(5.0, pause * 2 or 0.2)
                    log.warning("delivery.waiting", error=type(away).__name__, seconds=pause)
                    await _until(stop, pause)
        finally:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    async def _serve(self, consumer: Consumer, organisations: frozenset[str], stop: asyncio.Event) -> None:
        """Serve these organisations until `stop`, or until others have joined or left."""
        self._offsets = Offsets()
        self._lines = {
            key: Line(
                key,
                adapters=self._adapters,
                gate=self._gate,
                config=self._config,
                breakers=self._breakers,
                finish=self._finish,
                hungry=partial(consumer.resume, deliveries_topic(key)),
                metrics=self._metrics,
                clock=self._clock,
            )
            for key in sorted(organisations)
        }
        work = [asyncio.create_task(line.run()) for line in self._lines.values()]
        try:
            while not stop.is_set() and frozenset(self._config.organisations()) == organisations:
                await self._turn(consumer)
                for task in (*work, self._writer):
                    if task.done():
                        task.result()  # a fault of ours ends the worker; it is not to be worked around here
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await asyncio.gather(*(line.drain(self._settings.drain_seconds) for line in self._lines.values()))
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._receipts.join()
            await self._commit(consumer)
        except TimeoutError:
            log.warning("delivery.drained_late")  # uncommitted records come again, with the same ids

    async def _turn(self, consumer: Consumer) -> None:
        owned = consumer.owned()
        for partition in self._offsets.partitions() - owned:
            self._let_go(partition)
        held: defaultdict[str, set[int]] = defaultdict(set)
        for partition in owned:
            held[partition.topic].add(partition.number)
        for key, line in self._lines.items():
            topic = deliveries_topic(key)
            line.owned = frozenset(held[topic])
            (consumer.pause if line.full() else consumer.resume)(topic)
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
            self._lines[key].put(items)
        if asyncio.get_running_loop().time() - self._committed_at >= COMMIT_SECONDS:
            await self._commit(consumer)

    def _let_go(self, partition: Partition) -> None:
        """What was read of this partition is somebody else's now, or is read again."""
        self._offsets.forget(partition)
        self._lines[organisation_of(partition.topic)].lost(partition)

    async def _commit(self, consumer: Consumer) -> None:
        self._committed_at = asyncio.get_running_loop().time()
        upto = self._offsets.ready()
        if upto:
            await consumer.commit(upto)
            failpoints.reach("delivery.committed")
            self._offsets.committed(upto)

    def _finish(self, received: Received, receipt: Receipt | Quarantined) -> None:
        self._receipts.put_nowait((received, receipt))

    async def _write(self) -> None:
        """Make receipts durable in batches, then count their records as done."""
        while True:
            batch = [await self._receipts.get()]
            while not self._receipts.empty() and len(batch) < self._settings.fetch:
                batch.append(self._receipts.get_nowait())
            failpoints.reach("delivery.concluded")
            await self._append([Record(RECEIPTS.name, *write_receipt(receipt)) for _, receipt in batch])
            failpoints.reach("delivery.receipted")
            for received, receipt in batch:
                self._offsets.done(received)
                self._count(organisation_of(received.partition.topic), receipt)
                self._receipts.task_done()
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

    def _count(self, organisation: str, receipt: Receipt | Quarantined) -> None:
        if isinstance(receipt, Quarantined):
            self._unreadable += 1
            self._metrics.quarantined.labels(str(receipt.reason)).inc()
            return
        self._unreadable = 0
        outcome = receipt.outcome or receipt.failure or receipt.kind
        self._metrics.deliveries.labels(organisation, str(outcome), str(receipt.reason or "")).inc()


async def _until(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass

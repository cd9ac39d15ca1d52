"""The tracker: reads receipts from the log, folds them in batches, and commits once that is durable."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from broker import audit, failpoints
from broker.eventlog import Consumer, EventLog, LogUnavailable, Offset, Partition, Received
from broker.store import Database, StoreUnavailable
from broker.store.receipts import Entry, Folding, SetAside, Touched, folding
from broker.telemetry.metrics import Metrics
from broker.tracking.entries import entry_of, settled, standing_of
from broker.tracking.fold import Effect, Folded, fold, given_up_for
from broker.tracking.superseding import bring_back
from contracts.organisation import DeliveryPolicy, Organisation
from contracts.receipts import Quarantined, Receipt, ReceiptKind
from contracts.records import Undecodable, read_receipt
from contracts.statuses import RANK, Reason, Status
from contracts.topics import RECEIPTS

GROUP: Final = "unwaith.tracking"
TAKEN_IN: Final = RANK[Status.RECEIVED]
"""From this rank on the organisation has said something of it."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerSettings:
    """How many receipts are folded in one transaction, and how long to wait for the first."""

    batch: int = 1000
    fetch_wait: timedelta = timedelta(milliseconds=500)


class Tracker:
    """One member of the tracking group. Any number may run."""

    def __init__(
        self,
        database: Database,
        eventlog: EventLog,
        organisations: Callable[[], Mapping[str, Organisation]],
        settings: TrackerSettings,
        metrics: Metrics,
        clock: Callable[[], datetime],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._log = eventlog
        self._organisations = organisations
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._jitter = jitter

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`. PostgreSQL or the log being away is waited out."""
        pause = 0.0
        while not stop.is_set():
            try:
                await self._log.ensure({RECEIPTS.name: RECEIPTS.partitions})
                async with self._log.consumer([RECEIPTS.name], GROUP) as consumer:
                    while not stop.is_set():
                        await self._turn(consumer)
                        pause = 0.0
            except (StoreUnavailable, LogUnavailable) as away:
                pause = min(5.0, pause * 2 or 0.2)
                log.warning("tracking.waiting", error=type(away).__name__, seconds=pause)
                try:
                    async with asyncio.timeout(pause):
                        await stop.wait()
                except TimeoutError:
                    pass

    async def _turn(self, consumer: Consumer) -> None:
        records = await consumer.fetch(self._settings.batch, self._settings.fetch_wait)
        if not records:
            return
        await self.fold_all(records)
        failpoints.reach("tracking.folded")
        upto: dict[Partition, Offset] = {}
        for record in records:
            upto[record.partition] = max(record.offset + 1, upto.get(record.partition, 0))
        await consumer.commit(upto)
        failpoints.reach("tracking.committed")

    async def fold_all(self, records: Sequence[Received]) -> None:
        """Fold one batch in one transaction. The same batch again changes nothing. Raises StoreUnavailable."""
        batch = _read(records, self._clock())
        async with folding(self._database, list(batch.ids), list(batch.deliveries)) as transaction:
            unknown = [
                _set_aside(batch.places[key], Reason.UNKNOWN_DELIVERY, self._clock(), receipt.delivery_id)
                for key, receipt in batch.receipts.items()
                if receipt.delivery_id not in transaction.touched
            ]
            receipts = [r for r in batch.receipts.values() if r.delivery_id in transaction.touched]
            ends = [_end(read, transaction.touched) for read in batch.quarantined]
            fresh = [receipt for receipt in (*receipts, *filter(None, ends)) if receipt.id not in transaction.known]
            answered = await self._fold(transaction, fresh)
            if set_aside := [*batch.unreadable, *unknown, *map(_told, batch.quarantined)]:
                await transaction.quarantine(set_aside)
            failpoints.reach("tracking.written")
        for organisation, waited in answered:
            self._metrics.answer_seconds.labels(organisation).observe(waited.total_seconds())
        for record in (*batch.unreadable, *unknown):
            self._metrics.quarantined.labels(record.reason).inc()  # the others were counted by whoever found them
        for record in set_aside:
            log.error(
                "record.quarantined",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                reason=record.reason,
                delivery_id=record.delivery_id and str(record.delivery_id),
            )

    async def _fold(self, transaction: Folding, receipts: Sequence[Receipt]) -> list[tuple[str, timedelta]]:
        """Fold receipts of known deliveries; return how long each first answer took, with whose it was."""
        standings = {key: standing_of(touched) for key, touched in transaction.touched.items()}
        entries: list[Entry] = []
        pauses: dict[str, Reason] = {}
        answered: list[tuple[str, timedelta]] = []
        organisations = self._organisations()
        for receipt in receipts:
            touched = transaction.touched[receipt.delivery_id]
            organisation = organisations.get(touched.organisation)
            policy = organisation.policy if organisation else DeliveryPolicy()
            before = standings[touched.id]
            folded = fold(before, receipt, policy, transaction.now, self._jitter())
            standings[touched.id] = folded.standing
            if _ended(transaction.touched, receipt):  # else what comes after it would count that attempt again
                standings[touched.id] = replace(folded.standing, granted=False)
            if receipt.kind is ReceiptKind.ANSWERED and RANK[before.status] < TAKEN_IN <= RANK[folded.standing.status]:
                answered.append((touched.organisation, max(timedelta(), transaction.now - touched.first_due)))
            entries.append(entry_of(receipt, folded, touched))
            self._metrics.receipts_folded.labels(str(receipt.kind)).inc()
            if folded.pause is not None:
                pauses[touched.organisation] = folded.pause
            self._alarm(touched, receipt, folded)
        moved = {entry.delivery_id for entry in entries if entry.effect in (Effect.RAISED, Effect.SCHEDULED)}
        ended = {receipt.delivery_id for receipt in receipts if _ended(transaction.touched, receipt)}
        written = [
            settled(transaction.touched[key], standings[key], attempt_ended=key in ended)
            for key in standings
            if key in moved
        ]
        await transaction.write(written, entries)
        await bring_back(transaction, written)
        for key, reason in pauses.items():
            leaf = audit.leaf(
                "organisation.paused", transaction.now, "tracking", organisation=key, detail={"reason": reason.value}
            )
            if await transaction.pause(key, reason.value, leaf):
                log.error("organisation.paused", organisation=key, reason=str(reason))
        return answered

    def _alarm(self, touched: Touched, receipt: Receipt, folded: Folded) -> None:
        """Say aloud what must never be silent."""
        if folded.effect is Effect.CONFLICT:
            log.error(
                "receipt.conflicted",
                organisation=touched.organisation,
                delivery_id=str(touched.id),
                status=str(folded.standing.status),
                outcome=str(receipt.outcome),
            )
        elif folded.effect is Effect.RAISED and folded.standing.status is Status.UNDELIVERED:
            log.error(
                "delivery.undelivered",
                organisation=touched.organisation,
                delivery_id=str(touched.id),
                reason=str(folded.standing.reason),
            )


def _ended(touched: Mapping[UUID, Touched], receipt: Receipt) -> bool:
    """Return whether a receipt ends the attempt that its lane is granted for now: one that comes late ended another."""
    found = touched.get(receipt.delivery_id)
    ours = receipt.kind in (ReceiptKind.DEFERRED, ReceiptKind.PLACED) and receipt.granted_until is not None
    return ours and found is not None and receipt.granted_until == found.granted_until


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some records as they were read: each receipt once, with the record it came in."""

    receipts: dict[UUID, Receipt]
    places: dict[UUID, Received]
    quarantined: list[Quarantined]
    """What workers set aside."""
    unreadable: list[SetAside]
    """What is set aside here."""

    @property
    def ids(self) -> set[UUID]:
        """Of every receipt these records may become."""
        ends = (given_up_for(read, 0) for read in self.quarantined)
        return {*self.receipts, *(end.id for end in ends if end)}

    @property
    def deliveries(self) -> set[UUID]:
        named = {read.delivery_id for read in self.quarantined if read.delivery_id is not None}
        return named | {receipt.delivery_id for receipt in self.receipts.values()}


def _read(records: Sequence[Received], now: datetime) -> _Batch:
    batch = _Batch({}, {}, [], [])
    for record in records:
        try:
            read = read_receipt(record.value, record.headers)
        except Undecodable:
            batch.unreadable.append(_set_aside(record, Reason.UNDECODABLE, now, None))
        else:
            if isinstance(read, Quarantined):
                batch.quarantined.append(read)
            else:
                batch.receipts[read.id] = read
                batch.places[read.id] = record
    return batch


def _set_aside(record: Received, reason: Reason, now: datetime, delivery_id: UUID | None) -> SetAside:
    topic, partition = record.partition
    return SetAside(
        topic=topic, partition=partition, offset=record.offset, reason=reason.value, at=now, delivery_id=delivery_id
    )


def _told(read: Quarantined) -> SetAside:
    return SetAside(
        topic=read.topic,
        partition=read.partition,
        offset=read.offset,
        reason=read.reason.value,
        at=read.at,
        delivery_id=read.delivery_id,
    )


def _end(read: Quarantined, touched: Mapping[UUID, Touched]) -> Receipt | None:
    """Return what ends a delivery whose record nobody can read, so that it is not silent until it is published again.

    Only while that record is the one under way: a damaged copy of an earlier one ends nothing.
    """
    found = touched.get(read.delivery_id) if read.delivery_id else None
    return given_up_for(read, found.epoch) if found and found.occupies and found.in_flight else None

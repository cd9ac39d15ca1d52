"""The tracker: reads receipts from the log, folds them in batches, and commits once that is durable."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from broker import audit, failpoints
from broker.eventlog import Consumer, EventLog, LogUnavailable, Offset, Partition, Received
from broker.store import Database, StoreUnavailable
from broker.store.receipts import Entry, Folding, Settled, Touched, folding
from broker.telemetry.metrics import Metrics
from broker.tracking.fold import Effect, Folded, Standing, fold
from contracts.organisation import DeliveryPolicy, Organisation
from contracts.receipts import Quarantined, Receipt, ReceiptKind
from contracts.records import Undecodable, read_receipt
from contracts.statuses import Reason, Status
from contracts.topics import RECEIPTS

GROUP: Final = "unwaith.tracking"

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
        receipts: list[Receipt] = []
        set_aside: list[tuple[str, int, int, str, datetime]] = []
        now = self._clock()
        for record in records:
            try:
                read = read_receipt(record.value, record.headers)
            except Undecodable:
                place = record.partition
                set_aside.append((place.topic, place.number, record.offset, Reason.UNDECODABLE.value, now))
            else:
                if isinstance(read, Quarantined):
                    set_aside.append((read.topic, read.partition, read.offset, read.reason.value, read.at))
                else:
                    receipts.append(read)
        unique = {receipt.id: receipt for receipt in receipts}
        async with folding(
            self._database, list(unique), list({receipt.delivery_id for receipt in receipts})
        ) as transaction:
            fresh = [receipt for key, receipt in unique.items() if key not in transaction.known]
            await self._fold(transaction, fresh)
            if set_aside:
                await transaction.quarantine(set_aside)
            failpoints.reach("tracking.written")
        for _, _, _, reason, _ in set_aside:
            log.error("record.quarantined", reason=reason)

    async def _fold(self, transaction: Folding, receipts: Sequence[Receipt]) -> None:
        standings = {key: _standing(touched) for key, touched in transaction.touched.items()}
        entries: list[Entry] = []
        pauses: dict[str, Reason] = {}
        organisations = self._organisations()
        for receipt in receipts:
            touched = transaction.touched.get(receipt.delivery_id)
            if touched is None:
                log.error("receipt.unknown_delivery", delivery_id=str(receipt.delivery_id))
                continue
            organisation = organisations.get(touched.organisation)
            policy = organisation.policy if organisation else DeliveryPolicy()
            folded = fold(standings[touched.id], receipt, policy, transaction.now, self._jitter())
            standings[touched.id] = folded.standing
            entries.append(_entry(receipt, folded, touched))
            self._metrics.receipts_folded.labels(str(receipt.kind)).inc()
            if folded.pause is not None:
                pauses[touched.organisation] = folded.pause
            self._alarm(touched, receipt, folded)
        moved = {entry.delivery_id for entry in entries if entry.effect in (Effect.RAISED, Effect.SCHEDULED)}
        ended = {entry.delivery_id for entry in entries if entry.kind == ReceiptKind.DEFERRED}
        await transaction.write(
            [
                _settled(transaction.touched[key], standings[key], attempt_ended=key in ended)
                for key in standings
                if key in moved
            ],
            entries,
        )
        for key, reason in pauses.items():
            if await transaction.pause(key, reason.value):
                log.error("organisation.paused", organisation=key, reason=str(reason))

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


def _standing(touched: Touched) -> Standing:
    return Standing(
        status=Status(touched.status),
        epoch=touched.epoch,
        attempts=touched.attempts,
        unknowns=touched.unknowns,
        since=touched.since,
        published_at=touched.published_at,
        answered_at=touched.answered_at,
        reason=Reason(touched.reason) if touched.reason else None,
        reference=touched.reference,
        occupies=touched.occupies,
        due=touched.lane_due if touched.occupies else None,
        in_flight=touched.occupies and touched.in_flight,
    )


def _settled(touched: Touched, standing: Standing, *, attempt_ended: bool) -> Settled:
    return Settled(
        id=touched.id,
        person_id=touched.person_id,
        organisation=touched.organisation,
        status=standing.status.value,
        attempts=standing.attempts,
        unknowns=standing.unknowns,
        published_at=standing.published_at,
        answered_at=standing.answered_at,
        reason=standing.reason.value if standing.reason else None,
        reference=standing.reference,
        occupied=touched.occupies,
        occupies=standing.occupies,
        in_flight=standing.in_flight,
        due=standing.due,
        attempt_ended=attempt_ended,
    )


def _entry(receipt: Receipt, folded: Folded, touched: Touched) -> Entry:
    said = receipt.outcome or receipt.failure or receipt.reason
    return Entry(
        id=receipt.id,
        delivery_id=receipt.delivery_id,
        epoch=receipt.epoch,
        attempt=receipt.attempt,
        kind=receipt.kind.value,
        outcome=receipt.outcome.value if receipt.outcome else None,
        failure=receipt.failure.value if receipt.failure else None,
        reason=receipt.reason.value if receipt.reason else None,
        reference=receipt.reference,
        at=receipt.at,
        effect=folded.effect.value,
        status=folded.standing.status.value,
        next_due=folded.next_due,
        leaf=audit.leaf(
            f"delivery.{receipt.kind.value}",
            receipt.at,
            "delivery",
            organisation=touched.organisation,
            agreement=f"{touched.agreement}/{touched.agreement_version}",
            delivery_id=receipt.delivery_id,
            outcome=said.value if said else None,
            detail={"epoch": receipt.epoch, "attempt": receipt.attempt, "effect": folded.effect.value},
        ),
    )

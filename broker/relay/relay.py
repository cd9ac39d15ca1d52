"""One relay. Any number may run: a lane is claimed by one of them at a time."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from broker import audit, failpoints
from broker.eventlog import EventLog, LogUnavailable, Record
from broker.store import Database, StoreUnavailable, batches, breakers, lanes
from broker.telemetry.metrics import Metrics
from contracts.changes import event_kinds
from contracts.closings import latest
from contracts.organisation import Organisation
from contracts.receipts import withheld
from contracts.records import SealedDelivery, write_receipt
from contracts.statuses import Reason
from contracts.topics import DELIVERIES, RECEIPTS, deliveries_topic
from contracts.windows import is_open

SOURCE: Final = "urn:wales:unwaith"
"""CloudEvents `source` of everything we send."""

AT_CREDIT_SECONDS: Final = 0.05
"""How soon the relay looks again for what is due and could not be claimed."""
AT_ONCE: Final = 2
"""Batches of one organisation on their way to the log: the next is claimed while one is appended and marked."""
UNTAKEN: Final = timedelta(minutes=1)
"""A probe that was due so long ago and that nobody has taken: no worker has anything to make it with."""
RETRY_SECONDS: Final = (0.2, 5.0)
"""The first and the longest pause before something that is away is tried again; they double."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """How much at once, and how long until somebody else may try."""

    batch: int = 500
    """Lanes claimed in one transaction, for each organisation."""
    credit: int = 8192
    """At most so many published deliveries of one organisation without a receipt."""
    lease: timedelta = timedelta(seconds=30)
    """A claimed lane is left alone so long; then the relay that claimed it is taken for dead."""
    again_after: timedelta = DELIVERIES.retention / 2
    """Published so long without a receipt, it is published again: this repairs a lost topic too."""
    longest_wait: timedelta = timedelta(seconds=1)
    """The store is looked at this often even if no notice comes."""


class Relay:
    """Claims, appends, marks; over and over."""

    def __init__(
        self,
        database: Database,
        eventlog: EventLog,
        organisations: Callable[[], Mapping[str, Organisation]],
        settings: RelaySettings,
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._log = eventlog
        self._organisations = organisations
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._woken = asyncio.Event()
        self._topics: set[str] = set()
        self._carrying: Counter[str] = Counter()
        self._close_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`. PostgreSQL or the log being away is waited out, never an end.

        What goes wrong with one organisation's topic holds up that organisation alone.
        """
        beside = [asyncio.create_task(self._listen(stop)), asyncio.create_task(self._miss(stop))]
        pause = 0.0
        try:
            async with asyncio.TaskGroup() as carrying:
                while not stop.is_set():
                    try:
                        self._woken.clear()
                        busy = full = False
                        for claim in (self._claim, self._close):
                            for key, items in (await claim()).items():
                                self._carrying[key] += 1
                                carrying.create_task(self._carry(key, items, stop))
                                busy, full = True, full or claim == self._close or len(items) >= self._settings.batch
                        pause = 0.0
                        if not full:
                            await self._rest(at_once=busy)
                    except StoreUnavailable:
                        pause = _longer(pause)
                        log.warning("relay.waiting", error="StoreUnavailable", seconds=pause)
                        await _either(stop, pause)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def step(self) -> int:
        """Carry what is due of each organisation, as much as goes at once, to the log; return how many were claimed.

        Raises StoreUnavailable and LogUnavailable: what was claimed is then claimed again when its lease is over.
        """
        self._close_at = 0.0
        count = 0
        for claim in (self._claim, self._close):
            for key, items in (await claim()).items():
                await self._append(key, [self._record(item) for item in items])
                await self._mark(key, items)
                count += len(items)
        return count

    def _open_for(self, *, closing: bool = False) -> list[str]:
        """Return for whom there may be claimed now, of those with cut-offs or of those without."""
        now = self._clock()
        return [
            key
            for key, item in self._organisations().items()
            if not item.paused
            and not item.draining
            and self._carrying[key] < AT_ONCE
            and is_open(item.policy.windows, now)
            and closing == bool(item.policy.closings)
        ]

    async def _claim(self) -> dict[str, list[lanes.Claimed]]:
        """Claim a batch, by organisation. Raises StoreUnavailable."""
        open_for = self._open_for()
        if not open_for:
            return {}
        claimed = await lanes.claim(
            self._database,
            open_for,
            limit=self._settings.batch,
            credit=self._settings.credit,
            lease=self._settings.lease,
            leaf=self._leaf,
        )
        if claimed:
            failpoints.reach("relay.claimed")
        by_organisation: dict[str, list[lanes.Claimed]] = {}
        for item in claimed:
            by_organisation.setdefault(item.organisation, []).append(item)
        return by_organisation

    async def _close(self) -> dict[str, list[lanes.Claimed]]:
        """Claim a batch of each organisation with cut-offs. Raises StoreUnavailable.

        They are looked at once in `longest_wait`, and again at once while there is something.
        """
        now = asyncio.get_running_loop().time()
        if now < self._close_at:
            return {}
        closed: dict[str, list[lanes.Claimed]] = {}
        for key in self._open_for(closing=True):
            policy = self._organisations()[key].policy
            if policy.batch is not None:
                found = await batches.claim(
                    self._database,
                    key,
                    upto=latest(policy.closings, self._clock()),
                    size=policy.batch.size,
                    credit=self._settings.credit,
                    lease=self._settings.lease,
                    leaf=self._leaf,
                )
                if found:
                    failpoints.reach("relay.closed")
                    closed[key] = found
        self._close_at = 0.0 if closed else now + self._settings.longest_wait.total_seconds()
        return closed

    async def _carry(self, organisation: str, items: list[lanes.Claimed], stop: asyncio.Event) -> None:
        """Append and mark one organisation's batch, again and again for the first half of its lease.

        Appending again may repeat records, never reorder them. What is given up is claimed again when its lease is over.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.lease.total_seconds() / 2
        records = [self._record(item) for item in items]
        pause = 0.0
        try:
            while True:
                try:
                    await self._append(organisation, records)
                    break
                except LogUnavailable:
                    self._topics.discard(deliveries_topic(organisation))  # it may have been lost: it is made again
                    pause = _longer(pause)
                    log.warning("relay.waiting", organisation=organisation, error="LogUnavailable", seconds=pause)
                    await _either(stop, pause)
                    if stop.is_set() or loop.time() > until:
                        return
            await self._mark(organisation, items)
        except StoreUnavailable:
            log.warning("relay.unmarked", organisation=organisation, count=len(items))
        finally:
            if self._carrying[organisation] >= AT_ONCE:  # nothing of it was claimed, whatever was due
                self._woken.set()
            self._carrying[organisation] -= 1

    async def _append(self, organisation: str, records: Sequence[Record]) -> None:
        topic = deliveries_topic(organisation)
        settings = self._organisations().get(organisation)
        if topic not in self._topics and settings is not None:
            await self._log.ensure({topic: settings.partitions, RECEIPTS.name: RECEIPTS.partitions})
            self._topics.add(topic)
        await self._log.append(records)
        failpoints.reach("relay.appended")

    async def _mark(self, organisation: str, items: Sequence[lanes.Claimed]) -> None:
        published = [item for item in items if not item.revoked]
        await lanes.mark_published(self._database, published, again_after=self._settings.again_after)
        failpoints.reach("relay.marked")
        self._metrics.relay_published.labels(organisation).inc(len(published))
        log.info("deliveries.published", organisation=organisation, count=len(published))

    def _record(self, item: lanes.Claimed) -> Record:
        if item.revoked:
            key, value, headers = write_receipt(withheld(item.delivery_id, item.epoch, Reason.REVOKED, self._clock()))
            return Record(RECEIPTS.name, key, value, headers)
        sealed = sealed_delivery(item)
        return Record(deliveries_topic(item.organisation), sealed.key(), sealed.sealed, sealed.headers())

    def _leaf(self, item: lanes.Claimed) -> bytes:
        return audit.leaf(
            "delivery.published",
            self._clock(),
            "relay",
            organisation=item.organisation,
            delivery_id=item.delivery_id,
            detail={
                "epoch": item.epoch,
                "sequence": item.sequence,
                **({"batch": item.place.batch} if item.place else {}),
            },
        )

    async def _rest(self, *, at_once: bool) -> None:
        """Wait for a notice or for the next delivery to fall due, but never longer than `longest_wait`.

        What is due already is claimed `at_once`, or, where it just could not be, a little later.
        """
        if self._woken.is_set():
            return
        wait = self._settings.longest_wait.total_seconds()
        due = await lanes.next_due(self._database, self._open_for())
        if due is not None and due <= 0:
            wait = 0.0 if at_once else AT_CREDIT_SECONDS
        elif due is not None:
            wait = min(wait, due)
        await _either(self._woken, wait)

    async def _miss(self, stop: asyncio.Event) -> None:
        """Have published again what the log has lost of organisations that nothing is sent to but probes."""
        while not stop.is_set():
            try:
                lost = await breakers.take_for_lost(self._database, self._open_for(), UNTAKEN)
            except StoreUnavailable:
                lost = {}
            for organisation, count in lost.items():
                log.warning("log.taken_for_lost", organisation=organisation, count=count)
            if lost:
                self._woken.set()
            await _either(stop, UNTAKEN.total_seconds() / 2)

    async def _listen(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                lost = await self._database.listen("unwaith_due", lambda _: self._woken.set())
                await lost
            except StoreUnavailable:
                pass
            await _either(stop, 1.0)


def sealed_delivery(item: lanes.Numbered) -> SealedDelivery:
    """Return the record's delivery: everything in clear is the recipient's own, nothing joins it to another's."""
    kind = event_kinds()[item.type]
    return SealedDelivery(
        id=item.delivery_id,
        epoch=item.epoch,
        sequence=item.sequence,
        type=kind.event_type,
        source=SOURCE,
        subject=item.subject,
        time=item.accepted_at,
        dataschema=kind.dataschema,
        traceparent=traceparent(item.delivery_id),
        origin=item.origin,
        generation=item.generation,
        digest=item.digest,
        sealed=item.sealed,
        place=item.place,
    )


def traceparent(delivery_id: UUID) -> str:
    """Return the trace context of one delivery (W3C Trace Context, section 3.2): the delivery's id is its trace."""
    return f"00-{delivery_id.hex}-{delivery_id.hex[16:]}-01"


def _longer(pause: float) -> float:
    first, longest = RETRY_SECONDS
    return min(longest, pause * 2 or first)


async def _either(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


__all__: Sequence[str] = ["SOURCE", "Relay", "RelaySettings", "sealed_delivery", "traceparent"]

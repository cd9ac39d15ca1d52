"""Fetching the answers that organisations leave to be fetched: one collector at a time for each, over all processes.

When the next round is stands in the store (`collection`), and whoever takes it has the organisation to itself for a while.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from broker import audit
from broker.eventlog import EventLog, LogUnavailable
from broker.store import Database, StoreUnavailable, collecting
from broker.store.collecting import Round
from broker.telemetry.metrics import Metrics
from broker.tracking.answering import take_in
from contracts.adapters import Answers, Collector
from contracts.closings import day_of, latest
from contracts.delivery import Failure
from contracts.grants import GateUnavailable
from contracts.organisation import Organisation
from contracts.statuses import Reason

LOOK_SECONDS: Final = 1.0
"""How often it is asked for whom it is time."""
ROUND: Final = timedelta(minutes=5)
"""A round that takes longer is ended; what it did not come to is the next one's."""
LEASE: Final = ROUND + timedelta(minutes=1)
"""Whoever has begun a round is taken for dead after so long."""
LONGEST: Final = timedelta(hours=1)
"""Between two rounds while they fail."""

log = structlog.get_logger()

CollectorSource = Callable[[Organisation], Awaitable[Collector | None]]
"""Makes the collector for an organisation's settings, None where there is nothing to collect from.

Raises ValueError for wrong settings, GateUnavailable where the store does not answer.
"""


class Directory(Protocol):
    """Organisations as they are now."""

    def organisations(self) -> Mapping[str, Organisation]: ...

    def secrets(self, organisation: str) -> bytes:
        """Return a mark of what an organisation has entrusted us: another when one of its secrets is replaced."""
        ...


class Collecting:
    """One of any number that fetch answers."""

    def __init__(
        self,
        database: Database,
        eventlog: EventLog,
        directory: Directory,
        collectors: CollectorSource,
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._log = eventlog
        self._directory = directory
        self._collectors = collectors
        self._metrics = metrics
        self._clock = clock
        self._made: dict[str, tuple[object, Collector | None]] = {}
        """By organisation, with all that each was made of; only what changed is made anew."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; a round under way then ends with the file it is at."""
        under_way: dict[str, asyncio.Task[None]] = {}
        try:
            while not stop.is_set():
                under_way = {key: task for key, task in under_way.items() if not task.done()}
                for key in await self._time_for(frozenset(under_way)):
                    under_way[key] = asyncio.create_task(self._round(key, stop))
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await stop.wait()
                except TimeoutError:
                    pass
            await asyncio.gather(*under_way.values())
        finally:
            for task in under_way.values():
                task.cancel()
            await asyncio.gather(*under_way.values(), return_exceptions=True)
            for _, collector in self._made.values():
                if collector is not None:
                    await collector.close()

    async def _time_for(self, busy: frozenset[str]) -> list[str]:
        """Return whose round begins here and now. One that is paused is left alone."""
        known = self._directory.organisations()
        wanted = [
            key for key, item in known.items() if key not in busy and not item.paused and await self._offers(item)
        ]
        try:
            return await collecting.take(self._database, wanted, LEASE) if wanted else []
        except StoreUnavailable:
            return []

    async def _offers(self, settings: Organisation) -> bool:
        """Return whether there is something to collect from, as far as can be told: wrong settings are told in a round."""
        try:
            return await self._collector(settings) is not None
        except GateUnavailable:
            return False
        except Exception:  # noqa: BLE001  whatever is wrong is told where it is acted upon
            return True

    async def _collector(self, settings: Organisation) -> Collector | None:
        wanted = settings.way, self._directory.secrets(settings.id)
        made_of, collector = self._made.get(settings.id, (None, None))
        if made_of != wanted:
            self._made.pop(settings.id, None)
            if collector is not None:
                await collector.close()
            collector = await self._collectors(settings)
            self._made[settings.id] = wanted, collector
        return collector

    async def _round(self, organisation: str, stop: asyncio.Event) -> None:
        """Fetch once, and say when the next time is. What is away of ours is waited out: then the lease runs out."""
        settings = self._directory.organisations().get(organisation)
        if settings is None:
            return
        answered: list[bool] = []
        reason: Reason | None = None
        try:
            async with asyncio.timeout(ROUND.total_seconds()):
                collector = await self._collector(settings)
                if collector is None:
                    return
                async for answers in collector.collect():
                    answered.append(not answers.unreadable)
                    await self._taken(organisation, answers)
                    if stop.is_set():
                        break
        except (StoreUnavailable, LogUnavailable, GateUnavailable) as away:
            log.warning("answers.waiting", organisation=organisation, error=type(away).__name__)
        except Failure as failure:
            reason = failure.reason
        except TimeoutError:
            reason = Reason.DEADLINE_PASSED
        except Exception as fault:  # wrong settings, or a collector that does what it may not
            log.exception("collector.failed", organisation=organisation, error=type(fault).__name__)
            reason = Reason.ADAPTER_FAULT
        if reason is not None:
            log.error("answers.uncollected", organisation=organisation, reason=str(reason))
        await self._ended(settings, answered=any(answered), reason=reason)

    async def _taken(self, organisation: str, answers: Answers) -> None:
        """Make the answers durable, or the complaint about what is none; only then is it `done`."""
        if answers.unreadable:
            log.error("answers.unreadable", organisation=organisation)
            self._metrics.answers_unreadable.labels(organisation).inc()
            leaf = audit.leaf("answers.set_aside", self._clock(), "tracking", organisation=organisation)
            await collecting.note(self._database, leaf)
        else:
            refused = await take_in(self._database, self._log, organisation, answers.receipts, self._clock)
            count = len(answers.receipts) - len(refused)
            log.info("answers.collected", organisation=organisation, count=count)
        await answers.done()

    async def _ended(self, settings: Organisation, *, answered: bool, reason: Reason | None) -> None:
        policy = settings.policy.answers
        how = Round(
            answered=answered,
            reason=reason.value if reason else None,
            every=timedelta(seconds=policy.every_seconds),
            longest=LONGEST,
            before=day_of(latest([policy.by], self._clock())) if policy.by else None,
        )
        try:
            await collecting.ended(self._database, settings.id, how)
        except StoreUnavailable:
            log.warning("answers.waiting", organisation=settings.id, error="StoreUnavailable")

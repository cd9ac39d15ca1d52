"""The books, watched all the time: what is owed, how old it is, and that accepted = the sum of all statuses."""

import asyncio
from typing import Final

import structlog

from broker.store import Database, StoreUnavailable, operations
from broker.store.operations import Overview
from broker.telemetry.metrics import Metrics
from contracts.statuses import Status

EVERY_SECONDS: Final = 10.0
ALARM_AGAIN_SECONDS: Final = 300.0
"""What is wrong is said when it begins, and again so often while it lasts."""

log = structlog.get_logger()


def note(metrics: Metrics, seen: Overview) -> list[str]:
    """Set the gauges to what was seen; return the organisations whose books do not balance."""
    for item in seen.organisations:
        age = max(0.0, (seen.at - item.oldest).total_seconds()) if item.oldest else 0.0
        metrics.oldest_undelivered_age_seconds.labels(item.organisation).set(age)
        for status in Status:
            metrics.owed.labels(item.organisation, status.value).set(item.by_status.get(status.value, 0))
        metrics.unbalanced.labels(item.organisation).set(item.missing)
        metrics.paused.labels(item.organisation).set(item.paused_at is not None)
    metrics.quarantine_unexamined.set(sum(seen.quarantined.values()))
    return [item.organisation for item in seen.organisations if not item.balanced]


async def watch(database: Database, metrics: Metrics, stop: asyncio.Event, every: float = EVERY_SECONDS) -> None:
    """Look at the running counts until `stop`; alarm where deliveries have disappeared, or come from nowhere."""
    loop = asyncio.get_running_loop()
    said: dict[str, float] = {}
    while not stop.is_set():
        try:
            seen = await operations.overview(database, 1)
        except StoreUnavailable:
            pass  # whoever works on the store says so; the gauges keep what was last true
        else:
            wrong = note(metrics, seen)
            missing = {item.organisation: item.missing for item in seen.organisations}
            for organisation in wrong:
                if loop.time() - said.get(organisation, float("-inf")) >= ALARM_AGAIN_SECONDS:
                    said[organisation] = loop.time()
                    log.error("books.unbalanced", organisation=organisation, count=missing[organisation])
            for organisation in said.keys() - set(wrong):
                del said[organisation]
                log.warning("books.balanced", organisation=organisation)
        try:
            async with asyncio.timeout(every):
                await stop.wait()
        except TimeoutError:
            pass

"""The books, watched all the time: what is owed, how old it is, and that accepted = the sum of all statuses."""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from broker.store import Database, StoreUnavailable, mailbox, operations
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
        metrics.silent.labels(item.organisation).set(item.silent)
        metrics.uncollected.labels(item.organisation).set(item.uncollected)
        metrics.unread.labels(item.organisation).set(item.unread)
    metrics.quarantine_unexamined.set(sum(seen.quarantined.values()))
    return [item.organisation for item in seen.organisations if not item.balanced]


class _Alarm:
    """Something that can be wrong with an organisation's deliveries: told when it begins, now and then, when it ends."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def news(self, wrong: Mapping[str, int]) -> tuple[dict[str, int], set[str]]:
        """Return of whom it is to be told now, with how many deliveries, and for whom it is over."""
        now = asyncio.get_running_loop().time()
        over = self._told.keys() - wrong.keys()
        for organisation in over:
            del self._told[organisation]
        told = {
            organisation: count
            for organisation, count in wrong.items()
            if now - self._told.get(organisation, float("-inf")) >= ALARM_AGAIN_SECONDS
        }
        self._told.update(dict.fromkeys(told, now))
        return told, over


def _tell(seen: Overview, books: _Alarm, mailboxes: _Alarm, silence: _Alarm) -> None:
    """Log what is wrong with whom, and what is so no more."""
    wrong, right = books.news({one.organisation: one.missing for one in seen.organisations if not one.balanced})
    for organisation, count in wrong.items():
        log.error("books.unbalanced", organisation=organisation, count=count)
    for organisation in right:
        log.warning("books.balanced", organisation=organisation)
    wrong, right = mailboxes.news({one.organisation: one.unread for one in seen.organisations if one.unread})
    for organisation, count in wrong.items():
        log.error("mailbox.unread", organisation=organisation, count=count)
    for organisation in right:
        log.warning("mailbox.read", organisation=organisation)
    wrong, right = silence.news({one.organisation: 1 for one in seen.organisations if one.silent})
    for organisation in wrong:
        log.error("answers.missing", organisation=organisation)
    for organisation in right:
        log.warning("answers.came", organisation=organisation)


async def watch(database: Database, metrics: Metrics, stop: asyncio.Event, every: float = EVERY_SECONDS) -> None:
    """Look at the running counts until `stop`; alarm where deliveries have disappeared, or come from nowhere.

    Alarm, too, where nobody has come for what lies in a mailbox, and where no answers came by the time agreed; what has
    been fetched and acknowledged is taken out.
    """
    books, mailboxes, silence = _Alarm(), _Alarm(), _Alarm()
    while not stop.is_set():
        try:
            await mailbox.clear(database)
            seen = await operations.overview(database, 1)
        except StoreUnavailable:
            pass  # whoever works on the store says so; the gauges keep what was last true
        else:
            note(metrics, seen)
            _tell(seen, books, mailboxes, silence)
        try:
            async with asyncio.timeout(every):
                await stop.wait()
        except TimeoutError:
            pass

"""Holds that lapse by themselves: when their time is over, the change goes on its way unless something else holds it."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from broker import audit
from broker.store import Database, StoreUnavailable, holds

AT_ONCE: Final = 50
EVERY_SECONDS: Final = 1.0
OVER: Final = "time_over"
"""Why, of a hold that nobody decided on."""

log = structlog.get_logger()


async def let_lapse(database: Database, clock: Callable[[], datetime]) -> int:
    """End holds of which the time is over, some at a time; return how many were looked at. Raises StoreUnavailable."""
    found = await holds.over(database, AT_ONCE)
    for hold in found:
        leaf = audit.leaf(
            "hold.released",
            clock(),
            "tracking",
            change_id=hold.change_id,
            detail={"hold": hold.reason.value, "reason": OVER},
        )
        if await holds.release(database, hold.id, "tracking", OVER, leaf):
            log.info("hold.released", change_id=str(hold.change_id), reason=hold.reason.value)
    return len(found)


async def attend(database: Database, clock: Callable[[], datetime], stop: asyncio.Event) -> None:
    """Let holds lapse, until `stop`."""
    while not stop.is_set():
        found = 0
        try:
            found = await let_lapse(database, clock)
        except StoreUnavailable as away:
            log.warning("holds.waiting", error=type(away).__name__)
        if not found:
            try:
                async with asyncio.timeout(EVERY_SECONDS):
                    await stop.wait()
            except TimeoutError:
                pass

"""Holds that end by themselves: their time is over, or a registrar has said what they waited for.

The change then goes on its way unless something else holds it.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import structlog

from broker import audit
from broker.store import Database, StoreUnavailable, holds
from contracts.holds import HoldReason

AT_ONCE: Final = 50
EVERY_SECONDS: Final = 1.0
OVER: Final = "time_over"
"""Why, of a hold that nobody decided on."""
CONFIRMED: Final = "registrar_confirmed"
DIFFERS: Final = "registrar_differs"

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


async def weigh(database: Database, clock: Callable[[], datetime]) -> int:
    """End holds that registrars have answered, some at a time; return how many were looked at.

    What a registrar says otherwise is left to a person. Raises StoreUnavailable.
    """
    found = await holds.answered(database, AT_ONCE)
    for one in found:
        actor = f"organisation:{one.organisation}"
        action, reason = ("hold.released", CONFIRMED) if one.agrees else ("hold.differs", DIFFERS)
        detail: dict[str, str | int | Sequence[str]] = {"hold": HoldReason.AWAITS_REGISTRAR.value, "reason": reason}
        leaf = audit.leaf(action, clock(), actor, change_id=one.change_id, detail=detail)
        if not one.agrees:
            if await holds.differs(database, one.hold_id, leaf):
                log.warning("hold.differs", change_id=str(one.change_id), organisation=one.organisation)
        elif await holds.release(database, one.hold_id, actor, CONFIRMED, leaf):
            log.info("hold.released", change_id=str(one.change_id), reason=CONFIRMED)
    return len(found)


async def attend(database: Database, clock: Callable[[], datetime], stop: asyncio.Event) -> None:
    """End holds as their time comes or registrars answer, until `stop`."""
    while not stop.is_set():
        found = 0
        try:
            found = await let_lapse(database, clock) + await weigh(database, clock)
        except StoreUnavailable as away:
            log.warning("holds.waiting", error=type(away).__name__)
        if not found:
            try:
                async with asyncio.timeout(EVERY_SECONDS):
                    await stop.wait()
            except TimeoutError:
                pass

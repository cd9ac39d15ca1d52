"""The horizon of what is not tried: an organisation that is away for longer than anybody should wait.

A try that fails past the horizon gives its delivery up. While the breaker is open there are no tries, so it is looked at
here: first in its lane, past its horizon, it is `undelivered`, with an alarm. An operator can replay it.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final
from uuid import uuid4

import structlog

from broker.store import Database, StoreUnavailable, horizon
from broker.store.receipts import Entry, Settled, folding
from broker.tracking.entries import entry_of, settled, standing_of
from broker.tracking.fold import stopped
from contracts.organisation import Organisation
from contracts.receipts import Receipt, ReceiptKind
from contracts.statuses import Reason

EVERY_SECONDS: Final = 30.0
AT_ONCE: Final = 200

log = structlog.get_logger()


async def give_up_late(database: Database, organisations: Mapping[str, Organisation]) -> int:
    """End the first of each lane that is past its horizon, some at a time; return how many. Raises StoreUnavailable.

    One that is being sent this moment is left to its attempt. A copy in the log is withheld by the gate from then.
    """
    horizons = {key: timedelta(seconds=item.policy.horizon_seconds) for key, item in organisations.items()}
    found = await horizon.past(database, horizons, AT_ONCE) if horizons else []
    if not found:
        return 0
    moved: list[Settled] = []
    entries: list[Entry] = []
    async with folding(database, [], found) as transaction:
        for touched in transaction.touched.values():
            standing = standing_of(touched)
            being_sent = touched.granted_until is not None and touched.granted_until > transaction.now
            if (standing.granted and being_sent) or touched.since + horizons[touched.organisation] > transaction.now:
                continue
            receipt = Receipt(
                id=uuid4(),
                delivery_id=touched.id,
                epoch=touched.epoch,
                attempt=0,
                kind=ReceiptKind.UNDELIVERED,
                reason=Reason.HORIZON_PASSED,
                at=transaction.now,
            )
            if (folded := stopped(standing, receipt)) is None:
                continue
            moved.append(settled(touched, folded.standing, attempt_ended=True))
            entries.append(entry_of(receipt, folded, touched, actor="tracking"))
            log.error(
                "delivery.undelivered",
                organisation=touched.organisation,
                delivery_id=str(touched.id),
                reason=Reason.HORIZON_PASSED.value,
            )
        await transaction.write(moved, entries)
    return len(moved)


async def attend(
    database: Database, organisations: Callable[[], Mapping[str, Organisation]], stop: asyncio.Event
) -> None:
    """Give up what is past its horizon, until `stop`."""
    while not stop.is_set():
        ended = 0
        try:
            ended = await give_up_late(database, organisations())
        except StoreUnavailable as away:
            log.warning("horizon.waiting", error=type(away).__name__)
        if not ended:
            try:
                async with asyncio.timeout(EVERY_SECONDS):
                    await stop.wait()
            except TimeoutError:
                pass

"""Giving a delivery up by hand: `undelivered`, with a reason and an alarm, never silent."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import structlog

from broker.store import Database
from broker.store.receipts import folding
from broker.tracking.entries import entry_of, settled, standing_of
from broker.tracking.fold import stopped
from contracts.ids import new_id
from contracts.receipts import Receipt, ReceiptKind
from contracts.statuses import Reason

log = structlog.get_logger()


class GivenUp(StrEnum):
    """What became of giving up."""

    DONE = "done"
    NOT_OPEN = "not_open"
    """There is no such delivery, or it has ended or was answered."""
    BEING_SENT = "being_sent"
    """Somebody has leave to send it this very moment: what the organisation says comes first."""


async def give_up(
    database: Database, delivery_id: UUID, *, reason: str, note: str, actor: str, now: datetime
) -> GivenUp:
    """End an open delivery as `undelivered`; its lane is free for the next. It can be replayed. Raises StoreUnavailable.

    A copy of it that is in the log already is withheld by the gate. Who asked and why stands in the ledger.
    """
    async with folding(database, [], [delivery_id]) as transaction:
        touched = transaction.touched.get(delivery_id)
        if touched is None:
            return GivenUp.NOT_OPEN
        standing = standing_of(touched)
        if standing.granted and touched.granted_until is not None and touched.granted_until > transaction.now:
            return GivenUp.BEING_SENT
        receipt = Receipt(
            id=new_id(now),
            delivery_id=delivery_id,
            epoch=touched.epoch,
            attempt=0,
            kind=ReceiptKind.UNDELIVERED,
            reason=Reason.GIVEN_UP,
            at=now,
        )
        folded = stopped(standing, receipt)
        if folded is None:
            return GivenUp.NOT_OPEN
        entry = entry_of(receipt, folded, touched, actor=actor, action="delivery.given_up", reason=reason, note=note)
        await transaction.write([settled(touched, folded.standing, attempt_ended=True)], [entry], by_operator=True)
        log.error(  # before it is durable: said twice rather than never
            "delivery.undelivered",
            organisation=touched.organisation,
            delivery_id=str(delivery_id),
            reason=Reason.GIVEN_UP.value,
        )
    return GivenUp.DONE

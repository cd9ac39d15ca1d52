"""The door by which organisations' own answers come in, whichever way they came: only about their own deliveries."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from broker import audit
from broker.eventlog import EventLog, Record
from broker.store import Database, collecting
from contracts.receipts import Receipt
from contracts.records import write_receipt
from contracts.topics import RECEIPTS

AT_ONCE: Final = 1000
"""Receipts looked at and made durable together."""

log = structlog.get_logger()


async def take_in(
    database: Database,
    eventlog: EventLog,
    organisation: str,
    receipts: Sequence[Receipt],
    clock: Callable[[], datetime],
) -> Sequence[UUID]:
    """Make an organisation's answers durable; return the deliveries that are not its own, of which nothing was taken.

    Those are said and written into the ledger, once for all of them. Epoch and attempt of the receipts are set
    here. Raises StoreUnavailable and LogUnavailable: then it is to be done again, which changes nothing that was done.
    """
    refused: list[UUID] = []
    for first in range(0, len(receipts), AT_ONCE):
        page = receipts[first : first + AT_ONCE]
        own = await collecting.own(database, organisation, [receipt.delivery_id for receipt in page])
        refused += [receipt.delivery_id for receipt in page if receipt.delivery_id not in own]
        taken = [
            receipt.model_copy(update={"epoch": known.epoch, "attempt": known.attempts})
            for receipt in page
            if (known := own.get(receipt.delivery_id)) is not None
        ]
        if taken:
            await eventlog.append([Record(RECEIPTS.name, *write_receipt(receipt)) for receipt in taken])
    if refused:
        log.warning("answers.refused", organisation=organisation, count=len(refused), delivery_id=str(refused[0]))
        leaf = audit.leaf(
            "answers.refused",
            clock(),
            "organisation",
            organisation=organisation,
            delivery_id=refused[0],
            detail={"count": len(refused)},
        )
        await collecting.note(database, leaf)
    return refused

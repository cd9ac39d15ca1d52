"""Only the newest matters, and the newest was taken back unsent: what it had superseded is owed again.

A delivery is superseded by a newer one that is due, before anybody knows whether that will be sent. Where it ends unsent
instead, the last one superseded in its lane takes its place: the same id, bytes and sequence under the next epoch.
"""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from broker import audit
from broker.store.receipts import Folding, Settled
from broker.tracking.entries import entry_of, settled, standing_of
from broker.tracking.fold import Effect, Folded
from contracts.receipts import Receipt, ReceiptKind, withheld
from contracts.statuses import Reason, Status

UNSENT = frozenset({Status.CANCELLED, Status.SUPERSEDED})

log = structlog.get_logger()


async def bring_back(transaction: Folding, ended: Sequence[Settled]) -> None:
    """Owe again what nothing newer stands for any more, in the lanes where these have just ended.

    What could no longer be sent in its order, because something later of its lane may have been sent meanwhile, becomes
    undelivered, aloud. Raises StoreUnavailable.
    """
    # One that may have arrived is looked at too: cancelled it stands for the older ones, superseded it may be the last.
    unsent = [one.id for one in ended if one.status in UNSENT]
    if not unsent:
        return
    left = await transaction.left_superseded(unsent)
    in_order = [one for one in left if one.in_order]
    if in_order:
        leaves = [
            audit.leaf(
                "delivery.revived",
                transaction.now,
                "tracking",
                organisation=one.touched.organisation,
                delivery_id=one.touched.id,
                detail={"epoch": one.touched.epoch + 1},
            )
            for one in in_order
        ]
        await transaction.reopen([one.touched for one in in_order], leaves)
    lost = [one.touched for one in left if not one.in_order]
    moved, entries = [], []
    for touched in lost:
        said = withheld(touched.id, touched.epoch, Reason.SUPERSEDED, transaction.now)
        receipt = Receipt.model_validate(said.model_dump() | {"kind": ReceiptKind.UNDELIVERED})
        standing = replace(standing_of(touched), status=Status.UNDELIVERED, answered_at=transaction.now)
        moved.append(settled(touched, standing, attempt_ended=False))
        entries.append(entry_of(receipt, Folded(standing, Effect.RAISED), touched, actor="tracking"))
    if lost:
        await transaction.write(moved, entries)
    for one in left:
        tell = log.info if one.in_order else log.error
        tell(
            "delivery.revived" if one.in_order else "delivery.undelivered",
            organisation=one.touched.organisation,
            delivery_id=str(one.touched.id),
            reason=Reason.SUPERSEDED.value,
        )

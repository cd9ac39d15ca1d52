"""Between what the store keeps of a delivery and what is decided on it."""

from broker import audit
from broker.store.receipts import Entry, Settled, Touched
from broker.tracking.fold import Folded, Standing
from contracts.receipts import Receipt
from contracts.statuses import Reason, Status


def standing_of(touched: Touched) -> Standing:
    """Return where a delivery stands."""
    return Standing(
        status=Status(touched.status),
        epoch=touched.epoch,
        attempts=touched.attempts,
        unknowns=touched.unknowns,
        since=touched.since,
        published_at=touched.published_at,
        answered_at=touched.answered_at,
        reason=Reason(touched.reason) if touched.reason else None,
        reference=touched.reference,
        occupies=touched.occupies,
        due=touched.lane_due if touched.occupies else None,
        in_flight=touched.occupies and touched.in_flight,
        granted=touched.occupies and touched.granted_until is not None,
        granted_until=touched.granted_until if touched.occupies else None,
    )


def settled(touched: Touched, standing: Standing, *, attempt_ended: bool) -> Settled:
    """Return what is to be written of a delivery that has moved."""
    return Settled(
        id=touched.id,
        person_id=touched.person_id,
        organisation=touched.organisation,
        status=standing.status.value,
        attempts=standing.attempts,
        unknowns=standing.unknowns,
        published_at=standing.published_at,
        answered_at=standing.answered_at,
        reason=standing.reason.value if standing.reason else None,
        reference=standing.reference,
        occupied=touched.occupies,
        occupies=standing.occupies,
        in_flight=standing.in_flight,
        due=standing.due,
        attempt_ended=attempt_ended,
    )


def entry_of(
    receipt: Receipt, folded: Folded, touched: Touched, *, actor: str = "delivery", action: str = "", **why: str
) -> Entry:
    """Return a receipt as it is written down, with its leaf.

    `action` is what the ledger calls it, where that is not what the receipt is; `why` stands beside it there.
    """
    said = receipt.outcome or receipt.failure or receipt.reason
    return Entry(
        id=receipt.id,
        delivery_id=receipt.delivery_id,
        epoch=receipt.epoch,
        attempt=receipt.attempt,
        kind=receipt.kind.value,
        outcome=receipt.outcome.value if receipt.outcome else None,
        failure=receipt.failure.value if receipt.failure else None,
        reason=receipt.reason.value if receipt.reason else None,
        reference=receipt.reference,
        at=receipt.at,
        effect=folded.effect.value,
        status=folded.standing.status.value,
        next_due=folded.next_due,
        leaf=audit.leaf(
            action or f"delivery.{receipt.kind.value}",
            receipt.at,
            actor,
            organisation=touched.organisation,
            agreement=f"{touched.agreement}/{touched.agreement_version}",
            delivery_id=receipt.delivery_id,
            outcome=said.value if said else None,
            detail={"epoch": receipt.epoch, "attempt": receipt.attempt, "effect": folded.effect.value, **why},
        ),
    )

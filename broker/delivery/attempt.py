"""One attempt: from a granted, sealed record to the receipt that says how it ended. Never raises but CancelledError."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from broker import sealing
from contracts.adapters import Adapter
from contracts.delivery import Failure, Misconfigured, Rejected, Unavailable, Unknown
from contracts.grants import Grant
from contracts.receipts import FailureKind, Receipt, ReceiptKind
from contracts.records import SealedDelivery
from contracts.statuses import Reason

LONGEST_RETRY_AFTER = 86_400.0
"""Seconds; what an organisation asks beyond a day is taken as a day."""

log = structlog.get_logger()


async def attempt(
    adapter: Adapter,
    organisation: str,
    sealed: SealedDelivery,
    grant: Grant,
    deadline_seconds: float,
    clock: Callable[[], datetime],
) -> Receipt:
    """Open the record, hand it over within the deadline, and return the receipt.

    Raises sealing.CannotOpen for a record that its own key does not open.
    """
    data = sealing.open_delivery(sealing.DeliveryKey.unpacked(grant.key), sealed.id, sealed.sealed, sealed.digest)
    delivery = sealed.opened(organisation, grant.attempt, data)
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(deadline_seconds):
            receipt = await adapter.deliver(delivery)
    except Failure as failure:
        receipt = _failed(sealed, grant, failure, clock())
    except TimeoutError:
        receipt = _deferred(sealed, grant, FailureKind.UNKNOWN, Reason.DEADLINE_PASSED, clock())
    except Exception as fault:
        log.exception(
            "adapter.failed", organisation=organisation, delivery_id=str(sealed.id), error=type(fault).__name__
        )
        receipt = _deferred(sealed, grant, FailureKind.UNKNOWN, Reason.ADAPTER_FAULT, clock())
    if receipt.kind is not ReceiptKind.ANSWERED:  # answers are counted, and kept with the delivery: not told twice
        log.info(
            "delivery.attempted",
            organisation=organisation,
            delivery_id=str(sealed.id),
            epoch=sealed.epoch,
            sequence=sealed.sequence,
            attempt=grant.attempt,
            outcome=str(receipt.failure),
            reason=str(receipt.reason),
            duration_ms=round((asyncio.get_running_loop().time() - began) * 1000, 1),
        )
    return receipt


def _failed(sealed: SealedDelivery, grant: Grant, failure: Failure, now: datetime) -> Receipt:
    match failure:
        case Rejected(outcome=outcome, reference=reference, reason=reason):
            return Receipt(
                id=uuid4(),
                delivery_id=sealed.id,
                epoch=sealed.epoch,
                attempt=grant.attempt,
                kind=ReceiptKind.ANSWERED,
                outcome=outcome,
                reason=reason,
                reference=reference,
                at=now,
            )
        case Unavailable(reason=reason, retry_after=seconds):
            floor = None if seconds is None else now + timedelta(seconds=min(max(seconds, 0.0), LONGEST_RETRY_AFTER))
            return _deferred(sealed, grant, FailureKind.UNAVAILABLE, reason, now, not_before=floor)
        case Misconfigured(reason=reason):
            return _deferred(sealed, grant, FailureKind.MISCONFIGURED, reason, now)
        case Unknown(reason=reason):
            return _deferred(sealed, grant, FailureKind.UNKNOWN, reason, now)
        case _:
            return _deferred(sealed, grant, FailureKind.UNKNOWN, failure.reason, now)


def _deferred(
    sealed: SealedDelivery,
    grant: Grant,
    failure: FailureKind,
    reason: Reason,
    now: datetime,
    *,
    not_before: datetime | None = None,
) -> Receipt:
    counts = failure in (FailureKind.UNAVAILABLE, FailureKind.UNKNOWN)
    return Receipt(
        id=uuid4(),
        delivery_id=sealed.id,
        epoch=sealed.epoch,
        attempt=grant.attempt if counts else 0,
        kind=ReceiptKind.DEFERRED,
        failure=failure,
        reason=reason,
        not_before=not_before,
        granted_until=grant.valid_until,
        at=now,
    )


def withheld(sealed: SealedDelivery, reason: Reason, not_before: datetime | None, now: datetime) -> Receipt:
    """Return the receipt of a delivery the gate did not let through."""
    return Receipt(
        id=uuid4(),
        delivery_id=sealed.id,
        epoch=sealed.epoch,
        attempt=0,
        kind=ReceiptKind.WITHHELD,
        reason=reason,
        not_before=not_before,
        at=now,
    )

"""One attempt, with one delivery or many: from what was granted to the receipts that say how it ended.

Handing over never raises but CancelledError.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from pydantic import TypeAdapter, ValidationError

from broker import sealing
from contracts.adapters import Adapter, BatchAdapter
from contracts.delivery import Delivery, Failure, Misconfigured, Rejected, Unavailable, Unknown
from contracts.grants import Grant
from contracts.ids import new_id
from contracts.receipts import FailureKind, Receipt, ReceiptKind, Reference
from contracts.records import SealedDelivery
from contracts.statuses import Reason

LONGEST_RETRY_AFTER = 86_400.0
"""Seconds; what an organisation asks beyond a day is taken as a day."""

log = structlog.get_logger()


def opened(organisation: str, sealed: SealedDelivery, grant: Grant) -> Delivery:
    """Return what was granted, in clear. Raises sealing.CannotOpen for a record that its own key does not open."""
    data = sealing.open_delivery(sealing.DeliveryKey.unpacked(grant.key), sealed.id, sealed.sealed, sealed.digest)
    return sealed.opened(organisation, grant.attempt, data)


async def attempt(
    adapter: Adapter, delivery: Delivery, deadline_seconds: float, clock: Callable[[], datetime]
) -> Receipt:
    """Hand one delivery over within the deadline, and return the receipt."""
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(deadline_seconds):
            receipt = await adapter.deliver(delivery)
    except Exception as fault:  # noqa: BLE001  told by `_fell`, whatever it is
        receipt = _fell(delivery, _meant(fault, delivery), clock())
    if receipt.kind is not ReceiptKind.ANSWERED:  # answers are counted, and kept with the delivery: not told twice
        _tell(delivery, receipt, began)
    return receipt


async def attempt_many(
    adapter: BatchAdapter, deliveries: Sequence[Delivery], deadline_seconds: float, clock: Callable[[], datetime]
) -> list[Receipt]:
    """Hand many over together within the deadline, and return a receipt for each, in their order."""
    began = asyncio.get_running_loop().time()
    ended: Sequence[Receipt | Failure]
    try:
        async with asyncio.timeout(deadline_seconds):
            ended = await adapter.deliver_many(deliveries)
        if not _each_its_own(deliveries, ended):
            log.error("adapter.answers_mismatched", organisation=deliveries[0].organisation, count=len(ended))
            ended = [Unknown(Reason.ADAPTER_FAULT)] * len(deliveries)
    except Exception as fault:  # noqa: BLE001  told by `_meant`, whatever it is
        ended = [_meant(fault, deliveries[0])] * len(deliveries)
    now = clock()
    receipts = [
        one if isinstance(one, Receipt) else _fell(delivery, one, now)
        for delivery, one in zip(deliveries, ended, strict=True)
    ]
    for delivery, receipt in zip(deliveries, receipts, strict=True):
        if receipt.kind is not ReceiptKind.ANSWERED:
            _tell(delivery, receipt, began)
    return receipts


def _each_its_own(deliveries: Sequence[Delivery], ended: Sequence[Receipt | Failure]) -> bool:
    return len(ended) == len(deliveries) and all(
        isinstance(one, Failure) or (one.delivery_id, one.epoch) == (delivery.id, delivery.epoch)
        for delivery, one in zip(deliveries, ended, strict=True)
    )


def _meant(fault: Exception, delivery: Delivery) -> Failure:
    """Return the failure a fault means; one the adapter did not mean to raise may have come at any moment."""
    match fault:
        case Failure():
            return fault
        case TimeoutError():
            return Unknown(Reason.DEADLINE_PASSED)
        case _:
            log.error(
                "adapter.failed",
                organisation=delivery.organisation,
                delivery_id=str(delivery.id),
                error=type(fault).__name__,
                exc_info=fault,
            )
            return Unknown(Reason.ADAPTER_FAULT)


def _tell(delivery: Delivery, receipt: Receipt, began: float) -> None:
    log.info(
        "delivery.attempted",
        organisation=delivery.organisation,
        delivery_id=str(delivery.id),
        epoch=delivery.epoch,
        sequence=delivery.sequence,
        attempt=delivery.attempt,
        outcome=str(receipt.failure or receipt.outcome or receipt.kind),
        reason=str(receipt.reason),
        duration_ms=round((asyncio.get_running_loop().time() - began) * 1000, 1),
    )


def _fell(delivery: Delivery, failure: Failure, now: datetime) -> Receipt:
    """Return the receipt of an attempt that failed."""
    match failure:
        case Rejected(outcome=outcome, reference=reference, reason=reason):
            return delivery.answered(outcome, now, reference=_reference(delivery, reference), reason=reason)
        case Unavailable(reason=reason, retry_after=seconds):
            floor = None
            if seconds is not None and seconds >= 0:  # which NaN is not
                floor = now + timedelta(seconds=min(seconds, LONGEST_RETRY_AFTER))
            return _deferred(delivery, FailureKind.UNAVAILABLE, reason, now, not_before=floor)
        case Misconfigured(reason=reason):
            return _deferred(delivery, FailureKind.MISCONFIGURED, reason, now)
        case _:
            return _deferred(delivery, FailureKind.UNKNOWN, failure.reason, now)


def _reference(delivery: Delivery, said: str | None) -> str | None:
    """Return the reference a refusal came with; None for what is none: that it was refused counts all the same."""
    try:
        return None if said is None else _REFERENCE.validate_python(said)
    except ValidationError:  # whose text would repeat what was said
        log.warning("adapter.reference_refused", organisation=delivery.organisation, delivery_id=str(delivery.id))
        return None


_REFERENCE: Final = TypeAdapter(Reference)


def _deferred(
    delivery: Delivery, failure: FailureKind, reason: Reason, now: datetime, *, not_before: datetime | None = None
) -> Receipt:
    counts = failure in (FailureKind.UNAVAILABLE, FailureKind.UNKNOWN)
    return Receipt(
        id=new_id(now),
        delivery_id=delivery.id,
        epoch=delivery.epoch,
        attempt=delivery.attempt if counts else 0,
        kind=ReceiptKind.DEFERRED,
        failure=failure,
        reason=reason,
        not_before=not_before,
        at=now,
    )

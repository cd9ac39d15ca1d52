"""How attempts end, one delivery or a batch: a receipt for each, whatever the adapter does."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from adapters.conformance import sample_delivery
from broker.delivery.attempt import attempt_many
from contracts.delivery import Delivery, Failure, Misconfigured, Rejected, Unavailable, Unknown
from contracts.receipts import FailureKind, Receipt, ReceiptKind
from contracts.statuses import Outcome, Reason

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

Does = Callable[[Sequence[Delivery]], Sequence[Receipt | Failure]]


class Scripted:
    def __init__(self, does: Does) -> None:
        self._does = does

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        return self._does(deliveries)

    async def close(self) -> None:
        return None


def applied(delivery: Delivery) -> Receipt:
    return delivery.answered(Outcome.APPLIED, NOW)


async def ended(does: Does) -> list[str]:
    """Return how three deliveries ended, checked to be each its own receipt."""
    deliveries = [sample_delivery(attempt=4) for _ in range(3)]
    receipts = await attempt_many(Scripted(does), deliveries, 1.0, lambda: NOW)
    assert [receipt.delivery_id for receipt in receipts] == [delivery.id for delivery in deliveries]
    assert len({receipt.id for receipt in receipts}) == 3
    for receipt in receipts:
        counts = receipt.kind is ReceiptKind.ANSWERED or receipt.failure is not FailureKind.MISCONFIGURED
        assert receipt.attempt == (4 if counts else 0)
    return [str(receipt.outcome or receipt.failure) for receipt in receipts]


async def test_each_ends_as_it_was_told() -> None:
    def mixed(deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        return [applied(deliveries[0]), Rejected(Reason.INVALID_FOR_RECEIVER), Unavailable(Reason.SERVER_ERROR)]

    assert await ended(mixed) == ["applied", "rejected_invalid", "unavailable"]


@pytest.mark.parametrize(
    "wrong",
    [
        Rejected(Reason.INVALID_FOR_RECEIVER, reference="Siân Gŵyr-Môn, 2 Ffordd y Môr"),
        Unavailable(Reason.TOO_MANY_REQUESTS, retry_after=float("nan")),
        Unavailable(Reason.TOO_MANY_REQUESTS, retry_after=float("inf")),
        Unavailable(Reason.TOO_MANY_REQUESTS, retry_after=-5.0),
    ],
)
async def test_one_that_says_what_cannot_be_leaves_the_others_their_answers(wrong: Failure) -> None:
    def mixed(deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        return [applied(deliveries[0]), wrong, applied(deliveries[2])]

    of_it = "rejected_invalid" if isinstance(wrong, Rejected) else "unavailable"
    assert await ended(mixed) == ["applied", of_it, "applied"]


def raising(fault: Exception) -> Does:
    def does(_deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        raise fault

    return does


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Unavailable(Reason.CONNECTION_REFUSED, retry_after=1e9), "unavailable"),
        (Misconfigured(Reason.UNAUTHORISED), "misconfigured"),
        (Unknown(Reason.CONNECTION_LOST), "unknown"),
        (TimeoutError(), "unknown"),
        (KeyError("a fault of the adapter's"), "unknown"),
    ],
)
async def test_what_failed_for_all_failed_for_each(fault: Exception, kind: str) -> None:
    assert await ended(raising(fault)) == [kind] * 3


@pytest.mark.parametrize(
    "does",
    [
        lambda deliveries: [applied(one) for one in deliveries[:2]],
        lambda deliveries: [applied(one) for one in (*deliveries, deliveries[0])],
        lambda deliveries: [applied(one) for one in reversed(deliveries)],
        lambda deliveries: [*map(applied, deliveries[:2]), applied(sample_delivery(delivery_id=uuid4()))],
        lambda _deliveries: [],
    ],
)
async def test_answers_that_are_not_each_its_own_say_nothing_of_any(does: Does) -> None:
    assert await ended(does) == ["unknown"] * 3


async def test_a_batch_that_takes_too_long_may_have_arrived() -> None:
    class Slow(Scripted):
        async def deliver_many(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
            await asyncio.sleep(60)
            return []

    receipts = await attempt_many(Slow(raising(KeyError())), [sample_delivery()], 0.01, lambda: NOW)
    assert (receipts[0].failure, receipts[0].reason) == (FailureKind.UNKNOWN, Reason.DEADLINE_PASSED)

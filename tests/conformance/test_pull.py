"""Pull: what is laid into a mailbox, and what becomes of that. How it is fetched: `tests/integration/test_pulling.py`.

The suite of `adapters.conformance` is about a peer that is called; here nobody is. What of it makes sense is below.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.conformance import WELSH, attempt, sample_delivery, settled
from adapters.pull import Pull
from adapters.registry import adapter_for, check
from broker import sealing
from broker.api.fetching import cursor_at, read_cursor
from broker.api.problems import NotReadable
from broker.delivery.attempt import attempt as tried
from broker.delivery.attempt import attempt_many
from broker.delivery.breaker import failed
from broker.store import Database, StoreUnavailable
from broker.store.mailbox import StoreMailbox
from contracts.delivery import Delivery, Unavailable
from contracts.events import canonical, structured
from contracts.receipts import Receipt, ReceiptKind
from contracts.statuses import Reason
from tests.support.ways_out import context
from tests.support.welsh import people


@dataclass
class Laid:
    """A mailbox that keeps what is laid down, and may take its time over it."""

    deliveries: list[tuple[Delivery, timedelta]] = field(default_factory=list)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    entered: int = 0

    async def place(self, deliveries: Sequence[Delivery], alarm_after: timedelta) -> None:
        self.entered += 1
        await self.free.wait()
        self.deliveries += [(one, alarm_after) for one in deliveries]


@asynccontextmanager
async def pull(mailbox: Any, settings: dict[str, Any] | None = None) -> AsyncIterator[Pull]:
    adapter = adapter_for("pull", replace(context(settings or {}), mailbox=mailbox))
    assert isinstance(adapter, Pull)
    try:
        yield adapter
    finally:
        await adapter.close()


async def test_what_is_laid_down_is_said_to_lie_there_and_not_to_be_received() -> None:
    laid = Laid()
    laid.free.set()
    async with pull(laid, {"alarm_after_hours": 2}) as adapter:
        delivery = sample_delivery(data=WELSH)
        receipt = await tried(adapter, delivery, 1.0, adapter._context.clock)
    assert (receipt.kind, receipt.outcome, receipt.reason) == (ReceiptKind.PLACED, None, None)
    assert (receipt.delivery_id, receipt.epoch) == (delivery.id, delivery.epoch)
    assert laid.deliveries == [(delivery, timedelta(hours=2))]
    assert failed(receipt) is False, "a mailbox that takes it is no failing system"


async def test_many_are_laid_down_together_and_in_their_order() -> None:
    laid = Laid()
    laid.free.set()
    async with pull(laid) as adapter:
        deliveries = [sample_delivery() for _ in range(50)]
        receipts = await attempt_many(adapter, deliveries, 1.0, adapter._context.clock)
    assert [receipt.kind for receipt in receipts] == [ReceiptKind.PLACED] * 50
    assert [receipt.delivery_id for receipt in receipts] == [delivery.id for delivery in deliveries]
    assert laid.deliveries == [(delivery, timedelta(hours=24)) for delivery in deliveries]
    assert laid.entered == 1


class Away:
    """A database that does not answer."""

    def connection(self) -> Any:
        raise StoreUnavailable


@pytest.mark.parametrize("many", [False, True])
async def test_a_store_that_does_not_answer_is_tried_again_later(*, many: bool) -> None:
    database: Any = Away()
    assert not isinstance(database, Database)
    async with pull(StoreMailbox(database, "swansea")) as adapter:
        if many:
            with pytest.raises(Unavailable):
                await adapter.deliver_many([sample_delivery()])
        else:
            ended = await attempt(adapter, sample_delivery())
            assert isinstance(ended, Unavailable)
            assert ended.reason is Reason.SERVER_ERROR


async def test_cancelling_leaves_nothing_behind() -> None:
    laid = Laid()
    async with pull(laid) as adapter:
        before = asyncio.all_tasks()
        under_way = asyncio.create_task(adapter.deliver(sample_delivery()))
        assert await settled(lambda: laid.entered == 1)
        under_way.cancel()
        ended = await asyncio.gather(under_way, return_exceptions=True)
        assert isinstance(ended[0], asyncio.CancelledError)
        assert await settled(lambda: not asyncio.all_tasks() - before)
        laid.free.set()
        assert isinstance(await attempt(adapter, sample_delivery()), Receipt)


async def test_settings_that_are_wrong_are_named_and_without_a_mailbox_there_is_none() -> None:
    for wrong in ({"alarm_after_hours": 0}, {"alarm_after_hours": 9000}, {"alarm_after_hours": "24"}, {"url": "x"}):
        with pytest.raises(ValueError, match=f"adapter setting {next(iter(wrong))}"):
            adapter_for("pull", replace(context(wrong), mailbox=Laid()))
        with pytest.raises(ValueError, match=f"adapter setting {next(iter(wrong))}"):
            check("pull", wrong)
    with pytest.raises(ValueError, match="there is no mailbox"):
        adapter_for("pull", context({}))


@given(st.integers(0, 2**63 - 1))
def test_a_cursor_is_read_back(place: int) -> None:
    assert read_cursor(cursor_at(place)) == place


@given(st.text(alphabet="AB-_8wŵ=", max_size=12))
def test_a_cursor_that_is_none_is_refused(text: str) -> None:
    try:
        place = read_cursor(text)
    except NotReadable:
        return
    assert cursor_at(place) == text


def test_ten_thousand_people_lie_sealed_and_come_back_identical() -> None:
    for data in people(10_000):
        delivery = sample_delivery(data=canonical(data))
        key = sealing.delivery_key(bytes(range(32)), delivery.id)
        sealed, digest = sealing.seal_delivery(key, delivery.id, delivery.data)
        given = sealing.open_delivery(sealing.DeliveryKey.unpacked(key.packed()), delivery.id, sealed, digest)
        assert json.loads(structured(replace(delivery, data=given)))["data"] == data

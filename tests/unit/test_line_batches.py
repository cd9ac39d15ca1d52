"""What a line does with the rows of a closed batch when it must let go of them: they stay rows of their batch."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

from broker import sealing
from broker.delivery.line import Line
from broker.delivery.ports import OwnBreakers
from broker.eventlog import Partition, Received
from broker.telemetry.metrics import new_metrics
from contracts.batches import Place
from contracts.delivery import Delivery
from contracts.grants import Grant
from contracts.receipts import FailureKind, Receipt
from contracts.records import SealedDelivery, place_in, read_delivery
from contracts.statuses import Outcome, Reason
from tests.support.line import organisation

NOW = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)


PERSON_KEY = bytes(32)


def key_of(delivery_id: UUID) -> sealing.DeliveryKey:
    return sealing.delivery_key(PERSON_KEY, delivery_id)


def row(number: int, place: Place | None) -> Received:
    delivery_id = uuid4()
    data, digest = sealing.seal_delivery(key_of(delivery_id), delivery_id, b"{}")
    sealed = SealedDelivery(
        id=delivery_id,
        epoch=0,
        sequence=1,
        type="wales.unwaith.address-changed.v1",
        source="urn:wales:unwaith",
        subject=f"subject-{number}",
        time=NOW,
        dataschema="https://unwaith.wales/schema",
        traceparent="00-0-0-01",
        origin="origin",
        generation=1,
        digest=digest,
        sealed=data,
        place=place,
    )
    read = read_delivery(sealed.key(), sealed.sealed, sealed.headers())
    assert read == sealed
    assert place_in(sealed.headers()) == place
    return Received(Partition("t", 0), number, sealed.key(), sealed.sealed, sealed.headers())


async def test_rows_whose_grant_ran_out_wait_for_the_gate_together_again() -> None:
    nothing: Any = None
    breakers = OwnBreakers(lambda: NOW)
    line = Line(
        "council",
        adapters=nothing,
        gate=nothing,
        config=cast("Any", SimpleNamespace(organisations=dict)),
        breakers=breakers,
        finish=cast("Any", lambda *_: None),
        pause=lambda: None,
        resume=lambda: None,
        metrics=new_metrics(),
        clock=lambda: NOW,
    )
    rows = [row(number, Place("b", number, 3)) for number in (1, 2, 3)]
    loose = row(4, None)
    line.put([rows[1], loose, rows[2], rows[0]])
    taken = line._taken(line._batches.take(0.0))
    assert [item.received for item in taken] == rows
    line._ask_again(taken)
    line._ask_again(line._taken(line._first(1)))
    assert list(line._waiting) == [loose]
    assert list(line._batches.take(0.0)) == rows


async def test_a_batch_for_who_now_takes_one_at_a_time_is_not_sent_one_after_the_other_by_one_grant() -> None:
    """The adapter was changed while it lay in the log: the store hands its rows out anew, each by itself."""
    tried: list[UUID] = []
    finished: list[Any] = []

    class OneByOne:
        async def deliver(self, delivery: Delivery) -> Receipt:
            tried.append(delivery.id)
            return delivery.answered(Outcome.APPLIED, NOW)

        async def close(self) -> None:
            pass

    async def made(_settings: Any) -> Any:
        return OneByOne()

    nothing: Any = None
    line = Line(
        "council",
        adapters=made,
        gate=nothing,
        config=cast("Any", SimpleNamespace(organisations=dict, secrets=lambda _: b"")),
        breakers=OwnBreakers(lambda: NOW),
        finish=lambda _, receipt: finished.append(receipt),
        pause=lambda: None,
        resume=lambda: None,
        metrics=new_metrics(),
        clock=lambda: NOW,
    )
    line.put([row(number, Place("b", number, 3)) for number in (1, 2, 3)])
    granted = [
        (item, Grant(1, NOW + timedelta(seconds=12), key_of(item.sealed.id).packed()))
        for item in line._taken(line._batches.take(0.0))
    ]
    await line._attempt(organisation("council"), granted, asyncio.get_running_loop().time(), None)
    assert tried == []
    assert [(one.failure, one.reason) for one in finished] == [(FailureKind.STOPPED, Reason.BATCH_BROKEN)] * 3

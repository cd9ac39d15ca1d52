"""What a line does with the rows of a closed batch when it must let go of them: they stay rows of their batch."""

from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

from broker.delivery.line import Line
from broker.delivery.ports import OwnBreakers
from broker.eventlog import Partition, Received
from broker.telemetry.metrics import new_metrics
from contracts.batches import Place
from contracts.records import SealedDelivery, place_in, read_delivery

NOW = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)


def row(number: int, place: Place | None) -> Received:
    sealed = SealedDelivery(
        id=uuid4(),
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
        digest=b"digest",
        sealed=b"sealed",
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
        config=nothing,
        breakers=breakers,
        finish=cast("Any", lambda *_: None),
        hungry=lambda: None,
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

"""What a turn of the pool asks of its lines: nothing of those that have nothing new. When a line is fed, and asks."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from broker.delivery import Pool, PoolSettings
from broker.delivery import line as line_module
from broker.delivery.line import AHEAD, Line
from broker.delivery.ports import OwnBreakers
from broker.delivery.watching import LOOK_SECONDS, Watch
from broker.eventlog import Partition, Received, Record
from broker.telemetry.metrics import new_metrics
from contracts.breaker import Breaker, Phase
from contracts.grants import GateUnavailable
from contracts.organisation import DeliveryPolicy, Organisation
from contracts.receipts import withheld
from contracts.statuses import Reason
from contracts.topics import deliveries_topic
from tests.support.line import organisation
from tests.unit.test_line_batches import row

NOW = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
SERIAL = DeliveryPolicy(concurrency=1)
NOTHING: Any = None


def records(key: str, *offsets: int) -> list[Received]:
    return [Received(Partition(deliveries_topic(key), 0), offset, b"k", b"v", ()) for offset in offsets]


class Log:
    """A consumer that gives what it is told to."""

    def __init__(self, *owned: str) -> None:
        self.own = frozenset(Partition(deliveries_topic(key), 0) for key in owned)
        self.next: list[Received] = []

    def owned(self) -> frozenset[Partition]:
        return self.own

    async def fetch(self, _limit: int, _wait: timedelta) -> Sequence[Received]:
        given, self.next = self.next, []
        return given

    async def commit(self, _upto: Mapping[Partition, int]) -> None:
        pass


class Spied:
    """A line that only notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def wake(self) -> None:
        self.told.append("wake")

    def own(self, partitions: frozenset[int]) -> None:
        self.told.append(partitions)

    def put(self, items: Sequence[Received]) -> None:
        self.told.append([item.offset for item in items])

    def lost(self, _partition: Partition) -> None:
        self.told.append("lost")


async def test_a_turn_tells_each_line_only_what_is_new_to_it() -> None:
    known = {"organisations": {"a": organisation("a"), "b": organisation("b")}}
    config = cast("Any", SimpleNamespace(organisations=lambda: known["organisations"]))
    pool = Pool(NOTHING, NOTHING, config, NOTHING, PoolSettings(), new_metrics(), lambda: NOW)
    lines = {"a": Spied(), "b": Spied()}
    pool._lines = cast("Any", lines)
    log = Log("a", "b")

    async def told() -> list[list[Any]]:
        for line in lines.values():
            line.told.clear()
        await pool._turn(cast("Any", log))
        return [line.told for line in lines.values()]

    one = frozenset({0})
    assert await told() == [[one, "wake"], [one, "wake"]], "at first everything is new"
    assert await told() == [[], []]
    log.next = records("b", 7)
    assert await told() == [[], [[7]]]
    known["organisations"] = dict(known["organisations"])
    assert await told() == [["wake"], ["wake"]], "settings were read anew"
    log.own = Log("a").own
    assert await told() == [[one], ["lost", frozenset()]]


async def test_what_has_ended_is_written_as_much_as_goes_at_once_and_then_counts() -> None:
    written: list[int] = []

    async def append(these: Sequence[Record]) -> None:
        assert counted() == sum(written), "nothing counts before it is durable"
        written.append(len(these))
        if len(written) == 1:
            pool._finish(ended[5], receipt)  # meanwhile another ends

    metrics, log = new_metrics(), cast("Any", SimpleNamespace(append=append))
    pool = Pool(log, NOTHING, NOTHING, NOTHING, PoolSettings(fetch=2), metrics, lambda: NOW)
    receipt = withheld(UUID(int=1), 0, Reason.PAUSED, NOW)
    ended = records("a", *range(6))

    def counted() -> float:
        return (
            metrics.registry.get_sample_value(
                "unwaith_deliveries_total", {"organisation": "a", "outcome": "withheld", "reason": "paused"}
            )
            or 0.0
        )

    for record in ended:
        pool._offsets.took(record)
    for record in ended[:5]:
        pool._finish(record, receipt)
    writing = asyncio.create_task(pool._write())
    async with asyncio.timeout(10):
        await pool._written.wait()
    writing.cancel()
    assert written == [2, 2, 2]
    assert counted() == 6
    assert pool._offsets.ready() == {Partition(deliveries_topic("a"), 0): 6}


@contextmanager
def working(policy: DeliveryPolicy, gate: Any = None, adapters: Any = None) -> Iterator[SimpleNamespace]:
    """A line of the organisation `a` at work, and whether fetching for it is on or paused."""
    given = organisation("a").model_copy(update={"policy": policy, "partitions": 1})
    said: list[str] = []
    seen = SimpleNamespace(settings={"a": given}, fed=lambda: said[-1] if said else None)
    seen.line = Line(
        "a",
        adapters=adapters,
        gate=gate,
        config=cast(
            "Any", SimpleNamespace(organisations=lambda: seen.settings, fresh=lambda: True, secrets=lambda _: b"")
        ),
        breakers=OwnBreakers(lambda: NOW),
        finish=lambda *_: None,
        pause=lambda: said.append("paused"),
        resume=lambda: said.append("on"),
        metrics=new_metrics(),
        clock=lambda: NOW,
    )
    seen.line.own(frozenset({0}))
    seen.task = asyncio.create_task(seen.line.run())
    try:
        yield seen
    finally:
        seen.task.cancel()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_fetching_pauses_where_enough_is_here_and_goes_on_where_it_is_not_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(line_module, "REST_SECONDS", 3600.0)  # it does not look by itself
    with working(SERIAL) as seen:
        seen.line.own(frozenset())  # nothing may be sent: what comes stays
        seen.line.put(records("a", *range(AHEAD - 1)))
        assert seen.fed() == "on"
        seen.line.put(records("a", AHEAD))
        assert seen.fed() == "paused", "at once: the next fetch may come before the line does"
        await until(lambda: not seen.line._woken.is_set())
        seen.line.lost(Partition(deliveries_topic("a"), 0))
        await until(lambda: seen.fed() == "on")


async def test_fetching_pauses_with_the_organisation() -> None:
    with working(SERIAL) as seen:
        await until(lambda: seen.fed() == "on")
        open_for: Organisation = seen.settings["a"]
        seen.settings = {"a": open_for.model_copy(update={"paused": True})}
        seen.line.wake()
        await until(lambda: seen.fed() == "paused")
        seen.settings = {"a": open_for}
        seen.line.wake()
        await until(lambda: seen.fed() == "on")


async def test_the_gate_is_asked_once_there_is_an_adapter_for_no_grant_outlasts_its_making() -> None:
    makes, asked = asyncio.Event(), asyncio.Event()

    async def slowly(_settings: Organisation) -> Any:
        await makes.wait()
        raise ValueError("wrong settings")  # the attempt says so, once it is granted

    async def grant(*_asked: Any) -> Any:
        asked.set()
        raise GateUnavailable

    with working(SERIAL, SimpleNamespace(grant=grant), slowly) as seen:
        seen.line.put([row(1, None)])
        await until(seen.line._held._making.locked)
        assert not asked.is_set()
        makes.set()
        async with asyncio.timeout(10):
            await asked.wait()


@pytest.mark.parametrize(
    ("stands", "seconds"),
    [
        (Breaker(), float("inf")),
        (Breaker(phase=Phase.OPEN, until=NOW + timedelta(seconds=40)), 40.0),
        (Breaker(phase=Phase.OPEN, until=NOW - timedelta(seconds=40)), LOOK_SECONDS),  # the store did not answer
        (Breaker(phase=Phase.PROBING, until=NOW + timedelta(seconds=15)), 15.0),
        (Breaker(phase=Phase.RAMPING, since=NOW, until=NOW + timedelta(seconds=30)), LOOK_SECONDS),
    ],
)
def test_when_it_is_looked_whether_more_may_be_sent(stands: Breaker, seconds: float) -> None:
    breakers = OwnBreakers(lambda: NOW)
    breakers._known["a"] = stands
    assert Watch("a", breakers, new_metrics()).wait() == seconds

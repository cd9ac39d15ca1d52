"""An organisation's outage, from the first failure to the last delivery: it is left alone, and nobody else notices."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from broker.eventlog.postgres import PostgresLog
from broker.register import Directory
from broker.store import Database, breakers, changes, lanes, operations, register
from broker.tracking.horizon import give_up_late
from broker.vault import RootKeyFile
from contracts.breaker import Breaker, Phase
from contracts.delivery import Delivery, Unavailable, Unknown
from contracts.organisation import BreakerPolicy, DeliveryPolicy
from contracts.receipts import Receipt
from contracts.statuses import Reason
from tests.support.line import QUICK, Line, a_line, a_move, applied, applies, named, now, organisation, somebody

SOON = BreakerPolicy(consecutive=3, first_probe_seconds=0.3, longest_probe_seconds=0.6, ramp_seconds=0.5)


@pytest.fixture
async def line(database: Database, tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as opened:
        settings = organisation(swansea(opened), QUICK.model_copy(update={"breaker": SOON, "concurrency": 8}))
        await register.put_organisation(database, settings)
        await opened.directory.refresh()
        yield opened


def swansea(line: Line) -> str:
    return f"swansea-council-{line.prefix}"


async def fails(_delivery: Delivery, _seen: int) -> Receipt:
    raise Unavailable(Reason.CONNECTION_REFUSED)


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)


async def phase(line: Line) -> Phase:
    found = (await breakers.standing(line.database)).breakers.get(swansea(line), Breaker())
    return found.phase


async def test_an_outage_from_the_first_failure_to_the_last_delivery(line: Line) -> None:
    line.systems.behaviour[swansea(line)] = fails
    told = [await line.tell(somebody(number), a_move()) for number in range(40)]
    line.start(line.relay(), line.pool(), line.pool(), line.tracker())
    for accepted in told:
        await line.until(
            accepted, named(line, cardiff_council="applied", swansea_council="published", transport_for_wales="applied")
        )  # nobody else notices

    async def probed_three_times() -> bool:
        return (await breakers.standing(line.database)).breakers[swansea(line)].probes >= 3

    await eventually(probed_three_times)
    [shown] = [
        item
        for item in (await operations.overview(line.database, 5)).organisations
        if item.organisation == swansea(line)
    ]
    assert shown.breaker in {Phase.OPEN, Phase.PROBING}, "an operator sees it"
    assert shown.breaker_until is not None
    seen = len(line.systems.of(swansea(line)))
    assert seen <= 2 * 8 + 5, "what was under way when it opened, and the probes: the other deliveries were left alone"

    line.systems.behaviour.clear()
    for accepted in told:
        await line.until(accepted, applied(line))

    async def closed() -> bool:
        return await phase(line) is Phase.CLOSED

    await eventually(closed)


async def test_it_survives_a_restart_and_one_of_two_workers_probes(line: Line) -> None:
    stands = Breaker(phase=Phase.OPEN, since=now(), until=now() + timedelta(seconds=1), version=1)
    assert await breakers.move(line.database, swansea(line), stands) is None
    await line.directory.refresh()
    release = asyncio.Event()

    async def waits(delivery: Delivery, seen: int) -> Receipt:
        await release.wait()
        return await applies(delivery, seen)

    line.systems.behaviour[swansea(line)] = waits
    told = [await line.tell(somebody(number), a_move()) for number in range(12)]
    line.start(line.relay(), line.pool(), line.pool(), line.tracker())

    async def probing() -> bool:
        return await phase(line) is Phase.PROBING and bool(line.systems.of(swansea(line)))

    await eventually(probing)
    await asyncio.sleep(0.3)  # time enough for a second one, if there were one
    assert len(line.systems.of(swansea(line))) == 1
    async with line.database.connection() as connection:
        query = "SELECT count(*) FROM lane WHERE organisation = $1 AND in_flight"
        assert await connection.fetchval(query, swansea(line)) == 1, "the log holds the probe, the store all others"
    release.set()
    for accepted in told:
        await line.until(accepted, applied(line))


async def test_what_is_in_the_log_when_it_opens_is_held_and_is_no_attempt(line: Line) -> None:
    told = [await line.tell(somebody(number), a_move()) for number in range(12)]
    await line.relay().step()
    stands = Breaker(phase=Phase.OPEN, since=now(), until=now() + timedelta(hours=1), version=1)
    assert await breakers.move(line.database, swansea(line), stands) is None
    await line.directory.refresh()
    line.start()
    for accepted in told:
        await line.until(
            accepted, named(line, cardiff_council="applied", swansea_council="published", transport_for_wales="applied")
        )
    assert line.systems.of(swansea(line)) == []
    ended = Breaker(phase=Phase.RAMPING, since=now(), until=now() + timedelta(seconds=0.5), version=2)
    assert await breakers.move(line.database, swansea(line), ended) is None
    for accepted in told:
        await line.until(accepted, applied(line))
    assert [delivery.attempt for delivery in line.systems.of(swansea(line))] == [1] * 12


async def test_of_two_who_move_it_one_is_first(database: Database, line: Line) -> None:
    one, other = Directory(database), Directory(database)
    await one.refresh()
    await other.refresh()
    stands = Breaker(phase=Phase.OPEN, since=now(), until=now() + timedelta(seconds=1), version=1)
    assert sorted(await asyncio.gather(*(each.move(swansea(line), stands) for each in (one, other)))) == [False, True]
    assert one.breaker(swansea(line)) == other.breaker(swansea(line))
    later = Breaker(phase=Phase.PROBING, since=now(), until=now() + timedelta(seconds=1), version=3)
    assert not await one.move(swansea(line), later), "a step was left out"
    assert abs((one.now() - now()).total_seconds()) < 5


async def test_the_relay_claims_one_lane_for_a_probe_and_only_when_it_is_due(line: Line) -> None:
    for number in range(3):
        await line.tell(somebody(number), a_move())

    async def claimed() -> int:
        found = await lanes.claim(
            line.database, [swansea(line)], limit=10, credit=100, lease=timedelta(seconds=30), leaf=lambda _: b"{}"
        )
        return len(found)

    later = Breaker(phase=Phase.OPEN, since=now(), until=now() + timedelta(hours=1), version=1)
    await breakers.move(line.database, swansea(line), later)
    assert await claimed() == 0
    assert await lanes.next_due(line.database, [swansea(line)]) is None
    due = Breaker(phase=Phase.OPEN, since=now(), until=now() - timedelta(seconds=1), version=2)
    await breakers.move(line.database, swansea(line), due)
    assert await claimed() == 1
    assert await claimed() == 0, "the log holds what the probe is made with"
    ramping = Breaker(phase=Phase.RAMPING, since=now(), until=now() + timedelta(seconds=1), version=3)
    await breakers.move(line.database, swansea(line), ramping)
    assert await claimed() == 2


async def test_one_delivery_outlives_an_outage_that_swallows_every_probe(line: Line) -> None:
    async def swallows(_delivery: Delivery, _seen: int) -> Receipt:
        raise Unknown(Reason.DEADLINE_PASSED)

    line.systems.behaviour[swansea(line)] = swallows
    accepted = await line.tell(somebody(), a_move())
    stands = Breaker(phase=Phase.OPEN, since=now(), until=now(), version=1)
    assert await breakers.move(line.database, swansea(line), stands) is None
    await line.directory.refresh()
    line.start()

    async def probed() -> bool:
        return len(line.systems.of(swansea(line))) > 7

    await eventually(probed)
    line.systems.behaviour.clear()
    await line.until(accepted, applied(line))


async def test_behind_an_open_breaker_what_is_past_its_horizon_is_given_up_lane_by_lane(line: Line) -> None:
    sent = await line.tell(somebody(), a_move(1))
    await line.relay().step()
    behind = await line.tell(somebody(), a_move(2))
    unsent = await line.tell(somebody(2), a_move())
    hasty = organisation(swansea(line), DeliveryPolicy(horizon_seconds=0.001))
    late = {swansea(line): hasty}
    assert await give_up_late(line.database, late) == 0, "all is well: it is tried"
    stands = Breaker(phase=Phase.OPEN, since=now(), until=now() + timedelta(hours=1), version=1)
    assert await breakers.move(line.database, swansea(line), stands) is None
    patient = {swansea(line): organisation(swansea(line))}
    assert await give_up_late(line.database, patient) == 0
    await operations.pause(line.database, swansea(line), "operator", None, b"{}")
    async with line.database.connection() as connection:
        await connection.execute("UPDATE pause SET began_at = now() - interval '1 hour'")
    assert await give_up_late(line.database, late) == 0, "a pause does not count"
    await operations.pause(line.database, swansea(line), None, None, b"{}")
    async with line.database.connection() as connection:
        await connection.execute("DELETE FROM pause")
    with capture_logs() as logged:
        assert await give_up_late(line.database, late) == 2
    assert [item["reason"] for item in logged if item["event"] == "delivery.undelivered"] == ["horizon_passed"] * 2
    told = [(await line.statuses(one))[swansea(line)] for one in (sent, unsent, behind)]
    assert told == ["undelivered", "undelivered", "queued"]
    assert await give_up_late(line.database, late) == 1, "what was behind is late too"
    assert await give_up_late(line.database, late) == 0
    assert (await changes.books(line.database)).faults() == []

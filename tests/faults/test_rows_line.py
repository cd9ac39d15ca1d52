"""Rows 7, 8, 12 and 13 of the fault matrix: relays and workers that die or sleep in the middle, on both logs.

Each process dies or stops itself at a failpoint, so it happens between exactly these two steps, every time.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from broker.store import Database, StoreUnavailable
from tests.faults.exchange import LEASE_SECONDS, OUTSIDERS, SESSION_SECONDS, Exchange
from tests.faults.ledger import inboxes, unbalanced
from tests.faults.telling import Desk

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("line")]

PEOPLE, EACH = 8, 3
PAST_ITS_TIME = max(LEASE_SECONDS, SESSION_SECONDS) + 1.0


STAYING = (OUTSIDERS, "api", "track-1")


@pytest.fixture
async def desk(exchange: Exchange, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """Somewhere to tell, with the API and tracking at work; the books are closed afterwards."""
    await exchange.start(*STAYING)
    try:
        async with Desk(exchange, run=request.node.name) as opened:
            yield opened
            await exchange.until_settled()
            assert await unbalanced(exchange) == []
            assert opened.faults == []
            assert exchange.alarms() == []
    finally:
        for name, process in exchange.processes.items():
            if name not in STAYING:
                process.kill()


async def test_07_relay_dies_between_publishing_and_marking(exchange: Exchange, desk: Desk) -> None:
    """What it published is published again, with the same ids; the gate and the organisations take it once."""
    await _told(desk)
    await exchange.start("relay-1", failpoints={"relay-1": "relay.appended=1"})
    assert await exchange.process("relay-1").until_killed()
    unmarked = await exchange.value("SELECT count(*) FROM delivery WHERE sequence IS NOT NULL AND status = 'queued'")
    assert unmarked == PEOPLE * 3, "it was to die before it had marked any"
    await exchange.start("relay-1")
    await exchange.until(lambda: _published_twice(exchange, unmarked), "everything is published again")
    await exchange.start("deliver-1")
    await exchange.until_settled()


async def test_07_relay_marks_what_has_long_been_answered(exchange: Exchange, desk: Desk) -> None:
    """It sleeps between publishing and marking until the lanes have moved on: its mark must not touch what is next."""
    await _told(desk)
    receipts = await exchange.value("SELECT count(*) FROM receipt")
    # Each organisation's batch is appended by itself; the third is not marked.
    await exchange.start("relay-1", failpoints={"relay-1": "relay.appended=3:stop"})
    await exchange.process("relay-1").until_stopped()
    await exchange.start("deliver-1")
    await exchange.until(lambda: _more_receipts(exchange, receipts + PEOPLE * 3 - 1), "the first of each are answered")
    exchange.process("relay-1").resume()
    await exchange.until_settled()


@pytest.mark.parametrize("place", ["relay.claimed", "relay.appended"])
async def test_08_a_relay_sleeps_past_its_lease(exchange: Exchange, desk: Desk, place: str) -> None:
    """It wakes when others have long published what it holds, and what comes after, and does what it was about to do."""
    await _told(desk)
    await exchange.start("relay-1", failpoints={"relay-1": f"{place}=1:stop"})
    await exchange.process("relay-1").until_stopped()
    await exchange.start("relay-2", "deliver-1")
    await exchange.until_settled()
    await _goes_on(exchange, "relay-1", "deliveries.published")


async def test_12_a_worker_dies_after_the_yes_and_before_the_receipt(exchange: Exchange, desk: Desk) -> None:
    """The same key again; the organisations see a repeat and do nothing twice."""
    before = _repeats(exchange)
    await exchange.start("relay-1")
    await _told(desk)
    await exchange.start("deliver-1", failpoints={"deliver-1": "delivery.answered=1"})
    assert await exchange.process("deliver-1").until_killed()
    unsaid = "SELECT count(*) FROM receipt r JOIN delivery d ON d.id = r.delivery_id WHERE d.status <> 'applied'"
    assert await exchange.value(unsaid) == 0, "it was to die before it had reported"
    await exchange.start("deliver-1")
    await exchange.until_settled()
    assert _repeats(exchange) > before


async def test_13_a_zombie_brings_an_old_receipt(exchange: Exchange, desk: Desk) -> None:
    """It was told "not now", slept past its session, and reports that when the delivery has long been applied."""
    await exchange.start("relay-1")
    await exchange.tell_outsiders(behaviour="failing", status=503, times=1)
    await _told(desk)
    await exchange.start("deliver-1", failpoints={"deliver-1": "delivery.concluded=1:stop"})
    zombie = exchange.process("deliver-1")
    await zombie.until_stopped()
    await exchange.start("deliver-2")
    if exchange.log == "kafka":
        await exchange.until_settled()
    else:
        await asyncio.sleep(PAST_ITS_TIME)  # this log has no leases: a worker that sleeps keeps its partitions
        assert await exchange.open_deliveries() > 0
    published = await _leaves(exchange, "delivery.published")
    receipts = await exchange.value("SELECT count(*) FROM receipt")
    zombie.resume()
    await exchange.until(lambda: _more_receipts(exchange, receipts), "the zombie's receipt has been folded")
    await exchange.until_settled()
    if exchange.log == "kafka":
        assert await _leaves(exchange, "delivery.published") == published, "an old receipt had something sent again"


async def test_13_a_zombie_was_granted_and_had_not_sent(exchange: Exchange, desk: Desk) -> None:
    """It wakes with leave to send that has run out, and must not send: the delivery may have been withdrawn since."""
    await exchange.start("relay-1")
    await _told(desk)
    before = _repeats(exchange)
    await exchange.start("deliver-1", failpoints={"deliver-1": "delivery.granted=1:stop"})
    await exchange.process("deliver-1").until_stopped()
    await exchange.start("deliver-2")
    if exchange.log == "kafka":
        await exchange.until_settled()
    else:
        await asyncio.sleep(PAST_ITS_TIME + 1.0)  # past the grant, which outlives the attempt's deadline by two seconds
    await _goes_on(exchange, "deliver-1", "grant.expired")
    assert _repeats(exchange) == before, "a grant that had run out was used"


async def test_13_a_zombie_holds_locks(database: Database) -> None:
    """Stopped between two messages of one statement, inside a transaction: the server must let go of its locks.

    PostgreSQL takes such a session for neither idle nor executing. Found by the row above, one time in three.
    """
    zombies = await Database.open(str(database._dsn), transaction_seconds=1.0)
    with pytest.raises(StoreUnavailable):
        await _held_up_in_a_statement(zombies, database)
    await zombies.close()


async def _held_up_in_a_statement(zombies: Database, others: Database) -> None:
    lock = "SELECT FROM configuration FOR UPDATE"
    async with zombies.transaction() as zombie:
        await zombie.execute(lock)
        await zombie.prepare("SELECT 1")  # Parse is sent; Bind, Execute and Sync are not
        try:
            async with others.transaction() as other:
                await other.execute(lock)  # gives up after five seconds
        except StoreUnavailable:
            pytest.fail("the zombie's lock is still held")
        await zombie.execute("SELECT 1")


async def _told(desk: Desk) -> None:
    """Have some people tell some changes each."""

    async def tell(person: int) -> None:
        for number in range(1, EACH + 1):
            await desk.tell(person, number)

    await asyncio.gather(*(tell(person) for person in range(PEOPLE)))


def _repeats(exchange: Exchange) -> int:
    return sum(box.repeats for box in inboxes(exchange))


async def _leaves(exchange: Exchange, action: str) -> int:
    found: int = await exchange.value(
        "SELECT count(*) FROM audit_leaf WHERE convert_from(leaf, 'UTF8')::jsonb->>'action' = $1", action
    )
    return found


async def _published_twice(exchange: Exchange, count: int) -> bool:
    found = await exchange.value(
        """
        SELECT count(*) FROM (
            SELECT leaf->>'delivery' FROM (SELECT convert_from(leaf, 'UTF8')::jsonb AS leaf FROM audit_leaf) l
            WHERE leaf->>'action' = 'delivery.published' GROUP BY 1 HAVING count(*) > 1
        ) twice
        """
    )
    return bool(found >= count)


async def _more_receipts(exchange: Exchange, than: int) -> bool:
    return bool(await exchange.value("SELECT count(*) FROM receipt") > than)


async def _goes_on(exchange: Exchange, name: str, event: str) -> None:
    """Continue a process that sleeps; wait until it has said an event, and what came of it is settled."""

    def times() -> int:
        return sum(line.get("event") == event for line in exchange.process(name).said())

    before = times()

    async def said() -> bool:
        return times() > before

    exchange.process(name).resume()
    await exchange.until(said, f"{name} says {event}")
    await asyncio.sleep(1.0)  # what it brought goes through the log
    await exchange.until_settled()

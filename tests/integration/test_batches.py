"""Daily files: closed in the store at the cut-off, sent whole, and the same to the byte whenever they are sent again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from broker.eventlog import EventLog, Record
from broker.relay import RelaySettings
from broker.store import Database
from broker.store.replays import Asked
from broker.tracking import replay
from broker.tracking.giving_up import GivenUp, give_up
from broker.vault import RootKeyFile
from contracts.delivery import Delivery, Failure, Unknown
from contracts.receipts import Receipt
from contracts.statuses import Reason
from contracts.topics import RECEIPTS
from tests.support.council import Council, DeliverMany
from tests.support.eventlogs import log_of, on_both_logs
from tests.support.line import Line, a_line, a_move, named, now, somebody
from tests.support.openssh import OpenSsh, openssh

# Where nothing is cached yet the first of them fetches the server, which may take minutes.
pytestmark = [pytest.mark.xdist_group("sftp-openssh"), pytest.mark.timeout(900)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OpenSsh]:
    with openssh(tmp_path) as running:
        yield running


@pytest.fixture
async def line(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(database, log_of(request, database), RootKeyFile.open(tmp_path / "root.key")) as opened:
        yield opened


@pytest.fixture
def council(line: Line, server: OpenSsh) -> Council:
    return Council(line, server)


async def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


async def settled(council: Council, *statuses: str) -> dict[str, tuple[str, str | None]]:
    """Wait until each of the council's deliveries has one of these statuses."""
    async with asyncio.timeout(60.0):
        while True:
            found = await council.stored()
            if {status for status, _ in found.values()} <= set(statuses):
                return found
            await asyncio.sleep(0.02)


async def test_what_is_told_waits_for_the_cut_off_and_then_goes_in_files_of_the_size_agreed(
    line: Line, council: Council
) -> None:
    await council.takes_files(size=3)
    told = [await line.tell(somebody(number), a_move()) for number in range(7)]
    line.start()
    for accepted in told:
        await line.until(
            accepted, named(line, cardiff_council="applied", swansea_council="queued", transport_for_wales="applied")
        )
    assert await line.relay().step() == 0
    assert council.files() == {}
    await council.cut_off()
    stored = await settled(council, "received")
    rows = council.rows()
    assert sorted(map(len, rows.values())) == [1, 3, 3]
    assert sorted(one for ids in rows.values() for one in ids) == sorted(stored)
    for name, ids in rows.items():
        assert [stored[one][1] for one in ids] == [f"{name}#{row}" for row in range(1, len(ids) + 1)]
    assert await council.closed() == rows, "the store's names are the files'"


async def test_two_changes_of_one_person_go_in_two_files_one_after_the_other(line: Line, council: Council) -> None:
    await council.takes_files()
    for house in (1, 2):
        for number in range(3):
            await line.tell(somebody(number), a_move(house))
    await council.cut_off()
    line.start()
    await settled(council, "received")
    assert [one.sequence for one in council.handed[0]] == [1, 1, 1]
    order: dict[str, list[int]] = {}
    for batch in council.handed:
        assert len({one.subject for one in batch}) == len(batch)
        for one in batch:
            order.setdefault(one.subject, []).append(one.sequence)
    assert list(order.values()) == [[1, 2]] * 3


class Dying:
    """The log as a worker has it that dies before its first receipt: nothing is durable from then on."""

    def __init__(self, log: EventLog) -> None:
        self.died = asyncio.Event()
        self.consumer, self.ensure, self.ready, self.close = log.consumer, log.ensure, log.ready, log.close

    async def append(self, records: Sequence[Record]) -> None:
        """Wait for ever: a worker appends nothing but receipts."""
        assert all(record.topic == RECEIPTS.name for record in records)
        self.died.set()
        await asyncio.Event().wait()


@on_both_logs
async def test_a_worker_that_dies_after_the_upload_is_followed_by_one_that_makes_the_same_file(
    line: Line, council: Council
) -> None:
    await council.takes_files()
    for number in range(20):
        await line.tell(somebody(number), a_move())
    await council.cut_off()
    while await line.relay().step():
        pass
    healthy: EventLog = line.eventlog
    line.eventlog = dying = Dying(healthy)
    pool = asyncio.create_task(line.pool().run(asyncio.Event()))
    line.eventlog = healthy
    await dying.died.wait()
    await until(council.files)
    pool.cancel()
    await asyncio.gather(pool, return_exceptions=True)
    (before,) = council.files().items()
    (server := council.server.files / "incoming" / before[0]).unlink()  # as if it had been loaded and taken away
    await council.grants_run_out()
    line.start()
    stored = await settled(council, "received")
    assert council.files() == dict([before]), "the same name, and the same to the byte"
    assert server.exists()
    assert {reference for _, reference in stored.values()} == {f"{before[0]}#{row}" for row in range(1, 21)}
    first, *again = [[one.id for one in batch] for batch in council.handed]
    assert again
    assert all(batch == first for batch in again)


async def test_a_file_whose_end_is_not_known_is_sent_again_as_it_was(line: Line, council: Council) -> None:
    await council.takes_files()
    for number in range(10):
        await line.tell(somebody(number), a_move())
    await council.cut_off()

    async def lost(deliver_many: DeliverMany, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        arrived = await deliver_many(deliveries)
        return arrived if len(council.handed) > 2 else [Unknown(Reason.CONNECTION_LOST)] * len(deliveries)

    council.around = lost
    line.start()
    stored = await settled(council, "received")
    (name,) = council.files()
    assert {reference for _, reference in stored.values()} == {f"{name}#{row}" for row in range(1, 11)}
    assert len({tuple(one.id for one in batch) for batch in council.handed}) == 1
    assert [max(one.attempt for one in batch) for batch in council.handed] == [1, 2, 3]


async def test_a_row_that_may_not_be_sent_any_more_leaves_the_others_to_a_file_of_another_name(
    line: Line, council: Council
) -> None:
    await council.takes_files()
    told = [await line.tell(somebody(number), a_move()) for number in range(5)]
    await council.cut_off()
    while await line.relay().step():
        pass
    ids = sorted(await council.stored())
    async with line.database.transaction() as connection:
        gone = await connection.fetchrow(
            "SELECT person_id, id FROM delivery WHERE organisation = $1 AND change_id = $2",
            council.id,
            told[2].change_id,
        )
        await connection.execute("UPDATE person SET erased_at = now() WHERE id = $1", gone["person_id"])
        await connection.execute("DELETE FROM person_key WHERE person_id = $1", gone["person_id"])
    line.start()
    stored = await settled(council, "received", "cancelled")
    kept = [one for one in ids if one != str(gone["id"])]
    assert stored[str(gone["id"])] == ("cancelled", None)
    rows = council.rows()
    assert list(rows.values()) == [kept]
    ((broken, left),) = [(name, ids) for name, ids in (await council.closed()).items() if name not in rows]
    assert left == [str(gone["id"])], "what was closed first never went out"
    assert broken not in rows
    assert [[str(one.id) for one in batch] for batch in council.handed] == [kept], "nothing was sent of what was broken"
    assert {one.attempt for one in council.handed[0]} == {1}


@on_both_logs
async def test_two_relays_and_two_workers_make_the_same_files_as_one(line: Line, council: Council) -> None:
    await council.takes_files(size=10)
    line.relay_settings = RelaySettings(lease=timedelta(seconds=30))
    for number in range(40):
        await line.tell(somebody(number), a_move())
    await council.cut_off()
    line.start(line.relay(), line.relay(), line.pool(), line.pool(), line.tracker())
    stored = await settled(council, "received")
    rows = council.rows()
    assert [len(ids) for ids in rows.values()] == [10] * 4
    assert sorted(one for ids in rows.values() for one in ids) == sorted(stored)
    assert len({reference for _, reference in stored.values()}) == 40


async def test_what_is_replayed_goes_with_the_next_file(line: Line, council: Council) -> None:
    await council.takes_files()
    for number in range(3):
        await line.tell(somebody(number), a_move())
    await council.cut_off()
    while await line.relay().step():
        pass
    ids = sorted(await council.stored())
    given_up = UUID(ids[1])
    done = await give_up(line.database, given_up, reason="operator", note="INC-1", actor="test", now=now())
    assert done is GivenUp.DONE
    line.start()
    await settled(council, "received", "undelivered")
    asked = Asked(organisation=council.id, delivery_id=given_up)
    await replay.ask(line.database, asked, reason="repaired", note="INC-1", actor="test", expected=1, now=now())
    await replay.carry_on(line.database, now())
    assert (await council.stored())[str(given_up)][0] == "queued"
    assert await line.relay().step() == 0, "it waits for the cut-off, as everything does"
    await council.cut_off()
    await settled(council, "received")
    assert sorted(council.rows().values(), key=len) == [[ids[1]], [ids[0], ids[2]]]

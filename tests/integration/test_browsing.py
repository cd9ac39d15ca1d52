"""Deliveries somebody must look at: each is found once, page by page, and only while it stands there."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.eventlog.postgres import PostgresLog
from broker.store import Database, browsing, operations
from broker.store.browsing import NEWEST, STATEMENTS, Place, Stuck
from broker.vault import RootKeyFile
from contracts.delivery import Delivery
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Status
from tests.support.line import Line, a_line, a_move, applied, applies, somebody


@pytest.fixture
async def line(database: Database, tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as opened:
        yield opened


async def everything(line: Line, organisation: str, status: Status, limit: int) -> list[Stuck]:
    found: list[Stuck] = []
    before: Place | None = NEWEST
    while before is not None:
        page = await browsing.stuck(line.database, organisation, status, before, limit)
        assert len(page.found) <= limit
        found += page.found
        before = page.after
    return found


async def test_each_delivery_is_found_once_while_it_stands_there(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "MOST_LOOKED_AT", 3)  # so that a page ends before it is full
    council, other = (f"{name}-{line.prefix}" for name in ("cardiff-council", "swansea-council"))
    said = {"review": Outcome.MUST_REVIEW, "refuse": Outcome.REJECTED_POLICY}
    turn = iter(["review", "refuse", "review", "review", "refuse", "review"])

    async def refuses(delivery: Delivery, _seen: int) -> Receipt:
        return (await applies(delivery, 0)).model_copy(update={"outcome": said[next(turn)]})

    line.systems.behaviour[council] = refuses
    line.start()
    told = []
    for number in range(6):
        told.append(await line.tell(somebody(number), a_move()))
        stands = "needs_review" if number in {0, 2, 3, 5} else "rejected"
        await line.until(told[-1], {**applied(line), council: stands})
    reviewed = await everything(line, council, Status.NEEDS_REVIEW, limit=2)
    assert [one.change_id for one in reviewed] == [told[n].change_id for n in (5, 3, 2, 0)], "the latest first"
    assert {one.outcome for one in reviewed} == {"must_review"}
    refused = await everything(line, council, Status.REJECTED, limit=2)
    assert [one.change_id for one in refused] == [told[n].change_id for n in (4, 1)]
    for status in STATEMENTS:
        assert await everything(line, other, status, limit=2) == []
    # one that has moved on stands there no more
    async with line.database.connection() as connection:
        await connection.execute("UPDATE delivery SET status = 'applied' WHERE id = $1", reviewed[0].delivery_id)
    left = await everything(line, council, Status.NEEDS_REVIEW, limit=50)
    assert [one.delivery_id for one in left] == [one.delivery_id for one in reviewed[1:]]
    assert await browsing.change_of(line.database, council, reviewed[0].delivery_id) == told[5].change_id
    assert await browsing.change_of(line.database, other, reviewed[0].delivery_id) is None


async def test_how_long_deliveries_took_is_counted_once_for_each(line: Line) -> None:
    line.start()
    told = [await line.tell(somebody(number), a_move()) for number in range(4)]
    for accepted in told:
        await line.until(accepted, applied(line))
    seen = await operations.overview(line.database, 30)
    took = [(item.organisation, int(item.code), item.n) for item in seen.happened if item.event == "took"]
    counted = {name: sum(n for who, _, n in took if who == name) for name in applied(line)}
    assert counted == dict.fromkeys(applied(line), 4)
    assert all(0 <= half_octave < 32 for _, half_octave, _ in took), "between a millisecond and a minute"
    async with line.database.connection() as connection:  # an answer that comes later raises it again: counted already
        await connection.execute("UPDATE delivery SET status = 'received'")
        await connection.execute("UPDATE delivery SET status = 'applied'")
    again = await operations.overview(line.database, 30)
    assert sum(item.n for item in again.happened if item.event == "took") == 12


async def test_a_page_is_found_by_its_index(line: Line) -> None:
    async with line.database.connection() as connection:
        await connection.execute("SET enable_seqscan = off")
        for statement, _ in STATEMENTS.values():
            plan = await connection.fetch(f"EXPLAIN {statement}", NEWEST.at, NEWEST.id, 10)
            assert "Index Only Scan Backward" in str(plan), plan

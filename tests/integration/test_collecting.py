"""Answers by file, fetched from a real OpenSSH server: what comes in, what does not, and what is said of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from adapters import sftp_answers
from adapters.registry import collector_for
from broker.eventlog.postgres import PostgresLog
from broker.store import Database, operations, register
from broker.store import collecting as store_collecting
from broker.store.collecting import Round
from broker.telemetry.metrics import new_metrics
from broker.tracking.collecting import Collecting
from broker.tracking.watching import note
from broker.vault import RootKeyFile
from contracts.adapters import Collector
from contracts.organisation import AnswersPolicy, Organisation
from contracts.statuses import Outcome
from contracts.times import WALES
from tests.support.answers import answers_file
from tests.support.council import Council
from tests.support.line import Line, a_line, a_move, now, somebody
from tests.support.openssh import OpenSsh, openssh
from tests.support.ways_out import context

# Where nothing is cached yet the first of them fetches the server, which may take minutes.
pytestmark = [pytest.mark.xdist_group("sftp-openssh"), pytest.mark.timeout(900)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OpenSsh]:
    with openssh(tmp_path) as running:
        yield running


@pytest.fixture
async def council(database: Database, tmp_path: Path, server: OpenSsh) -> AsyncIterator[Council]:
    """A council with three of its deliveries received, by file."""
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as line:
        council = Council(line, server)
        await council.takes_files()
        for number in range(3):
            await line.tell(somebody(number), a_move())
        await council.cut_off()
        line.start()
        await until(council, lambda stored: {status for status, _ in stored.values()} == {"received"})
        await agree(line, council)
        yield council


async def until(council: Council, holds: Callable[[dict[str, tuple[str, str | None]]], bool]) -> None:
    async with asyncio.timeout(60.0):
        while not holds(await council.stored()):
            await asyncio.sleep(0.02)


async def agree(line: Line, council: Council, **policy: object) -> None:
    known = line.directory.organisations()[council.id]
    delivery = known.policy.model_copy(update={"answers": AnswersPolicy(every_seconds=1, **policy)})  # type: ignore[arg-type]
    await register.put_organisation(line.database, known.model_copy(update={"policy": delivery}))
    await line.directory.refresh()


@asynccontextmanager
async def collecting(
    council: Council, *, outgoing: str = "outgoing", count: int = 1
) -> AsyncIterator[list[Collecting]]:
    """Fetch its answers, in so many processes at once."""
    line, server = council.line, council.server

    async def collectors(settings: Organisation) -> Collector | None:
        if settings.id != council.id:
            return None
        told = server.settings | {"answers": str(server.files / outgoing)}
        return collector_for("sftp", context(told, {"ssh-key": server.key}, deadline=timedelta(seconds=20)))

    stop = asyncio.Event()
    made = [
        Collecting(line.database, line.eventlog, line.directory, collectors, new_metrics(), now) for _ in range(count)
    ]
    tasks = [asyncio.create_task(one.run(stop)) for one in made]
    try:
        yield made
    finally:
        stop.set()
        await asyncio.gather(*tasks)


def put(council: Council, name: str, content: bytes) -> Path:
    """Put a file as an organisation does: renamed into place when it is whole."""
    path = council.server.files / "outgoing" / name
    path.with_suffix(".part").write_bytes(content)
    return path.with_suffix(".part").rename(path)


async def gone(path: Path, to: str) -> None:
    async with asyncio.timeout(60.0):
        while path.exists() or not path.with_suffix(to).exists():
            await asyncio.sleep(0.02)


async def leaves(council: Council, action: str) -> list[str]:
    async with council.line.database.connection() as connection:
        rows = await connection.fetch("SELECT convert_from(leaf, 'UTF8') AS leaf FROM audit_leaf")
    return [row["leaf"] for row in rows if f'"action":"{action}"' in row["leaf"]]


async def rounds(council: Council, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for what is written down of the rounds of the council's."""
    async with asyncio.timeout(60.0):
        while True:
            async with council.line.database.connection() as connection:
                row = await connection.fetchrow(
                    "SELECT failures, reason, answered_at, silent, due - now() AS wait FROM collection"
                    " WHERE organisation = $1",
                    council.id,
                )
            if row is not None and holds(dict(row)):
                return dict(row)
            await asyncio.sleep(0.02)


async def test_answers_in_a_file_end_the_deliveries_with_their_references(council: Council) -> None:
    first, second, third = sorted(await council.stored())
    answers = [
        (first, Outcome.APPLIED, "CT-2026/1"),
        (second, Outcome.REJECTED_INVALID, "CT-2026/2"),
        (third, Outcome.MUST_REVIEW, ""),
    ]
    file = put(council, "atebion.csv", answers_file(answers))
    (name,) = council.files()
    ended = {first: ("applied", "CT-2026/1"), second: ("rejected", "CT-2026/2"), third: ("needs_review", f"{name}#3")}
    async with collecting(council, count=2):
        await until(council, lambda stored: stored == ended)
        await gone(file, ".done")
        again = put(council, "atebion.csv", answers_file(answers))  # the same file, sent twice
        await gone(again, ".done")
        other = put(
            council, "eto.csv", answers_file([(first, Outcome.REJECTED_INVALID, "CT-9")])
        )  # and what contradicts
        await gone(other, ".done")
        await until(council, lambda stored: stored == ended)
    async with council.line.database.connection() as connection:
        async with asyncio.timeout(60.0):
            while await connection.fetchval("SELECT count(*) FROM receipt WHERE effect = 'conflict'") < 1:
                await asyncio.sleep(0.02)
        told = await connection.fetchval("SELECT count(*) FROM receipt WHERE kind = 'answered' AND outcome <> 'accepted'"
                                         " AND delivery_id = ANY($1::uuid[])", [first, second, third])  # fmt: skip
    assert told == 4, "three answers, once each, and the contradiction"


async def test_a_row_about_another_organisations_delivery_is_refused_and_written_down(council: Council) -> None:
    line = council.line
    async with line.database.connection() as connection:
        theirs = str(
            await connection.fetchval(
                "SELECT id FROM delivery WHERE organisation = $1 LIMIT 1", f"cardiff-council-{line.prefix}"
            )
        )
    own, *_ = await council.stored()
    forged = [
        (theirs, Outcome.REJECTED_POLICY, "X"),
        (own, Outcome.APPLIED, "CT-1"),
        (str(uuid4()), Outcome.APPLIED, ""),
    ]
    file = put(council, "atebion.csv", answers_file(forged))
    async with collecting(council):
        await until(council, lambda stored: stored[own] == ("applied", "CT-1"))
        await gone(file, ".done")
    (leaf,) = await leaves(council, "answers.refused")
    assert theirs in leaf
    assert '"count":2' in leaf
    assert council.id in leaf
    async with line.database.connection() as connection:
        about = await connection.fetch("SELECT outcome FROM receipt WHERE delivery_id = $1", theirs)
    assert Outcome.REJECTED_POLICY not in {row["outcome"] for row in about}


async def test_a_file_that_is_half_written_is_waited_for_and_pauses_nobody(council: Council) -> None:
    first, *_ = await council.stored()
    whole = answers_file([(first, Outcome.APPLIED, "CT-1")])
    path = council.server.files / "outgoing" / "atebion.csv"
    with path.open("wb") as writing:
        writing.write(whole[:60])
        writing.flush()
        async with collecting(council):
            seen = await rounds(council, ended)
            assert (seen["answered_at"], seen["failures"]) == (None, 0)
            assert not council.line.directory.organisations()[council.id].paused
            writing.write(whole[60:])
            writing.flush()
            await until(council, lambda stored: stored[first] == ("applied", "CT-1"))
            await gone(path, ".done")


def ended(row: dict[str, Any]) -> bool:
    """Whether a round has come to its end, after which the next is due sooner than another would take it over."""
    return bool(row["wait"] < timedelta(minutes=1))


def failed(failures: int, row: dict[str, Any]) -> bool:
    return bool(row["failures"] >= failures)


async def retried(council: Council) -> None:
    """Make the next round due."""
    async with council.line.database.connection() as connection:
        await connection.execute("UPDATE collection SET due = now() WHERE organisation = $1", council.id)


async def test_a_file_that_is_none_is_set_aside_aloud_and_the_others_come_in(
    council: Council, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sftp_answers, "SETTLED", timedelta(0))
    first, *_ = await council.stored()
    bad = put(council, "a.csv", answers_file([(first, Outcome.REJECTED_INVALID, "")]).replace(b"rejected", b"accepted"))
    good = put(council, "b.csv", answers_file([(first, Outcome.APPLIED, "CT-1")]))
    async with collecting(council) as (fetching,):
        await gone(good, ".done")
        await gone(bad, ".unreadable")
        await until(council, lambda stored: stored[first] == ("applied", "CT-1"))
        await rounds(council, lambda row: row["failures"] == 0 and row["answered_at"] is not None)
    assert len(await leaves(council, "answers.set_aside")) == 1
    told = fetching._metrics.registry.get_sample_value("unwaith_answers_unreadable_total", {"organisation": council.id})
    assert told == 1


async def test_a_server_that_is_away_is_asked_less_and_less_and_then_it_is_an_alarm(council: Council) -> None:
    async with collecting(council, outgoing="nowhere"):
        for failures in range(1, operations.MANY_FAILURES + 1):
            seen = await rounds(council, partial(failed, failures))
            assert seen["reason"] == "endpoint_missing"
            await retried(council)
        overview = await operations.overview(council.line.database, 1)
        assert [one.organisation for one in overview.organisations if one.uncollected] == [council.id]
        assert not council.line.directory.organisations()[council.id].paused, "what it is sent does not depend on that"
        (council.server.files / "nowhere").mkdir()
        await retried(council)
        await rounds(council, lambda row: row["failures"] == 0)
    waits = []
    for _ in range(4):
        how = Round(answered=False, reason="server_error", every=timedelta(seconds=600), longest=timedelta(hours=1))
        await store_collecting.ended(council.line.database, council.id, how)
        waits.append((await rounds(council, lambda _: True))["wait"])
    assert [round(wait / timedelta(minutes=10)) for wait in waits] == [2, 4, 6, 6]


async def test_no_answer_by_the_time_agreed_is_an_alarm_until_something_comes(council: Council) -> None:
    line = council.line
    await agree(line, council, by=f"{(now() - timedelta(minutes=1)).astimezone(WALES):%H:%M}")
    async with collecting(council):
        await rounds(council, ended)
        assert not (await silent(council)), "what was taken in today has time until tomorrow"
        async with line.database.connection() as connection:
            await connection.execute(
                "UPDATE delivery SET answered_at = answered_at - interval '2 days' WHERE organisation = $1", council.id
            )
        await rounds(council, lambda row: row["silent"] is True)
        assert await silent(council)
        first, *_ = await council.stored()
        put(council, "atebion.csv", answers_file([(first, Outcome.APPLIED, "CT-1")]))
        await rounds(council, lambda row: row["silent"] is False)
        assert not await silent(council)


async def silent(council: Council) -> bool:
    """Return whether it is an alarm, as the metric has it."""
    metrics = new_metrics()
    note(metrics, await operations.overview(council.line.database, 1))
    return metrics.registry.get_sample_value("unwaith_answers_silent", {"organisation": council.id}) == 1


async def test_one_that_is_paused_is_left_alone(council: Council) -> None:
    line = council.line
    first, *_ = await council.stored()
    file = put(council, "atebion.csv", answers_file([(first, Outcome.APPLIED, "CT-1")]))
    await operations.pause(line.database, council.id, "operator", None, b"{}")
    await line.directory.refresh()
    async with collecting(council) as (fetching,):
        assert await fetching._time_for(frozenset()) == []
        assert file.exists()
        await operations.pause(line.database, council.id, None, None, b"{}")
        await line.directory.refresh()
        await until(council, lambda stored: stored[first] == ("applied", "CT-1"))

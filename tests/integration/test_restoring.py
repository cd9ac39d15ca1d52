"""The store is lost, and restored from a backup of PostgreSQL's own tools; organisations and the log remember what it forgot."""

import asyncio
from asyncio.subprocess import PIPE
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from broker.cli.operating import store
from broker.cli.restoring import restored
from broker.eventlog.postgres import PostgresLog
from broker.intake import Accepted
from broker.store import Database, changes, operations
from broker.store.embedded import EmbeddedPostgres, _binaries
from broker.store.mailbox import StoreMailbox
from broker.store.restoring import FINER
from broker.tracking.tracker import GROUP
from broker.vault import RootKeyFile
from contracts.delivery import Delivery
from contracts.statuses import Reason
from tests.support.line import Line, a_line, a_move, applied, named, somebody
from tests.support.postgres import fresh_database

ANEW = 1_700_000_000
"""Seconds since 1970, in the year 2023. After a restoration numbers are above it; others in these tests are not."""


@pytest.fixture
def root(tmp_path: Path) -> RootKeyFile:
    return RootKeyFile.open(tmp_path / "root.key")


@pytest.fixture
def elsewhere(postgres: EmbeddedPostgres) -> Iterator[str]:
    """An empty database, to restore a backup to."""
    yield from fresh_database(postgres, "template0")


@pytest.fixture
async def log_apart(postgres: EmbeddedPostgres, _template: str) -> AsyncIterator[Database]:
    """A database for a log alone: it is not restored with the store, as Kafka is not."""
    made = fresh_database(postgres, _template)
    opened = await Database.open(next(made))
    yield opened
    await opened.close()
    next(made, None)


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.cli.restoring.configure_logs", lambda **_: None)
    for name, value in {"ENVIRONMENT": "test", "LOG": "postgres"}.items():
        monkeypatch.setenv(f"UNWAITH_{name}", value)


async def run(program: str, *arguments: str, given: bytes = b"") -> bytes:
    """Run one of PostgreSQL's own programs."""
    begun = await asyncio.create_subprocess_exec(
        _binaries() / program, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    out, said = await begun.communicate(given)
    assert begun.returncode == 0, said.decode()
    return out


async def said_once_nobody_is_connected() -> None:
    """A session that was closed is there for a moment still."""
    async with asyncio.timeout(40):
        while await restored("INC-1234"):
            await asyncio.sleep(0.05)


async def told(line: Line, accepted: Accepted) -> list[Delivery]:
    ids = {row.id for row in await changes.deliveries_of(line.database, [accepted.change_id])}
    return [one for one in line.systems.arrived if one.id in ids]


async def test_a_restored_store_gives_no_number_out_twice_and_delivers_what_it_owes(
    database: Database,
    dsn: str,
    elsewhere: str,
    log_apart: Database,
    root: RootKeyFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    eventlog = PostgresLog(log_apart)
    async with a_line(database, eventlog, root) as before:
        before.start()
        await before.until(await before.tell(somebody(1), a_move(1)), applied(before))
        swansea = f"swansea-council-{before.prefix}"
        await operations.pause(database, swansea, "operator", None, b"{}")
        await before.directory.refresh()
        owed = await before.tell(somebody(1), a_move(2))
        others = {"cardiff_council": "applied", "transport_for_wales": "applied"}
        await before.until(owed, named(before, swansea_council="queued", **others))

        backup = await run("pg_dump", "--format=custom", f"--dbname={dsn}")

        await operations.pause(database, swansea, None, None, b"{}")
        await before.directory.refresh()
        await before.until(owed, applied(before))
        for person in (2, 1):
            await before.until(await before.tell(somebody(person), a_move(3)), applied(before))
        lost = {
            row.id for row in before.systems.arrived if row.sequence == 3 or row.subject not in _subjects(before, 2)
        }

    await run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={elsewhere}", given=backup)
    monkeypatch.setenv("UNWAITH_DATABASE_DSN", elsewhere)
    await said_once_nobody_is_connected()
    async with log_apart.connection() as connection:  # kafka-consumer-groups --reset-offsets --to-earliest
        await connection.execute(
            "DELETE FROM log_commit WHERE group_id = (SELECT id FROM log_group WHERE name = $1)", GROUP
        )

    restored_store = await Database.open(elsewhere)
    try:
        async with a_line(restored_store, eventlog, root, prefix=before.prefix) as after:
            assert await restored("INC-1234") == 1, "something runs"
            assert (await after.statuses(owed))[swansea] == "queued"
            after.start(after.tracker())
            await after.until(owed, applied(after))
            assert not after.systems.arrived, "its organisation has said so already"

            await operations.pause(restored_store, swansea, None, None, b"{}")
            await after.directory.refresh()
            after.start(after.relay(), after.pool())
            new, known = await after.tell(somebody(3), a_move(3)), await after.tell(somebody(1), a_move(4))
            for accepted in (new, known):
                await after.until(accepted, applied(after))
                assert all(one.sequence > ANEW for one in await told(after, accepted))

            assert not _given_twice([*before.systems.arrived, *after.systems.arrived])
            assert not {one.subject for one in await told(after, new)} & {one.subject for one in before.systems.arrived}
            assert {one.subject for one in await told(after, known)} <= {one.subject for one in before.systems.arrived}

            set_aside = await operations.quarantined(restored_store, 100)
            assert {one.delivery_id for one in set_aside} == lost
            assert {one.reason for one in set_aside} == {Reason.UNKNOWN_DELIVERY}
            faults = (await changes.books(restored_store)).faults()
            assert faults == [f"{len(set_aside)} records in quarantine that nobody has looked at"]
            acts = await operations.acts(restored_store, 10)
            [act] = [one for one in acts if one.get("action") == "store.restored"]
            assert (act["detail"]["note"], act["detail"]["lanes"]) == ("INC-1234", 3)
    finally:
        await restored_store.close()


def _given_twice(arrived: list[Delivery]) -> list[tuple[str, str, int]]:
    """Return the numbers under which an organisation was told different things of one subject."""
    numbers: dict[tuple[str, str, int], set[UUID]] = defaultdict(set)
    for one in arrived:
        numbers[one.organisation, one.subject, one.sequence].add(one.id)
    return [number for number, ids in numbers.items() if len(ids) > 1]


def _subjects(line: Line, sequence: int) -> set[str]:
    """Return the pseudonyms of whoever has told so many changes."""
    return {one.subject for one in line.systems.arrived if one.sequence == sequence}


async def test_what_may_be_in_the_log_is_owed_again_and_places_in_mailboxes_go_on_above(
    database: Database, dsn: str, root: RootKeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_line(database, PostgresLog(database), root) as line:
        line.start(line.relay())
        accepted = await line.tell(somebody(), a_move())
        await line.until(accepted, dict.fromkeys(applied(line), "published"))
        rows = await changes.deliveries_of(database, [accepted.change_id])
    organisations = [row.organisation for row in rows]
    async with database.connection() as connection:
        await connection.execute("INSERT INTO mailbox_end (organisation, place) VALUES ($1, 7)", organisations[0])
    await database.close()
    monkeypatch.setenv("UNWAITH_DATABASE_DSN", dsn)
    await said_once_nobody_is_connected()
    await said_once_nobody_is_connected()
    again = await Database.open(dsn)
    try:
        async with again.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM lane WHERE in_flight AND due > now()") == 0
            first, second = await connection.fetch("SELECT sequence_from FROM restoration ORDER BY 1")
            assert second["sequence_from"] >= first["sequence_from"] + 1_000_000 > ANEW, "the second is not the first"
        async with a_line(again, PostgresLog(again), root, prefix=line.prefix) as after:
            after.start()
            await after.until(accepted, applied(after))
            assert [one.sequence for one in after.systems.arrived] == [1, 1, 1], "under the number it has"
            for arrived in after.systems.arrived:
                await StoreMailbox(again, arrived.organisation).place([arrived], timedelta(hours=1))
        async with again.connection() as connection:
            places = await connection.fetch("SELECT organisation, place FROM mailbox")
            assert {row["organisation"] for row in places} == set(organisations)
            assert all(row["place"] == second["sequence_from"] * FINER + 1 for row in places)
    finally:
        await again.close()


async def test_a_command_finds_the_embedded_store_that_runs(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNWAITH_EMBEDDED", str(postgres.log_file.parent))
    async with store() as database, database.connection() as connection:
        assert await connection.fetchval("SELECT current_database()") == "unwaith"

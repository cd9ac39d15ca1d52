"""What is not asked of the store a second time, held against what the store would have said."""

import asyncio
from datetime import date, timedelta
from pathlib import Path

import pytest

from broker.api.answers import json_bytes
from broker.api.following import just_told, whole
from broker.eventlog.postgres import PostgresLog
from broker.store import Database, changes, register
from broker.vault import RootKeyFile
from broker.verification import StoredGazetteer
from broker.verification.gazetteer import KEPT_MOST, KEPT_SECONDS
from contracts.address import Address
from tests.support.api import parts_of
from tests.support.line import CARDIFF, NEW_UPRN, OLD_UPRN, SWANSEA, a_line, a_move, now, somebody


@pytest.mark.parametrize("on", [now().date(), now().date() + timedelta(days=30)])
async def test_a_change_just_stored_is_known_as_it_would_be_read_back(
    database: Database, tmp_path: Path, on: date
) -> None:
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as line:
        accepted = await line.tell(somebody(), a_move(on=on), key="once")
        assert accepted.fresh is not None
        parts = parts_of(line)
        stored = await changes.one_of_person(database, accepted.person.person_id, accepted.reference)
        assert stored is not None
        assert just_told(parts, accepted.fresh) == json_bytes(await whole(parts, accepted.person, stored))
        repeat = await line.tell(somebody(), a_move(on=on), key="once")
        assert (repeat.change_id, repeat.fresh) == (accepted.change_id, None)


async def test_accepting_wakes_the_relay_in_the_same_statement(database: Database, tmp_path: Path) -> None:
    woken = asyncio.Event()
    listening = asyncio.ensure_future(await database.listen("unwaith_due", lambda _: woken.set()))
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as line:
        await line.tell(somebody(), a_move())
        async with asyncio.timeout(10):
            await woken.wait()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_an_authority_is_remembered_for_a_while_and_an_unknown_one_asked_again(database: Database) -> None:
    await _lies_in(database, OLD_UPRN, CARDIFF)
    seconds = 0.0
    gazetteer = StoredGazetteer(database, clock=lambda: seconds)
    old, new = Address(uprn=OLD_UPRN), Address(uprn=NEW_UPRN)
    assert await gazetteer.custodians([old, new]) == [CARDIFF, None]
    await _lies_in(database, OLD_UPRN, SWANSEA)
    await _lies_in(database, NEW_UPRN, SWANSEA)
    assert await gazetteer.custodians([old, new]) == [CARDIFF, SWANSEA]
    seconds = KEPT_SECONDS
    assert await gazetteer.custodians([old, new]) == [SWANSEA, SWANSEA]


async def test_what_is_remembered_of_addresses_is_bounded(database: Database) -> None:
    gazetteer = StoredGazetteer(database)
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO place (uprn, language, custodian_code, postal_code, address, invented)"
            " SELECT n, 'en', $2, 'CF99 9ZZ', '{}', true FROM generate_series(1, $1::int) AS n",
            KEPT_MOST + 10,
            CARDIFF,
        )
    everywhere = [Address(uprn=number + 1) for number in range(KEPT_MOST + 10)]
    assert set(await gazetteer.custodians(everywhere)) == {CARDIFF}
    assert len(gazetteer._kept) == KEPT_MOST


async def test_a_connection_comes_back_without_the_transaction_that_was_cut_short(database: Database) -> None:
    async def interrupted() -> None:
        async with database.transaction() as connection:
            await connection.execute("SET LOCAL work_mem = '1MB'; UPDATE configuration SET version = version + 1")
            await connection.execute("SELECT pg_sleep(30)")

    before = await register.version(database)
    task = asyncio.create_task(interrupted())
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for _ in range(20):
        async with database.connection() as connection:
            assert await connection.fetchval("SHOW work_mem") != "1MB"
            assert not connection.is_in_transaction()
    assert await register.version(database) == before


async def _lies_in(database: Database, uprn: int, custodian: int) -> None:
    await register.put_places(database, [register.Place(uprn, "en", custodian, "CF99 9ZZ", {}, invented=True)])

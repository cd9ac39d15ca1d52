"""More than can be done: a caller is asked to come back, nothing is lost or half done, and health still answers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx2
import pytest

from broker.api.admission import Admission
from broker.eventlog import LogUnavailable, Record
from broker.eventlog.postgres import PostgresLog
from broker.intake import writer
from broker.store import Database
from broker.vault import RootKeyFile
from tests.support.api import JSON, Api, a_move_on_the_wire, an_api, broken, client_of


@pytest.fixture
async def api(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """An API of this test's own, whose store gives up soon and whose queue is short."""
    monkeypatch.setattr(writer, "LONGEST_QUEUE", 4)
    database = await Database.open(dsn, lock_seconds=0.5, statement_seconds=3)
    eventlog = PostgresLog(database)
    try:
        async with an_api(database, eventlog, RootKeyFile.open(tmp_path / "root.key")) as opened:
            yield opened
    finally:
        await eventlog.close()
        await database.close()


class Away(PostgresLog):
    """The log as it is when it cannot be reached."""

    async def append(self, records: Sequence[Record]) -> None:
        raise LogUnavailable("away")


@asynccontextmanager
async def locked(dsn: str, table: str, mode: str = "ACCESS EXCLUSIVE") -> AsyncIterator[None]:
    """Hold a table so that nobody else can read or write it, or, with EXCLUSIVE, write it."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE unwaith.{table} IN {mode} MODE")
            yield
    finally:
        await connection.close()


def is_to_come_back(answer: httpx2.Response, *statuses: int) -> None:
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1


async def search(client: httpx2.AsyncClient, api: Api) -> httpx2.Response:
    asked = '{"postalCode": "SA99 9ZZ"}'
    return await client.post("/v1/addresses/search", content=asked, headers=JSON | api.citizen())


async def test_a_slow_store_is_503_and_nothing_is_half_done(api: Api, dsn: str) -> None:
    change = await api.previewed()
    head = api.citizen() | {"idempotency-key": "patient"}
    async with locked(dsn, "change"):
        is_to_come_back(await api.post("/v1/changes", change, head), 503)
        is_to_come_back(await api.client.get("/v1/changes", headers=api.citizen()), 503)
    answers = [await api.post("/v1/changes", change, head) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    async with api.parts.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM change") == 1
        assert await connection.fetchval("SELECT count(*) FROM delivery") == 3


async def test_more_changes_than_can_be_written_soon_are_429_and_none_is_lost_or_doubled(api: Api, dsn: str) -> None:
    people = range(1, 25)
    asked = {number: await api.previewed(headers=api.citizen(number)) for number in people}

    async def tells(number: int) -> httpx2.Response:
        return await api.post("/v1/changes", asked[number], api.citizen(number) | {"idempotency-key": "k"})

    async with locked(dsn, "change", "EXCLUSIVE"):
        first = await asyncio.gather(*(tells(number) for number in people))
    for answer in first:
        is_to_come_back(answer, 429, 503)
    assert {answer.status_code for answer in first} >= {429}
    waiting = set(people)
    while waiting:
        for number in tuple(waiting):
            answer = await tells(number)
            if answer.status_code == 202:
                waiting.remove(number)
            else:
                is_to_come_back(answer, 429, 503)
    async with api.parts.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM change") == len(people)


async def test_more_requests_than_there_is_room_for_are_503_and_health_answers(api: Api, dsn: str) -> None:
    async with client_of(Admission(api.app, most=3)) as client:
        async with locked(dsn, "place"):
            held = [asyncio.create_task(search(client, api)) for _ in range(3)]
            await asyncio.sleep(0.1)
            refused = await asyncio.gather(*(search(client, api) for _ in range(20)))
            assert not any(task.done() for task in held), "the three who came first are still served"
            for answer in refused:
                is_to_come_back(answer, 503)
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/readyz")).status_code == 200
        await asyncio.gather(*held)
        assert (await search(client, api)).status_code == 200, "there is room again"


async def test_an_answer_that_takes_too_long_is_503_and_ends(api: Api, dsn: str) -> None:
    async with client_of(Admission(api.app, seconds=0.1)) as client, locked(dsn, "place"):
        is_to_come_back(await search(client, api), 503)
    for _ in range(20):  # and nothing of it stays in the pool
        assert (await search(api.client, api)).status_code == 200


async def test_a_log_that_is_away_is_503_for_answers_and_nothing_else(api: Api) -> None:
    told = await api.tell(a_move_on_the_wire())
    api.line.start(api.line.relay())
    async with asyncio.timeout(20):
        while not (found := await published(api)):
            await asyncio.sleep(0.02)
    async with broken(api, eventlog=Away(api.parts.database)) as client:
        said = f'{{"id": "{found}", "deliveryId": "{found}", "outcome": "applied"}}'
        is_to_come_back(await client.post("/v1/receipts", content=said, headers=JSON | api.organisation()), 503)
        assert (await client.get(told.headers["location"], headers=api.citizen())).status_code == 200


async def published(api: Api) -> object:
    async with api.parts.database.connection() as connection:
        return await connection.fetchval(
            "SELECT id FROM delivery WHERE sequence IS NOT NULL AND organisation = $1",
            f"cardiff-council-{api.line.prefix}",
        )

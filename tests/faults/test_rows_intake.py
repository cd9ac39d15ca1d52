"""Rows 1 to 6 of the fault matrix: the API and its PostgreSQL. The log plays no part: the PostgreSQL one."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import asyncpg
import pytest

from tests.faults.exchange import APIS, EVERYBODY, OUTSIDERS, Exchange
from tests.faults.ledger import unbalanced
from tests.faults.telling import Desk
from tests.support.proxy import Cut, Proxy
from tests.support.strace import need_strace, tracing

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("intake")]

STORED = "SELECT count(*) FROM change"


@pytest.fixture(scope="module")
def api(on_postgres: Exchange) -> Iterator[Exchange]:
    """An exchange on which things are told. At the end all of it goes on its way, and the books are closed."""
    yield on_postgres
    asyncio.run(_delivered(on_postgres))


async def _delivered(api: Exchange) -> None:
    async with api.running(*EVERYBODY):
        await api.until_settled()
    assert await unbalanced(api) == []


@pytest.fixture
async def desk(api: Exchange, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """Somewhere to tell, with nobody but the API at work: what a test does to PostgreSQL meets nobody else."""
    await api.start(OUTSIDERS, "api")
    async with Desk(api, run=request.node.name) as opened:
        yield opened
        assert opened.faults == []


async def test_01_api_dies_at_an_fsync(api: Exchange, desk: Desk) -> None:
    """The kernel holds up the fsync of the acceptance's commit; the API is killed while it hangs there."""
    need_strace()
    told = await desk.shown(1, 1)
    before = await api.value(STORED)
    pid = api.postgres.pid
    assert pid is not None
    async with tracing(pid, api.folder / "strace.out", "fdatasync:delay_enter=1500000:when=1"):
        asked = asyncio.create_task(desk.ask(told.person, "/v1/changes", told.body, told.key))
        hanging = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'WalSync'"
        while not asked.done() and not await api.value(hanging):
            await asyncio.sleep(0.01)
        api.process("api").kill()
        assert (await asked)[0] is None, "it was to die in the middle of its commit"
    await api.start("api")
    await desk.accepted(told)
    assert await api.value(STORED) == before + 1


async def test_01_the_store_dies_at_an_fsync(api: Exchange, desk: Desk) -> None:
    """The kernel kills the backend at the fsync of the commit: the answer is unknown, the key tells."""
    need_strace()
    for person in (2, 3):
        told = await desk.shown(person, 1)
        before, pid = await api.value(STORED), api.postgres.pid
        assert pid is not None
        async with tracing(pid, api.folder / "strace.out", "fdatasync:signal=KILL:when=1") as traced:
            status, _ = await desk.ask(told.person, "/v1/changes", told.body, told.key)
            await traced.until("killed by SIGKILL")
        assert status == 503
        await desk.accepted(told)
        assert await api.value(STORED) == before + 1


@pytest.mark.parametrize("place", ["intake.decided", "intake.written", "intake.stored"])
async def test_02_api_dies_after_the_commit_or_before_it(api: Exchange, desk: Desk, place: str) -> None:
    """The same key afterwards: the same change, whichever side of the commit it died on."""
    told = await desk.shown(1, 1)
    before = await api.value(STORED)
    api.process("api").kill()
    await api.start("api", failpoints={"api": f"{place}=1"})
    assert await desk.ask(told.person, "/v1/changes", told.body, told.key) == (None, {})
    assert await api.process("api").until_killed()
    stored = await api.value(STORED) - before
    assert stored == (place == "intake.stored")
    reference = await api.value("SELECT reference FROM change ORDER BY accepted_at DESC LIMIT 1")
    await api.start("api")
    await desk.accepted(told)
    assert await api.value(STORED) == before + 1
    if stored:
        assert told.references == {reference}


async def test_03_the_same_key_at_once_and_with_another_body(api: Exchange, desk: Desk) -> None:
    """Two APIs are asked twenty times at once under one key; then for something else under it."""
    await api.start(*APIS)
    async with Desk(api, run=desk._run, apis=APIS) as both:
        told = await both.shown(1, 1)
        before = await api.value(STORED)
        answers = await asyncio.gather(*(both.ask(told.person, "/v1/changes", told.body, told.key) for _ in range(20)))
        assert {status for status, _ in answers} == {202}
        assert len({answer["reference"] for _, answer in answers}) == 1
        assert await api.value(STORED) == before + 1
        another = await both.shown(1, 2)
        status, answer = await both.ask(told.person, "/v1/changes", another.body, told.key)
        assert (status, answer["type"].rpartition("/")[2].rpartition(":")[2]) == (422, "idempotency-key-reused")
        assert await api.value(STORED) == before + 1
        assert both.faults == []
        await both.accepted(told)


async def test_04_the_disk_is_full(api: Exchange, desk: Desk) -> None:
    """From the kernel, as a full disk says it: PostgreSQL cannot even write its log, and ends; nothing is partial."""
    need_strace()
    told = await desk.shown(1, 1)
    before, pid = await api.value(STORED), api.postgres.pid
    assert pid is not None
    full = [f"{call}:error=ENOSPC" for call in ("pwrite64", "pwritev", "fallocate")]
    async with tracing(pid, api.folder / "strace.out", *full) as traced:
        status, _ = await desk.ask(told.person, "/v1/changes", told.body, told.key)
        await traced.until("ENOSPC")
    assert status == 503
    await _running_again(api)
    assert await api.value(STORED) == before
    await desk.accepted(told)
    assert await api.value(STORED) == before + 1


async def test_04_the_database_is_down(api: Exchange, desk: Desk) -> None:
    told = await desk.shown(1, 1)
    await api.kept(api.postgres.stop)
    answers = await asyncio.gather(*(desk.ask(told.person, "/v1/changes", told.body, told.key) for _ in range(5)))
    assert {status for status, _ in answers} == {503}
    await api.start_postgres()
    await desk.accepted(told)


async def test_04_the_pool_is_exhausted(api: Exchange, desk: Desk) -> None:
    """Every connection of the API waits for one table; whoever comes after them is refused, and nobody hangs."""
    people = [await desk.shown(person, 1) for person in range(40)]
    before = await api.value(STORED)
    api.process("api").kill()  # an API that has just started has to ask who everybody is
    await api.start("api")
    async with _locked(api, "person_key"):
        answers = await asyncio.gather(*(desk.ask(told.person, "/v1/changes", told.body, told.key) for told in people))
    assert {status for status, _ in answers} == {503}
    assert await api.value(STORED) == before
    for told in people:
        await desk.accepted(told)


async def test_04_the_server_takes_no_more_connections(api: Exchange, desk: Desk) -> None:
    told = await desk.shown(1, 1)
    api.process("api").kill()
    async with AsyncExitStack() as held:
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                await held.enter_async_context(api.session())
        api.process("api").start()
        for _ in range(3):  # it does not even begin to serve, and does not end either
            status, _ = await desk.ask(told.person, "/v1/changes", told.body, told.key)
            assert status in {None, 503}
            await asyncio.sleep(0.5)
    await api.process("api").until_alive()
    await desk.accepted(told)


async def test_04_a_table_is_locked(api: Exchange, desk: Desk) -> None:
    """Somebody holds the table of changes, for as long as it takes to be refused."""
    told = await desk.shown(1, 1)
    before = await api.value(STORED)
    async with _locked(api, "change_key"):
        status, _ = await desk.ask(told.person, "/v1/changes", told.body, told.key)
    assert status == 503
    assert await api.value(STORED) == before
    await desk.accepted(told)
    assert await api.value(STORED) == before + 1


@pytest.mark.parametrize("forwarded", [True, False])
async def test_05_the_connection_is_dropped_during_commit(api: Exchange, desk: Desk, forwarded: bool) -> None:
    """Cut when the API says COMMIT: PostgreSQL has heard it, or has not. The key tells which."""

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(api.postgres_socket))

    async with Proxy(connect) as proxy:
        api.processes.pop("api-3", None)
        dsn = f"postgresql://unwaith@127.0.0.1:{proxy.port}/unwaith?sslmode=disable"
        away = api.process("api-3", DATABASE_DSN=dsn)
        await api.start("api-3")
        try:
            async with Desk(api, run=desk._run, apis=("api-3",)) as behind:
                told = await behind.shown(1, 1)
                before = await api.value(STORED)
                proxy.cut = Cut(b"COMMIT", after=b"unwaith_due", forwarded=forwarded)
                status, _ = await behind.ask(told.person, "/v1/changes", told.body, told.key)
                assert (status, proxy.cuts) == (503, 1)
                assert await api.value(STORED) == before + forwarded
                await behind.accepted(told)
                assert await api.value(STORED) == before + 1
                assert behind.faults == []
        finally:
            away.kill()


async def test_06_postgresql_is_killed_under_load(api: Exchange, desk: Desk, figure: Callable[[str], None]) -> None:
    """Five times SIGKILL while 40 people tell: what was accepted is there, and it accepts again once it is back."""
    back: list[float] = []

    async def strike() -> None:
        for _ in range(5):
            await asyncio.sleep(random.uniform(0.2, 0.6))
            assert desk.asking > 0
            await api.kill_postgres()
            await api.start_postgres()
            accepted, began = len(api.told), time.monotonic()
            while len(api.told) == accepted:
                await asyncio.sleep(0.005)
            back.append(time.monotonic() - began)

    striking = asyncio.create_task(strike())

    async def tell(person: int) -> None:
        number = 0
        while not striking.done():
            number += 1
            await desk.tell(person, number)

    await asyncio.gather(striking, *(tell(person) for person in range(40)))
    figure(f"row 6: accepting again {', '.join(f'{one:.1f}' for one in sorted(back))} s after PostgreSQL was back")


def _locked(api: Exchange, table: str) -> "_Locked":
    return _Locked(api, table)


class _Locked:
    """Holds a table exclusively, as a careless migration would."""

    def __init__(self, api: Exchange, table: str) -> None:
        self._stack = AsyncExitStack()
        self._api = api
        self._table = table

    async def __aenter__(self) -> None:
        session: Any = await self._stack.enter_async_context(self._api.session())
        await self._stack.enter_async_context(session.transaction())
        await session.execute(f"LOCK TABLE {self._table} IN ACCESS EXCLUSIVE MODE")

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


async def _running_again(api: Exchange) -> None:
    """Start PostgreSQL if it ended itself, and wait until it answers."""

    async def answers() -> bool:
        if api.postgres.pid is None:
            await api.start_postgres()
        return bool(await api.value("SELECT true"))

    await api.until(answers, "PostgreSQL answers again")

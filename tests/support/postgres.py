"""One real PostgreSQL for the whole test run, and a fresh migrated database for each test that asks for one.

`dsn` and `database` cost some 40 ms: the database is copied from a template that was migrated once. A copy is hundreds
of small files, which a disk may take ten times as long to make and remove: they are kept in memory where that is ample.
Tests that kill or stop PostgreSQL start an `EmbeddedPostgres` of their own.
"""

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from broker.store import Database
from broker.store.embedded import EmbeddedPostgres
from broker.store.migrate import migrate

_TEMPLATE: Final = "migrated"
_FAST: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "min_wal_size": "32MB",
    "max_wal_size": "128MB",
}
"""This one server need not survive a power cut. Tests of durability use the real settings."""

_PREFIX: Final = "unwaith-test-"
_MEMORY: Final = Path("/dev/shm")
_AMPLE: Final = 8 * 1024**3
"""A server needs some 100 MB, and each worker of a run has one."""

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The server, started on the main thread. Its own database stays empty."""
    home = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_memory()))
    home.chmod(0o755)
    server = EmbeddedPostgres(home / "postgres", settings=_FAST)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def _template(postgres: EmbeddedPostgres) -> str:
    async def make() -> None:
        await _execute(postgres.dsn, f"CREATE DATABASE {_TEMPLATE}")
        await migrate(postgres.dsn_of(_TEMPLATE))
        await _execute(postgres.dsn, f"ALTER DATABASE {_TEMPLATE} ALLOW_CONNECTIONS false")

    _in_own_loop(make)
    return _TEMPLATE


@pytest.fixture
def empty_dsn(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The address of a database without any schema of ours."""
    yield from fresh_database(postgres, "template1")


@pytest.fixture
def dsn(postgres: EmbeddedPostgres, _template: str) -> Iterator[str]:
    """The address of a migrated database that only this test sees."""
    yield from fresh_database(postgres, _template)


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """A pool on `dsn`, closed after the test."""
    opened = await Database.open(dsn)
    yield opened
    await opened.close()


def fresh_database(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Copy `template`, give the address of the copy, and drop it."""
    name = f"test_{next(_numbers)}"
    _in_own_loop(lambda: _execute(postgres.dsn, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))
    yield postgres.dsn_of(name)
    _in_own_loop(lambda: _execute(postgres.dsn, f"DROP DATABASE {name} WITH (FORCE)"))


def _memory() -> Path | None:
    """Return the folder that is in memory, without what killed runs left there; None where there is none with room."""
    if not os.access(_MEMORY, os.W_OK):
        return None
    for left in _MEMORY.glob(f"{_PREFIX}*"):
        if not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    return _MEMORY if shutil.disk_usage(_MEMORY).free > _AMPLE else None


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _in_own_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run outside the test's own event loop, which a session's fixtures outlive."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(work())).result()

"""Migrations: whole or not at all, once among many processes, and refused by an older program."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from pydantic import ValidationError

from broker.store import Database, register
from broker.store.migrate import VERSIONS, SchemaTooNew, head, migrate, pending
from contracts.organisation import Organisation
from tests.support.line import organisation

_VERSION = """
from broker.store.migrations.sql import run_beside
revision = {revision!r}
down_revision = {down!r}
def upgrade() -> None:
    run_beside(__file__)
"""


def _version(where: Path, revision: str, down: str | None, sql: str) -> None:
    (where / f"{revision}_x.py").write_text(_VERSION.format(revision=revision, down=down))
    (where / f"{revision}_x.sql").write_text(sql)


async def _ask(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_an_empty_database_is_pending_and_then_is_not(empty_dsn: str) -> None:
    assert await pending(empty_dsn)
    await migrate(empty_dsn)
    assert not await pending(empty_dsn)
    assert await _ask(empty_dsn, "SELECT version_num FROM unwaith.alembic_version") == head()
    await migrate(empty_dsn)


async def test_the_fixture_gives_a_migrated_database(database: Database, dsn: str) -> None:
    assert not await pending(dsn)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT current_schema()") == "unwaith"


async def test_many_starting_at_once_take_turns(empty_dsn: str, tmp_path: Path) -> None:
    _version(tmp_path, "0001", None, "CREATE TABLE unwaith.a (n int); SELECT pg_sleep(0.05); INSERT INTO a VALUES (1);")
    await asyncio.gather(*(migrate(empty_dsn, versions=tmp_path) for _ in range(6)))
    assert await _ask(empty_dsn, "SELECT count(*) FROM unwaith.a") == 1


async def test_a_failing_statement_leaves_nothing_of_any_version(empty_dsn: str, tmp_path: Path) -> None:
    _version(tmp_path, "0001", None, "CREATE TABLE unwaith.a (n int); INSERT INTO unwaith.a VALUES (1);")
    _version(tmp_path, "0002", "0001", "CREATE TABLE unwaith.b (n int); SELECT 1/0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_dsn, versions=tmp_path)
    assert await _ask(empty_dsn, "SELECT to_regnamespace('unwaith') IS NULL")
    _version(tmp_path, "0002", "0001", "CREATE TABLE unwaith.b (n int);")
    await migrate(empty_dsn, versions=tmp_path)
    assert await _ask(empty_dsn, "SELECT count(*) FROM unwaith.b") == 0


async def test_only_the_missing_version_is_applied(empty_dsn: str, tmp_path: Path) -> None:
    _version(tmp_path, "0001", None, "CREATE TABLE unwaith.a (n int);")
    await migrate(empty_dsn, versions=tmp_path)
    _version(tmp_path, "0002", "0001", "INSERT INTO unwaith.a VALUES (2);")
    assert await pending(empty_dsn, versions=tmp_path)
    await migrate(empty_dsn, versions=tmp_path)
    assert await _ask(empty_dsn, "SELECT n FROM unwaith.a") == 2


async def test_a_newer_schema_is_refused(empty_dsn: str, tmp_path: Path) -> None:
    _version(tmp_path, "0001", None, "SELECT 1;")
    _version(tmp_path, "0002", "0001", "SELECT 1;")
    await migrate(empty_dsn, versions=tmp_path)
    (tmp_path / "0002_x.py").unlink()
    with pytest.raises(SchemaTooNew, match="0002"):
        await pending(empty_dsn, versions=tmp_path)
    with pytest.raises(SchemaTooNew):
        await migrate(empty_dsn, versions=tmp_path)


def test_asking_loads_neither_alembic_nor_sqlalchemy() -> None:
    """Every start asks, so asking must stay cheap."""
    code = "import sys, broker.store.migrate; sys.exit(bool({'alembic', 'sqlalchemy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_version_has_its_sql_and_the_next_number() -> None:
    from broker.store.migrate import VERSIONS

    scripts = sorted(file.stem for file in VERSIONS.glob("*.py"))
    assert scripts == sorted(file.stem for file in VERSIONS.glob("*.sql"))
    assert [script[:4] for script in scripts] == [f"{n:04}" for n in range(1, len(scripts) + 1)]


async def test_an_organisation_stored_before_it_was_refused_is_kept_and_can_be_shared(
    empty_dsn: str, tmp_path: Path
) -> None:
    """Its concurrency was below its partitions: what an older program has stored, a newer one must read."""
    before = sorted(file for file in VERSIONS.glob("[0-9]*_*") if file.stem < next(VERSIONS.glob("*_engine.py")).stem)
    for file in before:
        shutil.copy(file, tmp_path)
    await migrate(empty_dsn, versions=tmp_path)
    database = await Database.open(empty_dsn)
    try:
        await register.put_organisation(database, organisation("council"))
        await register.put_organisation(database, organisation("library"))
        async with database.connection() as connection:
            await connection.execute(
                """
                UPDATE organisation SET definition = definition || '{"partitions": 3}'
                    || jsonb_build_object('policy', definition->'policy' || '{"concurrency": 1}') WHERE id = 'council'
                """
            )
            kept = await connection.fetchval("SELECT definition FROM organisation WHERE id = 'library'")
            refused = await connection.fetchval("SELECT definition::text FROM organisation WHERE id = 'council'")
        with pytest.raises(ValidationError):
            Organisation.model_validate_json(refused)
        await migrate(empty_dsn)
        found = (await register.configuration(database)).organisations
        assert (found["council"].partitions, found["council"].policy.concurrency) == (3, 3)
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT definition FROM organisation WHERE id = 'library'") == kept
    finally:
        await database.close()

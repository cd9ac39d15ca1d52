"""Bring the schema to this program's version, once, whoever comes first."""

from pathlib import Path
from typing import Final

import asyncpg

SCHEMA: Final = "unwaith"
VERSIONS: Final = Path(__file__).parent / "migrations" / "versions"

_LOCK: Final = 7_856_920_341_177_001  # any number, the same in every version of the program
_SETTINGS: Final = {
    "application_name": "unwaith-migrate",
    "search_path": f"{SCHEMA},public",
    "lock_timeout": "60000",  # a migration waits this long for the traffic it would block, then gives up whole
    "timezone": "UTC",
}


class SchemaTooNew(Exception):  # noqa: N818  it says what holds
    """The database was migrated by a newer program. Run that one: an older one must not write here."""


def head(versions: Path = VERSIONS) -> str:
    """Return the newest version this program knows, by the files' names."""
    return max(_known(versions))


async def pending(dsn: str, *, versions: Path = VERSIONS) -> bool:
    """Return whether `migrate` has anything to do: one query, without Alembic.

    Raises SchemaTooNew, and asyncpg's errors or OSError if the database cannot be reached.
    """
    connection = await asyncpg.connect(dsn, timeout=10, server_settings=_SETTINGS)
    try:
        current = await connection.fetchval(f"SELECT version_num FROM {SCHEMA}.alembic_version")  # noqa: S608  ours
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return True
    finally:
        await connection.close()
    if current is not None and current not in _known(versions):
        raise SchemaTooNew(f"The database is at version {current}, this program knows {head(versions)} at most.")
    return bool(current != head(versions))


async def migrate(dsn: str, *, versions: Path = VERSIONS) -> None:
    """Apply every missing version in one transaction: all of them or, on any error, none.

    Processes that start at once take turns; the later ones find nothing to do. Raises SchemaTooNew, and
    SQLAlchemy's or asyncpg's error with the statement's own reason.
    """
    if not await pending(dsn, versions=versions):
        return
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import text
    from sqlalchemy.engine import Connection
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    def upgrade(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", _escaped(Path(__file__).parent / "migrations"))
        config.set_main_option("version_locations", _escaped(versions))
        config.set_main_option("path_separator", "newline")
        config.attributes.update(connection=connection, schema=SCHEMA)
        command.upgrade(config, "head")

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(dsn, timeout=10, server_settings=_SETTINGS)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            await connection.run_sync(upgrade)
    finally:
        await engine.dispose()


def _known(versions: Path) -> frozenset[str]:
    return frozenset(file.name.split("_", 1)[0] for file in versions.glob("[0-9]*_*.py"))


def _escaped(path: Path) -> str:
    """Alembic's settings are a ConfigParser's, which reads a single percent sign as an interpolation."""
    return str(path).replace("%", "%%")

"""Open data of the gazetteer by editions: one of each source is in use, and an import is in use whole or not at all.

An import writes its rows in many short transactions under an edition nobody reads. The last statement puts it in use.
Whatever ends it before leaves the edition that was in use, and rows that the next import of that source removes.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import asyncpg

from broker.store.database import Connection, Database, StoreUnavailable, faults_told

Table = Literal["postcode", "property_point"]

COLUMNS: Final[Mapping[Table, tuple[str, ...]]] = {
    "postcode": ("postal_code", "custodian_code", "current", "easting", "northing"),
    "property_point": ("uprn", "easting", "northing"),
}
"""Of a row, after its edition. The first is its key."""
Row = tuple[object, ...]

_LOCK: Final = 7_856_920_341_178
"""Of imports, with the source's own number; any number, the same in every version of the program."""
_AT_ONCE: Final = 20_000
"""Rows a transaction removes."""


class ImportUnderWay(Exception):  # noqa: N818  it says what holds
    """Another import of this source is under way."""


@dataclass(frozen=True, slots=True)
class Edition:
    """One import of one source."""

    id: int
    source: str
    edition: str
    digest: bytes
    began_at: datetime
    ended_at: datetime | None
    kept: int | None
    elsewhere: int | None
    bad: int | None
    in_use: bool


@asynccontextmanager
async def alone(database: Database, source: str, table: Table) -> AsyncIterator[None]:
    """Be the only import of a source, and remove what one that was cut short has left.

    Raises ImportUnderWay and StoreUnavailable.
    """
    holding = await database.connect()
    try:
        with faults_told():
            if not await holding.fetchval("SELECT pg_try_advisory_lock($1::bigint + hashtext($2))", _LOCK, source):
                raise ImportUnderWay
        async with database.connection() as connection:
            left = await connection.fetch(
                "SELECT id FROM gazetteer_edition WHERE source = $1 AND ended_at IS NULL", source
            )
        for row in left:
            await remove(database, row["id"], table)
        yield
    finally:
        try:
            with faults_told():
                await holding.execute("SELECT pg_advisory_unlock_all()")
        except StoreUnavailable:
            pass  # it was let go with the connection
        holding.terminate()


async def begin(database: Database, source: str, edition: str, digest: bytes) -> int:
    """Record that an import begins, and return the id its rows are written under. Raises StoreUnavailable."""
    async with database.connection() as connection:
        found: int = await connection.fetchval(
            "INSERT INTO gazetteer_edition (source, edition, digest) VALUES ($1, $2, $3) RETURNING id",
            source,
            edition,
            digest,
        )
        return found


async def write(database: Database, edition: int, table: Table, rows: Sequence[Row]) -> list[int]:
    """Write rows of an edition that is under way; return the places in `rows` of those whose key was there before.

    Raises StoreUnavailable: these rows are then written or not, and the import is to be begun anew.
    """
    try:
        async with database.connection() as connection:
            await _copy(connection, edition, table, rows)
    except asyncpg.UniqueViolationError:
        return await _write_what_is_new(database, edition, table, rows)
    return []


async def _copy(connection: Connection, edition: int, table: Table, rows: Sequence[Row]) -> None:
    await connection.copy_records_to_table(
        table, records=[(edition, *row) for row in rows], columns=("edition", *COLUMNS[table])
    )


async def _write_what_is_new(database: Database, edition: int, table: Table, rows: Sequence[Row]) -> list[int]:
    key = COLUMNS[table][0]
    async with database.transaction() as connection:
        known = await connection.fetch(
            f"SELECT {key} FROM {table} WHERE edition = $1 AND {key} = ANY($2)",  # noqa: S608  names of ours
            edition,
            [row[0] for row in rows],
        )
        seen = {row[key] for row in known}
        again: list[int] = []
        fresh: list[Row] = []
        for place, row in enumerate(rows):
            if row[0] in seen:
                again.append(place)
            else:
                seen.add(row[0])
                fresh.append(row)
        await _copy(connection, edition, table, fresh)
    return again


async def put_in_use(database: Database, edition: int, *, kept: int, elsewhere: int, bad: int) -> None:
    """End an import: what it wrote is in use from now on, all of it, instead of the edition before.

    Raises StoreUnavailable: whether it is in use is then unknown until `editions` says so.
    """
    async with database.transaction() as connection:
        source = await connection.fetchval(
            "UPDATE gazetteer_edition SET ended_at = now(), kept = $2, elsewhere = $3, bad = $4 WHERE id = $1"
            " RETURNING source",
            edition,
            kept,
            elsewhere,
            bad,
        )
        await _switch(connection, source, edition)


async def use(database: Database, edition: int) -> bool:
    """Go back to an edition that is still kept; False where there is none, or not whole. Raises StoreUnavailable."""
    async with database.transaction() as connection:
        source = await connection.fetchval(
            "SELECT source FROM gazetteer_edition WHERE id = $1 AND ended_at IS NOT NULL", edition
        )
        if source is None:
            return False
        await _switch(connection, source, edition)
    return True


async def _switch(connection: Connection, source: str, edition: int) -> None:
    await connection.execute(
        "UPDATE gazetteer_edition SET in_use = false WHERE source = $1 AND in_use AND id <> $2", source, edition
    )
    await connection.execute("UPDATE gazetteer_edition SET in_use = true WHERE id = $1", edition)


async def looked_over(database: Database, table: Table) -> None:
    """Have the planner count what is there now. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute(f"ANALYZE {table}")


async def remove(database: Database, edition: int, table: Table) -> bool:
    """Remove an edition that is not in use, with its rows; False where it is in use or none. Raises StoreUnavailable.

    What removed it keeps nothing of it but the ids: an id is never given again.
    """
    async with database.connection() as connection:  # first so that nobody can put it in use meanwhile
        begun = await connection.execute(
            "UPDATE gazetteer_edition SET ended_at = NULL, kept = NULL WHERE id = $1 AND NOT in_use", edition
        )
    if begun != "UPDATE 1":
        return False
    gone = f"DELETE {_AT_ONCE}"
    while gone == f"DELETE {_AT_ONCE}":
        async with database.connection() as connection:
            gone = await connection.execute(
                f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608  names of ours
                f"SELECT ctid FROM {table} WHERE edition = $1 LIMIT {_AT_ONCE}))",
                edition,
            )
    async with database.connection() as connection:
        await connection.execute("DELETE FROM gazetteer_edition WHERE id = $1", edition)
    return True


async def editions(database: Database) -> list[Edition]:
    """Return every import that is still kept, newest first. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM gazetteer_edition ORDER BY id DESC")
    return [Edition(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class Unit:
    """What the editions in use say of one postcode."""

    custodians: frozenset[int | None]
    """What each source says of its authority; None for none, or not certain."""
    current: bool
    """In use by at least one source: not terminated."""
    point: tuple[int, int] | None
    """Its middle on the National Grid, metres."""


async def units(database: Database, postal_codes: Sequence[str]) -> dict[str, Unit]:
    """Return what is known of each packed postcode that is known at all. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT found.postal_code, found.custodian_code, found.current, found.easting, found.northing
            FROM gazetteer_edition chosen JOIN postcode found ON found.edition = chosen.id
            WHERE chosen.in_use AND chosen.source IN ('onspd', 'code-point-open') AND found.postal_code = ANY($1)
            ORDER BY chosen.id DESC
            """,
            list(postal_codes),
        )
    said: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        said.setdefault(row["postal_code"], []).append(row)
    return {
        code: Unit(
            custodians=frozenset(one["custodian_code"] for one in found),
            current=any(one["current"] for one in found),
            point=next(((one["easting"], one["northing"]) for one in found if one["easting"] is not None), None),
        )
        for code, found in said.items()
    }


async def points(database: Database, uprns: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return where each UPRN that is known lies on the National Grid, in metres. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT found.uprn, found.easting, found.northing
            FROM gazetteer_edition chosen JOIN property_point found ON found.edition = chosen.id
            WHERE chosen.in_use AND chosen.source = 'open-uprn' AND found.uprn = ANY($1)
            """,
            list(uprns),
        )
    return {row["uprn"]: (row["easting"], row["northing"]) for row in rows}


async def keeps_ended_postcodes(database: Database) -> bool:
    """Return whether a source that also has terminated postcodes is in use. Raises StoreUnavailable."""
    async with database.connection() as connection:
        found: bool = await connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM gazetteer_edition WHERE in_use AND source = 'onspd')"
        )
        return found

"""Organisations' breakers as all workers share them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from broker.store.database import Database
from contracts.breaker import Breaker, Phase


@dataclass(frozen=True, slots=True)
class Standing:
    """What is looked at every second."""

    version: int
    """The configuration's."""
    now: datetime
    """The store's clock."""
    breakers: dict[str, Breaker]
    """By organisation; one that was never open is not among them."""


async def standing(database: Database) -> Standing:
    """Return the configuration's version and all breakers. Raises StoreUnavailable."""
    async with database.connection() as connection:
        version, now = await connection.fetchrow("SELECT version, now() FROM configuration")
        rows = await connection.fetch("SELECT organisation, phase, since, until, probes, version FROM breaker")
    return Standing(version, now, {organisation: _breaker(rest) for organisation, *rest in rows})


async def move(database: Database, organisation: str, to: Breaker) -> Breaker | None:
    """Record a breaker's next state where its version is one above what stands; return None, or what stands instead.

    Every worker is told; one that does not hear it looks within a second. Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        done = await connection.execute(
            """
            INSERT INTO breaker (organisation, phase, since, until, probes, version)
            SELECT $1, $2, $3::timestamptz, $4::timestamptz, $5::int, $6::bigint FROM (SELECT pg_notify('unwaith_configuration', '')) AS told
            WHERE $6::bigint = 1 OR EXISTS (SELECT FROM breaker WHERE organisation = $1)
            ON CONFLICT (organisation) DO UPDATE SET phase = excluded.phase, since = excluded.since,
                until = excluded.until, probes = excluded.probes, version = excluded.version
            WHERE breaker.version = excluded.version - 1
            """,
            organisation,
            to.phase.value,
            to.since,
            to.until,
            to.probes,
            to.version,
        )
        if done == "INSERT 0 1":
            return None
        row = await connection.fetchrow(
            "SELECT phase, since, until, probes, version FROM breaker WHERE organisation = $1", organisation
        )
    return _breaker(list(row)) if row else Breaker()


_TAKE_FOR_LOST: Final = """
WITH nobody AS (
    UPDATE breaker SET until = now()
    WHERE organisation = ANY($1) AND phase = 'open' AND until <= now() - $2::interval RETURNING organisation
), locked AS MATERIALIZED (
    SELECT person_id, organisation FROM lane JOIN nobody USING (organisation) WHERE in_flight AND due > now()
    ORDER BY 1, 2 FOR UPDATE OF lane SKIP LOCKED
), again AS (
    UPDATE lane SET due = now() FROM locked
    WHERE lane.person_id = locked.person_id AND lane.organisation = locked.organisation RETURNING lane.organisation
)
SELECT organisation, count(*) FROM again GROUP BY 1 ORDER BY 1
"""


async def take_for_lost(database: Database, organisations: Sequence[str], untaken: timedelta) -> dict[str, int]:
    """Owe again what the log should hold for organisations whose probe nobody has taken for so long, and say how much.

    Whoever has something to send takes a probe at once; so nobody has. It is looked at again after as long. What the
    log holds after all is withheld by the gate, as any record that is read twice. Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(_TAKE_FOR_LOST, list(organisations), untaken)
    return {row["organisation"]: row["count"] for row in rows}


def _breaker(row: list[object]) -> Breaker:
    phase, since, until, probes, version = row
    return Breaker(phase=Phase(phase), since=since, until=until, probes=probes, version=version)  # type: ignore[arg-type]  # as the table has them

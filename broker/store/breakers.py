"""Organisations' breakers as all workers share them."""

from dataclasses import dataclass
from datetime import datetime

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


def _breaker(row: list[object]) -> Breaker:
    phase, since, until, probes, version = row
    return Breaker(phase=Phase(phase), since=since, until=until, probes=probes, version=version)  # type: ignore[arg-type]  # as the table has them

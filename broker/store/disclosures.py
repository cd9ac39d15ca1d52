"""What staff were shown of what people told: recorded before it is shown, for so long, for its person to see."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from broker.store.database import Database
from broker.store.operations import record_act
from contracts.ids import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """One look that a member of staff had."""

    actor: str
    reason: str
    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldChange:
    """A change that somebody must decide on, sealed."""

    id: UUID
    person_id: int
    reference: str
    type: str
    generation: int
    accepted_at: datetime
    withdrawn: bool
    sealed: bytes = field(repr=False)


async def change(database: Database, change_id: UUID) -> HeldChange | None:
    """Return a change by its id, whoever's it is. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            """
            SELECT c.id, c.person_id, c.reference, c.type, c.generation, c.accepted_at, c.sealed,
                   EXISTS (SELECT FROM withdrawal WHERE change_id = c.id) AS withdrawn
            FROM change c WHERE c.id = $1
            """,
            change_id,
        )
    return HeldChange(**row) if row else None


async def disclose(database: Database, change_id: UUID, actor: str, reason: str, lasts: timedelta, leaf: bytes) -> None:
    """Write down, with `leaf`, that somebody is shown what a change says from now on. Raises StoreUnavailable."""
    async with database.transaction() as connection:
        now: datetime = await connection.fetchval("SELECT now()")
        await connection.execute(
            "INSERT INTO disclosure (id, change_id, actor, reason, at, until) VALUES ($1, $2, $3, $4, $5, $6)",
            new_id(now),
            change_id,
            actor,
            reason,
            now,
            now + lasts,
        )
        await record_act(connection, [leaf])


async def open_to(database: Database, change_id: UUID, actor: str) -> datetime | None:
    """Return until when somebody is shown what a change says, None if they are not. Raises StoreUnavailable."""
    async with database.connection() as connection:
        until: datetime | None = await connection.fetchval(
            "SELECT max(until) FROM disclosure WHERE change_id = $1 AND actor = $2 AND until > now()", change_id, actor
        )
    return until


async def of_change(database: Database, change_id: UUID) -> list[Disclosure]:
    """Return every look at a change, in order. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT actor, reason, at, until FROM disclosure WHERE change_id = $1 ORDER BY at", change_id
        )
    return [Disclosure(**row) for row in rows]


async def contacts(database: Database, change_id: UUID) -> list[tuple[UUID, bytes]]:
    """Return where the person of a change is written to about it, sealed, by notice. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT id, sealed FROM notice WHERE change_id = $1", change_id)
    return [(row["id"], row["sealed"]) for row in rows]

"""Messages owed to people, as rows with a due time."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from broker.store.database import Database
from contracts.statuses import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message to be sent now, by whoever claimed it."""

    id: UUID
    person_id: int
    kind: str
    reference: str
    """Of the change it is about."""
    sealed: bytes = field(repr=False)
    attempts: int
    """This one included."""
    since: datetime
    now: datetime
    """When it was claimed, by the store's clock, which alone decides what is due."""


async def claim(database: Database, lease: timedelta, limit: int) -> list[Claimed]:
    """Claim what is due, each for one worker until the lease is over. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            WITH due AS (
                SELECT id FROM notice WHERE status = 'owed' AND due <= now() ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED
            )
            UPDATE notice n SET due = now() + $1, attempts = n.attempts + 1
            FROM due, change c WHERE n.id = due.id AND c.id = n.change_id
            RETURNING n.id, n.person_id, n.kind, c.reference, n.sealed, n.attempts, n.since, now()
            """,
            lease,
            limit,
        )
    return [Claimed(**row) for row in rows]


async def tried(database: Database, notice: Claimed, *, reason: Reason | None, again: datetime | None) -> None:
    """Keep what became of an attempt: sent (no reason), due `again`, or given up. Raises StoreUnavailable.

    A worker that took longer than its lease changes nothing: another has the message.
    """
    status = "sent" if reason is None else "owed" if again is not None else "given_up"
    async with database.connection() as connection:
        await connection.execute(
            """
            UPDATE notice SET status = $3, reason = $4, due = coalesce($5, due),
                              ended_at = CASE WHEN $3 = 'owed' THEN NULL ELSE now() END
            WHERE id = $1 AND attempts = $2 AND status = 'owed'
            """,
            notice.id,
            notice.attempts,
            status,
            reason.value if reason else None,
            again,
        )


async def linked(database: Database, link: bytes) -> tuple[UUID, UUID] | None:
    """Return the notice that has a link, by its digest, and the change it is about. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT id, change_id FROM notice WHERE link = $1", link)
    return (row["id"], row["change_id"]) if row else None

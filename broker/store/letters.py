"""Letters owed to the contacts of organisations, as rows with a due time; see `notices` for those to people.

An address is kept here until its letter is sent or given up, then only that there was one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import orjson

from broker.store.database import Connection, Database
from contracts.statuses import Reason

What = Literal["proposed", "in_force", "rejected", "taken_back"]
"""What became of a change of how an organisation is reached, or of who is written to about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A letter to be sent now, by whoever claimed it."""

    id: UUID
    proposal_id: UUID
    what: What
    pauses: bool
    """Nothing is sent to the organisation while it waits for a decision."""
    email: str = field(repr=False)
    language: Literal["cy", "en"]
    organisation: str
    """Its name in that language."""
    attempts: int
    """This one included."""
    since: datetime
    now: datetime
    """When it was claimed, by the store's clock, which alone decides what is due."""


async def owe(
    connection: Connection,
    organisation: str,
    proposal_id: UUID,
    what: What,
    *,
    pauses: bool,
    contacts: Sequence[Any] | None,
) -> None:
    """Owe a letter to each contact that stands in the register, in the transaction of the act it tells of.

    It is owed where the proposal `pauses`, or where it would put others, `contacts` in wire form, in the place of those
    who stand there; None for a proposal that leaves them as they are.
    """
    await connection.execute(
        """
        INSERT INTO contact_letter (id, proposal_id, what, pauses, organisation, email, language, due, since)
        SELECT gen_random_uuid(), $2, $3, $4, o.id, c->>'email', c->>'language', now(), now()
        FROM organisation o, jsonb_array_elements(o.definition->'contacts') c
        WHERE o.id = $1 AND ($4 OR o.definition->'contacts' <> $5::jsonb)
        """,
        organisation,
        proposal_id,
        what,
        pauses,
        None if contacts is None else orjson.dumps(contacts).decode(),
    )


async def claim(database: Database, lease: timedelta, limit: int) -> list[Owed]:
    """Claim what is due, each for one worker until the lease is over. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            WITH due AS (
                SELECT id FROM contact_letter WHERE status = 'owed' AND due <= now()
                ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED
            )
            UPDATE contact_letter l SET due = now() + $1, attempts = l.attempts + 1
            FROM due, organisation o WHERE l.id = due.id AND o.id = l.organisation
            RETURNING l.id, l.proposal_id, l.what, l.pauses, l.email, l.language,
                      o.definition->'name'->>l.language AS organisation, l.attempts, l.since, now()
            """,
            lease,
            limit,
        )
    return [Owed(**row) for row in rows]


async def tried(database: Database, letter: Owed, *, reason: Reason | None, again: datetime | None) -> None:
    """Keep what became of an attempt: sent (no reason), due `again`, or given up. Raises StoreUnavailable.

    A worker that took longer than its lease changes nothing: another has the letter.
    """
    status = "sent" if reason is None else "owed" if again is not None else "given_up"
    async with database.connection() as connection:
        await connection.execute(
            """
            UPDATE contact_letter SET status = $3, reason = $4, due = coalesce($5, due),
                                      email = CASE WHEN $3 = 'owed' THEN email END,
                                      ended_at = CASE WHEN $3 = 'owed' THEN NULL ELSE now() END
            WHERE id = $1 AND attempts = $2 AND status = 'owed'
            """,
            letter.id,
            letter.attempts,
            status,
            reason.value if reason else None,
            again,
        )

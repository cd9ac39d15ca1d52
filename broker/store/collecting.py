"""When organisations' answers are fetched, by whom, and how that went."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from broker.store.database import Database


async def take(database: Database, organisations: Sequence[str], lease: timedelta) -> list[str]:
    """Return for which of these the answers are to be fetched now, and leave them to the caller for `lease`.

    One that was never fetched from is due. Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            INSERT INTO collection (organisation, due)
            SELECT o.id, now() + $2::interval FROM unnest($1::text[]) AS o(id)
            LEFT JOIN collection c ON c.organisation = o.id WHERE c.due IS NULL OR c.due <= now()
            ORDER BY 1
            ON CONFLICT (organisation) DO UPDATE SET due = excluded.due WHERE collection.due <= now()
            RETURNING organisation
            """,
            list(organisations),
            lease,
        )
    return [row["organisation"] for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """How fetching once from one organisation went."""

    answered: bool
    """Something came, even if nothing of it could be taken."""
    reason: str | None = None
    """Why it failed; None where it did not."""
    every: timedelta
    longest: timedelta
    """After failures it is waited for twice as long each time, up to this, or `every` where that is longer."""
    before: datetime | None = None
    """What was taken in before then is to have been answered by now; None where nothing was agreed."""


async def ended(database: Database, organisation: str, how: Round) -> None:
    """Write down how a round went, and when the next is. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute(
            """
            WITH how AS (
                SELECT CASE WHEN $3::text IS NULL THEN 0 ELSE failures + 1 END AS failures,
                       CASE WHEN $2 THEN now() ELSE answered_at END AS answered_at
                FROM collection WHERE organisation = $1
            )
            UPDATE collection SET failures = how.failures, reason = $3, answered_at = how.answered_at,
                due = now() + greatest($4::interval, least($5::interval, $4::interval * 2 ^ least(how.failures, 16))),
                silent = EXISTS (
                    SELECT FROM delivery d
                    WHERE d.organisation = $1 AND d.sequence IS NOT NULL AND d.status = 'received'
                      AND d.answered_at < $6 AND d.answered_at > coalesce(how.answered_at, '-infinity'))
            FROM how WHERE collection.organisation = $1
            """,
            organisation,
            how.answered,
            how.reason,
            how.every,
            how.longest,
            how.before,
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What an answer needs to know of the delivery it is about."""

    epoch: int
    attempts: int


async def own(database: Database, organisation: str, delivery_ids: Sequence[UUID]) -> dict[UUID, Known]:
    """Return those of these deliveries that have been published to `organisation`; anybody else's are as if absent.

    Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT id, epoch, attempts FROM delivery WHERE id = ANY($1) AND organisation = $2 AND sequence IS NOT NULL",
            list(delivery_ids),
            organisation,
        )
    return {row["id"]: Known(row["epoch"], row["attempts"]) for row in rows}


async def note(database: Database, leaf: bytes) -> None:
    """Write a leaf of its own into the ledger. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute("INSERT INTO audit_leaf (leaf) VALUES ($1)", leaf)

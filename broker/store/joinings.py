"""Requests to join a new account to the person an earlier one belongs to: asked, decided by two people, carried out.

Locks are taken in one order, as everywhere: the persons, by id, before anything of theirs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from broker.store.database import Connection, Database
from broker.store.operations import record_act

Outcome = Literal["not_agreed", "repeated", "refused", "joined"]

NEEDED: Final = 2
"""Different people who approve. The schema asks for them too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """Whose an earlier change is, and who was verified to tell it."""

    person_id: int
    verified: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it is made."""

    id: UUID
    asked_by: int
    earlier: int | None
    """None: what was verified does not agree."""
    account: bytes = field(repr=False)
    """The account that asks, as `account` has it."""
    sessions: bytes = field(repr=False)
    """The same, as `session` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """A request whose verified identities agree, as whoever decides sees it: nothing personal."""

    id: UUID
    asked_by: int
    earlier: int
    asked_at: datetime
    known_since: datetime
    """Since when the earlier person is known."""
    told: int
    """Changes the earlier person told, and took back."""
    told_now: int
    """Those of the account that asks: with any, the two cannot be joined."""
    approved_by: tuple[str, ...]
    approved_at: tuple[datetime, ...]
    outcome: Outcome | None
    """None while it waits."""


class NotOpen(Exception):  # noqa: N818  an answer
    """There is no such request, or it was decided before."""


class ApprovedBefore(Exception):  # noqa: N818  an answer
    """The same person has approved it already: another must."""


class CannotJoin(Exception):  # noqa: N818  an answer
    """One of the two was erased, the new account has told changes of its own, or it is somebody else's by now.

    Nothing was written.
    """


async def earlier(database: Database, reference: str) -> Earlier | None:
    """Return whose a change is by its reference, None also where nobody kept who was verified. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT person_id, verified FROM change WHERE reference = $1 AND verified IS NOT NULL", reference
        )
    return Earlier(**row) if row else None


async def has_told(database: Database, person_id: int) -> bool:
    """Return whether a person has told any change. Raises StoreUnavailable."""
    async with database.connection() as connection:
        return bool(await connection.fetchval("SELECT last_ordinal > 0 FROM person WHERE id = $1", person_id))


async def ask(database: Database, asked: Asked, most_a_day: int, leaf: bytes) -> bool:
    """Keep a request with `leaf`; False if the person has asked too often within 24 hours: then nothing is kept.

    One that does not agree ends at once; so does one beside another of the same person's that waits.
    Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM person WHERE id = $1 FOR UPDATE", asked.asked_by)
        often: int = await connection.fetchval(
            "SELECT count(*) FROM joining WHERE asked_by = $1 AND asked_at > now() - interval '24 hours'",
            asked.asked_by,
        )
        if often >= most_a_day:
            return False
        waits: bool = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM joining j LEFT JOIN joining_end e ON e.joining_id = j.id"
            " WHERE j.asked_by = $1 AND e.joining_id IS NULL)",
            asked.asked_by,
        )
        await connection.execute(
            "INSERT INTO joining (id, asked_by, earlier, account, sessions, asked_at) VALUES ($1, $2, $3, $4, $5, now())",
            asked.id,
            asked.asked_by,
            asked.earlier,
            asked.account,
            asked.sessions,
        )
        if asked.earlier is None or waits:
            await _end(connection, asked.id, "not_agreed" if asked.earlier is None else "repeated", "intake")
        await connection.execute("INSERT INTO audit_leaf (leaf) VALUES ($1)", leaf)
    return True


_COLUMNS: Final = """
SELECT j.id, j.asked_by, j.earlier, j.asked_at, old.created_at AS known_since, old.last_ordinal AS told,
       new.last_ordinal AS told_now, e.outcome,
       ARRAY(SELECT approved_by FROM joining_approval WHERE joining_id = j.id ORDER BY approved_at, approved_by) AS approved_by,
       ARRAY(SELECT approved_at FROM joining_approval WHERE joining_id = j.id ORDER BY approved_at, approved_by) AS approved_at
FROM joining j JOIN person old ON old.id = j.earlier JOIN person new ON new.id = j.asked_by
LEFT JOIN joining_end e ON e.joining_id = j.id
"""


async def waiting(database: Database, limit: int) -> list[Joining]:
    """Return the requests that wait for a decision, the oldest first. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            f"{_COLUMNS} WHERE e.joining_id IS NULL ORDER BY j.asked_at, j.id LIMIT $1", limit
        )
    return [_joining(row) for row in rows]


async def find(database: Database, joining_id: UUID) -> Joining | None:
    """Return one request; None also for one that does not agree. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow(f"{_COLUMNS} WHERE j.id = $1", joining_id)
    return _joining(row) if row else None


async def not_agreed(database: Database) -> int:
    """Return how many requests of the last 30 days did not agree. Raises StoreUnavailable."""
    async with database.connection() as connection:
        found: int = await connection.fetchval(
            "SELECT count(*) FROM joining_end WHERE outcome = 'not_agreed' AND ended_at > now() - interval '30 days'"
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one member of staff decided, and why."""

    by: str
    reason: str
    note: str


async def approve(
    database: Database, joining_id: UUID, decision: Decision, leaves: Callable[[bool], Sequence[bytes]]
) -> bool:
    """Record that somebody approves; return whether the accounts were joined by that, being the `NEEDED`th.

    Then in the same transaction the new account is the earlier person's, the accounts they had are nobody's, the new
    person is a tombstone, and the sessions of the new account end. `leaves` makes what the ledger keeps, given whether
    they are joined. Raises NotOpen, ApprovedBefore, CannotJoin and StoreUnavailable; then nothing was written.
    """
    async with database.transaction() as connection:
        joining = await _open(connection, joining_id)
        added = await connection.execute(
            """
            INSERT INTO joining_approval (joining_id, approved_by, approved_at, reason, note)
            VALUES ($1, $2, now(), $3, $4) ON CONFLICT DO NOTHING
            """,
            joining_id,
            decision.by,
            decision.reason,
            decision.note,
        )
        if added != "INSERT 0 1":
            raise ApprovedBefore
        approved: int = await connection.fetchval(
            "SELECT count(*) FROM joining_approval WHERE joining_id = $1", joining_id
        )
        joined = approved >= NEEDED
        if joined:
            await _join(connection, joining)
            await _end(connection, joining_id, "joined", decision.by)
        await record_act(connection, leaves(joined))
    return joined


async def refuse(database: Database, joining_id: UUID, decision: Decision, leaf: bytes) -> None:
    """End a request; one person is enough. Raises NotOpen and StoreUnavailable."""
    async with database.transaction() as connection:
        await _open(connection, joining_id)
        await _end(connection, joining_id, "refused", decision.by, decision.reason, decision.note)
        await record_act(connection, [leaf])


async def _open(connection: Connection, joining_id: UUID) -> Any:
    """Return a request that waits, with its two persons locked. Raises NotOpen."""
    found = await connection.fetchrow("SELECT * FROM joining WHERE id = $1 AND earlier IS NOT NULL", joining_id)
    if found is None:
        raise NotOpen
    await connection.execute(
        "SELECT FROM person WHERE id = ANY($1) ORDER BY id FOR UPDATE", [found["asked_by"], found["earlier"]]
    )
    # its own statement: one that waited for the lock would go on to read what was before the wait
    if await connection.fetchval("SELECT EXISTS (SELECT FROM joining_end WHERE joining_id = $1)", joining_id):
        raise NotOpen
    return found


async def _join(connection: Connection, joining: Any) -> None:
    new, old = joining["asked_by"], joining["earlier"]
    fits: bool = await connection.fetchval(
        """
        SELECT count(*) = 2 FROM person
        WHERE id = ANY($1) AND erased_at IS NULL AND (id <> $2 OR last_ordinal = 0)
        """,
        [new, old],
        new,
    )
    if not fits:
        raise CannotJoin
    await connection.execute("DELETE FROM account WHERE person_id = $1", old)
    moved = await connection.execute(
        "UPDATE account SET person_id = $2 WHERE digest = $1 AND person_id = $3", joining["account"], old, new
    )
    if moved != "UPDATE 1":
        raise CannotJoin
    await connection.execute("DELETE FROM person_key WHERE person_id = $1", new)
    await connection.execute("UPDATE person SET erased_at = now() WHERE id = $1", new)
    await connection.execute("DELETE FROM session WHERE domain = 'citizen' AND account = $1", joining["sessions"])


async def _end(
    connection: Connection,
    joining_id: UUID,
    outcome: Outcome,
    by: str,
    reason: str | None = None,
    note: str | None = None,
) -> None:
    await connection.execute(
        "INSERT INTO joining_end (joining_id, outcome, ended_by, ended_at, reason, note) VALUES ($1, $2, $3, now(), $4, $5)",
        joining_id,
        outcome,
        by,
        reason,
        note,
    )


def _joining(row: Any) -> Joining:
    found: dict[str, Any] = dict(row)
    for name in ("approved_by", "approved_at"):
        found[name] = tuple(found[name])
    return Joining(**found)

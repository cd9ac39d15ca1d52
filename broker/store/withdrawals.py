"""Changes their person took back: asked for in one transaction, carried out in others, until nothing is left to do.

Locks are taken in one order: the person, then lanes in theirs, then the withdrawal (`0007_withdrawals.sql`).
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from broker.store.changes import Told, accept
from broker.store.database import Connection, Database
from broker.store.holds import carry_over, end
from broker.store.lanes import LOCK_LANES
from broker.store.receipts import Folding, unfolded
from contracts.holds import HoldOutcome, HoldReason


class WithdrawnAlready(Exception):  # noqa: N818  says what holds
    """The change was cancelled or corrected before; nothing was stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakingBack:
    """The compensating change: it owes nobody anything until it turns out who was sent what it takes back."""

    id: UUID
    reference: str
    generation: int
    sealed: bytes = field(repr=False)
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Correctable:
    """One of a person's changes, as a change that would replace it must know it."""

    change_id: UUID
    type: str
    withdrawn: bool
    deliveries: Mapping[str, UUID]
    """By organisation."""


async def correctable(database: Database, person_id: int, reference: str) -> Correctable | None:
    """Return a person's change by its reference; another person's is None, as if absent. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            """
            SELECT c.id, c.type, w.change_id IS NOT NULL AS withdrawn,
                   (SELECT array_agg((d.organisation, d.id)) FROM delivery d WHERE d.change_id = c.id) AS deliveries
            FROM change c LEFT JOIN withdrawal w ON w.change_id = c.id
            WHERE c.reference = $2 AND c.person_id = $1 AND c.type <> 'withdrawal'
            """,
            person_id,
            reference,
        )
    return Correctable(row["id"], row["type"], row["withdrawn"], dict(row["deliveries"] or ())) if row else None


_ASK: Final = """
WITH counted AS (
    UPDATE person SET last_ordinal = last_ordinal + 1 WHERE id = $1 RETURNING last_ordinal
), made AS (
    INSERT INTO change (id, person_id, ordinal, reference, type, generation, sealed, accepted_at, corrects)
    SELECT $2, $1, last_ordinal, $3, 'withdrawal', $4, $5, now(), $6 FROM counted
), holds AS (
    UPDATE hold SET ended_at = now(), outcome = $10, decided_by = $11
    WHERE change_id = $6 AND ended_at IS NULL
), leaves AS (
    INSERT INTO audit_leaf (leaf, by_operator) VALUES ($8, $9)
)
INSERT INTO withdrawal (change_id, person_id, corrected_by, taken_back_by, asked_at, look_at)
VALUES ($6, $1, $7, $2, now(), now())
"""


async def _ask(
    connection: Connection,
    person_id: int,
    change_id: UUID,
    back: TakingBack,
    corrected_by: UUID | None,
    *,
    refused_by: str | None = None,
) -> None:
    """Withdraw a change, and end what holds it: its person did, or whoever refused it."""
    await connection.execute(
        _ASK,
        person_id,
        back.id,
        back.reference,
        back.generation,
        back.sealed,
        change_id,
        corrected_by,
        back.leaf,
        refused_by is not None,
        HoldOutcome.WITHDRAWN if refused_by is None else HoldOutcome.REFUSED,
        refused_by or f"citizen:{person_id}",
    )


async def cancel(database: Database, person_id: int, change_id: UUID, back: TakingBack) -> bool:
    """Withdraw a change; from now on the gate lets nothing of it through. False if it was withdrawn before.

    Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM person WHERE id = $1 FOR UPDATE", person_id)
        if await connection.fetchval("SELECT EXISTS (SELECT FROM withdrawal WHERE change_id = $1)", change_id):
            return False
        await _ask(connection, person_id, change_id, back, None)
    return True


async def refuse(
    database: Database, person_id: int, change_id: UUID, back: TakingBack, hold_id: UUID, decided_by: str, why: str
) -> bool:
    """Withdraw a change because of a hold that somebody decided on; False if that hold, or the change, has ended.

    Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM person WHERE id = $1 FOR UPDATE", person_id)
        if await connection.fetchval("SELECT EXISTS (SELECT FROM withdrawal WHERE change_id = $1)", change_id):
            return False
        if not await end(connection, hold_id, HoldOutcome.REFUSED, decided_by, why):
            return False
        await _ask(connection, person_id, change_id, back, None, refused_by=decided_by)
    return True


async def correct(
    database: Database,
    told: Told,
    change_id: UUID,
    back: TakingBack,
    held: Callable[[Sequence[HoldReason]], bytes],
) -> datetime | None:
    """Accept a change and withdraw the one it replaces, in one transaction; return when, None if its key is known.

    What holds the one holds the other too; `held` makes the leaf of that.

    Raises WithdrawnAlready, PersonErased (nothing stored) and StoreUnavailable (unknown: ask the key).
    """

    async def replace(connection: Connection) -> None:
        await connection.execute("UPDATE change SET corrects = $2 WHERE id = $1", told.id, change_id)
        await carry_over(connection, told.id, change_id, held)
        await _ask(connection, told.person_id, change_id, back, told.id)

    try:
        return (await accept(database, [told], also=replace)).get(told.id)
    except asyncpg.UniqueViolationError as twice:
        if twice.constraint_name == "withdrawal_pkey":
            raise WithdrawnAlready from None
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """What a person is told of a withdrawal."""

    asked_at: datetime
    corrected_by: str | None
    """The reference of the change that replaces it."""
    taken_back_by: UUID


async def of_change(database: Database, change_id: UUID) -> tuple[Withdrawn | None, str | None]:
    """Return the withdrawal of a change, and the reference of the change it replaces. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            """
            SELECT w.asked_at, later.reference AS corrected_by, w.taken_back_by, earlier.reference AS corrects
            FROM change c LEFT JOIN withdrawal w ON w.change_id = c.id
            LEFT JOIN change later ON later.id = w.corrected_by LEFT JOIN change earlier ON earlier.id = c.corrects
            WHERE c.id = $1
            """,
            change_id,
        )
    if row is None or row["taken_back_by"] is None:
        return None, row and row["corrects"]
    found = Withdrawn(asked_at=row["asked_at"], corrected_by=row["corrected_by"], taken_back_by=row["taken_back_by"])
    return found, row["corrects"]


# Carrying one out --------------------------------------------------------------------------------------------------


async def due(database: Database, limit: int) -> list[UUID]:
    """Return changes whose withdrawal is to be looked at now. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT change_id FROM withdrawal WHERE look_at <= now() ORDER BY look_at LIMIT $1", limit
        )
    return [row["change_id"] for row in rows]


async def later(database: Database, change_id: UUID, seconds: float) -> None:
    """Look at a withdrawal again only after so long. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE withdrawal SET look_at = now() + $2 * interval '1 second' WHERE change_id = $1", change_id, seconds
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A delivery of a withdrawn change, beside what `receipts.Touched` says of it."""

    id: UUID
    sequence: int | None
    """None for one that was never on its way, which nobody can have."""
    digest: bytes
    sealed: bytes = field(repr=False)
    event: str
    """The type of the change it told."""
    taken_back: bool
    """A compensating delivery is owed already."""
    replaced: bool
    """The change that corrects it goes, or went, to the same organisation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedBack:
    """One compensating delivery, its data frozen and sealed; otherwise as the delivery it takes back."""

    id: UUID
    takes_back: UUID
    digest: bytes
    sealed: bytes = field(repr=False)


_SENT: Final = """
SELECT d.id, d.sequence, content.digest, content.sealed, c.type AS event,
       EXISTS (SELECT FROM delivery b WHERE b.change_id = w.taken_back_by AND b.organisation = d.organisation)
           AS taken_back,
       EXISTS (SELECT FROM delivery n WHERE n.change_id = w.corrected_by AND n.organisation = d.organisation
               AND NOT (n.unknowns = 0 AND (n.status = 'cancelled'
                        OR (n.status = 'superseded' AND n.reason IS NOT DISTINCT FROM 'superseded'))))
           AS replaced
FROM withdrawal w JOIN change c ON c.id = w.change_id JOIN delivery d ON d.change_id = w.change_id
JOIN delivery_content content ON content.delivery_id = d.id
WHERE w.change_id = $1
"""

_TAKE_BACK: Final = """
WITH owed AS (
    SELECT o.id, o.digest, o.sealed, d.person_id, d.organisation, d.agreement, d.agreement_version, content.origin,
           back.id AS change_id, back.ordinal, back.generation
    FROM unnest($2::uuid[], $3::uuid[], $4::bytea[], $5::bytea[]) AS o(id, takes_back, digest, sealed)
    JOIN delivery d ON d.id = o.takes_back JOIN delivery_content content ON content.delivery_id = d.id
    JOIN change back ON back.id = $1
), lanes AS (
    UPDATE lane SET due = CASE WHEN lane.occupant IS NULL THEN least(lane.due, now()) ELSE lane.due END,
                    owed_from = least(lane.owed_from, owed.ordinal)   -- more may have been told since it was asked for
    FROM owed WHERE lane.person_id = owed.person_id AND lane.organisation = owed.organisation
), deliveries AS (
    INSERT INTO delivery (id, change_id, person_id, organisation, ordinal, agreement, agreement_version, status, due,
                          accepted_at)
    SELECT id, change_id, person_id, organisation, ordinal, agreement, agreement_version, 'queued', now(), now()
    FROM owed
), contents AS (
    INSERT INTO delivery_content (delivery_id, generation, origin, digest, sealed)
    SELECT id, generation, origin, digest, sealed FROM owed
), leaves AS (
    INSERT INTO audit_leaf (leaf) VALUES ($6)
)
SELECT pg_notify('unwaith_due', '')
"""


class Look:
    """One look at a withdrawal: everything it must decide on, locked until what was decided is written."""

    def __init__(
        self,
        connection: Connection,
        change_id: UUID,
        taken_back_by: UUID,
        *,
        corrected: bool,
        folding: Folding,
        sent: Mapping[UUID, Sent],
        key: tuple[int, int, bytes] | None,
    ) -> None:
        self._connection = connection
        self._change_id = change_id
        self.taken_back_by = taken_back_by
        self.corrected = corrected
        """It was replaced, not cancelled."""
        self.folding = folding
        self.sent = sent
        self.key = key
        """Person, key-encryption key's generation and the person's wrapped key; None once they are erased."""

    async def take_back(self, owed: Sequence[OwedBack], leaf: bytes) -> None:
        """Owe the compensating deliveries."""
        await self._connection.execute(
            _TAKE_BACK,
            self.taken_back_by,
            [item.id for item in owed],
            [item.takes_back for item in owed],
            [item.digest for item in owed],
            [item.sealed for item in owed],
            leaf,
        )

    async def looked(self, again: datetime | None) -> None:
        """Look again then; with None, as soon as one of its deliveries moves."""
        await self._connection.execute(
            "UPDATE withdrawal SET look_at = $2 WHERE change_id = $1", self._change_id, again
        )


@asynccontextmanager
async def looking(database: Database, change_id: UUID) -> AsyncIterator[Look | None]:
    """Open the transaction of one look; None if there is nothing to look at now. Raises StoreUnavailable."""
    async with database.transaction() as connection:
        # Each its own statement: one that waited for a lock would go on to read what was before the wait.
        await connection.execute(
            "SELECT FROM person WHERE id = (SELECT person_id FROM withdrawal WHERE change_id = $1) FOR UPDATE",
            change_id,
        )
        ids = [row["id"] for row in await connection.fetch("SELECT id FROM delivery WHERE change_id = $1", change_id)]
        await connection.execute(LOCK_LANES, ids)
        row = await connection.fetchrow(
            """
            SELECT w.person_id, w.taken_back_by, w.corrected_by IS NOT NULL AS corrected, k.kek_generation, k.wrapped
            FROM withdrawal w LEFT JOIN person_key k USING (person_id)
            WHERE w.change_id = $1 AND w.look_at <= now() FOR UPDATE OF w
            """,
            change_id,
        )
        if row is None:
            yield None
            return
        sent = {item["id"]: Sent(**item) for item in await connection.fetch(_SENT, change_id)}
        yield Look(
            connection,
            change_id,
            row["taken_back_by"],
            corrected=row["corrected"],
            folding=await unfolded(connection, [], ids),
            sent=sent,
            key=(row["person_id"], row["kek_generation"], row["wrapped"]) if row["wrapped"] else None,
        )

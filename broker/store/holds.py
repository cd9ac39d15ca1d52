"""Holds on changes: placed, released, read. What is held is due never; see migration 0013.

Locks are taken in one order: the person, then lanes in theirs, then holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from broker.store.database import Connection, Database
from broker.store.lanes import LOCK_LANES
from contracts.holds import DECIDED_BY, DecidedBy, HoldOutcome, HoldReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A hold to be placed."""

    id: UUID
    reason: HoldReason
    until: datetime | None
    """None: until somebody decides."""
    registration: bytes | None = field(default=None, repr=False)
    """What a registrar must confirm, as keyed digests; see `broker.verification.registrations`."""
    fact: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRow:
    """One hold as it is kept."""

    id: UUID
    change_id: UUID
    person_id: int
    reason: HoldReason
    placed_at: datetime
    until: datetime | None
    ended_at: datetime | None
    outcome: HoldOutcome | None
    decided_by: str | None
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a person's past says when they tell a change; see `broker.verification.holds.Facts`."""

    now: datetime
    known_since: datetime
    told: int
    objected: bool
    lapsing: "Lapsing | None"
    contact: "KnownContact | None"
    last: "Last | None"


@dataclass(frozen=True, slots=True)
class Lapsing:
    """The last hold of a person's that ends, or is about to end, by itself."""

    reason: HoldReason
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownContact:
    """Where a person is written to, and where they were before, sealed each to its id."""

    id: UUID
    sealed: bytes = field(repr=False)
    previous_id: UUID | None
    previous_sealed: bytes | None = field(repr=False)
    changed_at: datetime | None
    """None: it never was another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """The last change of one type that a person told and has not taken back."""

    id: UUID
    reference: str
    type: str
    sealed: bytes = field(repr=False)
    told: frozenset[str]
    """Organisations that were told of it, or are still to be."""


_KNOWN: Final = """
SELECT asked.person_id, asked.type AS asked_type, now(), p.created_at AS known_since,
       CASE WHEN $3::int > 0 THEN (      -- backwards to the last one before, however many there ever were
           SELECT count(*) FROM change WHERE person_id = p.id AND type <> 'withdrawal' AND ordinal > coalesce(
               (SELECT ordinal FROM change WHERE person_id = p.id AND accepted_at <= now() - interval '24 hours'
                ORDER BY ordinal DESC LIMIT 1), 0)
       ) ELSE 0 END AS told,
       EXISTS (SELECT FROM hold WHERE person_id = p.id AND ended_at IS NULL AND reason = 'objected') AS objected,
       lapsing.reason AS lapsing_reason, lapsing.until AS lapsing_until,
       last.id, last.reference, last.type, last.sealed,
       contact.id AS contact_id, contact.sealed AS contact_sealed, contact.previous_id, contact.previous_sealed,
       contact.changed_at,
       array(SELECT organisation FROM delivery WHERE change_id = last.id
             AND status NOT IN ('cancelled', 'superseded', 'undelivered', 'rejected', 'not_matched')) AS organisations
FROM unnest($1::bigint[], $2::text[]) AS asked(person_id, type)
JOIN person p ON p.id = asked.person_id LEFT JOIN contact ON contact.person_id = p.id LEFT JOIN LATERAL (
    SELECT c.id, c.reference, c.type, c.sealed FROM change c
    WHERE c.person_id = p.id AND c.type = asked.type AND NOT EXISTS (SELECT FROM withdrawal WHERE change_id = c.id)
    ORDER BY c.ordinal DESC LIMIT 1
) last ON true LEFT JOIN LATERAL (
    SELECT reason, until FROM hold WHERE person_id = p.id AND ended_at IS NULL AND until IS NOT NULL
    ORDER BY until DESC LIMIT 1
) lapsing ON true
"""


async def known(database: Database, most: int, asked: Sequence[tuple[int, str]]) -> dict[tuple[int, str], Known]:
    """Return what is known of each (person, change type); their changes of a day are counted where `most` is not 0.

    Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(
            _KNOWN, [person_id for person_id, _ in asked], [change_type for _, change_type in asked], most
        )
    return {(row["person_id"], row["asked_type"]): _known(row) for row in rows}


def _known(row: Connection) -> Known:
    last = None
    if row["id"] is not None:
        last = Last(
            id=row["id"],
            reference=row["reference"],
            type=row["type"],
            sealed=row["sealed"],
            told=frozenset(row["organisations"]),
        )
    contact = None
    if row["contact_id"] is not None:
        contact = KnownContact(
            id=row["contact_id"],
            sealed=row["contact_sealed"],
            previous_id=row["previous_id"],
            previous_sealed=row["previous_sealed"],
            changed_at=row["changed_at"],
        )
    return Known(
        now=row["now"],
        known_since=row["known_since"],
        told=row["told"],
        objected=row["objected"],
        lapsing=None
        if row["lapsing_reason"] is None
        else Lapsing(HoldReason(row["lapsing_reason"]), row["lapsing_until"]),
        contact=contact,
        last=last,
    )


# Placing one ----------------------------------------------------------------------------------------------------------

_STOP: Final = """
UPDATE delivery SET held_due = due, due = 'infinity'
WHERE change_id = ANY($1) AND sequence IS NULL AND status IN ('waiting', 'queued', 'undelivered') AND held_due IS NULL
"""
"""Keep everything of a change from being sent that has not its place in a lane, also if what was given up is sent after
all. Its lanes find that out by themselves."""


_AND_LATER: Final = """
SELECT later.id FROM change this
JOIN change later ON later.person_id = this.person_id AND later.type = this.type AND later.ordinal >= this.ordinal
WHERE this.id = $1 AND NOT EXISTS (SELECT FROM withdrawal WHERE change_id IN (this.id, later.id))
  AND (later.id = this.id OR (
      EXISTS (SELECT FROM delivery d JOIN delivery first USING (person_id, organisation)
              WHERE d.change_id = later.id AND d.sequence IS NULL AND d.status IN ('waiting', 'queued')
              AND first.change_id = this.id AND first.sequence IS NULL AND first.status IN ('waiting', 'queued'))
      AND NOT EXISTS (SELECT FROM hold WHERE change_id = later.id AND reason = $2 AND outcome = 'released')))
ORDER BY later.ordinal
"""
"""A change that may be held, and what its person told later of the same type, and that an organisation is to be sent after
it, unless it was held for this reason and released before: sent first, the earlier would be taken for what holds."""


async def place(database: Database, change_id: UUID, hold: Placed, leaf: Callable[[UUID], bytes]) -> Sequence[UUID]:
    """Hold a change that was accepted before, and what must not be sent before it; return what is held by that.

    Nothing of what is held for that reason already, or withdrawn. `leaf` makes what the ledger keeps of each. What is in
    the log, or was sent, goes on. Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        await _person_locked(connection, change_id)
        ids = [row["id"] for row in await connection.fetch(_AND_LATER, change_id, hold.reason)]
        await _lanes_locked(connection, ids)
        rows = await connection.fetch(
            """
            INSERT INTO hold (id, change_id, person_id, reason, placed_at, until)
            SELECT CASE WHEN id = $1 THEN $2 ELSE gen_random_uuid() END, id, person_id, $3, now(), $4 FROM change
            WHERE id = ANY($5) ON CONFLICT DO NOTHING RETURNING change_id
            """,
            change_id,
            hold.id,
            hold.reason,
            hold.until,
            ids,
        )
        placed = [row["change_id"] for row in rows]
        await connection.execute(_STOP, placed)
        await connection.execute(
            "INSERT INTO audit_leaf (leaf) SELECT unnest($1::bytea[])", [leaf(one) for one in placed]
        )
    return placed


async def carry_over(
    connection: Connection, change_id: UUID, corrected: UUID, leaf: Callable[[Sequence[HoldReason]], bytes]
) -> None:
    """Have a change held for what holds the change it replaces, within the transaction that has just stored it.

    So nobody gets rid of a hold by correcting what is held.
    """
    rows = await connection.fetch(
        """
        INSERT INTO hold (id, change_id, person_id, reason, placed_at, until, registration, fact)
        SELECT gen_random_uuid(), $1, person_id, reason, now(), until, registration, fact FROM hold
        WHERE change_id = $2 AND ended_at IS NULL ON CONFLICT DO NOTHING RETURNING reason
        """,
        change_id,
        corrected,
    )
    if rows:
        await connection.execute(_STOP, [change_id])
        reasons = sorted(HoldReason(row["reason"]) for row in rows)
        await connection.execute("INSERT INTO audit_leaf (leaf) VALUES ($1)", leaf(reasons))


async def _locked(connection: Connection, change_id: UUID) -> None:
    await _person_locked(connection, change_id)
    await _lanes_locked(connection, [change_id])


# Each its own statement: one that waited for a lock would go on to read what was before the wait.


async def _person_locked(connection: Connection, change_id: UUID) -> None:
    await connection.execute(
        "SELECT FROM person WHERE id = (SELECT person_id FROM change WHERE id = $1) FOR UPDATE", change_id
    )


async def _lanes_locked(connection: Connection, changes: Sequence[UUID]) -> None:
    ids = [row["id"] for row in await connection.fetch("SELECT id FROM delivery WHERE change_id = ANY($1)", changes)]
    await connection.execute(LOCK_LANES, ids)


# Ending one -----------------------------------------------------------------------------------------------------------

_GO: Final = """
WITH freed AS (
    UPDATE delivery SET due = greatest(held_due, now()), held_due = NULL,
                        status = CASE WHEN status = 'waiting' AND held_due <= now() THEN 'queued' ELSE status END
    WHERE change_id = $1 AND held_due IS NOT NULL
    RETURNING person_id, organisation, due, status
)
UPDATE lane SET due = least(lane.due, freed.due)
FROM freed CROSS JOIN (SELECT pg_notify('unwaith_due', '')) AS relay_woken
WHERE lane.person_id = freed.person_id AND lane.organisation = freed.organisation AND lane.occupant IS NULL
  AND freed.status IN ('waiting', 'queued')
"""
"""What was given up while it was held is held no more either: replayed, it would else be due never, and nobody know."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What must end first."""

    hold_id: UUID
    reason: HoldReason
    ordinal: int
    """Which of its person's changes it holds."""


_FREE: Final = [reason for reason, who in DECIDED_BY.items() if who is DecidedBy.REGISTRAR]
"""What waits for a registrar is about somebody else each time: it waits for no other, and no other for it."""
_BEFORE: Final = """
change this JOIN change earlier
    ON earlier.person_id = this.person_id AND earlier.type = this.type AND earlier.ordinal < this.ordinal
JOIN hold first ON first.change_id = earlier.id AND first.person_id = this.person_id AND first.ended_at IS NULL
AND EXISTS (SELECT FROM delivery d JOIN delivery kept USING (person_id, organisation)
            WHERE d.change_id = this.id AND d.held_due IS NOT NULL
            AND kept.change_id = earlier.id AND kept.held_due IS NOT NULL)
"""
"""What is held at an organisation where something earlier of the same type and person is held."""
_EARLIER: Final = f"""
SELECT first.id, first.reason, earlier.ordinal FROM hold JOIN {_BEFORE} ON this.id = hold.change_id
WHERE hold.id = $1 AND first.reason <> ALL($2) AND hold.reason <> ALL($2)
ORDER BY earlier.ordinal, first.placed_at, first.id LIMIT 1
"""  # noqa: S608  a constant of ours


async def earlier_held(database: Database, hold_id: UUID) -> Earlier | None:
    """Return what holds the same person's earliest change of that type before it, whoever ends that; None if nothing does.

    Sent in the other order, what was told first would come last, and be taken for what holds. Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        row = await connection.fetchrow(_EARLIER, hold_id, _FREE)
    return Earlier(row["id"], HoldReason(row["reason"]), row["ordinal"]) if row else None


async def release(
    database: Database, hold_id: UUID, decided_by: str, why: str, leaf: bytes, *, by_operator: bool = False
) -> bool:
    """End a hold, with `leaf`; False if it has ended, or if an earlier change must go first (`earlier_held`).

    The change goes on its way when nothing else holds it. Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        change_id = await connection.fetchval("SELECT change_id FROM hold WHERE id = $1", hold_id)
        if change_id is None:
            return False
        await _locked(connection, change_id)
        if await connection.fetchrow(_EARLIER, hold_id, _FREE) is not None:
            return False
        return await _released(connection, change_id, hold_id, decided_by, why, leaf, by_operator=by_operator)


async def _released(
    connection: Connection, change_id: UUID, hold_id: UUID, decided_by: str, why: str, leaf: bytes, *, by_operator: bool
) -> bool:
    if not await end(connection, hold_id, HoldOutcome.RELEASED, decided_by, why):
        return False
    if not await connection.fetchval(
        "SELECT EXISTS (SELECT FROM hold WHERE change_id = $1 AND ended_at IS NULL)", change_id
    ):
        await connection.execute(_GO, change_id)
    await connection.execute("INSERT INTO audit_leaf (leaf, by_operator) VALUES ($1, $2)", leaf, by_operator)
    return True


async def end(connection: Connection, hold_id: UUID, outcome: HoldOutcome, decided_by: str, why: str) -> bool:
    """Write down how a hold ended; False if it had. What that means for its change is the caller's."""
    done = await connection.execute(
        "UPDATE hold SET ended_at = now(), outcome = $2, decided_by = $3, why = $4 WHERE id = $1 AND ended_at IS NULL",
        hold_id,
        outcome,
        decided_by,
        why,
    )
    return bool(done == "UPDATE 1")


async def over(database: Database, limit: int) -> list[HoldRow]:
    """Return holds of which the time is over, the oldest first. Raises StoreUnavailable.

    None that an earlier change must go before (`earlier_held`): that one's is to end first, if its time is over too.
    So whoever looks again after what was found has ended finds the next.
    """
    first = f"SELECT FROM {_BEFORE} WHERE this.id = hold.change_id AND first.reason <> ALL($2)"
    return await _rows(
        database,
        f"ended_at IS NULL AND until <= now() AND (reason = ANY($2) OR NOT EXISTS ({first}))"
        " ORDER BY until, placed_at, id LIMIT $1",
        limit,
        _FREE,
    )


# What registrars say --------------------------------------------------------------------------------------------------


async def confirm(
    database: Database, organisation: str, registration: bytes, facts: Sequence[bytes], leaf: bytes
) -> None:
    """Keep what a registrar says of an entry, with `leaf`; what they said of it before is replaced.

    Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        await connection.execute(
            """
            INSERT INTO confirmation (organisation, registration, facts) VALUES ($1, $2, $3)
            ON CONFLICT (registration, organisation) DO UPDATE SET facts = excluded.facts, at = now()
            """,
            organisation,
            registration,
            list(facts),
        )
        await connection.execute("INSERT INTO audit_leaf (leaf) VALUES ($1)", leaf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A hold that waited for a registrar, who has said something."""

    hold_id: UUID
    change_id: UUID
    organisation: str
    agrees: bool
    """What was told is what the registrar said; of several, what one of them said."""


async def answered(database: Database, limit: int) -> list[Answered]:
    """Return what registrars have answered, the oldest first. Raises StoreUnavailable.

    Of a change of which a person must look at another answer already, as one that corrects such a change, only what
    agrees: the rest waits until they have.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT DISTINCT ON (h.placed_at, h.id) h.id AS hold_id, h.change_id, c.organisation,
                   h.fact = ANY(c.facts) AS agrees
            FROM hold h JOIN confirmation c USING (registration)
            WHERE h.ended_at IS NULL AND h.reason = 'awaits_registrar' AND (h.fact = ANY(c.facts) OR NOT EXISTS (
                SELECT FROM hold looked_at WHERE looked_at.change_id = h.change_id
                AND looked_at.reason = 'registrar_differs' AND looked_at.ended_at IS NULL))
            ORDER BY h.placed_at, h.id, agrees DESC, c.at LIMIT $1
            """,
            limit,
        )
    return [Answered(**row) for row in rows]


async def differs(database: Database, hold_id: UUID, leaf: bytes) -> bool:
    """Have a person decide on a hold of which a registrar said something else, with `leaf`; False if it has ended.

    Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        change_id = await connection.fetchval("SELECT change_id FROM hold WHERE id = $1", hold_id)
        await _locked(connection, change_id)
        done = await connection.execute(
            "UPDATE hold SET reason = 'registrar_differs'"
            " WHERE id = $1 AND ended_at IS NULL AND reason = 'awaits_registrar'",
            hold_id,
        )
        if done != "UPDATE 1":
            return False
        await connection.execute("INSERT INTO audit_leaf (leaf) VALUES ($1)", leaf)
    return True


# Reading --------------------------------------------------------------------------------------------------------------


async def of_change(database: Database, change_id: UUID) -> list[HoldRow]:
    """Return every hold a change ever had, in the order they were placed. Raises StoreUnavailable."""
    return await _rows(database, "change_id = $1 ORDER BY placed_at, reason", change_id)


async def undecided(database: Database, by: DecidedBy, limit: int) -> list[HoldRow]:
    """Return what waits for a decision of theirs, the oldest first. Raises StoreUnavailable."""
    theirs = "ended_at IS NULL AND until IS NULL AND reason = ANY($1) ORDER BY placed_at, id LIMIT $2"
    return await _rows(database, theirs, _decided(by), limit)


async def undecided_by_others(database: Database, by: DecidedBy) -> int:
    """Return how much waits for somebody else's decision. Raises StoreUnavailable."""
    async with database.connection() as connection:
        found: int = await connection.fetchval(
            "SELECT count(*) FROM hold WHERE ended_at IS NULL AND until IS NULL AND reason <> ALL($1)", _decided(by)
        )
    return found


def _decided(by: DecidedBy) -> list[HoldReason]:
    return [reason for reason, who in DECIDED_BY.items() if who is by]


async def find(database: Database, hold_id: UUID) -> HoldRow | None:
    """Return a hold. Raises StoreUnavailable."""
    found = await _rows(database, "id = $1", hold_id)
    return found[0] if found else None


async def _rows(database: Database, which: str, *arguments: object) -> list[HoldRow]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT id, change_id, person_id, reason, placed_at, until, ended_at, outcome, decided_by, why"  # noqa: S608  conditions of ours
            f" FROM hold WHERE {which}",
            *arguments,
        )
    return [_row(row) for row in rows]


def _row(row: Connection) -> HoldRow:
    outcome = None if row["outcome"] is None else HoldOutcome(row["outcome"])
    return HoldRow(**{**dict(row), "reason": HoldReason(row["reason"]), "outcome": outcome})

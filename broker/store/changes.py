"""Changes as they are accepted, many in one statement, and as a person reads them back."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from broker import failpoints
from broker.store.database import Connection, Database
from broker.store.holds import Placed


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """One delivery owed for a change, its data frozen and sealed."""

    id: UUID
    organisation: str
    subject: str
    agreement: str
    agreement_version: int
    not_before: datetime
    """The first moment of the day from which the change is true; often past."""
    origin: str
    digest: bytes
    sealed: bytes = field(repr=False)
    newest_of: bytes | None = None
    """Of those of one lane with the same mark only the newest matters to the organisation; None: each does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedNotice:
    """A message owed to the person, sealed under their own key."""

    id: UUID
    kind: Literal["confirmation", "old_contact"]
    sealed: bytes = field(repr=False)
    link: bytes = field(repr=False)
    """Keyed digest of what stands in the letter, by which its change is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContact:
    """Where the person is written to from now on, sealed under their own key."""

    id: UUID
    sealed: bytes = field(repr=False)
    changed: bool
    """It was another before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One change ready to be stored."""

    id: UUID
    person_id: int
    key: bytes
    fingerprint: bytes
    reference: str
    type: str
    generation: int
    sealed: bytes = field(repr=False)
    accepted_at: datetime
    """As this process dates it; once stored, as the store does."""
    owed: tuple[Owed, ...]
    leaf: bytes
    notices: tuple[OwedNotice, ...] = ()
    contact: NewContact | None = None
    holds: tuple[Placed, ...] = ()
    """What it waits for before any of it is sent."""
    placed: bytes | None = field(default=None, repr=False)
    """Where its addresses lay, sealed; see `broker.intake.placing`."""
    verified: bytes | None = None
    """Who was verified to tell it, as a digest under the person's own key; see `broker.intake.joining`."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store holds under an idempotency key."""

    change_id: UUID
    fingerprint: bytes
    reference: str


class PersonErased(Exception):  # noqa: N818  says what holds
    """Among the changes is one of a person who has been erased; nothing was stored."""

    def __init__(self, change_ids: frozenset[UUID]) -> None:
        super().__init__(f"{len(change_ids)} changes")
        self.change_ids = change_ids


_ACCEPT: Final = """
WITH told AS (
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::int[],
                         $8::bytea[], $9::bytea[], $23::boolean[], $36::bytea[], $38::bytea[])
        WITH ORDINALITY AS t(id, person_id, key, fingerprint, reference, type, generation, sealed, leaf, held, verified,
                             placed, n)
), fresh AS (           -- keys first: a repeat waits here for its twin and then stores nothing
    INSERT INTO change_key (person_id, key, change_id, fingerprint)
    SELECT person_id, key, id, fingerprint FROM told ORDER BY person_id, key
    ON CONFLICT DO NOTHING RETURNING change_id, person_id
), locked AS MATERIALIZED (   -- then persons, in sorted order: unsorted deadlocks
    SELECT p.id FROM person p WHERE p.id IN (SELECT person_id FROM fresh) AND p.erased_at IS NULL
    ORDER BY p.id FOR UPDATE
), counted AS (
    UPDATE person p SET last_ordinal = p.last_ordinal + f.n
    FROM (SELECT person_id, count(*) AS n FROM fresh JOIN locked ON locked.id = person_id GROUP BY person_id) f
    WHERE p.id = f.person_id RETURNING p.id, p.last_ordinal - f.n AS before
), placed AS (
    SELECT t.*, c.before + row_number() OVER (PARTITION BY t.person_id ORDER BY t.n) AS ordinal
    FROM told t JOIN fresh f ON f.change_id = t.id JOIN counted c ON c.id = t.person_id
), stored AS (
    INSERT INTO change (id, person_id, ordinal, reference, type, generation, sealed, accepted_at, verified, placed)
    SELECT id, person_id, ordinal, reference, type, generation, sealed, now(), verified, placed.placed FROM placed
), owed AS (
    SELECT o.*, CASE WHEN p.held THEN 'infinity' ELSE greatest(o.not_before, now()) END AS due,
           CASE WHEN p.held THEN greatest(o.not_before, now()) END AS held_due, p.person_id, p.ordinal, p.generation
    FROM unnest($10::uuid[], $11::uuid[], $12::text[], $13::text[], $14::text[], $15::int[], $16::timestamptz[],
                $17::text[], $18::bytea[], $19::bytea[], $37::bytea[])
        AS o(id, change_id, organisation, subject, agreement, agreement_version, not_before, origin, digest, sealed,
             newest_of)
    JOIN placed p ON p.id = o.change_id
), lanes AS (
    INSERT INTO lane (person_id, organisation, subject, due, owed_from)
    SELECT person_id, organisation, min(subject), min(due), min(ordinal) FROM owed GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (person_id, organisation) DO UPDATE
    SET due = least(lane.due, excluded.due),
        owed_from = CASE WHEN lane.due IS NULL THEN excluded.owed_from ELSE lane.owed_from END
    WHERE lane.occupant IS NULL
), deliveries AS (
    INSERT INTO delivery (id, change_id, person_id, organisation, ordinal, agreement, agreement_version, status, due,
                          held_due, accepted_at)
    SELECT id, change_id, person_id, organisation, ordinal, agreement, agreement_version,
           CASE WHEN due > now() THEN 'waiting' ELSE 'queued' END, due, held_due, now()
    FROM owed
), contents AS (
    INSERT INTO delivery_content (delivery_id, generation, origin, digest, sealed, newest_of)
    SELECT id, generation, origin, digest, sealed, newest_of FROM owed
), notices AS (         -- the confirmation is owed like any delivery: with the change, or not at all
    INSERT INTO notice (id, change_id, person_id, kind, generation, sealed, link, due, since)
    SELECT n.id, n.change_id, p.person_id, n.kind, p.generation, n.sealed, n.link, now(), now()
    FROM unnest($20::uuid[], $21::uuid[], $22::bytea[], $30::text[], $31::bytea[])
        AS n(id, change_id, sealed, kind, link)
    JOIN placed p ON p.id = n.change_id
), contacts AS (
    INSERT INTO contact (person_id, id, generation, sealed, changed_at)
    SELECT DISTINCT ON (p.person_id) p.person_id, n.id, p.generation, n.sealed, CASE WHEN n.changed THEN now() END
    FROM unnest($32::uuid[], $33::uuid[], $34::bytea[], $35::boolean[]) AS n(id, change_id, sealed, changed)
    JOIN placed p ON p.id = n.change_id ORDER BY p.person_id, p.ordinal DESC
    ON CONFLICT (person_id) DO UPDATE SET
        id = excluded.id, generation = excluded.generation, sealed = excluded.sealed, changed_at = excluded.changed_at,
        previous_id = contact.id, previous_sealed = contact.sealed
), holds AS (
    INSERT INTO hold (id, change_id, person_id, reason, placed_at, until, registration, fact)
    SELECT h.id, h.change_id, p.person_id, h.reason, now(), h.until, h.registration, h.fact
    FROM unnest($24::uuid[], $25::uuid[], $26::text[], $27::timestamptz[], $28::bytea[], $29::bytea[])
        AS h(id, change_id, reason, until, registration, fact)
    JOIN placed p ON p.id = h.change_id
), leaves AS (
    INSERT INTO audit_leaf (leaf) SELECT leaf FROM placed
)
SELECT f.change_id, p.ordinal, now() AS accepted_at FROM fresh f LEFT JOIN placed p ON p.id = f.change_id
CROSS JOIN (SELECT pg_notify('unwaith_due', '')) AS relay_woken
"""


async def accept(
    database: Database, batch: Sequence[Told], *, also: Callable[[Connection], Awaitable[None]] | None = None
) -> dict[UUID, datetime]:
    """Store a batch in one transaction and return when each change that was new was accepted, by the store's clock.

    `also` is done in the same transaction, if any of them was new. An id missing from the answer is a repeat of a key already known. Raises PersonErased (nothing stored) and
    StoreUnavailable (unknown whether stored: the key tells, on asking again).
    """
    owed = [(told.id, item) for told in batch for item in told.owed]
    notices = [(told.id, notice) for told in batch for notice in told.notices]
    contacts = [(told.id, told.contact) for told in batch if told.contact is not None]
    holds = [(told.id, hold) for told in batch for hold in told.holds]
    async with database.transaction() as connection:
        rows = await connection.fetch(
            _ACCEPT,
            [t.id for t in batch],
            [t.person_id for t in batch],
            [t.key for t in batch],
            [t.fingerprint for t in batch],
            [t.reference for t in batch],
            [t.type for t in batch],
            [t.generation for t in batch],
            [t.sealed for t in batch],
            [t.leaf for t in batch],
            [o.id for _, o in owed],
            [change_id for change_id, _ in owed],
            [o.organisation for _, o in owed],
            [o.subject for _, o in owed],
            [o.agreement for _, o in owed],
            [o.agreement_version for _, o in owed],
            [o.not_before for _, o in owed],
            [o.origin for _, o in owed],
            [o.digest for _, o in owed],
            [o.sealed for _, o in owed],
            [notice.id for _, notice in notices],
            [change_id for change_id, _ in notices],
            [notice.sealed for _, notice in notices],
            [bool(t.holds) for t in batch],
            [hold.id for _, hold in holds],
            [change_id for change_id, _ in holds],
            [hold.reason for _, hold in holds],
            [hold.until for _, hold in holds],
            [hold.registration for _, hold in holds],
            [hold.fact for _, hold in holds],
            [notice.kind for _, notice in notices],
            [notice.link for _, notice in notices],
            [contact.id for _, contact in contacts],
            [change_id for change_id, _ in contacts],
            [contact.sealed for _, contact in contacts],
            [contact.changed for _, contact in contacts],
            [t.verified for t in batch],
            [o.newest_of for _, o in owed],
            [t.placed for t in batch],
        )
        erased = frozenset(row["change_id"] for row in rows if row["ordinal"] is None)
        if erased:
            raise PersonErased(erased)
        if also is not None and rows:
            await also(connection)
        failpoints.reach("intake.written")
    return {row["change_id"]: row["accepted_at"] for row in rows}


async def stored_under(database: Database, keys: Sequence[tuple[int, bytes]]) -> dict[tuple[int, bytes], Stored]:
    """Return what is stored under each (person, key) that is known. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT k.person_id, k.key, k.change_id, k.fingerprint, c.reference
            FROM unnest($1::bigint[], $2::bytea[]) AS asked(person_id, key)
            JOIN change_key k USING (person_id, key) JOIN change c ON c.id = k.change_id
            """,
            [person_id for person_id, _ in keys],
            [key for _, key in keys],
        )
    return {
        (row["person_id"], row["key"]): Stored(row["change_id"], row["fingerprint"], row["reference"]) for row in rows
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldBefore:
    """A change as its person reads it back, still sealed."""

    id: UUID
    reference: str
    type: str
    ordinal: int
    sealed: bytes = field(repr=False)
    accepted_at: datetime
    placed: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """Where one delivery stands."""

    id: UUID
    change_id: UUID
    organisation: str
    agreement: str
    agreement_version: int
    status: str
    sequence: int | None
    attempts: int
    due: datetime
    """Of one that is held: when it was to be sent but for that."""
    held: bool
    accepted_at: datetime
    published_at: datetime | None
    answered_at: datetime | None
    reason: str | None
    reference: str | None
    revoked: bool = False
    """Its agreement was revoked: what of it is not sent will not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRow:
    """One receipt as it was folded."""

    delivery_id: UUID
    kind: str
    outcome: str | None
    reason: str | None
    attempt: int
    reference: str | None
    at: datetime
    effect: str
    status: str
    next_due: datetime | None


_CHANGE: Final = "SELECT id, reference, type, ordinal, sealed, accepted_at, placed FROM change"


async def of_person(database: Database, person_id: int, *, before: int | None, limit: int) -> list[ToldBefore]:
    """Return a person's changes, newest first, below the ordinal `before`. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            f"{_CHANGE} WHERE person_id = $1 AND type <> 'withdrawal' AND ($2::bigint IS NULL OR ordinal < $2) ORDER BY ordinal DESC LIMIT $3",
            person_id,
            before,
            limit,
        )
    return [ToldBefore(**row) for row in rows]


async def one_of_person(database: Database, person_id: int, reference: str) -> ToldBefore | None:
    """Return a person's change by its reference; another person's is None, as if it did not exist."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            f"{_CHANGE} WHERE reference = $2 AND person_id = $1 AND type <> 'withdrawal'", person_id, reference
        )
    return ToldBefore(**row) if row else None


async def is_noticed(database: Database, change_id: UUID) -> bool:
    """Return whether a confirmation is or was owed for a change. Raises StoreUnavailable."""
    async with database.connection() as connection:
        return bool(
            await connection.fetchval(
                "SELECT EXISTS (SELECT FROM notice WHERE change_id = $1 AND kind = 'confirmation')", change_id
            )
        )


async def deliveries_of(database: Database, change_ids: Sequence[UUID]) -> list[DeliveryRow]:
    """Return the deliveries of changes, by organisation. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT d.id, d.change_id, d.organisation, d.agreement, d.agreement_version, d.status, d.sequence, d.attempts,
                   coalesce(d.held_due, d.due) AS due,
                   d.held_due IS NOT NULL AND d.status IN ('waiting', 'queued') AS held, d.accepted_at, d.published_at,
                   d.answered_at, d.reason, d.reference, a.revoked_at IS NOT NULL AS revoked
            FROM delivery d LEFT JOIN agreement a ON (a.id, a.version) = (d.agreement, d.agreement_version)
            WHERE d.change_id = ANY($1) ORDER BY d.change_id, d.organisation
            """,
            list(change_ids),
        )
    return [DeliveryRow(**row) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRow:
    """What one delivery carries, sealed."""

    delivery_id: UUID
    digest: bytes
    sealed: bytes = field(repr=False)


async def contents_of(database: Database, delivery_ids: Sequence[UUID]) -> list[ContentRow]:
    """Return what deliveries carry, sealed under keys of their person's. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT delivery_id, digest, sealed FROM delivery_content WHERE delivery_id = ANY($1)", list(delivery_ids)
        )
    return [ContentRow(**row) for row in rows]


async def receipts_of(database: Database, delivery_ids: Sequence[UUID]) -> list[ReceiptRow]:
    """Return every receipt of deliveries, oldest first. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT delivery_id, kind, outcome, reason, attempt, reference, at, effect, status, next_due
            FROM receipt WHERE delivery_id = ANY($1) ORDER BY folded_at, at
            """,
            list(delivery_ids),
        )
    return [ReceiptRow(**row) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A delivery as the organisation it is for may know it."""

    id: UUID
    status: str
    epoch: int
    attempts: int
    sequence: int | None


async def of_organisation(database: Database, organisation: str, delivery_id: UUID) -> Asked | None:
    """Return a delivery that has been published to `organisation`; anybody else's is None, as if absent."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            """
            SELECT id, status, epoch, attempts, sequence FROM delivery
            WHERE id = $1 AND organisation = $2 AND sequence IS NOT NULL
            """,
            delivery_id,
            organisation,
        )
    return Asked(**row) if row else None


SOME: Final = 10
"""Deliveries that are named where there may be many."""


@dataclass(frozen=True, slots=True)
class Books:
    """What was accepted against what became of it."""

    by_status: dict[str, dict[str, int]]
    """Deliveries by organisation and status."""
    changes_without_delivery: int
    lanes_astray: int
    """Lanes whose occupant is not an open, numbered delivery of theirs, or with owed deliveries and no due time, or before
    what they look at."""
    gaps: int
    """Lanes whose sequences are not dense, between two restorations, or not unique."""
    forgotten: int
    """Numbered deliveries that are open and do not hold their lane: nobody will ever send them."""
    some_forgotten: tuple[UUID, ...]
    """The first of those, at most `SOME`."""
    quarantined: int
    not_taken_back: int
    """Deliveries of withdrawn changes that the organisation has or may have, and nobody will look at any more."""
    miscounted: int
    """Running counts that differ from a full count: of an organisation's deliveries in a status, owed, or accepted."""
    unread: int
    """Deliveries that lie in a mailbox, and nobody has come for them in too long."""

    def faults(self) -> list[str]:
        """Return what does not balance, in words."""
        found = {
            "changes that owe nobody anything": self.changes_without_delivery,
            "lanes that point astray": self.lanes_astray,
            "lanes with a gap in their sequence, or a number twice": self.gaps,
            "numbered deliveries that no lane holds, so that nobody sends them: give each up (unwaith give-up), then"
            f" replay it (unwaith replay): {self._named()}": self.forgotten,
            "records in quarantine that nobody has looked at": self.quarantined,
            "deliveries that were withdrawn and not taken back": self.not_taken_back,
            "running counts that differ from a full count": self.miscounted,
            "deliveries that their organisation has not come for in too long": self.unread,
        }
        return [f"{count} {what}" for what, count in found.items() if count]

    def _named(self) -> str:
        return ", ".join(map(str, self.some_forgotten)) + (" and more" if self.forgotten > SOME else "")


_MISCOUNTED: Final = """
SELECT count(*) FROM (
    SELECT organisation, status AS tally, NULL::timestamptz AS since, count(*) AS n FROM delivery GROUP BY 1, 2
    UNION ALL SELECT organisation, 'accepted', NULL, count(*) FROM delivery GROUP BY 1
    UNION ALL SELECT organisation, 'owed', date_bin('10 seconds', due, 'epoch'), count(*) FROM delivery
    WHERE status IN ('waiting', 'queued', 'published') GROUP BY 1, 2, 3
) counted FULL JOIN (
    SELECT organisation, tally, NULL::timestamptz AS since, sum(n) AS n FROM delivery_count GROUP BY 1, 2
    UNION ALL SELECT organisation, 'owed', since, sum(n) FROM delivery_owed GROUP BY 1, 2, 3
) kept ON (counted.organisation, counted.tally, coalesce(counted.since, 'epoch'))
        = (kept.organisation, kept.tally, coalesce(kept.since, 'epoch'))
WHERE coalesce(counted.n, 0) <> coalesce(kept.n, 0)
"""


_NOT_TAKEN_BACK: Final = """
SELECT count(*) FROM withdrawal w JOIN delivery d ON d.change_id = w.change_id JOIN person p ON p.id = d.person_id
WHERE w.look_at IS NULL AND p.erased_at IS NULL
  AND (d.status IN ('received', 'needs_review', 'rejected', 'not_matched', 'already_current', 'applied')
       OR (d.status = 'superseded' AND d.reason IS DISTINCT FROM 'superseded')
       OR (d.unknowns > 0 AND d.status NOT IN ('waiting', 'queued', 'published')))
  AND NOT EXISTS (SELECT FROM delivery b WHERE b.change_id = w.taken_back_by AND b.organisation = d.organisation)
  AND NOT EXISTS (SELECT FROM delivery n WHERE n.change_id = w.corrected_by AND n.organisation = d.organisation
                  AND NOT (n.unknowns = 0 AND (n.status = 'cancelled'
                           OR (n.status = 'superseded' AND n.reason IS NOT DISTINCT FROM 'superseded'))))
"""


async def books(database: Database) -> Books:
    """Return the books, read in one snapshot; a look at everything, not for every second. Raises StoreUnavailable."""
    async with database.transaction() as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await connection.execute(
            "SELECT set_config(name, '60s', true) FROM pg_settings"
            " WHERE name IN ('statement_timeout', 'transaction_timeout')"
        )
        rows = await connection.fetch("SELECT organisation, status, count(*) FROM delivery GROUP BY 1, 2 ORDER BY 1, 2")
        without = await connection.fetchval(
            "SELECT count(*) FROM change c WHERE c.type <> 'withdrawal'"
            " AND NOT EXISTS (SELECT FROM delivery d WHERE d.change_id = c.id)"
        )
        astray = await connection.fetchval(
            """
            SELECT count(*) FROM lane l LEFT JOIN delivery o ON o.id = l.occupant
            WHERE (l.occupant IS NOT NULL AND (o.id IS NULL OR o.sequence IS NULL
                   OR o.status NOT IN ('waiting', 'queued', 'published')
                   OR (o.person_id, o.organisation) <> (l.person_id, l.organisation)))
               OR (l.due IS NULL AND l.occupant IS NOT NULL)
               OR EXISTS (
                   SELECT FROM delivery d WHERE d.person_id = l.person_id AND d.organisation = l.organisation
                   AND d.sequence IS NULL AND d.status IN ('waiting', 'queued')
                   AND (l.due IS NULL OR d.ordinal < l.owed_from))
            """
        )
        gaps = await connection.fetchval(
            """
            SELECT count(*) FROM (
                SELECT person_id, organisation FROM delivery
                CROSS JOIN (SELECT array(SELECT sequence_from FROM restoration ORDER BY 1) AS starts) AS restored
                WHERE sequence IS NOT NULL GROUP BY 1, 2, width_bucket(sequence, starts)
                HAVING max(sequence) - min(sequence) + 1 <> count(*) OR count(DISTINCT sequence) <> count(*)
            ) gap
            """
        )
        forgotten, some = await connection.fetchrow(
            """
            SELECT count(*), coalesce((array_agg(d.id ORDER BY d.id))[:$1], '{}')
            FROM delivery d JOIN lane l USING (person_id, organisation)
            WHERE d.sequence IS NOT NULL AND d.status IN ('waiting', 'queued', 'published')
              AND l.occupant IS DISTINCT FROM d.id
            """,
            SOME,
        )
        quarantined = await connection.fetchval("SELECT count(*) FROM quarantine WHERE examined_at IS NULL")
        not_taken_back = await connection.fetchval(_NOT_TAKEN_BACK)
        miscounted = await connection.fetchval(_MISCOUNTED)
        unread = await connection.fetchval(
            "SELECT count(*) FROM mailbox m JOIN delivery d ON d.id = m.delivery_id"
            " WHERE m.alarm_at <= now() AND d.status IN ('waiting', 'queued', 'published')"
        )
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row["organisation"], {})[row["status"]] = row["count"]
    return Books(found, without, astray, gaps, forgotten, tuple(some), quarantined, not_taken_back, miscounted, unread)

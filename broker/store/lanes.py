"""Lanes: what is due, who may send it, and what the log was given. The relay's and the gate's statements.

Locks are taken on the lane, in (person, organisation) order or skipping what is locked; never on a serial id.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from broker.store.database import Database
from contracts.batches import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery the relay has claimed: numbered, sealed, its lane leased."""

    person_id: int
    organisation: str
    claim: int
    subject: str
    delivery_id: UUID
    epoch: int
    sequence: int
    type: str
    accepted_at: datetime
    generation: int
    origin: str
    digest: bytes
    sealed: bytes = field(repr=False)
    revoked: bool
    place: Place | None = None
    """In which closed batch it goes out; see `broker.store.batches`."""


_DUE: Final = """
SELECT lane.person_id, lane.organisation
FROM unnest($1::text[]) AS o(id)
LEFT JOIN breaker ON breaker.organisation = o.id AND breaker.phase IN ('open', 'probing')
CROSS JOIN LATERAL (
    SELECT CASE WHEN breaker.until IS NULL THEN least($2, $3 - count(*))
                WHEN breaker.until <= now() THEN least(1, 1 - count(*)) ELSE 0 END AS room
    FROM (SELECT 1 FROM lane WHERE organisation = o.id AND in_flight AND due > now() LIMIT $3) unanswered
) credit
CROSS JOIN LATERAL (
    SELECT person_id, organisation FROM lane
    WHERE organisation = o.id AND due <= now() AND credit.room > 0
    ORDER BY due LIMIT greatest(credit.room, 0) FOR UPDATE SKIP LOCKED
) lane
"""
"""The lanes to look at now: for each organisation no more than its credit of unanswered deliveries leaves.

One whose lease, or whose time for an answer, has run out uses no credit: it is to be claimed again. Where the breaker
is open one lane is enough, when a probe is due and the log holds nothing to make it with.
"""

CLAIM: Final = """
WITH locked AS (
    SELECT * FROM unnest($1::bigint[], $2::text[]) AS l(person_id, organisation)
), chosen AS (
    SELECT lane.person_id, lane.organisation, coalesce(lane.occupant, next.id) AS delivery_id, lane.last_sequence
    FROM locked JOIN lane USING (person_id, organisation)
    LEFT JOIN LATERAL (
        SELECT d.id FROM delivery d
        WHERE d.person_id = lane.person_id AND d.organisation = lane.organisation AND d.sequence IS NULL
          AND d.status IN ('waiting', 'queued') AND d.due <= now()
        ORDER BY d.ordinal LIMIT 1
    ) next ON lane.occupant IS NULL
), numbered AS (
    UPDATE delivery d
    SET sequence = coalesce(d.sequence, chosen.last_sequence + 1),
        status = CASE d.status WHEN 'waiting' THEN 'queued' ELSE d.status END
    FROM chosen WHERE d.id = chosen.delivery_id
    RETURNING d.id, d.person_id, d.organisation, d.epoch, d.sequence, d.change_id, d.accepted_at, d.agreement,
              d.agreement_version
), taken AS (
    UPDATE lane SET occupant = numbered.id, in_flight = true, claim = lane.claim + 1, due = now() + $3::interval,
                    last_sequence = greatest(lane.last_sequence, numbered.sequence)
    FROM numbered WHERE lane.person_id = numbered.person_id AND lane.organisation = numbered.organisation
    RETURNING lane.person_id, lane.organisation, lane.claim, lane.subject
), passed AS (           -- looked at too early: nothing is due after all
    UPDATE lane SET due = (
        SELECT min(d.due) FROM delivery d
        WHERE d.person_id = lane.person_id AND d.organisation = lane.organisation AND d.sequence IS NULL
          AND d.status IN ('waiting', 'queued'))
    FROM chosen WHERE chosen.delivery_id IS NULL
      AND lane.person_id = chosen.person_id AND lane.organisation = chosen.organisation
)
SELECT n.person_id, n.organisation, t.claim, t.subject, n.id AS delivery_id, n.epoch, n.sequence, change.type,
       n.accepted_at, content.generation, content.origin, content.digest, content.sealed,
       agreement.revoked_at IS NOT NULL
           OR coalesce((agreement.definition->>'validUntil')::date < (now() AT TIME ZONE 'Europe/London')::date, false)
           AS revoked
FROM numbered n
JOIN taken t USING (person_id, organisation)
JOIN change ON change.id = n.change_id
JOIN delivery_content content ON content.delivery_id = n.id
JOIN agreement ON agreement.id = n.agreement AND agreement.version = n.agreement_version
"""
"""Number what is next in some locked lanes, lease the lanes, and return it."""


async def claim(
    database: Database,
    organisations: Sequence[str],
    *,
    limit: int,
    credit: int,
    lease: timedelta,
    leaf: Callable[[Claimed], bytes],
) -> list[Claimed]:
    """Claim the next due delivery of at most `limit` lanes an organisation, in one short transaction.

    Each is numbered on its first claim; its lane is leased, so that nobody else takes it until `lease` has passed.
    The audit leaf of the publication is written here, before the append: nothing is in the log without one.
    Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        due = await connection.fetch(_DUE, list(organisations), limit, credit)
        if not due:
            return []
        rows = await connection.fetch(
            CLAIM, [row["person_id"] for row in due], [row["organisation"] for row in due], lease
        )
        claimed = [Claimed(**row) for row in rows]
        await connection.execute(
            "INSERT INTO audit_leaf (leaf) SELECT unnest($1::bytea[])",
            [leaf(item) for item in claimed if not item.revoked],
        )
    return claimed


async def mark_published(database: Database, claimed: Sequence[Claimed], *, again_after: timedelta) -> None:
    """Record that the log holds these. A lane whose receipt has already come keeps what the receipt decided.

    A mark need not outlive a crash of PostgreSQL: it is committed without waiting for the disk. Where it is lost, or
    on StoreUnavailable, the lease runs out and the same is published again.
    """
    async with database.connection() as connection:
        await connection.execute(
            """
            WITH marked AS (
                SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::uuid[])
                    AS m(person_id, organisation, claim, delivery_id)
            ), locked AS MATERIALIZED (
                SELECT lane.person_id, lane.organisation, marked.delivery_id
                FROM lane JOIN marked USING (person_id, organisation, claim)
                ORDER BY 1, 2 FOR UPDATE OF lane
            ), waiting AS (
                UPDATE lane SET due = now() + $5::interval FROM locked
                WHERE lane.person_id = locked.person_id AND lane.organisation = locked.organisation
            )
            UPDATE delivery SET published_at = coalesce(published_at, now()),
                                status = CASE WHEN status IN ('waiting', 'queued') THEN 'published' ELSE status END
            FROM locked CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried
            WHERE delivery.id = locked.delivery_id
            """,
            [item.person_id for item in claimed],
            [item.organisation for item in claimed],
            [item.claim for item in claimed],
            [item.delivery_id for item in claimed],
            again_after,
        )


async def next_due(database: Database, organisations: Sequence[str]) -> float | None:
    """Return in how many seconds the relay is next to look, by the store's clock; None if nothing is owed.

    Not above zero: something is due that could not be claimed, because it has only just fallen due or its organisation
    is at its credit. One whose breaker is open is not looked at: a probe waits for nobody's notice.
    """
    async with database.connection() as connection:
        found: float | None = await connection.fetchval(
            """
            SELECT extract(epoch FROM min(first.due) - now())::float8 FROM unnest($1::text[]) AS o(id)
            CROSS JOIN LATERAL (
                SELECT due FROM lane WHERE organisation = o.id AND due IS NOT NULL ORDER BY due LIMIT 1
            ) first
            WHERE NOT EXISTS (SELECT FROM breaker WHERE organisation = o.id AND phase IN ('open', 'probing'))
            """,
            list(organisations),
        )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class AtTheGate:
    """Everything the gate decides on for one delivery."""

    delivery_id: UUID
    person_id: int
    organisation: str
    epoch: int
    status: str
    attempts: int
    occupies: bool
    in_flight: bool
    granted_until: datetime | None
    paused: bool
    revoked: bool
    erased: bool
    now: datetime
    """The store's own clock, which all workers share: a worker's may be wrong."""
    kek_generation: int | None
    wrapped: bytes | None = field(repr=False)
    withdrawn: bool = False
    """Its person took the change back."""
    corrected: bool = False
    """And replaced it by another."""
    overtaken: bool = False
    """Only the newest matters to this organisation, and a newer one is due."""


GateDecision = Callable[[Mapping[UUID, AtTheGate]], Mapping[UUID, datetime]]
"""Until when each granted delivery is granted; one left out is not."""

LOCK_LANES: Final = """
SELECT l.person_id FROM lane l
WHERE (l.person_id, l.organisation) IN (SELECT d.person_id, d.organisation FROM delivery d WHERE d.id = ANY($1))
ORDER BY l.person_id, l.organisation FOR UPDATE
"""
"""Lock the lanes of some deliveries, in lane order. What is read by the next statement stands until the commit."""

_GATE: Final = """
SELECT d.id AS delivery_id, d.person_id, d.organisation, d.epoch, d.status, d.attempts,
       l.occupant IS NOT DISTINCT FROM d.id AS occupies, l.in_flight, l.granted_until,
       o.paused_at IS NOT NULL AND NOT o.draining AS paused,
       a.revoked_at IS NOT NULL
           OR coalesce((a.definition->>'validUntil')::date < (now() AT TIME ZONE 'Europe/London')::date, false) AS revoked,
       p.erased_at IS NOT NULL AS erased, w.change_id IS NOT NULL AS withdrawn, w.corrected_by IS NOT NULL AS corrected,
       CASE WHEN (a.definition->>'latestOnly')::boolean THEN EXISTS (
           SELECT FROM change this, delivery later JOIN change that ON that.id = later.change_id
           WHERE this.id = d.change_id AND later.person_id = d.person_id AND later.organisation = d.organisation
             AND later.agreement = d.agreement AND later.sequence IS NULL AND later.status IN ('waiting', 'queued')
             AND later.due <= now() AND that.type = this.type AND that.type <> 'withdrawal'
             AND NOT EXISTS (SELECT FROM withdrawal lw WHERE lw.change_id = later.change_id)
       ) ELSE false END AS overtaken,
       now() AS now, k.kek_generation, k.wrapped
FROM delivery d
JOIN lane l USING (person_id, organisation)
JOIN organisation o ON o.id = d.organisation
JOIN agreement a ON a.id = d.agreement AND a.version = d.agreement_version
JOIN person p ON p.id = d.person_id
LEFT JOIN withdrawal w ON w.change_id = d.change_id
LEFT JOIN person_key k ON k.person_id = d.person_id
WHERE d.id = ANY($1)
"""


async def at_the_gate(database: Database, delivery_ids: Sequence[UUID], decide: GateDecision) -> dict[UUID, AtTheGate]:
    """Lock the lanes of these deliveries, let `decide` say until when each is granted, and record that.

    Of an earlier grant that nobody reported the end of it stays known that it may have been used.
    A grant need not outlive a crash of PostgreSQL: it is committed without waiting for the disk.
    Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        # Two statements: one that waited for a lock would go on to read everything else as it was before the wait.
        await connection.execute(LOCK_LANES, list(delivery_ids))
        rows = {row["delivery_id"]: AtTheGate(**row) for row in await connection.fetch(_GATE, list(delivery_ids))}
        granted = decide(rows)
        if granted:
            unheard_of = [key for key in granted if rows[key].granted_until is not None]
            if unheard_of:
                await connection.execute(
                    "UPDATE delivery SET unknowns = 1 WHERE id = ANY($1) AND unknowns = 0", unheard_of
                )
            chosen = sorted((rows[key].person_id, rows[key].organisation, until) for key, until in granted.items())
            await connection.execute(
                """
                UPDATE lane SET granted_until = g.until
                FROM unnest($1::bigint[], $2::text[], $3::timestamptz[]) AS g(person_id, organisation, until)
                CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried
                WHERE lane.person_id = g.person_id AND lane.organisation = g.organisation
                """,
                [person_id for person_id, _, _ in chosen],
                [organisation for _, organisation, _ in chosen],
                [until for _, _, until in chosen],
            )
    return rows

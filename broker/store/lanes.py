"""Lanes: what is due, who may send it, and what the log was given. The relay's and the gate's statements.

Locks are taken on the lane, in (person, organisation) order or skipping what is locked; never on a serial id.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from broker.store.database import Connection, Database
from broker.store.pausing import PAUSED
from contracts.batches import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """A delivery that has its place in its lane, sealed."""

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
    place: Place | None = None
    """In which closed batch it goes out; see `broker.store.batches`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Numbered):
    """A delivery the relay has claimed: numbered, sealed, its lane leased."""

    person_id: int
    organisation: str
    claim: int
    revoked: bool


NUMBER: Final = """
), looked_at AS (
    SELECT due.*, CASE WHEN NOT coalesce(due.as_seen, false) THEN NULL
        WHEN due.occupant IS NOT NULL THEN (SELECT d.ctid FROM delivery d WHERE d.id = due.occupant)
        ELSE (
            SELECT d.ctid FROM delivery d
            WHERE d.person_id = due.person_id AND d.organisation = due.organisation AND d.ordinal >= due.owed_from
              AND d.sequence IS NULL AND d.status IN ('waiting', 'queued') AND d.due <= now()
            ORDER BY d.ordinal LIMIT 1) END AS delivery
    FROM due
), chosen AS MATERIALIZED (
    SELECT one.* FROM (
        SELECT array_agg(person_id) AS people, array_agg(organisation) AS organisations, array_agg(version) AS lanes,
               array_agg(occupant) AS occupants, array_agg(last_sequence) AS sequences, array_agg(delivery) AS deliveries
        FROM looked_at
    ) AS packed CROSS JOIN LATERAL unnest(people, organisations, lanes, occupants, sequences, deliveries)
        AS one(person_id, organisation, lane, occupant, last_sequence, delivery)
), numbered AS (         -- unless, between the look and the lock, it was ended or sent by another
    UPDATE delivery d
    SET sequence = coalesce(d.sequence, chosen.last_sequence + 1),
        status = CASE d.status WHEN 'waiting' THEN 'queued' ELSE d.status END
    FROM chosen
    WHERE d.ctid = chosen.delivery
      AND (d.id = chosen.occupant
           OR (chosen.occupant IS NULL AND d.sequence IS NULL AND d.status IN ('waiting', 'queued')))
    RETURNING d.id, d.person_id, d.organisation, d.epoch, d.sequence, d.change_id, d.accepted_at, d.agreement,
              d.agreement_version, chosen.lane
), taken AS (
    UPDATE lane SET occupant = numbered.id, in_flight = true, claim = lane.claim + 1, due = now() + $4::interval,
                    last_sequence = greatest(lane.last_sequence, numbered.sequence)
    FROM numbered CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried
    WHERE lane.ctid = numbered.lane
    RETURNING lane.claim, lane.subject, numbered.*
)
SELECT t.person_id, t.organisation, t.claim, t.subject, t.id AS delivery_id, t.epoch, t.sequence, change.type,
       t.accepted_at, content.generation, content.origin, content.digest, content.sealed,
       agreement.revoked_at IS NOT NULL
           OR coalesce((agreement.definition->>'validUntil')::date < (now() AT TIME ZONE 'Europe/London')::date, false)
           AS revoked
FROM taken t
JOIN change ON change.id = t.change_id
JOIN delivery_content content ON content.delivery_id = t.id
JOIN agreement ON agreement.id = t.agreement AND agreement.version = t.agreement_version
UNION ALL
SELECT person_id, organisation, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM chosen WHERE lane NOT IN (SELECT lane FROM numbered)
"""
"""The rest of a statement that begins with `WITH due AS MATERIALIZED (`, lanes that are locked: number what each gives up,
lease them for `$4`, and return it; nothing for a lane that was looked at too early.

Rows are written where they were found, by their place in the table: a lane cannot have moved since, for it is locked,
and a delivery that moved is looked at once more where it is now, or left.

What was chosen is packed into arrays and unpacked: of these the planner expects ten. Of a limit it is only told later it
expects a share of the table, thousands, and would read all lanes each time for the one or two that are mostly due.
Nothing of what was chosen is joined to what was numbered: expecting ten of each, the planner compared every one with
every other.

`as_seen` says that nobody moved a lane between the look at what is owed and its lock. From one that moved nothing is
taken: something earlier may be owed then, and where it is now this statement does not see.
"""

_CLAIM: Final = f"""
WITH due AS MATERIALIZED (
    SELECT lane.*, (SELECT true FROM lane seen WHERE seen.ctid = lane.version) AS as_seen   -- EXISTS might hash the table
    FROM unnest($1::text[]) AS o(id)
    LEFT JOIN breaker ON breaker.organisation = o.id AND breaker.phase IN ('open', 'probing')
    CROSS JOIN LATERAL (
        SELECT CASE WHEN breaker.until IS NULL THEN least($2, $3 - count(*))
                    WHEN breaker.until <= now() THEN least(1, 1 - count(*)) ELSE 0 END AS room
        FROM (SELECT 1 FROM lane WHERE organisation = o.id AND in_flight AND due > now() LIMIT $3) unanswered
    ) credit
    CROSS JOIN LATERAL (
        SELECT person_id, organisation, occupant, last_sequence, owed_from, ctid AS version FROM lane
        WHERE organisation = o.id AND due <= now() AND credit.room > 0
        ORDER BY due LIMIT greatest(credit.room, 0) FOR UPDATE SKIP LOCKED
    ) lane
{NUMBER}"""  # noqa: S608  constants of ours
"""Lanes to look at now, locked, and the delivery each gives up; none for a lane that was looked at too early.

For each organisation no more lanes than its credit of unanswered deliveries leaves. One whose lease, or whose time for
an answer, has run out uses no credit: it is to be claimed again. Where the breaker is open one lane is enough, when a
probe is due and the log holds nothing to make it with.

A lane is read as it stands under its lock, its deliveries as they stood when the statement began, and the one that is
numbered is looked at once more. A lane of which the version that is locked was not there then has moved meanwhile, and is
left for the next look: an earlier delivery may be owed again. So nothing is said here of lanes without one, either: what
was owed meanwhile is not seen.
"""

_EARLY: Final = """
UPDATE lane SET due = (
    SELECT min(d.due) FROM delivery d
    WHERE d.person_id = lane.person_id AND d.organisation = lane.organisation AND d.sequence IS NULL
      AND d.status IN ('waiting', 'queued'))
FROM unnest($1::bigint[], $2::text[]) AS early(person_id, organisation)
WHERE lane.person_id = early.person_id AND lane.organisation = early.organisation AND lane.occupant IS NULL
"""


async def claim(
    database: Database,
    organisations: Sequence[str],
    *,
    limit: int,
    credit: int,
    lease: timedelta,
    leaf: Callable[[Claimed], bytes],
) -> list[Claimed]:
    """Claim the next due delivery of at most `limit` lanes an organisation.

    Each is numbered on its first claim; its lane is leased, so that nobody else takes it until `lease` has passed.
    The audit leaf of the publication is written here, before the append: nothing is in the log without one. The claim
    itself is committed without waiting for the disk; its leaves are waited for, and the claim is durable with them.
    Raises StoreUnavailable: what was claimed is then claimed again when its lease is over.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(_CLAIM, list(organisations), limit, credit, lease)
        claimed = [Claimed(**row) for row in rows if row["delivery_id"] is not None]
        leaves = [leaf(item) for item in claimed if not item.revoked]
        if leaves:
            await connection.execute("INSERT INTO audit_leaf (leaf) SELECT unnest($1::bytea[])", leaves)
    early = [(row["person_id"], row["organisation"]) for row in rows if row["delivery_id"] is None]
    if early:
        await pass_over(database, early)
    return claimed


async def pass_over(database: Database, early: Sequence[tuple[int, str]]) -> None:
    """Look at lanes again when something of theirs is due: nothing was, after all."""
    people, organisations = [person for person, _ in early], [organisation for _, organisation in early]
    async with database.transaction() as connection:
        # Two statements: one that waited for a lock would not see what became owed during the wait, and forget it.
        await connection.execute(
            """
            SELECT FROM lane JOIN unnest($1::bigint[], $2::text[]) AS early(person_id, organisation)
            USING (person_id, organisation)
            ORDER BY lane.person_id, lane.organisation FOR UPDATE OF lane
            """,
            people,
            organisations,
        )
        await connection.execute(_EARLY, people, organisations)


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
    claim: int
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
    """Only the newest of its mark matters to this organisation, and a newer one is due and the next in its lane."""


GateDecision = Callable[[Mapping[UUID, AtTheGate]], Mapping[UUID, datetime]]
"""Until when each granted delivery is granted; one left out is not. Asked again for those that moved meanwhile."""

LOCK_LANES: Final = """
SELECT l.person_id FROM lane l
WHERE (l.person_id, l.organisation) IN (SELECT d.person_id, d.organisation FROM delivery d WHERE d.id = ANY($1))
ORDER BY l.person_id, l.organisation FOR UPDATE
"""
"""Lock the lanes of some deliveries, in lane order. What is read by the next statement stands until the commit."""

_GATE: Final = f"""
SELECT d.id AS delivery_id, d.person_id, d.organisation, d.epoch, d.status, d.attempts,
       l.occupant IS NOT DISTINCT FROM d.id AS occupies, l.in_flight, l.claim, l.granted_until,
       {PAUSED} AS paused,
       a.revoked_at IS NOT NULL
           OR coalesce((a.definition->>'validUntil')::date < (now() AT TIME ZONE 'Europe/London')::date, false) AS revoked,
       p.erased_at IS NOT NULL AS erased, w.change_id IS NOT NULL AS withdrawn, w.corrected_by IS NOT NULL AS corrected,
       CASE WHEN (a.definition->>'latestOnly')::boolean THEN EXISTS (
           SELECT FROM delivery_content this, delivery later JOIN delivery_content that ON that.delivery_id = later.id
           WHERE this.delivery_id = d.id AND later.person_id = d.person_id AND later.organisation = d.organisation
             AND later.sequence IS NULL AND later.status IN ('waiting', 'queued') AND later.due <= now()
             AND that.newest_of = this.newest_of
             AND NOT EXISTS (SELECT FROM withdrawal lw WHERE lw.change_id = later.change_id)
             AND NOT EXISTS (     -- of another kind, sent before it: were it then taken back, this would come too late
                 SELECT FROM delivery ahead JOIN delivery_content other ON other.delivery_id = ahead.id
                 WHERE ahead.person_id = d.person_id AND ahead.organisation = d.organisation
                   AND ahead.sequence IS NULL AND ahead.status IN ('waiting', 'queued')
                   AND ahead.ordinal < later.ordinal AND other.newest_of IS DISTINCT FROM this.newest_of)
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
"""  # noqa: S608  a constant of ours


async def at_the_gate_within(connection: Connection, delivery_ids: Sequence[UUID]) -> dict[UUID, AtTheGate]:
    """Lock the lanes of these deliveries until the transaction ends, and return what the gate decides on."""
    # Two statements: one that waited for a lock would go on to read everything else as it was before the wait.
    await connection.execute(LOCK_LANES, list(delivery_ids))
    return {row["delivery_id"]: AtTheGate(**row) for row in await connection.fetch(_GATE, list(delivery_ids))}


_GRANT: Final = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[])
        AS a(delivery_id, person_id, organisation, claim, granted_before, until)
), still AS MATERIALIZED (   -- as they were decided on: whatever moves a lane raises its claim
    SELECT asked.*, lane.ctid AS version FROM lane JOIN asked USING (person_id, organisation, claim)
    WHERE lane.granted_until IS NOT DISTINCT FROM asked.granted_before
    ORDER BY person_id, organisation FOR UPDATE OF lane
), unheard_of AS (
    UPDATE delivery SET unknowns = 1 FROM still
    WHERE delivery.id = still.delivery_id AND still.granted_before IS NOT NULL AND delivery.unknowns = 0
)
UPDATE lane SET granted_until = still.until
FROM still CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried
WHERE lane.ctid = still.version   -- not one that moved since this began to look: it is looked at anew
RETURNING still.delivery_id
"""


async def at_the_gate(database: Database, delivery_ids: Sequence[UUID], decide: GateDecision) -> dict[UUID, AtTheGate]:
    """Let `decide` say until when each of these deliveries is granted, and record that for lanes that stand as it saw them.

    No lane is locked while it decides. Of those that moved meanwhile everything is read anew, and `decide` asked again.
    Of an earlier grant that nobody reported the end of it stays known that it may have been used.
    A grant need not outlive a crash of PostgreSQL: it is committed without waiting for the disk.
    Raises StoreUnavailable.
    """
    rows: dict[UUID, AtTheGate] = {}
    asked: Collection[UUID] = delivery_ids
    async with database.connection() as connection:
        while asked:
            seen = {row["delivery_id"]: AtTheGate(**row) for row in await connection.fetch(_GATE, list(asked))}
            rows |= seen
            granted = decide(seen)
            asked = granted.keys() - await _grant(connection, [(seen[key], until) for key, until in granted.items()])
    return rows


async def _grant(connection: Connection, granted: Sequence[tuple[AtTheGate, datetime]]) -> set[UUID]:
    """Record grants, each until then, and return for which deliveries: those whose lanes have not moved."""
    if not granted:
        return set()
    recorded = await connection.fetch(
        _GRANT,
        [row.delivery_id for row, _ in granted],
        [row.person_id for row, _ in granted],
        [row.organisation for row, _ in granted],
        [row.claim for row, _ in granted],
        [row.granted_until for row, _ in granted],
        [until for _, until in granted],
    )
    return {row["delivery_id"] for row in recorded}

"""Receipts folded in batches: read what they touch under the lanes' locks, then write what was decided."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from broker.store.database import Connection, Database, StoreUnavailable
from broker.store.lanes import LOCK_LANES


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A delivery some receipt of a batch is about."""

    id: UUID
    person_id: int
    organisation: str
    agreement: str
    agreement_version: int
    status: str
    epoch: int
    attempts: int
    unknowns: int
    since: datetime
    """From when its horizon is counted: the last replay, or the first publication; not its waiting behind another.

    Later by as long as its organisation was paused since: what may not be sent cannot be given up for it.
    """
    first_due: datetime
    """When it was first to be sent: when its change was accepted, or on its day."""
    published_at: datetime | None
    answered_at: datetime | None
    reason: str | None
    reference: str | None
    occupies: bool
    in_flight: bool
    lane_due: datetime | None
    granted_until: datetime | None
    withdrawn: bool
    """Its change was withdrawn, or replaces one that was: what moves here is to be looked at there."""


@dataclass(frozen=True, slots=True)
class LeftSuperseded:
    """A delivery that was superseded, and what superseded it ended unsent."""

    touched: Touched
    in_order: bool
    """Its lane is free, and nothing later of its lane may have been sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a delivery has become."""

    id: UUID
    person_id: int
    organisation: str
    status: str
    attempts: int
    unknowns: int
    published_at: datetime | None
    answered_at: datetime | None
    reason: str | None
    reference: str | None
    occupied: bool
    """It held its lane before."""
    occupies: bool
    in_flight: bool
    due: datetime | None
    attempt_ended: bool
    """The attempt that the lane's grant was given for is over; if not, it stays, and nothing is due before its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A record that cannot be read, opened, or be about anything, by its position in the log."""

    topic: str
    partition: int
    offset: int
    reason: str
    at: datetime
    delivery_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One receipt as it is written down."""

    id: UUID
    delivery_id: UUID
    epoch: int
    attempt: int
    kind: str
    outcome: str | None
    failure: str | None
    reason: str | None
    reference: str | None
    at: datetime
    effect: str
    status: str
    next_due: datetime | None
    leaf: bytes


BEGUN: Final = "CROSS JOIN LATERAL (SELECT greatest(coalesce(d.replayed_at, d.published_at), d.due) AS at) begun"
"""From when `d` could be sent: what was replayed while it was held, from when it was held no more."""
SINCE: Final = """
(begun.at + coalesce((
    SELECT sum(coalesce(p.ended_at, now()) - greatest(p.began_at, begun.at)) FROM pause p
    WHERE p.organisation = d.organisation AND coalesce(p.ended_at, now()) > begun.at), interval '0'))
"""
"""From when the horizon of a delivery `d` is counted, joined with `BEGUN`."""

_TOUCHED: Final = f"""
SELECT d.ctid AS place, l.ctid AS lane_place,
       d.id, d.person_id, d.organisation, d.agreement, d.agreement_version, d.status, d.epoch, d.attempts, d.unknowns,
       {SINCE} AS since,
       d.due AS first_due, d.published_at, d.answered_at, d.reason, d.reference,
       l.occupant IS NOT DISTINCT FROM d.id AS occupies, l.in_flight, l.due AS lane_due, l.granted_until,
       EXISTS (SELECT FROM withdrawal w WHERE w.change_id = d.change_id)
           OR EXISTS (SELECT FROM withdrawal w WHERE w.corrected_by = d.change_id) AS withdrawn
FROM delivery d JOIN lane l USING (person_id, organisation)
{BEGUN}
WHERE d.id = ANY($1)
"""  # noqa: S608  constants of ours

_SETTLE: Final = """
WITH settled AS (
    SELECT * FROM unnest($1::uuid[], $2::tid[], $3::tid[], $4::text[], $5::int[], $6::int[], $7::timestamptz[],
                         $8::timestamptz[], $9::text[], $10::text[], $11::boolean[], $12::boolean[], $13::boolean[],
                         $14::timestamptz[], $15::boolean[])
        AS s(id, place, lane_place, status, attempts, unknowns, published_at, answered_at, reason, reference,
             occupied, occupies, in_flight, due, attempt_ended)
), deliveries AS (
    UPDATE delivery d SET status = s.status, attempts = s.attempts, unknowns = s.unknowns,
                          published_at = s.published_at, answered_at = s.answered_at, reason = s.reason,
                          reference = s.reference
    FROM settled s WHERE d.ctid = s.place AND d.id = s.id
    RETURNING d.id
), lanes AS (
    UPDATE lane SET
        occupant = CASE WHEN s.occupies THEN lane.occupant END,
        in_flight = s.in_flight,
        claim = lane.claim + 1,
        granted_until = CASE WHEN s.occupies AND NOT s.attempt_ended THEN lane.granted_until END,
        due = CASE WHEN s.occupies AND s.attempt_ended THEN s.due
                   WHEN s.occupies THEN greatest(s.due, lane.granted_until) ELSE (
            SELECT min(d.due) FROM delivery d
            WHERE d.person_id = lane.person_id AND d.organisation = lane.organisation AND d.ordinal >= lane.owed_from
              AND d.sequence IS NULL AND d.status IN ('waiting', 'queued')
              AND d.id NOT IN (SELECT id FROM settled)) END
    FROM settled s WHERE s.occupied AND lane.ctid = s.lane_place AND lane.occupant = s.id
    RETURNING lane.due
)
SELECT (SELECT count(*) FROM deliveries) AS deliveries, count(*) AS lanes,
       CASE WHEN count(due) > 0 THEN pg_notify('unwaith_due', '') END AS relay_woken
FROM lanes
"""
"""Rows are written where they were read, by their place in the table; under their lanes' locks they cannot have moved."""

_LOOK_AGAIN: Final = """
WITH looked_at AS MATERIALIZED (
    SELECT w.change_id FROM withdrawal w
    WHERE w.change_id IN (SELECT change_id FROM delivery WHERE id = ANY($1))
       OR w.corrected_by IN (SELECT change_id FROM delivery WHERE id = ANY($1))
    ORDER BY w.change_id FOR UPDATE
)
UPDATE withdrawal w SET look_at = now() FROM looked_at WHERE w.change_id = looked_at.change_id
"""

_ENTRIES: Final = """
WITH entry AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[],
                         $9::text[], $10::timestamptz[], $11::text[], $12::text[], $13::timestamptz[], $14::bytea[])
        AS e(id, delivery_id, epoch, attempt, kind, outcome, failure, reason, reference, at, effect, status, next_due,
             leaf)
), kept AS (
    INSERT INTO receipt (id, delivery_id, epoch, attempt, kind, outcome, failure, reason, reference, at, effect,
                         status, next_due)
    SELECT id, delivery_id, epoch, attempt, kind, outcome, failure, reason, reference, at, effect, status, next_due
    FROM entry
)
INSERT INTO audit_leaf (leaf, by_operator) SELECT leaf, $15 FROM entry
"""


_UNSENT: Final = (
    "{0}.unknowns = 0 AND ({0}.status = 'cancelled' OR ({0}.status = 'superseded' AND {0}.reason = 'superseded'))"
)
"""It has ended, and nobody was ever sent it: `superseded` with another reason, or none, is what an organisation said."""

_LEFT_SUPERSEDED: Final = f"""
WITH ended AS (
    SELECT DISTINCT d.person_id, d.organisation, d.agreement, c.type, content.newest_of
    FROM delivery d JOIN change c ON c.id = d.change_id JOIN delivery_content content ON content.delivery_id = d.id
    WHERE d.id = ANY($1)
), last AS (
    SELECT DISTINCT ON (d.person_id, d.organisation, d.agreement, c.type) d.*, content.newest_of
    FROM ended JOIN delivery d USING (person_id, organisation, agreement)
    JOIN change c ON c.id = d.change_id AND c.type = ended.type
    JOIN delivery_content content ON content.delivery_id = d.id
    WHERE d.sequence IS NOT NULL AND d.status = 'superseded' AND d.reason = 'superseded'
      AND (content.newest_of IS NULL OR content.newest_of = ended.newest_of)
      AND NOT EXISTS (SELECT FROM withdrawal w WHERE w.change_id = d.change_id)
    ORDER BY d.person_id, d.organisation, d.agreement, c.type, d.sequence DESC
)
SELECT last.id, l.occupant IS NULL AND NOT EXISTS (
    SELECT FROM delivery later WHERE later.person_id = last.person_id AND later.organisation = last.organisation
    AND later.sequence > last.sequence AND NOT ({_UNSENT.format("later")})
    AND NOT (later.unknowns = 0 AND later.status = 'undelivered')) AS in_order
FROM last JOIN lane l USING (person_id, organisation) JOIN change c ON c.id = last.change_id
WHERE NOT EXISTS (       -- nothing newer stands for it: what is owed, was sent or given up; but not what has yet its day.
                         -- Newer is what the lane has later, whenever it was told
    SELECT FROM delivery newer JOIN change nc ON nc.id = newer.change_id
    JOIN delivery_content content ON content.delivery_id = newer.id
    WHERE newer.person_id = last.person_id AND newer.organisation = last.organisation
      AND newer.agreement = last.agreement AND nc.type = c.type
      AND (last.newest_of IS NULL OR content.newest_of = last.newest_of)
      AND (newer.sequence > last.sequence OR (newer.sequence IS NULL
           AND (newer.status IN ('waiting', 'queued') OR newer.ordinal > last.ordinal)))
      AND NOT ({_UNSENT.format("newer")})
      AND NOT (newer.sequence IS NULL AND newer.status IN ('waiting', 'queued') AND newer.due > now()))
"""  # noqa: S608  constants of ours
"""Those without a mark were superseded before there were marks: by anything newer of their type and agreement."""

_REOPEN: Final = """
WITH reopened AS (
    UPDATE delivery SET status = 'queued', epoch = epoch + 1, attempts = 0, unknowns = least(unknowns, 1),
                        reason = NULL, answered_at = NULL, replayed_at = now()
    WHERE id = ANY($1) RETURNING id, person_id, organisation
), leaves AS (
    INSERT INTO audit_leaf (leaf) SELECT unnest($2::bytea[])
)
UPDATE lane SET occupant = reopened.id, in_flight = false, claim = claim + 1, due = now(), granted_until = NULL
FROM reopened CROSS JOIN (SELECT pg_notify('unwaith_due', '')) AS relay_woken
WHERE lane.person_id = reopened.person_id AND lane.organisation = reopened.organisation
"""


_Place = tuple[int, int]
"""Where a row lies in its table: page and line (PostgreSQL's `ctid`)."""


class Folding:
    """One batch being folded, inside its transaction."""

    def __init__(
        self,
        connection: Connection,
        now: datetime,
        known: frozenset[UUID],
        touched: Mapping[UUID, Touched],
        places: dict[UUID, tuple[_Place, _Place]],
    ) -> None:
        """`places`: of each delivery its own and its lane's."""
        self._connection = connection
        self._places = places
        self.now = now
        """The store's own clock, which the relay looks at too: what is due is told by one clock alone."""
        self.known = known
        """Receipt ids folded before."""
        self.touched = touched
        """Deliveries by id; one that is absent is not known to the store."""

    async def write(self, settled: Sequence[Settled], entries: Sequence[Entry], *, by_operator: bool = False) -> None:
        """Write down what was decided; the relay is woken if something is due, or will be, in these lanes.

        Raises StoreUnavailable where a row is not where it was read, which its lane's lock forbids: nothing is written.
        """
        if settled:
            places = [self._places[s.id] for s in settled]
            written = await self._connection.fetchrow(
                _SETTLE,
                [s.id for s in settled],
                [place for place, _ in places],
                [lane for _, lane in places],
                [s.status for s in settled],
                [s.attempts for s in settled],
                [s.unknowns for s in settled],
                [s.published_at for s in settled],
                [s.answered_at for s in settled],
                [s.reason for s in settled],
                [s.reference for s in settled],
                [s.occupied for s in settled],
                [s.occupies for s in settled],
                [s.in_flight for s in settled],
                [s.due for s in settled],
                [s.attempt_ended for s in settled],
            )
            if tuple(written)[:2] != (len(settled), sum(s.occupied for s in settled)):
                raise StoreUnavailable("Moved")
        if looked_at := [s.id for s in settled if s.id in self.touched and self.touched[s.id].withdrawn]:
            await self._connection.execute(_LOOK_AGAIN, looked_at)
        if entries:
            await self._connection.execute(
                _ENTRIES,
                [e.id for e in entries],
                [e.delivery_id for e in entries],
                [e.epoch for e in entries],
                [e.attempt for e in entries],
                [e.kind for e in entries],
                [e.outcome for e in entries],
                [e.failure for e in entries],
                [e.reason for e in entries],
                [e.reference for e in entries],
                [e.at for e in entries],
                [e.effect for e in entries],
                [e.status for e in entries],
                [e.next_due for e in entries],
                [e.leaf for e in entries],
                by_operator,
            )

    async def left_superseded(self, ended: Sequence[UUID]) -> list[LeftSuperseded]:
        """Return, of the lanes of deliveries that ended unsent, those superseded last, where nothing newer stands."""
        rows = await self._connection.fetch(_LEFT_SUPERSEDED, list(ended))
        found = {row["id"]: row["in_order"] for row in rows}
        if not found:
            return []
        touched, places = await _touched(self._connection, list(found))
        self._places |= places
        return [LeftSuperseded(one, found[one.id]) for one in touched.values()]

    async def reopen(self, deliveries: Sequence[Touched], leaves: Sequence[bytes]) -> None:
        """Owe these again, first in their lanes, under the next epoch: the same id, bytes and sequence.

        What was tried is forgotten, but not that one may have arrived.
        """
        await self._connection.execute(_REOPEN, [one.id for one in deliveries], list(leaves))

    async def quarantine(self, records: Sequence[SetAside]) -> None:
        """Keep where records lie that were set aside."""
        await self._connection.executemany(
            "INSERT INTO quarantine (topic, partition, record_offset, reason, at, delivery_id)"
            " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            [(r.topic, r.partition, r.offset, r.reason, r.at, r.delivery_id) for r in records],
        )

    async def pause(self, organisation: str, reason: str, leaf: bytes) -> bool:
        """Pause an organisation until a person acts, and write `leaf`; return whether that changed anything.

        One that is draining is paused wholly: what is in the log already must wait too.
        """
        done = await self._connection.execute(
            "UPDATE organisation SET paused_reason = $2, paused_note = NULL, draining = false,"
            " paused_at = coalesce(paused_at, now()) WHERE id = $1 AND (paused_at IS NULL OR draining)",
            organisation,
            reason,
        )
        changed = bool(done == "UPDATE 1")
        if changed:
            await self._connection.execute("INSERT INTO audit_leaf (leaf) VALUES ($1)", leaf)
        return changed


@asynccontextmanager
async def folding(
    database: Database, receipt_ids: Sequence[UUID], delivery_ids: Sequence[UUID]
) -> AsyncIterator[Folding]:
    """Open the transaction of one batch, with the lanes it touches locked. Raises StoreUnavailable."""
    async with database.transaction() as connection:
        # Two statements: one that waited for a lock would go on to read the deliveries as they were before the wait.
        await connection.execute(LOCK_LANES, list(delivery_ids))
        yield await unfolded(connection, receipt_ids, delivery_ids)


async def unfolded(connection: Connection, receipt_ids: Sequence[UUID], delivery_ids: Sequence[UUID]) -> Folding:
    """Return a batch to be folded within a transaction that has locked the lanes it touches."""
    touched, places = await _touched(connection, delivery_ids)
    now, known = await connection.fetchrow(
        "SELECT now(), array(SELECT id FROM receipt WHERE id = ANY($1))", list(receipt_ids)
    )
    return Folding(connection, now, frozenset(known), touched, places)


async def _touched(
    connection: Connection, delivery_ids: Sequence[UUID]
) -> tuple[dict[UUID, Touched], dict[UUID, tuple[_Place, _Place]]]:
    """Return how deliveries stand whose lanes are locked, and where they and their lanes lie."""
    touched, places = {}, {}
    for row in await connection.fetch(_TOUCHED, list(delivery_ids)):
        values = dict(row)
        places[row["id"]] = values.pop("place"), values.pop("lane_place")
        touched[row["id"]] = Touched(**values)
    return touched, places

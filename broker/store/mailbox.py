"""Mailboxes: what lies for organisations that come for their deliveries, and in what order they meet it.

A place is given under its organisation's counter, locked until the commit: whoever has seen one place has seen, or will
never see, every one before it. So a cursor misses nothing, however many lay things down at once.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from broker.store.database import Connection, Database, StoreUnavailable
from broker.store.lanes import AtTheGate, Numbered, at_the_gate_within
from broker.store.restoring import FINER
from broker.store.together import Together
from contracts.delivery import Delivery, Unavailable
from contracts.statuses import Reason


@dataclass(frozen=True, slots=True)
class Lying:
    """One delivery in a mailbox, which its organisation has not acknowledged."""

    delivery_id: UUID
    epoch: int
    place: int
    fetched: bool
    """It was handed out at least once."""


class StoreMailbox:
    """One organisation's mailbox. Implements `contracts.adapters.Mailbox`, for one event loop."""

    def __init__(self, database: Database, organisation: str) -> None:
        self._database = database
        self._organisation = organisation
        self._together = Together(self._place)

    async def place(self, deliveries: Sequence[Delivery], alarm_after: timedelta) -> None:
        try:
            await self._together.answers([(one.id, one.epoch, alarm_after) for one in deliveries])
        except StoreUnavailable:
            raise Unavailable(Reason.SERVER_ERROR) from None

    async def _place(self, laid: Sequence[tuple[UUID, int, timedelta]]) -> dict[tuple[UUID, int, timedelta], None]:
        async with self._database.connection() as connection:
            await connection.execute(
                _PLACE,
                self._organisation,
                [delivery_id for delivery_id, _, _ in laid],
                [epoch for _, epoch, _ in laid],
                [alarm_after for _, _, alarm_after in laid],
            )
        return dict.fromkeys(laid)


_PLACE: Final = f"""
WITH fresh AS (
    SELECT l.id, l.epoch, l.alarm_after, row_number() OVER (ORDER BY l.n) AS n
    FROM unnest($2::uuid[], $3::int[], $4::interval[]) WITH ORDINALITY AS l(id, epoch, alarm_after, n)
    LEFT JOIN mailbox m ON m.delivery_id = l.id
    WHERE m.delivery_id IS NULL OR m.epoch < l.epoch
), counted AS (
    INSERT INTO mailbox_end AS e (organisation, place)
    SELECT $1, count(*) + (SELECT coalesce(max(sequence_from), 0) * {FINER} FROM restoration) FROM fresh HAVING count(*) > 0
    ON CONFLICT (organisation) DO UPDATE SET place = e.place + (SELECT count(*) FROM fresh)
    RETURNING place - (SELECT count(*) FROM fresh) AS before
)
INSERT INTO mailbox (delivery_id, organisation, epoch, place, alarm_at)
SELECT fresh.id, $1, fresh.epoch, counted.before + fresh.n, now() + fresh.alarm_after FROM fresh CROSS JOIN counted
ON CONFLICT (delivery_id) DO UPDATE SET epoch = excluded.epoch, place = excluded.place, placed_at = now(),
                                        alarm_at = excluded.alarm_at, fetched_at = NULL
WHERE mailbox.epoch < excluded.epoch
"""  # noqa: S608  a constant of ours

_LYING: Final = """
SELECT m.delivery_id, m.epoch, m.place, m.fetched_at IS NOT NULL AS fetched
FROM mailbox m JOIN delivery d ON d.id = m.delivery_id
WHERE m.organisation = $1 AND d.epoch = m.epoch AND d.status IN ('waiting', 'queued', 'published')
"""


async def look(database: Database, organisation: str, after: int, limit: int) -> list[Lying]:
    """Return what lies in a mailbox behind a place, in order. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            f"{_LYING} AND m.place > $2 ORDER BY m.place LIMIT $3", organisation, after, limit
        )
    return [Lying(**row) for row in rows]


async def find(database: Database, organisation: str, delivery_id: UUID) -> Lying | None:
    """Return what lies under this id in the organisation's own mailbox. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow(f"{_LYING} AND m.delivery_id = $2", organisation, delivery_id)
    return Lying(**row) if row else None


@dataclass(frozen=True, slots=True)
class PickedUp:
    """What of a page is handed out, and what is never to be again: the relay is to ask the gate about that now."""

    handed: Collection[UUID]
    ended: Collection[UUID]


async def hand_out(
    database: Database,
    delivery_ids: Sequence[UUID],
    decide: Callable[[Mapping[UUID, AtTheGate]], PickedUp],
    leaf: Callable[[UUID], bytes],
) -> dict[UUID, Numbered]:
    """Let `decide` say what is handed out, under the lanes' locks; return that, sealed.

    From then it counts as what may have arrived. The first time, `leaf` of it is written. Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        rows = await at_the_gate_within(connection, delivery_ids)
        picked = decide(rows)
        if picked.ended:
            await _look_at(connection, [rows[key] for key in picked.ended])
        if not picked.handed:
            return {}
        handed = list(picked.handed)
        await connection.execute("UPDATE delivery SET unknowns = 1 WHERE id = ANY($1) AND unknowns = 0", handed)
        first = await connection.fetch(
            "UPDATE mailbox SET fetched_at = now() WHERE delivery_id = ANY($1) AND fetched_at IS NULL"
            " RETURNING delivery_id",
            handed,
        )
        if first:
            await connection.execute(
                "INSERT INTO audit_leaf (leaf) SELECT unnest($1::bytea[])", [leaf(row["delivery_id"]) for row in first]
            )
        found = await connection.fetch(_CONTENT, handed)
    return {row["delivery_id"]: Numbered(**row) for row in found}


async def _look_at(connection: Connection, rows: Sequence[AtTheGate]) -> None:
    """Have the relay publish these now: the gate ends them, and their lanes are free."""
    await connection.execute(
        """
        UPDATE lane SET due = now()
        FROM unnest($1::bigint[], $2::text[], $3::uuid[]) AS e(person_id, organisation, delivery_id)
        CROSS JOIN (SELECT pg_notify('unwaith_due', '')) AS relay_woken
        WHERE lane.person_id = e.person_id AND lane.organisation = e.organisation AND lane.occupant = e.delivery_id
          AND NOT lane.in_flight
        """,
        [row.person_id for row in rows],
        [row.organisation for row in rows],
        [row.delivery_id for row in rows],
    )


_CONTENT: Final = """
SELECT d.id AS delivery_id, l.subject, d.epoch, d.sequence, change.type, d.accepted_at, content.generation,
       content.origin, content.digest, content.sealed
FROM delivery d JOIN lane l USING (person_id, organisation)
JOIN change ON change.id = d.change_id
JOIN delivery_content content ON content.delivery_id = d.id
WHERE d.id = ANY($1)
"""


async def clear(database: Database) -> None:
    """Take away what has been acknowledged, or ended otherwise. Any number may; none waits for another.

    Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        await connection.execute(
            """
            WITH done AS MATERIALIZED (
                SELECT m.delivery_id FROM mailbox m JOIN delivery d ON d.id = m.delivery_id
                WHERE d.status NOT IN ('waiting', 'queued', 'published') FOR UPDATE OF m SKIP LOCKED
            )
            DELETE FROM mailbox USING done WHERE mailbox.delivery_id = done.delivery_id
            """
        )

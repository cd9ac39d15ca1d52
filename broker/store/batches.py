"""Batches closed at a cut-off: what goes out together is decided here once, and claimed together on every try.

A batch is claimed again when all its rows that still hold their lanes are due. If some of its rows have ended meanwhile,
the others are closed anew: the name is made of the rows, so what is left has another.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from broker.store.database import Connection, Database
from broker.store.lanes import NUMBER, Claimed, pass_over
from contracts.batches import Place, batch_name

_ROOM: Final = """
SELECT CASE WHEN breaker.until IS NULL THEN $2 - unanswered.n
            WHEN breaker.until <= now() AND unanswered.n = 0 THEN $2 ELSE 0 END
FROM (SELECT count(*) AS n FROM (SELECT FROM lane WHERE organisation = $1 AND in_flight AND due > now() LIMIT $2) counted)
    unanswered
LEFT JOIN breaker ON breaker.organisation = $1 AND breaker.phase IN ('open', 'probing')
"""
"""How many may be claimed: what the credit of unanswered deliveries leaves; of one whose breaker is open, the probe."""

_AGAIN: Final = """
WITH occupied AS (
    SELECT person_id, occupant, due FROM lane WHERE organisation = $1 AND in_flight
    UNION ALL SELECT person_id, occupant, due FROM lane
    WHERE organisation = $1 AND occupant IS NOT NULL AND NOT in_flight AND due IS NOT NULL
), held AS (
    SELECT o.person_id, o.due, r.batch FROM occupied o
    JOIN batch_row r ON r.delivery_id = o.occupant JOIN delivery d ON d.id = o.occupant AND d.epoch = r.epoch
)
SELECT person_id FROM held WHERE batch = (
    SELECT batch FROM held GROUP BY batch HAVING max(due) <= now() ORDER BY max(due), batch LIMIT 1
) ORDER BY person_id
"""
"""The people of one closed batch of which everything that still holds its lane is due."""

_FRESH: Final = """
SELECT person_id FROM lane
WHERE organisation = $1 AND due <= least($2, now()) AND NOT EXISTS (
    SELECT FROM batch_row r JOIN delivery d ON d.id = r.delivery_id AND d.epoch = r.epoch WHERE d.id = lane.occupant)
ORDER BY due, person_id LIMIT $3
"""
"""The people of what was due at the cut-off and is in no batch."""

_LOCK: Final = """
SELECT person_id FROM lane WHERE organisation = $1 AND person_id = ANY($2) AND due <= least($3, now())
ORDER BY person_id FOR UPDATE
"""

_CLAIM: Final = f"""
WITH due AS MATERIALIZED (
    SELECT person_id, organisation, occupant, last_sequence, owed_from, ctid AS version, true AS as_seen FROM lane
    WHERE organisation = $2 AND person_id = ANY($1::bigint[]) AND due <= least($3::timestamptz, now())
{NUMBER}"""  # noqa: S608  constants of ours
"""Of lanes that are locked."""

_CLOSE: Final = """
INSERT INTO batch_row AS r (delivery_id, epoch, organisation, batch, row, closed_at)
SELECT n.delivery_id, n.epoch, $3, $4, n.row, now() FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS n(delivery_id, epoch, row)
ON CONFLICT (delivery_id) DO UPDATE SET epoch = excluded.epoch, batch = excluded.batch, row = excluded.row,
                                        closed_at = excluded.closed_at
WHERE (r.epoch, r.batch) <> (excluded.epoch, excluded.batch)
"""


async def claim(
    database: Database,
    organisation: str,
    *,
    upto: datetime,
    size: int,
    credit: int,
    lease: timedelta,
    leaf: Callable[[Claimed], bytes],
) -> list[Claimed]:
    """Claim one batch of an organisation in one transaction: one that is to be sent again, or else the next is closed.

    `upto` is the last cut-off: what was due then and is in no batch goes into the next, at most `size`. Nothing is closed
    before the store's own clock shows the cut-off. What is revoked is returned beside the batch, without a place in it.
    Of two relays that come at once, the second finds nothing of what the first has taken. Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        room = await connection.fetchval(_ROOM, organisation, credit)
        if room <= 0:
            return []
        upto_now: datetime | None = None
        if not (people := await _again(connection, organisation)):
            people, upto_now = await _fresh(connection, organisation, upto, min(size, room)), upto
        if not people:
            return []
        rows = await connection.fetch(_CLAIM, people, organisation, upto_now, lease)
        claimed = placed([Claimed(**row) for row in rows if row["delivery_id"] is not None])
        kept = [item for item in claimed if item.place]
        if kept:
            await connection.execute(
                _CLOSE,
                [item.delivery_id for item in kept],
                [item.epoch for item in kept],
                organisation,
                kept[0].place.batch if kept[0].place else "",
            )
            await connection.execute("INSERT INTO audit_leaf (leaf) SELECT unnest($1::bytea[])", [*map(leaf, kept)])
        await connection.execute("SET LOCAL synchronous_commit TO DEFAULT")  # what goes out together is never forgotten
    early = [(row["person_id"], organisation) for row in rows if row["delivery_id"] is None]
    if early:
        await pass_over(database, early)
    return claimed


def placed(claimed: Sequence[Claimed]) -> list[Claimed]:
    """Return these with their places in the batch they make, in the order of their ids; what is revoked has none."""
    kept = sorted((item for item in claimed if not item.revoked), key=lambda item: item.delivery_id)
    if not kept:
        return list(claimed)
    name = batch_name([(item.delivery_id, item.accepted_at) for item in kept])
    return [
        *(replace(item, place=Place(name, row, len(kept))) for row, item in enumerate(kept, 1)),
        *(item for item in claimed if item.revoked),
    ]


async def _again(connection: Connection, organisation: str) -> list[int]:
    """Lock and return the lanes of a batch that is to be sent again; none where it has moved meanwhile."""
    found = await _people(connection, _AGAIN, organisation)
    if not found or await _people(connection, _LOCK, organisation, found, None) != found:
        return []
    return found if await _people(connection, _AGAIN, organisation) == found else []


async def _fresh(connection: Connection, organisation: str, upto: datetime, most: int) -> list[int]:
    """Lock and return the lanes of the next batch. They are waited for, in lane order: a batch leaves nothing behind."""
    found = await _people(connection, _FRESH, organisation, upto, most)
    return await _people(connection, _LOCK, organisation, found, upto) if found else []


async def _people(connection: Connection, query: str, *arguments: object) -> list[int]:
    return [row["person_id"] for row in await connection.fetch(query, *arguments)]

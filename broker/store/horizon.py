"""What is owed for longer than anybody should wait, to organisations that are left alone."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

from broker.store.database import Database
from broker.store.receipts import BEGUN, SINCE

_PAST: Final = f"""
SELECT d.id FROM unnest($1::text[], $2::interval[]) AS o(id, horizon)
JOIN breaker ON breaker.organisation = o.id AND breaker.phase IN ('open', 'probing')
CROSS JOIN LATERAL (
    (SELECT l.occupant AS id FROM lane l WHERE l.organisation = o.id AND l.in_flight)
    UNION ALL
    (SELECT l.occupant FROM lane l WHERE l.organisation = o.id AND l.occupant IS NOT NULL AND NOT l.in_flight)
    UNION ALL
    (SELECT next.id FROM lane l CROSS JOIN LATERAL (
        SELECT d.id FROM delivery d
        WHERE d.person_id = l.person_id AND d.organisation = l.organisation AND d.sequence IS NULL
          AND d.status IN ('waiting', 'queued') AND d.due <= now()
        ORDER BY d.ordinal LIMIT 1
     ) next
     WHERE l.organisation = o.id AND l.occupant IS NULL AND l.due <= now() - o.horizon ORDER BY l.due LIMIT $3)
) head
JOIN delivery d ON d.id = head.id
{BEGUN}
WHERE {SINCE} <= now() - o.horizon
  AND EXISTS (           -- else nothing need be looked through: the oldest is not so old
      SELECT FROM delivery_owed w WHERE w.organisation = o.id AND w.since <= now() - o.horizon
      GROUP BY w.since HAVING sum(w.n) > 0)
LIMIT $3
"""  # noqa: S608  constants of ours


async def past(database: Database, horizons: Mapping[str, timedelta], limit: int) -> list[UUID]:
    """Return the first of lanes that are past their organisation's horizon while its breaker is open, at most so many.

    What is sent is looked at when its try ends; this finds what is not tried. Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(_PAST, list(horizons), list(horizons.values()), limit)
    return [row["id"] for row in rows]

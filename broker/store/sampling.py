"""Changes of a span of time, the latest first, a page at a time: for counting, never for showing."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from broker.store.database import Database

PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Sampled:
    """One change, sealed under its person's key."""

    id: UUID
    person_id: int
    generation: int
    sealed: bytes = field(repr=False)


async def latest(database: Database, change_type: str, since: datetime, until: datetime) -> AsyncIterator[Sampled]:
    """Give the changes of a type that were accepted from `since` to `until`, to the second. Raises StoreUnavailable.

    They are found by their ids, which begin with when they were accepted (UUIDv7, RFC 9562): no other index is needed,
    and a page holds no lock while it is looked at.
    """
    before, first = _begins(until + timedelta(seconds=1)), _begins(since)
    while True:
        async with database.connection() as connection:
            rows = await connection.fetch(
                """
                SELECT id, person_id, generation, sealed FROM change WHERE id >= $1 AND id < $2 AND type = $3
                ORDER BY id DESC LIMIT $4
                """,
                first,
                before,
                change_type,
                PAGE,
            )
        for row in rows:
            yield Sampled(**row)
        if len(rows) < PAGE:
            return
        before = rows[-1]["id"]


def _begins(moment: datetime) -> UUID:
    """Return the least id of a moment's second: ids of ours are no finer (`contracts.ids`)."""
    return UUID(int=int(moment.timestamp()) * 1000 << 80)

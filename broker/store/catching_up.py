"""What became of the deliveries an organisation was sent, for that organisation alone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from broker.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A numbered delivery as the organisation it is for may know it."""

    id: UUID
    subject: str
    sequence: int
    status: str
    reason: str | None
    published_at: datetime | None


_SAID: Final = "d.sequence, d.status, d.reason, d.published_at"
_OF_SUBJECT: Final = f"""
SELECT d.id, whose.subject, {_SAID} FROM pseudonym whose JOIN delivery d USING (person_id, organisation)
WHERE whose.organisation = $1 AND whose.subject = $2 AND d.sequence > $3 ORDER BY d.sequence LIMIT $4
"""  # noqa: S608  constants of ours
_EVERYTHING: Final = f"""
SELECT d.id, l.subject, {_SAID} FROM delivery d JOIN lane l USING (person_id, organisation)
WHERE d.organisation = $1 AND d.sequence IS NOT NULL AND d.id > $2 ORDER BY d.id LIMIT $3
"""  # noqa: S608  constants of ours


async def of_subject(database: Database, organisation: str, subject: str, after: int, limit: int) -> list[Sent]:
    """Return an organisation's deliveries for one of its subjects above a sequence, in order. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(_OF_SUBJECT, organisation, subject, after, limit)
    return [Sent(**row) for row in rows]


async def everything(database: Database, organisation: str, after: UUID | None, limit: int) -> list[Sent]:
    """Return an organisation's deliveries by id, above `after`. Raises StoreUnavailable.

    Ids rise with the time of acceptance, to the second; a delivery is among these once it has its sequence.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(_EVERYTHING, organisation, after or UUID(int=0), limit)
    return [Sent(**row) for row in rows]

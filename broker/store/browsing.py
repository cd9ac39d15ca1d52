"""Deliveries somebody must look at, one organisation and one status at a time, a page at a time, the latest first."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

from broker.store.database import Database
from broker.store.operations import record_act
from contracts.statuses import Status

MOST_LOOKED_AT: Final = 2_000
"""Receipts of all organisations that one page looks through: a page costs the same however many there are."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far somebody has paged: everything before this was later."""

    at: datetime
    id: UUID


NEWEST: Final = Place(datetime(9999, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """One delivery that stands in a status somebody must look at, and what brought it there. Nothing personal."""

    delivery_id: UUID
    change_id: UUID
    at: datetime
    """When it came to stand there."""
    outcome: str | None
    reason: str | None
    attempts: int
    accepted_at: datetime
    place: Place


@dataclass(frozen=True, slots=True)
class Page:
    found: tuple[Stuck, ...]
    """May be none, though there are more: those looked through were of other organisations."""
    after: Place | None
    """Where the next page begins; None at the end."""


_RAISED: Final = """
receipt r WHERE r.effect = 'raised' AND r.status = '{status}' AND (r.at, r.id) < ($1, $2)
"""
_FARTHEST: Final = f"SELECT r.at, r.id FROM {_RAISED} ORDER BY r.at DESC, r.id DESC OFFSET $3 LIMIT 1"  # noqa: S608
_FOUND: Final = f"""
SELECT r.delivery_id, d.change_id, r.at, r.outcome, r.reason, d.attempts, d.accepted_at, r.id
FROM (SELECT r.* FROM {_RAISED} AND (r.at, r.id) >= ($3, $4)) r JOIN delivery d ON d.id = r.delivery_id
WHERE d.organisation = $5 AND d.status = '{{status}}' AND NOT EXISTS (
    SELECT FROM receipt later WHERE later.delivery_id = r.delivery_id AND later.effect = 'raised'
    AND (later.at, later.id) > (r.at, r.id))
ORDER BY r.at DESC, r.id DESC LIMIT $6
"""  # noqa: S608  constants of ours

_LOOKED_AT: Final = (Status.UNDELIVERED, Status.NEEDS_REVIEW, Status.REJECTED, Status.NOT_MATCHED)
STATEMENTS: Final[Mapping[Status, tuple[str, str]]] = MappingProxyType(
    # The status stands in the text: only so does PostgreSQL find the index that names it.
    {status: (_FARTHEST.format(status=status.value), _FOUND.format(status=status.value)) for status in _LOOKED_AT}
)
"""By each status that can be browsed: how far one page looks, and what it finds."""


async def stuck(database: Database, organisation: str, status: Status, before: Place, limit: int) -> Page:
    """Return an organisation's deliveries that stand in `status`. Raises StoreUnavailable.

    Raises KeyError for a status nobody has to look at.
    """
    farthest, found = STATEMENTS[status]
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        end = await connection.fetchrow(farthest, before.at, before.id, MOST_LOOKED_AT - 1)
        rows = await connection.fetch(
            found,
            before.at,
            before.id,
            end["at"] if end else datetime(1, 1, 2, tzinfo=UTC),
            end["id"] if end else UUID(int=0),
            organisation,
            limit + 1,
        )
    shown = tuple(
        Stuck(**{name: row[name] for name in Stuck.__slots__ if name != "place"}, place=Place(row["at"], row["id"]))
        for row in rows[:limit]
    )
    if len(rows) > limit:
        return Page(shown, shown[-1].place)
    return Page(shown, Place(end["at"], end["id"]) if end else None)


async def change_of(database: Database, organisation: str, delivery: UUID) -> UUID | None:
    """Return the change of one of an organisation's deliveries. Raises StoreUnavailable."""
    async with database.connection() as connection:
        found: UUID | None = await connection.fetchval(
            "SELECT change_id FROM delivery WHERE id = $1 AND organisation = $2", delivery, organisation
        )
    return found


async def record_look(database: Database, leaf: bytes) -> None:
    """Write down that a change is looked at. Raises StoreUnavailable."""
    async with database.transaction() as connection:
        await record_act(connection, [leaf])

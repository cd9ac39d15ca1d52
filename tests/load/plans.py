"""The plans of the hot statements, taken from the statements as the store's own functions send them."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from broker.store import changes, lanes, receipts
from broker.store.database import Database

PEOPLE = 50
WIDTH = 160
"""Characters of a line of a plan; what is longer is a list of ids."""


class _RolledBack(Exception):  # noqa: N818  not an error
    pass


class Explaining:
    """A connection that explains what it is asked, by doing it and taking it back, before it does it."""

    def __init__(self, connection: Any, found: dict[str, str]) -> None:
        self._connection = connection
        self._found = found
        self.asking: list[str] = []
        """Names of the statements that come next."""

    async def _explain(self, statement: str, arguments: tuple[Any, ...]) -> None:
        try:
            async with self._connection.transaction():
                rows = await self._connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {statement}", *arguments)
                raise _RolledBack
        except _RolledBack:
            self._found[self.asking.pop(0)] = abridged("\n".join(row[0] for row in rows))

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        await self._explain(statement, arguments)
        return await self._connection.fetch(statement, *arguments)

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        await self._explain(statement, arguments)
        return await self._connection.fetchval(statement, *arguments)

    async def execute(self, statement: str, *arguments: Any) -> Any:
        await self._explain(statement, arguments)
        return await self._connection.execute(statement, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class OneTransaction(Database):
    """A database whose every loan is the same connection, inside one transaction that is never committed."""

    def __init__(self, connection: Explaining) -> None:
        self._only = connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        yield self._only

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        yield self._only


async def plans(connection: Any) -> dict[str, str]:
    """Return the plan of each hot statement by its name, on the data as it stands; nothing of it stays."""
    found: dict[str, str] = {}
    explaining = Explaining(connection, found)
    database = OneTransaction(explaining)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await _walk(connection, explaining, database)
    finally:
        await transaction.rollback()
    return found


async def _walk(connection: Any, explaining: Explaining, database: Database) -> None:
    """Take fifty people's changes the whole way."""
    people = await connection.fetch("SELECT id FROM person ORDER BY md5(id::text) LIMIT $1", PEOPLE)
    agreements = await connection.fetch("SELECT id, version, organisation FROM agreement ORDER BY organisation")
    told = [_told(person["id"], agreements) for person in people]
    organisations = [agreement["organisation"] for agreement in agreements]
    explaining.asking = ["accept"]
    await changes.accept(database, told)
    explaining.asking = ["known by key"]
    await changes.stored_under(database, [(one.person_id, one.key) for one in told])
    explaining.asking = ["of_person"]
    await changes.of_person(database, told[0].person_id, before=None, limit=51)
    explaining.asking = ["next due"]
    await lanes.next_due(database, organisations)
    explaining.asking = ["due", "claim", "leaves"]
    claimed = await lanes.claim(
        database, organisations, limit=500, credit=8192, lease=timedelta(seconds=30), leaf=lambda _: b"{}"
    )
    explaining.asking = ["mark"]
    await lanes.mark_published(database, claimed, again_after=timedelta(days=1))
    explaining.asking = ["gate", "grant"]
    until = datetime.now(UTC) + timedelta(seconds=12)
    await lanes.at_the_gate(database, [one.delivery_id for one in claimed], lambda rows: dict.fromkeys(rows, until))
    explaining.asking = ["touched", "known", "settle", "lanes", "entries"]
    delivered = [one.delivery_id for one in claimed]
    async with receipts.folding(database, [uuid4() for _ in delivered], delivered) as folding:
        await folding.write(
            [_settled(one) for one in folding.touched.values()], [_entry(one) for one in folding.touched]
        )


def _told(person_id: int, agreements: list[Any]) -> changes.Told:
    now = datetime.now(UTC) - timedelta(minutes=1)
    return changes.Told(
        id=uuid4(),
        person_id=person_id,
        key=os.urandom(16),
        fingerprint=os.urandom(16),
        reference=os.urandom(6).hex(),
        type="address",
        generation=1,
        sealed=os.urandom(500),
        accepted_at=now,
        owed=tuple(
            changes.Owed(
                id=uuid4(),
                organisation=agreement["organisation"],
                subject=f"plan-{person_id}",
                agreement=agreement["id"],
                agreement_version=agreement["version"],
                not_before=now,
                origin=os.urandom(8).hex(),
                digest=os.urandom(16),
                sealed=os.urandom(500),
            )
            for agreement in agreements
        ),
        leaf=b"{}",
    )


def _settled(touched: receipts.Touched) -> receipts.Settled:
    now = datetime.now(UTC)
    return receipts.Settled(
        id=touched.id,
        person_id=touched.person_id,
        organisation=touched.organisation,
        status="applied",
        attempts=1,
        unknowns=0,
        published_at=now,
        answered_at=now,
        reason=None,
        reference=None,
        occupied=True,
        occupies=False,
        in_flight=False,
        due=None,
        attempt_ended=False,
    )


def _entry(delivery_id: UUID) -> receipts.Entry:
    return receipts.Entry(
        id=uuid4(),
        delivery_id=delivery_id,
        epoch=0,
        attempt=1,
        kind="answered",
        outcome="applied",
        failure=None,
        reason=None,
        reference=None,
        at=datetime.now(UTC),
        effect="raised",
        status="applied",
        next_due=None,
        leaf=b"{}",
    )


_NODE = re.compile(r"(Scan|Join|Loop|Insert|Update|LockRows|Aggregate|Sort|WindowAgg|CTE |Time|Trigger)")
_DETAIL = re.compile(r"^\s*(Index Cond|Filter|Rows Removed|Execution Time|Planning Time|Trigger)")


def abridged(plan: str) -> str:
    """Return a plan's nodes with their times and rows, and of their details only conditions, rows lost and times."""
    return "\n".join(
        re.sub(r"  +\(", " (", line.rstrip())[:WIDTH]
        for line in plan.splitlines()
        if "->" in line or _DETAIL.match(line) or (_NODE.search(line) and ":" not in line)
    )

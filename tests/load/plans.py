"""The plans of the hot statements, taken from the statements as the store's own functions send them."""

import itertools
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from broker.store import changes, lanes, receipts
from broker.store.database import Database

PEOPLE = 50
WIDTH = 160
"""Characters of a line of a plan; what is longer is a list of ids."""


class _RolledBack(Exception):  # noqa: N818  not an error
    pass


class Explaining:
    """A connection that explains what it is asked, by doing it and taking it back, before it does it.

    A plan is kept by the step it belongs to and by what its statement does, so no list has to be kept of what a
    function of the store asks.
    """

    def __init__(self, connection: Any, found: dict[str, str]) -> None:
        self._connection = connection
        self._found = found
        self.step = ""

    async def _explain(self, statement: str, arguments: tuple[Any, ...]) -> None:
        if not _EXPLAINED.match(statement):
            return
        try:
            async with self._connection.transaction():
                rows = await self._connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {statement}", *arguments)
                raise _RolledBack
        except _RolledBack:
            self._found[self._free(f"{self.step}: {deed(statement)}")] = abridged("\n".join(row[0] for row in rows))

    def _free(self, name: str) -> str:
        names = itertools.chain([name], (f"{name} ({number})" for number in itertools.count(2)))
        return next(free for free in names if free not in self._found)

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        await self._explain(statement, arguments)
        return await self._connection.fetch(statement, *arguments)

    async def fetchrow(self, statement: str, *arguments: Any) -> Any:
        await self._explain(statement, arguments)
        return await self._connection.fetchrow(statement, *arguments)

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        await self._explain(statement, arguments)
        return await self._connection.fetchval(statement, *arguments)

    async def execute(self, statement: str, *arguments: Any) -> Any:
        await self._explain(statement, arguments)
        return await self._connection.execute(statement, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


_EXPLAINED: Final = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b")
_CHANGES: Final = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM) ([a-z_]+)")
_LOCKS: Final = re.compile(r"\bFOR (NO KEY UPDATE|UPDATE|SHARE|KEY SHARE)\b")
_READS: Final = re.compile(r"\b(?:FROM|JOIN) ([a-z_]+)\b(?! ?\()")
_NAMED: Final = re.compile(r"\b([a-z_]+) AS (?:MATERIALIZED )?\(")
MOST_NAMED: Final = 3


def deed(statement: str) -> str:
    """Return in words what a statement does to which tables: `update lane`, `lock lane, delivery`."""
    text = " ".join(re.sub(r"--.*", "", statement).split())
    changes = [f"{verb.split()[0].lower()} {table}" for verb, table in _CHANGES.findall(text)]
    within = set(_NAMED.findall(text))
    tables = [table for table in dict.fromkeys(_READS.findall(text)) if table not in within]
    if not changes:
        changes = [f"{'lock' if _LOCKS.search(text) else 'read'} {', '.join(tables)}"]
    changes = list(dict.fromkeys(changes))
    return ", ".join(changes[:MOST_NAMED]) + (" and more" if len(changes) > MOST_NAMED else "")


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
    agreements = await connection.fetch(
        "SELECT id, version, organisation FROM agreement WHERE definition ->> 'changeType' = 'address' ORDER BY organisation"
    )
    told = [_told(person["id"], agreements) for person in people]
    organisations = [agreement["organisation"] for agreement in agreements]
    explaining.step = "accept"
    await changes.accept(database, told)
    explaining.step = "known by key"
    await changes.stored_under(database, [(one.person_id, one.key) for one in told])
    explaining.step = "of_person"
    await changes.of_person(database, told[0].person_id, before=None, limit=51)
    explaining.step = "next due"
    await lanes.next_due(database, organisations)
    explaining.step = "claim"
    claimed = await lanes.claim(
        database, organisations, limit=500, credit=8192, lease=timedelta(seconds=30), leaf=lambda _: b"{}"
    )
    explaining.step = "mark"
    await lanes.mark_published(database, claimed, again_after=timedelta(days=1))
    explaining.step = "gate"
    until = datetime.now(UTC) + timedelta(seconds=12)
    await lanes.at_the_gate(database, [one.delivery_id for one in claimed], lambda rows: dict.fromkeys(rows, until))
    explaining.step = "fold"
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

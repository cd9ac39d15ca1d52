"""A sample organisation's inbox: durable, idempotent by event id, in order per person.

One thread owns the SQLite file. What waits is written in one transaction (group commit), so an answer is given only
after its effect is on disk, at thousands a second.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar
from uuid import uuid4

from broker.sandbox.events import Event
from contracts.statuses import Outcome

T = TypeVar("T")

LARGEST_BATCH: Final = 512
EFFECTS: Final = (Outcome.APPLIED, Outcome.RECEIVED)
"""Answers that mean the organisation changes, or will change, its record."""

Violation = Literal["data", "order", "webhook_id"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One signed event as it came in."""

    event: Event
    webhook_id: str
    outcome: Outcome
    """To be answered if it is new and in order."""
    at: datetime
    answer_due: datetime | None = None
    """When it is to be answered again, by receipt."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What is answered: the same for every repeat."""

    outcome: Outcome
    reference: str


@dataclass(frozen=True, slots=True)
class OtherData:
    """The id was used before for something else."""


@dataclass(frozen=True, slots=True)
class Owed:
    """One answer to be given now."""

    id: str
    event_id: str
    reference: str
    attempts: int
    outcome: Outcome
    """What was done: `applied` where the first answer was that it was received."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the inbox, as the page and the tests read it."""

    position: int
    id: str
    type: str
    subject: str
    sequence: int | None
    time: str
    digest: str
    data: bytes = field(repr=False)
    outcome: str
    reference: str
    receipts: int
    received_at: str
    answered_later: bool | None
    """True when a later answer was given, False while it is owed or after it was refused, None if none is due."""


class InboxClosed(Exception):  # noqa: N818  answered as 503
    """The inbox is not open, or the disk refused: nothing was kept."""


class Inbox:
    """One organisation's inbox. Entered once; used by one event loop."""

    def __init__(self, path: Path, *, prefix: str) -> None:
        self._path = path
        self._prefix = prefix
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sandbox-inbox")
        self._waiting: asyncio.Queue[tuple[Arrival, asyncio.Future[Answered | OtherData]]] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._file: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        self._file = await self._in_thread(lambda: _open(self._path))
        self._writer = asyncio.create_task(self._write(), name="sandbox-inbox")
        return self

    async def __aexit__(self, *_fault: object) -> None:
        if self._writer:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        self._writer = None
        while not self._waiting.empty():
            _, future = self._waiting.get_nowait()
            _fail(future)
        file, self._file = self._file, None
        if file:
            await self._in_thread(file.close)
        self._thread.shutdown()

    async def take(self, arrival: Arrival) -> Answered | OtherData:
        """Keep one arrival and return what to answer, once that is durable. Raises InboxClosed."""
        if self._writer is None:
            raise InboxClosed
        future: asyncio.Future[Answered | OtherData] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((arrival, future))
        return await future

    async def entries(self, *, before: int | None, after: int | None, limit: int) -> list[Entry]:
        """Return up to `limit` events: the newest first below `before`, or, given `after`, the oldest first above it."""
        return await self._read(lambda file: _entries(file, before, after, limit))

    async def entry(self, event_id: str) -> Entry | None:
        found = await self._read(lambda file: _select(file, "WHERE events.id = ?", (event_id,)))
        return found[0] if found else None

    async def totals(self) -> dict[str, int]:
        """Return counts: events, effects, receipts, and violations by kind."""
        return await self._read(_totals)

    async def owed(self, now: datetime, limit: int) -> list[Owed]:
        """Return the later answers that are due."""
        return await self._read(lambda file: _owed(file, now, limit))

    async def postpone(self, owed: Owed, until: datetime) -> None:
        statement = "UPDATE owed_answers SET attempts = attempts + 1, due = ? WHERE id = ?"
        await self._read(lambda file: _run(file, statement, (until.timestamp(), owed.id)))

    async def settle(self, owed: Owed, at: datetime, *, taken: bool) -> None:
        """Record that a later answer was taken, or refused for good."""
        statement = "UPDATE owed_answers SET attempts = attempts + 1, ended_at = ?, taken = ? WHERE id = ?"
        await self._read(lambda file: _run(file, statement, (at.isoformat(), taken, owed.id)))

    async def _read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        file = self._file
        if file is None:
            raise InboxClosed
        return await self._in_thread(lambda: question(file))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _write(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < LARGEST_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                answers = await self._keep_all([arrival for arrival, _ in batch])
            except (sqlite3.Error, InboxClosed, asyncio.CancelledError) as fault:
                for _, future in batch:
                    _fail(future)
                if isinstance(fault, asyncio.CancelledError):
                    raise
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():  # the caller may have gone
                    future.set_result(answer)

    async def _keep_all(self, arrivals: Sequence[Arrival]) -> list[Answered | OtherData]:
        return await self._read(lambda file: _keep(file, arrivals, self._prefix))


def _fail(future: asyncio.Future[Answered | OtherData]) -> None:
    if not future.done():
        future.set_exception(InboxClosed())


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)  # before SQLite, whose journal files take the mode of this one
    file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    file.row_factory = sqlite3.Row
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = FULL")  # in WAL mode, NORMAL may lose the last commits at a power cut
    file.execute("PRAGMA busy_timeout = 5000")
    file.executescript(files("broker.sandbox").joinpath("inbox.sql").read_text(encoding="utf-8"))
    return file


def _run(file: sqlite3.Connection, statement: str, values: Sequence[Any]) -> None:
    file.execute(statement, values)


def _keep(file: sqlite3.Connection, arrivals: Sequence[Arrival], prefix: str) -> list[Answered | OtherData]:
    """Keep all arrivals in one transaction, in the order they came."""
    file.execute("BEGIN IMMEDIATE")
    try:
        answers = [_keep_one(file, arrival, prefix) for arrival in arrivals]
        file.execute("COMMIT")
    except BaseException:
        if file.in_transaction:  # a full disk may have rolled back already
            file.execute("ROLLBACK")
        raise
    return answers


def _keep_one(file: sqlite3.Connection, arrival: Arrival, prefix: str) -> Answered | OtherData:
    event = arrival.event
    if arrival.webhook_id != event.id:
        _note(file, "webhook_id", arrival)
    known = file.execute(
        "SELECT subject, sequence, digest, outcome, reference FROM events WHERE id = ?", (event.id,)
    ).fetchone()
    if known is not None:
        if tuple(known)[:3] != (event.subject, event.sequence, event.digest):
            _note(file, "data", arrival)
            return OtherData()
        file.execute("UPDATE events SET receipts = receipts + 1 WHERE id = ?", (event.id,))
        return Answered(Outcome(known[3]), known[4])
    last = file.execute("SELECT last FROM lanes WHERE subject = ?", (event.subject,)).fetchone()
    late = last is not None and event.sequence is not None and event.sequence <= last[0]
    if late:
        _note(file, "order", arrival)
    elif event.sequence is not None:
        file.execute(
            "INSERT INTO lanes VALUES (?, ?) ON CONFLICT (subject) DO UPDATE SET last = excluded.last",
            (event.subject, event.sequence),
        )
    outcome = Outcome.SUPERSEDED if late else arrival.outcome
    position = file.execute("SELECT coalesce(max(position), 0) + 1 FROM events").fetchone()[0]
    reference = f"{prefix}-{position:06d}"
    file.execute(
        "INSERT INTO events (position, id, type, subject, sequence, time, origin, digest, data, outcome, reference,"
        " received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            position,
            event.id,
            event.type,
            event.subject,
            event.sequence,
            event.time,
            event.origin,
            event.digest,
            event.data,
            outcome.value,
            reference,
            arrival.at.isoformat(),
        ),
    )
    if arrival.answer_due and not late:
        file.execute(
            "INSERT INTO owed_answers (id, event_id, due) VALUES (?, ?, ?)",
            (str(uuid4()), event.id, arrival.answer_due.timestamp()),
        )
    return Answered(outcome, reference)


def _note(file: sqlite3.Connection, kind: Violation, arrival: Arrival) -> None:
    file.execute(
        "INSERT INTO violations (kind, event_id, at) VALUES (?, ?, ?)",
        (kind, arrival.event.id, arrival.at.isoformat()),
    )


_SELECT: Final = (
    "SELECT position, events.id AS id, type, subject, sequence, time, digest, data, outcome, reference, receipts,"
    " received_at, owed_answers.id IS NOT NULL AS owed, taken"
    " FROM events LEFT JOIN owed_answers ON owed_answers.event_id = events.id "
)


def _select(file: sqlite3.Connection, rest: str, values: Sequence[Any]) -> list[Entry]:
    return [_read_entry(row) for row in file.execute(_SELECT + rest, values)]


def _read_entry(row: sqlite3.Row) -> Entry:
    return Entry(
        position=row["position"],
        id=row["id"],
        type=row["type"],
        subject=row["subject"],
        sequence=row["sequence"],
        time=row["time"],
        digest=row["digest"],
        data=row["data"],
        outcome=row["outcome"],
        reference=row["reference"],
        receipts=row["receipts"],
        received_at=row["received_at"],
        answered_later=bool(row["taken"]) if row["owed"] else None,
    )


def _entries(file: sqlite3.Connection, before: int | None, after: int | None, limit: int) -> list[Entry]:
    if after is not None:
        return _select(file, "WHERE position > ? ORDER BY position LIMIT ?", (after, limit))
    highest = before if before is not None else 2**62
    return _select(file, "WHERE position < ? ORDER BY position DESC LIMIT ?", (highest, limit))


def _totals(file: sqlite3.Connection) -> dict[str, int]:
    events, effects, receipts = file.execute(
        "SELECT count(*), coalesce(sum(outcome IN (?, ?)), 0), coalesce(sum(receipts), 0) FROM events",
        [outcome.value for outcome in EFFECTS],
    ).fetchone()
    violations = dict(file.execute("SELECT kind, count(*) FROM violations GROUP BY kind").fetchall())
    return {
        "events": events,
        "effects": effects,
        "receipts": receipts,
        "dataViolations": violations.get("data", 0),
        "orderViolations": violations.get("order", 0),
        "webhookIdViolations": violations.get("webhook_id", 0),
    }


def _owed(file: sqlite3.Connection, now: datetime, limit: int) -> list[Owed]:
    rows = file.execute(
        "SELECT owed_answers.id, event_id, reference, attempts, outcome"
        " FROM owed_answers JOIN events ON events.id = event_id WHERE ended_at IS NULL AND due <= ? ORDER BY due LIMIT ?",
        (now.timestamp(), limit),
    )
    return [
        Owed(row["id"], row["event_id"], row["reference"], row["attempts"], _done(Outcome(row["outcome"])))
        for row in rows
    ]


def _done(said: Outcome) -> Outcome:
    return Outcome.APPLIED if said is Outcome.RECEIVED else said

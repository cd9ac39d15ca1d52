"""The log in PostgreSQL: the embedded default, for one machine.

Offsets are taken under their partition's row lock inside the appending transaction, so they become visible in order and
without gaps, and a consumer may poll by them. Ownership is a session lock per group and partition; there are no leases.
"""

import asyncio
import math
import struct
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Final

import structlog

from broker.eventlog import rules
from broker.eventlog.log import LogUnavailable, Record
from broker.eventlog.postgres_consumer import PostgresConsumer
from broker.store import Database, StoreUnavailable, eventlog
from broker.store.eventlog import LogRow, LogTopic

READY_SECONDS: Final = 2.0
BATCH_RECORDS: Final = 2_000
BATCH_BYTES: Final = 8 * 1024 * 1024

_Waiting = tuple[Sequence[Record], asyncio.Future[None]]

log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


class PostgresLog:
    """An EventLog in the exchange's own database, which it does not close. Appends that wait share a transaction."""

    def __init__(
        self, database: Database, *, append_seconds: float = 10.0, clock: Callable[[], datetime] = _now
    ) -> None:
        """`append_seconds` limits one append; `clock` gives the UTC day records belong to and retention counts from."""
        self._database = database
        self._append_seconds = append_seconds
        self._clock = clock
        self._topics: dict[str, LogTopic] = {}
        self._tended: dict[str, date] = {}
        self._waiting: deque[_Waiting] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def append(self, records: Sequence[Record]) -> None:
        """See EventLog. Either all of `records` are in the log or none. Raises ValueError for one that is too large."""
        if not records:
            return
        rules.check(records)
        try:
            async with asyncio.timeout(self._append_seconds):
                await self._know({record.topic for record in records})
                done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append((records, done))
                if self._writing is None:
                    self._writing = asyncio.create_task(self._write())
                await done
        except TimeoutError:
            raise LogUnavailable("PostgreSQL did not confirm the records in time") from None

    @asynccontextmanager
    async def consumer(self, topics: Collection[str], group: str) -> AsyncIterator[PostgresConsumer]:
        """Join `group` on exactly these topics, which must exist. Raises LogUnavailable."""
        member = PostgresConsumer(self._database, topics, group)
        try:
            await member.join()
            yield member
        finally:
            await member.leave()

    async def ensure(self, topics: Mapping[str, int]) -> None:
        """Create the topics that do not exist. Raises LogUnavailable, or ValueError for one nobody declared.

        An existing topic keeps its number of partitions: another number would move keys to other partitions and break
        their order. A difference is only reported.
        """
        wanted = [(name, rules.label(name), partitions) for name, partitions in topics.items()]
        if not wanted:
            return
        try:
            await eventlog.add_topics(self._database, wanted)
        except StoreUnavailable as away:
            raise LogUnavailable(f"PostgreSQL did not create the topics: {away}") from None
        await self._know(set(topics))
        for name, want in topics.items():
            have = len(self._topics[name].partition_ids)
            if have != want:
                log.warning("topic.partitions_kept", topic=name, partitions=have, wanted=want)
        await self._tend({family for _, family, _ in wanted}, self._clock().astimezone(UTC).date())

    async def ready(self) -> bool:
        """Return whether PostgreSQL answers within two seconds."""
        try:
            async with asyncio.timeout(READY_SECONDS), self._database.connection() as connection:
                await connection.execute("SELECT 1")
        except (StoreUnavailable, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        """Let what is being appended end."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    async def _know(self, names: set[str]) -> None:
        """Learn the partitions of topics; they never change. Raises LogUnavailable."""
        if unknown := sorted(names - self._topics.keys()):
            try:
                async with self._database.connection() as connection:
                    self._topics |= await eventlog.topics(connection, unknown)
            except StoreUnavailable as away:
                raise LogUnavailable(f"PostgreSQL is away: {away}") from None
        if missing := sorted(names - self._topics.keys()):
            raise LogUnavailable(f"the log does not have {missing[0]}; `ensure` creates it")

    async def _tend(self, families: set[str], today: date) -> None:
        """Once a day and process: make room for today's records, drop what has outlived its retention."""
        for family in sorted(families):
            if self._tended.get(family) != today:
                days = math.ceil(rules.retention(family).total_seconds() / 86_400)
                try:
                    await eventlog.tend(self._database, family, today, days)
                except StoreUnavailable as away:
                    raise LogUnavailable(f"PostgreSQL is away: {away}") from None
                self._tended[family] = today

    async def _write(self) -> None:
        """Append what waits, one transaction at a time, until nothing does."""
        try:
            while self._waiting:
                taken = _take(self._waiting)
                try:
                    await self._append([record for records, _ in taken for record in records])
                except Exception as fault:  # noqa: BLE001  nobody awaits this task: whoever waits for its records is told
                    told = LogUnavailable(str(fault)) if isinstance(fault, StoreUnavailable) else fault
                    for _, done in taken:
                        if not done.done():
                            done.set_exception(told)
                            done.exception()  # whoever waited may have left: then nobody is to be told
                else:
                    for _, done in taken:
                        if not done.done():
                            done.set_result(None)
        finally:
            self._writing = None

    async def _append(self, records: Sequence[Record]) -> None:
        families: dict[int, str] = {}
        counts: dict[int, int] = {}
        rows = []
        for record in records:
            topic = self._topics[record.topic]
            partition = topic.partition_ids[zlib.crc32(record.key) % len(topic.partition_ids)]
            families[partition] = topic.family
            place = counts.get(partition, 0)
            counts[partition] = place + 1
            rows.append(LogRow(partition, place, record.key, pack(record.headers), record.value))
        day = self._clock().astimezone(UTC).date()
        await self._tend(set(families.values()), day)
        await eventlog.append(self._database, day, families, rows)


def _take(waiting: deque[_Waiting]) -> list[_Waiting]:
    """Take whole appends for one transaction: at least one, then as many as its bounds allow."""
    taken: list[_Waiting] = []
    count = size = 0
    while waiting and (not taken or (count < BATCH_RECORDS and size < BATCH_BYTES)):
        records, done = waiting.popleft()
        if done.done():
            continue  # whoever waited has left, and nothing of it was sent
        taken.append((records, done))
        count += len(records)
        size += sum(len(record.value) for record in records)
    return taken


def pack(headers: tuple[tuple[str, bytes], ...]) -> bytes:
    """Return headers as bytes: for each, two lengths of 32 bits, the name in UTF-8, the value."""
    parts = []
    for name, value in headers:
        encoded = name.encode()
        parts += [struct.pack(">II", len(encoded), len(value)), encoded, value]
    return b"".join(parts)

"""One member of a consumer group in PostgreSQL, on a session of its own whose locks are its ownership.

Members count each other by the locks they share, and each derives the same distribution from that. A member that dies
loses its session, and with it everything it owned; until a partition's owner lets go, nobody else can take it.
"""

import asyncio
import struct
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import structlog

from broker.eventlog.log import LogUnavailable, Offset, Partition, Received
from broker.store import Database, StoreUnavailable, eventlog
from broker.store.database import faults_told

POLL_SECONDS: Final = 1.0
"""At least this often the log and the group are looked at; a notice only hastens it."""

log = structlog.get_logger()


class PostgresConsumer:
    """A Consumer. After LogUnavailable it owns nothing, and the next `fetch` joins the group anew."""

    def __init__(
        self, database: Database, topics: Collection[str], group: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` counts seconds for the next look at the group."""
        self._database = database
        self._names = sorted(topics)
        self._group = group
        self._clock = clock
        self._session: Any = None
        self._group_id = 0
        self._topics: dict[str, eventlog.LogTopic] = {}
        self._partitions: dict[int, Partition] = {}
        self._positions: dict[int, Offset] = {}
        """By partition id: what we own, and where we read next. The last one read from stands last."""
        self._paused: set[str] = set()
        self._noticed = asyncio.Event()
        self._looked = 0.0

    async def join(self) -> None:
        """Join the group and take what is free of our share. Raises LogUnavailable."""
        try:
            self._session = await self._database.connect()
            with faults_told():
                self._topics = await self._found()
                await self._session.add_listener(eventlog.CHANNEL, lambda *heard: self._hear(heard[-1]))
                topic_ids = [topic.id for topic in self._topics.values()]
                self._group_id = await eventlog.join(self._session, self._group, topic_ids)
                await self._share()
        except StoreUnavailable as away:
            self._give_up()
            raise LogUnavailable(f"group {self._group} could not be joined: {away}") from None
        except BaseException:
            self._give_up()
            raise

    async def fetch(self, limit: int, wait: timedelta) -> Sequence[Received]:
        """See Consumer."""
        deadline = self._clock() + wait.total_seconds()
        if self._session is None:
            await self.join()
        try:
            with faults_told():
                while True:
                    self._noticed.clear()
                    if self._clock() - self._looked >= POLL_SECONDS:
                        await self._share()
                    if rows := await self._read(limit):
                        return rows
                    left = deadline - self._clock()
                    if left <= 0:
                        return []
                    try:
                        async with asyncio.timeout(min(left, POLL_SECONDS)):
                            await self._noticed.wait()
                    except TimeoutError:
                        pass
        except StoreUnavailable as away:
            self._give_up()
            raise LogUnavailable(f"PostgreSQL gave no records: {away}") from None

    async def commit(self, upto: Mapping[Partition, Offset]) -> None:
        """See Consumer. Done on the session that holds the locks, so without them there is no commit."""
        ids = {partition: one for one, partition in self._partitions.items() if one in self._positions}
        ours = {
            ids[partition]: offset
            for partition, offset in upto.items()
            if partition in ids and offset <= self._positions[ids[partition]]
        }
        if not ours or self._session is None:
            return
        try:
            with faults_told():
                await eventlog.commit(self._session, self._group_id, ours)
        except StoreUnavailable as away:
            self._give_up()
            raise LogUnavailable(f"PostgreSQL did not take the offsets: {away}") from None

    async def follow(self, topics: Collection[str]) -> None:
        """See Consumer. What this member owns of topics that stay, it goes on owning."""
        self._names = sorted(topics)
        if self._session is None:
            return  # the next `fetch` joins on them
        try:
            with faults_told():
                found = await self._found()
                joining = [topic.id for name, topic in found.items() if name not in self._topics]
                leaving = [topic.id for name, topic in self._topics.items() if name not in found]
                self._topics = found
                await eventlog.join(self._session, self._group, joining)
                await eventlog.leave(self._session, self._group_id, leaving)
                await self._share()
        except StoreUnavailable as away:
            self._give_up()
            raise LogUnavailable(f"PostgreSQL did not show the topics: {away}") from None
        except BaseException:
            self._give_up()
            raise

    def pause(self, topic: str) -> None:
        self._paused.add(topic)

    def resume(self, topic: str) -> None:
        if topic in self._paused:  # said again by every line, over and over
            self._paused.discard(topic)
            self._noticed.set()

    def owned(self) -> frozenset[Partition]:
        return frozenset(self._partitions[one] for one in self._positions)

    async def leave(self) -> None:
        """Leave the group, so that the others take over. Never raises."""
        session, self._session = self._session, None
        owned, self._positions = list(self._positions), {}
        if session is None:
            return
        try:
            async with asyncio.timeout(2.0):
                with faults_told():
                    await eventlog.disown(session, self._group_id, owned)
                    await session.close()
        except (StoreUnavailable, TimeoutError):
            session.terminate()

    def _hear(self, families: str) -> None:
        """A batch was appended to topics of these families, or, with none named, the group has changed."""
        if not families or any(topic.family in families.split(",") for topic in self._topics.values()):
            self._noticed.set()

    async def _read(self, limit: int) -> list[Received]:
        reading = {one: at for one, at in self._positions.items() if self._partitions[one].topic not in self._paused}
        rows = await eventlog.read(self._session, reading, limit) if reading else []
        for row in rows:
            # Put last, so that a busy partition does not keep the others waiting.
            self._positions.pop(row.partition_id)
            self._positions[row.partition_id] = row.place + 1
        return [
            Received(self._partitions[row.partition_id], row.place, row.key, row.value, unpack(row.headers))
            for row in rows
        ]

    async def _found(self) -> dict[str, eventlog.LogTopic]:
        """Return our topics, and know their partitions besides those we know. Raises LogUnavailable."""
        found = await eventlog.topics(self._session, self._names)
        if missing := [name for name in self._names if name not in found]:
            raise LogUnavailable(f"the log does not have {missing[0]}; `ensure` creates it")
        self._partitions |= {
            one: Partition(topic.name, number)
            for topic in found.values()
            for number, one in enumerate(topic.partition_ids)
        }
        return found

    async def _share(self) -> None:
        """Let go of what is no longer our share, take what is and is free."""
        self._looked = self._clock()
        members = await eventlog.members(self._session, self._group_id)
        mine = share(self._session.get_server_pid(), members, {t.id: t.partition_ids for t in self._topics.values()})
        if surplus := [one for one in self._positions if one not in mine]:
            for one in surplus:
                del self._positions[one]
            await eventlog.disown(self._session, self._group_id, surplus)
        if lacking := [one for one in mine if one not in self._positions]:
            self._positions |= await eventlog.own(self._session, self._group_id, lacking)

    def _give_up(self) -> None:
        session, self._session = self._session, None
        self._positions = {}
        if session is not None:
            session.terminate()
            log.info("log.consumer_abandoned", group=self._group)


def share(me: int, members: Mapping[int, Sequence[int]], partitions: Mapping[int, Sequence[int]]) -> list[int]:
    """Return the partition ids that fall to member `me`, given each topic's members and partitions by topic id.

    Members who see the same members agree: every partition falls to exactly one of its topic's members, and no member
    of a topic has two partitions of it more than another. Topics begin with different members, for balance.
    """
    return [
        one
        for topic, ids in partitions.items()
        if (these := members.get(topic))
        for number, one in enumerate(ids)
        if these[(number + topic) % len(these)] == me
    ]


def unpack(packed: bytes) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that `broker.eventlog.postgres.pack` made into bytes."""
    headers, at = [], 0
    while at < len(packed):
        name_length, value_length = struct.unpack_from(">II", packed, at)
        middle = at + 8 + name_length
        headers.append((packed[at + 8 : middle].decode(), packed[middle : middle + value_length]))
        at = middle + value_length
    return tuple(headers)

"""The log in memory: partitions, one consumer group a stage, rebalances, redelivery, offsets and records lost.

It keeps what `broker.eventlog.log` promises and no more: what that leaves open is done in the worst way, by the dice.
"""

import asyncio
import random
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from broker.eventlog import LogUnavailable, Offset, Partition, Received, Record
from broker.eventlog.rules import check, family
from tests.simulation.loop import PROCESS, Process, SimulatedLoop
from tests.simulation.network import Network, Weather

T = TypeVar("T")

Appended = Callable[[Process | None, Partition, Offset, Record], None]
Committed = Callable[[str, Partition, Offset, Offset], None]
"""Group, partition, and from which offset to which it moved."""


@dataclass(eq=False, slots=True)
class Member:
    """A member of a group, as the group sees it."""

    consumer: "SimulatedConsumer"
    process: Process | None
    topics: frozenset[str]
    heard_at: float
    share: dict[Partition, Offset] = field(default_factory=dict)
    """What it was given last, and from where it is to read."""


@dataclass(slots=True)
class Group:
    """A consumer group: who is in it, who owns what, and how far it has come."""

    members: list[Member] = field(default_factory=list)
    owner: dict[Partition, Member] = field(default_factory=dict)
    committed: dict[Partition, Offset] = field(default_factory=dict)


class SimulatedLog:
    """An EventLog, and the cluster behind it."""

    def __init__(
        self,
        loop: SimulatedLoop,
        network: Network,
        dice: random.Random,
        *,
        session_seconds: float,
        appended: Appended,
        committed: Committed,
        prompt: bool = False,
    ) -> None:
        """A member that is stopped or dead for `session_seconds` loses its partitions to the others.

        A rebalance takes a while, unless it is `prompt`.
        """
        self.weather = Weather()
        self.partitions: dict[str, list[list[Record]]] = {}
        self.groups: dict[str, Group] = {}
        self._loop = loop
        self._network = network
        self._dice = dice
        self._session_seconds = session_seconds
        self._appended = appended
        self._committed = committed
        self._prompt = prompt
        self._news = asyncio.Event()
        self.changes = 0
        """Counts what a consumer may be waiting for."""

    # EventLog

    async def append(self, records: Sequence[Record]) -> None:
        """See EventLog. When it fails, a beginning of each partition's records may be there."""
        check(records)
        process = PROCESS.get(None)

        async def appending() -> None:
            for record in records:
                if record.topic not in self.partitions:
                    raise LogUnavailable(f"the log does not have {record.topic}; `ensure` creates it")
            broken = self.weather.lost > 0 and self._dice.random() < self.weather.lost / 2
            for record in records[: self._dice.randrange(len(records) + 1) if broken else None]:
                self.place(process, record)
            self.changed()
            if broken:
                raise LogUnavailable("some of it is there")

        if records:
            await self.carry(appending)

    @asynccontextmanager
    async def consumer(self, topics: Collection[str], group: str) -> AsyncIterator["SimulatedConsumer"]:
        """See EventLog."""
        consumer = SimulatedConsumer(self, group, frozenset(topics))
        await consumer.join()
        try:
            yield consumer
        finally:
            consumer.leave()

    async def ensure(self, topics: Mapping[str, int]) -> None:
        """See EventLog."""

        async def making() -> None:
            for name, count in topics.items():
                family(name)
                if name not in self.partitions:
                    self.partitions[name] = [[] for _ in range(count)]

        await self.carry(making)

    async def ready(self) -> bool:
        return not self.weather.away

    async def close(self) -> None:
        return None

    # The cluster

    async def carry(self, work: Callable[[], Awaitable[T]], *, lossy: bool = True) -> T:
        return await self._network.ask(self.weather, lambda: LogUnavailable("it does not answer"), work, lossy=lossy)

    def place(self, process: Process | None, record: Record) -> None:
        """Put a record at the end of its partition."""
        partitions = self.partitions[record.topic]
        number = zlib.crc32(record.key) % len(partitions)
        partitions[number].append(record)
        self._appended(process, Partition(record.topic, number), len(partitions[number]) - 1, record)

    def end(self, partition: Partition) -> Offset:
        return len(self.partitions[partition.topic][partition.number])

    def changed(self) -> None:
        """Something was appended, or somebody's share has changed."""
        self.changes += 1
        self._news.set()

    async def news(self, seen: int, seconds: float) -> None:
        """Wait until there were more than `seen` changes, or so long."""
        if self.changes != seen:
            return
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass

    def group(self, name: str) -> Group:
        return self.groups.setdefault(name, Group())

    def rebalance(self, name: str) -> None:
        """Take everything from everybody, and share it out again in an order of chance."""
        group = self.group(name)
        now = self._loop.time()
        group.members = [one for one in group.members if not self._expired(one, now)]
        group.owner = {}
        for topic, partitions in self.partitions.items():
            able = [one for one in group.members if topic in one.topics]
            self._dice.shuffle(able)
            for number in range(len(partitions) if able else 0):
                group.owner[Partition(topic, number)] = able[number % len(able)]
        for member in group.members:
            member.share = {one: group.committed.get(one, 0) for one, owner in group.owner.items() if owner is member}
            context = member.consumer.context
            self._loop.call_soon(member.consumer.revoked, context=context)
            joined = 0.0 if self._prompt else self._dice.uniform(0.0, 0.5)
            self._loop.call_later(joined, member.consumer.assigned, member, context=context)
        self.changed()

    def beat(self) -> None:
        """Hear the members' hearts; whoever was silent for a session is put out. Called every second."""
        now = self._loop.time()
        for name, group in self.groups.items():
            for member in group.members:
                alive = member.process is None or member.process.state == "running"
                if alive and member.consumer.member is member:
                    member.heard_at = now
            if any(self._expired(one, now) for one in group.members):
                self.rebalance(name)

    def _expired(self, member: Member, now: float) -> bool:
        return now - member.heard_at > self._session_seconds

    def rewind(self, group: str) -> None:
        """Lose some of the offsets a group has committed: it is given records again."""
        committed = self.group(group).committed
        for partition in list(committed):
            committed[partition] = self._dice.randrange(committed[partition] + 1)
        self.rebalance(group)

    def lose(self, topic: str) -> None:
        """Lose a topic, with its records and its offsets."""
        lost = self.partitions.pop(topic, None)
        for group in self.groups.values():
            for number in range(len(lost or ())):
                group.committed.pop(Partition(topic, number), None)
            for member in [one for one in group.members if topic in one.topics]:
                group.members.remove(member)  # as the client does: it finds the topic gone, and joins anew
                self._loop.call_soon(member.consumer.put_out, context=member.consumer.context)
        for name in self.groups:
            self.rebalance(name)


class SimulatedConsumer:
    """A Consumer."""

    def __init__(self, log: SimulatedLog, group: str, topics: frozenset[str]) -> None:
        self._log = log
        self._group = group
        self._topics = topics
        self.member: Member | None = None
        self._positions: dict[Partition, Offset] = {}
        self._paused: set[str] = set()
        self.context = copy_context()

    async def join(self) -> None:
        """Join the group. Raises LogUnavailable."""
        process = PROCESS.get(None)

        async def joining() -> Member:
            log = self._log
            if not self._topics <= log.partitions.keys():
                raise LogUnavailable("the log does not have a topic; `ensure` creates it")
            member = Member(self, process, self._topics, log._loop.time())
            log.group(self._group).members.append(member)
            log.rebalance(self._group)
            return member

        self.member = await self._log.carry(joining)
        self.assigned(self.member)

    def leave(self) -> None:
        """Leave the group."""
        member, self.member, self._positions = self.member, None, {}
        members = self._log.group(self._group).members
        if member is not None and member in members:
            members.remove(member)
            self._log.rebalance(self._group)

    def assigned(self, member: Member) -> None:
        """A rebalance ended: read on as the group has it. What is given to one we no longer are is nobody's."""
        if self.member is member:
            self._positions = dict(member.share)

    def revoked(self) -> None:
        """A rebalance began: nothing is ours until it ends."""
        self._positions = {}

    def put_out(self) -> None:
        """The group, or the topic, is no longer there for us."""
        self.member, self._positions = None, {}

    async def fetch(self, limit: int, wait: timedelta) -> Sequence[Received]:
        """See Consumer."""
        log = self._log
        deadline = log._loop.time() + wait.total_seconds()
        if self.member is None or self.member not in log.group(self._group).members:
            self.put_out()
            await self.join()
        while True:
            seen = log.changes
            found = await log.carry(lambda: self._read(limit), lossy=False)
            given = [one for one in found if self._positions.get(one.partition) == one.offset and self._next(one)]
            left = deadline - log._loop.time()
            if given or left <= 0:
                return given
            await log.news(seen, left)

    def _next(self, one: Received) -> bool:
        self._positions[one.partition] = one.offset + 1
        return True

    async def _read(self, limit: int) -> list[Received]:
        if self.member is None:
            raise LogUnavailable("put out of the group")
        found: list[Received] = []
        for partition, at in self._positions.items():
            if partition.topic in self._paused or partition.topic not in self._log.partitions:
                continue
            records = self._log.partitions[partition.topic][partition.number]
            for offset in range(at, min(len(records), at + limit - len(found))):
                record = records[offset]
                found.append(Received(partition, offset, record.key, record.value, record.headers))
        return found

    async def commit(self, upto: Mapping[Partition, Offset]) -> None:
        """See Consumer. Of a former owner nothing is taken."""
        member = self.member
        given = {one: offset for one, offset in upto.items() if offset <= self._positions.get(one, -1)}

        async def committing() -> None:
            group = self._log.group(self._group)
            for partition, offset in given.items():
                if member is not None and group.owner.get(partition) is member:
                    before = group.committed.get(partition, 0)
                    self._log._committed(self._group, partition, before, offset)
                    group.committed[partition] = offset

        await self._log.carry(committing)

    async def follow(self, topics: Collection[str]) -> None:
        """See Consumer."""
        self._topics = frozenset(topics)

        async def following() -> None:
            log, member = self._log, self.member
            if not self._topics <= log.partitions.keys():
                raise LogUnavailable("the log does not have a topic; `ensure` creates it")
            if member is not None and member in log.group(self._group).members:
                member.topics = self._topics
                log.rebalance(self._group)

        await self._log.carry(following)

    def pause(self, topic: str) -> None:
        self._paused.add(topic)

    def resume(self, topic: str) -> None:
        if topic in self._paused:
            self._paused.discard(topic)
            self._log.changed()

    def owned(self) -> frozenset[Partition]:
        return frozenset(self._positions)

"""What every EventLog promises. A log's own test module subclasses `EventLogPromises` and provides the fixtures."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Protocol

import pytest

from broker.eventlog import Consumer, EventLog, LogUnavailable, Partition, Received, Record
from broker.eventlog.rules import LARGEST_RECORD
from contracts.topics import deliveries_topic

SHORT = timedelta(seconds=0.2)
PATIENCE = 40.0
"""Seconds after which a test gives up: never a measure of speed."""


class Outage(Protocol):
    """A log whose server this test alone uses, and may take away."""

    log: EventLog

    async def strike(self) -> None: ...

    async def heal(self) -> None: ...


MakeLog = Callable[[], AbstractAsyncContextManager[EventLog]]
"""Opens another log object on the same server, as another process would."""


def new_topic() -> str:
    return deliveries_topic(uuid.uuid4().hex[:12])


def new_group() -> str:
    return f"group-{uuid.uuid4().hex[:12]}"


def numbered(topic: str, key: bytes, numbers: Sequence[int]) -> list[Record]:
    return [Record(topic, key, str(number).encode()) for number in numbers]


async def take(consumer: Consumer, count: int) -> list[Received]:
    """Fetch until `count` records came."""
    taken: list[Received] = []
    async with asyncio.timeout(PATIENCE):
        while len(taken) < count:
            taken += await consumer.fetch(500, SHORT)
    assert len(taken) == count
    return taken


async def nothing(consumer: Consumer) -> bool:
    """Whether three fetches in a row give nothing."""
    return not any([await consumer.fetch(500, SHORT) for _ in range(3)])


async def commit(consumer: Consumer, received: Sequence[Received]) -> None:
    upto: dict[Partition, int] = {}
    for one in received:
        upto[one.partition] = max(upto.get(one.partition, 0), one.offset + 1)
    await consumer.commit(upto)


async def until(holds: Callable[[], bool], *consumers: Consumer) -> list[Received]:
    """Keep the consumers fetching, as a group needs, until something holds; return what they gave meanwhile."""
    given: list[Received] = []
    async with asyncio.timeout(PATIENCE):
        while not holds():
            for got in await asyncio.gather(*(one.fetch(500, SHORT) for one in consumers)):
                given += got
    return given


def values(received: Sequence[Received], key: bytes | None = None) -> list[int]:
    return [int(one.value) for one in received if key is None or one.key == key]


def first_seen(numbers: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


@asynccontextmanager
async def fetching(*consumers: Consumer) -> AsyncIterator[list[list[Received]]]:
    """Run consumers in tasks, committing all they fetch; give the lists that grow."""
    lists: list[list[Received]] = [[] for _ in consumers]

    async def run(consumer: Consumer, into: list[Received]) -> None:
        while True:
            got = await consumer.fetch(200, SHORT)
            into += got
            await commit(consumer, got)

    tasks = [asyncio.create_task(run(one, into)) for one, into in zip(consumers, lists, strict=True)]
    try:
        yield lists
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def eventually(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.05)


class EventLogPromises:
    """Subclasses provide fixtures `make_log` (MakeLog), `log` (EventLog) and `outage` (Outage)."""

    @pytest.fixture
    async def topic(self, log: EventLog) -> str:
        name = new_topic()
        await log.ensure({name: 3})
        return name

    # -- records ---------------------------------------------------------------------------------

    async def test_bytes_keys_and_headers_come_back_as_they_were(self, log: EventLog, topic: str) -> None:
        headers = (("epoch", b"1"), ("digest", bytes(range(256))), ("epoch", b""), ("d\u0175r", b"x"))
        sent = Record(topic, b"\x00key\xff", bytes(range(256)) * 4, headers)
        empty = Record(topic, b"\x00key\xff", b"")
        await log.append([sent, empty])
        async with log.consumer([topic], new_group()) as consumer:
            got = await take(consumer, 2)
        assert [(one.partition.topic, one.key, one.value, one.headers) for one in got] == [
            (topic, sent.key, sent.value, headers),
            (topic, sent.key, b"", ()),
        ]
        assert [one.offset for one in got] == [0, 1]

    async def test_appending_nothing_is_nothing(self, log: EventLog) -> None:
        await log.append([])

    async def test_one_key_keeps_its_order_and_its_partition(self, log: EventLog, topic: str) -> None:
        keys = [f"person-{n}".encode() for n in range(20)]
        for start in range(0, 100, 20):
            await log.append(
                [record for n in range(start, start + 20) for key in keys for record in numbered(topic, key, [n])]
            )
        async with log.consumer([topic], new_group()) as consumer:
            got = await take(consumer, 2000)
        for key in keys:
            assert values(got, key) == list(range(100))
            assert len({one.partition for one in got if one.key == key}) == 1
        assert {one.partition.number for one in got} == {0, 1, 2}

    async def test_offsets_of_a_partition_are_dense(self, log: EventLog, topic: str) -> None:
        await log.append([Record(topic, str(n).encode(), b"") for n in range(300)])
        async with log.consumer([topic], new_group()) as consumer:
            got = await take(consumer, 300)
        by_partition: dict[Partition, list[int]] = {}
        for one in got:
            by_partition.setdefault(one.partition, []).append(one.offset)
        assert all(offsets == list(range(len(offsets))) for offsets in by_partition.values())

    async def test_a_batch_of_5000_arrives_whole(self, log: EventLog, topic: str) -> None:
        await log.append([Record(topic, f"key-{n % 97}".encode(), str(n).encode()) for n in range(5000)])
        async with log.consumer([topic], new_group()) as consumer:
            got = await take(consumer, 5000)
        assert sorted(values(got)) == list(range(5000))
        for key in {one.key for one in got}:
            assert values(got, key) == sorted(values(got, key))

    async def test_records_too_large_for_one_request_keep_their_order(self, log: EventLog, topic: str) -> None:
        big = b"%d " + b"x" * 300_000
        await log.append([Record(topic, b"key", big % n) for n in range(12)])
        async with log.consumer([topic], new_group()) as consumer:
            got = await take(consumer, 12)
        assert [int(one.value.split()[0]) for one in got] == list(range(12))

    async def test_a_record_no_log_takes_refuses_the_whole_batch(self, log: EventLog, topic: str) -> None:
        with pytest.raises(ValueError, match="over the log's limit"):
            await log.append([Record(topic, b"key", b"small"), Record(topic, b"key", b"x" * (LARGEST_RECORD + 1))])
        await log.append([Record(topic, b"key", b"1")])
        async with log.consumer([topic], new_group()) as consumer:
            assert values(await take(consumer, 1)) == [1]

    async def test_many_appenders_keep_the_order_of_their_keys(
        self, log: EventLog, make_log: MakeLog, topic: str
    ) -> None:
        async def appender(through: EventLog, key: bytes) -> None:
            for start in range(0, 60, 3):
                await through.append(numbered(topic, key, range(start, start + 3)))

        async with make_log() as other:
            await asyncio.gather(
                *(appender(through, f"{n}-{n % 2}".encode()) for n in range(24) for through in [(log, other)[n % 2]])
            )
        async with log.consumer([topic], new_group()) as consumer:
            got = await take(consumer, 24 * 60)
        for n in range(24):
            assert values(got, f"{n}-{n % 2}".encode()) == list(range(60))

    async def test_one_append_may_span_topics(self, log: EventLog) -> None:
        topics = [new_topic() for _ in range(4)]
        await log.ensure(dict.fromkeys(topics, 2))
        await log.append([record for topic in topics for record in numbered(topic, b"key", [1, 2])])
        async with log.consumer(topics, new_group()) as consumer:
            got = await take(consumer, 8)
        assert {(one.partition.topic, int(one.value)) for one in got} == {(t, n) for t in topics for n in (1, 2)}

    async def test_what_was_appended_outlives_the_log_object(self, make_log: MakeLog, topic: str) -> None:
        async with make_log() as writer:
            await writer.append(numbered(topic, b"key", [1, 2, 3]))
        async with make_log() as reader, reader.consumer([topic], new_group()) as consumer:
            assert values(await take(consumer, 3)) == [1, 2, 3]

    # -- committing ------------------------------------------------------------------------------

    async def test_only_what_was_not_committed_comes_again(self, log: EventLog, topic: str) -> None:
        group = new_group()
        await log.append(numbered(topic, b"key", range(10)))
        async with log.consumer([topic], group) as consumer:
            got = await take(consumer, 10)
            await consumer.commit({got[0].partition: 4})
        async with log.consumer([topic], group) as consumer:
            again = await take(consumer, 6)
            assert values(again) == [4, 5, 6, 7, 8, 9]
            await commit(consumer, again)
        async with log.consumer([topic], group) as consumer:
            assert await nothing(consumer)
            await log.append(numbered(topic, b"key", [10]))
            assert values(await take(consumer, 1)) == [10]

    async def test_a_lower_commit_takes_nothing_back(self, log: EventLog, topic: str) -> None:
        group = new_group()
        await log.append(numbered(topic, b"key", range(10)))
        async with log.consumer([topic], group) as consumer:
            partition = (await take(consumer, 10))[0].partition
            await consumer.commit({partition: 8})
            await consumer.commit({partition: 3})
            await consumer.commit({partition: 8})
            await consumer.commit({})
            await consumer.commit({partition: 3})
        async with log.consumer([topic], group) as consumer:
            assert values(await take(consumer, 2)) == [8, 9]

    async def test_groups_do_not_know_of_each_other(self, log: EventLog, topic: str) -> None:
        await log.append(numbered(topic, b"key", range(5)))
        for _ in range(2):
            async with log.consumer([topic], new_group()) as consumer:
                got = await take(consumer, 5)
                await commit(consumer, got)
                assert values(got) == [0, 1, 2, 3, 4]

    async def test_partitions_are_committed_apart(self, log: EventLog, topic: str) -> None:
        group = new_group()
        await log.append([Record(topic, str(n).encode(), str(n).encode()) for n in range(30)])
        async with log.consumer([topic], group) as consumer:
            got = await take(consumer, 30)
            chosen = got[0].partition
            elsewhere = {Partition(topic, 99): 5, Partition(new_topic(), 0): 5}  # not ours, and no reason to fail
            await consumer.commit({chosen: sum(1 for one in got if one.partition == chosen)} | elsewhere)
        async with log.consumer([topic], group) as consumer:
            rest = await take(consumer, sum(1 for one in got if one.partition != chosen))
        assert {one.partition for one in rest} == {one.partition for one in got} - {chosen}

    # -- fetching --------------------------------------------------------------------------------

    async def test_fetch_waits_and_wakes(self, log: EventLog, topic: str) -> None:
        async with log.consumer([topic], new_group()) as consumer:
            assert await nothing(consumer)
            waiting = asyncio.create_task(consumer.fetch(10, timedelta(seconds=PATIENCE)))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await log.append(numbered(topic, b"key", [7]))
            async with asyncio.timeout(PATIENCE / 2):
                assert values(await waiting) == [7]

    async def test_fetch_gives_no_more_than_the_limit_and_skips_nothing(self, log: EventLog, topic: str) -> None:
        await log.append([Record(topic, str(n).encode(), str(n).encode()) for n in range(100)])
        got: list[Received] = []
        async with log.consumer([topic], new_group()) as consumer, asyncio.timeout(PATIENCE):
            while len(got) < 100:
                some = await consumer.fetch(7, SHORT)
                assert len(some) <= 7
                got += some
        assert sorted(values(got)) == list(range(100))

    async def test_a_paused_topic_waits_while_others_flow(self, log: EventLog) -> None:
        slow, quick = new_topic(), new_topic()
        await log.ensure({slow: 2, quick: 2})
        group = new_group()
        await log.append(numbered(slow, b"key", range(5)) + numbered(quick, b"key", range(5)))
        async with log.consumer([slow, quick], group) as consumer:
            consumer.pause(slow)
            consumer.pause(slow)
            assert {one.partition.topic for one in await take(consumer, 5)} == {quick}
            await log.append(numbered(slow, b"key", range(5, 8)) + numbered(quick, b"key", range(5, 8)))
            assert values(await take(consumer, 3)) == [5, 6, 7]
            assert await nothing(consumer)
            assert {partition.topic for partition in consumer.owned()} == {slow, quick}
            consumer.resume(slow)
            assert values(await take(consumer, 8)) == list(range(8))

    async def test_pausing_after_a_fetch_loses_nothing(self, log: EventLog, topic: str) -> None:
        await log.append(numbered(topic, b"key", range(20)))
        async with log.consumer([topic], new_group()) as consumer:
            first: list[Received] = []
            async with asyncio.timeout(PATIENCE):
                while not first:
                    first = list(await consumer.fetch(6, SHORT))
            consumer.pause(topic)
            assert await nothing(consumer)
            consumer.resume(topic)
            assert values(first) + values(await take(consumer, 20 - len(first))) == list(range(20))

    async def test_one_group_reads_many_topics(self, log: EventLog) -> None:
        topics = [new_topic() for _ in range(30)]
        await log.ensure(dict.fromkeys(topics, 2))
        await log.append([record for topic in topics for record in numbered(topic, b"key", range(4))])
        async with log.consumer(topics, new_group()) as consumer:
            got = await take(consumer, 120)
            assert len(consumer.owned()) == 60
        for topic in topics:
            assert values([one for one in got if one.partition.topic == topic]) == [0, 1, 2, 3]

    async def test_a_member_follows_other_topics_without_leaving(self, log: EventLog, make_log: MakeLog) -> None:
        stays, leaves, joins = (new_topic() for _ in range(3))
        await log.ensure({stays: 2, leaves: 2, joins: 2})
        group = new_group()

        async with make_log() as other_log, log.consumer([stays, leaves], group) as member:
            await log.append([*numbered(stays, b"key", range(3)), *numbered(leaves, b"key", range(3))])
            await commit(member, await take(member, 6))
            member.pause(leaves)
            await member.follow([stays, joins])
            await until(lambda: {one.topic for one in member.owned()} == {stays, joins}, member)
            await log.append([*numbered(stays, b"key", range(3, 6)), *numbered(joins, b"key", range(3))])
            got = await take(member, 6)
            assert values([one for one in got if one.partition.topic == stays]) == [3, 4, 5], "it goes on where it was"
            await commit(member, got)
            async with other_log.consumer(
                [leaves], group
            ) as other:  # and a partition belongs to nobody who has left it
                await until(lambda: len(other.owned()) == 2, member, other)
            await member.follow([stays, joins, leaves])
            await until(lambda: len(member.owned()) == 6, member)
            await log.append(numbered(leaves, b"key", range(3, 6)))
            assert await nothing(member), "the pause holds"
            member.resume(leaves)
            assert values(await take(member, 3)) == [3, 4, 5]

    # -- sharing ---------------------------------------------------------------------------------

    async def test_two_members_share_and_a_leaver_hands_over(
        self, log: EventLog, make_log: MakeLog, topic: str
    ) -> None:
        group = new_group()
        async with make_log() as other, other.consumer([topic], group) as stays:
            async with log.consumer([topic], group) as leaves:
                await until(
                    lambda: len(stays.owned()) + len(leaves.owned()) == 3 and bool(leaves.owned()), stays, leaves
                )
                assert not stays.owned() & leaves.owned()
                await log.append([Record(topic, str(n).encode(), str(n).encode()) for n in range(90)])
                async with fetching(stays, leaves) as (left, right):
                    await eventually(lambda: {*values(left), *values(right)} == set(range(90)))
                assert left
                assert right
            await log.append([Record(topic, str(n).encode(), str(n).encode()) for n in range(90, 180)])
            async with fetching(stays) as (after,):
                await eventually(lambda: set(values(after)) >= set(range(90, 180)))
            assert len(stays.owned()) == 3

    async def test_no_record_is_lost_while_members_come_and_go(
        self, log: EventLog, make_log: MakeLog, topic: str
    ) -> None:
        group, seen = new_group(), list[Received]()
        keys = [f"key-{n}".encode() for n in range(12)]

        async def append() -> None:
            for n in range(40):
                await log.append([record for key in keys for record in numbered(topic, key, [n])])
                await asyncio.sleep(0.02)

        appending = asyncio.create_task(append())
        async with make_log() as other, log.consumer([topic], group) as stays, fetching(stays) as (mine,):
            for _ in range(2):
                async with other.consumer([topic], group) as guest, fetching(guest) as (theirs,):
                    await eventually(lambda guest=guest: bool(guest.owned()))  # type: ignore[misc]
                    await asyncio.sleep(0.3)
                seen += theirs
            await appending
            await eventually(
                lambda: {(one.key, int(one.value)) for one in mine + seen} == {(k, n) for k in keys for n in range(40)}
            )
        # Each member alone sees a key in order, apart from what it is given again.
        for member in (mine,):
            for key in keys:
                assert first_seen(values(member, key)) == sorted(set(values(member, key)))

    async def test_a_former_owner_cannot_commit(self, log: EventLog, make_log: MakeLog) -> None:
        topic, group = new_topic(), new_group()
        await log.ensure({topic: 2})
        await log.append([Record(topic, str(n).encode(), str(n).encode()) for n in range(40)])
        async with make_log() as other, log.consumer([topic], group) as former:
            had = await take(former, 40)
            async with other.consumer([topic], group) as newcomer:
                await until(lambda: len(newcomer.owned()) == 1 and len(former.owned()) == 1, former, newcomer)
                lost = newcomer.owned()
                await commit(former, [one for one in had if one.partition in lost])
        async with log.consumer([topic], group) as consumer:
            again = await take(consumer, 40)
        assert {one.partition for one in again} >= lost

    async def test_what_was_read_before_a_hand_over_and_back_is_not_committed_after_it(
        self, log: EventLog, make_log: MakeLog
    ) -> None:
        """Only what was given since: the offsets may be of another topic by now."""
        topic, group = new_topic(), new_group()
        await log.ensure({topic: 2})
        await log.append([Record(topic, str(n).encode(), str(n).encode()) for n in range(40)])
        async with make_log() as other, log.consumer([topic], group) as member:
            had = await take(member, 40)
            async with other.consumer([topic], group) as guest:
                await until(lambda: len(guest.owned()) == 1 and len(member.owned()) == 1, member, guest)
                (lent,) = guest.owned()
            again = list[Received]()
            async with asyncio.timeout(PATIENCE):
                while lent not in {one.partition for one in again}:
                    again += await member.fetch(1, SHORT)
            await commit(member, [one for one in had if one.partition == lent])
        async with log.consumer([topic], group) as consumer:
            assert {one.value for one in await take(consumer, 40)} == {one.value for one in had}

    async def test_pauses_hold_over_a_change_of_members(self, log: EventLog, make_log: MakeLog, topic: str) -> None:
        group = new_group()
        async with make_log() as other, log.consumer([topic], group) as stays:
            stays.pause(topic)
            async with other.consumer([topic], group) as guest:
                await until(lambda: bool(guest.owned()) and bool(stays.owned()), stays, guest)
            await until(lambda: len(stays.owned()) == 3, stays)
            await log.append([Record(topic, str(n).encode(), str(n).encode()) for n in range(9)])
            assert await nothing(stays)
            stays.resume(topic)
            assert sorted(values(await take(stays, 9))) == list(range(9))

    # -- topics ----------------------------------------------------------------------------------

    async def test_ensure_twice_changes_nothing(self, log: EventLog, topic: str) -> None:
        await log.append(numbered(topic, b"key", [1]))
        await log.ensure({topic: 3})
        await log.ensure({topic: 6})  # another count would move keys between partitions
        await log.append(numbered(topic, b"key", [2]))
        async with log.consumer([topic], new_group()) as consumer:
            assert values(await take(consumer, 2)) == [1, 2]
            assert len(consumer.owned()) == 3

    async def test_ensure_by_many_at_once(self, log: EventLog, make_log: MakeLog) -> None:
        names = {new_topic(): 2, new_topic(): 4}
        async with make_log() as other:
            await asyncio.gather(*(one.ensure(names) for one in (log, other, log, other)))
        async with log.consumer(names, new_group()) as consumer:
            assert len(consumer.owned()) == 6

    async def test_a_topic_nobody_declared_is_refused(self, log: EventLog) -> None:
        with pytest.raises(ValueError, match=r"contracts\.topics"):
            await log.ensure({"somebody.else": 1})

    async def test_a_missing_topic_is_no_log(self, log: EventLog) -> None:
        with pytest.raises(LogUnavailable, match="ensure"):
            await log.append([Record(new_topic(), b"key", b"1")])
        with pytest.raises(LogUnavailable, match="ensure"):
            async with log.consumer([new_topic()], new_group()):
                pass

    async def test_ready(self, log: EventLog) -> None:
        assert await log.ready()

    # -- faults ----------------------------------------------------------------------------------

    async def test_an_outage_is_told_and_overcome_without_a_restart(self, outage: Outage) -> None:
        log, topic, group = outage.log, new_topic(), new_group()
        await log.ensure({topic: 2})
        async with log.consumer([topic], group) as consumer:
            await log.append(numbered(topic, b"key", range(3)))
            got = await take(consumer, 3)
            await commit(consumer, got[:2])
            await outage.strike()
            assert not await log.ready()
            with pytest.raises(LogUnavailable):
                await log.append(numbered(topic, b"key", [3]))
            with pytest.raises(LogUnavailable):
                await until(lambda: False, consumer)
            with pytest.raises(LogUnavailable):
                await log.ensure({new_topic(): 1})
            with pytest.raises(LogUnavailable):
                async with log.consumer([topic], new_group()):
                    pass
            assert consumer.owned() == frozenset()
            await consumer.commit({got[0].partition: 3})  # no longer ours, hence ignored
            await outage.heal()
            await eventually(log.ready)
            await log.append(numbered(topic, b"key", [4, 5]))
            seen: list[Received] = []
            async with asyncio.timeout(PATIENCE):
                while not {4, 5} <= set(values(seen)):
                    with contextlib.suppress(LogUnavailable):
                        seen += await consumer.fetch(10, SHORT)
            assert [number for number in first_seen(values(seen)) if number != 3] == [2, 4, 5]

    async def test_appends_across_an_outage_lose_and_reorder_nothing(self, outage: Outage) -> None:
        log, topic = outage.log, new_topic()
        await log.ensure({topic: 2})
        keys, over = [f"key-{n}".encode() for n in range(8)], asyncio.Event()
        counts: dict[bytes, int] = {}

        async def appender(key: bytes) -> None:
            """Append three at a time, the same again until it holds, as the relay does."""
            while not over.is_set():
                start = counts.get(key, 0)
                try:
                    await log.append(numbered(topic, key, range(start, start + 3)))
                except LogUnavailable:
                    await asyncio.sleep(0.05)
                else:
                    counts[key] = start + 3

        async def progress() -> None:
            before = dict(counts)
            await eventually(lambda: all(counts.get(key, 0) > before.get(key, 0) for key in keys))

        appenders = [asyncio.create_task(appender(key)) for key in keys]
        await progress()
        await outage.strike()
        await outage.heal()
        await progress()
        over.set()
        await asyncio.gather(*appenders)
        got: list[Received] = []
        async with log.consumer([topic], new_group()) as consumer, asyncio.timeout(PATIENCE):
            while any(counts[key] - 1 not in values(got, key) for key in keys):
                got += await consumer.fetch(500, SHORT)
        for key in keys:
            seen = first_seen(values(got, key))
            assert seen == list(range(len(seen)))
            assert len(seen) >= counts[key]

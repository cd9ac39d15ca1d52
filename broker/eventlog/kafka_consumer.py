"""One member of a consumer group on Kafka: at least once, positions from committed offsets, never stuck in silence."""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from broker.eventlog import abandon
from broker.eventlog.cluster import Cluster
from broker.eventlog.log import LogUnavailable, Offset, Partition, Received

JOIN_SECONDS: Final = 30.0
TOPIC_LOOKS: Final = 10

log = structlog.get_logger()


class KafkaConsumer:
    """A Consumer. After LogUnavailable it owns nothing, and the next `fetch` joins the group anew."""

    def __init__(self, cluster: Cluster, topics: Collection[str], group: str, *, session_seconds: float) -> None:
        """`session_seconds`: how long a silent member keeps its share. Half of it is our patience with one call."""
        self._cluster = cluster
        self._topics = sorted(topics)
        self._group = group
        self._session_ms = int(session_seconds * 1000)
        self._patience = session_seconds / 2
        self._client: AIOKafkaConsumer | None = None
        self._paused: set[str] = set()
        self._owned: frozenset[Partition] = frozenset()
        self._floor: dict[Partition, Offset] = {}
        """Below it everything is committed, in this term of ownership: by the last owner, then by us. Never undone, but
        where the partition begins anew, its topic being lost."""
        self._given: dict[Partition, Offset] = {}
        """Below it everything from the floor on was given by `fetch`, in this term. Nothing beyond it is committed."""
        self._assigned = asyncio.Event()
        self._heard = 0.0
        self._behind: dict[TopicPartition, int] = {}

    async def join(self) -> None:
        """Join the group and wait for a share of it, which may be empty. Raises LogUnavailable."""
        options = self._cluster.client_options() | {
            # A join waits for members that are silent until their session ends: giving up earlier, and joining again
            # under another name, would leave one more silent member behind each time.
            "request_timeout_ms": self._session_ms + 5_000,
        }
        self._client = client = AIOKafkaConsumer(
            **options,
            group_id=self._group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=self._session_ms,
            heartbeat_interval_ms=max(100, min(1000, self._session_ms // 5)),
            # A topic that is resumed waits until the fetch for all others comes back.
            fetch_max_wait_ms=50,
            # What was fetched ahead for a topic is thrown away when it is paused.
            max_partition_fetch_bytes=256 * 1024,
        )
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await client.start()
                await self._topics_exist(client)
                self._assigned.clear()
                self._subscribe(client)
                await self._assigned.wait()
        except BaseException as failed:
            await self._give_up()
            if isinstance(failed, KafkaError | OSError):
                raise LogUnavailable(
                    f"group {self._group} could not be joined: {type(failed).__name__}; "
                    "check that Kafka runs, and the address and credentials"
                ) from None
            raise
        self._heard = time.monotonic()

    async def fetch(self, limit: int, wait: timedelta) -> Sequence[Received]:
        """See Consumer. During a rebalance there is nothing to fetch, which is not a failure."""
        if self._client is None:
            await self.join()
        client = self._client
        if client is None:
            return []
        seconds = wait.total_seconds()
        batches: dict[TopicPartition, list[Any]] = {}
        try:
            async with asyncio.timeout(seconds + 0.05):
                batches = await client.getmany(timeout_ms=int(seconds * 1000), max_records=limit)
        except TimeoutError:
            pass  # a rebalance goes on
        except KafkaError as failed:
            await self._give_up()
            raise LogUnavailable(f"Kafka gave no records: {type(failed).__name__}") from None
        received = [_received(record) for records in batches.values() for record in records]
        if received:
            self._heard = time.monotonic()
            self._behind = {}
            for one in received:
                if one.offset < self._given.get(one.partition, one.offset + 1):
                    self._floor[one.partition] = one.offset  # the first of this term, or begun anew
                self._given[one.partition] = one.offset + 1
        elif time.monotonic() - self._heard > self._patience:
            await self._probe(client)
        return received

    async def commit(self, upto: Mapping[Partition, Offset]) -> None:
        """See Consumer. The group's generation fences a former owner at the broker too."""
        ours = {
            TopicPartition(*partition): offset
            for partition, offset in upto.items()
            if partition in self._given and self._floor[partition] < offset <= self._given[partition]
        }
        client = self._client
        if not ours or client is None:
            return
        try:
            async with asyncio.timeout(self._patience):
                await client.commit(ours)
            self._floor |= {Partition(*one): offset for one, offset in ours.items() if Partition(*one) in self._given}
        except (CommitFailedError, IllegalStateError):
            log.info("commit.lapsed", group=self._group, partitions=len(ours))
        except (KafkaError, OSError) as failed:
            await self._give_up()
            raise LogUnavailable(f"Kafka did not take the offsets: {type(failed).__name__}") from None

    async def follow(self, topics: Collection[str]) -> None:
        """See Consumer. The group shares everything out anew, once for each member that is told."""
        self._topics = sorted(topics)
        if (client := self._client) is None:
            return  # the next `fetch` joins on them
        try:
            async with asyncio.timeout(self._patience):
                await self._topics_exist(client)
        except BaseException as failed:
            await self._give_up()
            if isinstance(failed, KafkaError | OSError):
                raise LogUnavailable(f"Kafka did not show the topics: {type(failed).__name__}") from None
            raise
        self._subscribe(client)

    def pause(self, topic: str) -> None:
        if topic not in self._paused:  # said again in every turn, of every organisation
            self._paused.add(topic)
            self._apply(topic, paused=True)

    def resume(self, topic: str) -> None:
        if topic in self._paused:
            self._paused.discard(topic)
            self._apply(topic, paused=False)

    def owned(self) -> frozenset[Partition]:
        return self._owned

    async def leave(self) -> None:
        """Leave the group, so that the others take over at once. Never raises."""
        client, self._client = self._client, None
        self.revoked()
        if client is not None:
            await abandon.stop(client)

    def revoked(self) -> None:
        """A rebalance begins: nothing is ours until it ends."""
        self._owned = frozenset()
        self._floor = {}
        self._given = {}
        self._behind = {}

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """A rebalance ended with this share. Pauses hold for it too."""
        self.revoked()
        self._owned = frozenset(Partition(one.topic, one.partition) for one in partitions)
        for topic in self._paused:
            self._apply(topic, paused=True)
        self._assigned.set()

    def _subscribe(self, client: AIOKafkaConsumer) -> None:
        """Ask for a share of the topics. What the client had it knows nothing of from now on, nor may we."""
        client.subscribe(self._topics, listener=_Rebalances(self))
        self.revoked()

    async def _topics_exist(self, client: AIOKafkaConsumer) -> None:
        """Return when the cluster shows all topics; one that was just created may take a moment."""
        for _ in range(TOPIC_LOOKS):
            missing = sorted(set(self._topics) - await client.topics())
            if not missing:
                return
            await asyncio.sleep(0.1)
        raise LogUnavailable(f"Kafka does not know {missing[0]}; `ensure` creates it")

    def _apply(self, topic: str, *, paused: bool) -> None:
        these = [TopicPartition(*partition) for partition in self._owned if partition.topic == topic]
        if self._client is not None and these:
            (self._client.pause if paused else self._client.resume)(*these)

    async def _probe(self, client: AIOKafkaConsumer) -> None:
        """Ask the cluster whether the silence is right. Raises LogUnavailable if it is away, or we are stuck.

        Stuck means: twice in a row records stand after our position and none came in between.
        """
        known = client._client.cluster  # noqa: SLF001  aiokafka offers no other way to ask
        reading = [
            one
            for one in (TopicPartition(*partition) for partition in self._owned)
            if one.topic not in self._paused and known.leader_for_partition(one) not in (None, -1)
        ]  # a topic without a leader is silent with good reason, and no reason to leave all others
        try:
            async with asyncio.timeout(self._patience):
                await client.topics()
                ends = await client.end_offsets(reading) if reading else {}
                behind = {one: at for one, end in ends.items() if (at := await client.position(one)) < end}
        except IllegalStateError:
            return  # a rebalance came in between
        except (KafkaError, OSError) as failed:
            await self._give_up()
            raise LogUnavailable(f"Kafka is silent: {type(failed).__name__}") from None
        if any(self._behind.get(one) == at for one, at in behind.items()):
            await self._give_up()
            raise LogUnavailable("Kafka has records and gives us none; joining the group anew")
        self._behind = behind
        self._heard = time.monotonic()

    async def _give_up(self) -> None:
        client, self._client = self._client, None
        self.revoked()
        if client is not None:
            await abandon.abandon(client)
            log.warning("log.consumer_abandoned", group=self._group)


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    def __init__(self, member: KafkaConsumer) -> None:
        self._member = member

    def on_partitions_revoked(self, _revoked: Collection[TopicPartition]) -> None:
        self._member.revoked()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._member.assigned(assigned)


def _received(record: Any) -> Received:
    return Received(
        partition=Partition(record.topic, record.partition),
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=record.headers,
    )

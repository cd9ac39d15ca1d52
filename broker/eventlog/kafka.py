"""The log on Apache Kafka: the production way.

At least once, in order per topic and key. Every call has a time limit, because aiokafka is known to wait for ever after
the loss of a whole cluster; a client that fails or hangs is abandoned and the next call makes a new one.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from broker.eventlog import abandon, rules
from broker.eventlog.cluster import Cluster
from broker.eventlog.kafka_consumer import KafkaConsumer
from broker.eventlog.kafka_writer import BATCH_BYTES, Writer
from broker.eventlog.log import LogUnavailable, Record

READY_SECONDS: Final = 2.0
CONNECT_SECONDS: Final = 5.0

log = structlog.get_logger()


class KafkaLog:
    """An EventLog on one Kafka cluster. One producer, made on first use, shared by all tasks.

    Topics that have just failed share a second one until they take records again: a topic without a leader, or with too
    few replicas, fails whatever waits beside it, and that must not be everybody else.
    """

    def __init__(self, cluster: Cluster, *, append_seconds: float = 10.0, session_seconds: float = 10.0) -> None:
        """`append_seconds` limits one append; `session_seconds` is how long a silent group member keeps its share."""
        self._cluster = cluster
        self._append_seconds = append_seconds
        self._session_seconds = session_seconds
        self._writers: dict[bool, Writer] = {}
        """The one for topics that failed last, and the one for all others."""
        self._failed: set[str] = set()
        self._connecting = asyncio.Lock()
        self._farewells: set[asyncio.Task[None]] = set()

    async def append(self, records: Sequence[Record]) -> None:
        """See EventLog. Raises LogUnavailable, or ValueError for a record that is too large."""
        if not records:
            return
        rules.check(records)
        topics = {record.topic for record in records}
        writer = None
        try:
            async with asyncio.timeout(self._append_seconds):
                writer = await self._connected(apart=not self._failed.isdisjoint(topics))
                await writer.write(records)
            self._failed -= topics
        except TimeoutError:
            if writer is not None:
                self._failed |= topics
                writer.fail()
            raise LogUnavailable("Kafka did not confirm the records in time") from None
        finally:
            if writer is not None and writer.failed:
                self._failed |= writer.guilty
                self._drop(writer)

    @asynccontextmanager
    async def consumer(self, topics: Collection[str], group: str) -> AsyncIterator[KafkaConsumer]:
        """Join `group` on exactly these topics, which must exist. Raises LogUnavailable."""
        member = KafkaConsumer(self._cluster, topics, group, session_seconds=self._session_seconds)
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
        wanted = [self._described(name, partitions) for name, partitions in topics.items()]
        if not wanted:
            return
        admin = AIOKafkaAdminClient(**self._cluster.client_options())
        try:
            async with asyncio.timeout(self._append_seconds):
                await admin.start()
                answer = await admin.create_topics(wanted)
                for name, code, *_ in answer.topic_errors:
                    if code and for_code(code) is not TopicAlreadyExistsError:
                        raise LogUnavailable(f"Kafka did not create {name}: {for_code(code).__name__}")
                described = await admin.describe_topics(list(topics))
        except (KafkaError, OSError, AttributeError) as failed:
            # AttributeError: of a cluster that has not said yet who controls it, aiokafka asks None for its address.
            raise LogUnavailable(f"Kafka did not create the topics: {type(failed).__name__}") from None
        finally:
            await abandon.within(abandon.GRACE_SECONDS, admin.close())
        for topic in described:
            have, want = len(topic["partitions"]), topics[topic["topic"]]
            if topic["partitions"] and have != want:
                log.warning("topic.partitions_kept", topic=topic["topic"], partitions=have, wanted=want)

    async def ready(self) -> bool:
        """Return whether the cluster answers within two seconds."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                writer = await self._connected()
                await writer.producer.client.fetch_all_metadata()
        except (LogUnavailable, KafkaError, OSError):
            return False
        return True

    async def close(self) -> None:
        """Let go of the cluster within a few seconds. Appends still waiting get LogUnavailable."""
        self._drop_all()
        async with self._connecting:  # one that is being made belongs to nobody until it is made
            self._drop_all()
        if self._farewells:
            await asyncio.wait(self._farewells)

    async def _connected(self, *, apart: bool = False) -> Writer:
        """Return the writer, connecting if there is none. Raises LogUnavailable."""
        async with self._connecting:
            writer = self._writers.get(apart)
            if writer is not None and writer.failed:
                self._drop(writer)  # whoever it failed has not come to it yet
                writer = None
            if writer is None:
                writer = self._writers[apart] = Writer(await self._started_producer())
            return writer

    async def _started_producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._cluster.client_options(),
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            max_batch_size=BATCH_BYTES,
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await producer.start()
        except BaseException as failed:
            self._part_with(producer)
            if isinstance(failed, KafkaError | OSError):
                raise LogUnavailable(
                    f"Kafka at {self._cluster.bootstrap} did not let us in: {type(failed).__name__}; "
                    "check that it runs, and the address and credentials"
                ) from None
            raise
        return producer

    def _drop(self, writer: Writer) -> None:
        """Fail what waits on this writer and part with its producer in the background. Harmless when repeated."""
        writer.fail()
        for apart, one in list(self._writers.items()):
            if one is writer:
                del self._writers[apart]
                self._part_with(writer.producer)
                log.info("log.producer_abandoned")

    def _drop_all(self) -> None:
        for writer in list(self._writers.values()):
            self._drop(writer)

    def _part_with(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(abandon.abandon(producer))
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    def _described(self, name: str, partitions: int) -> NewTopic:
        retention = rules.family(name).retention
        return NewTopic(
            name,
            num_partitions=partitions,
            replication_factor=self._cluster.replication_factor,
            topic_configs={
                "cleanup.policy": "delete",
                "retention.ms": str(int(retention.total_seconds() * 1000)),
                # Retention removes closed segments only: without this a quiet topic keeps records a week longer.
                "segment.ms": str(int(retention.total_seconds() * 1000) // 8),
                # Retention counts from the broker's clock, not from a producer's that may be wrong.
                "message.timestamp.type": "LogAppendTime",
                "min.insync.replicas": str(self._cluster.min_insync),
                "unclean.leader.election.enable": "false",
            },
        )

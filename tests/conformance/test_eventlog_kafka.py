"""The log on real Apache Kafka."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.cluster import ClusterMetadata

from broker.eventlog import Consumer, LogUnavailable, Record
from broker.eventlog.abandon import abandon
from broker.eventlog.cluster import Cluster
from broker.eventlog.kafka import KafkaLog
from broker.eventlog.kafka_consumer import KafkaConsumer
from deploy.kafka.kafka import Broker
from tests.conformance.eventlog import (
    PATIENCE,
    SHORT,
    EventLogPromises,
    MakeLog,
    eventually,
    first_seen,
    new_group,
    new_topic,
    numbered,
    take,
    until,
    values,
)


def cluster(bootstrap: str) -> Cluster:
    return Cluster(bootstrap=bootstrap, replication_factor=1, min_insync=1)


@asynccontextmanager
async def opened(log: KafkaLog) -> AsyncIterator[KafkaLog]:
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def joined(log: KafkaLog, topic: str) -> AsyncIterator[Consumer]:
    """Create a topic of one partition and join a new group on it."""
    await log.ensure({topic: 1})
    async with log.consumer([topic], new_group()) as consumer:
        yield consumer


class KafkaOutage:
    def __init__(self, broker: Broker, log: KafkaLog) -> None:
        self._broker = broker
        self.log = log

    async def strike(self) -> None:
        await asyncio.to_thread(self._broker.kill)

    async def heal(self) -> None:
        await asyncio.to_thread(self._broker.start)


class TestKafkaLog(EventLogPromises):
    @pytest.fixture
    def make_log(self, kafka: str) -> MakeLog:
        @asynccontextmanager
        async def make() -> AsyncIterator[KafkaLog]:
            async with opened(KafkaLog(cluster(kafka), session_seconds=3.0)) as log:
                yield log

        return make

    @pytest.fixture
    async def log(self, make_log: MakeLog) -> AsyncIterator[object]:
        async with make_log() as log:
            yield log

    @pytest.fixture
    async def outage(self, own_broker: Broker) -> AsyncIterator[KafkaOutage]:
        async with opened(KafkaLog(cluster(own_broker.bootstrap), append_seconds=2.0, session_seconds=3.0)) as log:
            yield KafkaOutage(own_broker, log)

    async def test_a_broker_that_answers_nothing_is_given_up_and_found_again(self, own_broker: Broker) -> None:
        """Its connections stay open and no call of a client ever returns: the hang that aiokafka is known for."""
        topic = new_topic()
        async with (
            opened(KafkaLog(cluster(own_broker.bootstrap), append_seconds=2.0, session_seconds=3.0)) as log,
            joined(log, topic) as consumer,
        ):
            await log.append(numbered(topic, b"key", [0, 1]))
            got = await take(consumer, 2)
            own_broker.suspend()
            with pytest.raises(LogUnavailable):
                await log.append(numbered(topic, b"key", [2, 3]))
            assert not await log.ready()
            with pytest.raises(LogUnavailable):
                await until(lambda: False, consumer)
            own_broker.resume()
            await eventually(log.ready)
            await log.append(numbered(topic, b"key", [2, 3]))
            async with asyncio.timeout(PATIENCE):
                while 3 not in values(got):
                    with contextlib.suppress(LogUnavailable):
                        got += await consumer.fetch(10, SHORT)
            assert first_seen(values(got)) == [0, 1, 2, 3]

    async def test_a_cluster_that_names_no_controller_is_unavailable(
        self, log: KafkaLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So it was for a moment after a broker that had been held up went on: the worker must wait, not end."""
        nobody = property(lambda _: None, lambda _, controller: None)
        monkeypatch.setattr(ClusterMetadata, "controller", nobody, raising=False)
        with pytest.raises(LogUnavailable):
            await log.ensure({new_topic(): 1})

    async def test_a_producer_that_failed_is_parted_with_whoever_finds_it(self, log: KafkaLog) -> None:
        """It fails in the background: the next append may come before those that waited on it have heard."""
        topic = new_topic()
        await log.ensure({topic: 1})
        await log.append(numbered(topic, b"key", [0]))
        failed = await log._connected()
        failed.fail()
        await log.append(numbered(topic, b"key", [1]))
        await log.close()
        assert failed.producer._closed, "nobody was left to close it"

    async def test_a_member_that_dies_is_succeeded(self, make_log: MakeLog, kafka: str) -> None:
        """As after SIGKILL: connections end, nobody says goodbye; the session runs out and the other takes over."""
        topic, group = new_topic(), new_group()
        async with make_log() as log, make_log() as other:
            await log.ensure({topic: 2})
            await log.append([Record(topic, str(n).encode(), str(n).encode()) for n in range(40)])
            async with log.consumer([topic], group) as dies:
                assert isinstance(dies, KafkaConsumer)
                had = await take(dies, 40)
                await dies.commit({had[0].partition: 1})
                await abandon(dies._client)
                async with other.consumer([topic], group) as heir:
                    await until(lambda: len(heir.owned()) == 2, heir)
                    with contextlib.suppress(LogUnavailable):
                        await dies.commit({one.partition: one.offset + 1 for one in had})
            async with log.consumer([topic], group) as consumer:
                assert len(await take(consumer, 39)) == 39

    async def test_nothing_is_written_behind_a_record_that_was_refused(self, log: KafkaLog, kafka: str) -> None:
        """A key's second record never stands in the log without its first, so appending again cannot reorder."""
        topic = new_topic()
        await log.ensure({topic: 1})
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "300000"})])
        await admin.close()
        refused = Record(topic, b"key", os.urandom(600_000))  # chance does not compress
        with pytest.raises(LogUnavailable):
            await log.append([*numbered(topic, b"key", [0]), refused, *numbered(topic, b"key", [2])])
        await log.append(numbered(topic, b"key", [3]))
        async with log.consumer([topic], new_group()) as consumer:
            assert values(await take(consumer, 2)) == [0, 3]

    async def test_a_topic_that_takes_nothing_holds_up_no_other(self, log: KafkaLog, kafka: str) -> None:
        sick, well = new_topic(), new_topic()
        await log.ensure({sick: 1, well: 1})
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, sick, {"max.message.bytes": "10"})])
        early = 0
        with pytest.raises(LogUnavailable):  # noqa: PT012  a broker may hear of a setting a moment after it was made
            async with asyncio.timeout(PATIENCE):
                while True:
                    await log.append(numbered(sick, b"key", [1]))
                    early += 1

        async def refused() -> None:
            while True:
                with pytest.raises(LogUnavailable):
                    await log.append(numbered(sick, b"key", [2]))

        refusing = asyncio.create_task(refused())
        for number in range(100):
            await log.append(numbered(well, b"key", [number]))
        refusing.cancel()
        await asyncio.gather(refusing, return_exceptions=True)

        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, sick, {"max.message.bytes": "1000000"})])
        await admin.close()
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await log.append(numbered(sick, b"key", [3]))
                    break
                except LogUnavailable:
                    await asyncio.sleep(0.02)
        async with log.consumer([sick, well], new_group()) as consumer:
            taken = await take(consumer, early + 101)
        assert values([one for one in taken if one.partition.topic == sick]) == [1] * early + [3]
        assert values([one for one in taken if one.partition.topic == well]) == list(range(100))

    async def test_topics_are_kept_as_long_as_contracts_say(self, log: KafkaLog, kafka: str) -> None:
        topic = new_topic()
        await log.ensure({topic: 1})
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        settings: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE):
            while not settings:  # a broker may hear of a topic a moment after it was made
                (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
                settings = {entry[0]: entry[1] for entry in answer.resources[0][4]}
        await admin.close()
        two_days = 2 * 86_400_000
        assert settings["retention.ms"] == str(two_days)
        assert settings["segment.ms"] == str(two_days // 8)
        assert settings["message.timestamp.type"] == "LogAppendTime"
        assert settings["cleanup.policy"] == "delete"


class TestCredentials:
    async def test_a_password_opens_and_a_wrong_one_does_not(self, kafka: str, tmp_path: Path) -> None:
        login = (
            'org.apache.kafka.common.security.plain.PlainLoginModule required user_unwaith="cyfrinach" '
            'username="unwaith" password="cyfrinach";'
        )
        settings = {
            "listeners": "SASL_PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller_port}",
            "advertised.listeners": "SASL_PLAINTEXT://127.0.0.1:${port}",
            "security.inter.broker.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.security.protocol.map": "SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": login,
        }
        with Broker(tmp_path, settings=settings) as broker:

            def as_known(password: str) -> KafkaLog:
                return KafkaLog(
                    Cluster(
                        bootstrap=broker.bootstrap,
                        security_protocol="SASL_PLAINTEXT",
                        mechanism="PLAIN",
                        username="unwaith",
                        password=password,
                        replication_factor=1,
                        min_insync=1,
                    )
                )

            topic = new_topic()
            async with opened(as_known("cyfrinach")) as log, joined(log, topic) as consumer:
                await log.append(numbered(topic, b"key", [1]))
                assert values(await take(consumer, 1)) == [1]
            async with opened(as_known("anghywir")) as stranger:
                assert not await stranger.ready()
                with pytest.raises(LogUnavailable, match="credentials") as refused:
                    await stranger.append(numbered(topic, b"key", [2]))
                assert "anghywir" not in f"{refused.value!r} {stranger._cluster!r}"

    def test_credentials_that_cannot_work_are_refused_at_once(self) -> None:
        with pytest.raises(ValueError, match="username and a password"):
            Cluster(bootstrap="kafka:9092", security_protocol="SASL_SSL")
        with pytest.raises(ValueError, match="min_insync"):
            Cluster(bootstrap="kafka:9092", replication_factor=1)

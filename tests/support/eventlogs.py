"""A test with the fixture `eventlog`, or marked `on_both_logs`, runs twice: on the PostgreSQL log and on a real Kafka."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from broker.eventlog import EventLog
from broker.eventlog.cluster import Cluster
from broker.eventlog.kafka import KafkaLog
from broker.eventlog.postgres import PostgresLog
from broker.store import Database
from broker.tracking.tracker import GROUP
from contracts.topics import RECEIPTS

on_both_logs = pytest.mark.usefixtures("eventlog")
"""For a test whose line is on the PostgreSQL log where it is not marked; see `log_of`."""


def log_of(request: pytest.FixtureRequest, database: Database) -> EventLog:
    """Return the log a test is to run on."""
    if "eventlog" not in request.fixturenames:
        return PostgresLog(database)
    found: EventLog = request.getfixturevalue("eventlog")
    return found


@pytest.fixture(params=["postgres", "kafka"])
async def eventlog(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[EventLog]:
    opened: EventLog
    if request.param == "kafka":
        await _pass_over(request.getfixturevalue("kafka"))
        cluster = Cluster(bootstrap=request.getfixturevalue("kafka"), replication_factor=1, min_insync=1)
        opened = KafkaLog(cluster)
    else:
        opened = PostgresLog(database)
    try:
        yield opened
    finally:
        await opened.close()


async def _pass_over(bootstrap: str) -> None:
    """Have trackers begin behind what an earlier test left: its receipts are of deliveries in a store of its own."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        if RECEIPTS.name not in await consumer.topics():
            return
        partitions = [TopicPartition(RECEIPTS.name, number) for number in range(RECEIPTS.partitions)]
        consumer.assign(partitions)
        async with asyncio.timeout(30):
            while True:
                try:
                    await consumer.commit(await consumer.end_offsets(partitions))
                except KafkaError:  # a tracker of the earlier test has not left yet
                    await asyncio.sleep(0.2)
                else:
                    return
    finally:
        await consumer.stop()

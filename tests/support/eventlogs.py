"""A test with the fixture `eventlog` runs twice: on the PostgreSQL log and on a real Kafka."""

from collections.abc import AsyncIterator

import pytest

from broker.eventlog import EventLog
from broker.eventlog.cluster import Cluster
from broker.eventlog.kafka import KafkaLog
from broker.eventlog.postgres import PostgresLog
from broker.store import Database


@pytest.fixture(params=["postgres", "kafka"])
async def eventlog(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[EventLog]:
    opened: EventLog
    if request.param == "kafka":
        cluster = Cluster(bootstrap=request.getfixturevalue("kafka"), replication_factor=1, min_insync=1)
        opened = KafkaLog(cluster)
    else:
        opened = PostgresLog(database)
    try:
        yield opened
    finally:
        await opened.close()

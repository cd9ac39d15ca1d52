"""A test with the fixture `eventlog`, or marked `on_both_logs`, runs twice: on the PostgreSQL log and on a real Kafka."""

from collections.abc import AsyncIterator

import pytest

from broker.eventlog import EventLog
from broker.eventlog.cluster import Cluster
from broker.eventlog.kafka import KafkaLog
from broker.eventlog.postgres import PostgresLog
from broker.store import Database

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
        cluster = Cluster(bootstrap=request.getfixturevalue("kafka"), replication_factor=1, min_insync=1)
        opened = KafkaLog(cluster)
    else:
        opened = PostgresLog(database)
    try:
        yield opened
    finally:
        await opened.close()

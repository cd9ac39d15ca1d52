"""One change all the way, in one process, on both logs: the happy way and the ways it is disturbed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.eventlog import EventLog
from broker.eventlog.cluster import Cluster
from broker.eventlog.kafka import KafkaLog
from broker.eventlog.postgres import PostgresLog
from broker.store import Database
from broker.vault import RootKeyFile
from tests.support.line import Line, a_line, a_move, applied, somebody


@pytest.fixture(params=["postgres", "kafka"])
async def line(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> AsyncIterator[Line]:
    eventlog: EventLog
    if request.param == "kafka":
        eventlog = KafkaLog(Cluster(bootstrap=request.getfixturevalue("kafka"), replication_factor=1, min_insync=1))
    else:
        eventlog = PostgresLog(database)
    try:
        async with a_line(database, eventlog, RootKeyFile.open(tmp_path / "root.key")) as opened:
            yield opened
    finally:
        await eventlog.close()


async def test_a_move_reaches_everybody_it_concerns(line: Line) -> None:
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(accepted, applied(line))
    assert len(line.systems.arrived) == 3

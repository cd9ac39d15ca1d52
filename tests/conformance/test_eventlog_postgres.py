"""The log in real PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from broker.eventlog import LogUnavailable, Record
from broker.eventlog.postgres import PostgresLog
from broker.store import Database
from broker.store.embedded import EmbeddedPostgres
from broker.store.migrate import migrate
from tests.conformance.eventlog import (
    EventLogPromises,
    MakeLog,
    new_group,
    new_topic,
    numbered,
    take,
    until,
    values,
)


class PostgresOutage:
    def __init__(self, server: EmbeddedPostgres, log: PostgresLog) -> None:
        self._server = server
        self.log = log

    async def strike(self) -> None:
        self._server.kill()

    async def heal(self) -> None:
        self._server.start()


class TestPostgresLog(EventLogPromises):
    @pytest.fixture
    def make_log(self, dsn: str) -> MakeLog:
        @asynccontextmanager
        async def make() -> AsyncIterator[PostgresLog]:
            database = await Database.open(dsn)
            log = PostgresLog(database)
            yield log
            await log.close()
            await database.close()

        return make

    @pytest.fixture
    async def log(self, make_log: MakeLog) -> AsyncIterator[object]:
        async with make_log() as log:
            yield log

    @pytest.fixture
    async def outage(self, tmp_path: Path) -> AsyncIterator[PostgresOutage]:
        with_server = EmbeddedPostgres(tmp_path / "postgres")
        with_server.start()
        await migrate(with_server.dsn)
        database = await Database.open(with_server.dsn)
        log = PostgresLog(database)
        yield PostgresOutage(with_server, log)
        await log.close()
        await database.close()
        with_server.stop()

    async def test_a_member_whose_session_is_cut_loses_its_share(self, make_log: MakeLog, dsn: str) -> None:
        """As after SIGKILL: the server ends the session, another member takes over, the zombie cannot commit."""
        topic, group = new_topic(), new_group()
        async with make_log() as log, make_log() as other:
            await log.ensure({topic: 2})
            await log.append(numbered(topic, b"key", range(6)))
            async with log.consumer([topic], group) as zombie:
                had = await take(zombie, 6)
                admin = await asyncpg.connect(dsn)
                await admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"
                    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                )
                await admin.close()
                async with other.consumer([topic], group) as heir:
                    await until(lambda: len(heir.owned()) == 2, heir)
                    with pytest.raises(LogUnavailable):
                        await zombie.commit({had[0].partition: 6})
                    await zombie.commit({had[0].partition: 6})  # it knows by now that it owns nothing
            async with log.consumer([topic], group) as consumer:
                assert values(await take(consumer, 6)) == list(range(6))

    async def test_days_past_their_retention_are_dropped_whole(self, dsn: str) -> None:
        now = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
        database = await Database.open(dsn)
        log = PostgresLog(database, clock=lambda: now)
        topic = new_topic()
        await log.ensure({topic: 1})

        async def kept() -> list[int]:
            async with log.consumer([topic], new_group()) as consumer:
                return values(await consumer.fetch(100, timedelta(0)))

        for number in range(6):
            await log.append(numbered(topic, b"key", [number]))
            # Two days: a record of 28 March is kept through the 30th, and no longer than the end of that day.
            assert await kept() == list(range(max(0, number - 2), number + 1))
            now += timedelta(days=1)
        now += timedelta(days=30)
        await log.append([Record(topic, b"key", b"6")])
        assert await kept() == [6]
        async with log.consumer([topic], new_group()) as consumer:
            assert [one.offset for one in await consumer.fetch(100, timedelta(0))] == [6]
        await log.close()
        await database.close()

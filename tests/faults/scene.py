"""A running exchange with one organisation that misbehaves, and what a test asks of it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from broker import audit
from broker.eventlog import Record
from broker.eventlog.cluster import Cluster
from broker.eventlog.kafka import KafkaLog
from broker.main.embedded import organisations_at
from broker.store import operations, register
from contracts.topics import deliveries_topic
from tests.faults import organisation as ways
from tests.faults.exchange import SHORT, Exchange
from tests.faults.organisation import Endpoint
from tests.faults.telling import Desk

BAD: Final = "transport-for-wales"
OTHERS: Final = ("cardiff-council", "swansea-council")

SAID: Final = """
SELECT r.delivery_id::text AS id, r.failure, r.reason, r.next_due - r.folded_at AS wait
FROM receipt r WHERE r.delivery_id::text = ANY($1) ORDER BY r.folded_at
"""
"""What became of deliveries: each attempt, and how long was waited after it by the store's clock."""


@dataclass
class Scene:
    """An exchange at work, somewhere to tell, and the organisation that misbehaves."""

    exchange: Exchange
    desk: Desk
    bad: Endpoint
    expected: set[str] = field(default_factory=set)
    """Events that are alarms, and are wanted here."""

    async def tell(self, people: Iterable[int], number: int = 1) -> None:
        """Have each tell their n-th change, sixteen at a time."""
        turn = iter(people)

        async def one() -> None:
            for person in turn:
                await self.desk.tell(person, number)

        await asyncio.gather(*(one() for _ in range(16)))

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        async with self.exchange.session() as session:
            return list(await session.fetch(query, *arguments))

    async def until(self, count: int, query: str, *arguments: Any) -> None:
        """Wait until a query finds at least so many rows."""
        await self.fetch(query, *arguments)  # one that is wrong would be waited out

        async def found() -> bool:
            return len(await self.fetch(query, *arguments)) >= count

        await self.exchange.until(found, f"{query} {arguments} finds {count}")

    async def until_others_have_all(self) -> None:
        """Wait until nothing is owed to the others, while this one is as it is."""
        owed = "SELECT 1 FROM delivery WHERE status IN ('waiting', 'queued', 'published') AND organisation = ANY($1)"

        async def none() -> bool:
            return not await self.fetch(owed, OTHERS)

        await self.exchange.until(none, "the others have all that is theirs")

    async def reached_at(self, url: str) -> None:
        """Register where it is reached, and wait until the worker has read that."""
        [known] = [one for one in organisations_at(self.exchange.addresses) if one.id == BAD]
        async with self.exchange.database() as database:
            await register.put_organisation(
                database, known.model_copy(update={"policy": SHORT, "adapter_settings": {"endpoint": url}})
            )
            version = await register.version(database)
        worker = self.exchange.process("deliver-1")

        async def read() -> bool:
            return any(one.get("event") == "configuration.read" and one["version"] >= version for one in worker.said())

        if worker.running:
            await self.exchange.until(read, "the worker has read the configuration")

    async def resume(self) -> None:
        """Resume the organisation, as an operator does."""
        leaf = audit.leaf("organisation.resumed", datetime.now(UTC), "operator:1", organisation=BAD)
        async with self.exchange.database() as database:
            assert await operations.pause(database, BAD, None, None, leaf)

    async def owed(self) -> list[str]:
        """Return the ids of what it is owed and has not ended, or was only received."""
        still = (
            "SELECT id::text FROM delivery WHERE organisation = $1"
            " AND status IN ('waiting', 'queued', 'published', 'received')"
        )
        return [row["id"] for row in await self.fetch(still, BAD)]

    async def until_each_was_tried(self, count: int) -> list[str]:
        """Wait until something has been said of so many that are owed; return the ids of what is owed."""
        owed = await self.owed()
        await self.until(count, "SELECT DISTINCT delivery_id FROM receipt WHERE delivery_id::text = ANY($1)", owed)
        return owed

    async def litter(self, count: int) -> None:
        """Put records into its topic on Kafka that nobody can read."""
        assert self.exchange.broker is not None
        log = KafkaLog(Cluster(bootstrap=self.exchange.broker.bootstrap, replication_factor=1, min_insync=1))
        try:
            await log.append([Record(deliveries_topic(BAD), b"nobody", b"rubbish")] * count)
        finally:
            await log.close()

    async def look_at_quarantine(self) -> None:
        """Look at all that was set aside, as an operator does."""
        leaf = audit.leaf("quarantine.examined", datetime.now(UTC), "operator:1")
        async with self.exchange.database() as database:
            for one in await operations.quarantined(database, 1000):
                assert await operations.examined(database, one.topic, one.partition, one.offset, "rubbish", leaf)

    async def all_well(self) -> None:
        """Mend it, and wait until all is applied."""
        self.bad.choose = lambda _: ways.well

        async def applied() -> bool:
            return not await self.fetch("SELECT 1 FROM delivery WHERE status <> 'applied'")

        await self.exchange.until(applied, "all is applied")

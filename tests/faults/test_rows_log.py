"""Rows 9 to 11 and 14 of the fault matrix, and 12 again: what can happen to the log, and what can stand in it."""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from broker.delivery import Pool, PoolSettings
from broker.delivery.pool import GROUP as DELIVERING
from broker.delivery.pool import TooManyUnreadable
from broker.eventlog import EventLog, Record
from broker.eventlog.cluster import Cluster
from broker.eventlog.kafka import KafkaLog
from broker.intake import Accepted
from broker.store import Database, changes
from broker.telemetry.metrics import new_metrics
from broker.tracking.tracker import GROUP as TRACKING
from broker.vault import RootKeyFile, StoreGate
from contracts.topics import RECEIPTS, deliveries_topic
from deploy.kafka.kafka import Broker
from tests.faults.exchange import EVERYBODY, OUTSIDERS, Exchange
from tests.faults.ledger import inboxes, unbalanced
from tests.faults.telling import Desk
from tests.support.line import ALL, Line, a_line, a_move, applied, now, somebody

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("log")]

PEOPLE, EACH = 10, 3
ONE = ALL[-1]


# -- Row 9: as separate processes, on a Kafka that is taken away ------------------------------------------------------


@pytest.fixture
async def desk(on_kafka: Exchange, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """Somewhere to tell, with everybody at work; the books are closed afterwards."""
    await on_kafka.start(OUTSIDERS, *EVERYBODY)
    async with Desk(on_kafka, run=request.node.name) as opened:
        yield opened
        await on_kafka.until_settled(120)
        assert await unbalanced(on_kafka) == []
        assert opened.faults == []
        assert on_kafka.alarms() == []


async def test_09_kafka_is_killed_and_away_for_a_while(on_kafka: Exchange, desk: Desk) -> None:
    """Longer than every time limit of its clients. The API goes on accepting; afterwards all drains, in order."""
    await _tell(desk, 1)
    await on_kafka.kill_broker()
    await _tell(desk, 2)
    await asyncio.sleep(15.0)
    await _tell(desk, 3)
    assert desk.met.keys() == {"200", "202"}, "the API noticed that Kafka was away"
    assert await on_kafka.open_deliveries() >= PEOPLE * 2 * 3
    await on_kafka.start_broker()
    await on_kafka.until_settled(120)


async def test_09_kafka_says_nothing_for_a_while(on_kafka: Exchange, desk: Desk) -> None:
    """Connections stay open and nothing is answered: the clients must give up by themselves."""
    assert on_kafka.broker is not None
    await _tell(desk, 1)
    on_kafka.broker.suspend()
    try:
        await _tell(desk, 2)
        await asyncio.sleep(15.0)
    finally:
        on_kafka.broker.resume()
    await _tell(desk, 3)
    assert desk.met.keys() == {"200", "202"}


async def test_09_kafka_answers_with_errors(on_kafka: Exchange, desk: Desk) -> None:
    """MESSAGE_TOO_LARGE to every append, of deliveries and of receipts, while people tell; then no more.

    An error that no client tries again by itself. NOT_ENOUGH_REPLICAS cannot be had of one broker: Kafka 4 takes no
    more replicas for needed than a topic has.
    """
    assert on_kafka.broker is not None
    await _tell(desk, 1)
    topics = [RECEIPTS.name, *(deliveries_topic(name) for name in on_kafka.addresses.organisations)]
    async with _admin(on_kafka.broker.bootstrap) as admin:
        await _configure(admin, topics, {"max.message.bytes": "1"})
        await _tell(desk, 2)
        await asyncio.sleep(3.0)
        assert await on_kafka.open_deliveries() >= PEOPLE * 3, "appends were to be refused"
        await _configure(admin, topics, {"max.message.bytes": "1048588"})
    await _tell(desk, 3)


async def test_12_a_worker_dies_while_its_receipts_cannot_be_written(on_kafka: Exchange, desk: Desk) -> None:
    """Deliveries are read, made and answered, receipts refused by the log: nothing of it may count as done."""
    assert on_kafka.broker is not None
    receipts = await on_kafka.value("SELECT count(*) FROM receipt")
    async with _admin(on_kafka.broker.bootstrap) as admin:
        await _configure(admin, [RECEIPTS.name], {"max.message.bytes": "1"})
        heard = {box.organisation: len(box.effects) for box in inboxes(on_kafka)}
        await _tell(desk, 1)
        while any(len(box.effects) < heard[box.organisation] + PEOPLE for box in inboxes(on_kafka)):
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)  # several times as long as a worker waits between two commits
        for name in ("deliver-1", "deliver-2"):
            on_kafka.process(name).kill()
        assert await on_kafka.value("SELECT count(*) FROM receipt") == receipts, "receipts were to be refused"
        await _configure(admin, [RECEIPTS.name], {"max.message.bytes": "1048588"})
    await on_kafka.start("deliver-1")


async def _tell(desk: Desk, number: int) -> None:
    await asyncio.gather(*(desk.tell(person, number) for person in range(PEOPLE)))


# -- Rows 10, 11 and 14: in one process, where the parts can be taken one by one ---------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> RootKeyFile:
    return RootKeyFile.open(tmp_path / "root.key")


class WideAwake(Cluster):
    """A cluster whose clients look at its topics every two seconds, not once a minute: a lost one is noticed then."""

    def client_options(self) -> dict[str, Any]:
        return super().client_options() | {"metadata_max_age_ms": 2_000}


@pytest.fixture
async def kafka_line(database: Database, own_broker: Broker, root: RootKeyFile) -> AsyncIterator[tuple[Line, str]]:
    """A line on a Kafka nobody else uses, and where that is."""
    cluster = WideAwake(bootstrap=own_broker.bootstrap, replication_factor=1, min_insync=1)
    eventlog = KafkaLog(cluster, append_seconds=3.0, session_seconds=3.0)
    try:
        async with a_line(database, eventlog, root) as line:
            yield line, own_broker.bootstrap
    finally:
        await eventlog.close()


async def test_10_topics_are_lost(kafka_line: tuple[Line, str]) -> None:
    """All of them, with what stood in them, under a relay that runs: they are made again and filled from the store."""
    line, bootstrap = kafka_line
    line.relay_settings = replace(line.relay_settings, again_after=timedelta(seconds=2))
    line.start(line.relay())
    told = await _told(line)
    await _until_published(line)
    async with _admin(bootstrap) as admin:
        await admin.delete_topics([RECEIPTS.name, *(deliveries_topic(_named(line, name)) for name in ALL)])
    line.start(line.pool(), line.tracker())
    await _all_applied(line, told)
    assert (await changes.books(line.database)).faults() == []


async def test_10_topics_are_lost_under_a_worker(kafka_line: tuple[Line, str]) -> None:
    """While everything runs, in the middle of the work."""
    line, bootstrap = kafka_line
    line.relay_settings = replace(line.relay_settings, again_after=timedelta(seconds=2))
    line.start()
    told = await _told(line, each=1)
    async with _admin(bootstrap) as admin:
        await admin.delete_topics([RECEIPTS.name, *(deliveries_topic(_named(line, name)) for name in ALL)])
    told += [await line.tell(somebody(person), a_move(20)) for person in range(PEOPLE)]
    await _all_applied(line, told)


async def test_11_offsets_are_reset(kafka_line: tuple[Line, str]) -> None:
    """Everything is read a second time, by workers and by tracking: nobody is told anything twice."""
    line, bootstrap = kafka_line
    ended = [asyncio.Event() for _ in range(2)]
    tasks = [*line.start(line.relay())]
    tasks += [asyncio.create_task(line.pool().run(ended[0])), asyncio.create_task(line.tracker().run(ended[1]))]
    told = await _told(line)
    await _all_applied(line, told)
    for event in ended:
        event.set()
    await asyncio.gather(*tasks[1:])
    effects = len(line.systems.arrived)
    receipts = await _count(line, "receipt")
    await _to_the_beginning(bootstrap, DELIVERING, [deliveries_topic(_named(line, name)) for name in ALL], 3)
    await _to_the_beginning(bootstrap, TRACKING, [RECEIPTS.name], RECEIPTS.partitions)
    line.start(line.pool(), line.tracker())
    async with asyncio.timeout(60):
        while await _count(line, "receipt") < receipts + PEOPLE * EACH * 3:  # one "already received" for each
            await asyncio.sleep(0.05)
    more = await line.tell(somebody(1), a_move(21))
    await line.until(more, applied(line))
    assert len(line.systems.arrived) == effects + 3
    assert (await changes.books(line.database)).faults() == []


async def test_11_the_group_is_rebalanced_every_second(kafka_line: tuple[Line, str]) -> None:
    """A second worker and a second tracker come and go while people tell."""
    line, _ = kafka_line
    line.start()
    telling = asyncio.create_task(_told(line, people=20, each=5, pause=0.05))
    while not telling.done():
        leave = asyncio.Event()
        guests = [asyncio.create_task(line.pool().run(leave)), asyncio.create_task(line.tracker().run(leave))]
        await asyncio.sleep(1.0)
        leave.set()
        await asyncio.gather(*guests)
    told = await telling
    await _all_applied(line, told)
    assert (await changes.books(line.database)).faults() == []


class Tampered:
    """A log in which the first delivery for one organisation stands under another key than it should."""

    def __init__(self, eventlog: EventLog, topic: str) -> None:
        self._log = eventlog
        self._topic = topic
        self.done = 0
        self.consumer = eventlog.consumer
        self.ensure = eventlog.ensure
        self.ready = eventlog.ready
        self.close = eventlog.close

    async def append(self, records: Sequence[Record]) -> None:
        await self._log.append([self._tampered(record) for record in records])

    def _tampered(self, record: Record) -> Record:
        if record.topic != self._topic or self.done:
            return record
        self.done += 1
        return replace(record, value=secrets.token_bytes(len(record.value)))


async def test_14_what_cannot_be_read_is_set_aside_and_others_flow(
    database: Database, eventlog: EventLog, root: RootKeyFile
) -> None:
    """Rubbish, a record for a delivery nobody knows, one under an unknown key, rubbish among the receipts."""
    async with a_line(database, eventlog, root) as line:
        topic = deliveries_topic(_named(line, ONE))
        tampered = Tampered(eventlog, topic)
        line.eventlog = tampered
        await eventlog.ensure({topic: 3, RECEIPTS.name: RECEIPTS.partitions})
        await eventlog.append([Record(topic, b"somebody", b"\xff not ours", (("ce_id", b"\xff"),)) for _ in range(3)])
        await eventlog.append([Record(RECEIPTS.name, b"x", b"{}", (("unwaith_kind", b"receipt"),))])
        told = await _told(line, people=4)
        line.start()
        async with asyncio.timeout(60):
            while await _fetch(line, "SELECT FROM delivery WHERE status IN ('waiting', 'queued', 'published') LIMIT 1"):
                await asyncio.sleep(0.05)
        assert tampered.done == 1
        [lost] = await _fetch(line, "SELECT id, status, reason FROM delivery WHERE status <> 'applied'")
        assert (lost["status"], lost["reason"]) == ("undelivered", "unknown_key"), "aloud, not published for half a day"
        [kept] = await _fetch(line, "SELECT delivery_id FROM quarantine WHERE delivery_id IS NOT NULL")
        assert kept["delivery_id"] == lost["id"]
        assert len({item.id for item in line.systems.arrived}) == 3 * len(told) - 1
        reasons = await _quarantined(line)
        assert reasons == {(topic, "undecodable"): 3, (topic, "unknown_key"): 1, (RECEIPTS.name, "undecodable"): 1}


async def test_14_too_much_that_cannot_be_read_stops_the_worker(
    database: Database, eventlog: EventLog, root: RootKeyFile
) -> None:
    """Something is wrong with us then; another worker, put right, goes on where this one stopped."""
    async with a_line(database, eventlog, root) as line:
        topic = deliveries_topic(_named(line, ONE))
        await eventlog.ensure({topic: 3, RECEIPTS.name: RECEIPTS.partitions})
        await eventlog.append([Record(topic, b"somebody", b"rubbish") for _ in range(8)])
        gate = StoreGate(line.database, line.vault)
        settings = PoolSettings(quarantine_bound=5)
        pool = Pool(eventlog, gate, line.directory, line.adapter, settings, new_metrics(), now)
        with pytest.raises(TooManyUnreadable):
            await asyncio.wait_for(pool.run(asyncio.Event()), 60)
        told = await _told(line, people=2)
        line.start()
        await _all_applied(line, told)
        assert await _quarantined(line) == {(topic, "undecodable"): 8}


def _named(line: Line, organisation: str) -> str:
    return f"{organisation}-{line.prefix}"


async def _told(line: Line, people: int = PEOPLE, each: int = EACH, pause: float = 0.0) -> list[Accepted]:
    """Have people tell, each one thing after the other."""

    async def tell(person: int) -> list[Accepted]:
        accepted = []
        for house in range(1, each + 1):
            accepted.append(await line.tell(somebody(person), a_move(house)))
            await asyncio.sleep(pause * person)
        return accepted

    return [item for items in await asyncio.gather(*(tell(person) for person in range(people))) for item in items]


async def _all_applied(line: Line, told: Sequence[Accepted]) -> None:
    """Wait until everything is applied; then nothing came out of order, and the same id was the same bytes."""
    for accepted in told:
        await line.until(accepted, applied(line), seconds=60)
    order: dict[tuple[str, str], list[int]] = defaultdict(list)
    data: dict[object, set[bytes]] = defaultdict(set)
    for delivery in line.systems.arrived:
        order[delivery.organisation, delivery.subject].append(delivery.sequence)
        data[delivery.id].add(delivery.data)
    for sequences in order.values():
        first_seen = list(dict.fromkeys(sequences))
        assert first_seen == list(range(1, len(first_seen) + 1))
    assert all(len(bytes_of_one) == 1 for bytes_of_one in data.values())
    assert len(data) == 3 * len(told)


async def _until_published(line: Line) -> None:
    """Wait until every lane has its first delivery in the log."""
    query = "SELECT count(*) FROM delivery WHERE status = 'published'"
    async with asyncio.timeout(60):
        while True:
            async with line.database.connection() as connection:
                if await connection.fetchval(query) == PEOPLE * 3:
                    return
            await asyncio.sleep(0.02)


async def _count(line: Line, table: str) -> int:
    async with line.database.connection() as connection:
        found: int = await connection.fetchval(f"SELECT count(*) FROM {table}")
        return found


async def _fetch(line: Line, query: str) -> list[Any]:
    async with line.database.connection() as connection:
        return list(await connection.fetch(query))


async def _quarantined(line: Line) -> dict[tuple[str, str], int]:
    """Return how many records are set aside by topic and reason, once there is nothing more to come."""
    async with line.database.connection() as connection:
        rows = await connection.fetch("SELECT topic, reason, count(*) FROM quarantine GROUP BY 1, 2")
    return {(row["topic"], row["reason"]): row["count"] for row in rows}


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def _configure(admin: AIOKafkaAdminClient, topics: Sequence[str], settings: dict[str, str]) -> None:
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic, settings) for topic in topics]
    for response in await admin.alter_configs(resources):
        assert all(code == 0 for code, *_ in response.resources)


async def _to_the_beginning(bootstrap: str, group: str, topics: Sequence[str], count: int) -> None:
    """Set a group's offsets to 0, as an operator's slip would. Nobody may be a member."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for topic in topics for number in range(count)]
        consumer.assign(partitions)
        await consumer.commit(dict.fromkeys(partitions, 0))
    finally:
        await consumer.stop()

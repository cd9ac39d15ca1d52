"""The floors: the least that could do the same work with the same building blocks, so that our own share shows.

`accept`: FastAPI, one strict pydantic model, AES-GCM for the change and three deliveries, one group commit on
PostgreSQL. No token, no preview, no lanes, no keys of persons. `python -m tests.load.floors accept DSN PORT`.

`convey`: Kafka, aiokafka, a POST by aiohttp, a receipt back to Kafka. No order, no gate, no store, no signature.
`python -m tests.load.floors convey BOOTSTRAP URL` reads its orders as `tests.load.citizens` does:
    {"do": "fill", "records": N}    {"do": "drain"}    {"do": "steady", "seconds": S, "rate": R}
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any, Literal
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import orjson
import uvicorn
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

RECIPIENTS = 3
AT_ONCE = 64

TABLES = """
CREATE SCHEMA floor;
CREATE TABLE floor.change (id uuid PRIMARY KEY, sealed bytea NOT NULL);
CREATE TABLE floor.delivery (id uuid PRIMARY KEY, change_id uuid NOT NULL REFERENCES floor.change,
                             organisation text NOT NULL, sealed bytea NOT NULL);
"""

_STORE = """
WITH stored AS (INSERT INTO floor.change SELECT * FROM unnest($1::uuid[], $2::bytea[]))
INSERT INTO floor.delivery SELECT * FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::bytea[])
"""


class _Plain(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel)


class Home(_Plain):
    """An address."""

    uprn: int
    building_number: str | None = None
    street_name: str
    dependent_address_locality: str | None = None
    address_locality: str
    postal_code: str
    address_country: str = "GB"


class Move(_Plain):
    """What is told of a move."""

    previous_address: Home
    new_address: Home
    effective_date: date
    tenure: str
    household: list[str]


class MoveTold(_Plain):
    """The body of a request."""

    type: Literal["address"]
    change: Move
    preferred_language: Literal["cy", "en"]
    preview: str


_Row = tuple[UUID, bytes, list[tuple[UUID, bytes]], asyncio.Future[None]]


def accepting(dsn: str) -> FastAPI:
    """Return the bare application."""
    queue: asyncio.Queue[_Row] = asyncio.Queue()
    key = AESGCM(os.urandom(32))

    async def write(pool: Any) -> None:
        while True:
            batch = [await queue.get()]
            while not queue.empty() and len(batch) < 500:
                batch.append(queue.get_nowait())
            owed = [(delivery, change, sealed) for change, _, deliveries, _ in batch for delivery, sealed in deliveries]
            await pool.execute(
                _STORE,
                [change for change, *_ in batch],
                [sealed for _, sealed, *_ in batch],
                [delivery for delivery, *_ in owed],
                [change for _, change, _ in owed],
                [f"organisation-{number % RECIPIENTS}" for number in range(len(owed))],
                [sealed for *_, sealed in owed],
            )
            for *_, done in batch:
                done.set_result(None)

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool:
            writing = asyncio.create_task(write(pool))
            yield
            writing.cancel()

    app = FastAPI(lifespan=running)

    def sealed(plain: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + key.encrypt(nonce, plain, b"floor")

    @app.post("/")
    async def accept(request: Request) -> Response:
        told = MoveTold.model_validate_json(await request.body())  # strict dates need JSON, not what FastAPI read
        change = uuid4()
        plain = told.change.model_dump_json().encode()
        deliveries = [(uuid4(), sealed(plain)) for _ in range(RECIPIENTS)]
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.put_nowait((change, sealed(plain), deliveries, done))
        await done
        return Response(orjson.dumps({"id": str(change)}), media_type="application/json")

    return app


class Conveyor:
    """Bare Kafka to POST to receipt, in one process."""

    def __init__(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, http: Any, url: str) -> None:
        self._producer = producer
        self._consumer = consumer
        self._http = http
        self._url = url

    async def do(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["do"]:
            case "fill":
                await self._fill(order["records"])
                return {}
            case "drain":
                return {"seconds": await self._drain()}
            case "steady":
                return {"sent": await self._steady(order["seconds"], order["rate"])}
            case other:
                raise ValueError(other)

    async def _fill(self, records: int) -> None:
        value = os.urandom(700)
        for start in range(0, records, 1000):
            sent = [
                await self._producer.send("floor.deliveries", value, key=uuid4().bytes)
                for _ in range(start, min(records, start + 1000))
            ]
            await asyncio.gather(*sent)
        self._left = records

    async def _drain(self) -> float:
        began = time.perf_counter()
        free = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            while self._left:
                for records in (await self._consumer.getmany(timeout_ms=200, max_records=500)).values():
                    self._left -= len(records)
                    for record in records:
                        await free.acquire()
                        group.create_task(self._convey(record, free))
        await self._consumer.commit()
        return time.perf_counter() - began

    async def _convey(self, record: Any, free: asyncio.Semaphore) -> None:
        headers = {"content-type": "application/json", "webhook-id": record.key.hex()}
        async with self._http.post(self._url, data=record.value, headers=headers) as answer:
            await answer.read()
        free.release()
        await (await self._producer.send("floor.receipts", b'{"outcome":"applied"}', key=record.key))

    async def _steady(self, seconds: float, rate: float) -> dict[str, float]:
        """Return when each record was handed to the producer, by its key."""
        sent: dict[str, float] = {}
        value = os.urandom(700)
        count = int(seconds * rate)

        async def convey() -> None:
            free = asyncio.Semaphore(AT_ONCE)
            left = count
            async with asyncio.TaskGroup() as group:
                while left:
                    for records in (await self._consumer.getmany(timeout_ms=200, max_records=500)).values():
                        left -= len(records)
                        for record in records:
                            group.create_task(self._convey(record, free))

        async with asyncio.TaskGroup() as group:
            group.create_task(convey())
            began = time.perf_counter()
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                key = uuid4()
                sent[key.hex] = time.time()
                await self._producer.send("floor.deliveries", value, key=key.bytes)
        return sent


async def _make_topics(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic("floor.deliveries", 3, 1), NewTopic("floor.receipts", 6, 1)])
    finally:
        await admin.close()


async def convey(bootstrap: str, url: str) -> None:
    """Serve orders from stdin."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(
        "floor.deliveries",
        bootstrap_servers=bootstrap,
        group_id="floor",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await _make_topics(bootstrap)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with producer, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as http:
        await producer.send_and_wait("floor.deliveries", b"", key=b"first")
        await producer.send_and_wait("floor.receipts", b"", key=b"first")
        async with consumer:
            await consumer.getmany(timeout_ms=10_000, max_records=1)
            conveyor = Conveyor(producer, consumer, http, url)
            while line := await reader.readline():
                sys.stdout.buffer.write(orjson.dumps(await conveyor.do(orjson.loads(line))) + b"\n")
                sys.stdout.flush()


def main() -> None:
    kind, where, *rest = sys.argv[1:]
    if kind == "accept":
        uvicorn.run(accepting(where), port=int(rest[0]), log_level="error", loop="uvloop", http="httptools")
    else:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of every first attempt at a new topic
        uvloop.run(convey(where, rest[0]))


if __name__ == "__main__":
    main()

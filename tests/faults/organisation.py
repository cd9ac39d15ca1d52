"""An organisation's endpoint that does with each delivery what a test has in mind, in front of its real system.

Whatever it does besides, it keeps what arrived. One event loop, loopback only.
"""

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Final, Self

import aiohttp
import orjson

MEGABYTE: Final = 1024 * 1024
HUGE: Final = 100 * MEGABYTE


@dataclass(frozen=True, slots=True)
class Arrival:
    """One delivery that came, again or for the first time."""

    id: str
    """Its `webhook-id`."""
    subject: str
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    at: datetime


class Endpoint:
    """Where deliveries come. Well, as long as it is not told otherwise: it asks the real system and passes that on."""

    def __init__(self, port: int, real: str) -> None:
        """`port` is its own, free whenever it is shut; `real` is the URL of the system behind it."""
        self.port = port
        self.arrived: list[Arrival] = []
        self.choose: Callable[[Arrival], Way] = lambda _: well
        """What becomes of each arrival."""
        self.poured = 0
        """Bytes of huge answers that somebody took."""
        self._real = real
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    async def __aenter__(self) -> Self:
        self._system = aiohttp.ClientSession(trust_env=False, auto_decompress=False)
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()
        await self._system.close()

    async def open(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen, with TLS where a context is given."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)

    async def shut(self) -> None:
        """Cut every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def ids(self) -> list[str]:
        """Return the ids of what arrived, each once, in the order they first did."""
        return list(dict.fromkeys(one.id for one in self.arrived))

    def times(self, identifier: str) -> list[Arrival]:
        return [one for one in self.arrived if one.id == identifier]

    async def ask(self, arrival: Arrival) -> bytes:
        """Let the real system take it in; return its answer, ready to be passed on."""
        kept = {name: arrival.headers[name] for name in arrival.headers if name not in {"host", "content-length"}}
        async with self._system.post(self._real, data=arrival.body, headers=kept) as answer:
            headers = {"Content-Type": answer.headers.get("Content-Type", "text/plain")}
            return written(answer.status, await answer.read(), headers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # asyncio runs it as one
        self._serving.add(task)
        self._writers.add(writer)
        try:
            while True:
                arrival = await _read(reader)
                if arrival is None:
                    writer.write(written(200, b"", {"WebHook-Allowed-Origin": "*"}))
                    continue
                self.arrived.append(arrival)
                await self.choose(arrival)(self, arrival, writer)
                await writer.drain()
        except (OSError, EOFError, aiohttp.ClientError, asyncio.CancelledError):
            pass  # the other side has gone, the real system is away, or it is being shut
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._serving.discard(task)


Way = Callable[[Endpoint, Arrival, asyncio.StreamWriter], Awaitable[None]]
"""What may become of an arrival."""


async def well(endpoint: Endpoint, arrival: Arrival, writer: asyncio.StreamWriter) -> None:
    writer.write(await endpoint.ask(arrival))


async def resets(_endpoint: Endpoint, _arrival: Arrival, writer: asyncio.StreamWriter) -> None:
    """Cut the connection when all of it has been read."""
    writer.transport.abort()


async def loses_its_answer(endpoint: Endpoint, arrival: Arrival, writer: asyncio.StreamWriter) -> None:
    """Take it in, and cut the connection instead of saying so."""
    await endpoint.ask(arrival)
    writer.transport.abort()


async def drips(_endpoint: Endpoint, _arrival: Arrival, writer: asyncio.StreamWriter) -> None:
    """Answer a byte a second."""
    for byte in written(200, b'{"outcome":"applied"}'):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1.0)


async def answers_without_end(endpoint: Endpoint, arrival: Arrival, writer: asyncio.StreamWriter) -> None:
    """Take it in, and answer 100 MB."""
    await endpoint.ask(arrival)
    writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {HUGE}\r\n\r\n".encode())
    for _ in range(HUGE // MEGABYTE):
        writer.write(bytes(MEGABYTE))
        await writer.drain()
        endpoint.poured += MEGABYTE


async def answers_with_a_bomb(endpoint: Endpoint, arrival: Arrival, writer: asyncio.StreamWriter) -> None:
    """Take it in, and answer 50 KB that unpack to 50 MB."""
    await endpoint.ask(arrival)
    writer.write(written(200, _bomb(), {"Content-Encoding": "gzip", "Content-Type": "application/json"}))


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(50 * MEGABYTE))


def answers(status: int, body: bytes = b"", **headers: str) -> Way:
    """Return the way that takes nothing in and answers so; `Retry_After` names `Retry-After`."""

    async def way(_endpoint: Endpoint, _arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        writer.write(written(status, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    return way


async def takes_it_in_silence(endpoint: Endpoint, arrival: Arrival, writer: asyncio.StreamWriter) -> None:
    """Take it in, and say no more than 202: received, not yet applied."""
    await endpoint.ask(arrival)
    writer.write(written(202))


def each_its_own(*ways: Way) -> Callable[[Arrival], Way]:
    """Return what gives the ways in turn to what has not come before; what comes again meets the same again."""
    given: dict[str, Way] = {}

    def choose(arrival: Arrival) -> Way:
        return given.setdefault(arrival.id, ways[len(given) % len(ways)])

    return choose


def at_first(count: int, way: Way) -> Callable[[Arrival], Way]:
    """Return what has each delivery meet `way` the first `count` times it comes, and then all well."""
    met: dict[str, int] = {}

    def choose(arrival: Arrival) -> Way:
        met[arrival.id] = met.get(arrival.id, 0) + 1
        return way if met[arrival.id] <= count else well

    return choose


def written(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def _read(reader: asyncio.StreamReader) -> Arrival | None:
    """Read one request; None for one that asks whether deliveries may be sent. Raises EOFError at the connection's end."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    if head[0].startswith("OPTIONS "):
        return None
    body = await reader.readexactly(int(headers["content-length"]))
    subject = ""
    with contextlib.suppress(orjson.JSONDecodeError):
        subject = orjson.loads(body)["subject"]
    return Arrival(headers["webhook-id"], subject, body, headers, datetime.now(UTC))

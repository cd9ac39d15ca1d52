"""What strangers do to a socket: everything ends, nothing piles up, and whoever is honest is still answered."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio

from broker.main.connections import Bounds
from tests.support.api import HOST, Api, a_move_on_the_wire, served

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = b"Gwenwyn"
BOUNDS = Bounds(head_seconds=0.4, body_seconds=0.4, idle_seconds=1, connections=40)
"""Short, so that the tests see the ends; nothing else differs from what is served."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        assert CANARY not in self.body
        return str(json.loads(self.body)["type"].rpartition(":")[2])


@dataclass
class Caller:
    """One connection, byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
            return Answer(int(head[0].split(" ")[1]), headers, body)

    async def ended(self) -> bytes:
        """Return what still comes until the other side ends the connection."""
        async with asyncio.timeout(20):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port(api: Api) -> AsyncIterator[int]:
    async with served(api.app, BOUNDS) as taken:
        yield taken


@asynccontextmanager
async def calling(port: int) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()


async def is_well(port: int) -> None:
    """Somebody honest is answered."""
    async with calling(port) as caller:
        await caller.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await caller.answer()).status == 200


def head(api: Api, *lines: str, path: str = "/v1/changes/preview", method: str = "POST") -> bytes:
    token = api.citizen()["authorization"]
    first = [f"{method} {path} HTTP/1.1", "Host: a", f"Authorization: {token}", "Content-Type: application/json"]
    return "\r\n".join([*first, *lines, "", ""]).encode("latin-1")


def body() -> bytes:
    return json.dumps(a_move_on_the_wire()).encode()


# What cannot be read


@pytest.mark.parametrize(
    "request_head",
    [
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"GET /x HTTP/1.1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nX: " + CANARY + b"\r\n folded\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\rSet-Cookie: b\r\n\r\n",
        b"GET /x HTTP/1.1\nHost: a\n\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\n" + CANARY + b"\r\n\r\n",
        b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET /x HTTP/0.9\r\nHost: a\r\n\r\n",
        b"GET /x\r\n\r\n",
        b"GET /\xc5\xb5 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        CANARY + b" / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=lambda raw: ascii(raw[-40:])[2:-1],
)
async def test_what_cannot_be_read_is_a_problem_and_the_end(port: int, request_head: bytes) -> None:
    async with calling(port) as caller:
        await caller.send(request_head)
        answer = await caller.answer()
        assert (answer.status, answer.problem) == (400, "malformed")
        assert answer.headers["connection"] == "close"
        assert await caller.ended() == b""
    await is_well(port)


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "uri-too-long"),
        (b"GET /" + b"a" * 3_000_000, "uri-too-long"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + CANARY * 5_000 + b"\r\n\r\n", "head-too-large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 3_000_000, "head-too-large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 65 + b"\r\n", "head-too-large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 1_000_000, "head-too-large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a" * 30_000 + b": a\r\n\r\n", "head-too-large"),
    ],
    ids=["URL", "URL without end", "header", "header without end", "65 headers", "headers without end", "name"],
)
async def test_heads_that_are_too_large(port: int, sent: bytes, problem: str) -> None:
    async with calling(port) as caller:
        try:
            await caller.send(sent)
            answer = await caller.answer()
        except ConnectionError:
            pytest.fail("the answer was lost to a reset")
        except asyncio.IncompleteReadError:
            assert len(sent) > 1_000_000, "only a flood is cut without an answer"
            return
        assert answer.problem == problem


# What never comes


@pytest.mark.parametrize(
    "begun",
    [b"", b"\r\n", b"G", b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"GET / HTTP/1.1\r\nHost: a\r\n"],
    ids=["nothing", "line end", "letter", "header", "no end"],
)
async def test_a_head_that_does_not_end_is_cut(port: int, begun: bytes) -> None:
    async with calling(port) as caller:
        await caller.send(begun)
        rest = await caller.ended()
    assert rest == b"" or (rest.startswith(b"HTTP/1.1 408 ") and b"request-timeout" in rest)
    assert rest or not begun.strip(), "whoever began is told"


async def dripped(caller: Caller, drop: bytes) -> bytes:
    """Send a drop every 50 ms until the connection ends; return what came."""

    async def drip() -> None:
        while True:
            await caller.send(drop)
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    try:
        return await caller.ended()
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def test_a_head_that_drips_is_cut(port: int) -> None:
    async with calling(port) as caller:
        await caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        assert (await dripped(caller, b"X: a\r\n")).startswith(b"HTTP/1.1 408 ")


async def test_line_ends_that_drip_are_cut(port: int) -> None:
    async with calling(port) as caller:
        await caller.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await caller.answer()).status == 200
        await dripped(caller, b"\r\n")


async def test_a_body_that_drips_is_cut(api: Api, port: int) -> None:
    async with calling(port) as caller:
        await caller.send(head(api, "Content-Length: 60000"))
        assert (await dripped(caller, b" ")).startswith(b"HTTP/1.1 408 ")
    await is_well(port)


async def test_chunks_that_drip_are_cut(api: Api, port: int) -> None:
    async with calling(port) as caller:
        await caller.send(head(api, "Transfer-Encoding: chunked"))
        assert (await dripped(caller, b"1\r\n \r\n")).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_nobody_asked_for_and_that_drips_is_cut(port: int) -> None:
    async with calling(port) as caller:
        await caller.send(b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n")
        assert (await caller.answer()).status == 200
        await dripped(caller, b" ")


async def test_a_connection_that_idles_is_closed(port: int) -> None:
    async with calling(port) as caller:
        await caller.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await caller.answer()).status == 200
        assert await caller.ended() == b""


async def test_a_body_that_is_broken_off_harms_nobody(api: Api, port: int) -> None:
    async with calling(port) as caller:
        await caller.send(head(api, "Content-Length: 1000") + b"{")
    await is_well(port)


async def test_chunks_that_are_none(api: Api, port: int) -> None:
    async with calling(port) as caller:
        await caller.send(head(api, "Transfer-Encoding: chunked") + b"zz\r\n\r\n")
        assert (await caller.answer()).problem == "malformed"
        assert await caller.ended() == b""
    await is_well(port)


# What is too much


async def flood(caller: Caller, piece: bytes) -> None:
    for _ in range(200):
        await caller.send(piece)


def resident() -> int:
    """Return how many MB of memory this process holds."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def test_200_mb_are_refused_before_they_come(api: Api, port: int) -> None:
    async with calling(port) as caller:
        await caller.send(head(api, "Content-Length: 200000000", "Expect: 100-continue"))
        assert (await caller.answer()).problem == "too-large"


async def test_200_mb_that_come_anyway_are_cut(api: Api, port: int) -> None:
    before = resident()
    async with calling(port) as caller:
        await caller.send(head(api, "Content-Length: 200000000"))
        assert (await caller.answer()).problem == "too-large"
        with pytest.raises(ConnectionError):
            await flood(caller, b" " * 1_000_000)
    await is_well(port)
    assert resident() - before < 64


async def test_chunks_without_end_are_refused(api: Api, port: int) -> None:
    async with calling(port) as caller:
        await caller.send(head(api, "Transfer-Encoding: chunked"))
        chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
        await caller.send(chunk * 20)
        assert (await caller.answer()).problem == "too-large"
        with pytest.raises(ConnectionError):
            await flood(caller, chunk * 250)
    await is_well(port)


async def test_whoever_may_not_is_told_before_the_body_is_read(port: int) -> None:
    async with calling(port) as caller:
        await caller.send(b"POST /v1/changes HTTP/1.1\r\nHost: a\r\nContent-Length: 200000000\r\n\r\n")
        assert (await caller.answer()).problem == "invalid-token"


async def test_more_connections_than_there_is_room_for(port: int) -> None:
    callers = [await asyncio.open_connection(HOST, port) for _ in range(BOUNDS.connections + 5)]
    try:
        last = Caller(*callers[-1])
        answer = await last.answer()
        assert (answer.status, answer.problem, answer.headers["retry-after"]) == (503, "unavailable", "1")
    finally:
        for _, writer in callers:
            writer.close()
    while True:  # as soon as they are gone there is room again
        try:
            await is_well(port)
        except (AssertionError, ConnectionError):
            await asyncio.sleep(0.05)
        else:
            return


# What is odd and allowed


async def test_one_request_after_another_on_one_connection(api: Api, port: int) -> None:
    async with calling(port) as caller:
        for _ in range(3):
            await caller.send(head(api, f"Content-Length: {len(body())}") + body())
            assert (await caller.answer()).status == 200


async def test_requests_sent_at_once_are_answered_in_order(api: Api, port: int) -> None:
    async with calling(port) as caller:
        whole = head(api, f"Content-Length: {len(body())}") + body()
        wrong = head(api, "Content-Length: 2") + b"{}"
        await caller.send(whole + wrong + whole)
        assert [(await caller.answer()).status for _ in range(3)] == [200, 422, 200]


async def test_what_came_whole_is_answered_before_what_cannot_be_read(api: Api, port: int) -> None:
    async with calling(port) as caller:
        await caller.send(head(api, f"Content-Length: {len(body())}") + body() + b"\x00\x00\r\n\r\n")
        assert (await caller.answer()).status == 200
        assert await caller.ended() == b""


async def test_a_second_request_is_not_smuggled_into_the_first(api: Api, port: int) -> None:
    inner = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    async with calling(port) as caller:
        await caller.send(head(api, f"Content-Length: {len(inner)}") + inner)
        assert (await caller.answer()).problem == "malformed"
        assert await caller.ended() == b""


async def test_http_1_0(port: int) -> None:
    async with calling(port) as caller:
        await caller.send(b"GET /livez HTTP/1.0\r\n\r\n")
        assert (await caller.answer()).status == 200
        assert await caller.ended() == b""


async def test_a_chunked_body(api: Api, port: int) -> None:
    async with calling(port) as caller:
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body()) + b"0\r\n\r\n"
        await caller.send(head(api, "Transfer-Encoding: chunked") + chunks)
        assert (await caller.answer()).status == 200


async def test_a_request_that_comes_byte_by_byte_but_in_time(api: Api, port: int) -> None:
    async with calling(port) as caller:
        for byte in head(api, f"Content-Length: {len(body())}") + body():
            caller.writer.write(bytes([byte]))
        assert (await caller.answer()).status == 200


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "x"])
async def test_an_upgrade_is_answered_as_the_request_it_is(port: int, upgrade: str) -> None:
    async with calling(port) as caller:
        await caller.send(
            f"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {upgrade}\r\n\r\n".encode()
        )
        answer = await caller.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await caller.ended() == b""


async def test_the_whole_url_as_target(port: int) -> None:
    async with calling(port) as caller:
        await caller.send(b"GET http://elsewhere.example/livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await caller.answer()).status == 200


async def test_the_server_as_a_whole_as_target(port: int) -> None:
    async with calling(port) as caller:
        await caller.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await caller.answer()).problem == "not-found"
    await is_well(port)

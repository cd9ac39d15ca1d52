"""An organisation's HTTP server under script, for the conformance suite: bare asyncio, so that it can misbehave."""

import asyncio
import gzip
import json
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from adapters.conformance import Act, Arrival, Busy, Mishap, Says

ENDPOINT: Final = "/deliveries"
ASTRAY: Final = "/astray"

_PIECE: Final = b"x" * 64 * 1024
_FLOOD_PIECES: Final = 100 * 16
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: on, 0 seconds: closing sends RST."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as it arrived. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


def response(status: int, body: bytes = b"", *headers: tuple[str, str]) -> bytes:
    """Return the bytes of an HTTP answer."""
    lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def json_answer(says: Says) -> bytes:
    """Say an outcome as a webhook receiver does."""
    said = {"outcome": says.outcome.value} | ({"reference": says.reference} if says.reference else {})
    return response(200, json.dumps(said).encode(), ("Content-Type", "application/json"))


class HttpPeer:
    """Serves on a free port of 127.0.0.1 between entering and leaving. Implements `adapters.conformance.Peer`.

    `say` puts an outcome into the protocol spoken on top of HTTP; `key` is the header of the idempotency key.
    `aside` answers requests that are not deliveries (a search, a token): no act is done for them, and none is counted.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        say: Callable[[Says], bytes] = json_answer,
        key: str = "webhook-id",
        aside: Callable[[HttpRequest], bytes | None] = lambda _: None,
    ) -> None:
        self._tls = tls
        self._say = say
        self._key = key
        self._aside = aside
        self._acts: list[Act | bytes] = [response(204)]
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._port = 0
        self._server: asyncio.Server | None = None
        self.requests: list[HttpRequest] = []
        self.accepted = 0
        """Connections accepted so far."""
        self.led_astray = 0
        self.flooded = 0

    @property
    def url(self) -> str:
        return f"{self.base}{ENDPOINT}"

    @property
    def base(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self._port}"

    @property
    def arrivals(self) -> Sequence[Arrival]:
        return [Arrival(request.headers.get(self._key, ""), request.body) for request in self.requests]

    @property
    def connections(self) -> int:
        return len(self._open)

    def does(self, *acts: Act | bytes) -> None:
        """Do these in turn for the next requests, the last for all that follow; bytes are written as they are."""
        self._acts = list(acts)

    def leave(self) -> None:
        """Listen no more; the port stays known."""
        if self._server is not None:
            self._server.close()

    def hang_up(self) -> None:
        """End every connection that is open, at once: on return the other side can know."""
        for writer in self._open.values():
            writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  asyncio runs it as one
        self._open[task] = writer
        self.accepted += 1
        try:
            while self._acts[0] is not Mishap.HANGS_UP_BEFORE:
                request = await _read_request(reader)
                if (beside := self._aside(request)) is not None:
                    writer.write(beside)
                    await writer.drain()
                    continue
                if request.path == ASTRAY:
                    self.led_astray += 1
                self.requests.append(request)
                await self._perform(self._next(), reader, writer)
            self._next()
            _reset(writer)
        except (OSError, EOFError, ValueError):
            pass  # the other side hung up, which is its right
        except asyncio.CancelledError:
            pass  # the test is over; re-raising would be logged by the stream's own callback
        finally:
            del self._open[task]
            writer.transport.abort()

    def _next(self) -> Act | bytes:
        return self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]

    async def _perform(self, act: Act | bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match act:
            case Mishap.HANGS_UP_BEFORE | Mishap.HANGS_UP_AFTER:
                _reset(writer)
                raise EOFError
            case Mishap.NEVER_ANSWERS:
                await reader.read()  # ends when the other side hangs up
            case Mishap.DRIPS:
                for byte in response(200, b" " * 60):
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(1)
            case Mishap.FLOODS:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (_FLOOD_PIECES * len(_PIECE)))
                for _ in range(_FLOOD_PIECES):
                    writer.write(_PIECE)
                    await writer.drain()
                    self.flooded += len(_PIECE)
            case Says():
                writer.write(self._say(act))
            case _:
                writer.write(_answer(act))
        await writer.drain()


def _answer(act: Mishap | Busy | bytes) -> bytes:
    """Return what is written for an act that is one whole answer."""
    match act:
        case bytes():
            return act
        case Busy(wait):
            return response(429, b"", *([("Retry-After", wait)] if wait is not None else []))
        case Mishap.BOMB:
            bomb = gzip.compress(json.dumps({"outcome": "applied"}).encode() + b" " * 50_000_000)
            return response(200, bomb, ("Content-Type", "application/json"), ("Content-Encoding", "gzip"))
        case _:
            return _ANSWERS[act]


_ANSWERS: Final = {
    Mishap.GARBAGE: b"\x00\xffMSH|^~\\&|no http here\r\r\n\r\n",
    Mishap.BABBLES: response(200, b'{"outcome":"iawn, diolch"}', ("Content-Type", "application/json")),
    Mishap.REDIRECTS: response(307, b"", ("Location", ASTRAY)),
    Mishap.UNAUTHORISED: response(401),
    Mishap.MISSING: response(404),
    Mishap.FAILS: response(503),
}


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader) -> HttpRequest:
    """Raises EOFError (or its kin) when the other side hangs up, ValueError for what is not HTTP."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return HttpRequest(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))

"""An organisation's HTTP server under script, for the conformance suite."""

import asyncio
import gzip
import json
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from adapters.conformance import Act, Arrival, Busy, Mishap, Says
from adapters.conformance_peer import FLOOD_BYTES, ScriptedPeer

ENDPOINT: Final = "/deliveries"
ASTRAY: Final = "/astray"


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


class HttpPeer(ScriptedPeer):
    """An HTTP server under script. Implements `adapters.conformance.Peer`.

    `say` puts an outcome into the protocol spoken on top of HTTP; `key` is the header of the idempotency key.
    `aside` answers requests that are not deliveries (a search, a token): no act is done for them, and none is counted.
    Nor for `OPTIONS`: whoever asks is answered with `agrees`, which is agreement (`adapters.activation`).
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        say: Callable[[Says], bytes] = json_answer,
        key: str = "webhook-id",
        aside: Callable[[HttpRequest], bytes | None] = lambda _: None,
    ) -> None:
        super().__init__(response(204), tls=tls)
        self._say = say
        self._key = key
        self._aside = aside
        self.requests: list[HttpRequest] = []
        self.agrees = response(200, b"", ("WebHook-Allowed-Origin", "*"))
        self.asked: list[HttpRequest] = []
        """Every `OPTIONS`, oldest first."""

    @property
    def url(self) -> str:
        return f"{self.base}{ENDPOINT}"

    @property
    def base(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    @property
    def arrivals(self) -> Sequence[Arrival]:
        return [Arrival(request.headers.get(self._key, ""), request.body) for request in self.requests]

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await _read_request(reader)
        if request.method == "OPTIONS":
            self.asked.append(request)
            writer.write(self.agrees)
            await writer.drain()
            return True
        if (beside := self._aside(request)) is not None:
            writer.write(beside)
            await writer.drain()
            return True
        if request.path == ASTRAY:
            self.led_astray += 1
        self.requests.append(request)
        await self.perform(
            self.next(), reader, writer, drips=response(200, b" " * 60), flood_head=_FLOOD_HEAD, says=self._answer
        )
        return True

    def _answer(self, act: Act) -> bytes:
        """Return what is written for an act that is one whole answer."""
        match act:
            case Says():
                return self._say(act)
            case Busy(wait):
                return response(429, b"", *([("Retry-After", wait)] if wait is not None else []))
            case Mishap.BOMB:
                bomb = gzip.compress(json.dumps({"outcome": "applied"}).encode() + b" " * 50_000_000)
                return response(200, bomb, ("Content-Type", "application/json"), ("Content-Encoding", "gzip"))
            case _:
                return _ANSWERS[act]


_FLOOD_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % FLOOD_BYTES
_ANSWERS: Final = {
    Mishap.GARBAGE: b"\x00\xffMSH|^~\\&|no http here\r\r\n\r\n",
    Mishap.BABBLES: response(200, b'{"outcome":"iawn, diolch"}', ("Content-Type", "application/json")),
    Mishap.REDIRECTS: response(307, b"", ("Location", ASTRAY)),
    Mishap.UNAUTHORISED: response(401),
    Mishap.MISSING: response(404),
    Mishap.FAILS: response(503),
}


async def _read_request(reader: asyncio.StreamReader) -> HttpRequest:
    """Raises EOFError (or its kin) when the other side hangs up, ValueError for what is not HTTP."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return HttpRequest(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))

"""The organisations' side, as cheap as can be: answers every POST with `applied` and notes when it came.

A process of its own: `python -m tests.load.receiver KEYS` prints its port and that of a door which can be shut. It also
serves the provider's key set, and on `/taken` hands out, and forgets, what arrived. `/behave`, with
`{"hangs": [PATH...], "drips": [PATH...], "shut": true}`, has it misbehave until it is told otherwise.
"""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import uvloop

_ANSWER = b'{"outcome":"applied"}'
_APPLIED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(_ANSWER),
    _ANSWER,
)


@dataclass
class Organisations:
    """All of them, as their systems are now."""

    keys: bytes
    arrived: list[tuple[str, str, float]] = field(default_factory=list)
    hangs: frozenset[str] = frozenset()
    drips: frozenset[str] = frozenset()
    shut: bool = False
    """Whoever comes to the door is turned away."""
    ill: set[asyncio.Transport] = field(default_factory=set)
    """Connections that wait for an answer, or are given one byte by byte."""

    def behave(self, told: dict[str, Any]) -> None:
        self.hangs = frozenset(told.get("hangs", ()))
        self.drips = frozenset(told.get("drips", ()))
        self.shut = bool(told.get("shut"))
        for transport in self.ill:
            transport.abort()
        self.ill.clear()


class Receiver(asyncio.Protocol):
    """One connection. Reads just enough HTTP/1.1 for the clients of a run."""

    def __init__(self, organisations: Organisations, *, at_the_door: bool = False) -> None:
        self._all = organisations
        self._at_the_door = at_the_door
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream's always is
        if self._at_the_door and self._all.shut:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.ill.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end].decode("ascii").lower()
            length = int(_header(head, "content-length") or 0)
            if len(self._read) < end + 4 + length:
                return
            body = self._read[end + 4 : end + 4 + length]
            self._read = self._read[end + 4 + length :]
            self._answer(head, body)

    def _answer(self, head: str, body: bytes) -> None:
        method, path, _ = head.split(" ", 2)
        if method == "post" and path != "/behave":
            self._take(path.strip("/"), head, body)
            return
        if method == "options":  # they agree to be sent to
            self._transport.write(b"HTTP/1.1 200 OK\r\nwebhook-allowed-origin: *\r\ncontent-length: 0\r\n\r\n")
            return
        if path == "/behave":
            self._all.behave(orjson.loads(body))
            said = b"{}"
        elif path == "/taken":
            said = orjson.dumps(self._all.arrived)
            self._all.arrived.clear()
        elif path == "/count":
            said = b"%d" % len(self._all.arrived)
        else:
            said = self._all.keys
        self._transport.write(_answered(said))

    def _take(self, place: str, head: str, body: bytes) -> None:
        now = time.time()
        if place in self._all.hangs or (self._at_the_door and self._all.shut):
            self._all.ill.add(self._transport)
        elif place in self._all.drips:
            self._all.ill.add(self._transport)
            self._drip(_APPLIED)
        elif "cloudevents-batch" in _header(head, "content-type"):
            ids = [event["id"] for event in orjson.loads(body)]
            self._all.arrived += [(place, one, now) for one in ids]
            self._transport.write(_answered(orjson.dumps([{"outcome": "applied", "deliveryId": one} for one in ids])))
        else:
            self._all.arrived.append((place, _header(head, "webhook-id"), now))
            self._transport.write(_APPLIED)

    def _drip(self, left: bytes) -> None:
        """Write a byte a second."""
        if left and not self._transport.is_closing():
            self._transport.write(left[:1])
            asyncio.get_running_loop().call_later(1.0, self._drip, left[1:])


def _answered(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _header(head: str, name: str) -> str:
    _, _, rest = head.partition(f"\r\n{name}: ")
    return rest.partition("\r\n")[0]


async def main(keys: bytes) -> None:
    organisations, loop = Organisations(keys), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Receiver(organisations), "127.0.0.1", 0)
    door = await loop.create_server(lambda: Receiver(organisations, at_the_door=True), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]} {door.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]).read_bytes()))

"""The organisations' side, as cheap as can be: answers every POST with `applied` and notes when it came.

A process of its own: `python -m tests.load.receiver KEYS` prints its port. It also serves the provider's key set, and
on `/taken` hands out, and forgets, what arrived.
"""

import asyncio
import sys
import time
from pathlib import Path

import orjson
import uvloop

_ANSWER = b'{"outcome":"applied"}'
_APPLIED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(_ANSWER),
    _ANSWER,
)


class Receiver(asyncio.Protocol):
    """One connection. Reads just enough HTTP/1.1 for the clients of a run."""

    def __init__(self, arrived: list[tuple[str, str, float]], keys: bytes) -> None:
        self._arrived = arrived
        self._keys = keys
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream's always is

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end].decode("ascii").lower()
            length = int(_header(head, "content-length") or 0)
            if len(self._read) < end + 4 + length:
                return
            self._read = self._read[end + 4 + length :]
            self._answer(head)

    def _answer(self, head: str) -> None:
        method, path, _ = head.split(" ", 2)
        if method == "post":
            self._arrived.append((path.strip("/"), _header(head, "webhook-id"), time.time()))
            self._transport.write(_APPLIED)
            return
        if path == "/taken":
            body = orjson.dumps(self._arrived)
            self._arrived.clear()
        elif path == "/count":
            body = b"%d" % len(self._arrived)
        else:
            body = self._keys
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )


def _header(head: str, name: str) -> str:
    _, _, rest = head.partition(f"\r\n{name}: ")
    return rest.partition("\r\n")[0]


async def main(keys: bytes) -> None:
    arrived: list[tuple[str, str, float]] = []
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(arrived, keys), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]).read_bytes()))

"""A peer under script on a TCP port, for the conformance suite: bare asyncio, so that it can misbehave.

`ScriptedPeer` is what peers of a protocol over TCP share; `conformance_http` and `conformance_mllp` speak the protocols.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Final, Protocol, Self

from adapters.conformance import Act, Mishap

_PIECE: Final = b"x" * 64 * 1024
FLOOD_PIECES: Final = 100 * 16
FLOOD_BYTES: Final = FLOOD_PIECES * len(_PIECE)
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: on, 0 seconds: closing sends RST."""


class Flooding(Protocol):
    """What counts the bytes of a flood."""

    flooded: int


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a reset."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


async def drip(writer: asyncio.StreamWriter, answer: bytes) -> None:
    """Write one byte a second."""
    for byte in answer:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


async def flood(counting: Flooding, writer: asyncio.StreamWriter) -> None:
    """Write FLOOD_BYTES, and count in `flooded` what the connection took."""
    for _ in range(FLOOD_PIECES):
        writer.write(_PIECE)
        await writer.drain()
        counting.flooded += len(_PIECE)


class ScriptedPeer:
    """Listens on a free port of 127.0.0.1 between entering and leaving, and does the acts it is told to in turn.

    A protocol adds `take`, which reads a request, and `arrivals`; then it is an `adapters.conformance.Peer`.
    """

    def __init__(self, first: Act | bytes | None, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._acts: list[Act | bytes | None] = [first]
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None
        self.port = 0
        self.accepted = 0
        """Connections accepted so far."""
        self.led_astray = 0
        self.flooded = 0

    @property
    def connections(self) -> int:
        return len(self._open)

    def does(self, *acts: Act | bytes | None) -> None:
        """Do these in turn for the next requests, the last for all that follow.

        Bytes are written as they are; None is a silent close.
        """
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
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read one request and `perform` the `next` act for it; return whether the connection stays open.

        Raises EOFError, its kin or OSError when the other side hangs up, ValueError for what is not the protocol.
        """
        raise NotImplementedError

    def next(self) -> Act | bytes | None:
        """Return the act that is due, and go on to the one after it."""
        return self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]

    async def perform(
        self,
        act: Act | bytes | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        drips: bytes,
        flood_head: bytes,
        says: Callable[[Act], bytes],
    ) -> None:
        """Do one act. `drips` is the answer that drips, `flood_head` what comes before a flood; `says` all the rest."""
        match act:
            case None:
                raise EOFError
            case Mishap.HANGS_UP_BEFORE | Mishap.HANGS_UP_AFTER:
                reset(writer)
                raise EOFError
            case Mishap.NEVER_ANSWERS:
                await reader.read()  # ends when the other side hangs up
            case Mishap.DRIPS:
                await drip(writer, drips)
            case Mishap.FLOODS:
                writer.write(flood_head)
                await flood(self, writer)
            case bytes():
                writer.write(act)
            case _:
                writer.write(says(act))
        await writer.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  asyncio runs it as one
        self._open[task] = writer
        self.accepted += 1
        try:
            while self._acts[0] is not Mishap.HANGS_UP_BEFORE:
                if not await self.take(reader, writer):
                    writer.close()  # once all is written
                    return
            self.next()
            reset(writer)
        except (OSError, EOFError, ValueError):
            writer.transport.abort()  # the other side hung up, which is its right
        except asyncio.CancelledError:
            writer.transport.abort()  # the test is over; re-raising would be logged by the stream's own callback
        finally:
            del self._open[task]

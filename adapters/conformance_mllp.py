"""A receiver of HL7 v2 under script, for the conformance suite: bare asyncio, so that it can misbehave."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Sequence
from typing import Final, Self

from adapters.conformance import Act, Arrival, Mishap, Says
from adapters.mllp import END, VT
from contracts.statuses import Outcome

SAYS: Final = {
    Outcome.ACCEPTED: ("AA", ""),
    Outcome.NOT_MATCHED: ("AE", "204"),
    Outcome.MUST_REVIEW: ("AE", "205"),
    Outcome.REJECTED_INVALID: ("AR", "101"),
    Outcome.UNKNOWN: ("AE", ""),
}
"""How an outcome is said: MSA-1 and ERR-3."""

_PIECE: Final = b"x" * 64 * 1024
_FLOOD_PIECES: Final = 100 * 16
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: on, 0 seconds: closing sends RST."""


def acknowledges(message: bytes, code: str, error: str = "", *, control_id: str = "1", answers: str = "") -> bytes:
    """Return the content of an acknowledgement of `message`; `answers` in place of its MSH-10."""
    head = message.decode().split("\r")[0].split("|")
    segments = [
        f"MSH|^~\\&|{head[4]}|{head[5]}|{head[2]}|{head[3]}|20260301093001||ACK|{control_id}|P|2.5",
        f"MSA|{code}|{answers or head[9]}|Diolch i Siân Gŵyr-Môn",
        *([f"ERR||PID^1^5|{error}^Tŷ Gŵyr^HL70357|E"] if error else []),
    ]
    return "".join(segment + "\r" for segment in segments).encode()


class MllpPeer:
    """Serves on a free port of 127.0.0.1 between entering and leaving. Implements `adapters.conformance.Peer`.

    `closes`: hangs up after every answer, as many real receivers do.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, closes: bool = True) -> None:
        self._tls = tls
        self._closes = closes
        self._acts: list[Act | bytes | None] = [Says(Outcome.ACCEPTED)]
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None
        self.port = 0
        self.messages: list[bytes] = []
        self.accepted = 0
        """Connections accepted so far."""
        self.led_astray = 0
        self.flooded = 0

    @property
    def arrivals(self) -> Sequence[Arrival]:
        return [Arrival(message.decode().split("|")[9], message) for message in self.messages]

    @property
    def connections(self) -> int:
        return len(self._open)

    def does(self, *acts: Act | bytes | None) -> None:
        """Do these in turn for the next messages, the last for all that follow.

        Bytes are written as they are; None is a silent close.
        """
        self._acts = list(acts)

    def leave(self) -> None:
        """Listen no more; the port stays known."""
        if self._server is not None:
            self._server.close()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
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
                message = (await reader.readuntil(END)).removeprefix(VT).removesuffix(END)
                self.messages.append(message)
                await self._perform(self._next(), message, reader, writer)
                if self._closes:
                    return
            self._next()
            _reset(writer)
        except (OSError, EOFError):
            pass  # the other side hung up, which is its right
        except asyncio.CancelledError:
            pass  # the test is over; re-raising would be logged by the stream's own callback
        finally:
            del self._open[task]
            writer.close()

    def _next(self) -> Act | bytes | None:
        return self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]

    async def _perform(
        self, act: Act | bytes | None, message: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        match act:
            case None:
                raise EOFError
            case Mishap.HANGS_UP_BEFORE | Mishap.HANGS_UP_AFTER:
                _reset(writer)
                raise EOFError
            case Mishap.NEVER_ANSWERS:
                await reader.read()  # ends when the other side hangs up
            case Mishap.DRIPS:
                for byte in VT + acknowledges(message, "AA") + END:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(1)
            case Mishap.FLOODS:
                writer.write(VT)
                for _ in range(_FLOOD_PIECES):
                    writer.write(_PIECE)
                    await writer.drain()
                    self.flooded += len(_PIECE)
            case _:
                writer.write(_answer(act, message))
        await writer.drain()


def _answer(act: Act | bytes, message: bytes) -> bytes:
    """Return what is written for an act that is one whole answer."""
    match act:
        case bytes():
            return act
        case Says(outcome, reference):
            return VT + acknowledges(message, *SAYS[outcome], control_id=reference or "1") + END
        case Mishap.BABBLES:
            return VT + b"iawn, diolch" + END
        case Mishap.FAILS:
            return VT + acknowledges(message, "AE") + END
        case _:
            return b"HTTP/1.1 400 Bad Request\r\n\r\n"


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()

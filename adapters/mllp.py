"""MLLP: messages over a byte stream, each in its frame and each answered before the next (HL7 MLLP release 1, 2.2).

A frame is VT, the message, FS and CR. There is nothing else: no version, no error, no end. What an answer means is
`adapters.hl7v2`'s business.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar, cast

from contracts.adapters import Connections
from contracts.delivery import Failure, Unavailable, Unknown
from contracts.statuses import Reason

VT: Final = b"\x0b"
END: Final = b"\x1c\r"
ANSWER_CAP: Final = 64 * 1024
"""Bytes of one answer; an acknowledgement has a few hundred."""

Read = TypeVar("Read")


class MllpConnections:
    """Exchanges messages with one receiver, over at most `at_once` connections; more messages wait their turn.

    `keep_open`: use a connection again, for receivers that leave it open; otherwise each message has one of its own.
    """

    def __init__(
        self,
        connections: Connections,
        deadline: timedelta,
        host: str,
        port: int,
        *,
        tls: bool,
        keep_open: bool,
        at_once: int,
    ) -> None:
        self._connections = connections
        self._deadline = deadline.total_seconds()
        self._host = host
        self._port = port
        self._tls = tls
        self._keep_open = keep_open
        self._turns = asyncio.Semaphore(at_once)
        self._idle: list[_Line] = []

    async def exchange(self, message: bytes, read: Callable[[bytes], Read]) -> Read:
        """Send one message and return its answer as `read` makes it of the frame's content.

        Raises Unavailable and Misconfigured when nothing was sent, Unknown when it may have arrived: the connection
        ended, the deadline passed, the answer is too large or no frame, or `read` raises Unknown because it is not
        the answer to this message. A connection on which that happened is never used again.
        """
        sent = False
        try:
            async with asyncio.timeout(self._deadline), self._turns:
                line = await self._line()
                in_step = False
                try:
                    sent = True
                    answer = read(await line.ask(message))
                    in_step = self._keep_open
                finally:
                    if in_step:
                        self._idle.append(line)
                    else:
                        line.hang_up()
                return answer
        except TimeoutError:
            failure: Failure = (Unknown if sent else Unavailable)(Reason.DEADLINE_PASSED)
        raise failure from None

    async def _line(self) -> "_Line":
        while self._idle:
            line = self._idle.pop()
            if line.usable:
                return line
            line.hang_up()
        _, line = await self._connections.create_connection(
            _Line, self._host, self._port, protection="tls" if self._tls else "none"
        )
        return line

    def close(self) -> None:
        """Hang up idle connections. One that is in use ends with its exchange."""
        self._keep_open = False
        while self._idle:
            self._idle.pop().hang_up()


class _Line(asyncio.Protocol):
    """One connection: a question, its answer, the next question."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        self.usable = True
        """Whether the other side neither hung up nor said anything it was not asked."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # a stream's transport, whose class is another under uvloop
        self._transport = cast(asyncio.Transport, transport)

    async def ask(self, message: bytes) -> bytes:
        """Return the content of the frame that answers. Raises Unknown, and Unavailable when nothing was sent."""
        if self._transport is None or not self.usable:
            raise Unavailable(Reason.CONNECTION_LOST)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(VT + message + END)
        return await self._answer

    def hang_up(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(END, max(0, len(self._received) - len(data) - 1))
        if self._answer is None or self._answer.done():
            self.hang_up()
        elif not self._received.startswith(VT):
            self._fail(Reason.ANSWER_UNREADABLE)
        elif 0 <= end <= ANSWER_CAP:
            self._answer.set_result(bytes(self._received[1:end]))
            self.usable = self.usable and end + len(END) == len(self._received)
            self._received.clear()
        elif len(self._received) > ANSWER_CAP:
            self._fail(Reason.ANSWER_TOO_LARGE)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._fail(Reason.CONNECTION_LOST)

    def eof_received(self) -> None:
        self._fail(Reason.CONNECTION_LOST)

    def _fail(self, reason: Reason) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Unknown(reason))
        self.hang_up()

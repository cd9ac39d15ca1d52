"""One HTTP/1.1 connection: a request is written whole, its answer read up to a cap. One exchange at a time.

The parser is llhttp (httptools), strict as it comes: what two readers could understand differently is not understood.
"""

import asyncio
import select
import ssl
from collections.abc import Sequence
from typing import Final

import httptools

from broker.outbound.certificates import failure_of
from contracts.adapters import HttpAnswer
from contracts.delivery import Failure, Unavailable, Unknown
from contracts.statuses import Reason

HEAD_CAP: Final = 64 * 1024
"""Bytes an answer may have besides its body and the framing of that."""
_FRAMING: Final = 8
"""A body in chunks of one byte is six times as long on the wire; what is longer than this says nothing."""
_NEXT_ADDRESS_SECONDS: Final = 0.25
"""When an address has not answered for so long the next is tried beside it (RFC 8305, section 5)."""
_SWITCHING_PROTOCOLS: Final = 101
_FINAL: Final = 200
"""Statuses below only announce an answer (RFC 9110, section 15.2)."""


class Connection(asyncio.Protocol):
    """One connection to one place, from `connect`."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.lost = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[HttpAnswer] | None = None
        self._reusable = True
        self._heard = False
        """It has said something: its TLS was content with ours."""
        self._refused: Failure | None = None
        self._begin(0)

    def _begin(self, cap: int) -> None:
        self._status = 0
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._left = cap
        self._bound = HEAD_CAP
        self._headed = self._whole = self._cut = self._surplus = self._keeps = False

    async def exchange(self, request: bytes, cap: int, until: float) -> HttpAnswer:
        """Write one request and return its answer, the body cut at `cap` bytes.

        Raises Unavailable where it was lost before anything was written; Misconfigured where its TLS refuses ours, even
        then; Unknown for whatever else goes wrong from then on.
        `until` is in the event loop's time.
        """
        loop = asyncio.get_running_loop()
        if self._transport is None or self._answered is not None:
            raise RuntimeError("a connection makes one exchange at a time, from its making to its end")
        if self._transport.is_closing():
            await self.lost.wait()  # in one of the loop's next turns, and with it why
            raise self._refused or Unavailable(Reason.CONNECTION_LOST)  # between its making and now
        self._begin(cap)
        answered: asyncio.Future[HttpAnswer] = loop.create_future()
        self._answered = answered
        late = loop.call_at(until, self._fail, Reason.DEADLINE_PASSED)
        try:
            self._transport.write(request)
            return await answered
        finally:
            late.cancel()
            self._answered = None
            if not answered.done() or answered.cancelled():
                self.close()

    def usable(self) -> bool:
        """Return whether another exchange can be made: the other side keeps it open, and has said nothing unasked.

        The event loop may not have looked yet; asking the system here turns most of what would be `Unknown` into a new
        connection. Where the system has no `poll` (Windows) the fault itself tells.
        """
        if not self._reusable or self._transport is None or self._transport.is_closing():
            return False
        return self._poll is None or not self._poll.poll(0)

    def close(self) -> None:
        self._reusable = False
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's always is
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._answered is None or self._answered.done():
            self.close()  # nobody asked
            return
        self._heard = True
        self._bound -= len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._whole, self._keeps = True, False  # 101, which nobody asked for: an answer like any other
        except httptools.HttpParserError:
            if not self._whole:
                self._fail(Reason.ANSWER_UNREADABLE)
                return
            self._surplus = True
        if self._whole or self._cut:
            self._finish()
        elif self._bound < 0:
            self._fail(Reason.ANSWER_UNREADABLE)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self._reusable = False
        if isinstance(exc, ssl.SSLError) and "_ALERT_" in (exc.reason or "") and not self._heard:
            self._refused = failure_of(exc)  # TLS 1.3 tells of a certificate after the handshake
        if self._answered is None or self._answered.done():
            return
        if self._refused is not None:
            self._answered.set_exception(self._refused)
        elif exc is None and self._headed and not {"content-length", "transfer-encoding"} & self._headers.keys():
            self._finish()  # RFC 9112, section 6.3: such a body ends with the connection
        else:
            self._fail(Reason.CONNECTION_LOST)

    def _finish(self) -> None:
        if self._cut or self._surplus or not self._whole or not self._keeps:
            self.close()
        if self._answered is not None:
            self._answered.set_result(HttpAnswer(self._status, self._headers, b"".join(self._pieces)))

    def _fail(self, reason: Reason) -> None:
        self.close()
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(Unknown(reason))

    # What the parser finds

    def on_message_begin(self) -> None:
        self._surplus = self._whole

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._headed and not self._whole:  # what comes behind a body in chunks (trailers) is not read
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if not self._whole:
            self._status, self._headed = self._parser.get_status_code(), True
            if self._status >= _FINAL:  # what only announces an answer has no body, and may be said without end
                self._bound += _FRAMING * self._left

    def on_body(self, body: bytes) -> None:
        if self._whole:
            return
        if len(body) > self._left:
            body, self._cut = body[: self._left], True
        self._left -= len(body)
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._status >= _FINAL or self._status == _SWITCHING_PROTOCOLS:
            self._whole, self._keeps = True, self._parser.should_keep_alive()  # behind here it no longer knows
        else:
            self._headed, self._headers = False, {}


async def connect(
    addresses: Sequence[str], port: int, tls: ssl.SSLContext | None = None, server_name: str | None = None
) -> Connection:
    """Connect to whichever address answers first; each is tried beside the one before, or when that one has failed.

    Raises Unavailable: nobody answers, or hangs up. Raises Misconfigured: TLS failed.
    """
    left = list(addresses)
    racing: set[asyncio.Task[Connection]] = set()
    fault: BaseException = Unavailable(Reason.CONNECTION_REFUSED)
    try:
        while left or racing:
            if left:
                racing.add(asyncio.create_task(_connected(left.pop(0), port, tls, server_name)))
            ended, _ = await asyncio.wait(
                racing, timeout=_NEXT_ADDRESS_SECONDS if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for one in ended:
                if (found := one.exception()) is None:
                    racing.remove(one)
                    return one.result()
                racing.remove(one)
                fault = found
        raise fault
    finally:
        for one in racing:
            one.cancel()
            one.add_done_callback(_close_late)


def _close_late(racing: asyncio.Task[Connection]) -> None:
    if not racing.cancelled() and racing.exception() is None:
        racing.result().close()


async def _connected(address: str, port: int, tls: ssl.SSLContext | None, server_name: str | None) -> Connection:
    try:
        _, connection = await asyncio.get_running_loop().create_connection(
            Connection, address, port, ssl=tls, server_hostname=server_name if tls else None
        )
    except (ssl.SSLEOFError, ConnectionResetError, ConnectionAbortedError):
        raise Unavailable(Reason.CONNECTION_LOST) from None  # hung up during the handshake
    except ssl.SSLError as fault:
        raise failure_of(fault) from None
    except OSError:
        raise Unavailable(Reason.CONNECTION_REFUSED) from None
    return connection

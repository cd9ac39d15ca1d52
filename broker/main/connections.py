"""HTTP connections as strangers use them: whatever we wait for has an end, whatever we keep has a bound.

uvicorn closes a connection that idles between requests and nothing else: a head that never ends, a body that drips and
a reader that stops reading hold theirs for ever. What cannot be read is answered by a problem (RFC 9457) and a close.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from broker.api.problems import TITLES, problem

_Phase = Literal["idle", "head", "body", "refused"]
"""What is being read: nothing, a head, a body; `refused`: whatever comes is thrown away until the connection ends."""

_MOST_DRAINED: Final = 1024 * 1024
"""Bytes that are still read and thrown away after an answer that did not wait for the whole request: closing at once
would reset the connection, and the caller would never see the answer (RFC 9112, section 9.6)."""
_LINGER_SECONDS: Final = 1.0
"""How long, after a refusal that ends the connection. An answered request's body has until its own bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one listener grants a caller."""

    head_seconds: float = 10.0
    """For the whole head of a request, from the connection or its first byte."""
    body_seconds: float = 20.0
    """For the whole body, from the end of the head."""
    idle_seconds: int = 15
    """Between two requests; and for taking in the rest of an answer."""
    target_bytes: int = 4 * 1024
    head_bytes: int = 24 * 1024
    """A citizen's token may take 8 KiB of it."""
    head_lines: int = 64
    connections: int = 4_096


class _Refused(Exception):  # noqa: N818  leaves the parser's callbacks; never this file
    pass


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Subclassed by `bounded` to carry its bounds: uvicorn makes the instances."""

    bounds = Bounds()

    _phase: _Phase = "head"
    _timer: asyncio.TimerHandle | None = None
    _fault: str = "malformed"
    _head_size = 0
    _head_lines = 0
    _pieces = 0
    """Bytes of a head that spread over several reads: the parser keeps a line to itself until it ends."""
    _drained = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections:
            self._refuse("unavailable", {"Retry-After": "1"})
        else:
            self._wait(self.bounds.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._phase == "refused":
            self._drain(len(data))
            return
        if self._phase == "idle":
            self._head_begins()
        spread = self._phase == "head"
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # nothing here is upgraded to: answered as the request it also is (RFC 9110, section 7.8)
        except httptools.HttpParserError:
            self._refuse(self._fault)
        else:
            if spread and self._phase == "head":
                self._pieces += len(data)
                if self._pieces > self.bounds.head_bytes:
                    self._refuse("head-too-large")

    # What the parser finds

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._phase != "head":  # right behind another request
            self._head_begins()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._head_size += len(url)
        if len(self.url) > self.bounds.target_bytes:
            self._fails("uri-too-long")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._head_lines += 1
        self._head_size += len(name) + len(value)
        if self._head_size > self.bounds.head_bytes or self._head_lines > self.bounds.head_lines:
            self._fails("head-too-large")

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        hosts = sum(name == b"host" for name, _ in self.headers)
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        # RFC 9112, sections 3.2 and 6.1: what two readers could understand differently is refused.
        if version not in {"1.0", "1.1"} or (hosts != 1 and (version == "1.1" or hosts > 1)):
            self._fails("malformed")
        if codings and (codings != [b"chunked"] or version != "1.1"):
            self._fails("malformed")
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # the parser reads no further on this connection
        self._phase, self._drained = "body", 0
        self._wait(self.bounds.body_seconds)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.cycle.response_complete:
            self._drain(len(body))

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._phase = "idle"
        self._wait(None)
        if self.cycle.response_complete and not self.transport.is_closing():  # it did not wait for the body
            self._wait(float(self.bounds.idle_seconds))

    # What ends

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_unless_read()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._abort_unless_read()

    def _head_begins(self) -> None:
        self._phase = "head"
        self._head_size = self._head_lines = self._pieces = 0
        self._wait(self.bounds.head_seconds)

    def _wait(self, seconds: float | None) -> None:
        """Let the connection end in `seconds` unless something happens before; None waits without end."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._expired)

    def _expired(self) -> None:
        begun = self._phase == "body" or (self._phase == "head" and self._pieces > 0)
        if self._phase == "refused" or not begun:
            self.transport.close()
            self._abort_unless_read()
        else:
            self._refuse("request-timeout")

    def _fails(self, name: str) -> None:
        self._fault = name
        raise _Refused

    def _refuse(self, name: str, headers: Mapping[str, str] | None = None) -> None:
        """Answer with a problem and end the connection; requests that came whole before are answered first."""
        in_body, self._phase = self._phase == "body", "refused"
        waiting = self.cycle is not None and not self.cycle.response_complete
        if waiting and not in_body:
            self.cycle.keep_alive = False
            self._wait(None)
            return
        answered = self.cycle is not None and in_body and (self.cycle.response_started or bool(self.pipeline))
        if waiting:  # its body will never be whole
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not answered:
            self.transport.write(_written(name, headers or {}))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._drained = 0
        self._wait(_LINGER_SECONDS)

    def _drain(self, size: int) -> None:
        self._drained += size
        if self._drained > _MOST_DRAINED:
            self.transport.abort()

    def _abort_unless_read(self) -> None:
        """A closed connection waits for its reader; give it as long as an idle one, and no longer."""
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self.bounds.idle_seconds, self.transport.abort)


def bounded(bounds: Bounds) -> type[HttpToolsProtocol]:
    """Return the protocol with these bounds."""

    class Protocol(BoundedProtocol):
        pass

    Protocol.bounds = bounds
    return Protocol


def _written(name: str, headers: Mapping[str, str]) -> bytes:
    """Return a whole answer with a problem, for where there is no request to be answered by the application."""
    answer = problem(name, headers={**headers, "Connection": "close"})
    lines: list[Any] = [b"HTTP/1.1 %d %s" % (answer.status_code, TITLES[name].encode("ascii"))]
    lines += [b"%s: %s" % pair for pair in answer.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])

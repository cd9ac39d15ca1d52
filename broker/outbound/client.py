"""`GuardedClient`: HTTP to one organisation's system.

It speaks HTTP/1.1 by itself (`broker.outbound.connection`), because what it must know no client tells: whether anything
may have been sent. From the moment a connection is in hand the request counts as possibly arrived: before it a fault is
`Unavailable`, after it `Unknown`. Nothing is ever sent again by itself. Of servers that close after every answer without
announcing it, half of all POSTs were lost on a kept connection; asking the system whether it still stands left none
where the close came with the answer. Why not a client from a shelf: decisions 4 and 13.
"""

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from yarl import URL

from broker.outbound.addresses import may_connect
from broker.outbound.certificates import ClientCertificate
from broker.outbound.connection import Connection, connect
from broker.outbound.names import Lookup, VettedNames, is_literal, look_up, plain_host
from contracts.adapters import HttpAnswer
from contracts.delivery import Misconfigured, Unavailable
from contracts.statuses import Reason

USER_AGENT: Final = "unwaith/1"
ANSWER_CAP: Final = 64 * 1024
"""Bytes of an answer's body that are read; the rest is left unread and the connection closed."""

KEPT_SECONDS: Final = 4.0
"""How long an idle connection is kept: less than common servers keep theirs (5 s and more), because a connection the
other side closes just as a POST is written ends in `Unknown`."""

_TARGETS_KNOWN: Final = 64


def tls_context(extra_authorities: Path | None = None, *, spoken: str | None = "http/1.1") -> ssl.SSLContext:
    """Return the TLS rules for going out: verified, 1.2 or newer, the system's authorities and those in the PEM file.

    `spoken` is announced as the protocol (ALPN, RFC 7301); None announces none.

    Raises OSError or ssl.SSLError for a file that cannot be used. Reads files: call once, at the start.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if spoken is not None:
        context.set_alpn_protocols([spoken])
    if extra_authorities is not None:
        context.load_verify_locations(cafile=extra_authorities)
    return context


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL taken apart once, for the check and for the connection alike."""

    host: str
    port: int
    tls: bool
    head: str
    """What follows the method in a request's head, up to the caller's own headers."""

    @property
    def place(self) -> tuple[str, int, bool]:
        return self.host, self.port, self.tls


class GuardedClient:
    """The guarded way out to one organisation; implements `contracts.adapters.HttpClient`.

    `allowed_hosts`: hosts, by name or address, an operator has allowed private addresses and plain HTTP.
    `deadline`: total time of one request: name, connection, TLS, sending and reading.
    `connections`: at most so many at once; further requests wait, within their deadline.
    `certificate`: what `tls` shows of us.
    Make it inside a running event loop, one for each organisation, and close it.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext,
        deadline: timedelta,
        allowed_hosts: Iterable[str] = (),
        connections: int = 64,
        certificate: ClientCertificate | None = None,
        answer_cap: int = ANSWER_CAP,
        lookup: Lookup = look_up,
    ) -> None:
        self._tls = tls
        self._certificate = certificate
        self._deadline = deadline.total_seconds()
        self._cap = answer_cap
        self._names = VettedNames(allowed_hosts, lookup)
        self._most = connections
        self._free = asyncio.Semaphore(connections)
        self._targets: dict[str, _Target] = {}
        self._open: set[Connection] = set()
        self._idle: dict[tuple[str, int, bool], list[Connection]] = {}
        """The one used last stands last, and is used next."""
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    async def post(self, url: str, *, headers: Mapping[str, str], content: bytes) -> HttpAnswer:
        """POST `content` once and return the answer whatever its status; a redirect is an answer.

        The body is given as it came: cut at the cap, and never decompressed, whatever Content-Encoding says.
        Raises Unavailable when nothing was sent, Unknown when it may have arrived,
        Misconfigured for TLS, a name that does not exist, or an address or scheme that is not allowed;
        ValueError for a header that would not be one line.
        """
        return await self._exchange(
            "POST", url, headers=headers, content=content, cap=self._cap, seconds=self._deadline
        )

    async def patch(self, url: str, *, headers: Mapping[str, str], content: bytes) -> HttpAnswer:
        """PATCH; otherwise as `post`."""
        return await self._exchange(
            "PATCH", url, headers=headers, content=content, cap=self._cap, seconds=self._deadline
        )

    async def options(self, url: str, *, headers: Mapping[str, str]) -> HttpAnswer:
        """OPTIONS, without a body; otherwise as `post`."""
        return await self._exchange(
            "OPTIONS", url, headers=headers, content=None, cap=self._cap, seconds=self._deadline
        )

    async def exchange(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | None, within: timedelta
    ) -> HttpAnswer:
        """As `post`, by any method, within less than the client's own deadline."""
        return await self._exchange(
            method, url, headers=headers, content=content, cap=self._cap, seconds=within.total_seconds()
        )

    async def get(
        self, url: str, *, cap: int, deadline: timedelta, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """GET under the same rules as `post`, with a cap in bytes and a deadline of its own."""
        return await self._exchange(
            "GET", url, headers=headers or {}, content=None, cap=cap, seconds=deadline.total_seconds()
        )

    async def close(self) -> None:
        """Close all connections. Requests still under way end in a failure."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        closing, self._open = self._open, set()
        self._idle.clear()
        for connection in closing:
            connection.close()
        await self._names.close()
        for connection in closing:
            await connection.lost.wait()  # the event loop lets go of it in one of its next turns

    async def _exchange(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | None, cap: int, seconds: float
    ) -> HttpAnswer:
        target = self._targets.get(url) or self._target(url)
        request = _request(method, target, headers, content)
        until = asyncio.get_running_loop().time() + seconds
        if self._free.locked() or (connection := self._kept(target)) is None:
            connection = await self._connection(target, until)
        else:
            await self._free.acquire()  # at once: it is not locked
        try:
            return await connection.exchange(request, cap, until)
        finally:
            self._free.release()
            self._put_back(target, connection)

    async def _connection(self, target: _Target, until: float) -> Connection:
        """Wait for leave to use one more connection, and return one. Raises Unavailable, or Misconfigured."""
        try:
            async with asyncio.timeout_at(until):
                await self._free.acquire()
                try:
                    return self._kept(target) or await self._connect(target)
                except BaseException:
                    self._free.release()
                    raise
        except TimeoutError:
            raise Unavailable(Reason.DEADLINE_PASSED) from None

    def _kept(self, target: _Target) -> Connection | None:
        """Take an idle connection that still stands; those that do not are closed."""
        idle = self._idle.get(target.place)
        while idle:
            connection = idle.pop()
            if connection.usable():
                return connection
            self._discard(connection)
        return None

    async def _connect(self, target: _Target) -> Connection:
        if target.tls and self._certificate is not None:
            self._certificate.check()
        if len(self._open) >= self._most:  # as many are idle to other places
            for idle in self._idle.values():
                if idle:
                    self._discard(idle.pop(0))
                    break
        addresses = await self._names.addresses(target.host, target.port)
        connection = await connect(addresses, target.port, self._tls if target.tls else None, target.host.rstrip("."))
        self._open.add(connection)
        if self._closed:
            self._discard(connection)
            raise Unavailable(Reason.CONNECTION_LOST)
        return connection

    def _put_back(self, target: _Target, connection: Connection) -> None:
        if self._closed or not connection.usable():
            self._discard(connection)
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(target.place, []).append(connection)
        if self._sweeping is None:
            self._sweeping = loop.call_later(KEPT_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle too long."""
        loop = asyncio.get_running_loop()
        before = loop.time() - KEPT_SECONDS
        for place, idle in list(self._idle.items()):
            while idle and idle[0].idle_since <= before:
                self._discard(idle.pop(0))
            if not idle:
                del self._idle[place]
        oldest = min((idle[0].idle_since for idle in self._idle.values()), default=None)
        self._sweeping = None if oldest is None else loop.call_at(oldest + KEPT_SECONDS, self._sweep)

    def _discard(self, connection: Connection) -> None:
        connection.close()
        self._open.discard(connection)

    def _target(self, url: str) -> _Target:
        """Return the URL taken apart. Raises Misconfigured for one that may not be gone to."""
        try:
            target = URL(url)
            host, port = target.raw_host, target.port
        except ValueError:
            raise Misconfigured(Reason.ADDRESS_NOT_ALLOWED) from None
        if not host or port is None or target.raw_user is not None or target.raw_password is not None:
            raise Misconfigured(Reason.ADDRESS_NOT_ALLOWED)
        allowed = self._names.allows(host)
        if target.scheme != "https" and not (target.scheme == "http" and allowed):
            raise Misconfigured(Reason.ADDRESS_NOT_ALLOWED)
        if is_literal(host) and not may_connect(plain_host(host), private_allowed=allowed):
            raise Misconfigured(Reason.ADDRESS_NOT_ALLOWED)  # said before anything is looked up
        head = (
            f" {target.raw_path_qs} HTTP/1.1\r\nHost: {target.host_port_subcomponent}\r\n"
            f"Accept-Encoding: identity\r\nUser-Agent: {USER_AGENT}\r\n"
        )
        if len(self._targets) >= _TARGETS_KNOWN:
            self._targets.clear()
        known = self._targets[url] = _Target(host, port, target.scheme == "https", head)
        return known


def _request(method: str, target: _Target, headers: Mapping[str, str], content: bytes | None) -> bytes:
    """Return a whole request. Raises ValueError for a header that would not be one line."""
    own = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if not own.count("\r") == own.count("\n") == len(headers) or "\0" in own:
        raise ValueError("a header would not be one line")
    if not any(name.lower() == "accept" for name in headers):
        own += "Accept: application/json\r\n"
    end = "\r\n" if content is None else f"Content-Length: {len(content)}\r\n\r\n"
    return (method + target.head + own + end).encode() + (content or b"")

"""`GuardedClient`: HTTP to one organisation's system, on aiohttp.

Why not through httpx. Measured on loopback with uvloop, 1 KB POSTs, 64 at once, one core: httpx with the
`httpx-aiohttp` transport 4,200 to 4,500 a second, that transport without httpx's client 7,000, this client 12,000,
bare aiohttp 13,000 to 16,000. And `httpx-aiohttp` reports a connection lost after sending as `ConnectTimeout`: "may
have arrived" would become "nothing was sent". Callers see `contracts.adapters.HttpClient`.

What may have been sent. From the moment a connection is in hand the request counts as possibly arrived: before it a
fault is `Unavailable`, after it `Unknown`. aiohttp sends POST and PATCH again by itself in no case; a GET once, when a kept
connection turns out closed. Of servers that close after every answer without announcing it, half of all POSTs were
lost on a kept connection; asking the system whether it still stands left none where the close came with the answer.
"""

import asyncio
import select
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from broker.outbound.addresses import may_connect
from broker.outbound.names import Lookup, VettedNames, is_literal, look_up, plain_host
from contracts.adapters import HttpAnswer
from contracts.delivery import Failure, Misconfigured, Unavailable, Unknown
from contracts.statuses import Reason

USER_AGENT: Final = "unwaith/1"
ANSWER_CAP: Final = 64 * 1024
"""Bytes of an answer's body that are read; the rest is left unread and the connection closed."""

KEPT_SECONDS: Final = 4.0
"""How long an idle connection is kept: less than common servers keep theirs (5 s and more), because a connection the
other side closes just as a POST is written ends in `Unknown`."""

_NAMES_KEPT_SECONDS: Final = 5
"""Vetted addresses serve connections made within so long; never longer, so that a moved service is found."""


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


class GuardedClient:
    """The guarded way out to one organisation; implements `contracts.adapters.HttpClient`.

    `allowed_hosts`: hosts, by name or address, an operator has allowed private addresses and plain HTTP.
    `deadline`: total time of one request: name, connection, TLS, sending and reading.
    `connections`: at most so many at once; further requests wait, within their deadline.
    Make it inside a running event loop, one for each organisation, and close it.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext,
        deadline: timedelta,
        allowed_hosts: Iterable[str] = (),
        connections: int = 64,
        answer_cap: int = ANSWER_CAP,
        lookup: Lookup = look_up,
    ) -> None:
        self._deadline = deadline.total_seconds()
        self._cap = answer_cap
        self._names = VettedNames(allowed_hosts, lookup)
        self._session = aiohttp.ClientSession(
            connector=_Connections(
                ssl=tls,
                resolver=self._names,
                ttl_dns_cache=_NAMES_KEPT_SECONDS,
                limit=connections,
                keepalive_timeout=KEPT_SECONDS,
            ),
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": USER_AGENT},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        )

    async def post(self, url: str, *, headers: Mapping[str, str], content: bytes) -> HttpAnswer:
        """POST `content` once and return the answer whatever its status; a redirect is an answer.

        The body is given as it came: cut at the cap, and never decompressed, whatever Content-Encoding says.
        Raises Unavailable when nothing was sent, Unknown when it may have arrived,
        Misconfigured for TLS, a name that does not exist, or an address or scheme that is not allowed.
        """
        return await self._exchange(
            "POST", url, headers=headers, content=content, cap=self._cap, seconds=self._deadline
        )

    async def patch(self, url: str, *, headers: Mapping[str, str], content: bytes) -> HttpAnswer:
        """PATCH; otherwise as `post`."""
        return await self._exchange(
            "PATCH", url, headers=headers, content=content, cap=self._cap, seconds=self._deadline
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
        await self._session.close()
        await self._names.close()

    async def _exchange(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | None, cap: int, seconds: float
    ) -> HttpAnswer:
        target = self._target(url)
        progress = _Progress()
        token = _PROGRESS.set(progress)
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(method, target, headers=headers, data=content, allow_redirects=False) as response,
            ):
                body = await _read(response.content, cap)
                return HttpAnswer(
                    status=response.status,
                    headers={name.lower(): value for name, value in response.headers.items()},
                    body=body,
                )
        except (aiohttp.ClientError, OSError) as fault:  # TimeoutError is an OSError
            failure = _failure(fault, in_hand=progress.in_hand)
        finally:
            _PROGRESS.reset(token)
        raise failure from None

    def _target(self, url: str) -> URL:
        """Return the URL parsed once, for the check and for the connection alike. Raises Misconfigured."""
        try:
            target = URL(url)
            host = target.raw_host
        except ValueError:
            raise Misconfigured(Reason.ADDRESS_NOT_ALLOWED) from None
        if not host or target.raw_user is not None or target.raw_password is not None:
            raise Misconfigured(Reason.ADDRESS_NOT_ALLOWED)
        allowed = self._names.allows(host)
        if target.scheme != "https" and not (target.scheme == "http" and allowed):
            raise Misconfigured(Reason.ADDRESS_NOT_ALLOWED)
        if is_literal(host) and not may_connect(plain_host(host), private_allowed=allowed):
            raise Misconfigured(Reason.ADDRESS_NOT_ALLOWED)  # a literal address never reaches the resolver
        return target


class _Progress:
    """How far one request got."""

    __slots__ = ("in_hand",)

    def __init__(self) -> None:
        self.in_hand = False


_PROGRESS: ContextVar[_Progress] = ContextVar("progress")
"""Of the request the current task is making: the way from `_exchange` through aiohttp to `_Connections`."""


class _Connections(aiohttp.TCPConnector):
    """Notes when a connection is in hand, and passes over kept ones the other side has closed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._kept: WeakSet[object] = WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  aiohttp's own signature
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol not in self._kept or not _spoken_to(connection.transport):
                self._kept.add(connection.protocol)
                _PROGRESS.get().in_hand = True
                return connection
            connection.close()


def _spoken_to(transport: asyncio.Transport | None) -> bool:
    """Return whether an idle connection has something to read: its end, or what nobody asked for.

    The event loop may not have looked yet; asking the system here turns most of what would be `Unknown` into a new
    connection. Where the system has no `poll` (Windows) the fault itself tells.
    """
    if transport is None or transport.is_closing():
        return True
    if not hasattr(select, "poll"):
        return False
    waiting = select.poll()
    waiting.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(waiting.poll(0))


async def _read(content: aiohttp.StreamReader, cap: int) -> bytes:
    """Return at most `cap` bytes."""
    pieces: list[bytes] = []
    left = cap
    while left and (piece := await content.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _failure(fault: Exception, *, in_hand: bool) -> Failure:
    """Say what a fault means. Pure; the fault's text, which may hold a URL, is not repeated."""
    may_have_arrived: Callable[[Reason], Failure] = Unknown if in_hand else Unavailable
    match fault:
        case aiohttp.InvalidURL():
            return Misconfigured(Reason.ADDRESS_NOT_ALLOWED)
        case aiohttp.ClientConnectorSSLError(os_error=ssl.SSLEOFError()):
            return Unavailable(Reason.CONNECTION_LOST)  # hung up during the handshake
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return Misconfigured(Reason.TLS_FAILED)
        case aiohttp.ClientConnectorError():
            return Unavailable(Reason.CONNECTION_REFUSED)
        case TimeoutError():
            return may_have_arrived(Reason.DEADLINE_PASSED)
        case aiohttp.ClientResponseError():
            return may_have_arrived(Reason.ANSWER_UNREADABLE)  # not HTTP
        case _:
            return may_have_arrived(Reason.CONNECTION_LOST)

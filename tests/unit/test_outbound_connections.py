"""Guarded connections below HTTP: who may be connected to, how, and what each fault is called."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
import trustme

from broker.outbound.client import tls_context
from broker.outbound.connections import GuardedConnections
from contracts.adapters import Protection
from contracts.delivery import Failure, Misconfigured, Unavailable
from contracts.statuses import Reason
from tests.support.ways_out import HERE

SOON = timedelta(seconds=5)
AUTHORITY = trustme.CA()


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Say noswaith dda to everyone who connects."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"noswaith dda")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


def server_tls(name: str, authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(tls)
    return tls


async def said(
    host: str,
    port: int,
    *,
    protection: Protection = "none",
    allowed: tuple[str, ...] = HERE,
    lookup: Callable[[str, int], list[Any]] | None = None,
    deadline: timedelta = SOON,
) -> bytes | tuple[type[Failure], Reason]:
    rules = tls_context(spoken=None)
    AUTHORITY.configure_trust(rules)
    given: dict[str, Any] = {"lookup": lookup} if lookup else {}
    connections = GuardedConnections(tls=rules, deadline=deadline, allowed_hosts=allowed, **given)
    reader = asyncio.StreamReader()
    try:
        transport, _ = await connections.create_connection(
            lambda: asyncio.StreamReaderProtocol(reader), host, port, protection=protection
        )
    except Failure as failure:
        return type(failure), failure.reason
    finally:
        await connections.close()
    try:
        return await reader.read()
    finally:
        transport.abort()


def answers(*addresses: str) -> Callable[[str, int], list[Any]]:
    return lambda _host, port: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


async def test_an_allowed_host_is_reached_in_clear_and_with_tls() -> None:
    async with serving() as port:
        for protection in ("none", "own"):
            assert await said("localhost", port, protection=protection) == b"noswaith dda"
    async with serving(server_tls("localhost")) as port:
        assert await said("localhost", port, protection="tls") == b"noswaith dda"


async def test_nobody_else_s_private_address_is_connected_to() -> None:
    refused = (Misconfigured, Reason.ADDRESS_NOT_ALLOWED)
    async with serving() as port:
        for host in ("localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "169.254.169.254"):
            assert await said(host, port, protection="own", allowed=()) == refused, host
        one_is_private = answers("93.184.216.34", "127.0.0.1")
        assert await said("gig.example", port, protection="own", allowed=(), lookup=one_is_private) == refused
        metadata = answers("169.254.169.254")
        assert await said("gig.example", port, protection="own", allowed=("gig.example",), lookup=metadata) == refused


async def test_nothing_goes_in_clear_to_a_host_no_operator_allowed() -> None:
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[Any]:
        asked.append(host)
        return answers("93.184.216.34")(host, port)

    assert await said("gig.example", 2575, lookup=lookup) == (Misconfigured, Reason.ADDRESS_NOT_ALLOWED)
    assert not asked


@pytest.mark.parametrize("wrong", ["another authority", "another name", "not TLS"])
async def test_tls_that_proves_nothing_is_refused(wrong: str) -> None:
    tls: ssl.SSLContext | None = server_tls("localhost")
    if wrong == "another authority":
        tls = server_tls("localhost", trustme.CA())
    elif wrong == "another name":
        tls = server_tls("gig.example")
    else:
        tls = None
    async with serving(tls) as port:
        assert await said("localhost", port, protection="tls") == (Misconfigured, Reason.TLS_FAILED)


async def test_tls_older_than_1_2_is_refused() -> None:
    old = server_tls("localhost")
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1

    def shake_hands(listening: socket.socket) -> None:  # blocking, because asyncio's server hangs up without the alert
        with listening.accept()[0] as accepted, suppress(ssl.SSLError):
            old.wrap_socket(accepted, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(asyncio.to_thread(shake_hands, listening))
        port = listening.getsockname()[1]
        assert await said("localhost", port, protection="tls") == (Misconfigured, Reason.TLS_FAILED)
        await serving


async def test_the_second_address_serves_where_the_first_does_not() -> None:
    async with serving() as port:
        both = answers("127.0.0.9", "127.0.0.1")
        assert await said("gig.example", port, allowed=("gig.example",), lookup=both) == b"noswaith dda"


async def test_nobody_listens_or_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        short = timedelta(seconds=0.2)
        # accepted by the system, but no TLS is ever spoken
        assert await said("localhost", port, protection="tls", deadline=short) == (Unavailable, Reason.DEADLINE_PASSED)
    assert await said("localhost", port) == (Unavailable, Reason.CONNECTION_REFUSED)


async def test_names_that_do_not_exist_and_name_servers_that_do_not_answer() -> None:
    def fails(number: int) -> Callable[[str, int], list[Any]]:
        def lookup(_host: str, _port: int) -> list[Any]:
            raise socket.gaierror(number, "no")

        return lookup

    for number, kind in ((socket.EAI_NONAME, Misconfigured), (socket.EAI_AGAIN, Unavailable)):
        told = await said("gig.example", 22, protection="own", lookup=fails(number))
        assert told == (kind, Reason.NAME_NOT_RESOLVED)

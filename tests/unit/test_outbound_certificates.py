"""Our certificate for an organisation: what is one, and what TLS says of it."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
import trustme
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from adapters.conformance_mllp import MllpPeer
from adapters.conformance_tls import certificate_of, server_tls
from broker.outbound.certificates import ClientCertificate, failure_of
from broker.outbound.client import GuardedClient, tls_context
from broker.outbound.connections import GuardedConnections
from contracts.delivery import Misconfigured
from contracts.statuses import Reason
from tests.support.ways_out import HERE, utc_now

AUTHORITY = trustme.CA()
SOON = timedelta(seconds=10)


def leaf_pem() -> bytes:
    return AUTHORITY.issue_cert("unwaith.example").cert_chain_pems[0].bytes()


def key_pem() -> bytes:
    return AUTHORITY.issue_cert("unwaith.example").private_key_pem.bytes()


def locked_pem() -> bytes:
    made = ec.generate_private_key(ec.SECP256R1())
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2"))


NOT_ONE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "must be PEM"),
    "other": (lambda: b"hunter2", "must be PEM"),
    "without a key": (leaf_pem, "must be PEM"),
    "without a certificate": (key_pem, "must be PEM"),
    "locked": (lambda: leaf_pem() + locked_pem(), "without a passphrase"),
    "another's key": (lambda: leaf_pem() + key_pem(), "is not the certificate's"),
}


@pytest.mark.parametrize("name", NOT_ONE)
def test_what_is_no_certificate_is_said_without_repeating_it(name: str) -> None:
    pem, says_what = NOT_ONE[name]
    with pytest.raises(ValueError, match=says_what) as raised:
        ClientCertificate.read(pem(), utc_now)
    assert "hunter2" not in str(raised.value)


def test_nothing_of_it_is_shown_and_its_time_is_that_of_the_clock() -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=10)
    pem = certificate_of(AUTHORITY, not_after=until).encode()
    now = [until - timedelta(seconds=1)]
    certificate = ClientCertificate.read(pem, lambda: now[0])
    certificate.check()
    now[0] = until
    with pytest.raises(Misconfigured) as raised:
        certificate.check()
    assert raised.value.reason is Reason.CERTIFICATE_EXPIRED
    assert "PRIVATE" not in repr(certificate)


def rules() -> ssl.SSLContext:
    made = tls_context(spoken=None)
    AUTHORITY.configure_trust(made)
    return made


@contextmanager
def refusing(tls: ssl.SSLContext) -> Iterator[int]:
    """Serve the port of a server that refuses in words, as OpenSSL does and asyncio's does not."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):  # the listener was closed
                while True:
                    refuse(listening.accept()[0])

        def refuse(accepted: socket.socket) -> None:
            speaking = tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
            with suppress(OSError):
                speaking.do_handshake()
            with socket.socket(fileno=speaking.detach()) as raw, suppress(OSError):
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(4096):  # what is left unread would turn the end into a reset
                    pass

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join(10)


async def refused(port: int, pem: bytes | None) -> Reason:
    ours = ClientCertificate.read(pem, utc_now) if pem else None
    tls = ours.shown_in(rules()) if ours else rules()
    client = GuardedClient(tls=tls, deadline=SOON, allowed_hosts=HERE, certificate=ours)
    try:
        with pytest.raises(Misconfigured) as raised:
            await client.post(f"https://localhost:{port}/", headers={}, content=b"x" * 100)
    finally:
        await client.close()
    return raised.value.reason


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_that_is_refused_is_told_from_tls_that_fails(newest: ssl.TLSVersion) -> None:
    """On the event loop of production too: TLS 1.3 tells it after the handshake."""
    tls = server_tls(AUTHORITY, clients=AUTHORITY)
    tls.maximum_version = newest
    stranger = certificate_of(trustme.CA()).encode()
    for factory in (uvloop.new_event_loop, asyncio.new_event_loop):
        with refusing(tls) as port, asyncio.Runner(loop_factory=factory) as runner:
            assert runner.run(refused(port, stranger)) is Reason.CERTIFICATE_REFUSED
            assert runner.run(refused(port, None)) in {Reason.CERTIFICATE_REFUSED, Reason.TLS_FAILED}


@pytest.mark.parametrize(
    ("reason", "means"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", Reason.CERTIFICATE_REFUSED),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", Reason.CERTIFICATE_REFUSED),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", Reason.CERTIFICATE_REFUSED),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", Reason.TLS_FAILED),
        ("CERTIFICATE_VERIFY_FAILED", Reason.TLS_FAILED),  # theirs
        (None, Reason.TLS_FAILED),
    ],
)
def test_whose_certificate_it_is_about(reason: str | None, means: Reason) -> None:
    fault = ssl.SSLError(1, "x")
    fault.reason = reason  # type: ignore[assignment]  # as some faults have it
    assert failure_of(fault).reason is means


async def test_connections_below_http_show_it_too() -> None:
    tls = server_tls(AUTHORITY, clients=AUTHORITY)
    ours = ClientCertificate.read(certificate_of(AUTHORITY).encode(), utc_now)
    gone = ClientCertificate.read(certificate_of(AUTHORITY).encode(), lambda: datetime(3001, 1, 1, tzinfo=UTC))
    async with MllpPeer(tls=tls) as peer:
        for certificate in (ours, gone):
            ways = GuardedConnections(
                tls=certificate.shown_in(rules()), deadline=SOON, allowed_hosts=HERE, certificate=certificate
            )
            connecting = ways.create_connection(asyncio.Protocol, "localhost", peer.port, protection="tls")
            if certificate is ours:
                transport, _ = await connecting
                transport.abort()
            else:
                with pytest.raises(Misconfigured) as raised:
                    await connecting
                assert raised.value.reason is Reason.CERTIFICATE_EXPIRED
            await ways.close()

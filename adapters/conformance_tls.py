# ruff: noqa: S101  a suite is made of assertions
"""Certificates for peers under script. Needs trustme, which a package of an adapter has among its tests' own."""

import ssl
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

import trustme

from adapters.conformance import Peer, Standing, attempt, sample_delivery
from contracts.adapters import Adapter
from contracts.delivery import Failure, Misconfigured
from contracts.receipts import Receipt
from contracts.statuses import Reason


def tls_of(standing: Standing, host: str = "localhost") -> ssl.SSLContext | None:
    """Return what a peer of this standing shows: a certificate nobody vouches for, or no TLS at all."""
    return server_tls(trustme.CA(), host) if standing is Standing.UNTRUSTED else None


def server_tls(authority: trustme.CA, host: str = "localhost", *, clients: trustme.CA | None = None) -> ssl.SSLContext:
    """Return a server's side of TLS, with a certificate of this authority for `host`.

    `clients`: it takes only those who show a certificate of this one.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(context)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    return context


def certificate_of(
    authority: trustme.CA, *, not_before: datetime | None = None, not_after: datetime | None = None
) -> str:
    """Return a certificate for us with its key, as the secret `client-certificate` holds it."""
    made = authority.issue_cert("unwaith.example", not_before=not_before, not_after=not_after)
    return (made.private_key_and_cert_chain_pem.bytes()).decode()


class CertificateConformance:
    """What an adapter that names `client-certificate` among its secrets must also pass."""

    def certified(
        self, *, tls: ssl.SSLContext, trusts: trustme.CA, certificate: str | None
    ) -> AbstractAsyncContextManager[tuple[Adapter, Peer]]:
        """Return an adapter that trusts this authority and shows this certificate, and the peer it delivers to."""
        raise NotImplementedError

    async def test_our_certificate_is_shown_where_it_is_asked_for(self) -> None:
        authority = trustme.CA()
        tls = server_tls(authority, clients=authority)
        async with self.certified(tls=tls, trusts=authority, certificate=certificate_of(authority)) as (adapter, peer):
            assert isinstance(await attempt(adapter, sample_delivery()), Receipt)
            assert len(peer.arrivals) == 1

    async def test_a_certificate_that_has_expired_or_is_not_valid_yet_is_not_shown(self) -> None:
        authority = trustme.CA()
        tls = server_tls(authority, clients=authority)
        now = datetime.now(UTC)
        for span in (
            {"not_before": now - timedelta(days=30), "not_after": now - timedelta(minutes=1)},
            {"not_before": now + timedelta(days=1), "not_after": now + timedelta(days=30)},
        ):
            certificate = certificate_of(authority, **span)
            async with self.certified(tls=tls, trusts=authority, certificate=certificate) as (adapter, peer):
                await _refused(adapter, peer, Reason.CERTIFICATE_EXPIRED)

    async def test_nothing_is_taken_from_who_shows_another_certificate_or_none(self) -> None:
        """What it is told as, the peer's own words decide: servers on asyncio hang up without any."""
        authority = trustme.CA()
        for certificate in (certificate_of(trustme.CA()), None):
            tls = server_tls(authority, clients=authority)
            async with self.certified(tls=tls, trusts=authority, certificate=certificate) as (adapter, peer):
                assert isinstance(await attempt(adapter, sample_delivery()), Failure)
                assert not peer.arrivals


async def _refused(adapter: Adapter, peer: Peer, *reasons: Reason) -> None:
    told = await attempt(adapter, sample_delivery())
    assert isinstance(told, Misconfigured), repr(told)
    assert told.reason in reasons, repr(told)
    assert not peer.arrivals

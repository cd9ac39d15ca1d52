"""Certificates for peers under script. Needs trustme, which a package of an adapter has among its tests' own."""

import ssl

import trustme

from adapters.conformance import Standing


def tls_of(standing: Standing, host: str = "localhost") -> ssl.SSLContext | None:
    """Return what a peer of this standing shows: a certificate nobody vouches for, or no TLS at all."""
    return server_tls(trustme.CA(), host) if standing is Standing.UNTRUSTED else None


def server_tls(authority: trustme.CA, host: str = "localhost") -> ssl.SSLContext:
    """Return a server's side of TLS, with a certificate of this authority for `host`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(context)
    return context

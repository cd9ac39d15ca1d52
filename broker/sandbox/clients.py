"""The services registered with the provider, and where each may be answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from joserfc.jwk import ECKey, RSAKey

from broker.sandbox.loopback import LOOPBACK_HOSTS

ALGORITHMS: Final[dict[str, tuple[str, ...]]] = {"RSA": ("PS256", "RS256"), "EC": ("ES256",)}
"""What a client's assertion may be signed with, by the type of its registered key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One registered service."""

    client_id: str
    jwk: Mapping[str, Any] = field(repr=False)
    """Its public key as a JWK (RFC 7517): RSA, or EC P-256."""
    redirect_uris: tuple[str, ...]
    sector: str
    """Services of one sector see the same `sub` for a person, others another (OpenID Connect Core 1.0, section 8.1)."""
    post_logout_redirect_uris: tuple[str, ...] = ()
    back_channel_logout_uri: str | None = None
    """Where it is told, by a signed token, that somebody signed out here."""
    any_loopback_port: bool = False
    """For a command-line client that listens where it can: the port of a loopback redirect is not compared
    (RFC 8252, section 7.3)."""

    def key(self) -> ECKey | RSAKey:
        """Return its public key. Raises ValueError for a type we do not register."""
        match self.jwk.get("kty"):
            case "EC":
                return ECKey.import_key(dict(self.jwk))
            case "RSA":
                return RSAKey.import_key(dict(self.jwk))
            case other:
                raise ValueError(f"register an RSA or EC key for {self.client_id}, not {other}")

    def may_return_to(self, redirect_uri: str) -> bool:
        """Return whether `redirect_uri` is registered, character for character but for a loopback port."""
        if redirect_uri in self.redirect_uris:
            return True
        return self.any_loopback_port and any(
            _same_but_for_the_port(redirect_uri, known) for known in self.redirect_uris
        )


def _same_but_for_the_port(asked: str, registered: str) -> bool:
    try:
        asked_parts, known_parts = urlsplit(asked), urlsplit(registered)
        port = asked_parts.port
    except ValueError:  # a port that is no number, an unclosed bracket
        return False
    host = _host(known_parts)
    if known_parts.scheme != "http" or host not in LOOPBACK_HOSTS:
        return False
    # rebuilt from the registered parts, so nothing a parser reads leniently can differ
    rebuilt = known_parts._replace(netloc=host if port is None else f"{host}:{port}").geturl()
    return asked == rebuilt


def _host(parts: SplitResult) -> str:
    name = parts.hostname or ""
    return f"[{name}]" if ":" in name else name

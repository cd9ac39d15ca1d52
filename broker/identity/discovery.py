"""A provider's endpoints, from its discovery document (OpenID Connect Discovery 1.0), and its DID document's keys."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from broker.identity.keys import Fetch, trustworthy
from broker.identity.refusals import KeysUnavailable

FRESH_FOR: Final = timedelta(minutes=10)
USABLE_FOR: Final = timedelta(hours=24)
"""An outage of the provider's documents must not stop people from signing in while its endpoints answer."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a provider is spoken to. Each is https, or http on this machine where that is allowed."""

    authorization: str
    token: str
    userinfo: str
    end_session: str | None
    keys: str
    names_itself: bool
    """It promises `iss` in its answers (RFC 9207)."""


class Discovery:
    """One provider's endpoints, kept and read anew when they age. For one event loop."""

    def __init__(
        self, issuer: str, fetch: Fetch, clock: Callable[[], datetime], *, loopback_allowed: bool = False
    ) -> None:
        """Raises ValueError for an issuer that is neither https nor, where allowed, http on loopback."""
        self._issuer = trustworthy(issuer, loopback_allowed=loopback_allowed)
        self._fetch = fetch
        self._clock = clock
        self._loopback_allowed = loopback_allowed
        self._endpoints: Endpoints | None = None
        self._read_at: datetime | None = None
        self._reading = asyncio.Lock()

    async def endpoints(self) -> Endpoints:
        """Return the endpoints. Raises KeysUnavailable if they cannot be had."""
        async with self._reading:
            if self._endpoints is None or not self._younger_than(FRESH_FOR):
                try:
                    document = await self._fetch(self._issuer.removesuffix("/") + "/.well-known/openid-configuration")
                    self._endpoints, self._read_at = self._of(document), self._clock()
                except Exception as fault:  # noqa: BLE001  whatever it is, what we know stays in use for a while
                    log.warning("discovery.not_refreshed", issuer=self._issuer, error=type(fault).__name__)
        if self._endpoints is None or not self._younger_than(USABLE_FOR):
            raise KeysUnavailable
        return self._endpoints

    def _younger_than(self, age: timedelta) -> bool:
        return self._read_at is not None and self._clock() - self._read_at < age

    def _of(self, document: Mapping[str, Any]) -> Endpoints:
        if document.get("issuer") != self._issuer:  # section 4.3: exactly, to the last slash
            raise ValueError("discovery names another issuer")

        def where(name: str) -> str:
            return trustworthy(document.get(name), loopback_allowed=self._loopback_allowed)

        return Endpoints(
            authorization=where("authorization_endpoint"),
            token=where("token_endpoint"),
            userinfo=where("userinfo_endpoint"),
            end_session=where("end_session_endpoint") if "end_session_endpoint" in document else None,
            keys=where("jwks_uri"),
            names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        )


def keys_of_did(did: str, fetch: Fetch) -> Fetch:
    """Return a fetch that reads the DID document of `did` as a JWK Set.

    Its keys keep their whole `id` as name, which is how a token's `kid` names them; one of another DID is passed over.
    """

    async def fetch_keys(url: str) -> Mapping[str, Any]:
        document = await fetch(url)
        methods = document.get("assertionMethod")
        if document.get("id") != did or not isinstance(methods, list):
            raise ValueError("not the DID document asked for")
        return {
            "keys": [
                {**method["publicKeyJwk"], "kid": method["id"]}
                for method in methods
                if isinstance(method, dict)
                and isinstance(method.get("publicKeyJwk"), dict)
                and str(method.get("id")).startswith(f"{did}#")
            ]
        }

    return fetch_keys

"""An issuer's verification keys: which are usable, and how they are had without letting a stranger make us fetch."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from broker.identity.jose import unbase64url
from broker.identity.refusals import KeysUnavailable

Fetch = Callable[[str], Awaitable[Mapping[str, Any]]]
"""GET a URL and return the JSON object there: `broker.outbound.fetch.get_json` with its client, which guards the way
and caps the size. Whatever it raises means: not now."""

MOST_KEYS: Final = 100

_SUITED: Final[Mapping[tuple[object, object], tuple[str, ...]]] = {
    ("RSA", None): ("RS256", "PS256", "RS512"),
    ("EC", "P-256"): ("ES256",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""Key type and curve, and the algorithms such a key can verify (RFC 7518, section 6; RFC 8037, section 2)."""
_MATERIAL: Final = ("kty", "crv", "n", "e", "x", "y")
_RSA_BITS: Final = range(2048, 4097)
"""Below is breakable (NIST SP 800-131A); above costs us more than it protects."""
_LONGEST_RSA_EXPONENT: Final = 4  # bytes; 65537 has three, and a huge one makes every verification slow

_log = structlog.get_logger()


class Keys:
    """The usable keys of one JSON Web Key Set. Immutable."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take every usable key of a JWK Set (RFC 7517, section 5) and pass over the others.

        Usable means: public, for signatures (`use`, `key_ops`), of a type that suits an algorithm we take.
        Raises ValueError if there is no list of keys or it is longer than MOST_KEYS.
        """
        published = document.get("keys")
        if not isinstance(published, list | tuple) or len(published) > MOST_KEYS:
            raise ValueError("not a JWK Set")
        self._by_name: dict[tuple[str | None, str], list[Key]] = {}
        for jwk in published:
            for key_id, algorithm, key in _usable(jwk):
                self._by_name.setdefault((key_id, algorithm), []).append(key)

    def __len__(self) -> int:
        return sum(len(keys) for keys in self._by_name.values())

    def find(self, key_id: str | None, algorithm: str) -> Key | None:
        """Return the key of that name for that algorithm, None if there is none or the name stands for several.

        Without a name: the only key for that algorithm, whatever its own name.
        """
        if key_id is not None:
            found = self._by_name.get((key_id, algorithm), [])
        else:
            found = [key for (_, suits), keys in self._by_name.items() if suits == algorithm for key in keys]
        return found[0] if len(found) == 1 else None


def _usable(jwk: object) -> Iterator[tuple[str | None, str, Key]]:
    if not isinstance(jwk, dict) or "d" in jwk:  # a published private key is anybody's
        return
    operations = jwk.get("key_ops")
    if jwk.get("use", "sig") != "sig" or not (operations is None or "verify" in _listed(operations)):
        return
    key_id = jwk.get("kid")
    kind = (jwk.get("kty"), jwk.get("crv"))
    if not (key_id is None or isinstance(key_id, str)) or not all(isinstance(one, str | None) for one in kind):
        return
    algorithms = [name for name in _SUITED.get(kind, ()) if jwk.get("alg", name) == name]
    if not algorithms:
        return
    try:
        if kind[0] == "RSA" and not _sound_rsa(jwk):
            return
        key = JWKRegistry.import_key({name: jwk[name] for name in _MATERIAL if name in jwk})
    except (JoseError, ValueError, TypeError, KeyError):  # an unreadable key must not cost us the others
        return
    for algorithm in algorithms:
        yield key_id, algorithm, key


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _sound_rsa(jwk: Mapping[str, Any]) -> bool:
    modulus = int.from_bytes(unbase64url(jwk["n"]), "big")
    return modulus.bit_length() in _RSA_BITS and len(unbase64url(jwk["e"])) <= _LONGEST_RSA_EXPONENT


class IssuerKeys:
    """The keys of one issuer, found by discovery, kept, and refreshed when they age or a name is unknown.

    However many callers ask and whatever names they ask for, at most one refresh runs at a time and at most one
    starts in each `cooldown`; callers wait for the one that runs. A refresh that fails leaves the old keys in use for
    `usable_for`: long enough for an issuer's outage, not for ever, lest whoever can cut us off keeps a withdrawn key
    alive. A key set that comes without a key is an answer, and withdraws them all. For one event loop.
    """

    def __init__(
        self,
        issuer: str,
        fetch: Fetch,
        clock: Callable[[], datetime],
        *,
        keys_url: str | None = None,
        discovery_url: str | None = None,
        loopback_allowed: bool = False,
        fresh_for: timedelta = timedelta(minutes=10),
        usable_for: timedelta = timedelta(hours=24),
        cooldown: timedelta = timedelta(seconds=10),
        deadline: timedelta = timedelta(seconds=5),
    ) -> None:
        """`keys_url`, if given, stands for discovery; `discovery_url` is OpenID Connect's place unless given.

        Nothing is fetched yet.

        Raises ValueError for an issuer or URL that is neither https nor, where allowed, http on loopback.
        """
        self._issuer = trustworthy(issuer, loopback_allowed=loopback_allowed)
        self._loopback_allowed = loopback_allowed
        self._discovery_url = trustworthy(
            discovery_url or issuer.removesuffix("/") + "/.well-known/openid-configuration",
            loopback_allowed=loopback_allowed,
        )
        self._fetch = fetch
        self._clock = clock
        self._fresh_for = fresh_for
        self._usable_for = usable_for
        self._cooldown = cooldown
        self._deadline = deadline
        self._given_url = None if keys_url is None else trustworthy(keys_url, loopback_allowed=loopback_allowed)
        self._keys_url = self._given_url
        self._keys: Keys | None = None
        self._read_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, key_id: str, algorithm: str) -> Key | None:
        """Return the issuer's key of that name for that algorithm, None if it has none.

        Raises KeysUnavailable if no keys could be had, or only keys older than `usable_for`.
        """
        key = self._known(key_id, algorithm) if self._younger_than(self._fresh_for) else None
        if key is None:
            await self._refresh()
            if not self._younger_than(self._usable_for):
                raise KeysUnavailable
            key = self._known(key_id, algorithm)
        return key

    def _known(self, key_id: str, algorithm: str) -> Key | None:
        return self._keys.find(key_id, algorithm) if self._keys is not None else None

    def _younger_than(self, age: timedelta) -> bool:
        return self._read_at is not None and self._clock() - self._read_at < age

    async def _refresh(self) -> None:
        """Wait for the refresh that runs, or start one unless one was started within the cooldown."""
        if self._refreshing is None:
            now = self._clock()
            if self._tried_at is not None and timedelta(0) <= now - self._tried_at < self._cooldown:
                return
            self._tried_at = now
            self._refreshing = asyncio.create_task(self._read(), name=f"keys of {self._issuer}")
        await asyncio.shield(self._refreshing)  # one caller going away must not spoil it for the others

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._deadline.total_seconds()):
                if self._keys_url is None:
                    self._keys_url = self._keys_url_of(await self._fetch(self._discovery_url))
                keys = Keys(await self._fetch(self._keys_url))
        except Exception as fault:  # noqa: BLE001  whatever the way out raises, the keys we have stay in use
            self._keys_url = self._given_url  # a discovered one may have moved
            _log.warning("issuer_keys.not_refreshed", issuer=self._issuer, error=type(fault).__name__)
        else:
            self._keys, self._read_at = keys, self._clock()
            _log.info("issuer_keys.refreshed", issuer=self._issuer, count=len(keys))
        finally:
            self._refreshing = None

    def _keys_url_of(self, discovery: Mapping[str, Any]) -> str:
        if discovery.get("issuer") != self._issuer:  # OpenID Connect Discovery 4.3: exactly, to the last slash
            raise ValueError("discovery names another issuer")
        return trustworthy(discovery.get("jwks_uri"), loopback_allowed=self._loopback_allowed)


def trustworthy(url: object, *, loopback_allowed: bool) -> str:
    """Return `url` if keys may be had from it: https, or http on this machine where that is allowed.

    Raises ValueError for anything else, for credentials or a fragment in it, and for characters a URL has not.
    """
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("not a URL")
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or "#" in url:
        raise ValueError("an issuer's URL needs a host, and no credentials or fragment")
    if parts.scheme != "https" and not (loopback_allowed and parts.scheme == "http" and _loopback(parts.hostname)):
        raise ValueError("an issuer's URL must be https")
    return url


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

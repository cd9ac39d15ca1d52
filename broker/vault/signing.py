"""Our own signing keys: a set for each purpose, kept sealed, published before they sign and for a while after.

    made                 published at once, so that whoever keeps a copy of our key set meets the new key before a signature
    AHEAD later          it signs, in every process, and the one before it no longer does
    KEPT after that      the one before it is no longer published: what it has signed can no longer be verified

Each purpose has a key set of its own at an address of its own: a server that takes our assertions must not take what
signs messages, nor the other way round.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

import structlog
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import ECKey, JWKRegistry, Key, RSAKey

from broker.store import StoreUnavailable
from broker.vault.keys import Vault

Purpose = Literal["client-assertions", "message-signatures"]
PURPOSES: Final[Sequence[Purpose]] = get_args(Purpose)

AHEAD: Final = timedelta(minutes=10)
"""How long a key is published before it signs: more than anybody may keep our key set (`PUBLISHED_SECONDS`) together
with how long it takes all our processes to read of it."""
KEPT: Final = timedelta(days=7)
"""How long a key that signs no more stays published: what waits at a receiver can still be verified."""
PUBLISHED_SECONDS: Final = 300
"""How long others may keep our key set (`Cache-Control: max-age`)."""
READ_AGAIN: Final = timedelta(seconds=60)
"""A process reads its keys anew when it has not for so long."""

_RSA_BITS: Final = 3072
_ALGORITHMS: Final[Mapping[Purpose, Mapping[str, str]]] = {
    "client-assertions": {"ES256": "EC", "PS256": "RSA", "RS512": "RSA"},
    "message-signatures": {"ES256": "EC"},
}
"""By purpose and JWS algorithm (RFC 7518, section 3.1) the type of the key. One key of each type is in a set; RSA is
there for servers that take nothing else."""
_SIGNING: Final = {algorithm.name: algorithm for algorithm in JWS_ALGORITHMS}

log = structlog.get_logger()


class RotationUnderWay(Exception):  # noqa: N818  says what holds
    """The newest keys do not sign yet. Wait until they do, or withdraw all others at once."""


@dataclass(frozen=True, slots=True)
class KeysOfOurs:
    """The keys that were made together."""

    signs_from: datetime
    keys: Mapping[str, Key] = field(repr=False)
    """Private, by type."""

    def names(self) -> list[str]:
        """Return each key's name in the published set (`kid`): its thumbprint (RFC 7638)."""
        return [key.thumbprint() for key in self.keys.values()]


@dataclass(frozen=True, slots=True)
class Rotation:
    """All keys of one purpose that are kept, oldest first. Never empty."""

    sets: tuple[KeysOfOurs, ...]

    def signing(self, now: datetime) -> KeysOfOurs:
        """Return those that sign now: the newest whose time has come."""
        return next((one for one in reversed(self.sets) if one.signs_from <= now), self.sets[0])

    def published(self, now: datetime) -> tuple[KeysOfOurs, ...]:
        """Return those that others should know now: to come, signing, and those that signed a short while ago."""
        later = [*self.sets[1:], None]
        return tuple(
            one for one, next_ in zip(self.sets, later, strict=True) if next_ is None or next_.signs_from + KEPT > now
        )

    def with_next(self, made: KeysOfOurs, now: datetime) -> "Rotation":
        """Return the keys with a set that is to come; those nobody needs to know are let go.

        Raises RotationUnderWay.
        """
        if self.sets[-1].signs_from > now:
            raise RotationUnderWay
        return Rotation((*self.published(now), made))


class SigningKeys:
    """Our keys for one purpose, as the store has them. For one event loop."""

    def __init__(self, vault: Vault, purpose: Purpose, clock: Callable[[], datetime]) -> None:
        self.purpose = purpose
        self._vault = vault
        self._clock = clock
        self._kinds = sorted(set(_ALGORITHMS[purpose].values()))
        self._known: Rotation | None = None
        self._read_at: datetime | None = None
        self._reading = asyncio.Lock()

    async def jwks(self) -> dict[str, Any]:
        """Return the public keys (RFC 7517, section 5). Raises StoreUnavailable."""
        published = (await self.rotation()).published(self._clock())
        return {
            "keys": [_published(key, self._algorithm_of(kind)) for one in published for kind, key in one.keys.items()]
        }

    async def sign_jwt(self, claims: Mapping[str, Any], algorithm: str) -> str:
        """Return a JWT of these claims. Raises StoreUnavailable, and ValueError for an algorithm that is not ours."""
        header, key = await self._signer(algorithm)
        return _compact(header | {"typ": "JWT"}, json.dumps(claims).encode(), key, detached=False)

    async def sign_detached(self, content: bytes, header: Mapping[str, Any]) -> str:
        """Return a JWS of `content` that does not hold it (RFC 7515, appendix F), over its bytes as they are (RFC 7797).

        `header` stands in the protected header too. Raises StoreUnavailable.
        """
        own, key = await self._signer("ES256")
        return _compact({**own, **header, "b64": False, "crit": ["b64"]}, content, key, detached=True)

    async def rotate(self, *, leaf: bytes, compromised: bool = False) -> Rotation:
        """Make the next keys, write `leaf` with them, and return all that are kept.

        `compromised`: the next sign at once, and all others are withdrawn at once.
        Raises RotationUnderWay, also for another who rotates at the same moment, and StoreUnavailable.
        """
        now = self._clock()
        before = await self._read()
        made = await asyncio.to_thread(_made, self._kinds, now if compromised else now + AHEAD)
        after = Rotation((made,)) if compromised else before.with_next(made, now)
        if not await self._vault.exchange(self._name, _written(before), _written(after), [leaf]):
            raise RotationUnderWay
        self._known, self._read_at = after, now
        return after

    async def rotation(self) -> Rotation:
        """Return the keys, read anew now and then; the first time they are made. Raises StoreUnavailable.

        While the store is away those that are known go on.
        """
        async with self._reading:
            now = self._clock()
            if self._known is not None and self._read_at is not None and abs(now - self._read_at) < READ_AGAIN:
                return self._known
            try:
                self._known = await self._read()
            except StoreUnavailable:
                if self._known is None:
                    raise
                log.warning("signing_keys.not_read", purpose=self.purpose)
            self._read_at = now
            return self._known

    async def _read(self) -> Rotation:
        found = await self._vault.find(self._name)
        if found is None:
            first = Rotation((await asyncio.to_thread(_made, self._kinds, self._clock()),))
            await self._vault.exchange(self._name, None, _written(first))  # or somebody else was first
            found = await self._vault.find(self._name)
        if found is None:
            raise LookupError(self._name)
        return _parsed(found)

    async def _signer(self, algorithm: str) -> tuple[dict[str, Any], Key]:
        kind = _ALGORITHMS[self.purpose].get(algorithm)
        if kind is None:
            raise ValueError(f"{algorithm} does not sign {self.purpose}")
        key = (await self.rotation()).signing(self._clock()).keys[kind]
        return {"alg": algorithm, "kid": key.thumbprint()}, key

    @property
    def _name(self) -> str:
        return f"signing-keys:{self.purpose}"

    def _algorithm_of(self, kind: str) -> str | None:
        """Return the only algorithm a type of key is used with, None for several."""
        fitting = [name for name, suited in _ALGORITHMS[self.purpose].items() if suited == kind]
        return fitting[0] if len(fitting) == 1 else None


def _made(kinds: Sequence[str], signs_from: datetime) -> KeysOfOurs:
    makers: dict[str, Callable[[], Key]] = {
        "EC": lambda: ECKey.import_key(ec.generate_private_key(ec.SECP256R1())),
        "RSA": lambda: RSAKey.import_key(rsa.generate_private_key(65537, _RSA_BITS)),
    }
    return KeysOfOurs(signs_from.replace(microsecond=0), {kind: makers[kind]() for kind in kinds})


def _published(key: Key, algorithm: str | None) -> dict[str, Any]:
    public: dict[str, Any] = dict(key.as_dict(private=False))
    material = {name: public[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in public}
    return {**material, "use": "sig", "kid": key.thumbprint(), **({"alg": algorithm} if algorithm else {})}


def _compact(header: Mapping[str, Any], payload: bytes, key: Key, *, detached: bool) -> str:
    """Return the compact serialisation (RFC 7515, section 7.1), by hand: a library puts in what happens to fit."""
    protected = _base64url(json.dumps(header, separators=(",", ":")).encode())
    body = payload if detached else _base64url(payload)
    signature = _base64url(_SIGNING[str(header["alg"])].sign(protected + b"." + body, key))
    return b".".join((protected, b"" if detached else body, signature)).decode("ascii")


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _written(rotation: Rotation) -> bytes:
    return json.dumps(
        [
            {
                "signsFrom": one.signs_from.isoformat(),
                "keys": {kind: key.as_dict(private=True) for kind, key in one.keys.items()},
            }
            for one in rotation.sets
        ],
        sort_keys=True,
    ).encode()


def _parsed(written: bytes) -> Rotation:
    return Rotation(
        tuple(
            KeysOfOurs(
                datetime.fromisoformat(one["signsFrom"]),
                {kind: JWKRegistry.import_key(jwk) for kind, jwk in one["keys"].items()},
            )
            for one in json.loads(written)
        )
    )

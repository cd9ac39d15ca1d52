"""Tokens made by hand: joserfc rightly refuses to make most of the bad ones."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from broker.identity.citizens import CitizenTokens
from broker.identity.jose import base64url
from broker.identity.keys import IssuerKeys

ISSUER: Final = "https://sign-in.example/"
AUDIENCE: Final = "https://unwaith.example/v1"
OUR_ISSUER: Final = "https://unwaith.example"
OUR_AUDIENCE: Final = "https://unwaith.example/organisations"
DISCOVERY: Final = "https://sign-in.example/.well-known/openid-configuration"
JWKS: Final = "https://keys.example/jwks.json"
START: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

_SIGNERS: Final = {algorithm.name: algorithm for algorithm in JWS_ALGORITHMS} | {
    "EdDSA": next(algorithm for algorithm in JWS_ALGORITHMS if algorithm.name == "Ed25519")
}

EC: Final = ECKey.generate_key("P-256")
OTHER_EC: Final = ECKey.generate_key("P-256")
OKP: Final = OKPKey.generate_key("Ed25519")
RSA: Final = RSAKey.generate_key(2048)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


def published(key: Key, key_id: str | None, **more: Any) -> dict[str, Any]:
    """Return the public JWK of `key` as an issuer publishes it."""
    public = {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}
    return public | ({} if key_id is None else {"kid": key_id}) | more


class Issuer:
    """Documents of an issuer, and how often they were fetched."""

    def __init__(self, *jwks: Mapping[str, Any]) -> None:
        self.documents: dict[str, Any] = {
            DISCOVERY: {"issuer": ISSUER, "jwks_uri": JWKS},
            JWKS: {"keys": list(jwks)},
        }
        self.fetched: list[str] = []

    def publish(self, *jwks: Mapping[str, Any]) -> None:
        self.documents[JWKS] = {"keys": list(jwks)}

    async def fetch(self, url: str) -> Mapping[str, Any]:
        self.fetched.append(url)
        document = self.documents.get(url)
        if not isinstance(document, dict):
            raise OSError("unreachable")
        return document


def issuer() -> Issuer:
    """Return an issuer with one key of each kind."""
    return Issuer(published(EC, "ec"), published(OKP, "okp"), published(RSA, "rsa", use="sig"))


def citizen_tokens(clock: Callable[[], datetime], source: Issuer | None = None) -> CitizenTokens:
    keys = IssuerKeys(ISSUER, (source or issuer()).fetch, clock)
    return CitizenTokens(audience=AUDIENCE, issuer=ISSUER, keys=keys, clock=clock)


NAME_PARTS: Final = (
    {"type": "GivenName", "value": "Siân"},
    {"type": "FamilyName", "value": "Llŷr-Ŵyn"},
)


def verified_claims(**changes: Any) -> dict[str, Any]:
    claimed = {"name": [{"nameParts": list(NAME_PARTS)}], "birthdate": "1987-03-01"} | changes
    return {"verification": {"trust_framework": "uk_tfida", "assurance_level": "medium"}, "claims": claimed}


def citizen_claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good citizen's token made at START. A change to None leaves the claim out."""
    now = int(START.timestamp())
    claims = {
        "iss": ISSUER,
        "sub": "urn:example:subject-of-sian",
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 600,
        "jti": "a-token-of-its-own",
        "client_id": "front-end",
        "scope": "changes:read changes:write",
        "vot": "P2",
        "verified_claims": verified_claims(),
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def header(**changes: Any) -> dict[str, Any]:
    """Return a good header. A change to None leaves the parameter out."""
    return {
        name: value
        for name, value in ({"alg": "ES256", "typ": "at+jwt", "kid": "ec"} | changes).items()
        if value is not None
    }


def signed(head: Mapping[str, Any] | bytes, claims: Any, key: Key, *, algorithm: str = "ES256") -> str:
    """Return a compact JWS with whatever header and payload; `bytes` go in as they are."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (head, claims)]
    text = ".".join(base64url(part) for part in parts)
    return f"{text}.{base64url(_SIGNERS[algorithm].sign(text.encode(), key))}"


def citizen_token(*, head: Mapping[str, Any] | None = None, key: Key = EC, **changes: Any) -> str:
    """Return a citizen's token, good unless something is changed."""
    return signed(header() if head is None else head, citizen_claims(**changes), key)


def without(claims: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name not in names}

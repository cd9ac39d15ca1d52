"""What it costs to know a caller: a token seen for the first time, and one that was verified a moment ago.

In processor time, of this process alone: nothing is asked of anybody, as when an issuer's keys are known.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from broker.identity.citizens import CitizenTokens
from broker.identity.keys import IssuerKeys
from broker.identity.organisations import ORGANISATION_SCOPES, CallingOrganisation, OrganisationTokens
from tests.load.figures import Figure

COLD_GOAL, CACHED_GOAL = 150.0, 10.0
"""Microseconds."""
ISSUER: Final = "https://sign-in.example/"
AUDIENCE: Final = "https://unwaith.example/v1"
ROUNDS: Final = 5
"""The least of so many is what it costs: whatever else goes on can only add to it."""


async def token_checks(count: int) -> list[Figure]:
    """Return microseconds for a citizen's token (ES256, RS256, with a verified person) and an organisation's (ES256)."""
    ec, rsa = ECKey.generate_key("P-256"), RSAKey.generate_key(2048)
    figures = []
    for name, key, algorithm in (("es256", ec, "ES256"), ("rs256", rsa, "RS256")):
        tokens = [citizen_token(key, algorithm, number) for number in range(count)]

        def verifying(key: Any = key) -> Callable[[str], Awaitable[object]]:
            return citizens(key).verify

        figures += await costs(f"tokens.citizen.{name}", tokens, verifying)
    ours = [
        organisations(ec).issue(CallingOrganisation("council", "council", ORGANISATION_SCOPES)) for _ in range(count)
    ]

    def verifying_ours() -> Callable[[str], Awaitable[object]]:
        verifier = organisations(ec)

        async def verify(token: str) -> object:
            return verifier.verify(token)

        return verify

    return [*figures, *await costs("tokens.organisation", ours, verifying_ours)]


async def costs(
    name: str, tokens: Sequence[str], verifying: Callable[[], Callable[[str], Awaitable[object]]]
) -> list[Figure]:
    cold, cached = [], []
    for _ in range(ROUNDS):
        verify = verifying()
        await verify(tokens[0])  # the issuer's keys are there
        cold.append(await took(verify, tokens[1:]))
        cached.append(await took(verify, tokens[1:]))
    return [
        Figure(f"{name}.cold", min(cold), "µs", "lower", COLD_GOAL),
        Figure(f"{name}.cached", min(cached), "µs", "lower", CACHED_GOAL),
    ]


async def took(verify: Callable[[str], Awaitable[object]], tokens: Sequence[str]) -> float:
    """Return the processor time of one check in microseconds."""
    began = time.process_time_ns()
    for token in tokens:
        await verify(token)
    return (time.process_time_ns() - began) / len(tokens) / 1000


def citizens(key: ECKey | RSAKey) -> CitizenTokens:
    public = key.as_dict(private=False) | {"kid": "a"}

    async def fetch(url: str) -> dict[str, Any]:
        return {"keys": [public]} if url.endswith("jwks") else {"issuer": ISSUER, "jwks_uri": f"{ISSUER}jwks"}

    return CitizenTokens(audience=AUDIENCE, issuer=ISSUER, keys=IssuerKeys(ISSUER, fetch, _now), clock=_now)


def organisations(key: ECKey) -> OrganisationTokens:
    return OrganisationTokens(
        issuer="https://unwaith.example", audience="https://unwaith.example/o", signing_keys=[key], clock=_now
    )


def citizen_token(key: ECKey | RSAKey, algorithm: str, number: int) -> str:
    now = _now()
    claims = {
        "iss": ISSUER,
        "sub": f"urn:example:{number}",
        "aud": AUDIENCE,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(hours=1)).timestamp()),
        "jti": f"token-{number}",
        "client_id": "front-end",
        "scope": "changes:read changes:write",
        "vot": "P2",
        "verified_claims": {
            "verification": {"trust_framework": "uk_diatf", "assurance_level": "medium"},
            "claims": {
                "name": [
                    {"nameParts": [{"type": "GivenName", "value": "Siân"}, {"type": "FamilyName", "value": "Llŷr-Ŵyn"}]}
                ],
                "birthdate": "1987-03-01",
            },
        },
    }
    return jwt.encode({"alg": algorithm, "typ": "at+jwt", "kid": "a"}, claims, key, algorithms=[algorithm])


def _now() -> datetime:
    return datetime.now(UTC)

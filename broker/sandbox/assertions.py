"""Who calls the token endpoint: client assertions (RFC 7523, OpenID Connect Core 1.0 `private_key_jwt`)."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError

from broker.sandbox.clients import ALGORITHMS, Client
from broker.sandbox.expiring import Expiring

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_LIFE: Final = timedelta(minutes=5)
CLOCK_SKEW: Final = timedelta(seconds=10)
"""How far in the future an `iat` or `nbf` may lie."""
LONGEST_JTI: Final = 255
_ALLOWED_HEADERS: Final = frozenset({"alg", "kid", "typ"})
"""`jku`, `jwk`, `x5u` and `x5c` would let the caller bring a key of its own; `crit` we understand none of."""


class NotThisClient(Exception):  # noqa: N818  answered as `invalid_client`
    """The caller did not prove to be a registered client. Says which rule failed, never a value."""


def authenticate(
    form: Mapping[str, str],
    *,
    clients: Mapping[str, Client],
    audiences: frozenset[str],
    used: Expiring[None],
    now: datetime,
) -> Client:
    """Return the client whose assertion is in `form`, using up its `jti`.

    `audiences` are the names we go by: the token endpoint and the issuer. Raises NotThisClient.
    """
    if form.get("client_assertion_type") != ASSERTION_TYPE or "client_assertion" not in form:
        raise NotThisClient("send a client_assertion of type jwt-bearer (private_key_jwt)")
    if "client_secret" in form:
        raise NotThisClient("a client authenticates in one way only")
    assertion = form["client_assertion"]
    client = _claimed_client(assertion, clients)
    if form.get("client_id", client.client_id) != client.client_id:
        raise NotThisClient("client_id is another client's")
    claims = _verified_claims(assertion, client)
    _check(claims, client, audiences, now)
    # after everything else, so that only the client itself can use up its identifiers
    if not used.add(f"{client.client_id} {claims['jti']}", None, until=now + LONGEST_LIFE + CLOCK_SKEW, now=now):
        raise NotThisClient("jti was used before")
    return client


def _claimed_client(assertion: str, clients: Mapping[str, Client]) -> Client:
    try:
        parsed = jws.extract_compact(assertion.encode("ascii"))
        claims = jwt.Token(parsed.headers(), _object(parsed.payload)).claims
    except (JoseError, ValueError):
        raise NotThisClient("the assertion is not a JWT") from None
    issuer = claims.get("iss")
    client = clients.get(issuer) if isinstance(issuer, str) else None
    if client is None:
        raise NotThisClient("iss is not a registered client")
    return client


def _object(payload: bytes) -> dict[str, Any]:
    value = json.loads(payload)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004  read by `_claimed_client` as one failure
    return value


def _verified_claims(assertion: str, client: Client) -> dict[str, Any]:
    key = client.key()
    try:
        token = jwt.decode(assertion, key, algorithms=ALGORITHMS[key.key_type])
    except (JoseError, ValueError):
        raise NotThisClient("the signature is not by the registered key, or not in an allowed algorithm") from None
    if not set(token.header) <= _ALLOWED_HEADERS:
        raise NotThisClient("the header may hold alg, kid and typ only")
    if key.kid is not None and token.header.get("kid", key.kid) != key.kid:
        raise NotThisClient("kid is not the registered key's")
    return token.claims


def _check(claims: Mapping[str, Any], client: Client, audiences: frozenset[str], now: datetime) -> None:
    if claims.get("sub") != client.client_id:
        raise NotThisClient("sub must be the client, as iss is")
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if not named or not all(isinstance(name, str) and name in audiences for name in named):
        raise NotThisClient("aud must be the token endpoint or the issuer")
    expires = _whole_seconds(claims, "exp")
    if expires is None:
        raise NotThisClient("exp is missing")
    if expires <= now.timestamp():
        raise NotThisClient("the assertion has expired")
    if expires > (now + LONGEST_LIFE).timestamp():
        raise NotThisClient("exp is more than 5 minutes away")
    for name in ("iat", "nbf"):
        moment = _whole_seconds(claims, name)
        if moment is not None and moment > (now + CLOCK_SKEW).timestamp():
            raise NotThisClient(f"{name} lies in the future")
    identifier = claims.get("jti")
    if not isinstance(identifier, str) or not 1 <= len(identifier) <= LONGEST_JTI:
        raise NotThisClient("jti is missing")


def _whole_seconds(claims: Mapping[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise NotThisClient(f"{name} must be whole seconds")
    return value

"""Organisations' access tokens (RFC 9068): made, published and verified by us alone."""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey

from broker.identity.keys import Keys
from broker.identity.refusals import InvalidToken, TokenFault
from broker.identity.remembered import Remembered
from broker.identity.tokens import check_audience, check_issuer, check_times, needed_moment, scopes, text, unpack

ORGANISATION_SCOPES: Final = frozenset(
    {"confirmations:write", "deliveries:read", "receipts:write", "subscriptions:write"}
)
"""All an organisation can ever be given, whatever the register says: a citizen's scope is not among them."""
LIFETIME: Final = timedelta(seconds=300)
SIGNING_ALGORITHM: Final = "ES256"


@dataclass(frozen=True, slots=True)
class CallingOrganisation:
    """An organisation that is calling. It may see and do what is its own, within its scopes."""

    organisation: str
    client_id: str
    scopes: frozenset[str]


class OrganisationTokens:
    """Issues and verifies organisations' tokens. The first key signs; all are published, so keys can rotate.

    To rotate: publish the new key second; when verifiers have seen it, put it first; drop the old one LIFETIME later.
    """

    def __init__(
        self, *, issuer: str, audience: str, signing_keys: Sequence[ECKey], clock: Callable[[], datetime]
    ) -> None:
        """Raises ValueError unless there is at least one key and all are private P-256 keys."""
        if not signing_keys or not all(_may_sign(key) for key in signing_keys):
            raise ValueError("organisations' tokens need at least one signing key, each a private P-256 key")
        self.issuer = issuer
        self.audience = audience
        self._clock = clock
        self._published = {"keys": [_published(key) for key in signing_keys]}
        self._keys = Keys(self._published)
        self._signing_key = signing_keys[0]
        self._signing_key_id = signing_keys[0].thumbprint()
        self._remembered: Remembered[CallingOrganisation] = Remembered()

    def jwks(self) -> dict[str, Any]:
        """Return our JWK Set (RFC 7517, section 5): public keys only, each named by its RFC 7638 thumbprint."""
        return {"keys": [dict(key) for key in self._published["keys"]]}

    def issue(self, caller: CallingOrganisation) -> str:
        """Return an access token for `caller`, good for LIFETIME."""
        now = int(self._clock().timestamp())
        claims = {
            "iss": self.issuer,
            "sub": caller.client_id,
            "aud": self.audience,
            "iat": now,
            "exp": now + int(LIFETIME.total_seconds()),
            "jti": secrets.token_urlsafe(16),
            "client_id": caller.client_id,
            "scope": " ".join(sorted(caller.scopes)),
            "organisation": caller.organisation,
        }
        header = {"alg": SIGNING_ALGORITHM, "typ": "at+jwt", "kid": self._signing_key_id}
        return jwt.encode(header, claims, self._signing_key, algorithms=[SIGNING_ALGORITHM])

    def verify(self, token: str) -> CallingOrganisation:
        """Return which organisation is calling. Raises InvalidToken.

        An organisation taken off the register stays in until its token ends: LIFETIME at most.
        """
        now = self._clock()
        known = self._remembered.recall(token, now)
        if known is not None:
            return known
        signed = unpack(token, types={"at+jwt"}, algorithms={SIGNING_ALGORITHM})
        if signed.key_id is None:
            raise InvalidToken(TokenFault.KEY_ID)
        claims = signed.proven_by(self._keys.find(signed.key_id, signed.algorithm))
        check_issuer(claims, self.issuer)
        check_audience(claims, self.audience)
        expires = check_times(claims, now)
        if expires - needed_moment(claims, "iat") > LIFETIME:
            raise InvalidToken(TokenFault.LIFETIME)
        text(claims, "jti")
        caller = CallingOrganisation(text(claims, "organisation"), text(claims, "client_id"), scopes(claims))
        if text(claims, "sub") != caller.client_id or not caller.scopes <= ORGANISATION_SCOPES:
            raise InvalidToken(TokenFault.CLAIMS)
        self._remembered.remember(token, caller, expires=expires, now=now)
        return caller


def _published(key: ECKey) -> dict[str, Any]:
    public = key.as_dict(private=False)
    material = {name: public[name] for name in ("kty", "crv", "x", "y")}
    return {**material, "use": "sig", "alg": SIGNING_ALGORITHM, "kid": key.thumbprint()}


def signing_key_from_jwk(raw: str | bytes) -> ECKey:
    """Return the signing key in a private JWK, as settings hold it. Raises ValueError, without the key in its text."""
    try:
        key = ECKey.import_key(json.loads(raw))
    except Exception:  # noqa: BLE001  whatever is wrong, never a text or a cause that might repeat the key
        raise ValueError("the signing key is not a JWK") from None
    if not _may_sign(key):
        raise ValueError("the signing key is not a private P-256 JWK")
    return key


def _may_sign(key: ECKey) -> bool:
    return key.is_private and key.curve_name == "P-256"

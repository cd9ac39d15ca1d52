"""What the provider signs: ID tokens, access tokens for our API, and the identity service's own statement."""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import ECKey

from broker.sandbox.authorization import API_SCOPES, AuthorizationRequest
from broker.sandbox.people import SamplePerson
from broker.sandbox.state import SandboxState

ID_TOKEN_LIFE: Final = timedelta(minutes=2)
OPAQUE_LIFE: Final = timedelta(seconds=180)
JWT_LIFE: Final = timedelta(minutes=30)
IDENTITY_LIFE: Final = timedelta(minutes=30)
SUBJECT_PREFIX: Final = "urn:fdc:sandbox.unwaith.example:2026:"


@dataclass(frozen=True, slots=True)
class SignIn:
    """One person having signed in to one client."""

    request: AuthorizationRequest
    person: SamplePerson
    sid: str
    at: datetime

    @property
    def identity_proved(self) -> bool:
        """Whether P2 was asked for and this person has it."""
        return self.request.identity and self.person.proved()


@dataclass(frozen=True, slots=True)
class Names:
    """How the provider and its identity service are called."""

    issuer: str
    """With a trailing slash, as at GOV.UK One Login."""

    @property
    def identity_issuer(self) -> str:
        """The identity service: another issuer than the provider, so that nobody can mistake their tokens."""
        return f"{self.issuer}identity/"

    @property
    def did(self) -> str:
        """Its DID (did:web, section 2.5.1: the port's colon is percent-encoded)."""
        return f"did:web:{quote(urlsplit(self.issuer).netloc, safe='')}"

    @property
    def trustmark(self) -> str:
        return f"{self.issuer}trustmark"

    def identity_kid(self, key: ECKey) -> str:
        return f"{self.did}#{key.thumbprint()}"


def subject_of(state: SandboxState, sector: str, person: SamplePerson) -> str:
    """Return the pairwise `sub`: the same for one sector, not to be joined across sectors."""
    keyed = hmac.digest(state.pairwise_salt, f"{sector}\x00{person.key}".encode(), "sha256")
    return SUBJECT_PREFIX + _base64url(keyed)


def id_token(names: Names, state: SandboxState, signed_in: SignIn, access_token: str, now: datetime) -> str:
    """Return an ID token. Its `vot` never shows P2; only `coreIdentityJWT` proves that."""
    request = signed_in.request
    claims: dict[str, Any] = {
        "iss": names.issuer,
        "sub": subject_of(state, request.client.sector, signed_in.person),
        "aud": request.client.client_id,
        "iat": _seconds(now),
        "exp": _seconds(now + ID_TOKEN_LIFE),
        "auth_time": _seconds(signed_in.at),
        "nonce": request.nonce,
        "sid": signed_in.sid,
        "vot": request.vot,
        "vtm": names.trustmark,
        # OpenID Connect Core 1.0, section 3.1.3.6
        "at_hash": _base64url(hashlib.sha256(access_token.encode("ascii")).digest()[:16]),
    }
    if signed_in.person.second_factor:
        claims["amr"] = ["pwd", "otp", "mfa"]  # RFC 8176
    return jwt.encode({"alg": "ES256", "kid": state.signing_key.kid}, claims, state.signing_key)


def api_token(names: Names, state: SandboxState, signed_in: SignIn, now: datetime) -> str:
    """Return an access token for our API (RFC 9068), with the identity as OpenID Connect for Identity Assurance has it."""
    request, person = signed_in.request, signed_in.person
    claims: dict[str, Any] = {
        "iss": names.issuer,
        "sub": subject_of(state, request.client.sector, person),
        "aud": request.resource,
        "iat": _seconds(now),
        "exp": _seconds(now + JWT_LIFE),
        "auth_time": _seconds(signed_in.at),
        "jti": str(uuid4()),
        "client_id": request.client.client_id,
        "vot": "P2" if signed_in.identity_proved else request.vot,
    }
    if scopes := [scope for scope in request.scopes if scope in API_SCOPES]:
        claims["scope"] = " ".join(scopes)
    if person.preferred_language:
        claims["locale"] = person.preferred_language
    if signed_in.identity_proved:
        claims["verified_claims"] = {
            "verification": {"trust_framework": "uk_diatf", "assurance_level": "medium"},
            "claims": {"name": person.vocabulary_name(), "birthdate": person.birth_date.isoformat()},
        }
    header = {"alg": "ES256", "typ": "at+jwt", "kid": state.signing_key.kid}
    return jwt.encode(header, claims, state.signing_key)


def core_identity(names: Names, state: SandboxState, signed_in: SignIn, now: datetime) -> str:
    """Return the identity service's statement that this person's identity is proved to P2."""
    request, person = signed_in.request, signed_in.person
    claims = {
        "iss": names.identity_issuer,
        "sub": subject_of(state, request.client.sector, person),
        "aud": request.client.client_id,
        "iat": _seconds(now),
        "nbf": _seconds(now),
        "exp": _seconds(now + IDENTITY_LIFE),
        "vot": "P2",
        "vtm": names.trustmark,
        "vc": {
            "type": ["VerifiableCredential", "IdentityCheckCredential"],
            "credentialSubject": {
                "name": person.vocabulary_name(),
                "birthDate": [{"value": person.birth_date.isoformat()}],
            },
        },
    }
    header = {"alg": "ES256", "kid": names.identity_kid(state.identity_key)}
    return jwt.encode(header, claims, state.identity_key)


def logout_token(
    names: Names, state: SandboxState, client_id: str, now: datetime, *, subject: str, sid: str | None
) -> str:
    """Return the word that somebody signed out here (OpenID Connect Back-Channel Logout 1.0, section 2.4).

    Without `sid` every session of the person is meant.
    """
    claims: dict[str, Any] = {
        "iss": names.issuer,
        "sub": subject,
        "aud": client_id,
        "iat": _seconds(now),
        "exp": _seconds(now + ID_TOKEN_LIFE),
        "jti": str(uuid4()),
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }
    if sid is not None:
        claims["sid"] = sid
    header = {"alg": "ES256", "typ": "logout+jwt", "kid": state.signing_key.kid}
    return jwt.encode(header, claims, state.signing_key)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")

"""Our token endpoint for organisations: client credentials, authenticated by a signed assertion (`private_key_jwt`).

RFC 6749 sections 4.4 and 5, RFC 7521, RFC 7523. The route only hands over the form and writes down the answer.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from broker.identity.jose import ALGORITHMS
from broker.identity.keys import Keys
from broker.identity.organisations import LIFETIME, ORGANISATION_SCOPES, CallingOrganisation, OrganisationTokens
from broker.identity.refusals import InvalidToken, TokenFault
from broker.identity.tokens import LEEWAY, Claims, check_times, split_scopes, text, unpack
from broker.store.register import Client

GRANT_TYPE: Final = "client_credentials"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_TYPES: Final = frozenset({None, "jwt", "client-authentication+jwt"})
"""`typ` of an assertion. Never `at+jwt`: an access token is no proof of holding a client's key."""
LONGEST_ASSERTION: Final = timedelta(minutes=5)
HEADERS: Final[Mapping[str, str]] = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""On every answer of the endpoint (RFC 6749, section 5.1)."""

FindClient = Callable[[str], Awaitable[Client | None]]
"""Client id → client, such as `register.client` with its database. May be asked for any printable text."""
RememberAssertion = Callable[[str, bytes, datetime], Awaitable[bool]]
"""(client id, SHA-256 of the jti, until) → True if it was new and is now remembered until then; False if it was known.

Decided by the store in one statement, for all processes: `register.remember_assertion`. If it raises, nothing is
issued."""


class OAuthError(StrEnum):
    """The error codes of RFC 6749, section 5.2, that can occur here."""

    INVALID_REQUEST = "invalid_request"
    INVALID_CLIENT = "invalid_client"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    INVALID_SCOPE = "invalid_scope"


@dataclass(frozen=True, slots=True)
class Issued:
    """A token was issued (RFC 6749, section 5.1)."""

    access_token: str = field(repr=False)
    caller: CallingOrganisation
    status: HTTPStatus = HTTPStatus.OK

    def body(self) -> dict[str, Any]:
        return {
            "access_token": self.access_token,
            "token_type": "Bearer",
            "expires_in": int(LIFETIME.total_seconds()),
            "scope": " ".join(sorted(self.caller.scopes)),
        }


@dataclass(frozen=True, slots=True)
class NotIssued:
    """No token was issued (RFC 6749, section 5.2). The description is ours and repeats nothing of the request."""

    error: OAuthError
    description: str

    @property
    def status(self) -> HTTPStatus:
        return HTTPStatus.UNAUTHORIZED if self.error is OAuthError.INVALID_CLIENT else HTTPStatus.BAD_REQUEST

    def body(self) -> dict[str, Any]:
        return {"error": self.error.value, "error_description": self.description}


class _Refused(Exception):  # noqa: N818  carries the answer out of the steps below; never leaves this file
    def __init__(self, error: OAuthError, description: str) -> None:
        super().__init__(description)
        self.answer = NotIssued(error, description)


class TokenEndpoint:
    """Answers token requests. Holds no state: what must be remembered is remembered by the store."""

    def __init__(
        self,
        *,
        url: str,
        tokens: OrganisationTokens,
        find_client: FindClient,
        remember_assertion: RememberAssertion,
        clock: Callable[[], datetime],
    ) -> None:
        """`url` is the endpoint's own address, as organisations know it."""
        self._url = url
        self._tokens = tokens
        self._find_client = find_client
        self._remember_assertion = remember_assertion
        self._clock = clock

    async def answer(self, form: Iterable[tuple[str, str]]) -> Issued | NotIssued:
        """Return the answer to one token request, given its form fields in the order they came.

        What `find_client` and `remember_assertion` raise passes through: then nothing was issued.
        """
        try:
            fields = _once_each(form)
            if "grant_type" not in fields:
                raise _Refused(OAuthError.INVALID_REQUEST, "grant_type is missing")  # noqa: TRY301  one way out
            if fields["grant_type"] != GRANT_TYPE:
                raise _Refused(OAuthError.UNSUPPORTED_GRANT_TYPE, f"grant_type must be {GRANT_TYPE}")  # noqa: TRY301
            client = await self._authenticate(fields)
            caller = CallingOrganisation(client.organisation, client.client_id, _granted(fields.get("scope"), client))
        except _Refused as refused:
            return refused.answer
        return Issued(self._tokens.issue(caller), caller)

    async def _authenticate(self, fields: Mapping[str, str]) -> Client:
        """Return the client whose key signed the assertion, once per assertion. Raises _Refused."""
        if "client_secret" in fields:
            raise _Refused(OAuthError.INVALID_REQUEST, "authenticate by client_assertion alone")
        if fields.get("client_assertion_type") != ASSERTION_TYPE or not fields.get("client_assertion"):
            raise _Refused(OAuthError.INVALID_CLIENT, f"a client_assertion of type {ASSERTION_TYPE} is needed")
        try:
            signed = unpack(fields["client_assertion"], types=ASSERTION_TYPES)
            client_id = text(signed.unproven(), "sub")
            client = await self._find_client(client_id)
            if client is None or client.client_id != client_id:
                raise InvalidToken(TokenFault.UNKNOWN_KEY)  # noqa: TRY301  an unknown client looks like an unknown key
            claims = signed.proven_by(_keys(client).find(signed.key_id, signed.algorithm))
            jti, until = self._check_assertion(claims, client_id)
        except InvalidToken as invalid:
            raise _Refused(OAuthError.INVALID_CLIENT, _described(invalid.fault)) from None
        if fields.get("client_id", client_id) != client_id:
            raise _Refused(OAuthError.INVALID_CLIENT, "client_id is not the assertion's sub")
        if not await self._remember_assertion(client_id, jti, until):
            raise _Refused(OAuthError.INVALID_CLIENT, "the assertion's jti was used before; make a new one each time")
        return client

    def _check_assertion(self, claims: Claims, client_id: str) -> tuple[bytes, datetime]:
        """Return the digest of the assertion's `jti` and until when it could be used again (RFC 7523, section 3)."""
        now = self._clock()
        if claims.get("iss") != client_id:  # `client_id` is the assertion's own `sub`
            raise InvalidToken(TokenFault.ISSUER)
        audience = claims.get("aud")
        if isinstance(audience, list) and len(audience) == 1:
            [audience] = audience
        if not isinstance(audience, str) or audience not in {self._url, self._tokens.issuer}:
            raise InvalidToken(TokenFault.AUDIENCE)  # one alone: another server must not be able to use it here
        expires = check_times(claims, now)
        if expires - now > LONGEST_ASSERTION + LEEWAY:
            raise InvalidToken(TokenFault.LIFETIME)
        return hashlib.sha256(text(claims, "jti").encode()).digest(), expires + LEEWAY

    def metadata(self, jwks_url: str) -> dict[str, Any]:
        """Return what `/.well-known/oauth-authorization-server` says (RFC 8414, section 2)."""
        return {
            "issuer": self._tokens.issuer,
            "token_endpoint": self._url,
            "jwks_uri": jwks_url,
            "grant_types_supported": [GRANT_TYPE],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": sorted(ALGORITHMS),
            "scopes_supported": sorted(ORGANISATION_SCOPES),
        }


def _once_each(form: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the fields by name. A field sent twice is refused, an empty one is absent (RFC 6749, section 3.2)."""
    fields: dict[str, str] = {}
    for name, value in form:
        if name in fields:
            raise _Refused(OAuthError.INVALID_REQUEST, "a parameter is repeated")
        fields[name] = value
    return {name: value for name, value in fields.items() if value}


def _granted(asked: str | None, client: Client) -> frozenset[str]:
    """Return the scopes asked for, or all the client may have if it asks for none in particular."""
    may_have = client.scopes & ORGANISATION_SCOPES
    try:
        wanted = may_have if asked is None else split_scopes(asked)
    except ValueError:
        wanted = frozenset()
    if not wanted or not wanted <= may_have:
        raise _Refused(OAuthError.INVALID_SCOPE, "the scope is malformed, or more than this client may have")
    return wanted


def _keys(client: Client) -> Keys:
    try:
        return Keys(client.jwks)
    except ValueError:
        raise InvalidToken(TokenFault.UNKNOWN_KEY) from None


_UNPROVEN: Final = frozenset({TokenFault.UNKNOWN_KEY, TokenFault.SIGNATURE})


def _described(fault: TokenFault) -> str:
    """Return what to tell the caller. Before the signature holds, not even whether the client exists."""
    if fault in _UNPROVEN:
        return "the client is unknown, or the assertion is not signed by one of its registered keys"
    return fault.value.replace("the token", "the assertion", 1)

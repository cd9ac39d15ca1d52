"""Reading a signed token, strictly: shape before signature, signature before claims.

What is the same for every trust domain lives here. Which issuer, audience and keys count is each domain's own.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from joserfc.jwk import Key

from broker.identity.jose import ALGORITHMS, json_object, signature_holds, unbase64url
from broker.identity.refusals import InvalidToken, TokenFault

LARGEST_TOKEN: Final = 8192
"""Characters. Ours are under 1,000; a citizen's with verified claims under 3,000."""
LEEWAY: Final = timedelta(seconds=10)
"""How far two clocks may differ."""

_HEADERS: Final = frozenset({"alg", "typ", "kid", "x5t", "x5t#S256"})
"""Header parameters that may appear. `x5t` only names a certificate and is ignored. Those that bring or point to a
key (`jwk`, `jku`, `x5c`, `x5u`) and `crit`, `b64`, `cty`, `enc`, `zip` are refused even beside a good signature."""
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~:#/%+=-]{0,127}")  # %: a port in a did:web
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}")  # scope-token, RFC 6749 section 3.3
_MOST_SCOPES: Final = 64
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31T23:59:59Z, the last that datetime can hold

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token of the right shape. Nothing in it is to be believed before `proven_by`."""

    algorithm: str
    key_id: str | None
    payload: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def proven_by(self, key: Key | None) -> Claims:
        """Return the claims if `key` signed them. Raises InvalidToken (UNKNOWN_KEY, SIGNATURE, MALFORMED)."""
        if key is None:
            raise InvalidToken(TokenFault.UNKNOWN_KEY)
        if not signature_holds(self.algorithm, self.signed, self.signature, key):
            raise InvalidToken(TokenFault.SIGNATURE)
        return self.unproven()

    def unproven(self) -> Claims:
        """Return the claims without asking who signed them: only to learn whose keys to look for."""
        try:
            return json_object(self.payload)
        except ValueError:
            raise InvalidToken(TokenFault.MALFORMED) from None


def unpack(token: str, *, types: Collection[str | None], algorithms: Collection[str] = ALGORITHMS) -> SignedToken:
    """Return `token` taken apart, if its outside is right.

    `types` are the `typ` values taken, lower case, without `application/`; None among them takes a token without one.
    Raises InvalidToken (OVERSIZED, MALFORMED, HEADER, ALGORITHM, TYPE, KEY_ID).
    """
    if len(token) > LARGEST_TOKEN:
        raise InvalidToken(TokenFault.OVERSIZED)
    try:
        signed, _, signature_part = token.rpartition(".")
        header_part, payload_part = signed.split(".")
        header = json_object(unbase64url(header_part))
        payload, signature = unbase64url(payload_part), unbase64url(signature_part)
    except ValueError:
        raise InvalidToken(TokenFault.MALFORMED) from None
    if not header.keys() <= _HEADERS:
        raise InvalidToken(TokenFault.HEADER)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise InvalidToken(TokenFault.ALGORITHM)
    if _media_type(header) not in types:
        raise InvalidToken(TokenFault.TYPE)
    key_id = header.get("kid")
    if "kid" in header and not (isinstance(key_id, str) and _KEY_ID.fullmatch(key_id)):
        raise InvalidToken(TokenFault.KEY_ID)
    return SignedToken(algorithm, key_id, payload, signed.encode("ascii"), signature)


def _media_type(header: Mapping[str, Any]) -> str | None:
    """Return `typ` in lower case without `application/` (RFC 7515, section 4.1.9), None if there is none."""
    if "typ" not in header:
        return None
    typ = header["typ"]
    if not isinstance(typ, str):
        raise InvalidToken(TokenFault.TYPE)
    return typ.lower().removeprefix("application/")


def text(claims: Claims, name: str) -> str:
    """Return a claim of 1 to 255 printable ASCII characters without spaces. Raises InvalidToken (CLAIMS)."""
    value = claims.get(name)
    if not isinstance(value, str) or len(value) > 255 or not _PRINTABLE.fullmatch(value):  # noqa: PLR2004  OIDC's limit on `sub`
        raise InvalidToken(TokenFault.CLAIMS)
    return value


def moment(claims: Claims, name: str) -> datetime | None:
    """Return a NumericDate (RFC 7519, section 2), None if absent.

    Raises InvalidToken (CLAIMS) for text, true, null, infinities and years beyond 9999.
    """
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken(TokenFault.CLAIMS)
    if not 0 <= value <= _LAST_SECOND:
        raise InvalidToken(TokenFault.CLAIMS)
    return datetime.fromtimestamp(value, UTC)


def needed_moment(claims: Claims, name: str) -> datetime:
    """Return a NumericDate that must be there. Raises InvalidToken (CLAIMS)."""
    value = moment(claims, name)
    if value is None:
        raise InvalidToken(TokenFault.CLAIMS)
    return value


def check_times(claims: Claims, now: datetime) -> datetime:
    """Return when the token expires, if it holds now, give or take LEEWAY.

    `exp` must be there; `iat` and `nbf` where they are there must not be ahead.
    Raises InvalidToken (CLAIMS, EXPIRED, NOT_YET).
    """
    expires = needed_moment(claims, "exp")
    if now - expires >= LEEWAY:  # by difference: adding to a moment in the year 9999 overflows
        raise InvalidToken(TokenFault.EXPIRED)
    for name in ("iat", "nbf"):
        since = moment(claims, name)
        if since is not None and since - now > LEEWAY:
            raise InvalidToken(TokenFault.NOT_YET)
    return expires


def check_issuer(claims: Claims, issuer: str) -> None:
    """Raise InvalidToken (ISSUER) unless `iss` is `issuer`, character for character."""
    if claims.get("iss") != issuer:
        raise InvalidToken(TokenFault.ISSUER)


def check_audience(claims: Claims, audience: str) -> None:
    """Raise InvalidToken (AUDIENCE) unless `aud` is our audience, or a list of texts with it."""
    value = claims.get("aud")
    named = [value] if isinstance(value, str) else value
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named) or audience not in named:
        raise InvalidToken(TokenFault.AUDIENCE)


def scopes(claims: Claims) -> frozenset[str]:
    """Return the scopes of the `scope` claim (RFC 9068, section 2.2.3), none if absent. Raises InvalidToken (CLAIMS)."""
    value = claims.get("scope", "")
    if not isinstance(value, str):
        raise InvalidToken(TokenFault.CLAIMS)
    try:
        return split_scopes(value)
    except ValueError:
        raise InvalidToken(TokenFault.CLAIMS) from None


def split_scopes(value: str) -> frozenset[str]:
    """Return the scope-tokens of a scope value (RFC 6749, section 3.3). Raises ValueError if it is not one."""
    if not value:
        return frozenset()
    named = value.split(" ")
    if len(named) > _MOST_SCOPES or not all(_SCOPE.fullmatch(one) for one in named):
        raise ValueError("not a scope value")
    return frozenset(named)

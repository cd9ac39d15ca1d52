"""A provider's word that somebody signed out there (OpenID Connect Back-Channel Logout 1.0), read strictly."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from broker.identity.refusals import InvalidToken, TokenFault
from broker.identity.tokens import LEEWAY, Claims, check_issuer, check_times, needed_moment, text

LOGOUT_TYPES: Final = frozenset({"logout+jwt"})
"""Section 2.4. Asked for, though the standard only recommends it: no ID token or access token can then pass for one."""
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
LONGEST_LOGOUT: Final = timedelta(minutes=10)
"""From `iat` to `exp`. The standard recommends two minutes at most; so long its `jti` is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedOut:
    """Who signed out at the provider. At least one of `subject` and `provider_session` is there."""

    issuer: str
    subject: str | None = field(repr=False)
    provider_session: str | None = field(repr=False)
    """None: every session of `subject` is meant."""
    jti: bytes = field(repr=False)
    """SHA-256 of the token's name, which may not come twice until `until`."""
    until: datetime


def read_logout(claims: Claims, *, issuer: str, client_id: str, now: datetime) -> LoggedOut:
    """Return who signed out, from the claims of a logout token whose signature holds (section 2.6).

    Raises InvalidToken (ISSUER, AUDIENCE, EXPIRED, NOT_YET, LIFETIME, CLAIMS).
    """
    check_issuer(claims, issuer)
    if claims.get("aud") not in (client_id, [client_id]):  # ours, and nobody's beside
        raise InvalidToken(TokenFault.AUDIENCE)
    expires = check_times(claims, now)
    if expires - needed_moment(claims, "iat") > LONGEST_LOGOUT:
        raise InvalidToken(TokenFault.LIFETIME)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise InvalidToken(TokenFault.CLAIMS)
    if "nonce" in claims:  # prohibited, so that it can never stand for an ID token
        raise InvalidToken(TokenFault.CLAIMS)
    subject = text(claims, "sub") if "sub" in claims else None
    session = text(claims, "sid") if "sid" in claims else None
    if subject is None and session is None:
        raise InvalidToken(TokenFault.CLAIMS)
    return LoggedOut(
        issuer=issuer,
        subject=subject,
        provider_session=session,
        jti=hashlib.sha256(text(claims, "jti").encode()).digest(),
        until=expires + LEEWAY,
    )

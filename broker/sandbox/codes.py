"""Authorization codes: single use, one minute, bound to client, redirect_uri and PKCE verifier."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from broker.sandbox.expiring import Expiring
from broker.sandbox.tokens import JWT_LIFE, SignIn

CODE_LIFE: Final = timedelta(seconds=60)
REMEMBERED: Final = JWT_LIFE + CODE_LIFE
"""So long a used code is known again, and its tokens can be revoked (RFC 6749, section 4.1.2)."""

_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, section 4.1


class InvalidGrant(Exception):  # noqa: N818  answered as `invalid_grant`
    """The code gives nothing. `replayed` is the sign-in whose tokens must be revoked, when it was used before."""

    def __init__(self, says: str, replayed: SignIn | None = None) -> None:
        super().__init__(says)
        self.replayed = replayed


@dataclass(slots=True)
class _Code:
    signed_in: SignIn
    until: datetime
    used: bool = False


class Codes:
    """The codes given out."""

    def __init__(self) -> None:
        self._codes: Expiring[_Code] = Expiring()

    def issue(self, signed_in: SignIn, now: datetime) -> str:
        code = secrets.token_urlsafe(32)
        self._codes.add(code, _Code(signed_in, now + CODE_LIFE), until=now + REMEMBERED, now=now)
        return code

    def redeem(self, code: str, *, client_id: str, redirect_uri: str, verifier: str, now: datetime) -> SignIn:
        """Return the sign-in behind `code`, using it up even when the rest is wrong. Raises InvalidGrant."""
        found = self._codes.get(code, now)
        # another client's attempt leaves it: else anybody who saw a code could spoil it
        if found is None or found.signed_in.request.client.client_id != client_id:
            raise InvalidGrant("the code is not one given to this client")
        if found.used:
            raise InvalidGrant("the code was used before: the tokens issued for it are revoked", found.signed_in)
        found.used = True
        if now >= found.until:
            raise InvalidGrant("the code has expired")
        if redirect_uri != found.signed_in.request.redirect_uri:
            raise InvalidGrant("redirect_uri is not the one of the authorization request")
        if not _answers(verifier, found.signed_in.request.challenge):
            raise InvalidGrant("code_verifier does not answer the code_challenge")
        return found.signed_in


def _answers(verifier: str, challenge: str) -> bool:
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=")
    return hmac.compare_digest(digest, challenge.encode("ascii"))

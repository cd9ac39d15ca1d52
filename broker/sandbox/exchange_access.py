"""How a sample organisation signs in to the exchange: client credentials, proven by a key of its own."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from broker.sandbox.assertions import ASSERTION_TYPE
from broker.sandbox.clock import Clock

ASSERTION_LIFE: Final = timedelta(minutes=1)
TOKEN_MARGIN: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeAccess:
    """How one organisation reaches the exchange."""

    token_url: str
    """The exchange's token endpoint; also the `aud` of the assertion."""
    receipts_url: str
    events_url: str | None = None
    """Where it comes for its deliveries; None for one that is called."""
    client_id: str
    key: ECKey | RSAKey = field(repr=False)
    """Its private key, registered with the exchange."""
    scope: str | None = None


class AccessTokens:
    """One organisation's access token, renewed as it ends."""

    def __init__(self, access: ExchangeAccess, http: httpx.AsyncClient, clock: Clock) -> None:
        self._access = access
        self._http = http
        self._clock = clock
        self._token: tuple[str, datetime] | None = None

    def forget(self) -> None:
        """Use the token no more: the exchange has refused it."""
        self._token = None

    async def header(self) -> dict[str, str]:
        """Return the header to come with. Raises httpx.HTTPError, and ValueError or KeyError for an odd answer."""
        return {"Authorization": f"Bearer {await self._current()}"}

    async def _current(self) -> str:
        """Return a token by client credentials (RFC 6749, section 4.4), kept until shortly before it expires."""
        now = self._clock()
        if self._token and self._token[1] > now:
            return self._token[0]
        access = self._access
        claims = {
            "iss": access.client_id,
            "sub": access.client_id,
            "aud": access.token_url,
            "jti": str(uuid4()),
            "iat": int(now.timestamp()),
            "exp": int((now + ASSERTION_LIFE).timestamp()),
        }
        algorithm = "ES256" if access.key.key_type == "EC" else "PS256"
        header = {"alg": algorithm, "kid": access.key.kid}
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": jwt.encode(header, claims, access.key, algorithms=[algorithm]),
        }
        if access.scope:
            form["scope"] = access.scope
        response = await self._http.post(access.token_url, data=form)
        response.raise_for_status()
        answer = response.json()
        token = str(answer["access_token"])
        self._token = (token, now + timedelta(seconds=int(answer.get("expires_in", 60))) - TOKEN_MARGIN)
        return token

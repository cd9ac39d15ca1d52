"""Answering later: the organisation signs in to the exchange and reports what it did (`POST /v1/receipts`)."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import httpx
import structlog
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from broker.sandbox.assertions import ASSERTION_TYPE
from broker.sandbox.clock import Clock
from broker.sandbox.inbox import Inbox, Owed
from contracts.receipts import Answer

log = structlog.get_logger()

POLL_SECONDS: Final = 0.2
BATCH: Final = 50
ASSERTION_LIFE: Final = timedelta(minutes=1)
LONGEST_DELAY: Final = timedelta(seconds=30)
TOKEN_MARGIN: Final = timedelta(seconds=30)
DEADLINE_SECONDS: Final = 10.0
_PASSING: Final = frozenset({401, 408, 425, 429})
"""Refusals that another try may turn; so may every 5xx."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeAccess:
    """How one organisation reaches the exchange."""

    token_url: str
    """The exchange's token endpoint; also the `aud` of the assertion."""
    receipts_url: str
    client_id: str
    key: ECKey | RSAKey = field(repr=False)
    """Its private key, registered with the exchange."""
    scope: str | None = None


class LaterAnswers:
    """Gives the answers an inbox owes, as they fall due, until the exchange takes or refuses each."""

    def __init__(
        self, inbox: Inbox, access: ExchangeAccess, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._inbox = inbox
        self._access = access
        self._clock = clock
        self._http = httpx.AsyncClient(transport=transport, timeout=DEADLINE_SECONDS, trust_env=False)
        self._token: tuple[str, datetime] | None = None

    async def run(self) -> None:
        """Poll and answer until cancelled."""
        try:
            while True:
                await self.answer_due()
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await self._http.aclose()

    async def answer_due(self) -> None:
        """Give every answer that is due, one after the other."""
        for owed in await self._inbox.owed(self._clock(), BATCH):
            try:
                status = await self._send(owed)
            except (httpx.HTTPError, ValueError, KeyError):
                status = None
            now = self._clock()
            if status is not None and 200 <= status < 300:  # noqa: PLR2004  HTTP success
                await self._inbox.settle(owed, now, taken=True)
            elif status is not None and 400 <= status < 500 and status not in _PASSING:  # noqa: PLR2004  HTTP refusal
                log.warning("sandbox.answer_refused", delivery_id=owed.event_id, status=status)
                await self._inbox.settle(owed, now, taken=False)
            else:
                delay = min(timedelta(seconds=2 ** min(owed.attempts, 10)), LONGEST_DELAY)
                await self._inbox.postpone(owed, now + delay)

    async def _send(self, owed: Owed) -> int:
        token = await self._access_token()
        answer = Answer(
            id=UUID(owed.id),
            delivery_id=UUID(owed.event_id),
            outcome=owed.outcome,
            reference=owed.reference,
            at=self._clock(),
        )
        response = await self._http.post(
            self._access.receipts_url,
            content=answer.model_dump_json(exclude_none=True),
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "Idempotency-Key": owed.id,
            },
        )
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._token = None
        return response.status_code

    async def _access_token(self) -> str:
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

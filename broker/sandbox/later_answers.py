"""Answering later: the organisation signs in to the exchange and reports what it did (`POST /v1/receipts`)."""

import asyncio
from datetime import timedelta
from typing import Final
from uuid import UUID

import httpx
import structlog

from broker.sandbox.clock import Clock
from broker.sandbox.exchange_access import AccessTokens, ExchangeAccess
from broker.sandbox.inbox import Inbox, Owed
from contracts.receipts import Answer

log = structlog.get_logger()

POLL_SECONDS: Final = 0.2
BATCH: Final = 50
LONGEST_DELAY: Final = timedelta(seconds=30)
DEADLINE_SECONDS: Final = 10.0
_PASSING: Final = frozenset({401, 408, 425, 429})
"""Refusals that another try may turn; so may every 5xx."""


class LaterAnswers:
    """Gives the answers an inbox owes, as they fall due, until the exchange takes or refuses each."""

    def __init__(
        self, inbox: Inbox, access: ExchangeAccess, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._inbox = inbox
        self._access = access
        self._clock = clock
        self._http = httpx.AsyncClient(transport=transport, timeout=DEADLINE_SECONDS, trust_env=False)
        self._tokens = AccessTokens(access, self._http, clock)

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
                **await self._tokens.header(),
                "Content-Type": "application/json",
                "Idempotency-Key": owed.id,
            },
        )
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._tokens.forget()
        return response.status_code

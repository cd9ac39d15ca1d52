"""A sample agency that cannot be called: it comes for its deliveries, keeps them, and acknowledges each.

applied not_matched must_review   kept and acknowledged; then `POST /v1/receipts` says so
refusing                          the same, with `rejected_policy`
later                             the same, after its time
slow                              acknowledged after its time
failing                           it does not come
silent                            it comes, but neither keeps nor acknowledges what there is
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import httpx
import structlog
from starlette.applications import Starlette

from broker.sandbox.behaviours import EVERY_KIND
from broker.sandbox.clock import Clock, utc_now
from broker.sandbox.desk import Desk, desk_app
from broker.sandbox.events import Unreadable, read_event
from broker.sandbox.exchange_access import AccessTokens, ExchangeAccess
from broker.sandbox.inbox import Arrival, InboxClosed, OtherData
from broker.sandbox.later_answers import DEADLINE_SECONDS, LaterAnswers
from contracts.organisation import Organisation
from contracts.statuses import Outcome

log = structlog.get_logger()

COMES_EVERY_SECONDS: Final = 0.5
"""A real one comes each minute; here somebody watches."""


def agency_app(
    *,
    organisation: Organisation,
    inbox: Path,
    access: ExchangeAccess,
    clock: Clock = utc_now,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Starlette:
    """Return an agency's pages as an ASGI app whose lifespan comes for its deliveries. `transport` replaces the network.

    Raises ValueError where `access` does not say where they are.
    """
    if access.events_url is None:
        raise ValueError("an agency needs to be told where its deliveries are: events_url")
    desk = Desk(organisation, inbox, clock, EVERY_KIND)
    agency = _Agency(desk, access, access.events_url, transport)

    @asynccontextmanager
    async def coming() -> AsyncIterator[None]:
        later = LaterAnswers(desk.inbox, access, clock, transport=transport)
        tasks = [asyncio.create_task(agency.run()), asyncio.create_task(later.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return desk_app(desk, beside=coming)


class _Agency:
    def __init__(
        self, desk: Desk, access: ExchangeAccess, events_url: str, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._desk = desk
        self._events_url = events_url
        self._http = httpx.AsyncClient(transport=transport, timeout=DEADLINE_SECONDS, trust_env=False)
        self._tokens = AccessTokens(access, self._http, desk.clock)

    async def run(self) -> None:
        """Come again and again until cancelled; an exchange that is away, or answers oddly, is asked again."""
        async with self._http:
            while True:
                try:
                    await self._come()
                except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, InboxClosed) as fault:
                    log.info("sandbox.not_fetched", organisation=self._desk.organisation.id, error=type(fault).__name__)
                await asyncio.sleep(COMES_EVERY_SECONDS)

    async def _come(self) -> None:
        """Take every page there is, from the oldest that was not acknowledged."""
        if self._desk.conduct.now.behaviour == "failing":
            self._desk.conduct.next()
            return
        url: str | None = self._events_url
        while url is not None:
            answer = await self._ask("GET", url)
            for event in answer.json():
                await self._take(event)
            following = answer.links.get("next", {}).get("url")
            url = urljoin(self._events_url, following) if following else None

    async def _take(self, wire: Any) -> None:
        """Keep one event, then acknowledge it: in this order, so that nothing is lost in between."""
        try:
            event = read_event(json.dumps(wire).encode())
        except Unreadable as fault:
            self._desk.turn_away(f"an event: {fault}")
            return
        behaviour = self._desk.conduct.next()
        if behaviour.behaviour == "silent":
            return
        now = self._desk.clock()
        wait = timedelta(seconds=behaviour.seconds) if behaviour.behaviour == "later" else timedelta()
        outcome = Outcome.REJECTED_POLICY if behaviour.behaviour == "refusing" else behaviour.outcome
        kept = await self._desk.inbox.take(Arrival(event, event.id, outcome, now, answer_due=now + wait))
        if isinstance(kept, OtherData):
            self._desk.turn_away("an event: its id was used for another")
            return
        if behaviour.behaviour == "slow":
            await asyncio.sleep(behaviour.seconds)
        await self._ask("DELETE", f"{self._events_url}/{event.id}")

    async def _ask(self, method: str, url: str) -> httpx.Response:
        """Raises httpx.HTTPError for anything but success."""
        answer = await self._http.request(method, url, headers=await self._tokens.header())
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._tokens.forget()
        return answer.raise_for_status()

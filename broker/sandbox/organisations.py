"""A sample organisation's system: takes signed events, keeps an inbox, answers as it is told to."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import structlog
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from broker.sandbox.behaviours import Behaviour, Conduct
from broker.sandbox.clock import Clock, utc_now
from broker.sandbox.events import MEDIA_TYPE, Unreadable, is_structured, read_event
from broker.sandbox.inbox import Arrival, Inbox, InboxClosed, OtherData
from broker.sandbox.inbox_page import PAGE_SIZE, as_json, inbox_page
from broker.sandbox.later_answers import ExchangeAccess, LaterAnswers
from broker.sandbox.loopback import LoopbackOnly, TooLarge, body_of, from_elsewhere
from broker.sandbox.pages import stylesheet
from broker.sandbox.webhooks import NotAuthentic, verify
from contracts.organisation import Organisation
from contracts.statuses import Outcome

log = structlog.get_logger()

LARGEST_EVENT: Final = 1024 * 1024
LARGEST_LISTING: Final = 10_000
PREFIXES: Final = {"cardiff-council": "CDF", "swansea-council": "ABT", "transport-for-wales": "TRC"}
"""What their references begin with: CDF-000123."""


def organisation_app(
    *,
    organisation: Organisation,
    secret: bytes,
    inbox: Path,
    access: ExchangeAccess | None = None,
    clock: Clock = utc_now,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Starlette:
    """Return one organisation's system as an ASGI app with a lifespan, which opens its inbox at `inbox`.

    `secret` is what the exchange signs with. Without `access` it cannot answer later, and refuses to be told so.
    `transport` replaces the network for its later answers.
    """
    system = _System(organisation, secret, inbox, access, clock, transport)
    return Starlette(
        routes=[
            Route("/", system.page),
            Route("/events", system.receive, methods=["POST"]),
            Route("/inbox.json", system.listing),
            Route("/inbox/{event_id:uuid}.json", system.one),
            Route("/sandbox/behaviour", system.behaviour, methods=["GET", "POST"]),
            Route("/style.css", stylesheet),
            Route("/livez", system.livez),
        ],
        middleware=[Middleware(LoopbackOnly)],
        exception_handlers={TooLarge: _too_large, InboxClosed: _closed},
        lifespan=system.lifespan,
    )


class _System:
    """The endpoints, and the inbox behind them."""

    def __init__(
        self,
        organisation: Organisation,
        secret: bytes,
        inbox: Path,
        access: ExchangeAccess | None,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._organisation = organisation
        self._secret = secret
        self._inbox = Inbox(inbox, prefix=PREFIXES.get(organisation.id, organisation.id.upper()))
        self._access = access
        self._clock = clock
        self._transport = transport
        self._conduct = Conduct()
        self._turned_away = 0

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        async with self._inbox:
            answering = None
            if self._access:
                later = LaterAnswers(self._inbox, self._access, self._clock, transport=self._transport)
                answering = asyncio.create_task(later.run(), name=f"sandbox-answers-{self._organisation.id}")
            try:
                yield
            finally:
                if answering:
                    answering.cancel()
                    await asyncio.gather(answering, return_exceptions=True)

    async def livez(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def receive(self, request: Request) -> Response:
        """Take one delivery. The answer is given after its effect is durable, and is the same for every repeat."""
        body = await body_of(request, LARGEST_EVENT)
        now = self._clock()
        try:
            verify(self._secret, request.headers, body, now)
        except NotAuthentic as fault:
            self._turned_away += 1
            log.warning("sandbox.event_turned_away", organisation=self._organisation.id, reason=str(fault))
            return _refusal(401, str(fault))
        if not is_structured(request.headers.get("content-type", "")):
            return _refusal(415, f"send {MEDIA_TYPE}, one event, in UTF-8")
        try:
            event = read_event(body)
        except Unreadable as fault:
            return _refusal(422, str(fault))
        behaviour = self._conduct.next()
        if behaviour.behaviour == "failing":
            headers = {"Retry-After": str(behaviour.retry_after)} if behaviour.retry_after is not None else None
            return _refusal(behaviour.status, "told to fail", headers)
        due = now + timedelta(seconds=behaviour.seconds) if behaviour.behaviour == "later" else None
        answer = await self._inbox.take(
            Arrival(
                event=event,
                webhook_id=request.headers["webhook-id"],
                outcome=behaviour.outcome,
                at=now,
                answer_due=due,
            )
        )
        if behaviour.behaviour == "slow":
            await asyncio.sleep(behaviour.seconds)
        if isinstance(answer, OtherData):
            return _refusal(409, "this id was used for another event")
        status = 202 if answer.outcome is Outcome.RECEIVED else 200
        return JSONResponse({"outcome": answer.outcome.value, "reference": answer.reference}, status)

    async def behaviour(self, request: Request) -> Response:
        """Say, or be told, how to answer. JSON from this machine's programs, not from a page elsewhere."""
        if request.method == "GET":
            return JSONResponse(self._conduct.now.model_dump(mode="json", by_alias=True))
        if from_elsewhere(request) or not request.headers.get("content-type", "").startswith("application/json"):
            return _refusal(415, "send application/json, from no other site")
        try:
            told = Behaviour.model_validate_json(await body_of(request, LARGEST_EVENT))
        except ValidationError as fault:
            places = sorted({str(error["loc"][0]) if error["loc"] else "body" for error in fault.errors()})
            return _refusal(422, f"wrong or unknown: {', '.join(places)}")
        if told.behaviour == "later" and self._access is None:
            return _refusal(409, "this system was given no access to the exchange, so it cannot answer later")
        self._conduct.tell(told)
        log.info("sandbox.behaviour_told", organisation=self._organisation.id, behaviour=told.behaviour)
        return JSONResponse(told.model_dump(mode="json", by_alias=True))

    async def page(self, request: Request) -> Response:
        before = _position(request.query_params.get("before"))
        entries = await self._inbox.entries(before=before, after=None, limit=PAGE_SIZE)
        return inbox_page(self._organisation, entries, await self._inbox.totals(), self._conduct.now)

    async def listing(self, request: Request) -> Response:
        """Return every event, oldest first, without data; `?after=` the last position where there are more."""
        after = _position(request.query_params.get("after")) or 0
        entries = await self._inbox.entries(before=None, after=after, limit=LARGEST_LISTING)
        more = entries[-1].position if len(entries) == LARGEST_LISTING else None
        totals = await self._inbox.totals() | {"turnedAway": self._turned_away}
        return JSONResponse(
            {
                "organisation": self._organisation.id,
                "totals": totals,
                "events": [as_json(entry) for entry in entries],
                "after": more,
            }
        )

    async def one(self, request: Request) -> Response:
        entry = await self._inbox.entry(str(request.path_params["event_id"]))
        return JSONResponse(as_json(entry, with_data=True)) if entry else _refusal(404, "no such event")


def _position(given: str | None) -> int | None:
    """Return a page position, None for anything that is none."""
    return int(given) if given and given.isascii() and given.isdigit() and len(given) <= 18 else None  # noqa: PLR2004  63 bits


def _refusal(status: int, says: str, headers: Mapping[str, str] | None = None) -> Response:
    content: dict[str, Any] = {"error": says}
    return JSONResponse(content, status, headers=dict(headers) if headers else None)


async def _too_large(_request: Request, _fault: Exception) -> Response:
    return _refusal(413, "the event is too large")


async def _closed(_request: Request, _fault: Exception) -> Response:
    return _refusal(503, "the inbox is not open", {"Retry-After": "1"})

"""What every sample organisation's system has, however it is reached: an inbox, a behaviour, and pages of both."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from broker.sandbox.behaviours import Behaviour, Conduct, Kind
from broker.sandbox.clock import Clock
from broker.sandbox.inbox import Inbox, InboxClosed
from broker.sandbox.inbox_page import PAGE_SIZE, as_json, inbox_page
from broker.sandbox.loopback import LoopbackOnly, TooLarge, body_of, from_elsewhere
from broker.sandbox.pages import stylesheet
from contracts.organisation import Organisation

log = structlog.get_logger()

LARGEST_EVENT: Final = 1024 * 1024
LARGEST_LISTING: Final = 10_000
PREFIXES: Final = {
    "cardiff-council": "CDF",
    "swansea-council": "ABT",
    "transport-for-wales": "TRC",
    "cardiff-and-vale-uhb": "BIPCAF",
    "swansea-bay-uhb": "BIPBA",
    "natural-resources-wales": "CNC",
}
"""What their references begin with: CDF-000123."""


class Desk:
    """One organisation's inbox and behaviour. Its inbox is open while `desk_app`'s lifespan runs."""

    def __init__(self, organisation: Organisation, inbox: Path, clock: Clock, kinds: AbstractSet[Kind]) -> None:
        """`kinds` are the behaviours it can be told."""
        self.organisation = organisation
        self.inbox = Inbox(inbox, prefix=PREFIXES.get(organisation.id, organisation.id.upper()))
        self.conduct = Conduct(kinds)
        self.clock = clock
        self.turned_away = 0
        """Of what came in, what was not from the exchange or could not be read."""

    def turn_away(self, reason: str) -> None:
        """Count and log something that is not taken in. `reason` names a rule, never what came in."""
        self.turned_away += 1
        log.warning("sandbox.event_turned_away", organisation=self.organisation.id, reason=reason)

    async def behaviour(self, request: Request) -> Response:
        """Say, or be told, how to answer. JSON from this machine's programs, not from a page elsewhere."""
        if request.method == "GET":
            return JSONResponse(self.conduct.now.model_dump(mode="json", by_alias=True))
        if from_elsewhere(request) or not request.headers.get("content-type", "").startswith("application/json"):
            return refusal(415, "send application/json, from no other site")
        try:
            told = Behaviour.model_validate_json(await body_of(request, LARGEST_EVENT))
        except ValidationError as fault:
            places = sorted({str(error["loc"][0]) if error["loc"] else "body" for error in fault.errors()})
            return refusal(422, f"wrong or unknown: {', '.join(places)}")
        if told.behaviour not in self.conduct.kinds:
            return refusal(
                409, f"as this system is reached here, it can only be {', '.join(sorted(self.conduct.kinds))}"
            )
        self.conduct.tell(told)
        log.info("sandbox.behaviour_told", organisation=self.organisation.id, behaviour=told.behaviour)
        return JSONResponse(told.model_dump(mode="json", by_alias=True))

    async def page(self, request: Request) -> Response:
        before = _position(request.query_params.get("before"))
        entries = await self.inbox.entries(before=before, after=None, limit=PAGE_SIZE)
        return inbox_page(self.organisation, entries, await self.inbox.totals(), self.conduct.now)

    async def listing(self, request: Request) -> Response:
        """Return every event, oldest first, without data; `?after=` the last position where there are more."""
        after = _position(request.query_params.get("after")) or 0
        entries = await self.inbox.entries(before=None, after=after, limit=LARGEST_LISTING)
        more = entries[-1].position if len(entries) == LARGEST_LISTING else None
        totals = await self.inbox.totals() | {"turnedAway": self.turned_away}
        return JSONResponse(
            {
                "organisation": self.organisation.id,
                "totals": totals,
                "events": [as_json(entry) for entry in entries],
                "after": more,
            }
        )

    async def one(self, request: Request) -> Response:
        entry = await self.inbox.entry(request.path_params["event_id"])
        return JSONResponse(as_json(entry, with_data=True)) if entry else refusal(404, "no such event")

    async def livez(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")


def desk_app(
    desk: Desk, routes: Sequence[Route] = (), beside: Callable[[], AbstractAsyncContextManager[None]] | None = None
) -> Starlette:
    """Return an organisation's system as an ASGI app with a lifespan, which opens its inbox.

    `routes` are how it is reached, where that is by HTTP; `beside` is entered once the inbox is open, and left first.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with desk.inbox:
            if beside is None:
                yield
            else:
                async with beside():
                    yield

    return Starlette(
        routes=[
            *routes,
            Route("/", desk.page),
            Route("/inbox.json", desk.listing),
            Route("/inbox/{event_id}.json", desk.one),
            Route("/sandbox/behaviour", desk.behaviour, methods=["GET", "POST"]),
            Route("/style.css", stylesheet),
            Route("/livez", desk.livez),
        ],
        middleware=[Middleware(LoopbackOnly)],
        exception_handlers={TooLarge: _too_large, InboxClosed: _closed},
        lifespan=lifespan,
    )


def refusal(status: int, says: str, headers: Mapping[str, str] | None = None) -> Response:
    content: dict[str, Any] = {"error": says}
    return JSONResponse(content, status, headers=dict(headers) if headers else None)


async def until_they_leave(request: Request, seconds: float = math.inf) -> None:
    """Wait for so long, or until whoever asked has hung up. Only after the whole body was read."""
    until = asyncio.get_running_loop().time() + seconds
    while (left := until - asyncio.get_running_loop().time()) > 0 and not await request.is_disconnected():  # noqa: ASYNC110
        await asyncio.sleep(min(left, 0.1))  # Starlette has no event for it


def _position(given: str | None) -> int | None:
    """Return a page position, None for anything that is none."""
    return int(given) if given and given.isascii() and given.isdigit() and len(given) <= 18 else None  # noqa: PLR2004  63 bits


async def _too_large(_request: Request, _fault: Exception) -> Response:
    return refusal(413, "the event is too large")


async def _closed(_request: Request, _fault: Exception) -> Response:
    return refusal(503, "the inbox is not open", {"Retry-After": "1"})

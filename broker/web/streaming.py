"""Parts of pages that follow the truth: streamed to whoever watches, or told once to whoever only asks.

A stream holds a connection for minutes, so there are bounds: for one session, because a browser opens six connections
to a host at most and pages that watch would leave none for reading, and in all. Beyond them a page asks now and then.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from broker.store import StoreUnavailable
from broker.web.visit import Visit

MOST_OF_A_SESSION: Final = 4
LONGEST_WATCH: Final = 600.0
"""Seconds; then the browser opens a new stream by itself."""
RETRY_AFTER: Final = 30
"""Seconds, for who finds no room."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a page as it is now."""

    html: str
    over: bool
    """Nothing more can happen to it."""


class Watchers:
    """How many streams there are, by session and in all."""

    def __init__(self, most: int, most_of_a_session: int = MOST_OF_A_SESSION) -> None:
        self._most = most
        self._most_of_a_session = most_of_a_session
        self._by_session: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return self._by_session.total()

    def enter(self, session: bytes) -> bool:
        """Take a place, to be left again; return whether there was one."""
        if len(self) >= self._most or self._by_session[session] >= self._most_of_a_session:
            return False
        self._by_session[session] += 1
        return True

    def leave(self, session: bytes) -> None:
        self._by_session[session] -= 1
        if not self._by_session[session]:
            del self._by_session[session]


async def follow(
    visit: Visit, watchers: Watchers, part: Callable[[], Awaitable[Part | None]], *, every: float
) -> Response:
    """Return a part of a page as a stream of server-sent events, or once, as JSON, to who does not ask for events.

    Events: `part` with its HTML when it differs, looked at `every` so many seconds; `over` when nothing more can happen
    or `part` returns None; `ended` when the session has, upon which the browser leaves the page. Where there is no room
    for another stream: 503 with Retry-After, and the page asks now and then instead. Raises StoreUnavailable.
    """
    if "text/event-stream" not in visit.request.headers.get("accept", ""):
        now = await part()
        return JSONResponse({"html": now.html, "over": now.over}) if now else Response(status_code=404)
    session = visit.signed_in.digest
    if not watchers.enter(session):
        return Response(status_code=503, headers={"Retry-After": str(RETRY_AFTER)})
    return _Stream(_events(visit, part, every), lambda: watchers.leave(session))


class _Stream(StreamingResponse):
    """A stream that gives its place back however it ends, even before it began."""

    def __init__(self, events: AsyncIterator[str], left: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._left()


async def _events(visit: Visit, part: Callable[[], Awaitable[Part | None]], every: float) -> AsyncIterator[str]:
    stop, loop = visit.parts.stop, asyncio.get_running_loop()
    until = loop.time() + LONGEST_WATCH
    before = ""
    yield "retry: 3000\n\n"
    while not stop.is_set() and loop.time() < until:
        try:
            if await visit.door.sessions.open(visit.signed_in.name, touch=False) is None:
                yield "event: ended\ndata:\n\n"  # nothing private stays on a screen after signing out in another tab
                return
            now = await part()
        except StoreUnavailable:
            return  # what is shown stays, and the browser comes back by itself
        if now is not None and now.html != before:
            before = now.html
            yield "event: part\n" + "".join(f"data: {line}\n" for line in before.splitlines()) + "\n"
        else:
            yield ": still here\n\n"
        if now is None or now.over:
            yield "event: over\ndata:\n\n"
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every)

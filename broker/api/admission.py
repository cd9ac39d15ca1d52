"""How much is under way at once, and for how long: beyond it a caller is asked to come back, and memory stays bounded."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.api.problems import RETRY_SECONDS, problem

MOST_AT_ONCE: Final = 2_048
"""Requests being answered. Each may hold a body of 64 KiB and little else: some 150 MB at the very most."""
LONGEST_ANSWER: Final = 30.0
"""Seconds from the head of a request. The store gives up before; this is for whatever forgot to."""

_ALWAYS: Final = frozenset({"/livez", "/readyz"})
"""Answered however busy we are: who asks decides whether we live."""


class Admission:
    """ASGI middleware. Answers 503 `unavailable` with `Retry-After` to what is too much, or takes too long.

    A change that was cut off may have been stored: its `Idempotency-Key` tells.
    """

    def __init__(self, app: ASGIApp, *, most: int = MOST_AT_ONCE, seconds: float = LONGEST_ANSWER) -> None:
        self._app = app
        self._most = most
        self._seconds = seconds
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self._app(scope, receive, send)
            return
        if self._under_way >= self._most:
            await _refusal()(scope, receive, send)
            return
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        self._under_way += 1
        try:
            async with asyncio.timeout(self._seconds) as limit:
                await self._app(scope, receive, noting)
        except TimeoutError:
            if started or not limit.expired():
                raise
            await _refusal()(scope, receive, send)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        finally:
            self._under_way -= 1


def _refusal() -> Response:
    return problem("unavailable", headers={"Retry-After": RETRY_SECONDS})

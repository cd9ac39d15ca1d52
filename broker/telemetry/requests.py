"""How long requests take, by the route's template: a path may hold what a label must not."""

import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.telemetry.metrics import Metrics


class RequestTiming:
    """ASGI middleware around an application with Starlette's or FastAPI's routes."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._seconds = metrics.request_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            # The router leaves the route it chose in the scope; a path that matched none is one label for all.
            route: Any = scope.get("route")
            template = getattr(route, "path_format", None) or getattr(route, "path", "unknown")
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._seconds.labels(method, template, str(status)).observe(time.perf_counter() - began)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""A caller may invent methods; each would be a series of its own."""

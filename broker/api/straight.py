"""The short way to a route: from its method and path alone, past the layers of FastAPI that have nothing to do here.

Every handler of ours reads its request itself and returns a response (`broker.api.guarding`), so between the server and
the handler FastAPI's telemetry, body limit, exit stacks and search among patterns only take time: a seventh of an
accepted change's. FastAPI still describes every route, and serves whatever is not asked for exactly by its name.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from broker.api.guarding import GuardedRoute

Answer = Callable[[Request, Exception], Awaitable[Response]]


class Straight:
    """ASGI middleware around the FastAPI application whose guarded routes it serves.

    A refusal is answered by the handler that the application has for it; any other fault is raised, for the outermost
    layer to answer. Routes with parameters in their path are left to the application.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app: ASGIApp = app
        routes: list[Any] = list(app.routes)
        self._routes = {
            (method, route.path): route
            for route in routes
            if isinstance(route, GuardedRoute) and not route.param_convertors
            for method in route.methods or ()
        }
        self._answers: dict[Any, Any] = {
            kind: answer for kind, answer in app.exception_handlers.items() if kind is not Exception
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route  # as the router leaves it, for whoever counts requests
        request = Request(scope, receive, send)
        try:
            response = await route.guarded(request)
        except Exception as refusal:
            answer = self._answer_to(refusal)
            if answer is None:
                raise
            response = await answer(request, refusal)
        await response(scope, receive, send)

    def _answer_to(self, refusal: Exception) -> Answer | None:
        """Return the handler of the nearest kind that has one, as Starlette finds it."""
        return next((self._answers[kind] for kind in type(refusal).__mro__ if kind in self._answers), None)

"""The application: routes, the policy around them, problems, health, and the published OpenAPI."""

from typing import Any, Final

import orjson
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from broker.api import cancelling, catching_up, fetching, following, organisations, problems, subscribing, telling
from broker.api.admission import Admission
from broker.api.guarding import LastResort, guarded_route
from broker.api.openapi import describe
from broker.api.parts import ApiParts
from broker.api.spoken import Spoken
from broker.api.straight import Straight
from broker.identity.policy import check_declared
from broker.telemetry.health import health_routes
from broker.telemetry.requests import RequestTiming

__all__ = ["ApiParts", "create_app", "create_inner"]

TITLE: Final = "Unwaith"


def create_app(parts: ApiParts) -> ASGIApp:
    """Return the API as it is served. Raises identity.RouteNotDeclared for a route without a rule."""
    return Spoken(LastResort(RequestTiming(Admission(Straight(create_inner(parts))), parts.metrics)))


def create_inner(parts: ApiParts) -> FastAPI:
    """Return the FastAPI application without the outermost layers."""
    app = FastAPI(
        title=TITLE,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,  # what generated clients call it: renaming breaks them
    )
    router = app.router  # its own, not an included one: what is served must stand in `app.routes`
    router.route_class = guarded_route(parts.citizens, parts.organisations)
    telling.routes(router, parts)
    following.routes(router, parts)
    cancelling.routes(router, parts)
    organisations.routes(router, parts)
    catching_up.routes(router, parts)
    fetching.routes(router, parts)
    subscribing.routes(router, parts)

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi(_request: Request) -> Response:
        return Response(
            orjson.dumps(app.openapi()), media_type="application/json", headers={"Cache-Control": "public, max-age=300"}
        )

    for route in health_routes(parts.checks, parts.metrics):
        if route.path != "/metrics":  # served on the operators' own listener
            app.router.routes.append(route)
    problems.install(app)
    check_declared(served(app), "api")
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI's own documented way
    return app


def served(app: FastAPI) -> list[tuple[str, str]]:
    """Return every (method, path template) the application answers."""
    found: list[tuple[str, str]] = []
    routes: list[Any] = list(app.routes)
    for route in routes:
        if isinstance(route, Route | APIRoute):
            found.extend((method, route.path) for method in route.methods or () if method != "HEAD")
    return found

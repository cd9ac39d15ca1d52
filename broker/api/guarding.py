"""Around every route: who may call is decided by the policy table, and no fault escapes as anything but a problem."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog
from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.api.problems import problem
from broker.api.queries import check_query, parameters_in
from broker.identity.citizens import Citizen, CitizenTokens
from broker.identity.organisations import CallingOrganisation, OrganisationTokens
from broker.identity.policy import ForCitizens, Public, require, rule_for
from broker.identity.refusals import InvalidToken, TokenFault

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""On every answer that does not say otherwise."""
_RAW: Final = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

log = structlog.get_logger()


class GuardedRoute(APIRoute):
    """A route whose handler runs only for whom the policy lets in; made by `guarded_route`."""

    guarded: Callable[[Request], Coroutine[Any, Any, Response]]
    """Lets the caller in or raises a refusal; then the handler's own answer."""


def guarded_route(citizens: CitizenTokens | None, organisations: OrganisationTokens) -> type[GuardedRoute]:
    """Return the route class of the API: no handler runs before the policy has let the caller in."""

    class Route(GuardedRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            endpoint = self.endpoint
            method = next(iter(self.methods or {"GET"}))
            rule = rule_for(method, self.path)
            parameters = parameters_in(self.openapi_extra)

            async def guarded(request: Request) -> Response:
                if not isinstance(rule, Public):
                    token = bearer(request)
                    if not isinstance(rule, ForCitizens):
                        request.state.caller = organisations.verify(token)
                    elif citizens is not None:
                        request.state.caller = await citizens.verify(token)
                    else:
                        raise InvalidToken(TokenFault.ISSUER)  # citizens' access by bearer is off here
                    require(rule, request.state.caller)
                    check_query(request, parameters)
                # Straight to the function: every one of them reads its request itself and returns a Response, so what
                # FastAPI does in between (dependencies, exit stacks, serialising) has nothing to do.
                answer: Response = await endpoint(request, **request.path_params)
                return answer

            self.guarded = guarded
            return guarded

    return Route


def bearer(request: Request) -> str:
    """Return the bearer token (RFC 6750, section 2.1). Raises InvalidToken."""
    sent = request.headers.getlist("authorization")
    if not sent:
        raise InvalidToken(TokenFault.MISSING)
    scheme, _, token = sent[0].partition(" ")
    if len(sent) > 1 or scheme.lower() != "bearer" or not token:
        raise InvalidToken(TokenFault.MALFORMED)
    return token


def citizen(request: Request) -> Citizen:
    caller = request.state.caller
    if not isinstance(caller, Citizen):
        raise TypeError("the route is not declared for citizens")
    return caller


def organisation(request: Request) -> CallingOrganisation:
    caller = request.state.caller
    if not isinstance(caller, CallingOrganisation):
        raise TypeError("the route is not declared for organisations")
    return caller


class LastResort:
    """The outermost layer: standard headers on every answer, and a fault of ours is a plain 500 problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = ended = False

        async def with_headers(message: Message) -> None:
            nonlocal started, ended
            if message["type"] == "http.response.start":
                started = True
                there = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in _RAW if pair[0] not in there)]
            else:
                ended = not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception as fault:
            log.exception("request.failed", error=type(fault).__name__)
            if started and not ended:
                raise  # too late for an answer: the connection must end
            if not started:
                await problem("internal")(scope, receive, with_headers)

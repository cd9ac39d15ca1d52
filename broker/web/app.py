"""The application of the pages: routes, who may ask for them, and what surrounds them."""

from collections.abc import Callable, Coroutine
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from broker.identity.page_policy import STAFF, ForAnybody, ForProvider, ForStaff, check_pages_declared, page_rule
from broker.identity.refusals import KeysUnavailable
from broker.identity.sign_in import ProviderAway
from broker.language import Language, as_language, negotiated
from broker.store import StoreUnavailable
from broker.store.changes import PersonErased
from broker.telemetry.requests import RequestTiming
from broker.vault import PersonGone
from broker.verification import GazetteerAway
from broker.web import about, cancelling, changed, following, joining, move, objecting, signing_in, staff
from broker.web.assets import PREFIX, asset
from broker.web.fault_pages import fault_page
from broker.web.guarding import Guarded
from broker.web.parts import WebParts
from broker.web.telling import beginning
from broker.web.visit import (
    LANGUAGE_COOKIE,
    BadForm,
    NotFromHere,
    Page,
    Visit,
    check_sent_from_here,
    check_token,
)

log = structlog.get_logger()

_YEAR: Final = 365 * 24 * 3600


JOURNEYS: Final = (move.MOVE, *changed.JOURNEYS)
"""Everything somebody can tell here."""


def all_pages(parts: WebParts) -> list[Page]:
    """Return every page there is. Staff's only where staff can sign in."""
    pages = [*about.pages(), *signing_in.pages(""), *beginning.pages(JOURNEYS)]
    pages += [*move.pages(), *changed.pages(), *following.pages(), *cancelling.pages(), *objecting.pages()]
    pages += joining.pages()
    if parts.staff is not None:
        pages += [*signing_in.pages(parts.staff.prefix), *staff.pages(parts.staff.prefix)]
    return pages


def create_pages(parts: WebParts) -> ASGIApp:
    """Return the pages as they are served. Raises identity.RouteNotDeclared for a page without a rule."""
    routes = [
        Route(page.path, _answering(parts, page), methods=[page.method], name=f"{page.method} {page.path}")
        for page in all_pages(parts)
    ]
    routes.append(Route(f"{PREFIX}{{name}}", asset, methods=["GET"]))
    check_pages_declared((method, route.path) for route in routes for method in route.methods or ())
    app = Starlette(routes=routes, exception_handlers=_faults())
    app.router.redirect_slashes = False
    providers = {_origin(door.provider.rules.issuer) for door in (parts.citizens, parts.staff) if door is not None}
    return Guarded(RequestTiming(app, parts.metrics), secure=parts.secure, form_targets=tuple(sorted(providers)))


def _answering(parts: WebParts, page: Page) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """Return what answers a page: language, session, who may, and form are settled before its handler runs."""
    rule = page_rule(page.method, page.path)
    door = parts.citizens
    if parts.staff is not None and f"{page.path}/".startswith(f"{parts.staff.prefix}/"):
        door = parts.staff

    async def answer(request: Request) -> Response:
        if not parts.secure and page.method == "GET" and request.headers.get("host") != parts.host:
            # On this machine both 127.0.0.1 and localhost lead here, and a cookie of one is not sent to the other.
            return RedirectResponse(f"{parts.public_url}{quote(request.url.path)}", 307)
        language = language_of(request)
        session = await door.sessions.open(
            request.cookies.get(door.sessions.rules.cookie), touch=not (page.quiet or page.by_itself)
        )
        visit = Visit(request, parts, door, language, session)
        if page.method == "POST":
            check_sent_from_here(request, parts.public_url)
        if not isinstance(rule, ForAnybody | ForProvider):
            if session is None:
                return _nobody(visit, page)
            if page.method == "POST":
                await check_token(visit)
        forbidden = isinstance(rule, ForStaff) and rule.needs is not None and rule.needs not in staff.allowances(visit)
        response = staff.refused(visit) if forbidden else await page.handler(visit)
        response.headers.setdefault("Content-Language", language)
        response.headers.setdefault("Vary", "Accept-Language, Cookie")
        if asked := as_language(request.query_params.get("lang")):
            response.set_cookie(
                LANGUAGE_COOKIE, asked, max_age=_YEAR, path="/", secure=parts.secure, httponly=True, samesite="lax"
            )
        return response

    return answer


def language_of(request: Request) -> Language:
    return negotiated(
        request.query_params.get("lang"),
        request.cookies.get(LANGUAGE_COOKIE),
        request.headers.get("accept-language"),
    )


def _nobody(visit: Visit, page: Page) -> Response:
    """Answer for a page that needs somebody: sign in, or hear that the session ended."""
    prefix = visit.door.prefix
    if page.quiet:
        return Response('{"left":0}', 401, media_type="application/json")
    there = visit.request.url.path if page.method == "GET" else visit.door.home
    had_one = visit.door.sessions.rules.cookie in visit.request.cookies
    return visit.to(f"{prefix}/{'session-ended' if had_one else 'sign-in'}?{urlencode({'next': there})}")


def _faults() -> dict[Any, Callable[[Request, Exception], Coroutine[Any, Any, Response]]]:
    def page_of(status: int) -> Callable[[Request, Exception], Coroutine[Any, Any, Response]]:
        async def handle(request: Request, fault: Exception) -> Response:
            if status == 503:  # noqa: PLR2004  as HTTP has it
                log.warning("page.unavailable", error=type(fault).__name__)
            code = fault.status_code if isinstance(fault, HTTPException) else status
            language = language_of(request)
            other = "en" if language == "cy" else "cy"
            path = quote(request.scope["path"])
            # two slashes would name another host: whoever mistypes here must not be led there
            again = f"/{path.lstrip('/')}?lang={other}" if request.method == "GET" else None
            home = STAFF if f"{path}/".startswith(f"{STAFF}/") else "/"
            response = fault_page(code, language, switch_url=again, home=home)
            if isinstance(fault, HTTPException):
                response.headers.update(fault.headers or {})
            return response

        return handle

    return {
        HTTPException: page_of(404),
        BadForm: page_of(400),
        NotFromHere: page_of(403),
        PersonErased: page_of(410),
        PersonGone: page_of(410),
        StoreUnavailable: page_of(503),
        KeysUnavailable: page_of(503),
        GazetteerAway: page_of(503),
        ProviderAway: page_of(503),
    }


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"

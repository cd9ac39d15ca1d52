"""Around every page: standard headers, a bound on what is under way, and no fault without a page that says so."""

from typing import Final

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.language import negotiated
from broker.web.fault_pages import fault_page
from broker.web.visit import LANGUAGE_COOKIE

MOST_AT_ONCE: Final = 1_024
"""Pages being answered; pages that are watched, which hold a stream each, among them."""

log = structlog.get_logger()


class Guarded:
    """ASGI middleware, the outermost of the pages."""

    def __init__(self, app: ASGIApp, *, secure: bool, form_targets: tuple[str, ...]) -> None:
        """`form_targets` are origins a form of ours may be redirected to: the providers', at sign-out."""
        self._app = app
        allowed = " ".join(("'self'", *form_targets))
        self._headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": (
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
                f"form-action {allowed}; "
                "base-uri 'none'; frame-ancestors 'none'"
            ),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
            # not no-referrer: with that, browsers send `Origin: null` with our own forms
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
        }
        if secure:
            self._headers["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        if self._under_way >= MOST_AT_ONCE:
            await self._fault(503, scope, receive, with_headers)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, with_headers)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        except Exception as fault:
            log.exception("request.failed", error=type(fault).__name__)
            if started:
                raise  # too late for an answer: the connection must end
            await self._fault(500, scope, receive, with_headers)
        finally:
            self._under_way -= 1

    async def _fault(self, status: int, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        language = negotiated(
            request.query_params.get("lang"),
            request.cookies.get(LANGUAGE_COOKIE),
            request.headers.get("accept-language"),
        )
        await fault_page(status, language)(scope, receive, send)

"""The guard around every sandbox app: this machine only, no caching, no scripts."""

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
PLAIN_POLICY: Final = (
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class TooLarge(Exception):  # noqa: N818  an instruction: answer 413
    """The body is longer than the app takes."""


class LoopbackOnly:
    """Answers 403 unless `Host` names this machine, which also stops a rebound name reaching the sandbox.

    Adds the security headers a response has not set itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", PLAIN_POLICY)
                headers.setdefault("Cache-Control", "no-store")
                headers["X-Content-Type-Options"] = "nosniff"
                # not no-referrer: with that, browsers send `Origin: null` with our own forms
                headers["Referrer-Policy"] = "same-origin"
            await send(message)

        if is_loopback(Headers(scope=scope).getlist("host")):
            await self._app(scope, receive, guarded)
        else:
            refusal = PlainTextResponse("The sandbox answers on this machine only: use 127.0.0.1.\n", 403)
            await refusal(scope, receive, guarded)


def is_loopback(hosts: list[str]) -> bool:
    """Return whether the request's `Host` headers are exactly one, naming loopback, with or without a port."""
    if len(hosts) != 1:
        return False
    host = hosts[0].lower()
    name, colon, port = host.rpartition(":")
    if colon and not host.endswith("]"):
        return name in LOOPBACK_HOSTS and port.isdecimal()
    return host in LOOPBACK_HOSTS


def from_elsewhere(request: Request) -> bool:
    """Return whether a browser sent this from a page that is not ours (`Origin` names another place)."""
    origin = request.headers.get("origin")
    return origin is not None and origin != f"{request.url.scheme}://{request.headers['host']}"


async def body_of(request: Request, limit: int) -> bytes:
    """Return the whole body. Raises TooLarge past `limit` bytes, without reading on."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge
        chunks.append(chunk)
    return b"".join(chunks)

"""One listener for two applications: the JSON API under its own paths, the pages everywhere else."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from broker.identity.policy import POLICY

_API: Final = frozenset(path.split("/")[1] for _, path in POLICY)
"""First steps of the API's paths, `v1` and `oauth` among them: a new route of the policy is the API's by itself."""


class Front:
    """ASGI application that passes each request on to the one it is for."""

    def __init__(self, api: ASGIApp, pages: ASGIApp) -> None:
        self._api = api
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = scope["path"].split("/", 2)[1] if scope["type"] == "http" and "/" in scope["path"] else ""
        await (self._api if first in _API else self._pages)(scope, receive, send)

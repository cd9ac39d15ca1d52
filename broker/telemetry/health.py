"""`/livez`, `/readyz` and `/metrics`, for the API and for the workers that have no other interface."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from broker.telemetry.metrics import CONTENT_TYPE, Metrics

Check = Callable[[], Awaitable[bool]]
"""Says whether a part can be used now. An exception means no; its text is shown to nobody."""

_PATIENCE_SECONDS: Final = 2.0
_FRESH: Final = {"Cache-Control": "no-store"}


async def readiness(checks: Mapping[str, Check], *, patience_seconds: float = _PATIENCE_SECONDS) -> dict[str, bool]:
    """Ask every part at once, and none for longer than the patience."""

    async def ask(check: Check) -> bool:
        try:
            async with asyncio.timeout(patience_seconds):
                return await check()
        except Exception:  # noqa: BLE001  whatever is wrong, it is not ready
            return False

    return dict(zip(checks, await asyncio.gather(*map(ask, checks.values())), strict=True))


def health_routes(checks: Mapping[str, Check], metrics: Metrics) -> list[Route]:
    """Return the three routes.

    `/livez` answers while the loop turns: failing it means restart me. `/readyz` answers 200 only if every check holds,
    else 503 with which do not: failing it means send nothing here for now.
    """

    async def livez(_request: Request) -> Response:
        return JSONResponse({"alive": True}, headers=_FRESH)

    async def readyz(_request: Request) -> Response:
        found = await readiness(checks)
        ready = all(found.values())
        return JSONResponse({"ready": ready, "checks": found}, status_code=200 if ready else 503, headers=_FRESH)

    async def prometheus(_request: Request) -> Response:
        return Response(metrics.rendered(), media_type=CONTENT_TYPE, headers=_FRESH)

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", prometheus)]


def health_app(checks: Mapping[str, Check], metrics: Metrics) -> Starlette:
    """Return the whole interface of a worker."""
    return Starlette(routes=list(health_routes(checks, metrics)))

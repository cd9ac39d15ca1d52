"""Short-lived places for what must stand in no address: each has an opaque name that means something in one session."""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from broker.web.visit import Visit

LIFE: Final = timedelta(minutes=10)
MOST: Final = 10
"""Kept at once; the oldest goes first."""


async def put(visit: Visit, kind: str, what: Mapping[str, str]) -> str:
    """Keep something in the session and return the name of its place."""
    name = secrets.token_urlsafe(12)
    until = (visit.signed_in.now + LIFE).isoformat()

    def keep(data: dict[str, Any]) -> None:
        places = data.setdefault("places", {})
        places[name] = {"kind": kind, "until": until, **what}
        for oldest in list(places)[:-MOST]:
            del places[oldest]

    await visit.keep(keep)
    return name


def get(visit: Visit, kind: str, name: str) -> Mapping[str, str] | None:
    """Return what is kept there, None once its time is over."""
    found: Mapping[str, str] | None = visit.data.get("places", {}).get(name)
    if found is None or found["kind"] != kind or datetime.fromisoformat(found["until"]) <= visit.signed_in.now:
        return None
    return found

"""Deliveries somebody must look at: given up, refused, not matched, to be reviewed. By organisation, with their reasons."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.responses import Response

from broker.store import browsing
from broker.store.browsing import NEWEST, Place, Stuck
from broker.web.staff import kept
from broker.web.staff.allowed import staff_page
from broker.web.staff.wording import coded, exact, organisation_name
from broker.web.visit import Page, Visit
from contracts.statuses import Status

SHOWN: Final = 50
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


async def browse(visit: Visit) -> Response:
    """Show one page, the latest first. `before` in the query is where the page before ended."""
    organisation, status = _asked(visit)
    before = read_place(visit.request.query_params.get("before"))
    if before is None:
        raise HTTPException(404)
    page = await browsing.stuck(visit.parts.database, organisation, status, before, SHOWN)
    words, path = visit.words, visit.request.url.path
    return staff_page(
        visit,
        "staff/stuck.html",
        name=organisation_name(visit, organisation),
        standing=words(f"staff-status-{status}"),
        found=[_row(visit, one) for one in page.found],
        newest=None if before == NEWEST else path,
        older=None if page.after is None else f"{path}?before={written_place(page.after)}",
        back=visit.door.prefix,
    )


def _row(visit: Visit, one: Stuck) -> dict[str, Any]:
    words = visit.words
    said = [coded(words, "outcome", one.outcome)] if one.outcome else []
    said += [coded(words, "reason", one.reason)] if one.reason else []
    return {
        "id": str(one.delivery_id),
        "at": exact(words, one.at),
        "why": ", ".join(said) or words("staff-none"),
        "attempts": one.attempts,
        "accepted": exact(words, one.accepted_at),
    }


async def choose(visit: Visit) -> Response:
    """Lead from a delivery of the list to its trace, for which a reason must be given."""
    organisation, _ = _asked(visit)
    try:
        delivery = UUID((await visit.form()).get("delivery", ""))
    except ValueError:
        raise HTTPException(404) from None
    change = await browsing.change_of(visit.parts.database, organisation, delivery)
    if change is None:
        raise HTTPException(404)
    name = await kept.put(visit, "to-trace", {"change": str(change)})
    return visit.to(f"{visit.door.prefix}/trace/{name}")


def _asked(visit: Visit) -> tuple[str, Status]:
    """Return the organisation and the status of the address, or raise the 404 of a page that is none."""
    organisation, status = (visit.request.path_params[name] for name in ("organisation", "status"))
    if organisation not in visit.parts.directory.organisations() or status not in browsing.STATEMENTS:
        raise HTTPException(404)
    return organisation, Status(status)


def written_place(place: Place) -> str:
    """Return a place as it stands in an address: opaque, and nothing personal."""
    moment = (place.at - _EPOCH) // _MICROSECOND
    return urlsafe_b64encode(moment.to_bytes(8, "big", signed=True) + place.id.bytes).decode()


def read_place(written: str | None) -> Place | None:
    """Return the place written so, the first for None; None for one that we did not write."""
    if written is None:
        return NEWEST
    try:
        content = urlsafe_b64decode(written)
        if len(content) != 24:  # noqa: PLR2004  eight of the moment, sixteen of the id
            return None
        moment = _EPOCH + int.from_bytes(content[:8], "big", signed=True) * _MICROSECOND
    except (ValueError, OverflowError):
        return None
    return Place(moment, UUID(bytes=content[8:]))


PAGES: Final = (
    Page("GET", "/organisations/{organisation}/deliveries/{status}", browse),
    Page("POST", "/organisations/{organisation}/deliveries/{status}", choose),
)

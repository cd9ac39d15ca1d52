"""Pausing an organisation, letting it drain, and resuming it."""

from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response

from broker import audit
from broker.store import operations
from broker.web.staff import reasons
from broker.web.staff.allowed import actor, staff_page
from broker.web.staff.wording import coded, exact, organisation_name
from broker.web.visit import Page, Visit

log = structlog.get_logger()


async def organisation(visit: Visit) -> Response:
    """Show one organisation with the form that pauses or resumes it."""
    key = _known(visit)
    seen = await operations.overview(visit.parts.database, 1)
    item = next((item for item in seen.organisations if item.organisation == key), None)
    if item is None:
        raise HTTPException(404)
    # Paused for a proposal alone it goes on by itself, when that is decided or taken back: somebody may not want that.
    resumes = item.paused_at is not None and item.paused_reason != operations.PAUSED_FOR
    return staff_page(
        visit,
        "staff/organisation.html",
        key=key,
        name=organisation_name(visit, key),
        paused=exact(visit.words, item.paused_at) if item.paused_at else None,
        draining=item.draining,
        in_question=item.in_question,
        why=coded(visit.words, "reason", item.paused_reason or ""),
        note=item.paused_note,
        act="resume" if resumes else "pause",
        reasons=reasons.RESUME if resumes else reasons.PAUSE,
        back=visit.door.prefix,
    )


async def pause(visit: Visit) -> Response:
    return await _act(visit, reasons.PAUSE, pausing=True)


async def resume(visit: Visit) -> Response:
    return await _act(visit, reasons.RESUME, pausing=False)


async def _act(visit: Visit, allowed: tuple[str, ...], *, pausing: bool) -> Response:
    key = _known(visit)
    place = f"{visit.door.prefix}/organisations/{key}"
    form = await visit.form()
    reason, note, faults = reasons.read(form, allowed)
    if faults:
        return await visit.again(faults, place)
    draining = pausing and form.get("how") == "drain"
    leaf = audit.leaf(
        "organisation.draining" if draining else "organisation.paused" if pausing else "organisation.resumed",
        visit.parts.clock(),
        actor(visit),
        organisation=key,
        detail={"reason": reason, "note": note},
    )
    if await operations.pause(visit.parts.database, key, reason if pausing else None, note, leaf, draining=draining):
        if draining:
            log.warning("organisation.draining", organisation=key, reason=reason)
        elif pausing:
            log.warning("organisation.paused", organisation=key, reason=reason)
        else:
            log.warning("organisation.resumed", organisation=key, reason=reason)
    return visit.to(place)


def _known(visit: Visit) -> str:
    key = str(visit.request.path_params["organisation"])
    if key not in visit.parts.directory.organisations():
        raise HTTPException(404)
    return key


PAGES: Final = (
    Page("GET", "/organisations/{organisation}", organisation),
    Page("POST", "/organisations/{organisation}/pause", pause),
    Page("POST", "/organisations/{organisation}/resume", resume),
)

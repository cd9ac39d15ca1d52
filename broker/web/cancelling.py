"""Taking a change back: asked once more, then done."""

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response

from broker import intake
from broker.language import moment_in_words
from broker.store import withdrawals
from broker.tracking.withdrawing import carry_out
from broker.web.following import own_change
from broker.web.telling.journey import proven
from broker.web.visit import Page, Visit
from contracts.changes import change_types

log = structlog.get_logger()


def pages() -> list[Page]:
    return [
        Page("GET", "/changes/{number:int}/cancel", ask),
        Page("POST", "/changes/{number:int}/cancel", cancel),
    ]


async def ask(visit: Visit) -> Response:
    """Ask whether they are sure. Whoever has not proven who they are is led to do that first, and back here."""
    found = await own_change(visit)
    if found is None:
        raise HTTPException(404)
    _, change = found
    place = f"/changes/{change.ordinal}"
    withdrawn, _ = await withdrawals.of_change(visit.parts.database, change.id)
    if withdrawn is not None:
        return visit.to(place)
    if not proven(visit.signed_in.who, change_types()[change.type]):
        return visit.to(f"/sign-in?prove=1&next={place}/cancel")
    return visit.page(
        "cancel.html",
        back=place,
        title=visit.words(f"cancel-title-{change.type}"),
        reference=change.reference,
        told=moment_in_words(change.accepted_at, visit.language),
        query="",
    )


async def cancel(visit: Visit) -> Response:
    """Cancel it, once; sent again it changes nothing."""
    found = await own_change(visit)
    if found is None:
        raise HTTPException(404)
    person, change = found
    place = f"/changes/{change.ordinal}"
    if not proven(visit.signed_in.who, change_types()[change.type]):
        return visit.to(f"/sign-in?prove=1&next={place}/cancel")
    parts = visit.parts
    if await intake.cancel(parts.database, person, change, parts.clock()):
        log.info("change.cancelled_on_a_page", change_id=str(change.id))
    await carry_out(parts.database, parts.vault, change.id, parts.clock)
    return visit.to(place)

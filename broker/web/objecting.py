"""A link from a letter that can only hold; and what its person says to that, signed in with a proven identity.

Whoever has the link may be reading somebody else's letters: the page says nothing of what was told, nor whether the link
is good, before it is used. What is in the log already is not held: the page says so. An earlier change of the same
type that is held, whoever ends that, goes first.
"""

from typing import Final
from uuid import UUID

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response

from broker import audit
from broker.store import changes, holds, notices
from broker.store.changes import DeliveryRow
from broker.store.holds import HoldRow, Placed
from broker.web.following import own_change
from broker.web.visit import Page, Visit
from contracts.holds import DECIDED_BY, DecidedBy, HoldOutcome, HoldReason
from contracts.ids import new_id
from contracts.person import IdentityLevel
from contracts.statuses import Status

LONGEST: Final = 64
SAID_SO: Final = "person_said_so"
"""Why, of a hold that its person released."""

log = structlog.get_logger()


def pages() -> list[Page]:
    return [
        Page("GET", "/hold/{token}", ask),
        Page("POST", "/hold/{token}", hold),
        Page("GET", "/changes/{number:int}/release", ask_to_release),
        Page("POST", "/changes/{number:int}/release", release),
    ]


async def ask(visit: Visit) -> Response:
    """Ask whether to hold; the same for every token."""
    return visit.page("hold/ask.html")


async def hold(visit: Visit) -> Response:
    database, token = visit.parts.database, visit.request.path_params["token"]
    found = None
    if len(token) <= LONGEST and token.isascii():
        digest = await visit.parts.vault.digester("hold-links")
        found = await notices.linked(database, digest(token.encode()))
    if found is None:
        return visit.page("hold/unknown.html", status=404)
    notice_id, change_id = found
    # Once its person has said, proven, that it was them, no letter holds it again: the reader may be who they fled from.
    answered = any(map(_is_answered, await holds.of_change(database, change_id)))
    if answered or not any(map(_can_be_held, await changes.deliveries_of(database, [change_id]))):
        return visit.page("hold/too-late.html")
    now = visit.parts.clock()
    placed = Placed(id=new_id(now), reason=HoldReason.OBJECTED, until=None)
    detail = {"hold": HoldReason.OBJECTED.value}

    def leaf(held: UUID) -> bytes:
        return audit.leaf("change.held", now, f"notice:{notice_id}", change_id=held, detail={**detail})

    for held in await holds.place(database, change_id, placed, leaf):
        log.warning("change.held", change_id=str(held), reason=HoldReason.OBJECTED.value)
    return visit.page("hold/done.html")


def _can_be_held(row: DeliveryRow) -> bool:
    """Return whether a delivery has not its place in a lane yet."""
    return row.sequence is None and row.status in (Status.WAITING, Status.QUEUED)


async def ask_to_release(visit: Visit) -> Response:
    """Ask the person whether it was them. Whoever has not proven who they are is led to do that first, and back here."""
    _, objections, place = await _objected(visit)
    if not _proven(visit):
        return visit.to(f"/sign-in?prove=1&next={place}/release")
    earlier = await holds.earlier_held(visit.parts.database, objections[0].id)
    theirs = earlier is not None and DECIDED_BY[earlier.reason] is DecidedBy.PERSON
    return visit.page(
        "hold/release.html",
        back=place,
        cancel=f"{place}/cancel",
        earlier=f"/changes/{earlier.ordinal}{'/release' if theirs else ''}" if earlier else None,
        theirs=theirs,
    )


async def release(visit: Visit) -> Response:
    change_id, objections, place = await _objected(visit)
    if not _proven(visit):
        return visit.to(f"/sign-in?prove=1&next={place}/release")
    if await holds.earlier_held(visit.parts.database, objections[0].id):
        return visit.to(f"{place}/release")  # which says why, and leads there
    for one in objections:
        actor = f"citizen:{one.person_id}"
        detail = {"hold": one.reason.value, "reason": SAID_SO}
        leaf = audit.leaf("hold.released", visit.parts.clock(), actor, change_id=change_id, detail={**detail})
        if await holds.release(visit.parts.database, one.id, actor, SAID_SO, leaf):
            log.info("hold.released", change_id=str(change_id), reason=SAID_SO)
    return visit.to(place)


async def _objected(visit: Visit) -> tuple[UUID, list[HoldRow], str]:
    """Return the person's own change, the objections it is held for, and its page; 404 where there are none."""
    found = await own_change(visit)
    if found is None:
        raise HTTPException(404)
    _, change = found
    objections = [one for one in await holds.of_change(visit.parts.database, change.id) if _is_objection(one)]
    if not objections:
        raise HTTPException(404)
    return change.id, objections, f"/changes/{change.ordinal}"


def _proven(visit: Visit) -> bool:
    """Return whether the person is known well enough to undo what protects them."""
    who = visit.signed_in.who
    return bool(who.get("person")) and IdentityLevel(who["level"]).meets(IdentityLevel.P2)


def _is_answered(hold: HoldRow) -> bool:
    """Return whether a hold was an objection that its person has said is wrong."""
    return hold.reason is HoldReason.OBJECTED and hold.outcome is HoldOutcome.RELEASED


def _is_objection(hold: HoldRow) -> bool:
    """Return whether a hold waits for its person's word."""
    return hold.reason is HoldReason.OBJECTED and hold.ended_at is None

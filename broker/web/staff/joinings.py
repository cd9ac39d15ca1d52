"""Requests to join a new account to an earlier one: seen without anything personal, decided by two people. Decision 34.

That name and birth date agree the exchange has found by itself before anybody sees a request.
"""

from typing import Any, Final

import structlog
from starlette.responses import Response

from broker.intake import joining
from broker.store import joinings
from broker.store.joinings import ApprovedBefore, CannotJoin, Decision, Joining, NotOpen
from broker.web.staff import reasons
from broker.web.staff.allowed import actor, staff_page
from broker.web.staff.wording import exact, span
from broker.web.visit import Page, Visit

MOST: Final = 200
"""Shown at once, the oldest first."""

log = structlog.get_logger()


async def queue(visit: Visit) -> Response:
    """Show what waits for a decision, and how many of the last 30 days did not agree."""
    database, words = visit.parts.database, visit.words
    listed = [
        {
            "id": str(one.id),
            "asked": exact(words, one.asked_at),
            "age": span(words, visit.signed_in.now - one.asked_at),
            "approved": len(one.approved_by),
        }
        for one in await joinings.waiting(database, MOST)
    ]
    return staff_page(visit, "staff/joinings.html", listed=listed, not_agreed=await joinings.not_agreed(database))


async def one(visit: Visit) -> Response:
    found = await _asked(visit)
    return _nothing(visit) if found is None else _shown(visit, found)


async def approve(visit: Visit) -> Response:
    """Approve: with the second person the accounts are joined."""
    found = await _asked(visit)
    if found is None:
        return _nothing(visit)
    reason, note, faults = reasons.read(await visit.form(), joining.APPROVE)
    if faults:
        return await visit.again(faults, _place(visit, found))
    parts, decision = visit.parts, Decision(by=actor(visit), reason=reason, note=note)
    try:
        if await joining.approve(parts.database, parts.vault, found, decision, parts.clock()):
            log.warning("account.joined", reason=reason)
    except (ApprovedBefore, NotOpen):
        pass  # the page says how it stands
    except CannotJoin:
        return _shown(visit, found, cannot=True)
    return visit.to(_place(visit, found))


async def refuse(visit: Visit) -> Response:
    """Refuse: nothing is joined. One person is enough."""
    found = await _asked(visit)
    if found is None:
        return _nothing(visit)
    reason, note, faults = reasons.read(await visit.form(), joining.REFUSE)
    if faults:
        return await visit.again(faults, _place(visit, found))
    try:
        decision = Decision(by=actor(visit), reason=reason, note=note)
        await joining.refuse(visit.parts.database, found, decision, visit.parts.clock())
        log.warning("account.refused", reason=reason)
    except NotOpen:
        pass  # the page says how it stands
    return visit.to(_place(visit, found))


def _shown(visit: Visit, found: Joining, *, cannot: bool = False) -> Response:
    words = visit.words
    approved = actor(visit) in found.approved_by
    rows = [
        (words("staff-state"), words(f"staff-joining-{found.outcome or 'waiting'}", n=len(found.approved_by))),
        (words("staff-joining-asked"), exact(words, found.asked_at)),
        (words("staff-joining-known-since"), exact(words, found.known_since)),
        (words("staff-joining-told"), str(found.told)),
        *((words("staff-approved-by"), exact(words, at)) for at in found.approved_at),
    ]
    context: dict[str, Any] = {
        "id": str(found.id),
        "rows": rows,
        "open": found.outcome is None,
        "approved": approved,
        "cannot": cannot or (found.outcome is None and found.told_now > 0),
        "reasons": (() if approved or found.told_now else joining.APPROVE) + joining.REFUSE,
        "back": f"{visit.door.prefix}/joinings",
    }
    return staff_page(visit, "staff/joining.html", **context)


def _nothing(visit: Visit) -> Response:
    words = visit.words
    heading, body = words("staff-joining-none-title"), words("staff-joining-none-body")
    return staff_page(visit, "staff/nothing.html", status=404, heading=heading, body=body)


def _place(visit: Visit, found: Joining) -> str:
    return f"{visit.door.prefix}/joinings/{found.id}"


async def _asked(visit: Visit) -> Joining | None:
    asked = joining.joining_id(str(visit.request.path_params["joining"]))
    return None if asked is None else await joinings.find(visit.parts.database, asked)


PAGES: Final = (
    Page("GET", "/joinings", queue),
    Page("GET", "/joinings/{joining}", one),
    Page("POST", "/joinings/{joining}/approve", approve),
    Page("POST", "/joinings/{joining}/refuse", refuse),
)

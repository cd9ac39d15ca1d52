"""What the member of staff who is signed in may do, and pages with their menu. Signed in is not yet allowed."""

from starlette.responses import Response

from broker.identity.staff import May, may
from broker.web.visit import Visit


def allowances(visit: Visit) -> frozenset[May]:
    """Return everything the member of staff may do."""
    return may(visit.signed_in.who.get("groups") or ())


def refused(visit: Visit) -> Response:
    """Say that somebody is signed in and may not."""
    return staff_page(visit, "staff/refused.html", status=403)


def actor(visit: Visit) -> str:
    """Return how the ledger names who acts: the subject their provider gave them."""
    return f"staff:{visit.signed_in.who['subject']}"


def staff_page(visit: Visit, template: str, *, status: int = 200, **context: object) -> Response:
    """Return a page with the menu of what this member of staff may do."""
    prefix, allowed, path = visit.door.prefix, allowances(visit), visit.request.url.path
    menu = [
        (May.LOOK, "staff-nav-overview", prefix),
        (May.TRACE, "staff-nav-trace", f"{prefix}/trace"),
        (May.REPLAY, "staff-nav-replay", f"{prefix}/replay"),
        (May.READ_REGISTER, "staff-nav-register", f"{prefix}/register"),
        (May.READ_REGISTER, "staff-nav-agreements", f"{prefix}/agreements"),
        (May.DECIDE, "staff-nav-holds", f"{prefix}/holds"),
        (May.JOIN, "staff-nav-joinings", f"{prefix}/joinings"),
        (May.READ_ACTS, "staff-nav-acts", f"{prefix}/acts"),
    ]
    navigation = [
        {"text": visit.words(message), "href": href, "current": path == href}
        for act, message, href in menu
        if act in allowed
    ]
    return visit.page(
        template,
        status=status,
        navigation=navigation or [{"text": visit.words("staff-nav-overview"), "href": prefix}],
        may=allowed,
        prefix=prefix,
        **context,
    )

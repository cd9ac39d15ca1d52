"""Saying that one told changes with an account one no longer has. Whatever is found, the answer is the same."""

import structlog
from starlette.responses import Response

from broker.intake import joining
from broker.intake.joining import Asking
from broker.intake.references import read_reference
from broker.web.telling.journey import Who, told_by
from broker.web.visit import Page, Visit
from contracts.person import IdentityLevel

PLACE = "/changes/earlier"
LEVEL = IdentityLevel.P2
"""What must be proven: below it nobody's name is verified."""

log = structlog.get_logger()


def pages() -> list[Page]:
    return [Page("GET", PLACE, question), Page("POST", PLACE, take), Page("GET", f"{PLACE}/asked", asked)]


async def question(visit: Visit) -> Response:
    """Ask for the reference of one earlier change."""
    return await _in_the_way(visit) or visit.page("earlier.html", back="/changes", query="")


async def take(visit: Visit) -> Response:
    """Keep the request. Nothing says whether there is such a change, or whose."""
    if stopped := await _in_the_way(visit):
        return stopped
    said = (await visit.form()).get("reference", "")
    if read_reference(said) is None:
        return await visit.again([("reference", "earlier-fault-reference")])
    parts = visit.parts
    if not await joining.ask(parts.database, parts.vault, _asking(visit), said, parts.clock()):
        return await visit.again([("reference", "earlier-fault-often")])
    log.info("account.asked")
    return visit.to(f"{PLACE}/asked")


async def asked(visit: Visit) -> Response:
    """Say what happens next, the same to everybody."""
    return visit.page("text.html", title="earlier-asked-title", parts=(("p", "earlier-asked-body"),), back="/changes")


async def _in_the_way(visit: Visit) -> Response | None:
    """Return what keeps somebody from asking: they are not verified, or told changes with this account too."""
    who = visit.signed_in.who
    if not _verified(who):
        return visit.to(f"/sign-in?prove=1&next={PLACE}")
    if await joining.has_told(visit.parts.database, visit.parts.vault, who["issuer"], who["subject"]):
        return visit.page("text.html", title="earlier-both-title", parts=(("p", "earlier-both-body"),), back="/changes")
    return None


def _verified(who: Who) -> bool:
    return bool(who.get("person")) and IdentityLevel(who["level"]).meets(LEVEL)


def _asking(visit: Visit) -> Asking:
    told = told_by(visit.signed_in.who)
    return Asking(
        issuer=told.issuer,
        subject=told.subject,
        sessions=visit.door.sessions.account(told.issuer, told.subject),
        name=told.name,
        birth_date=told.birth_date,
    )

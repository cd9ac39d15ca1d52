"""Agreements: what is in force with whom, every version with what it changed, its document, and revoking one at once."""

from datetime import date
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response

from broker.register import checking
from broker.register.differences import differences
from broker.register.document import written
from broker.register.proposing import REVOKE
from broker.store import proposals, register
from broker.web.staff import ledger, reasons
from broker.web.staff.allowed import actor, staff_page
from broker.web.staff.wording import coded, exact, organisation_name
from broker.web.visit import Page, Visit
from contracts.agreement import Agreement
from contracts.times import day_in_wales

log = structlog.get_logger()


async def agreements(visit: Visit) -> Response:
    """Show the newest version of each agreement, and what waits for a decision."""
    words, today = visit.words, day_in_wales(visit.parts.clock())
    newest = checking.newest(visit.parts.directory.agreements())
    return staff_page(
        visit,
        "staff/agreements.html",
        agreements=[
            (item.id, words.of(item.title), organisation_name(visit, item.organisation), item.version,
             words(f"staff-standing-{checking.state(item, today)}"))
            for item in sorted(newest.values(), key=lambda item: (item.organisation, item.id))
        ],
        waiting=[
            (str(item.id), words(f"staff-kind-{item.kind}"), item.subject, item.based_on + 1, len(item.approvals))
            for item in await proposals.waiting(visit.parts.database)
        ],
    )  # fmt: skip


async def agreement(visit: Visit) -> Response:
    """Show every version of one agreement, the newest first, each with what it changed."""
    words, today = visit.words, day_in_wales(visit.parts.clock())
    versions = _versions(visit, str(visit.request.path_params["agreement"]))
    revoked = {item.version: item for item in await register.revocations(visit.parts.database, versions[0].id)}
    broader = {item.version for item in checking.broader(versions, today)}
    plain = [item.model_dump(mode="json", exclude={"revoked"}, exclude_none=True) for item in versions]
    shown = []
    for place, item in enumerate(versions):
        ended = revoked.get(item.version)
        shown.append(
            {
                "version": item.version,
                "broader": item.version in broader,
                "state": words(f"staff-standing-{checking.state(item, today)}"),
                "ended": words(
                    "staff-revoked-at",
                    at=exact(words, ended.at),
                    why=coded(words, "reason", ended.reason or "operator"),
                )
                if ended
                else None,
                "differences": differences(plain[place + 1], plain[place]) if place + 1 < len(versions) else None,
            }
        )
    return staff_page(
        visit,
        "staff/agreement.html",
        key=versions[0].id,
        title=words.of(versions[0].title),
        name=organisation_name(visit, versions[0].organisation),
        versions=shown,
        revocable=_revocable(versions, today, visit.request.query_params.get("version", "")),
        reasons=REVOKE,
        back=f"{visit.door.prefix}/agreements",
    )


async def document(visit: Visit) -> Response:
    """Show one version as a document that can be printed."""
    item = _version(visit)
    organisation = visit.parts.directory.organisations().get(item.organisation)
    return staff_page(
        visit,
        "staff/agreement-document.html",
        document=written(item, organisation, visit.words),
        back=f"{visit.door.prefix}/agreements/{item.id}",
    )


async def revoke(visit: Visit) -> Response:
    """Revoke a version: from now on the gate withholds what is not sent. One person is enough to stop something."""
    item = _version(visit)
    place = f"{visit.door.prefix}/agreements/{item.id}"
    reason, note, faults = reasons.read(await visit.form(), REVOKE)
    if faults:
        return await visit.again(faults, place)
    at, by = visit.parts.clock(), actor(visit)
    leaf = ledger.revoked(by, at, item.organisation, item.id, item.version, reason, note)
    if await register.revoke_agreement(
        visit.parts.database, item.id, item.version, at, by=by, reason=reason, note=note, leaf=leaf
    ):
        log.warning("agreement.revoked", organisation=item.organisation, reason=reason)
        await visit.parts.directory.refresh()
    return visit.to(place)


def _versions(visit: Visit, key: str) -> list[Agreement]:
    found = [item for item in visit.parts.directory.agreements() if item.id == key]
    if not found:
        raise HTTPException(404)
    return sorted(found, key=lambda item: item.version, reverse=True)


def _revocable(versions: list[Agreement], today: date, asked: str) -> int | None:
    """Return which version the page can revoke: the one asked for, the one in force, the newest not revoked."""
    chosen = [item for item in versions if str(item.version) == asked]
    standing = [item for item in versions if checking.in_force(item, today)]
    return next((item.version for item in (*chosen, *standing, *versions) if not item.revoked), None)


def _version(visit: Visit) -> Agreement:
    asked = visit.request.path_params
    for item in _versions(visit, str(asked["agreement"])):
        if item.version == asked["version"]:
            return item
    raise HTTPException(404)


PAGES: Final = (
    Page("GET", "/agreements", agreements),
    Page("GET", "/agreements/{agreement}", agreement),
    Page("GET", "/agreements/{agreement}/{version:int}", document),
    Page("POST", "/agreements/{agreement}/{version:int}/revoke", revoke),
)

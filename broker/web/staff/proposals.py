"""Proposing a change of the register, and deciding on what somebody else proposed. Decision 30."""

from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from pydantic import ValidationError
from starlette.responses import Response

from broker.audit.proposals import on_proposals
from broker.identity.staff import May
from broker.intake.dry_run import A_MONTH, DryRun, dry_run
from broker.register import checking, proposing, reading
from broker.register.checking import Fault
from broker.register.differences import Difference, differences
from broker.register.document import Written, field_words, written
from broker.register.reading import Document, Faulty
from broker.store import proposals, register
from broker.store.proposals import ApprovedBefore, Kind, NoLongerFits, NotOpen, Proposal
from broker.store.register import Configuration
from broker.web.staff import kept, ledger, reasons
from broker.web.staff.allowed import actor, allowances, staff_page
from broker.web.staff.wording import coded, exact, organisation_name
from broker.web.visit import Page, Visit
from contracts.agreement import Agreement
from contracts.changes import change_types
from contracts.times import day_in_wales

KEPT: Final = "to-propose"

log = structlog.get_logger()


async def ask(visit: Visit) -> Response:
    """Show the form that takes a document."""
    return staff_page(visit, "staff/propose.html", back=f"{visit.door.prefix}/agreements")


async def take(visit: Visit) -> Response:
    """Take a document and lead to what is to be said of it. What is wrong with it is said there, field by field."""
    text = (await visit.form()).get("document", "").strip()
    if not text:
        return await visit.again([("document", "staff-fault-document")])
    place = await kept.put(visit, KEPT, {"document": text})
    return visit.to(f"{visit.door.prefix}/proposals/check/{place}")


async def check(visit: Visit) -> Response:
    """Show what is wrong with a document, or what it would change."""
    raw = _kept(visit)
    if raw is None:
        return _nothing(visit, "propose-over", 200)
    again = f"{visit.door.prefix}/proposals"
    try:
        document = _read(raw)
        known = await _known(visit)
        faults = tuple(proposing.faults_of(document, known, day_in_wales(visit.parts.clock()), ()))
    except Faulty as faulty:
        faults = faulty.faults
    if faults:
        return staff_page(
            visit, "staff/propose-check.html", faults=[_fault(visit, one) for one in faults], place=None, back=again
        )
    return staff_page(
        visit,
        "staff/propose-check.html",
        faults=(),
        place=visit.request.path_params["place"],
        kind=visit.words(f"staff-kind-{proposing.kind_of(document)}"),
        subject=proposing.subject_of(document),
        differences=await _differences(visit, document),
        pauses=proposing.turns_delivery(document, known),
        back=again,
    )


async def propose(visit: Visit) -> Response:
    """Keep the proposal; whoever proposes is the first of the two."""
    raw = _kept(visit)
    if raw is None:
        return visit.to(visit.request.url.path)
    at, by = visit.parts.clock(), actor(visit)
    try:
        proposal = await proposing.propose(visit.parts.database, _read(raw), by, at, on_proposals(by, at), counts=True)
    except Faulty:
        return visit.to(visit.request.url.path)  # what has become wrong since is said there
    log.warning("proposal.proposed", kind=proposal.kind, organisation=proposal.organisation)
    return visit.to(f"{visit.door.prefix}/proposals/{proposal.id}")


async def proposal(visit: Visit) -> Response:
    """Show a proposal: what it would change, who proposed and approved it, and what can be decided."""
    found = await _found(visit)
    return await _shown(visit, found, ()) if found else _nothing(visit, "proposal-none", 404)


async def approve(visit: Visit) -> Response:
    """Approve: with the second person it comes into force."""
    found = await _found(visit)
    if found is None:
        return _nothing(visit, "proposal-none", 404)
    at, by = visit.parts.clock(), actor(visit)
    try:
        in_force = await proposing.approve(visit.parts.database, found.id, by, at, on_proposals(by, at))
    except (ApprovedBefore, NotOpen):
        in_force = False  # the page says how it stands
    except NoLongerFits as late:
        return await _shown(visit, found, late.faults or (Fault("", "not_next"),))
    if in_force:
        log.warning("proposal.in_force", kind=found.kind, organisation=found.organisation)
        await visit.parts.directory.refresh()
    return visit.to(f"{visit.door.prefix}/proposals/{found.id}")


async def reject(visit: Visit) -> Response:
    """Reject: it never comes into force."""
    found = await _found(visit)
    if found is None:
        return _nothing(visit, "proposal-none", 404)
    place = f"{visit.door.prefix}/proposals/{found.id}"
    reason, note, faults = reasons.read(await visit.form(), proposing.REJECT)
    if faults:
        return await visit.again(faults, place)
    at, by = visit.parts.clock(), actor(visit)
    leaves = on_proposals(by, at, reason=reason, note=note)
    try:
        await proposing.reject(visit.parts.database, found.id, by, at, reason, note, leaves)
    except NotOpen:
        return visit.to(place)
    log.warning("proposal.rejected", kind=found.kind, organisation=found.organisation)
    await visit.parts.directory.refresh()
    return visit.to(place)


async def try_out(visit: Visit) -> Response:
    """Count what a proposed agreement would have sent of last month's changes, and show the counts."""
    found = await _found(visit)
    document = _agreement(found) if found else None
    if found is None or document is None or document.change_type not in change_types():
        return _nothing(visit, "proposal-none", 404)
    parts, at = visit.parts, visit.parts.clock()
    since = at - A_MONTH
    leaf = ledger.tried(actor(visit), at, document, since)
    tried = await dry_run(parts.database, parts.vault, parts.gazetteer, document, since, at, leaf)
    log.warning("agreement.tried", organisation=document.organisation, count=tried.looked_at)
    return await _shown(visit, found, (), tried)


async def _shown(visit: Visit, found: Proposal, faults: tuple[Fault, ...], tried: DryRun | None = None) -> Response:
    words, allowed = visit.words, allowances(visit)
    is_open = found.outcome is None
    approved = actor(visit) in {one.by for one in found.approvals}
    document = _agreement(found)
    return staff_page(
        visit,
        "staff/proposal.html",
        id=str(found.id),
        kind=words(f"staff-kind-{found.kind}"),
        subject=found.subject,
        version=found.based_on + 1,
        name=organisation_name(visit, found.organisation) if found.organisation else None,
        state=words(f"staff-proposal-{found.outcome or 'waiting'}", n=len(found.approvals)),
        ended=exact(words, found.ended_at) if found.ended_at else None,
        why=coded(words, "reason", found.reason) if found.reason else None,
        proposed=(exact(words, found.proposed_at), _who(found.proposed_by)),
        by_software=found.by_software,
        approvals=[(exact(words, one.at), _who(one.by)) for one in found.approvals],
        pauses=is_open and found.pauses,
        broader=_broader(visit, found),
        revoked=await _revoked(visit, found),
        differences=differences(
            await _before(visit, found.kind, found.subject, found.based_on), orjson.loads(found.document)
        ),
        document=_written(visit, document),
        faults=[_fault(visit, one) for one in faults],
        tried=_counts(visit, document, tried) if tried and document else None,
        can_try=document is not None and document.change_type in change_types() and May.TRY in allowed,
        can_approve=is_open and May.APPROVE in allowed and not approved,
        can_reject=is_open and May.APPROVE in allowed,
        approved=is_open and approved,
        reasons=proposing.REJECT,
        back=f"{visit.door.prefix}/agreements",
    )


async def _revoked(visit: Visit, found: Proposal) -> str | None:
    """Return when and why the version that an agreement would follow was revoked, if it was: no difference shows that."""
    if found.kind != "agreement" or found.outcome is not None:
        return None
    gone = {item.version: item for item in await register.revocations(visit.parts.database, found.subject)}
    ended = gone.get(found.based_on)
    if ended is None:
        return None
    words = visit.words
    at, why = exact(words, ended.at), coded(words, "reason", ended.reason or "operator")
    return f"{words('staff-version-n', n=ended.version)}: {words('staff-revoked-at', at=at, why=why)}"


def _broader(visit: Visit, found: Proposal) -> list[int]:
    """Return the older versions that permit more than the agreement in force, where this proposal was for it."""
    if found.kind != "agreement" or found.outcome != "in_force":
        return []
    versions = [item for item in visit.parts.directory.agreements() if item.id == found.subject]
    return [item.version for item in checking.broader(versions, day_in_wales(visit.parts.clock()))]


def _counts(visit: Visit, agreement: Agreement, tried: DryRun) -> dict[str, Any]:
    words = visit.words
    lines = [
        (words("staff-tried-looked-at"), tried.looked_at),
        (words("staff-tried-told"), tried.told),
        *(
            (words(f"agreement-where-{share.where}"), n)
            for share, n in zip(agreement.shares, tried.by_share, strict=True)
        ),
        *((field_words(f"/{name}", words), n) for name, n in tried.fields.items()),
    ]
    return {"lines": lines, "whole": tried.whole, "since": exact(words, tried.since)}


def _fault(visit: Visit, fault: Fault) -> tuple[str, str]:
    return fault.pointer or "/", visit.words(f"staff-problem-{fault.code}", about=fault.about)


def _who(actor_name: str) -> list[str]:
    who = actor_name.rpartition(":")[2]
    return [who[place : place + 12] for place in range(0, len(who), 12)]  # an opaque id: it may break anywhere


def _agreement(found: Proposal) -> Agreement | None:
    """Return the agreement that is proposed, None for anything else and for what this program cannot read."""
    if found.kind != "agreement":
        return None
    try:
        return Agreement.model_validate_json(found.document)
    except ValidationError:
        return None


def _written(visit: Visit, document: Agreement | None) -> Written | None:
    if document is None:
        return None
    return written(document, visit.parts.directory.organisations().get(document.organisation), visit.words)


def _kept(visit: Visit) -> bytes | None:
    found = kept.get(visit, KEPT, str(visit.request.path_params["place"]))
    return found["document"].encode() if found else None


def _nothing(visit: Visit, what: str, status: int) -> Response:
    words = visit.words
    heading, body = words(f"staff-{what}-title"), words(f"staff-{what}-body")
    return staff_page(visit, "staff/nothing.html", status=status, heading=heading, body=body)


def _read(raw: bytes) -> Document:
    return reading.read(reading.kind_of(raw), raw)


async def _known(visit: Visit) -> Configuration:
    return await register.configuration(visit.parts.database)


async def _differences(visit: Visit, document: Document) -> list[Difference]:
    """Return what a document changes of the newest version."""
    after = document.model_dump(mode="json", exclude_none=True, exclude={"revoked", "paused", "draining"})
    before = await _before(visit, proposing.kind_of(document), proposing.subject_of(document), None)
    return differences(before, after)


async def _before(visit: Visit, kind: Kind, subject: str, version: int | None) -> dict[str, Any]:
    if kind == "agreement":
        versions = [item for item in visit.parts.directory.agreements() if item.id == subject]
        found = [item for item in versions if version in (None, item.version)]
        newest = max(found, key=lambda item: item.version, default=None)
        return newest.model_dump(mode="json", exclude={"revoked"}, exclude_none=True) if newest else {}
    kept_versions = await proposals.versions(visit.parts.database, kind, subject)
    chosen = [one for one in kept_versions if version in (None, one.version)]
    return chosen[0].definition if chosen else {}


async def _found(visit: Visit) -> Proposal | None:
    try:
        key = UUID(str(visit.request.path_params["proposal"]))
    except ValueError:
        return None
    return await proposals.find(visit.parts.database, key)


PAGES: Final = (
    Page("GET", "/proposals", ask),
    Page("POST", "/proposals", take),
    Page("GET", "/proposals/check/{place}", check),
    Page("POST", "/proposals/check/{place}", propose),
    Page("GET", "/proposals/{proposal}", proposal),
    Page("POST", "/proposals/{proposal}/try", try_out),
    Page("POST", "/proposals/{proposal}/approve", approve),
    Page("POST", "/proposals/{proposal}/reject", reject),
)

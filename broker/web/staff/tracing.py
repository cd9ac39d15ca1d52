"""One change step by step, looked up by the reference somebody reads out. Nothing personal is read for it."""

from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from starlette.responses import Response

from broker import audit
from broker.intake.references import read_reference
from broker.store import browsing, operations
from broker.store.changes import ReceiptRow
from broker.store.operations import TracedDelivery
from broker.web.staff import kept, reasons
from broker.web.staff.allowed import actor, staff_page
from broker.web.staff.wording import coded, exact, organisation_name, span
from broker.web.visit import Page, Visit
from contracts.statuses import Status


async def ask(visit: Visit) -> Response:
    return staff_page(visit, "staff/trace.html", reasons=reasons.TRACE)


async def look_up(visit: Visit) -> Response:
    """Find a change by its reference, on record, and lead to a place that says nothing of it."""
    form = await visit.form()
    reason, note, faults = reasons.read(form, reasons.TRACE)
    reference = read_reference(form.get("reference", "")[:40])
    if reference is None:
        faults.insert(0, ("reference", "staff-fault-reference"))
    if faults or reference is None:
        return await visit.again(faults)

    def leaf(found: UUID | None) -> bytes:
        return _leaf(visit, found, reason, note)

    found = await operations.look_up(visit.parts.database, reference, leaf)
    if found is None:
        return await visit.again([("reference", "staff-fault-no-such-change")])
    return await _traced(visit, found)


def _leaf(visit: Visit, found: UUID | None, reason: str, note: str) -> bytes:
    return audit.leaf(
        "change.traced",
        visit.parts.clock(),
        actor(visit),
        change_id=found,
        outcome="shown" if found else "absent",
        detail={"reason": reason, "note": note},
    )


async def _traced(visit: Visit, change: UUID) -> Response:
    name = await kept.put(visit, "trace", {"change": str(change)})
    return visit.to(f"{visit.door.prefix}/trace/{name}")


async def take_why(visit: Visit) -> Response:
    """Trace a change that was chosen from a list, on record."""
    place = kept.get(visit, "to-trace", visit.request.path_params["place"])
    if place is None:
        return staff_page(visit, "staff/trace-over.html", status=404)
    reason, note, faults = reasons.read(await visit.form(), reasons.TRACE)
    if faults:
        return await visit.again(faults)
    change = UUID(place["change"])
    await browsing.record_look(visit.parts.database, _leaf(visit, change, reason, note))
    return await _traced(visit, change)


async def result(visit: Visit) -> Response:
    """Show a change step by step; for one that was chosen from a list, ask why first."""
    name = visit.request.path_params["place"]
    if kept.get(visit, "to-trace", name):
        return staff_page(visit, "staff/trace-why.html", reasons=reasons.TRACE)
    place = kept.get(visit, "trace", name)
    traced = await operations.trace(visit.parts.database, UUID(place["change"])) if place else None
    if traced is None:
        return staff_page(visit, "staff/trace-over.html", status=404)
    words = visit.words
    return staff_page(
        visit,
        "staff/traced.html",
        place=name,
        reference=traced.reference,
        kind=coded(words, "change", traced.type),
        accepted=exact(words, traced.accepted_at),
        deliveries=[_delivery(visit, item) for item in traced.deliveries],
        back=f"{visit.door.prefix}/trace",
    )


async def replay_one(visit: Visit) -> Response:
    """Lead from a delivery of a traced change to the preview of its replay."""
    place = kept.get(visit, "trace", visit.request.path_params["place"])
    traced = await operations.trace(visit.parts.database, UUID(place["change"])) if place else None
    asked = (await visit.form()).get("delivery")
    found = (
        next((item.delivery for item in traced.deliveries if str(item.delivery.id) == asked), None) if traced else None
    )
    if found is None:
        return staff_page(visit, "staff/trace-over.html", status=404)
    name = await kept.put(visit, "replay", {"organisation": found.organisation, "delivery": str(found.id)})
    return visit.to(f"{visit.door.prefix}/replay/{name}")


def _delivery(visit: Visit, item: TracedDelivery) -> dict[str, Any]:
    words, row = visit.words, item.delivery
    steps: list[tuple[datetime, str, bool]] = [(row.accepted_at, words("staff-step-accepted"), False)]
    if row.due > row.accepted_at:
        steps.append((row.due, words("staff-step-due"), False))
    if row.published_at is not None:
        steps.append((row.published_at, words("staff-step-published"), False))
    steps.extend((receipt.at, _said(visit, receipt), receipt.effect == "conflict") for receipt in item.receipts)
    if item.replayed_at is not None:
        steps.append((item.replayed_at, words("staff-step-replayed"), False))
    steps.sort(key=lambda step: step[0])
    lasted = [None, *(span(words, later[0] - earlier[0]) for earlier, later in pairwise(steps))]
    return {
        "id": str(row.id),
        "name": organisation_name(visit, row.organisation),
        "status": words(f"staff-status-{row.status}"),
        "undelivered": row.status == Status.UNDELIVERED,
        "reason": coded(words, "reason", row.reason) if row.reason else None,
        "agreement": f"{row.agreement}, {row.agreement_version}",
        "sequence": row.sequence,
        "epoch": item.epoch,
        "attempts": row.attempts,
        "reference": row.reference,
        "next_try": exact(words, item.next_try) if item.next_try else None,
        "in_flight": item.in_flight,
        "receipts": len(item.receipts),
        "conflicts": sum(receipt.effect == "conflict" for receipt in item.receipts),
        "whole": span(words, steps[-1][0] - steps[0][0]),
        "steps": [
            {"at": exact(words, at), "what": what, "conflict": conflict, "after": after}
            for (at, what, conflict), after in zip(steps, lasted, strict=True)
        ],
    }


def _said(visit: Visit, receipt: ReceiptRow) -> str:
    """Return a receipt in words: what kind it was, what it said, and where that left the delivery."""
    words = visit.words
    code = receipt.outcome or receipt.reason
    said = coded(words, "outcome" if receipt.outcome else "reason", code) if code else ""
    line = words(f"staff-receipt-{receipt.kind}", attempt=receipt.attempt, said=said)
    if receipt.effect == "noted":
        return f"{line} {words('staff-receipt-noted')}"
    if receipt.effect == "conflict":
        return f"{line} {words('staff-receipt-conflict')}"
    if receipt.next_due is not None:
        return f"{line} {words('staff-receipt-again', at=exact(words, receipt.next_due))}"
    return f"{line} {words('staff-receipt-status', status=words(f'staff-status-{receipt.status}'))}"


PAGES: Final = (
    Page("GET", "/trace", ask),
    Page("POST", "/trace", look_up),
    Page("GET", "/trace/{place}", result),
    Page("POST", "/trace/{place}", take_why),
    Page("POST", "/trace/{place}/replay", replay_one),
)

"""Changes that wait for a person's decision: a list without names, one at a time, released or refused on record.

What was told is sealed under its person's key. It is opened for whoever gives a reason, for fifteen minutes, and its
person sees that; nobody decides on what they have not looked at, nor lets a change go before an earlier one of the
same person and type. Nobody decides on a change of their own: where the address staff sign in with is the one that
person is written to, that is known.
"""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from starlette.responses import Response

from broker import audit, intake, sealing
from broker.intake.intake import opened
from broker.notify import Contact
from broker.store import changes, disclosures, holds
from broker.store.disclosures import HeldChange
from broker.store.holds import HoldRow
from broker.tracking.withdrawing import carry_out
from broker.vault import PersonKey
from broker.web.staff import reasons
from broker.web.staff.allowed import actor, staff_page
from broker.web.staff.wording import coded, exact, span
from broker.web.telling.wording import told_fields
from broker.web.visit import Page, Visit
from contracts.holds import DECIDED_BY, DecidedBy

MOST: Final = 200
"""Shown at once, the oldest first."""
SHOWN_FOR: Final = timedelta(minutes=15)

log = structlog.get_logger()


async def queue(visit: Visit) -> Response:
    """Show what waits for a decision of staff's, and how much waits for somebody else's."""
    now = visit.signed_in.now
    listed = []
    for hold in await holds.undecided(visit.parts.database, DecidedBy.STAFF, MOST):
        change = await disclosures.change(visit.parts.database, hold.change_id)
        if change is not None:
            listed.append(
                {
                    "id": str(hold.id),
                    "kind": coded(visit.words, "change", change.type),
                    "why": visit.words(f"staff-hold-{hold.reason}"),
                    "since": exact(visit.words, hold.placed_at),
                    "age": span(visit.words, now - hold.placed_at),
                }
            )
    others = await holds.undecided_by_others(visit.parts.database, DecidedBy.STAFF)
    return staff_page(visit, "staff/holds.html", listed=listed, others=others)


async def one(visit: Visit) -> Response:
    """Show one of them; what was told only while it is disclosed to whoever looks."""
    asked = await _asked(visit)
    if asked is None:
        return _nothing(visit)
    hold, change = asked
    words, database = visit.words, visit.parts.database
    until = await disclosures.open_to(database, change.id, actor(visit))
    person = await _person(visit, change)
    earlier = await holds.earlier_held(database, hold.id)
    return staff_page(
        visit,
        "staff/hold.html",
        id=str(hold.id),
        kind=coded(words, "change", change.type),
        reference=change.reference,
        why=words(f"staff-hold-{hold.reason}"),
        since=exact(words, hold.placed_at),
        until=exact(words, until) if until else None,
        told=await _told(visit, change, person) if until and person else [],
        own=person is not None and await _is_own(visit, change, person),
        open=hold.ended_at is None,
        earlier=earlier.hold_id if earlier else None,
        earlier_theirs=earlier is not None and DECIDED_BY[earlier.reason] is DecidedBy.STAFF,
        reveal=reasons.REVEAL,
        release=reasons.RELEASE,
        refuse=reasons.REFUSE,
        back=f"{visit.door.prefix}/holds",
    )


async def reveal(visit: Visit) -> Response:
    asked = await _asked(visit)
    if asked is None:
        return _nothing(visit)
    hold, change = asked
    place = f"{visit.door.prefix}/holds/{hold.id}"
    reason, note, faults = reasons.read(await visit.form(), reasons.REVEAL)
    if faults:
        return await visit.again(faults, place)
    leaf = audit.leaf(
        "change.disclosed",
        visit.parts.clock(),
        actor(visit),
        change_id=change.id,
        detail={"reason": reason, "note": note, "seconds": int(SHOWN_FOR.total_seconds())},
    )
    person = await _person(visit, change)
    if person is None or await _is_own(visit, change, person):
        return visit.to(place)
    await disclosures.disclose(visit.parts.database, change.id, actor(visit), reason, SHOWN_FOR, leaf)
    log.warning("change.disclosed", change_id=str(change.id), reason=reason)
    return visit.to(place)


async def release(visit: Visit) -> Response:
    return await _decide(visit, reasons.RELEASE, refusing=False)


async def refuse(visit: Visit) -> Response:
    return await _decide(visit, reasons.REFUSE, refusing=True)


async def _decide(visit: Visit, allowed: tuple[str, ...], *, refusing: bool) -> Response:
    asked = await _asked(visit)
    if asked is None:
        return _nothing(visit)
    hold, change = asked
    place = f"{visit.door.prefix}/holds/{hold.id}"
    reason, note, faults = reasons.read(await visit.form(), allowed)
    if faults:
        return await visit.again(faults, place)
    person, seen = (
        await _person(visit, change),
        await disclosures.open_to(visit.parts.database, change.id, actor(visit)),
    )
    if person is None or seen is None or await _is_own(visit, change, person):
        return visit.to(place)  # which says why
    database, now = visit.parts.database, visit.parts.clock()
    if not refusing and await holds.earlier_held(database, hold.id):
        return visit.to(place)
    if refusing:
        detail = {"reason": reason, "note": note}
        done = await intake.refuse(database, person, change.id, hold, actor(visit), detail, now)
        if done:
            await carry_out(database, visit.parts.vault, change.id, visit.parts.clock)
    else:
        leaf = audit.leaf(
            "hold.released",
            now,
            actor(visit),
            change_id=change.id,
            detail={"hold": hold.reason.value, "reason": reason, "note": note},
        )
        done = await holds.release(database, hold.id, actor(visit), reason, leaf, by_operator=True)
    if done and refusing:
        log.warning("hold.refused", change_id=str(change.id), reason=reason)
    elif done:
        log.warning("hold.released", change_id=str(change.id), reason=reason)
    return visit.to(f"{visit.door.prefix}/holds")


async def _asked(visit: Visit) -> tuple[HoldRow, HeldChange] | None:
    """Return the hold of the address and its change, None for one that is not for staff to decide."""
    try:
        hold = await holds.find(visit.parts.database, UUID(visit.request.path_params["hold"]))
    except ValueError:
        hold = None
    if hold is None or DECIDED_BY[hold.reason] is not DecidedBy.STAFF:
        return None
    change = await disclosures.change(visit.parts.database, hold.change_id)
    return None if change is None else (hold, change)


def _nothing(visit: Visit) -> Response:
    return staff_page(visit, "staff/hold-nothing.html", status=404)


async def _person(visit: Visit, change: HeldChange) -> PersonKey | None:
    key = await visit.parts.vault.key_of(change.person_id)
    return None if key is None else PersonKey(change.person_id, change.generation, key)


async def _is_own(visit: Visit, change: HeldChange, person: PersonKey) -> bool:
    """Return whether whoever decides is known to be the person: both are written to at one address."""
    mine = (visit.signed_in.who.get("email") or "").casefold()
    for notice_id, sealed in await disclosures.contacts(visit.parts.database, change.id):
        try:
            contact = Contact.opened(person.key, notice_id, sealed)
        except sealing.CannotOpen:
            continue
        if mine and contact.email.casefold() == mine:
            return True
    return False


async def _told(visit: Visit, change: HeldChange, person: PersonKey) -> list[tuple[str, str]]:
    """Return what was told, and of whom: as much of the person as any one recipient would get."""
    who: dict[str, Any] = {}
    rows = await changes.deliveries_of(visit.parts.database, [change.id])
    for content in await changes.contents_of(visit.parts.database, [row.id for row in rows]):
        key = sealing.delivery_key(person.key, content.delivery_id)
        data = orjson.loads(sealing.open_delivery(key, content.delivery_id, content.sealed, content.digest))
        who |= data.get("person") or {}
    told = {"person": who, "change": orjson.loads(opened(person, change.id, change.type, change.sealed))}
    return told_fields(told, visit.words)


PAGES: Final = (
    Page("GET", "/holds", queue),
    Page("GET", "/holds/{hold}", one),
    Page("POST", "/holds/{hold}/reveal", reveal),
    Page("POST", "/holds/{hold}/release", release),
    Page("POST", "/holds/{hold}/refuse", refuse),
)

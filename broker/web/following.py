"""What became of somebody's changes: a list, and one with its timeline, which moves by itself.

A change is named by its number among the person's own: a reference never stands in a URL.
"""

from collections.abc import Collection
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from broker import sealing
from broker.intake import placing
from broker.intake.intake import opened
from broker.language import Words, moment_in_words
from broker.store import changes, disclosures, holds, withdrawals
from broker.store.withdrawals import Withdrawn
from broker.tracking.timeline import followed
from broker.vault import PersonKey
from broker.web.rendering import environment
from broker.web.streaming import Part, Watchers, follow
from broker.web.telling.wording import told_fields
from broker.web.timeline_words import advice_of, entry_words, hold_words, status_words, tag_colour
from broker.web.untold_words import Untold, untold_words
from broker.web.visit import Page, Visit
from contracts.changes import change_types
from contracts.holds import HoldOutcome, HoldReason
from contracts.requests import DeliveryView
from contracts.statuses import ENDED

SHOWN: Final = 50
LOOKED_EVERY: Final = 1.0
"""Seconds between two looks at one change that somebody watches."""
MOST_WATCHERS: Final = 512
LOADED_EVERY: Final = 15
"""Seconds between two loads of a page that shows the latest by itself without a script."""


def pages() -> list[Page]:
    watchers = Watchers(MOST_WATCHERS)

    async def live(visit: Visit) -> Response:
        return await watch(visit, watchers)

    return [
        Page("GET", "/changes", list_changes),
        Page("GET", "/changes/{number:int}", show_change),
        Page("GET", "/changes/{number:int}/following", keep_showing, by_itself=True),
        Page("GET", "/changes/{number:int}/sent", show_sent),
        Page("GET", "/changes/{number:int}/live", live, quiet=True),
    ]


async def list_changes(visit: Visit) -> Response:
    """Show a page of somebody's changes, the newest first; `before` in the query is the number to go on from."""
    person = await _person(visit)
    asked = visit.request.query_params.get("before", "")
    before = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 18 else None  # noqa: PLR2004  a bigint
    found = (
        []
        if person is None
        else await changes.of_person(visit.parts.database, person.person_id, before=before, limit=SHOWN + 1)
    )
    older = f"/changes?before={found[SHOWN - 1].ordinal}" if len(found) > SHOWN else None
    found = found[:SHOWN]
    rows = await changes.deliveries_of(visit.parts.database, [item.id for item in found])
    ended = {status.value for status in ENDED}
    listed = [
        {
            "number": item.ordinal,
            "title": visit.words(f"changes-{item.type}"),
            "reference": item.reference,
            "told": moment_in_words(item.accepted_at, visit.language),
            "total": len(owed),
            "done": sum(row.status in ended for row in owed),
        }
        for item in found
        for owed in [[row for row in rows if row.change_id == item.id]]
    ]
    return visit.page("changes.html", changes=listed, older=older, newest="/changes" if before else None)


async def keep_showing(visit: Visit) -> Response:
    """Show a change again and again, for those without JavaScript who asked for it and can end it (WCAG 2.2.1)."""
    return await show_change(visit, every=LOADED_EVERY)


async def show_change(visit: Visit, every: int | None = None) -> Response:
    found = await own_change(visit)
    if found is None:
        raise HTTPException(404)
    person, change = found
    told = opened(person, change.id, change.type, change.sealed)
    content = orjson.loads(told)
    organisations = visit.parts.directory.organisations()
    deliveries = await followed(visit.parts.database, change.id, organisations)
    held = await _holds(visit, change)
    refused = any(hold.outcome is HoldOutcome.REFUSED for hold in held)
    withdrawn, _ = await withdrawals.of_change(visit.parts.database, change.id)
    taken_back: tuple[DeliveryView, ...] = ()
    if withdrawn is not None:
        taken_back = await followed(visit.parts.database, withdrawn.taken_back_by, organisations)
    return visit.page(
        "change.html",
        back="/changes",
        reference=change.reference,
        number=change.ordinal,
        title=visit.words(f"change-title-{change.type}"),
        said=told_fields({"change": content}, visit.words),
        told=moment_in_words(change.accepted_at, visit.language),
        timeline=timeline(visit, deliveries),
        over=_over(deliveries),
        every=every,
        held=list(dict.fromkeys(hold_words(hold, visit.words) for hold in held)),
        objected=any(hold.reason is HoldReason.OBJECTED and hold.ended_at is None for hold in held),
        looked=[
            visit.words(f"looked-{look.reason.replace('_', '-')}", at=moment_in_words(look.at, visit.language))
            for look in await disclosures.of_change(visit.parts.database, change.id)
        ],
        withdrawn=None if withdrawn is None or refused else _withdrawn(visit, withdrawn),  # they did not cancel it
        taken_back=[
            (visit.words.of(one.name), status_words(one.status, visit.words), tag_colour(one.status))
            for one in taken_back
        ],
        details=await _details(visit, person, change),
        untold=await _untold(visit, person, change, told, {one.organisation for one in deliveries}),
    )


async def _holds(visit: Visit, change: changes.ToldBefore) -> list[holds.HoldRow]:
    """Return what its person must know of: what holds the change, what did, and that it was refused."""
    found = await holds.of_change(visit.parts.database, change.id)
    return [hold for hold in found if hold.outcome is not HoldOutcome.WITHDRAWN]


def _withdrawn(visit: Visit, withdrawn: Withdrawn) -> str:
    at = moment_in_words(withdrawn.asked_at, visit.language)
    if withdrawn.corrected_by is None:
        return visit.words("withdrawn-cancelled", at=at)
    return visit.words("withdrawn-replaced", at=at, reference=withdrawn.corrected_by)


async def _details(visit: Visit, person: PersonKey, change: changes.ToldBefore) -> list[dict[str, Any]]:
    """Return what each organisation is sent, why, and under which agreement: the very bytes, opened by their person."""
    words, directory = visit.words, visit.parts.directory
    rows = await changes.deliveries_of(visit.parts.database, [change.id])
    contents = {row.delivery_id: row for row in await changes.contents_of(visit.parts.database, [r.id for r in rows])}
    agreements = {(one.id, one.version): one for one in directory.agreements()}
    found = []
    for row in rows:
        content = contents[row.id]
        key = sealing.delivery_key(person.key, row.id)
        try:
            data = orjson.loads(sealing.open_delivery(key, row.id, content.sealed, content.digest))
        except sealing.CannotOpen:
            data = {}
        agreement = agreements.get((row.agreement, row.agreement_version))
        organisation = directory.organisations().get(row.organisation)
        found.append(
            {
                "name": words.of(organisation.name) if organisation else row.organisation,
                "fields": told_fields(data, words),
                "purpose": words.of(agreement.purpose) if agreement else "",
                "agreement": words(
                    "details-agreement-version", title=words.of(agreement.title), version=agreement.version
                )
                if agreement
                else f"{row.agreement}/{row.agreement_version}",
            }
        )
    return found


async def show_sent(visit: Visit) -> Response:
    found = await own_change(visit)
    if found is None:
        raise HTTPException(404)
    person, change = found
    owed = await changes.deliveries_of(visit.parts.database, [change.id])
    content = opened(person, change.id, change.type, change.sealed)
    written = await changes.is_noticed(visit.parts.database, change.id)
    return visit.page(
        "sent.html",
        reference=change.reference,
        number=change.ordinal,
        count=len(owed),
        written=written,
        adults=f"{visit.parts.public_url}/" if change.type == "address" else None,  # neither address nor name in it
        held=[hold_words(hold, visit.words) for hold in await _holds(visit, change) if hold.ended_at is None],
        untold=await _untold(visit, person, change, content, {row.organisation for row in owed}),
    )


async def _untold(
    visit: Visit, person: PersonKey, change: changes.ToldBefore, content: bytes, told: Collection[str]
) -> list[Untold]:
    """Return who was not told of a change that was sent to `told`."""
    model = change_types()[change.type].model.model_validate_json(content)
    lay = placing.opened(person, change)
    return untold_words(await visit.parts.intake.untold(change.type, model, told, lay), visit.words)


async def watch(visit: Visit, watchers: Watchers) -> Response:
    """Follow the timeline; see `streaming.follow`."""
    found = await own_change(visit)
    if found is None:
        return Response(status_code=404)
    _, change = found

    async def part() -> Part:
        deliveries = await followed(visit.parts.database, change.id, visit.parts.directory.organisations())
        return Part(timeline(visit, deliveries), _over(deliveries))

    return await follow(visit, watchers, part, every=LOOKED_EVERY)


def timeline(visit: Visit, deliveries: tuple[DeliveryView, ...]) -> str:
    """Return the part of the page that moves."""
    words = visit.words
    shown: list[dict[str, Any]] = [
        {
            "name": words.of(delivery.name),
            "status": _standing(delivery, words),
            "colour": tag_colour(delivery.status),
            "entries": [entry_words(entry, words) for entry in delivery.timeline],
            "advice": advice_of(delivery, words),
            "reference": delivery.reference,
        }
        for delivery in deliveries
    ]
    return environment().get_template("timeline.html").render(t=words, language=words.language, deliveries=shown)


def _standing(delivery: DeliveryView, words: Words) -> str:
    if delivery.stopping:
        return words("status-stopping")
    return words("status-held") if delivery.held else status_words(delivery.status, words)


def _over(deliveries: tuple[DeliveryView, ...]) -> bool:
    return all(delivery.status in ENDED for delivery in deliveries)


async def _person(visit: Visit) -> PersonKey | None:
    who = visit.signed_in.who
    return await visit.parts.vault.known(who["issuer"], who["subject"])


async def own_change(visit: Visit) -> tuple[PersonKey, changes.ToldBefore] | None:
    """Return the person's own change of the number asked for; another's is as absent as none."""
    person = await _person(visit)
    number = _number(visit.request)
    if person is None or number is None:
        return None
    found = await changes.of_person(visit.parts.database, person.person_id, before=number + 1, limit=1)
    return (person, found[0]) if found and found[0].ordinal == number else None


def _number(request: Request) -> int | None:
    number = int(request.path_params["number"])
    return number if 0 < number < 2**62 else None

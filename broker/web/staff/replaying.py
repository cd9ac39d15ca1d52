"""Replay: choose what, see what it would do, say why, watch it being done."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from starlette.responses import Response

from broker.store import replays
from broker.store.replays import Asked, Replay
from broker.tracking import replay as replaying
from broker.web.rendering import render
from broker.web.staff import kept, reasons
from broker.web.staff.allowed import actor, staff_page
from broker.web.staff.wording import coded, exact, organisation_name
from broker.web.streaming import Part, Watchers, follow
from broker.web.visit import Form, Page, Visit
from contracts.times import WALES

PARTS: Final = (("day", 2), ("month", 2), ("year", 4), ("hour", 2), ("minute", 2))
"""Of a moment as it is typed, with how many digits each may have."""
EVERY_SECONDS: Final = 2.0


async def choose(visit: Visit) -> Response:
    """Ask for an organisation and a range; the last day is filled in."""
    here = visit.parts.clock().astimezone(WALES)
    known = visit.parts.directory.organisations()
    return staff_page(
        visit,
        "staff/replay.html",
        organisations=sorted(((key, organisation_name(visit, key)) for key in known), key=lambda item: item[1]),
        since=_typed("since", here - timedelta(days=1)),
        upto=_typed("upto", here + timedelta(minutes=1)),
        parts=PARTS,
    )


def _typed(name: str, moment: datetime) -> dict[str, str]:
    return {f"{name}-{part}": str(getattr(moment, part)) for part, _ in PARTS}


def read_moment(form: Form, name: str) -> datetime | None:
    """Return the moment that was typed, in Wales' own time; None if there is no such moment."""
    try:
        typed = {part: int(form.get(f"{name}-{part}", "").strip()[: digits + 1]) for part, digits in PARTS}
        moment = datetime(**typed, tzinfo=WALES)
    except ValueError:
        return None
    return moment if 2000 <= moment.year <= 2200 else None  # noqa: PLR2004  what PostgreSQL and a person can mean


async def chosen(visit: Visit) -> Response:
    """Check the choice and lead to its preview."""
    form = await visit.form()
    organisation = form.get("organisation", "")
    since, upto = read_moment(form, "since"), read_moment(form, "upto")
    faults = []
    if organisation not in visit.parts.directory.organisations():
        faults.append(("organisation", "staff-fault-organisation"))
    if since is None:
        faults.append(("since-day", "staff-fault-moment"))
    if upto is None or (since is not None and upto <= since):
        faults.append(("upto-day", "staff-fault-upto"))
    if faults or since is None or upto is None:
        return await visit.again(faults)
    name = await kept.put(
        visit, "replay", {"organisation": organisation, "since": since.isoformat(), "upto": upto.isoformat()}
    )
    return visit.to(f"{visit.door.prefix}/replay/{name}")


def _asked(visit: Visit, place: Mapping[str, str]) -> Asked:
    if "delivery" in place:
        return Asked(organisation=place["organisation"], delivery_id=UUID(place["delivery"]))
    return Asked(
        organisation=place["organisation"],
        since=datetime.fromisoformat(place["since"]),
        upto=min(datetime.fromisoformat(place["upto"]), visit.parts.clock()),
    )


async def previewed(visit: Visit) -> Response:
    """Show what the replay would do, and ask why."""
    name = visit.request.path_params["place"]
    place = kept.get(visit, "replay", name)
    if place is None:
        return staff_page(visit, "staff/replay-over.html", status=404)
    asked = _asked(visit, place)
    shown = await replaying.preview(visit.parts.database, asked)
    words = visit.words
    return staff_page(
        visit,
        "staff/replay-preview.html",
        place=name,
        name=organisation_name(visit, asked.organisation),
        one=asked.delivery_id is not None,
        since=exact(words, asked.since) if asked.since else None,
        upto=exact(words, asked.upto) if asked.upto else None,
        replayed=shown.replayed,
        refused=[(words(f"staff-refusal-{refusal}"), n) for refusal, n in sorted(shown.refused.items())],
        statuses=[(words(f"staff-status-{status}"), n) for status, n in sorted(shown.statuses.items())],
        first=exact(words, shown.first) if shown.first else None,
        last=exact(words, shown.last) if shown.last else None,
        too_many=shown.too_many,
        most=replaying.MOST,
        reasons=reasons.REPLAY,
        back=f"{visit.door.prefix}/replay",
    )


async def confirmed(visit: Visit) -> Response:
    """Ask for the replay, once: its place is used up."""
    name = visit.request.path_params["place"]
    place = kept.get(visit, "replay", name)
    if place is None:
        return staff_page(visit, "staff/replay-over.html", status=404)
    if "done" in place:
        return visit.to(f"{visit.door.prefix}/replays/{place['done']}")  # sent twice
    reason, note, faults = reasons.read(await visit.form(), reasons.REPLAY)
    if faults:
        return await visit.again(faults)
    asked = _asked(visit, place)
    shown = await replaying.preview(visit.parts.database, asked)
    if shown.too_many or not shown.replayed:
        return visit.to(f"{visit.door.prefix}/replay/{name}")
    key = await replaying.ask(
        visit.parts.database,
        asked,
        reason=reason,
        note=note,
        actor=actor(visit),
        expected=shown.replayed,
        now=visit.parts.clock(),
    )

    def spent(data: dict[str, Any]) -> None:
        if name in data.get("places", {}):
            data["places"][name]["done"] = str(key)

    await visit.keep(spent)
    return visit.to(f"{visit.door.prefix}/replays/{key}")


async def progress(visit: Visit) -> Response:
    found = await _found(visit)
    if found is None:
        return staff_page(visit, "staff/replay-over.html", status=404)
    return staff_page(
        visit, "staff/replaying.html", id=str(found.id), part=_part(visit, found), over=found.ended_at is not None
    )


async def _found(visit: Visit) -> Replay | None:
    try:
        key = UUID(visit.request.path_params["replay"])
    except ValueError:
        return None
    return await replays.find(visit.parts.database, key)


def _part(visit: Visit, found: Replay) -> dict[str, Any]:
    words = visit.words
    done = found.replayed + sum(found.refused.values())
    return {
        "name": organisation_name(visit, found.asked.organisation),
        "asked_at": exact(words, found.asked_at),
        "why": coded(words, "reason", found.reason),
        "note": found.note,
        "expected": found.expected,
        "replayed": found.replayed,
        "looked_at": done,
        "refused": [(words(f"staff-refusal-{refusal}"), n) for refusal, n in sorted(found.refused.items())],
        "ended_at": exact(words, found.ended_at) if found.ended_at else None,
    }


def pages(watchers: Watchers) -> list[Page]:
    async def live(visit: Visit) -> Response:
        async def part() -> Part | None:
            found = await _found(visit)
            if found is None:
                return None
            html = render("staff/replaying-part.html", visit.words, part=_part(visit, found))
            return Part(html, over=found.ended_at is not None)

        return await follow(visit, watchers, part, every=EVERY_SECONDS)

    return [
        Page("GET", "/replay", choose),
        Page("POST", "/replay", chosen),
        Page("GET", "/replay/{place}", previewed),
        Page("POST", "/replay/{place}", confirmed),
        Page("GET", "/replays/{replay}", progress),
        Page("GET", "/replays/{replay}/live", live, quiet=True),
    ]

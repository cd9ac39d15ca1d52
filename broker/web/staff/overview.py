"""The one page: how the line does, organisation by organisation, live."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from starlette.responses import Response

from broker.register.checking import is_overdue, newest
from broker.store import operations
from broker.store.browsing import STATEMENTS
from broker.store.operations import MOST_BETWEEN_TRIES, MOST_IN_FLIGHT, Counted, Overview
from broker.telemetry.health import readiness
from broker.web.rendering import render
from broker.web.staff import charts
from broker.web.staff.alarms import Raised, alarms
from broker.web.staff.allowed import staff_page
from broker.web.staff.durations import percentile
from broker.web.staff.wording import coded, exact, organisation_name, span
from broker.web.streaming import Part, Watchers, follow
from broker.web.visit import Page, Visit
from contracts.breaker import Phase
from contracts.closings import following
from contracts.statuses import Status
from contracts.times import day_in_wales

MINUTES: Final = 15
"""Shown in the chart."""
LATELY: Final = 5
"""Minutes summed up in an organisation's row, the present one among them."""
WITHIN: Final = (0.5, 0.95)
"""Shares of deliveries of which is told how long they took at most."""
EVERY_SECONDS: Final = 2.0
FAILED: Final = ("deferred", "undelivered")
SERIES: Final = (("accepted", "#1d70b8", ""), ("published", "#b35300", "6 3"), ("answered", "#00703c", "2 3"))
"""Event, colour, dashes: told apart without colours too."""


async def overview(visit: Visit) -> Response:
    return staff_page(visit, "staff/overview.html", part=await shown(visit), organisations=_named(visit))


def _named(visit: Visit) -> list[tuple[str, str]]:
    """Return (id, name) of every organisation, by name."""
    known = visit.parts.directory.organisations()
    return sorted(((key, organisation_name(visit, key)) for key in known), key=lambda item: item[1])


def _unreviewed(visit: Visit) -> set[str]:
    today = day_in_wales(visit.parts.clock())
    known = newest(visit.parts.directory.agreements()).values()
    return {item.organisation for item in known if is_overdue(item, today)}


async def shown(visit: Visit) -> dict[str, Any]:
    """Return what the part of the page shows, in words and coordinates."""
    seen, health = await asyncio.gather(
        operations.overview(visit.parts.database, MINUTES), readiness(visit.parts.checks)
    )
    words = visit.words
    known = visit.parts.directory.organisations()
    closings = {key: item.policy.closings for key, item in known.items() if item.policy.closings}
    return {
        "at": exact(words, seen.at),
        "alarms": [_alarm(visit, one) for one in alarms(seen, health, closings, _unreviewed(visit))],
        "health": [(words(f"staff-part-{name}"), well) for name, well in health.items()],
        "organisations": [_row(visit, seen, item, closings.get(item.organisation)) for item in seen.organisations],
        "statuses": [(status.value, words(f"staff-status-{status}"), status in STATEMENTS) for status in Status],
        "prefix": visit.door.prefix,
        "counts": [
            {
                "key": item.organisation,
                "name": organisation_name(visit, item.organisation),
                "by_status": item.by_status,
                "accepted": item.accepted,
                "sum": sum(item.by_status.values()),
                "balanced": item.balanced,
                "took": _took(visit, seen, item),
            }
            for item in seen.organisations
        ],
        "balanced": all(item.balanced for item in seen.organisations),
        "quarantined": [(coded(words, "reason", reason), n) for reason, n in seen.quarantined.items()],
        "flow": _flow(visit, seen),
        "failures": _failures(visit, seen),
    }


def _row(visit: Visit, seen: Overview, item: Counted, closings: Sequence[str] | None) -> dict[str, Any]:
    words = visit.words
    since = seen.at.replace(second=0, microsecond=0) - timedelta(minutes=LATELY - 1)
    lately: Counter[str] = Counter()
    for happened in seen.happened:
        if happened.organisation == item.organisation and happened.minute >= since:
            lately["failed" if happened.event in FAILED else happened.event] += happened.n
    return {
        "name": organisation_name(visit, item.organisation),
        "paused": None if item.paused_at is None else exact(words, item.paused_at),
        "state": words("staff-draining" if item.draining else "staff-paused"),
        "why": coded(words, "reason", item.paused_reason or ""),
        "note": item.paused_note,
        "breaker": None if item.breaker == Phase.CLOSED else words(f"staff-breaker-{item.breaker}"),
        "breaker_until": None if item.breaker_until is None else exact(words, item.breaker_until),
        "oldest": None if item.oldest is None else span(words, _whole_seconds(seen.at - item.oldest)),
        "next_file": closings
        and words("staff-next-file", n=item.by_status.get("queued", 0), at=exact(words, following(closings, seen.at))),
        "in_flight": _at_least(words, item.in_flight, MOST_IN_FLIGHT),
        "between_tries": _at_least(words, item.between_tries, MOST_BETWEEN_TRIES),
        "next_try": None if item.next_try is None or item.paused_at else _in(visit, seen, item),
        "lately": lately,
    }


def _took(visit: Visit, seen: Overview, item: Counted) -> str:
    """Return within which times so many deliveries were taken in."""
    took: Counter[int] = Counter()
    for happened in seen.happened:
        if happened.event == "took" and happened.organisation == item.organisation:
            took[int(happened.code)] += happened.n
    within = [span(visit.words, _two_figures(lasted)) for share in WITHIN if (lasted := percentile(took, share))]
    return " / ".join(within) or visit.words("staff-none")


def _two_figures(lasted: timedelta) -> timedelta:
    """Return a span to as many figures as are known of it."""
    return timedelta(seconds=float(f"{lasted.total_seconds():.2g}"))


def _alarm(visit: Visit, one: Raised) -> str:
    words = visit.words
    about = words(f"staff-part-{one.about}") if one.alarm == "away" else organisation_name(visit, one.about)
    lasted = span(words, _whole_seconds(one.lasted)) if one.lasted else ""
    return words(f"staff-alarm-{one.alarm}", about=about, n=one.n, span=lasted)


def _whole_seconds(lasted: timedelta) -> timedelta:
    return timedelta(seconds=round(lasted.total_seconds()))


def _at_least(words: Any, n: int, most: int) -> str:
    return str(words("staff-at-least", n=n)) if n >= most else str(n)


def _in(visit: Visit, seen: Overview, item: Counted) -> str:
    if item.next_try is None or item.next_try <= seen.at:
        return visit.words("staff-next-now")
    return visit.words("staff-next-in", span=span(visit.words, item.next_try - seen.at))


def _flow(visit: Visit, seen: Overview) -> dict[str, Any]:
    """Return the chart of each minute and its table."""
    this = seen.at.replace(second=0, microsecond=0)
    minutes = [this - timedelta(minutes=back) for back in range(MINUTES - 1, -1, -1)]
    sums: Counter[tuple[str, Any]] = Counter()
    for happened in seen.happened:
        sums[happened.event, happened.minute] += happened.n
    values = [[sums[event, minute] for minute in minutes] for event, _, _ in SERIES]
    drawn = charts.lines(values)
    return {
        "top": drawn.top,
        "lines": [
            {"name": visit.words(f"staff-event-{event}"), "colour": colour, "dashes": dashes, "points": points}
            for (event, colour, dashes), points in zip(SERIES, drawn.points, strict=True)
        ],
        "from": exact(visit.words, minutes[0])[-8:-3],
        "to": exact(visit.words, minutes[-1])[-8:-3],
        "rows": [
            (exact(visit.words, minute)[-8:-3], [column[place] for column in values])
            for place, minute in reversed(list(enumerate(minutes)))
        ],
    }


def _failures(visit: Visit, seen: Overview) -> dict[str, Any]:
    """Return the bars of what failed, by reason, and their table with the organisations."""
    by_reason: Counter[str] = Counter()
    where: dict[str, Counter[str]] = {}
    for happened in seen.happened:
        if happened.event in FAILED:
            by_reason[happened.code] += happened.n
            where.setdefault(happened.code, Counter())[happened.organisation] += happened.n
    top = max(by_reason.values(), default=0)
    return {
        "rows": [
            {
                "reason": coded(visit.words, "reason", code),
                "n": n,
                "length": charts.bar(n, top, 300),
                "where": ", ".join(
                    f"{organisation_name(visit, key)} {count}" for key, count in where[code].most_common()
                ),
            }
            for code, n in by_reason.most_common()
        ],
    }


def pages(watchers: Watchers) -> list[Page]:
    async def live(visit: Visit) -> Response:
        async def part() -> Part:
            return Part(render("staff/overview-part.html", visit.words, part=await shown(visit)), over=False)

        return await follow(visit, watchers, part, every=EVERY_SECONDS)

    return [Page("GET", "", overview), Page("GET", "/live", live, quiet=True)]

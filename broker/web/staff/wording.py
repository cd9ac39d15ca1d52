"""How operators' pages put codes, moments and spans of time into words."""

from datetime import datetime, timedelta
from typing import Final

from broker.language import Words, long_date
from broker.web.visit import Visit
from contracts.times import WALES

_UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def span(words: Words, lasted: timedelta) -> str:
    """Return a span in its two largest units: `2 h 5 min`, `7.3 s`, `350 ms`."""
    seconds = max(0.0, lasted.total_seconds())
    if seconds < 1:
        return words("staff-span-millisecond", n=round(seconds * 1000))
    if seconds < 60:  # noqa: PLR2004  a minute
        return words("staff-span-second", n=f"{seconds:.1f}".removesuffix(".0"))
    left = round(seconds)
    parts: list[tuple[str, int]] = []
    for unit, size in _UNITS:
        if left >= size or parts:
            parts.append((unit, left // size))
        left %= size
    parts.append(("second", left))
    return " ".join(words(f"staff-span-{unit}", n=n) for unit, n in parts[:2] if n)


def exact(words: Words, moment: datetime) -> str:
    """Return `1 June 2026, 14:05:07`, in Wales' own time."""
    there = moment.astimezone(WALES)
    return f"{long_date(there.date(), words.language)}, {there:%H:%M:%S}"


def coded(words: Words, kind: str, code: str) -> str:
    """Return a code in words, the code itself where there are none: somebody's own, from the command line."""
    try:
        return words(f"staff-{kind}-{code}")
    except LookupError:
        return code


def organisation_name(visit: Visit, organisation: str) -> str:
    """Return an organisation's name in the page's language, its id where the register has none."""
    found = visit.parts.directory.organisations().get(organisation)
    return visit.words.of(found.name) if found else organisation

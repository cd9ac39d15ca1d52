"""What must hold of a change before it is accepted, beyond its schema: pure checks on its days and today's date."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from contracts.changes import ChangeKind
from contracts.text import Strict

FURTHEST_BACK: Final = timedelta(days=366 * 10)


@dataclass(frozen=True, slots=True)
class Doubt:
    """One thing that cannot be so: where (RFC 6901) and which rule."""

    pointer: str
    code: str
    detail: str


def check_change(kind: ChangeKind, change: Strict, today: date) -> list[Doubt]:
    """Return what cannot be so of a change of this kind told `today` (Europe/London)."""
    doubts = [
        Doubt(pointer, "in_the_future", "must not lie in the future")
        for pointer, day in kind.past(change).items()
        if day > today
    ]
    effective = kind.effective(change)
    if effective > today + kind.ahead and not doubts:
        doubts.append(Doubt(kind.dated, "too_far_ahead", "must be within a year from today"))
    if effective < today - FURTHEST_BACK:
        doubts.append(Doubt(kind.dated, "too_long_ago", "must be within the last ten years"))
    return doubts

"""What must hold of a change before it is accepted, beyond its schema: pure checks on its days and names."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from contracts.changes import ChangeKind
from contracts.person import PersonName
from contracts.text import Strict

FURTHEST_BACK: Final = timedelta(days=366 * 10)


@dataclass(frozen=True, slots=True)
class Doubt:
    """One thing that cannot be so: where (RFC 6901) and which rule."""

    pointer: str
    code: str
    detail: str


def check_change(kind: ChangeKind, change: Strict, who: PersonName, today: date) -> list[Doubt]:
    """Return what cannot be so of a change of this kind told `today` (Europe/London) by whom `who` names."""
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
    names = kind.known_as(change)
    if names and not any(_is_theirs(name, who) for name in names.values()):
        doubts.append(Doubt(next(iter(names)), "not_yours", "must be your own name, or the new one must be"))
    return doubts


def _is_theirs(name: PersonName, who: PersonName) -> bool:
    """Return whether a name has the first and the last part of somebody's, whichever comes first.

    What stands between is often left out, and capitals do not count.
    """
    said, verified = ([" ".join(part.value.casefold().split()) for part in one.name_parts] for one in (name, who))
    return {said[0], said[-1]} == {verified[0], verified[-1]}

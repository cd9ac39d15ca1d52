"""What must hold of a change before it is accepted, beyond its schema: pure checks on its days and names."""

import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from contracts.changes import ChangeKind
from contracts.person import PersonName
from contracts.text import Strict

FURTHEST_BACK: Final = timedelta(days=366 * 10)
_APART: Final = frozenset("'\u2019\u2018\u02bc`\u00b4")
"""Apostrophes, as they are typed."""


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
    """Return whether a name has the first and the last word of somebody's, whichever comes first.

    What stands between is often left out, and how many parts a name is in is the provider's way; many have no accents,
    or another apostrophe, and capitals do not count.
    """
    said, verified = (_words(one) for one in (name, who))
    return {said[0], said[-1]} == {verified[0], verified[-1]}


def _words(name: PersonName) -> list[str]:
    whole = unicodedata.normalize("NFD", " ".join(part.value for part in name.name_parts)).casefold()
    return "".join(letter for letter in whole if letter not in _APART and not unicodedata.combining(letter)).split()

"""What must hold of a change before it is accepted, beyond its schema: pure checks on values and today's date."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from contracts.changes.address import AddressChange

FURTHEST_AHEAD: Final = timedelta(days=366)
FURTHEST_BACK: Final = timedelta(days=366 * 10)


@dataclass(frozen=True, slots=True)
class Doubt:
    """One thing that cannot be so: where (RFC 6901) and which rule."""

    pointer: str
    code: str
    detail: str


def check_address_change(change: AddressChange, today: date) -> list[Doubt]:
    """Return what cannot be so of an address change told `today` (Europe/London)."""
    doubts = []
    if change.effective_date > today + FURTHEST_AHEAD:
        doubts.append(Doubt("/change/effectiveDate", "too_far_ahead", "must be within a year from today"))
    if change.effective_date < today - FURTHEST_BACK:
        doubts.append(Doubt("/change/effectiveDate", "too_long_ago", "must be within the last ten years"))
    return doubts

"""What must be waited for before a change is sent. Policy is data, the decision a pure function of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from contracts.changes import Confirmation
from contracts.holds import HoldReason

REDIRECTS: Final = frozenset({"address", "contact"})
"""Kinds of change by which mail or messages can be turned towards somebody else."""

_CONFIRMS: Final[dict[Confirmation, HoldReason]] = {
    Confirmation.A_PERSON: HoldReason.NEEDS_PERSON,
    Confirmation.REGISTRAR: HoldReason.AWAITS_REGISTRAR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPolicy:
    """What an installation asks for. A span of nothing, and a number of nothing, ask for nothing."""

    new_account: timedelta = timedelta(hours=24)
    """What redirects, told by somebody known for less, waits until they have been known so long."""
    new_contact: timedelta = timedelta(hours=24)
    """And what is told within so long of a change of where we write to them."""
    most_a_day: int = 20
    """More changes than these in 24 hours are not taken in from one person."""
    repeats: bool = True
    """The same change told again is not taken in again."""


NO_HOLDS: Final = HoldPolicy(new_account=timedelta(0), new_contact=timedelta(0), most_a_day=0, repeats=False)
"""Asks for nothing but what the kind of change itself asks for: for development."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the store knows of a person when they tell a change, all by its own clock."""

    now: datetime
    known_since: datetime
    contact_since: datetime | None
    """Since when we write to where we do; None where that never changed."""
    told: int
    """Changes in the last 24 hours, counted no further than the policy asks."""
    objected: bool
    """Somebody objected to a change of theirs, and they have not yet said which is right."""
    earlier: "Hold | None" = None
    """The last that an earlier change of theirs waits for until its time is over, or still does since nobody let it go."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One thing to be waited for."""

    reason: HoldReason
    until: datetime | None = None
    """None: until somebody decides."""


def holds_on(kind: str, confirmed_by: Confirmation | None, facts: Facts, policy: HoldPolicy) -> Sequence[Hold]:
    """Return everything a change of this kind is to wait for, none if it may be sent."""
    found = [] if confirmed_by is None else [Hold(_CONFIRMS[confirmed_by])]
    if kind not in REDIRECTS:
        return found
    if facts.now < (until := facts.known_since + policy.new_account):
        found.append(Hold(HoldReason.NEW_ACCOUNT, until))
    if facts.contact_since is not None and facts.now < (until := facts.contact_since + policy.new_contact):
        found.append(Hold(HoldReason.CONTACT_CHANGED, until))
    if facts.objected:
        found.append(Hold(HoldReason.OBJECTED))
    if facts.earlier is not None and facts.earlier.reason not in {hold.reason for hold in found}:
        found.append(facts.earlier)  # else this one would be sent before it, and the other taken for what holds
    return found


def too_many(facts: Facts, policy: HoldPolicy) -> bool:
    """Return whether a person has told as many changes in a day as are taken in."""
    return 0 < policy.most_a_day <= facts.told

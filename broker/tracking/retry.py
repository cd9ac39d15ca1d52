"""When to try again: a decision on values, without a clock and without dice."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.organisation import DeliveryPolicy
from contracts.receipts import FailureKind
from contracts.statuses import Reason

LONGEST_ASKED = timedelta(days=1)
"""A `Retry-After` beyond this is taken as this: no organisation may silence us for a year by mistake."""


@dataclass(frozen=True, slots=True)
class Again:
    """Due again at `due`."""

    due: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Not tried again by itself; an operator may replay it."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Hold:
    """Due as soon as the organisation is no longer paused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """The history a decision is taken on, this attempt included."""

    attempts: int
    unknowns: int
    since: datetime
    """When the delivery was first published, or replayed; later by as long as its organisation was paused since."""


def decide(
    failure: FailureKind,
    tried: Tried,
    now: datetime,
    policy: DeliveryPolicy,
    *,
    asked: timedelta | None,
    jitter: float,
) -> Again | GiveUp | Hold:
    """Say what follows a deferred attempt.

    Exponential from `first_delay_seconds`, doubling, capped at `longest_delay_seconds`, with full jitter
    (`jitter` in [0, 1) scales the whole delay). How long the organisation `asked` us to wait is a floor, counted from
    now, by the store's clock: the worker that heard it may have a wrong one.
    """
    match failure:
        case FailureKind.STOPPED:
            return Again(now + _floor(asked))
        case FailureKind.MISCONFIGURED:
            return Hold()
        case FailureKind.UNKNOWN if tried.unknowns >= policy.unknown_limit:
            return GiveUp(Reason.UNKNOWN_LIMIT)
        case _:
            pass
    doublings = min(max(tried.attempts, 1) - 1, 32)
    ceiling = min(policy.first_delay_seconds * 2.0**doublings, policy.longest_delay_seconds)
    due = now + max(timedelta(seconds=ceiling * jitter), _floor(asked))
    if due > tried.since + timedelta(seconds=policy.horizon_seconds):
        return GiveUp(Reason.HORIZON_PASSED)
    return Again(due)


def _floor(asked: timedelta | None) -> timedelta:
    """Return how long is waited at least: nobody asks for less than nothing, nor for more than `LONGEST_ASKED`."""
    return min(max(asked or timedelta(), timedelta()), LONGEST_ASKED)

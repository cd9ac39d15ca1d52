"""What an operator must look at now, drawn from what the overview has seen. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, get_args

from broker.store.operations import Overview

OLDEST: Final = timedelta(minutes=15)
"""A delivery that is owed for longer, at an organisation that is not paused, is an alarm."""
TRIES: Final = 10
"""Fewer tries than this say nothing of an organisation."""
MOST_FAILED: Final = 0.5
"""Of its tries; more is an alarm."""

Alarm = Literal["away", "unbalanced", "quarantined", "overdue", "unread", "failing", "given_up", "conflict"]
"""The gravest first."""


@dataclass(frozen=True, slots=True)
class Raised:
    """One alarm."""

    alarm: Alarm
    about: str
    """The organisation's id; of `away` the part that does not answer; empty for `quarantined`."""
    n: int = 0
    """How many deliveries, of those alarms that count."""
    lasted: timedelta | None = None


def alarms(seen: Overview, health: Mapping[str, bool]) -> tuple[Raised, ...]:
    """Return what is raised, the gravest first."""
    raised = [Raised("away", part) for part, well in health.items() if not well]
    raised += [Raised("unbalanced", item.organisation) for item in seen.organisations if not item.balanced]
    if seen.quarantined:
        raised.append(Raised("quarantined", "", sum(seen.quarantined.values())))
    for item in seen.organisations:
        raised += _of_organisation(seen, item.organisation)
        if item.unread:
            raised.append(Raised("unread", item.organisation, item.unread))
        waits = item.oldest is not None and item.paused_at is None and not item.comes_for_it
        if waits and item.oldest is not None and seen.at - item.oldest > OLDEST:
            raised.append(Raised("overdue", item.organisation, lasted=seen.at - item.oldest))
    return tuple(sorted(raised, key=lambda one: get_args(Alarm).index(one.alarm)))


def _of_organisation(seen: Overview, organisation: str) -> list[Raised]:
    happened = {"answered": 0, "deferred": 0, "undelivered": 0, "conflict": 0}
    for item in seen.happened:
        if item.organisation == organisation and item.event in happened:
            happened[item.event] += item.n
    raised: list[Raised] = []
    failed = happened["deferred"] + happened["undelivered"]
    tries = failed + happened["answered"]
    if tries >= TRIES and failed > MOST_FAILED * tries:
        raised.append(Raised("failing", organisation, failed))
    if happened["undelivered"]:
        raised.append(Raised("given_up", organisation, happened["undelivered"]))
    if happened["conflict"]:
        raised.append(Raised("conflict", organisation, happened["conflict"]))
    return raised

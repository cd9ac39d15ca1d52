"""What an operator must look at now, drawn from what the overview has seen. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from broker.store.operations import Overview
from contracts.closings import following

OLDEST: Final = timedelta(minutes=15)
"""A delivery that is owed for longer, at an organisation that is not paused, is an alarm: from its cut-off on, if any."""
TOLD_TO: Final = timedelta(seconds=10)
"""How exactly it is told since when the oldest is owed."""
TRIES: Final = 10
"""Fewer tries than this say nothing of an organisation."""
MOST_FAILED: Final = 0.5
"""Of its tries; more is an alarm."""

Alarm = Literal[
    "away",
    "unbalanced",
    "quarantined",
    "overdue",
    "unwritten",
    "unread",
    "silent",
    "uncollected",
    "failing",
    "given_up",
    "conflict",
    "unreviewed",
]
"""The gravest first."""


@dataclass(frozen=True, slots=True)
class Raised:
    """One alarm."""

    alarm: Alarm
    about: str
    """The organisation's id; of `away` the part that does not answer; empty for `quarantined`."""
    n: int = 0
    """How many deliveries or letters, of those alarms that count."""
    lasted: timedelta | None = None


def alarms(
    seen: Overview,
    health: Mapping[str, bool],
    closings: Mapping[str, Sequence[str]] | None = None,
    unreviewed: Collection[str] = (),
) -> tuple[Raised, ...]:
    """Return what is raised, the gravest first.

    `closings`: the cut-offs of organisations that have some. `unreviewed`: organisations with an agreement in force
    that should have been reviewed by now.
    """
    raised = [Raised("away", part) for part, well in health.items() if not well]
    raised += [Raised("unbalanced", item.organisation) for item in seen.organisations if not item.balanced]
    if seen.quarantined:
        raised.append(Raised("quarantined", "", sum(seen.quarantined.values())))
    raised += [Raised("unreviewed", organisation) for organisation in sorted(unreviewed)]
    for item in seen.organisations:
        raised += _of_organisation(seen, item.organisation)
        if item.silent and item.paused_at is None:
            raised.append(Raised("silent", item.organisation))
        if item.uncollected and item.paused_at is None:
            raised.append(Raised("uncollected", item.organisation))
        if item.unwritten:
            raised.append(Raised("unwritten", item.organisation, item.unwritten))
        if item.unread:
            raised.append(Raised("unread", item.organisation, item.unread))
        if item.oldest is not None and item.paused_at is None and not item.comes_for_it:
            lasted = seen.at - _to_be_sent(item.oldest, (closings or {}).get(item.organisation))
            if lasted > OLDEST:
                raised.append(Raised("overdue", item.organisation, lasted=lasted))
    return tuple(sorted(raised, key=lambda one: get_args(Alarm).index(one.alarm)))


def _to_be_sent(oldest: datetime, closings: Sequence[str] | None) -> datetime:
    return following(closings, oldest + TOLD_TO) if closings else oldest


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

"""What happened to a delivery, in a person's words."""

from collections.abc import Mapping
from typing import Final

from broker.language import Words, moment_in_words
from broker.store.holds import HoldRow
from broker.tracking.timeline import HELD, PLACED
from contracts.holds import HoldOutcome
from contracts.requests import DeliveryView, TimelineEntry
from contracts.statuses import Reason, Status

_STATUS: Final[Mapping[Status, tuple[str, str]]] = {
    Status.WAITING: ("status-waiting", "grey"),
    Status.QUEUED: ("status-queued", "grey"),
    Status.PUBLISHED: ("status-published", "light-blue"),
    Status.CANCELLED: ("status-cancelled", "grey"),
    Status.SUPERSEDED: ("status-superseded", "grey"),
    Status.UNDELIVERED: ("status-undelivered", "red"),
    Status.RECEIVED: ("status-received", "blue"),
    Status.NEEDS_REVIEW: ("status-needs-review", "yellow"),
    Status.REJECTED: ("status-rejected", "red"),
    Status.NOT_MATCHED: ("status-not-matched", "orange"),
    Status.ALREADY_CURRENT: ("status-already-current", "green"),
    Status.APPLIED: ("status-applied", "green"),
}
_HAPPENED: Final[Mapping[Status, str]] = {
    Status.WAITING: "happened-waiting",
    Status.QUEUED: "happened-queued",
    Status.PUBLISHED: "happened-published",
    Status.CANCELLED: "happened-cancelled",
    Status.SUPERSEDED: "happened-superseded",
    Status.UNDELIVERED: "happened-undelivered",
    Status.RECEIVED: "happened-received",
    Status.NEEDS_REVIEW: "happened-needs-review",
    Status.REJECTED: "happened-rejected",
    Status.NOT_MATCHED: "happened-not-matched",
    Status.ALREADY_CURRENT: "happened-already-current",
    Status.APPLIED: "happened-applied",
}
_ADVICE: Final[Mapping[Status, str]] = {
    Status.NOT_MATCHED: "advice-not-matched",
    Status.REJECTED: "advice-rejected",
    Status.NEEDS_REVIEW: "advice-needs-review",
    Status.UNDELIVERED: "advice-undelivered",
    Status.RECEIVED: "advice-received",
}


def status_words(status: Status, words: Words) -> str:
    return words(_STATUS[status][0])


def tag_colour(status: Status) -> str:
    """Return the modifier of the tag's class."""
    return _STATUS[status][1]


def entry_words(entry: TimelineEntry, words: Words) -> tuple[str, str]:
    """Return when something happened and what."""
    at = moment_in_words(entry.at, words.language)
    match entry.what:
        case "accepted" if entry.reason == HELD:
            said = words("happened-held")
        case "published" if entry.reason == PLACED:
            said = words("happened-placed")
        case "deferred" if entry.next_try is not None:
            said = words("happened-deferred-until", at=moment_in_words(entry.next_try, words.language))
        case "deferred":
            said = words("happened-deferred")
        case "withheld" if entry.reason == Reason.REVOKED:
            said = words("happened-revoked")
        case "withheld" if entry.status not in (Status.CANCELLED, Status.SUPERSEDED):
            said = words("happened-withheld")
        case "conflict":
            said = words("happened-conflict")
        case _:
            said = words(_HAPPENED[entry.status])
    return at, said


def advice_of(delivery: DeliveryView, words: Words) -> str | None:
    """Return what the person may do or expect, None where nothing needs saying."""
    if delivery.not_before is not None:
        return words("advice-waiting", at=moment_in_words(delivery.not_before, words.language))
    advice = _ADVICE.get(delivery.status)
    return None if advice is None else words(advice)


def hold_words(hold: HoldRow, words: Words) -> str:
    """Return why a change is or was held, in its person's words."""
    if hold.outcome is HoldOutcome.REFUSED and hold.ended_at is not None:
        return words("held-refused", at=moment_in_words(hold.ended_at, words.language))
    if hold.ended_at is not None:
        since, ended = (moment_in_words(at, words.language) for at in (hold.placed_at, hold.ended_at))
        return words("held-over", since=since, ended=ended)
    until = {} if hold.until is None else {"until": moment_in_words(hold.until, words.language)}
    return words(f"held-{hold.reason.value.replace('_', '-')}", **until)

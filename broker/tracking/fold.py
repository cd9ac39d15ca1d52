"""What one receipt does to one delivery: pure, total, and monotone in the status.

The organisation's facts count from any epoch and only raise; our own count only if their epoch is current.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import uuid5

from broker.tracking.retry import Again, GiveUp, Hold, Tried, decide
from contracts.organisation import DeliveryPolicy
from contracts.receipts import FailureKind, Quarantined, Receipt, ReceiptKind
from contracts.statuses import OCCUPIES_LANE_BELOW, RANK, STATUS_OF, Outcome, Reason, Status

WITHHELD_FOR_GOOD = {
    Reason.ERASED: Status.CANCELLED,
    Reason.CANCELLED: Status.CANCELLED,
    Reason.REVOKED: Status.CANCELLED,
    Reason.SUPERSEDED: Status.SUPERSEDED,
}
"""Reasons of the gate that end a delivery, with the status each ends it in."""

LOOK_AGAIN = timedelta(hours=6)
"""What lies unread goes the way to its mailbox again so often: the gate may have come to withhold it."""

ASK_AGAIN = frozenset({Reason.PAUSED, Reason.GRANTED_ELSEWHERE})
"""Reasons of the gate that pass."""


class Effect(StrEnum):
    """What became of a receipt."""

    RAISED = "raised"
    """The status rose."""
    SCHEDULED = "scheduled"
    """It is due again."""
    NOTED = "noted"
    """Nothing changed: a repeat, an old epoch, or nothing new."""
    CONFLICT = "conflict"
    """A later, lower answer: kept for the timeline, with an alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a delivery stands, as far as a receipt can change it."""

    status: Status
    epoch: int
    attempts: int
    unknowns: int
    since: datetime
    published_at: datetime | None
    answered_at: datetime | None
    reason: Reason | None
    reference: str | None
    occupies: bool
    """It holds its lane."""
    due: datetime | None = None
    """When the relay is to publish it again; None while it is in flight or ended."""
    in_flight: bool = False
    granted: bool = False
    """Somebody had leave to send it, and nobody has said yet how that ended."""
    granted_until: datetime | None = None
    """Until when that leave is good."""


@dataclass(frozen=True, slots=True)
class Folded:
    """The delivery after a receipt, and what that was."""

    standing: Standing
    effect: Effect
    pause: Reason | None = None
    """Set when the organisation must be paused until a person acts."""

    @property
    def next_due(self) -> datetime | None:
        return self.standing.due if self.effect is Effect.SCHEDULED else None


def fold(standing: Standing, receipt: Receipt, policy: DeliveryPolicy, now: datetime, jitter: float) -> Folded:
    """Return what `receipt` makes of `standing`. The receipt's id is new: repeats are sorted out before."""
    match receipt.kind:
        case ReceiptKind.ANSWERED if receipt.outcome is not None:
            status = STATUS_OF[receipt.outcome]
            if status is not None:
                return _answered(standing, receipt, status)
            failure = FailureKind.UNKNOWN if receipt.outcome is Outcome.UNKNOWN else FailureKind.UNAVAILABLE
            if RANK[standing.status] > OCCUPIES_LANE_BELOW:
                return Folded(standing, Effect.CONFLICT)  # said to be taken in before, now said to have failed
            return _deferred(standing, receipt, failure, policy, now=now, jitter=jitter)
        case ReceiptKind.DEFERRED if receipt.failure is not None:
            return _deferred(standing, receipt, receipt.failure, policy, now=now, jitter=jitter)
        case ReceiptKind.PLACED:
            return _placed(standing, receipt, policy, now)
        case ReceiptKind.WITHHELD:
            return _withheld(standing, receipt, now)
        case ReceiptKind.UNDELIVERED:
            return _ended(standing, receipt, Status.UNDELIVERED, receipt.reason)
        case _:
            return Folded(standing, Effect.NOTED)


def given_up_for(read: Quarantined, epoch: int) -> Receipt | None:
    """Return the receipt by which a record that was set aside ends its delivery; None if it names none.

    The same record is always the same receipt, so that reading it again changes nothing.
    """
    if read.delivery_id is None:
        return None
    return Receipt(
        id=uuid5(read.delivery_id, f"{read.topic}/{read.partition}/{read.offset}"),
        delivery_id=read.delivery_id,
        epoch=epoch,
        attempt=0,
        kind=ReceiptKind.UNDELIVERED,
        reason=read.reason,
        at=read.at,
    )


def _answered(standing: Standing, receipt: Receipt, status: Status) -> Folded:
    if RANK[status] > RANK[standing.status]:
        raised = replace(
            standing,
            status=status,
            reason=receipt.reason,
            reference=receipt.reference or standing.reference,
            attempts=max(standing.attempts, receipt.attempt),
            published_at=standing.published_at or receipt.at,
            answered_at=receipt.at,
        )
        return Folded(_leave_lane(raised), Effect.RAISED)
    return Folded(standing, Effect.NOTED if _nothing_new(standing.status, status) else Effect.CONFLICT)


def _nothing_new(stands: Status, said: Status) -> bool:
    """Return whether an answer that raises nothing also contradicts nothing."""
    ours = stands in (Status.CANCELLED, Status.SUPERSEDED, Status.UNDELIVERED) and RANK[said] == RANK[stands]
    return said is stands or ours or said in (Status.RECEIVED, Status.ALREADY_CURRENT)


def _ours_and_open(standing: Standing, receipt: Receipt) -> bool:
    return receipt.epoch == standing.epoch and standing.occupies and RANK[standing.status] < OCCUPIES_LANE_BELOW


def _deferred(
    standing: Standing,
    receipt: Receipt,
    failure: FailureKind,
    policy: DeliveryPolicy,
    *,
    now: datetime,
    jitter: float,
) -> Folded:
    if not _ours_and_open(standing, receipt):
        return Folded(standing, Effect.NOTED)
    counts = failure in (FailureKind.UNAVAILABLE, FailureKind.UNKNOWN)
    news = counts and receipt.attempt > standing.attempts  # a repeat of one attempt is counted once
    unknowns = standing.unknowns + (news and failure is FailureKind.UNKNOWN)
    if receipt.probe:  # it may have arrived; but an outage of days must not end the deliveries it is looked at with
        unknowns = min(unknowns, max(standing.unknowns, 1))
    tried = replace(
        standing,
        status=Status.PUBLISHED,  # the log had it, even if the relay died before it could say so
        attempts=max(standing.attempts, receipt.attempt) if counts else standing.attempts,
        unknowns=unknowns,
        published_at=standing.published_at or receipt.at,
        reason=receipt.reason,
    )
    history = Tried(attempts=tried.attempts, unknowns=tried.unknowns, since=tried.since)
    asked = receipt.not_before - receipt.at if receipt.not_before else None  # the clock that said both may be wrong
    match decide(failure, history, now, policy, asked=asked, jitter=jitter):
        case Again(due):
            return Folded(replace(tried, due=due, in_flight=False), Effect.SCHEDULED)
        case Hold():
            return Folded(replace(tried, due=now, in_flight=False), Effect.SCHEDULED, pause=receipt.reason)
        case GiveUp() if (until := _sent_elsewhere(standing, receipt, now)) is not None:
            return Folded(replace(tried, due=until, in_flight=False), Effect.SCHEDULED)
        case GiveUp(reason):
            return _ended(tried, receipt, Status.UNDELIVERED, reason)


def _placed(standing: Standing, receipt: Receipt, policy: DeliveryPolicy, now: datetime) -> Folded:
    """Keep its lane until the organisation has come for it, or its horizon has passed; the gate is asked now and then."""
    if not _ours_and_open(standing, receipt):
        return Folded(standing, Effect.NOTED)
    ends = standing.since + timedelta(seconds=policy.horizon_seconds)
    lies = replace(
        standing, status=Status.PUBLISHED, published_at=standing.published_at or receipt.at, reason=receipt.reason
    )
    if now >= ends:
        return _ended(lies, receipt, Status.UNDELIVERED, Reason.HORIZON_PASSED)
    return Folded(replace(lies, due=min(now + LOOK_AGAIN, ends), in_flight=False), Effect.SCHEDULED)


def _sent_elsewhere(standing: Standing, receipt: Receipt, now: datetime) -> datetime | None:
    """Return until when it may be under way by another grant than the one this receipt ends; None if it is not.

    A word that comes late must not free the lane for the next meanwhile: how the later attempt ends decides.
    """
    until = standing.granted_until if standing.granted else None
    late = receipt.granted_until is not None and receipt.granted_until != until
    return until if late and until is not None and until > now else None


def _withheld(standing: Standing, receipt: Receipt, now: datetime) -> Folded:
    if not _ours_and_open(standing, receipt):
        return Folded(standing, Effect.NOTED)
    if receipt.reason in WITHHELD_FOR_GOOD:
        return _ended(_perhaps_sent(standing), receipt, WITHHELD_FOR_GOOD[receipt.reason], receipt.reason)
    if receipt.reason in ASK_AGAIN and standing.in_flight:
        due = max(now, receipt.not_before) if receipt.not_before else now
        return Folded(replace(standing, due=due, in_flight=False), Effect.SCHEDULED)
    return Folded(standing, Effect.NOTED)


def _perhaps_sent(standing: Standing) -> Standing:
    """Count an attempt that was granted and of which nothing was heard as one that may have arrived."""
    if not standing.granted:
        return standing
    return replace(standing, attempts=standing.attempts + 1, unknowns=standing.unknowns + 1)


def stopped(standing: Standing, receipt: Receipt) -> Folded | None:
    """Return what ending a delivery by an act, not by its way, makes of it; None if it has ended or was answered.

    One without a sequence, which does not hold its lane, ends too. A copy in the log is withheld by the gate from then.
    """
    if RANK[standing.status] >= OCCUPIES_LANE_BELOW or receipt.reason is None:
        return None
    status = WITHHELD_FOR_GOOD.get(receipt.reason, Status.UNDELIVERED)
    ended = replace(_perhaps_sent(standing), status=status, reason=receipt.reason, answered_at=receipt.at)
    return Folded(_leave_lane(ended), Effect.RAISED)


def _ended(standing: Standing, receipt: Receipt, status: Status, reason: Reason | None) -> Folded:
    if not _ours_and_open(standing, receipt):
        return Folded(standing, Effect.NOTED)
    ended = replace(standing, status=status, reason=reason, answered_at=receipt.at)
    return Folded(_leave_lane(ended), Effect.RAISED)


def _leave_lane(standing: Standing) -> Standing:
    if RANK[standing.status] < OCCUPIES_LANE_BELOW:
        return standing
    return replace(standing, occupies=False, in_flight=False, due=None)

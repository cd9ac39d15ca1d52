"""What a receipt does to a delivery: every answer, every status, and that a status only ever rises."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.tracking.fold import ASK_AGAIN, LOOK_AGAIN, WITHHELD_FOR_GOOD, Effect, Standing, fold, given_up_for
from contracts.organisation import DeliveryPolicy
from contracts.receipts import FailureKind, Quarantined, Receipt, ReceiptKind
from contracts.statuses import OCCUPIES_LANE_BELOW, RANK, STATUS_OF, Outcome, Reason, Status

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POLICY = DeliveryPolicy()
DELIVERY = UUID(int=7)

OPEN = Standing(
    status=Status.PUBLISHED,
    epoch=0,
    attempts=0,
    unknowns=0,
    since=NOW,
    published_at=NOW,
    answered_at=None,
    reason=None,
    reference=None,
    occupies=True,
    due=NOW + timedelta(days=1),
    in_flight=True,
)


def answered(outcome: Outcome, *, epoch: int = 0, attempt: int = 1) -> Receipt:
    return Receipt(
        id=uuid4(),
        delivery_id=DELIVERY,
        epoch=epoch,
        attempt=attempt,
        kind=ReceiptKind.ANSWERED,
        outcome=outcome,
        at=NOW,
    )


def deferred(failure: FailureKind, *, epoch: int = 0, attempt: int = 1, not_before: datetime | None = None) -> Receipt:
    return Receipt(
        id=uuid4(),
        delivery_id=DELIVERY,
        epoch=epoch,
        attempt=attempt,
        kind=ReceiptKind.DEFERRED,
        failure=failure,
        reason=Reason.SERVER_ERROR,
        not_before=not_before,
        at=NOW,
    )


def withheld(reason: Reason, *, epoch: int = 0, not_before: datetime | None = None) -> Receipt:
    return Receipt(
        id=uuid4(),
        delivery_id=DELIVERY,
        epoch=epoch,
        attempt=0,
        kind=ReceiptKind.WITHHELD,
        reason=reason,
        not_before=not_before,
        at=NOW,
    )


def placed(*, epoch: int = 0) -> Receipt:
    return Receipt(id=uuid4(), delivery_id=DELIVERY, epoch=epoch, attempt=1, kind=ReceiptKind.PLACED, at=NOW)


@pytest.mark.parametrize("outcome", [outcome for outcome, status in STATUS_OF.items() if status is not None])
def test_each_answer_raises_to_its_status_and_frees_the_lane(outcome: Outcome) -> None:
    folded = fold(OPEN, answered(outcome), POLICY, NOW, 0.5)
    assert folded.standing.status is STATUS_OF[outcome]
    assert folded.effect is Effect.RAISED
    assert (folded.standing.occupies, folded.standing.in_flight, folded.standing.due) == (False, False, None)


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.FAILED])
def test_an_answer_that_is_none_is_tried_again(outcome: Outcome) -> None:
    folded = fold(OPEN, answered(outcome), POLICY, NOW, 0.5)
    assert folded.effect is Effect.SCHEDULED
    assert folded.standing.status is Status.PUBLISHED
    assert folded.standing.attempts == 1
    assert folded.standing.unknowns == (outcome is Outcome.UNKNOWN)


def test_a_later_lower_answer_is_a_conflict_and_changes_nothing() -> None:
    applied = fold(OPEN, answered(Outcome.APPLIED), POLICY, NOW, 0.5).standing
    folded = fold(applied, answered(Outcome.NOT_MATCHED), POLICY, NOW, 0.5)
    assert folded.effect is Effect.CONFLICT
    assert folded.standing == applied
    assert fold(applied, answered(Outcome.RECEIVED), POLICY, NOW, 0.5).effect is Effect.NOTED
    assert fold(applied, answered(Outcome.DUPLICATE), POLICY, NOW, 0.5).effect is Effect.NOTED
    assert fold(applied, answered(Outcome.FAILED), POLICY, NOW, 0.5).effect is Effect.CONFLICT


def test_the_organisations_fact_counts_from_any_epoch_and_ours_only_from_this_one() -> None:
    replayed = replace(OPEN, epoch=3)
    assert fold(replayed, answered(Outcome.APPLIED, epoch=1), POLICY, NOW, 0.5).effect is Effect.RAISED
    for receipt in (deferred(FailureKind.UNAVAILABLE, epoch=1), withheld(Reason.CANCELLED, epoch=1)):
        assert fold(replayed, receipt, POLICY, NOW, 0.5).effect is Effect.NOTED


def test_an_organisations_fact_wins_over_our_cancellation_and_our_giving_up() -> None:
    for status in (Status.CANCELLED, Status.UNDELIVERED):
        ended = replace(OPEN, status=status, occupies=False, in_flight=False, due=None)
        folded = fold(ended, answered(Outcome.APPLIED), POLICY, NOW, 0.5)
        assert folded.standing.status is Status.APPLIED


def test_deferring_keeps_the_lane_and_schedules() -> None:
    folded = fold(OPEN, deferred(FailureKind.UNAVAILABLE), POLICY, NOW, 0.5)
    assert folded.effect is Effect.SCHEDULED
    assert folded.standing.occupies
    assert not folded.standing.in_flight
    assert folded.standing.due == folded.next_due == NOW + timedelta(seconds=1)


def test_the_same_attempt_reported_twice_is_counted_once() -> None:
    once = fold(OPEN, deferred(FailureKind.UNKNOWN, attempt=1), POLICY, NOW, 0.5).standing
    twice = fold(once, deferred(FailureKind.UNKNOWN, attempt=1), POLICY, NOW, 0.5).standing
    assert (twice.attempts, twice.unknowns) == (1, 1)


def test_misconfigured_pauses_and_counts_no_attempt() -> None:
    folded = fold(OPEN, deferred(FailureKind.MISCONFIGURED, attempt=0), POLICY, NOW, 0.5)
    assert folded.pause is Reason.SERVER_ERROR
    assert folded.standing.attempts == 0
    assert folded.standing.due == NOW


def test_a_receipt_shows_that_the_log_had_it_even_if_the_relay_died_before_saying_so() -> None:
    unmarked = replace(OPEN, status=Status.QUEUED, published_at=None)
    for receipt in (deferred(FailureKind.UNAVAILABLE), answered(Outcome.RECEIVED)):
        folded = fold(unmarked, receipt, POLICY, NOW, 0.5)
        assert folded.standing.published_at == NOW
        assert RANK[folded.standing.status] >= RANK[Status.PUBLISHED]


@pytest.mark.parametrize("reason", sorted(WITHHELD_FOR_GOOD))
def test_withheld_for_good_cancels_and_frees_the_lane(reason: Reason) -> None:
    folded = fold(OPEN, withheld(reason), POLICY, NOW, 0.5)
    assert folded.standing.status is (Status.SUPERSEDED if reason is Reason.SUPERSEDED else Status.CANCELLED)
    assert folded.standing.reason is reason
    assert not folded.standing.occupies


@pytest.mark.parametrize("reason", sorted(ASK_AGAIN))
def test_withheld_for_now_asks_again(reason: Reason) -> None:
    later = NOW + timedelta(seconds=3)
    folded = fold(OPEN, withheld(reason, not_before=later), POLICY, NOW, 0.5)
    assert folded.effect is Effect.SCHEDULED
    assert folded.standing.due == later
    assert folded.standing.attempts == 0


def test_a_stale_copy_changes_nothing_of_what_is_scheduled() -> None:
    """A record read again after its attempt was folded: the hour the organisation asked for stays an hour."""
    scheduled = replace(OPEN, in_flight=False, due=NOW + timedelta(hours=1))
    for reason in (Reason.NOT_DUE, *ASK_AGAIN):
        folded = fold(scheduled, withheld(reason, not_before=NOW + timedelta(seconds=4)), POLICY, NOW, 0.5)
        assert folded.effect is Effect.NOTED
        assert folded.standing == scheduled


@pytest.mark.parametrize("wrong", [timedelta(hours=-9), timedelta(), timedelta(hours=9)])
def test_a_wrong_clock_shifts_no_floor(wrong: timedelta) -> None:
    asked = deferred(FailureKind.UNAVAILABLE, not_before=NOW + wrong + timedelta(minutes=10))
    folded = fold(OPEN, asked.model_copy(update={"at": NOW + wrong}), POLICY, NOW, 0.0)
    assert folded.standing.due == NOW + timedelta(minutes=10)


def test_a_record_set_aside_ends_its_delivery_with_its_reason_and_is_one_receipt_for_ever() -> None:
    read = Quarantined(topic="t", partition=1, offset=2, reason=Reason.UNKNOWN_KEY, at=NOW, delivery_id=DELIVERY)
    end = given_up_for(read, 0)
    assert end is not None
    folded = fold(OPEN, end, POLICY, NOW, 0.5)
    assert (folded.standing.status, folded.standing.reason) == (Status.UNDELIVERED, Reason.UNKNOWN_KEY)
    later = given_up_for(read, 3)
    assert later is not None
    assert later.id == end.id
    elsewhere = given_up_for(read.model_copy(update={"offset": 3}), 0)
    assert elsewhere is not None
    assert elsewhere.id != end.id
    assert given_up_for(read.model_copy(update={"delivery_id": None}), 0) is None


def test_what_lies_in_a_mailbox_keeps_its_lane_and_is_looked_at_again() -> None:
    folded = fold(OPEN, placed(), POLICY, NOW, 0.5)
    assert (folded.effect, folded.standing.status) == (Effect.SCHEDULED, Status.PUBLISHED)
    assert (folded.standing.occupies, folded.standing.in_flight) == (True, False)
    assert folded.next_due == NOW + LOOK_AGAIN
    assert folded.standing.attempts == folded.standing.unknowns == 0, "nothing was tried that could have failed"
    assert fold(folded.standing, answered(Outcome.RECEIVED), POLICY, NOW, 0.5).effect is Effect.RAISED
    assert fold(OPEN, placed(epoch=1), POLICY, NOW, 0.5).effect is Effect.NOTED
    received = fold(OPEN, answered(Outcome.RECEIVED), POLICY, NOW, 0.5).standing
    assert fold(received, placed(), POLICY, NOW, 0.5).effect is Effect.NOTED, "told late, after it was acknowledged"


def test_what_nobody_comes_for_ends_at_its_horizon() -> None:
    ends = OPEN.since + timedelta(seconds=POLICY.horizon_seconds)
    last = fold(OPEN, placed(), POLICY, ends - timedelta(hours=1), 0.5)
    assert last.next_due == ends
    over = fold(last.standing, placed(), POLICY, ends, 0.5)
    assert (over.effect, over.standing.status) == (Effect.RAISED, Status.UNDELIVERED)
    assert over.standing.reason is Reason.HORIZON_PASSED
    assert not over.standing.occupies


def test_giving_up_is_aloud_and_frees_the_lane() -> None:
    tired = replace(OPEN, attempts=4, unknowns=4)
    folded = fold(tired, deferred(FailureKind.UNKNOWN, attempt=5), POLICY, NOW, 0.5)
    assert folded.standing.status is Status.UNDELIVERED
    assert folded.standing.reason is Reason.UNKNOWN_LIMIT
    assert not folded.standing.occupies


def test_an_outage_that_swallows_every_probe_ends_no_delivery_but_it_may_have_arrived() -> None:
    standing = OPEN
    for attempt in range(1, 50):
        probe = deferred(FailureKind.UNKNOWN, attempt=attempt).model_copy(update={"probe": True})
        standing = fold(standing, probe, POLICY, NOW, 0.5).standing
        assert (standing.status, standing.attempts, standing.unknowns) == (Status.PUBLISHED, attempt, 1)
    once = POLICY.model_copy(update={"unknown_limit": 1})
    assert fold(OPEN, probe, once, NOW, 0.5).standing.status is Status.UNDELIVERED, "who must never be sent it twice"


receipts = st.one_of(
    st.builds(answered, st.sampled_from(Outcome), epoch=st.integers(0, 2), attempt=st.integers(0, 8)),
    st.builds(deferred, st.sampled_from(FailureKind), epoch=st.integers(0, 2), attempt=st.integers(0, 8)),
    st.builds(withheld, st.sampled_from([*WITHHELD_FOR_GOOD, *ASK_AGAIN, Reason.STALE_EPOCH, Reason.ALREADY_RECEIVED])),
)


@given(st.lists(receipts, max_size=12), st.floats(0, 1, exclude_max=True))
def test_whatever_comes_in_whatever_order_a_status_only_rises(history: list[Receipt], jitter: float) -> None:
    standing = replace(OPEN, status=Status.QUEUED)
    for receipt in history:
        folded = fold(standing, receipt, POLICY, NOW, jitter)
        after = folded.standing
        assert RANK[after.status] >= RANK[standing.status]
        assert after.attempts >= standing.attempts
        assert after.unknowns <= after.attempts
        assert after.occupies == (RANK[after.status] < OCCUPIES_LANE_BELOW), "open deliveries hold their lane"
        assert (after.due is None) == (not after.occupies), "what is open is always due some time: never silent"
        if folded.effect in (Effect.NOTED, Effect.CONFLICT):
            assert after == standing
        standing = after


@given(
    st.lists(st.sampled_from([o for o, s in STATUS_OF.items() if s is not None]), min_size=1, max_size=6), st.randoms()
)
def test_the_order_of_answers_does_not_change_where_it_ends_but_for_equals(
    outcomes: list[Outcome], random: object
) -> None:
    def end(order: list[Outcome]) -> int:
        standing = OPEN
        for outcome in order:
            standing = fold(standing, answered(outcome), POLICY, NOW, 0.5).standing
        return RANK[standing.status]

    shuffled = list(outcomes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    highest = max(RANK[STATUS_OF[outcome] or Status.PUBLISHED] for outcome in outcomes)
    assert end(outcomes) == end(shuffled) == highest


def test_a_word_that_comes_late_ends_nothing_that_is_being_sent_by_another_grant() -> None:
    """Else the lane would be free, and the next be sent beside it."""
    once = POLICY.model_copy(update={"unknown_limit": 1})
    until, earlier = NOW + timedelta(seconds=9), NOW - timedelta(seconds=3)
    sent = replace(OPEN, granted=True, granted_until=until)

    def told(grant: datetime, attempt: int = 1) -> Receipt:
        return deferred(FailureKind.UNKNOWN, attempt=attempt).model_copy(update={"granted_until": grant})

    late = fold(sent, told(earlier), once, NOW, 0.5)
    assert (late.effect, late.standing.occupies, late.standing.due) == (Effect.SCHEDULED, True, until)
    own = fold(late.standing, told(until), once, NOW, 0.5)
    assert (own.standing.status, own.standing.reason) == (Status.UNDELIVERED, Reason.UNKNOWN_LIMIT), "its own word does"
    after = fold(sent, told(earlier), once, until, 0.5)
    assert after.standing.status is Status.UNDELIVERED, "that grant is over too"

"""The breaker's decisions: by example, and over everything that can happen in any order."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.delivery.breaker import (
    PROBE_MARGIN,
    RELAPSE,
    Tally,
    allowed,
    failed,
    noted,
    opened,
    probed,
    probing,
    recovered,
    tripped,
)
from contracts.breaker import Breaker, Phase
from contracts.organisation import BreakerPolicy
from contracts.receipts import FailureKind, Receipt, ReceiptKind
from contracts.statuses import Outcome, Reason

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POLICY = BreakerPolicy(consecutive=5, share=0.5, of_last=10, first_probe_seconds=5, longest_probe_seconds=60)
DEADLINE = timedelta(seconds=10)
CLOSED = Breaker()


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def seen(outcomes: str, policy: BreakerPolicy = POLICY) -> Tally:
    """Return the tally of outcomes, `x` for a failure."""
    tally = Tally()
    for outcome in outcomes:
        tally = noted(tally, failure=outcome == "x", policy=policy)
    return tally


@pytest.mark.parametrize(
    ("outcomes", "opens"),
    [
        ("", False),
        ("xxxx", False),
        ("xxxxx", True),
        ("xxxx.xxxx", False),  # nine: too few for a share
        ("xxxx.xxxx.", True),
        ("xx.xx.x...", True),
        ("xx.xx.....", False),
        ("xxxx......" + "x.x.x.x...", False),  # what is long ago does not count
        ("." * 100 + "xxxxx", True),
    ],
)
def test_what_opens_a_closed_breaker(outcomes: str, opens: bool) -> None:
    assert tripped(CLOSED, seen(outcomes), POLICY) is opens


def receipt(kind: ReceiptKind, **rest: object) -> Receipt:
    return Receipt.model_validate(
        {"id": UUID(int=1), "delivery_id": UUID(int=2), "epoch": 0, "attempt": 1, "kind": kind, "at": NOW, **rest}
    )


def test_what_counts_as_failing() -> None:
    for outcome in Outcome:
        assert failed(receipt(ReceiptKind.ANSWERED, outcome=outcome)) is False, "whoever answers is there"
    told = {
        kind: failed(receipt(ReceiptKind.DEFERRED, failure=kind, reason=Reason.SERVER_ERROR)) for kind in FailureKind
    }
    assert told == {
        FailureKind.UNAVAILABLE: True,
        FailureKind.UNKNOWN: True,
        FailureKind.MISCONFIGURED: None,
        FailureKind.STOPPED: None,
    }
    assert failed(receipt(ReceiptKind.WITHHELD, reason=Reason.PAUSED)) is None


def test_an_outage_of_three_days_is_looked_at_ever_less_often_up_to_a_bound() -> None:
    breaker, now, waits = opened(CLOSED, NOW, POLICY), NOW, []
    while now < NOW + timedelta(days=3):
        assert breaker.until is not None
        assert probing(breaker, breaker.until - seconds(0.001), DEADLINE) is None, "not before its time"
        waits.append((breaker.until - now).total_seconds())
        now = breaker.until
        taken = probing(breaker, now, DEADLINE)
        assert taken is not None
        breaker = probed(taken, now, POLICY, failure=True)
    assert waits[:6] == [5, 10, 20, 40, 60, 60]
    assert set(waits[5:]) == {60}


def test_one_probe_at_a_time_and_a_lost_one_is_taken_anew() -> None:
    due = opened(CLOSED, NOW, POLICY)
    taken = probing(due, NOW + seconds(5), DEADLINE)
    assert taken is not None
    assert taken.phase is Phase.PROBING
    assert probing(taken, NOW + seconds(5), DEADLINE) is None
    lost = NOW + seconds(5) + DEADLINE + PROBE_MARGIN
    again = probing(taken, lost, DEADLINE)
    assert again is not None
    assert again.version == taken.version + 1
    assert again.probes == 0, "nobody knows that it failed"


def test_what_the_organisation_asks_is_a_floor_up_to_the_longest_interval() -> None:
    assert opened(CLOSED, NOW, POLICY, asked=seconds(30)).until == NOW + seconds(30)
    assert opened(CLOSED, NOW, POLICY, asked=seconds(1)).until == NOW + seconds(5)
    assert opened(CLOSED, NOW, POLICY, asked=timedelta(days=1)).until == NOW + seconds(60)


def test_after_a_probe_that_was_answered_it_is_taken_up_slowly_and_closed() -> None:
    taken = probing(opened(CLOSED, NOW, POLICY), NOW + seconds(5), DEADLINE)
    assert taken is not None
    ramping = probed(taken, NOW, POLICY, failure=False)
    at = [allowed(ramping, NOW + seconds(at), 64) for at in (-3600, 0, 5, 10, 15, 20, 25, 30, 3600)]
    assert at == [1, 1, 2, 4, 8, 16, 32, 64, 64]
    assert recovered(ramping, NOW + seconds(29.9)) is None
    closed = recovered(ramping, NOW + seconds(30))
    assert closed is not None
    assert (closed.phase, closed.probes) == (Phase.CLOSED, 0)


def test_a_relapse_opens_at_once_and_for_longer() -> None:
    breaker = opened(CLOSED, NOW, POLICY)
    for wait in (5, 10, 20, 40):
        assert breaker.until == NOW + seconds(wait)
        taken = probing(breaker, NOW + seconds(wait), DEADLINE)
        assert taken is not None
        ramping = probed(taken, NOW, POLICY, failure=False)
        assert not tripped(ramping, seen("x" * (RELAPSE - 1)), POLICY)
        assert tripped(ramping, seen("x" * RELAPSE), POLICY)
        breaker = opened(ramping, NOW, POLICY)


@given(
    st.lists(st.tuples(st.sampled_from(["ok", "fail", "probe", "answer", "refuse"]), st.floats(0, 400)), max_size=60),
    st.integers(1, 1024),
)
def test_whatever_happens_there_is_a_way_back_and_never_a_storm(
    happenings: list[tuple[str, float]], slots: int
) -> None:
    breaker, tally, now = CLOSED, Tally(), NOW
    for happening, wait in happenings:
        now += seconds(wait)
        before = breaker
        if (closed := recovered(breaker, now)) is not None:
            breaker, tally = closed, Tally()
        match happening:
            case "ok" | "fail" if allowed(breaker, now, slots):
                tally = noted(tally, failure=happening == "fail", policy=POLICY)
                if tripped(breaker, tally, POLICY):
                    breaker, tally = opened(breaker, now, POLICY), Tally()
            case "probe":
                breaker = probing(breaker, now, DEADLINE) or breaker
            case "answer" | "refuse" if breaker.phase is Phase.PROBING:
                breaker, tally = probed(breaker, now, POLICY, failure=happening == "refuse"), Tally()
            case _:
                pass
        assert breaker.version - before.version in (0, 1, 2), "each change is one step"
        assert 0 <= allowed(breaker, now, slots) <= slots
        if breaker.phase in (Phase.OPEN, Phase.PROBING):
            assert allowed(breaker, now, slots) == 0
            assert breaker.until is not None
            assert breaker.until <= now + max(seconds(POLICY.longest_probe_seconds), DEADLINE + PROBE_MARGIN)
            assert probing(breaker, breaker.until, DEADLINE) is not None, "a probe is due some day"
        if breaker.phase is Phase.RAMPING:
            assert breaker.until is not None
            assert recovered(breaker, breaker.until) is not None, "the ramp ends"

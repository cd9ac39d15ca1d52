"""When a delivery is tried again: values in, a decision out."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.tracking.retry import LONGEST_ASKED, Again, GiveUp, Hold, Tried, decide
from contracts.organisation import DeliveryPolicy
from contracts.receipts import FailureKind
from contracts.statuses import Reason

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POLICY = DeliveryPolicy()


def tried(attempts: int = 1, unknowns: int = 0, since: datetime = NOW) -> Tried:
    return Tried(attempts=attempts, unknowns=unknowns, since=since)


def test_the_delay_doubles_from_two_seconds_to_an_hour() -> None:
    delays = []
    for attempts in range(1, 15):
        found = decide(FailureKind.UNAVAILABLE, tried(attempts), NOW, POLICY, asked=None, jitter=1.0)
        assert isinstance(found, Again)
        delays.append((found.due - NOW).total_seconds())
    assert delays[:5] == [2, 4, 8, 16, 32]
    assert delays[-1] == 3600


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_is_full_and_never_beyond_the_ceiling(attempts: int, jitter: float) -> None:
    found = decide(FailureKind.UNAVAILABLE, tried(attempts), NOW, POLICY, asked=None, jitter=jitter)
    assert isinstance(found, Again)
    ceiling = min(2.0 * 2.0 ** min(attempts - 1, 40), 3600.0)
    assert found.due - NOW == timedelta(seconds=ceiling * jitter)


def test_what_the_organisation_asks_is_a_floor_and_is_capped() -> None:
    for asked, expected in ((timedelta(minutes=5), timedelta(minutes=5)), (timedelta(days=3000), LONGEST_ASKED)):
        found = decide(FailureKind.UNAVAILABLE, tried(), NOW, POLICY, asked=asked, jitter=0.0)
        assert found == Again(NOW + expected)
    past = decide(FailureKind.UNAVAILABLE, tried(), NOW, POLICY, asked=timedelta(days=-1), jitter=0.5)
    assert past == Again(NOW + timedelta(seconds=1))


def test_the_horizon_ends_it_with_a_reason() -> None:
    old = tried(attempts=400, since=NOW - timedelta(days=7) + timedelta(seconds=10))
    assert decide(FailureKind.UNAVAILABLE, old, NOW, POLICY, asked=None, jitter=0.9) == GiveUp(Reason.HORIZON_PASSED)
    assert isinstance(decide(FailureKind.UNAVAILABLE, old, NOW, POLICY, asked=None, jitter=0.0), Again)


@pytest.mark.parametrize(("unknowns", "goes_on"), [(1, True), (4, True), (5, False), (6, False)])
def test_unknown_has_its_own_small_limit(unknowns: int, goes_on: bool) -> None:
    found = decide(FailureKind.UNKNOWN, tried(unknowns, unknowns), NOW, POLICY, asked=None, jitter=0.5)
    assert isinstance(found, Again) is goes_on
    if not goes_on:
        assert found == GiveUp(Reason.UNKNOWN_LIMIT)


def test_misconfigured_holds_and_our_own_stop_costs_nothing() -> None:
    assert decide(FailureKind.MISCONFIGURED, tried(0), NOW, POLICY, asked=None, jitter=0.9) == Hold()
    assert decide(FailureKind.STOPPED, tried(0), NOW, POLICY, asked=None, jitter=0.9) == Again(NOW)
    asked = timedelta(seconds=9)
    assert decide(FailureKind.STOPPED, tried(0), NOW, POLICY, asked=asked, jitter=0.9) == Again(NOW + asked)

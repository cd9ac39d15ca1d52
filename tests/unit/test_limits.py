"""Shares, pace, retries and windows, in a time of their own."""

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from broker.delivery.limits import (
    BURST_SECONDS,
    LATEST_SECONDS,
    RESERVED_RETRIES,
    SAVED_RETRIES,
    SOONEST_SECONDS,
    Pace,
    RetryBudget,
    places_of,
    share_of,
)
from contracts.organisation import DeliveryPolicy, Organisation
from contracts.windows import is_open


@given(st.integers(1, 64), st.data())
def test_shares_are_never_more_than_the_whole_and_nobody_who_owns_something_gets_nothing(
    partitions: int, data: st.DataObject
) -> None:
    most = data.draw(st.integers(partitions, 1024))
    owners = data.draw(st.lists(st.integers(0, 4), min_size=partitions, max_size=partitions))
    shares = [share_of(most, owners.count(worker), partitions) for worker in range(5)]
    assert sum(shares) <= most
    assert all((share > 0) == (owners.count(worker) > 0) for worker, share in enumerate(shares))


@given(st.integers(1, 64), st.integers(0, 1024), st.integers(0, 10_000), st.data())
def test_places_of_all_workers_are_exactly_those_there_are(
    partitions: int, most: int, turn: int, data: st.DataObject
) -> None:
    owners = data.draw(st.lists(st.integers(0, 4), min_size=partitions, max_size=partitions))
    owned = [[number for number, owner in enumerate(owners) if owner == worker] for worker in range(5)]
    assert sum(places_of(most, these, partitions, turn) for these in owned) == most


def test_places_by_example() -> None:
    assert [places_of(1, {number}, 3, 0) for number in range(3)] == [1, 0, 0], "one place, of three workers"
    assert [places_of(1, {number}, 3, 4) for number in range(3)] == [0, 1, 0], "another time another's"
    assert [places_of(5, {number}, 3, 0) for number in range(3)] == [2, 2, 1]
    assert places_of(5, {0, 1, 2}, 3, 0) == 5
    assert places_of(5, set(), 3, 0) == 0
    assert places_of(1, {4}, 3, 4) == 1, "a topic that has more partitions than its organisation now says"


def test_a_share_by_example() -> None:
    assert share_of(64, 3, 3) == 64
    assert share_of(64, 1, 3) == 21
    assert share_of(1, 1, 1) == 1
    assert share_of(64, 0, 3) == 0
    assert share_of(10, 6, 3) == 10, "a topic that has more partitions than its organisation now says"


@given(st.floats(0.01, 1000), st.lists(st.floats(0, 5), max_size=80))
def test_a_pace_is_kept_over_any_stretch_of_time(rate: float, waits: list[float]) -> None:
    pace, now, sent = Pace(), 0.0, 0
    for wait in waits:
        now += wait
        pace = pace.later(now, rate)
        sent += pace.ready()
        pace = pace.less(pace.ready())
        assert sent <= 1 + now * rate + max(1.0, rate * BURST_SECONDS) + 1e-6
        later = pace.later(now + pace.wait() + 1e-6, rate)
        assert later.ready() >= 1, "and never stands still"


def test_a_slow_pace_by_example() -> None:
    pace = Pace(at=0.0).later(0.0, 2.0)
    assert pace.ready() == 1
    pace = pace.less(1)
    assert (pace.ready(), pace.wait()) == (0, 0.5)
    assert pace.later(3600.0, 2.0).ready() == 1, "an hour of rest is no leave for a storm"
    assert pace.later(-3600.0, 2.0).ready() == 0, "a clock that goes back gives nothing"
    assert pace.later(0.0, 0.0).wait() == math.inf, (
        "its partitions are somebody else's, and its share of the pace is none"
    )


def test_what_went_while_there_was_no_limit_is_not_held_against_what_comes() -> None:
    pace = Pace().later(1000.0, None)
    assert (pace.ready() > 1_000_000, pace.wait()) == (True, 0.0)
    limited = pace.less(1_000_000).later(1000.0, 2.0)
    assert limited.ready() == 1
    assert limited.less(1).later(1000.0, None).ready() > 1_000_000


@given(st.lists(st.booleans(), max_size=400), st.floats(0.05, 0.5))
def test_retries_stay_below_their_share(wanted: list[bool], share: float) -> None:
    budget, first, again = RetryBudget(), 0, 0
    for retry in wanted:
        if not retry:
            budget, first = budget.tried(share, 0.0), first + 1
        elif (spent := budget.retried(0.0)) is not None:
            budget, again = spent, again + 1
    assert again <= RESERVED_RETRIES + first * share / (1 - share) + 1e-6


def test_what_is_only_tried_again_gets_on_at_one_a_second() -> None:
    budget: RetryBudget | None = RetryBudget(0.0, 0.0)
    assert budget is not None
    assert budget.retried(0.5) is None
    granted, now = 0, 0.0
    while now < 100:
        now += 0.1
        spent = budget.retried(now)
        granted, budget = (granted + 1, spent) if spent is not None else (granted, budget)
    assert granted in (99, 100)
    for _ in range(10_000):
        budget = budget.tried(0.2, now)
    assert budget.tokens == SAVED_RETRIES


@given(st.integers(0, 300), st.floats(0.0, 100.0))
def test_many_first_tries_of_one_moment_earn_what_each_would(count: int, before: float) -> None:
    at_once = one_by_one = RetryBudget(before, 0.0, earned=before)
    at_once = at_once.tried(0.2, 7.0, count)
    for _ in range(count):
        one_by_one = one_by_one.tried(0.2, 7.0)
    assert at_once.tokens == pytest.approx(one_by_one.tokens)
    assert at_once.put_off(7.0).turn == pytest.approx(one_by_one.put_off(7.0).turn)


def test_those_who_came_in_vain_have_each_a_turn_as_leave_comes() -> None:
    budget, turns = RetryBudget(0.0, 0.0), []
    for _ in range(1_000):
        budget = budget.put_off(0.0)
        turns.append(budget.turn)
    waits = [later - earlier for earlier, later in pairwise(turns)]
    assert turns[0] == pytest.approx(SOONEST_SECONDS + 1)
    assert set(waits[:800]) == {1.0}, "one a second, as leave comes back"
    assert turns[-1] == LATEST_SECONDS
    busy = RetryBudget(0.0, 0.0)
    for number in range(6_000):
        busy = busy.tried(0.2, number / 100)  # a hundred first tries a second earn 25
    first, second = busy.put_off(60.0), busy.put_off(60.0).put_off(60.0)
    assert 1 / (second.turn - first.turn) == pytest.approx(1 + 25, rel=0.2)
    idle = busy.put_off(600.0).put_off(600.0).turn - busy.put_off(600.0).turn
    assert idle == pytest.approx(1.0, rel=0.01), "what was earned long ago is forgotten"


NIGHT = ("22:00-06:00",)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("windows", "when", "opened"),
    [
        ((), "2026-11-22 12:00", True),
        (NIGHT, "2026-11-22 21:59:59", False),
        (NIGHT, "2026-11-22 22:00", True),
        (NIGHT, "2026-11-23 00:00", True),
        (NIGHT, "2026-11-23 05:59:59", True),
        (NIGHT, "2026-11-23 06:00", False),
        (NIGHT, "2026-07-01 20:59:59", False),  # an hour sooner in summer
        (NIGHT, "2026-07-01 21:00", True),
        (("09:00-12:00", "13:00-17:00"), "2026-11-22 12:30", False),
        (("09:00-12:00", "13:00-17:00"), "2026-11-22 13:00", True),
        (("00:00-23:59",), "2026-11-22 23:59:30", False),
        # clocks go forward on 29 March 2026: after 00:59 comes 02:00
        (("01:30-02:30",), "2026-03-29 00:59:59", False),
        (("01:30-02:30",), "2026-03-29 01:00", True),  # 02:00 on the wall
        (("01:30-02:30",), "2026-03-29 01:30", False),
        (("01:00-02:00",), "2026-03-29 00:59:59", False),  # a window that does not come
        (("01:00-02:00",), "2026-03-29 01:00", False),
        # clocks go back on 25 October 2026: 01:00 to 01:59 come twice
        (("01:30-02:00",), "2026-10-25 00:29:59", False),
        (("01:30-02:00",), "2026-10-25 00:30", True),
        (("01:30-02:00",), "2026-10-25 01:00", False),
        (("01:30-02:00",), "2026-10-25 01:30", True),
        (("01:30-02:00",), "2026-10-25 02:00", False),
    ],
)
def test_windows_are_read_from_a_clock_on_a_wall_in_wales(windows: tuple[str, ...], when: str, opened: bool) -> None:
    assert is_open(windows, at(when)) is opened


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)))  # noqa: DTZ001  made aware below
def test_a_window_and_what_is_left_of_the_day_are_never_both_open(moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC)
    assert is_open(NIGHT, now) is not is_open(("06:00-22:00",), now)
    assert is_open(NIGHT, now) is is_open(("22:00-00:00", "00:00-06:00"), now)


@pytest.mark.parametrize(
    "window", ["22-06", "24:00-06:00", "22:00-22:00", "22:00 - 06:00", "22:60-06:00", "٢٢:00-06:00"]
)
def test_what_is_no_window_is_refused(window: str) -> None:
    with pytest.raises(ValidationError):
        DeliveryPolicy(windows=(window,))


def organisation(partitions: int, concurrency: int) -> Organisation:
    return Organisation.model_validate(
        {
            "id": "council",
            "name": {"cy": "Cyngor", "en": "Council"},
            "sector": "council",
            "adapter": "webhook",
            "policy": DeliveryPolicy(concurrency=concurrency),
            "partitions": partitions,
        }
    )


def test_what_cannot_be_shared_among_its_partitions_is_refused() -> None:
    assert organisation(1, 1).policy.concurrency == 1, "strictly serial"
    with pytest.raises(ValidationError, match="partitions"):
        organisation(3, 2)


def test_a_day_has_its_hours() -> None:
    start = datetime(2026, 11, 22, tzinfo=UTC)
    open_minutes = sum(is_open(NIGHT, start + timedelta(minutes=minute)) for minute in range(24 * 60))
    assert open_minutes == 8 * 60

"""When batches are closed: by a clock on a wall in Wales, on the nights it is put forward and back too."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.closings import following, latest
from contracts.organisation import BatchPolicy


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "last", "first"),
    [
        ("2026-01-10T18:00:00", "2026-01-10T18:00:00", "2026-01-10T18:00:00"),
        ("2026-01-10T18:00:01", "2026-01-10T18:00:00", "2026-01-11T18:00:00"),
        ("2026-01-10T17:59:59", "2026-01-09T18:00:00", "2026-01-10T18:00:00"),
        ("2026-07-10T16:59:59", "2026-07-09T17:00:00", "2026-07-10T17:00:00"),
        ("2026-07-10T23:30:00", "2026-07-10T17:00:00", "2026-07-11T17:00:00"),
        ("2026-03-29T12:00:00", "2026-03-28T18:00:00", "2026-03-29T17:00:00"),
        ("2026-10-25T12:00:00", "2026-10-24T17:00:00", "2026-10-25T18:00:00"),
    ],
)
def test_six_in_the_evening_is_six_by_the_clock_in_winter_and_in_summer(now: str, last: str, first: str) -> None:
    assert latest(["18:00"], at(now)) == at(last)
    assert following(["18:00"], at(now)) == at(first)


def test_a_time_that_does_not_come_is_when_the_clocks_go_forward() -> None:
    assert following(["01:30"], at("2026-03-28T12:00:00")) == at("2026-03-29T01:00:00")
    assert latest(["01:30"], at("2026-03-29T00:59:59")) == at("2026-03-28T01:30:00")
    assert latest(["01:30"], at("2026-03-29T01:00:00")) == at("2026-03-29T01:00:00")


def test_a_time_that_comes_twice_counts_the_first_time() -> None:
    assert following(["01:30"], at("2026-10-24T12:00:00")) == at("2026-10-25T00:30:00")
    assert following(["01:30"], at("2026-10-25T00:31:00")) == at("2026-10-26T01:30:00")
    assert latest(["01:30"], at("2026-10-25T01:30:00")) == at("2026-10-25T00:30:00"), "not again an hour later"


CLOSINGS = st.lists(
    st.sampled_from(("00:00", "00:59", "01:00", "01:30", "01:59", "02:00", "12:00", "23:59")), min_size=1
)
NIGHTS = st.sampled_from((at("2026-03-29T00:00:00"), at("2026-10-25T00:00:00"), at("2026-06-01T00:00:00")))


@given(CLOSINGS, NIGHTS, st.integers(-60 * 60 * 30, 60 * 60 * 30))
def test_each_is_the_other_seen_from_its_own_side(closings: list[str], night: datetime, seconds: int) -> None:
    now = night + timedelta(seconds=seconds)
    last, first = latest(closings, now), following(closings, now)
    assert last <= now <= first
    assert following(closings, last) == last
    assert latest(closings, first) == first
    if last != now:
        assert following(closings, last + timedelta(microseconds=1)) == first, "nothing lies between"
    assert first - last < timedelta(hours=26)


@pytest.mark.parametrize("wrong", ["24:00", "18", "18:0", "18:00-19:00", "six"])
def test_a_cut_off_is_written_as_a_time(wrong: str) -> None:
    with pytest.raises(ValueError, match="18:00"):
        BatchPolicy(closes=(wrong,))

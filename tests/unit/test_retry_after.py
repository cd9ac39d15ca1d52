"""`Retry-After`: whatever an organisation writes there, the answer is none, or between now and a day."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.retry_after import LONGEST, retry_after

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{1,9} [A-Z+0-9-]{1,6}"))
def test_nothing_breaks_it(value: str) -> None:
    wait = retry_after(value, NOW)
    assert wait is None or 0 <= wait <= LONGEST


@given(st.integers(0, int(LONGEST)))
def test_seconds_and_dates_ask_the_same(seconds: int) -> None:
    at = NOW + timedelta(seconds=seconds)
    assert retry_after(str(seconds), NOW) == seconds
    assert retry_after(format_datetime(at, usegmt=True), NOW) == seconds
    assert retry_after(format_datetime(at.astimezone(timezone(timedelta(hours=1)))), NOW) == seconds


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("1.5", None),
        ("1e3", None),
        ("inf", None),
        ("\u0663", None),
        ("-1", 0.0),
        (" 30 ", 30.0),
        ("86401", LONGEST),
        ("9" * 18, LONGEST),
        ("Sun, 01 Mar 2026 09:30:10 -0000", 10.0),
    ],
)
def test_forms(value: str | None, wait: float | None) -> None:
    assert retry_after(value, NOW) == wait

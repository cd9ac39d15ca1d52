"""How many the gate is asked for at once: soon when little waits, many at once when much does."""

from hypothesis import given
from hypothesis import strategies as st

from broker.delivery.line import ASK_SECONDS, worth_asking


def test_little_is_asked_for_at_once_and_much_in_handfuls() -> None:
    assert worth_asking(1, 64, 64, 0.0) == 1, "nothing is gained by waiting"
    assert worth_asking(100, 15, 64, 0.0) == 0
    assert worth_asking(100, 16, 64, 0.0) == 16
    assert worth_asking(100, 1, 64, ASK_SECONDS) == 1, "not for ever"
    assert worth_asking(100, 1, 1, 0.0) == 1, "a serial receiver waits for nobody"


@given(st.integers(0, 2000), st.integers(-5, 1024), st.integers(1, 1024), st.floats(0, 10))
def test_never_more_than_wait_or_are_free_and_never_nothing_for_long(
    waiting: int, free: int, slots: int, idle: float
) -> None:
    asked = worth_asking(waiting, free, slots, idle)
    assert 0 <= asked <= min(waiting, max(0, free))
    if idle >= ASK_SECONDS and waiting and free > 0:
        assert asked

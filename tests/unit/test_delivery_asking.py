"""How many the gate is asked for at once: soon when little waits, many at once when much does."""

from hypothesis import given
from hypothesis import strategies as st

from broker.delivery.asking import ASK_SECONDS, batch_of, worth_asking
from contracts.organisation import BatchPolicy


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


POLICY = BatchPolicy(size=10, linger_seconds=2.0)


def test_a_batch_is_sent_when_it_is_full_or_has_waited_long_enough() -> None:
    assert batch_of(25, POLICY, 0.0) == (10, 0.0)
    assert batch_of(9, POLICY, 1.5) == (0, 0.5)
    assert batch_of(9, POLICY, 2.0) == (9, 0.0)


@given(st.integers(1, 2000), st.floats(0, 10))
def test_a_batch_is_never_larger_than_may_be_and_never_waits_for_ever(waiting: int, idle: float) -> None:
    count, wait = batch_of(waiting, POLICY, idle)
    assert count <= min(waiting, POLICY.size)
    assert (count > 0) == (waiting >= POLICY.size or idle >= POLICY.linger_seconds)
    assert (wait > 0) == (count == 0)

"""What may be committed: everything below is done, whatever order it was done in."""

from hypothesis import given
from hypothesis import strategies as st

from broker.delivery.offsets import Offsets
from broker.eventlog import Partition

ONE, TWO = Partition("t", 0), Partition("t", 1)


def test_only_without_a_gap() -> None:
    offsets = Offsets()
    for offset in (5, 6, 7):
        assert offsets.took(ONE, offset)
    offsets.done(ONE, 6)
    offsets.done(ONE, 7)
    assert offsets.ready() == {ONE: 5}
    offsets.committed({ONE: 5})
    assert offsets.ready() == {}
    offsets.done(ONE, 5)
    assert offsets.ready() == {ONE: 8}


def test_a_record_fetched_again_while_it_is_worked_on_is_not_started_twice() -> None:
    offsets = Offsets()
    assert offsets.took(ONE, 3)
    assert not offsets.took(ONE, 3)
    offsets.done(ONE, 3)
    offsets.committed(offsets.ready())
    assert offsets.took(ONE, 3), "after a hand-over and back it is worked on again"
    assert offsets.ready() == {}


def test_a_lost_partition_is_forgotten_and_late_ends_of_its_work_do_no_harm() -> None:
    offsets = Offsets()
    offsets.took(ONE, 1)
    offsets.took(TWO, 9)
    offsets.forget(ONE)
    offsets.done(ONE, 1)
    offsets.committed({ONE: 2})
    assert offsets.partitions() == {TWO}
    assert ONE not in offsets.ready()


@given(st.permutations(list(range(12))), st.integers(0, 12))
def test_nothing_undone_is_ever_committed(order: list[int], count: int) -> None:
    offsets = Offsets()
    for offset in range(12):
        offsets.took(ONE, offset)
    done = set(order[:count])
    for offset in order[:count]:
        offsets.done(ONE, offset)
        upto = offsets.ready().get(ONE, 0)
        offsets.committed({ONE: upto} if upto else {})
    expected = next((offset for offset in range(12) if offset not in done), 12)
    assert max(offsets.ready().get(ONE, 0), offsets._committed.get(ONE, 0)) == expected

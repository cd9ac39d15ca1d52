"""What may be committed: everything below is done, whatever order it was done in."""

from hypothesis import given
from hypothesis import strategies as st

from broker.delivery.offsets import Offsets
from broker.eventlog import Partition, Received

ONE, TWO = Partition("t", 0), Partition("t", 1)


def took(offsets: Offsets, partition: Partition, offset: int) -> Received:
    record = Received(partition, offset, b"key", b"value")
    if offsets.began_anew(record):
        offsets.forget(partition)
    offsets.took(record)
    return record


def test_only_without_a_gap() -> None:
    offsets = Offsets()
    five, six, seven = (took(offsets, ONE, offset) for offset in (5, 6, 7))
    offsets.done(six)
    offsets.done(seven)
    assert offsets.ready() == {ONE: 5}
    offsets.committed({ONE: 5})
    assert offsets.ready() == {}
    offsets.done(five)
    assert offsets.ready() == {ONE: 8}


def test_a_partition_that_begins_anew_owes_nothing_to_what_was_read_before() -> None:
    """As when its topic was lost and made anew: the same offset is another record."""
    offsets = Offsets()
    before = [took(offsets, ONE, offset) for offset in (0, 1, 2)]
    for record in before[1:]:
        offsets.done(record)
    after = took(offsets, ONE, 0)
    offsets.done(before[0])
    offsets.committed(offsets.ready())
    assert offsets.ready() == {}, "the record that stood there before is done, not this one"
    offsets.done(after)
    assert offsets.ready() == {ONE: 1}


def test_a_lost_partition_is_forgotten_and_late_ends_of_its_work_do_no_harm() -> None:
    offsets = Offsets()
    one = took(offsets, ONE, 1)
    took(offsets, TWO, 9)
    offsets.forget(ONE)
    offsets.done(one)
    offsets.committed({ONE: 2})
    assert offsets.partitions() == {TWO}
    assert ONE not in offsets.ready()


@given(st.permutations(list(range(12))), st.integers(0, 12))
def test_nothing_undone_is_ever_committed(order: list[int], count: int) -> None:
    offsets = Offsets()
    records = [took(offsets, ONE, offset) for offset in range(12)]
    done = set(order[:count])
    for offset in order[:count]:
        offsets.done(records[offset])
        upto = offsets.ready().get(ONE, 0)
        offsets.committed({ONE: upto} if upto else {})
    expected = next((offset for offset in range(12) if offset not in done), 12)
    assert max(offsets.ready().get(ONE, 0), offsets._committed.get(ONE, 0)) == expected

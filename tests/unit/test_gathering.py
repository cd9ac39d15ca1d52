"""Rows of a closed batch: whole, in their order, one copy at a time, and not waited for for ever."""

from hypothesis import given
from hypothesis import strategies as st

from broker.delivery.gathering import GATHER_SECONDS, Gathering
from broker.eventlog import Partition, Received
from contracts.batches import Place

HERE, THERE = Partition("t", 0), Partition("t", 1)


def record(number: int, partition: Partition = HERE) -> Received:
    return Received(partition, number, b"", b"")


@given(st.permutations(range(1, 8)))
def test_a_batch_is_ready_when_its_last_row_has_come_and_comes_in_order(rows: list[int]) -> None:
    gathering = Gathering()
    for come, row in enumerate(rows):
        assert not gathering.ready(0.0)
        assert gathering.take(0.0) == []
        assert len(gathering) == come
        gathering.put(record(row), Place("a", row, 7), 0.0)
    assert [one.offset for one in gathering.take(0.0)] == list(range(1, 8))
    assert len(gathering) == 0


def test_a_row_that_comes_twice_is_of_another_copy() -> None:
    gathering = Gathering()
    for offset, row in enumerate((1, 1, 2, 2)):
        gathering.put(record(offset), Place("a", row, 2), 0.0)
    assert [one.offset for one in gathering.take(0.0)] == [0, 2]
    assert [one.offset for one in gathering.take(0.0)] == [1, 3]


def test_what_is_not_whole_is_given_out_when_nothing_has_come_for_long() -> None:
    gathering = Gathering()
    gathering.put(record(1), Place("a", 1, 3), 0.0)
    gathering.put(record(2), Place("a", 2, 3), 5.0)
    assert not gathering.ready(4.9 + GATHER_SECONDS)
    assert [one.offset for one in gathering.take(5.0 + GATHER_SECONDS)] == [1, 2]
    assert not gathering.ready(100.0)


def test_what_comes_from_a_lost_partition_is_forgotten() -> None:
    gathering = Gathering()
    gathering.put(record(1, HERE), Place("a", 1, 2), 0.0)
    gathering.put(record(2, THERE), Place("b", 1, 2), 0.0)
    assert gathering.largest == 2
    gathering.lost(HERE)
    assert len(gathering) == 1
    gathering.put(record(3, THERE), Place("b", 2, 2), 0.0)
    assert [one.offset for one in gathering.take(0.0)] == [2, 3]
    assert gathering.largest == 0

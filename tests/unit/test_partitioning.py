"""Keys go where every client of Kafka would put them."""

from aiokafka.partitioner import murmur2
from hypothesis import example, given
from hypothesis import strategies as st

from broker.eventlog.partitioning import partition_of


@given(st.binary(max_size=80), st.integers(1, 1000))
@example(b"", 7)
@example(b"\xff" * 7, 3)
def test_a_key_falls_to_the_partition_that_kafkas_default_partitioner_names(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions


def test_keys_of_which_kafkas_own_tests_know_the_hash() -> None:
    """`UtilsTest.testMurmur2` of Apache Kafka."""
    known = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    for key, hashed in known.items():
        assert partition_of(key, 2**31) == hashed & 0x7FFFFFFF

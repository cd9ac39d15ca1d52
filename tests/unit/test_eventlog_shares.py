"""The pure parts of the log in PostgreSQL."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from broker.eventlog.postgres import pack
from broker.eventlog.postgres_consumer import share, unpack

ids = st.integers(1, 10_000)


@given(st.lists(st.tuples(st.text(), st.binary())))
def test_headers_come_back_as_they_were(headers: list[tuple[str, bytes]]) -> None:
    encodable = tuple((name.encode(errors="ignore").decode(), value) for name, value in headers)
    assert unpack(pack(encodable)) == encodable


@given(
    st.dictionaries(ids, st.lists(ids, min_size=1, max_size=5, unique=True).map(sorted), min_size=1, max_size=8),
    st.data(),
)
def test_every_partition_falls_to_exactly_one_member_of_its_topic(
    members: dict[int, list[int]], data: st.DataObject
) -> None:
    counts = {topic: data.draw(st.integers(1, 7)) for topic in members}
    partitions = {topic: [topic * 100 + number for number in range(count)] for topic, count in counts.items()}
    shares = {one: share(one, members, partitions) for one in {pid for pids in members.values() for pid in pids}}
    fallen = Counter(partition for these in shares.values() for partition in these)
    assert fallen == Counter(one for these in partitions.values() for one in these)
    for topic, pids in members.items():
        sizes = [len(set(shares[pid]) & set(partitions[topic])) for pid in pids]
        assert max(sizes) - min(sizes) <= 1
        assert all(not set(shares[pid]) & set(partitions[topic]) for pid in shares.keys() - set(pids))


def test_one_partition_topics_do_not_all_fall_to_the_first_member() -> None:
    topics = range(1, 11)
    shares = [
        len(share(pid, {topic: [7, 9] for topic in topics}, {topic: [topic] for topic in topics})) for pid in (7, 9)
    ]
    assert shares == [5, 5]

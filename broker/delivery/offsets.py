"""Which offsets may be committed: only what is done without a gap below it."""

from broker.eventlog import Offset, Partition


class Offsets:
    """The records of owned partitions, from fetched to done."""

    def __init__(self) -> None:
        self._open: dict[Partition, set[Offset]] = {}
        self._next: dict[Partition, Offset] = {}
        self._committed: dict[Partition, Offset] = {}

    def took(self, partition: Partition, offset: Offset) -> bool:
        """Note a fetched record; return False if it is already being worked on here."""
        waiting = self._open.setdefault(partition, set())
        if offset in waiting:
            return False
        waiting.add(offset)
        if offset < self._committed.get(partition, 0):
            self._committed[partition] = offset  # the partition came back from further behind
        self._next[partition] = max(offset + 1, self._next.get(partition, 0))
        return True

    def done(self, partition: Partition, offset: Offset) -> None:
        """Note that the record's receipt is durable."""
        self._open.get(partition, set()).discard(offset)

    def forget(self, partition: Partition) -> None:
        """The partition belongs to somebody else now."""
        self._open.pop(partition, None)
        self._next.pop(partition, None)
        self._committed.pop(partition, None)

    def partitions(self) -> frozenset[Partition]:
        return frozenset(self._next)

    def ready(self) -> dict[Partition, Offset]:
        """Return, for each partition that moved, the offset below which everything is done."""
        upto = {
            partition: min(self._open[partition]) if self._open.get(partition) else after
            for partition, after in self._next.items()
        }
        return {partition: offset for partition, offset in upto.items() if offset > self._committed.get(partition, -1)}

    def committed(self, upto: dict[Partition, Offset]) -> None:
        for partition, offset in upto.items():
            if partition in self._next:
                self._committed[partition] = offset

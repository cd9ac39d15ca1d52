"""Which offsets may be committed: only what is done without a gap below it."""

from broker.eventlog import Offset, Partition, Received


class Offsets:
    """The records of owned partitions, from fetched to done."""

    def __init__(self) -> None:
        self._open: dict[Partition, dict[Offset, Received]] = {}
        self._next: dict[Partition, Offset] = {}
        self._committed: dict[Partition, Offset] = {}

    def began_anew(self, record: Received) -> bool:
        """Return whether its partition is read again from further behind: `forget` what was read before.

        After a hand-over and back, after offsets were lost, or because its topic was lost and made anew: then an offset
        names another record than before.
        """
        return record.offset < self._next.get(record.partition, 0)

    def took(self, record: Received) -> None:
        """Note a fetched record."""
        self._open.setdefault(record.partition, {})[record.offset] = record
        self._next[record.partition] = record.offset + 1

    def done(self, record: Received) -> None:
        """Note that its receipt is durable. Of one that was forgotten since, nothing is noted."""
        waiting = self._open.get(record.partition, {})
        if waiting.get(record.offset) is record:
            del waiting[record.offset]

    def forget(self, partition: Partition) -> None:
        """The partition belongs to somebody else now, or is read anew."""
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

"""Rows of closed batches as they come out of the log, until a batch is whole: it goes out whole or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from broker.eventlog import Partition, Received
from contracts.batches import Place

GATHER_SECONDS: Final = 10.0
"""A batch of which no row has come for so long is not waited for: the rest is no longer in the log, or was read before."""


@dataclass(slots=True)
class _Copy:
    """One copy of a batch; a relay that was taken for dead may have appended another."""

    wanted: int
    rows: dict[int, Received] = field(default_factory=dict)
    last: float = 0.0

    def ready(self, now: float) -> bool:
        return len(self.rows) == self.wanted or now - self.last >= GATHER_SECONDS


class Gathering:
    """The rows one line holds. Times are a loop's."""

    def __init__(self) -> None:
        self._copies: dict[str, list[_Copy]] = {}

    def __len__(self) -> int:
        """Return how many rows are held."""
        return sum(len(copy.rows) for copies in self._copies.values() for copy in copies)

    @property
    def largest(self) -> int:
        """How many rows the largest batch here has when it is whole."""
        return max((copy.wanted for copies in self._copies.values() for copy in copies), default=0)

    def put(self, received: Received, place: Place, now: float) -> None:
        """Take a row in; one that is there already begins another copy of its batch."""
        copies = self._copies.setdefault(place.batch, [])
        copy = next((one for one in copies if place.row not in one.rows and one.wanted == place.rows), None)
        if copy is None:
            copy = _Copy(place.rows)
            copies.append(copy)
        copy.rows[place.row], copy.last = received, now

    def ready(self, now: float) -> bool:
        """Return whether there is a batch that is whole, or not to be waited for any longer."""
        return any(copy.ready(now) for copies in self._copies.values() for copy in copies)

    def take(self, now: float) -> Sequence[Received]:
        """Return the rows of the first that is ready, in their order; it may lack some. Nothing, if none is."""
        for batch, copies in self._copies.items():
            for copy in copies:
                if copy.ready(now):
                    copies.remove(copy)
                    if not copies:
                        del self._copies[batch]
                    return [copy.rows[row] for row in sorted(copy.rows)]
        return []

    def lost(self, partition: Partition) -> None:
        """Forget what came from a partition that is somebody else's now."""
        for batch, copies in list(self._copies.items()):
            for copy in copies:
                copy.rows = {row: item for row, item in copy.rows.items() if item.partition != partition}
            self._copies[batch] = [copy for copy in copies if copy.rows]
            if not self._copies[batch]:
                del self._copies[batch]

    def clear(self) -> None:
        self._copies.clear()

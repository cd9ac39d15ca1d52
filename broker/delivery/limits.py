"""How much an organisation is sent: its share of this worker, its pace, and how much of that may be tries again.

Only decisions, in whatever time they are given.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

BURST_SECONDS: Final = 0.1
"""What a pace allows at once after a rest, in seconds' worth, and at least one."""
SAVED_RETRIES: Final = 100.0
"""Retries that a long run of first tries may save up for."""
RESERVED_RETRIES: Final = 10.0
"""Retries that are there at the start, and come back at one a second: a system that is only tried again gets on too."""


def share_of(most: int, owned: int, partitions: int) -> int:
    """Return how much of `most` falls to a worker that owns so many of the partitions: at least one, where it owns any.

    Shares of all workers together are at most `most`, as long as that is not below the number of partitions.
    """
    return min(most, max(1, most * owned // max(partitions, owned))) if owned else 0


def places_of(most: int, owned: Collection[int], partitions: int, turn: int) -> int:
    """Return how many of `most` places fall to a worker that owns these partitions: none, where there are too few.

    Places go round the partitions, from the `turn`-th on, so that those of all workers together are exactly `most`.
    """
    around = max(partitions, *(number + 1 for number in owned), 1)
    return sum((most - 1 - (number - turn) % around) // around + 1 for number in owned)


@dataclass(frozen=True, slots=True)
class Pace:
    """A bucket of leave to send, as of a moment. Starts with one."""

    tokens: float = 1.0
    at: float = 0.0

    def later(self, now: float, rate: float) -> "Pace":
        """Return the bucket as it is `now`, filled at `rate` a second."""
        gone = max(0.0, now - self.at)
        return Pace(min(self.tokens + gone * rate, max(1.0, rate * BURST_SECONDS)), now)

    def less(self, count: int) -> "Pace":
        return Pace(self.tokens - count, self.at)

    def ready(self) -> int:
        """Return for how many there is leave now."""
        return max(0, int(self.tokens + 1e-9))

    def wait(self, rate: float) -> float:
        """Return in how many seconds there is leave for one."""
        return max(0.0, (1.0 - self.tokens) / rate)


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """Leave to try again: earned by first tries, so that retries stay below a share of what a system is sent."""

    tokens: float = RESERVED_RETRIES
    at: float = 0.0

    def tried(self, share: float) -> "RetryBudget":
        """Return the budget after a first try: `share` of all traffic may be retries."""
        return RetryBudget(min(self.tokens + share / (1.0 - share), SAVED_RETRIES), self.at)

    def retried(self, now: float) -> "RetryBudget | None":
        """Return the budget after a retry, None where there is no leave for one."""
        reserve = min(self.tokens + max(0.0, now - self.at), RESERVED_RETRIES)
        tokens = max(self.tokens, reserve)
        return RetryBudget(tokens - 1.0, now) if tokens >= 1.0 else None

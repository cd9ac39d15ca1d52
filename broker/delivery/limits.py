"""How much an organisation is sent: its share of this worker, its pace, and how much of that may be tries again.

Only decisions, in whatever time they are given.
"""

import math
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

BURST_SECONDS: Final = 0.1
"""What a pace allows at once after a rest, in seconds' worth, and at least one."""
SAVED_RETRIES: Final = 100.0
"""Retries that a long run of first tries may save up for."""
RESERVED_RETRIES: Final = 10.0
"""Retries that are there at the start, and come back at one a second: a system that is only tried again gets on too."""

LATELY_SECONDS: Final = 30.0
"""Over so long it is looked at how much leave to try again is earned."""
SOONEST_SECONDS: Final = 30.0
LATEST_SECONDS: Final = 900.0
"""A retry for which there was no leave is due again after no less, and no more."""


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
    """A bucket of leave to send, as of a moment, filled at `rate` a second; None for no limit. Starts with one."""

    tokens: float = 1.0
    at: float = 0.0
    rate: float | None = None

    def later(self, now: float, rate: float | None) -> "Pace":
        """Return the bucket as it is `now`, filled at `rate` a second.

        What went while there was no limit is not held against what comes once there is one.
        """
        if rate is None or self.rate is None:
            return Pace(1.0, now, rate)
        gone = max(0.0, now - self.at)
        return Pace(min(self.tokens + gone * rate, max(1.0, rate * BURST_SECONDS)), now, rate)

    def less(self, count: int) -> "Pace":
        return replace(self, tokens=self.tokens - count)

    def ready(self) -> int:
        """Return for how many there is leave now."""
        return sys.maxsize if self.rate is None else max(0, int(self.tokens + 1e-9))

    def wait(self) -> float:
        """Return in how many seconds there is leave for one; never, for whoever owns no partition any more."""
        if self.rate is None:
            return 0.0
        return max(0.0, (1.0 - self.tokens) / self.rate) if self.rate else math.inf


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """Leave to try again: earned by first tries, so that retries stay below a share of what a system is sent.

    A retry that comes when there is none is told when its turn will be, each later than the one before: so that
    however many wait, hardly one comes in vain twice.
    """

    tokens: float = RESERVED_RETRIES
    at: float = 0.0
    earned: float = 0.0
    """Leave a second that first tries have earned of late, as of `earned_at`."""
    earned_at: float = 0.0
    turn: float = 0.0
    """When the last that came in vain was told to come again."""

    def tried(self, share: float, now: float, count: int = 1) -> "RetryBudget":
        """Return the budget after so many first tries: `share` of all traffic may be retries."""
        leave = count * share / (1.0 - share)
        return replace(
            self,
            tokens=min(self.tokens + leave, SAVED_RETRIES),
            earned=self._earned(now) + leave / LATELY_SECONDS,
            earned_at=now,
        )

    def retried(self, now: float) -> "RetryBudget | None":
        """Return the budget after a retry, None where there is no leave for one."""
        reserve = min(self.tokens + max(0.0, now - self.at), RESERVED_RETRIES)
        tokens = max(self.tokens, reserve)
        return replace(self, tokens=tokens - 1.0, at=now) if tokens >= 1.0 else None

    def put_off(self, now: float) -> "RetryBudget":
        """Return the budget after a retry for which there was no leave; `turn` is when it is to come again.

        Not before `SOONEST_SECONDS` from now, when more may be known, and at most `LATEST_SECONDS`: leave that many
        new first tries earn is not to lie idle for hours.
        """
        turn = max(self.turn, now + SOONEST_SECONDS) + 1.0 / (1.0 + self._earned(now))
        return replace(self, turn=min(turn, now + LATEST_SECONDS))

    def _earned(self, now: float) -> float:
        return self.earned * math.exp(min(0.0, self.earned_at - now) / LATELY_SECONDS)

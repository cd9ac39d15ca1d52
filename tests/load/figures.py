"""Figures and how they are drawn from samples."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    name: str
    """Stable: by it a run is compared with the one before. `postgres.accept.rate`."""
    value: float
    unit: str
    better: Better
    goal: float | None = None
    floor: str | None = None
    """The name of the figure that bounds this one from below (time) or above (rate)."""

    def reached(self) -> bool | None:
        """Return whether the goal is reached, None where there is none."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the smallest sample that at least `share` (0 to 1) of the samples do not exceed; NaN without samples."""
    if not samples:
        return math.nan
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def steady_rate(moments: Sequence[float], trim: float = 0.05) -> float:
    """Return events a second between the first and the last `trim` of them; NaN for fewer than a hundred."""
    ordered = sorted(moments)
    cut = int(len(ordered) * trim)
    inner = ordered[cut : len(ordered) - cut]
    if len(inner) < 100 or inner[-1] <= inner[0]:
        return math.nan
    return (len(inner) - 1) / (inner[-1] - inner[0])


def median_within(samples: Sequence[float], sure: float = 0.95) -> tuple[float, float, float]:
    """Return the median, and between which samples that of all there could be lies, with at least that certainty.

    By signs (order statistics) alone: nothing is supposed of how they are spread. Of too few samples it is between the
    smallest and the largest, which is less sure: below six samples.
    """
    ordered = sorted(samples)
    count = len(ordered)
    outside, beyond = 0, 0.5**count
    while beyond + math.comb(count, outside + 1) * 0.5**count <= (1 - sure) / 2 and outside + 1 < count / 2:
        outside += 1
        beyond += math.comb(count, outside) * 0.5**count
    return statistics.median(ordered), ordered[outside], ordered[-1 - outside]

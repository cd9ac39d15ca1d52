"""Charts as SVG, drawn here: numbers in, coordinates out. A table with the same numbers stands beneath each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 180
LEFT: Final = 50
BELOW: Final = 24


@dataclass(frozen=True, slots=True)
class Lines:
    """Several series over the same steps."""

    points: tuple[str, ...]
    """For each series the `points` of a polyline."""
    top: int
    """The value of the upper edge."""


def lines(series: Sequence[Sequence[int]]) -> Lines:
    """Return series of equal length scaled to one axis from zero."""
    top = rounded_up(max((value for values in series for value in values), default=0))
    return Lines(tuple(_points(values, top) for values in series), top)


def _points(values: Sequence[int], top: int) -> str:
    step = (WIDTH - LEFT) / max(1, len(values) - 1)
    tall = HEIGHT - BELOW
    return " ".join(
        f"{LEFT + step * place:.1f},{tall - (tall - 8) * value / top:.1f}" for place, value in enumerate(values)
    )


def rounded_up(value: int) -> int:
    """Return the next of 4, 10, 20, 50, 100, 200, 500 and so on: an axis one can read."""
    if value <= 4:  # noqa: PLR2004  the least that makes an axis
        return 4
    size = 10
    while True:
        for factor in (1, 2, 5):
            if value <= factor * size:
                return factor * size
        size *= 10


def bar(value: int, top: int, width: int) -> float:
    """Return how long a bar is; what is not nothing can be seen."""
    return max(2.0, round(width * value / top, 1)) if value and top else 0.0

"""Cut-offs: the times of a day at which what is owed is closed into batches, as a clock on a wall in Wales shows them.

What falls due goes with the first cut-off from then on. A cut-off is the first moment of its day at which such a clock
shows it or later: on the night the clocks go forward one that does not come is when they do, on the night they go back
one that comes twice is the first of the two.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator

from contracts.times import WALES, day_in_wales

_CLOSING: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_DAY: Final = timedelta(days=1)


def _checked(closing: str) -> str:
    if _CLOSING.fullmatch(closing) is None:
        raise ValueError("a cut-off is written HH:MM, such as 18:00")
    return closing


Closing = Annotated[str, AfterValidator(_checked)]
"""`HH:MM` in Welsh local time."""


def latest(closings: Iterable[str], now: datetime) -> datetime:
    """Return the last cut-off that is not after `now` (aware), in UTC. There is at least one a day."""
    today = day_in_wales(now)
    return max(at for closing in closings for day in (today, today - _DAY) if (at := _moment(closing, day)) <= now)


def following(closings: Iterable[str], since: datetime) -> datetime:
    """Return the first cut-off that is not before `since` (aware), in UTC."""
    today = day_in_wales(since)
    return min(at for closing in closings for day in (today, today + _DAY) if (at := _moment(closing, day)) >= since)


def day_of(at: datetime) -> datetime:
    """Return when the day began on which `at` (aware) is, in Wales; in UTC."""
    return _moment("00:00", day_in_wales(at))


@lru_cache(maxsize=1024)
def _moment(closing: str, day: date) -> datetime:
    """Return when a clock first shows `closing` or later on `day`."""
    wall = datetime.combine(day, time.fromisoformat(closing))
    at = min(wall.replace(tzinfo=WALES, fold=fold).astimezone(UTC) for fold in (0, 1))
    while at.astimezone(WALES).replace(tzinfo=None) < wall:  # within an hour that does not come: up to its end
        at += timedelta(minutes=1)
    return at

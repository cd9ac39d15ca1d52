"""Delivery windows: the hours of a day in which an organisation takes deliveries, as a clock on a wall in Wales shows.

`22:00-06:00` lasts from the evening into the morning. The end is not part of it. On the night the clocks go forward a
time that does not come is passed over; on the night they go back one that comes twice counts both times.
"""

import re
from collections.abc import Iterable
from datetime import datetime, time
from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator

from contracts.times import WALES

_WINDOW: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")


@lru_cache(maxsize=1024)
def hours(window: str) -> tuple[time, time]:
    """Return when a window begins and ends. Raises ValueError for one that is not written HH:MM-HH:MM, or is empty."""
    found = _WINDOW.fullmatch(window)
    if found is None:
        raise ValueError("a window is written HH:MM-HH:MM, such as 22:00-06:00")
    from_hour, from_minute, to_hour, to_minute = map(int, found.groups())
    begins, ends = time(from_hour, from_minute), time(to_hour, to_minute)
    if begins == ends:
        raise ValueError("a window that begins when it ends is none; leave it out to deliver at any time")
    return begins, ends


def _checked(window: str) -> str:
    hours(window)
    return window


Window = Annotated[str, AfterValidator(_checked)]
"""`HH:MM-HH:MM` in Welsh local time."""


def is_open(windows: Iterable[str], now: datetime) -> bool:
    """Return whether any window is open at `now` (aware); with none given, always."""
    known = [hours(window) for window in windows]
    if not known:
        return True
    shown = now.astimezone(WALES).time()
    return any(begins <= shown < ends if begins < ends else shown >= begins or shown < ends for begins, ends in known)

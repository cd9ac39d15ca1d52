"""The time, as a value that can be given."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns now, aware, in UTC."""


def utc_now() -> datetime:
    return datetime.now(UTC)

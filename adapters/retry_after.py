"""The `Retry-After` header (RFC 9110, section 10.2.3), as organisations really send it."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST: Final = 24 * 3600.0
"""Seconds. Whoever asks for more is asked again after a day."""

_WHOLE_SECONDS: Final = re.compile(r"-?[0-9]{1,18}")


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the wait asked for, in seconds from 0 to a day; None where nothing sensible is asked.

    Takes whole seconds or an HTTP date; a negative number or a date gone by is 0.
    """
    text = (value or "").strip()
    if _WHOLE_SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST)

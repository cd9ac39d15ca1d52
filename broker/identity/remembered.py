"""What was verified a moment ago, so that a caller's next request need not pay for a signature again."""

import hashlib
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

LONGEST: Final = timedelta(seconds=60)
"""How long a withdrawn key may still be believed because of this memory."""

Caller = TypeVar("Caller")


class Remembered(Generic[Caller]):
    """Callers by the SHA-256 of their token: at most `size`, the longest unused forgotten first.

    Holds no token, so a copy of the process's memory gives none away. For one event loop.
    """

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._callers: OrderedDict[bytes, tuple[Caller, datetime]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._callers)

    def recall(self, token: str, now: datetime) -> Caller | None:
        """Return the caller of `token` if it was verified less than LONGEST ago and has not expired."""
        key = _digest(token)
        entry = self._callers.get(key)
        if entry is None:
            return None
        caller, until = entry
        if now >= until:
            del self._callers[key]
            return None
        self._callers.move_to_end(key)
        return caller

    def remember(self, token: str, caller: Caller, *, expires: datetime, now: datetime) -> None:
        """Keep `caller`, for LONGEST but never past `expires`."""
        while self._callers:  # what has lapsed goes first: it may hold a person's name
            oldest = next(iter(self._callers))
            if len(self._callers) < self._size and now < self._callers[oldest][1]:
                break
            del self._callers[oldest]
        until = min(now + LONGEST, expires)
        if now < until:
            self._callers[_digest(token)] = (caller, until)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

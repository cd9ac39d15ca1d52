"""Values that are forgotten by themselves."""

from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

V = TypeVar("V")


class Expiring(Generic[V]):
    """Values by key, each until its time. In memory: a restart forgets them, as it ends every sign-in under way.

    Used by one event loop; no method waits, so each is atomic to the others.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[datetime, V]] = {}

    def add(self, key: str, value: V, *, until: datetime, now: datetime) -> bool:
        """Keep `value`. Return False, changing nothing, if `key` is still kept."""
        self._forget(now)
        kept = self._kept.get(key)
        if kept and kept[0] > now:
            return False
        self._kept.pop(key, None)  # so that it is put at the end
        self._kept[key] = (until, value)
        return True

    def get(self, key: str, now: datetime) -> V | None:
        entry = self._kept.get(key)
        return entry[1] if entry and entry[0] > now else None

    def take(self, key: str, now: datetime) -> V | None:
        """Return the value and forget it: the second caller gets None."""
        value = self.get(key, now)
        self._kept.pop(key, None)
        return value

    def drop(self, doomed: Callable[[V], bool]) -> None:
        self._kept = {key: entry for key, entry in self._kept.items() if not doomed(entry[1])}

    def _forget(self, now: datetime) -> None:
        # entries of one store live about equally long, so the expired stand at the front
        while self._kept:
            key = next(iter(self._kept))
            if self._kept[key][0] > now:
                break
            del self._kept[key]

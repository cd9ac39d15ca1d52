"""What a log promises, whichever it is."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, Protocol


class LogUnavailable(Exception):  # noqa: N818  it tells the caller what holds, not what broke
    """The log did not take or give records within its time limit. Nothing may be assumed about the batch."""


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


Offset = int
"""Position in a partition, from 0."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is appended. Records of one topic with the same key keep their order."""

    topic: str
    key: bytes
    value: bytes = field(repr=False)
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Received:
    """What is read back, with where it stood."""

    partition: Partition
    offset: Offset
    key: bytes
    value: bytes = field(repr=False)
    headers: tuple[tuple[str, bytes], ...] = ()


class Consumer(Protocol):
    """One member of a consumer group, entered by `async with`. Used by one task at a time."""

    async def fetch(self, limit: int, wait: timedelta) -> Sequence[Received]:
        """Return at most `limit` records in partition order, at once if there are any, else after `wait`.

        A record is returned again to some member of the group after a restart or a hand-over unless its offset
        was committed. Raises LogUnavailable.
        """
        ...

    async def commit(self, upto: Mapping[Partition, Offset]) -> None:
        """Record, durably, that everything **below** each offset is done.

        A partition this member no longer owns is left alone, silently: its new owner decides. So is an offset beyond
        what this member was given since it came to own the partition: it was read under an earlier assignment, perhaps
        of another topic of that name.
        Raises LogUnavailable.
        """
        ...

    async def follow(self, topics: Collection[str]) -> None:
        """Be a member on exactly these topics from now on, at least one; they must exist. Pauses hold.

        Partitions of topics that stay may be taken away for a moment and given back, as when somebody joins.
        Raises LogUnavailable.
        """
        ...

    def pause(self, topic: str) -> None:
        """Give no more records of `topic` until `resume`; ownership is kept."""
        ...

    def resume(self, topic: str) -> None: ...

    def owned(self) -> frozenset[Partition]:
        """Return the partitions this member owns now; work on others is somebody else's."""
        ...


class EventLog(Protocol):
    """A log. Safe for use by many tasks."""

    async def append(self, records: Sequence[Record]) -> None:
        """Make all records durable, keeping the order per topic and key.

        On LogUnavailable some may be in the log: appending again may repeat them, never reorder one key.
        Raises ValueError, before anything is sent, for a record that is too large or a topic nobody declared.
        """
        ...

    def consumer(self, topics: Collection[str], group: str) -> AbstractAsyncContextManager[Consumer]:
        """Join `group` on `topics`. A group that is new begins at the oldest record."""
        ...

    async def ensure(self, topics: Mapping[str, int]) -> None:
        """Create the topics that do not exist, with so many partitions and the retention of `contracts.topics`."""
        ...

    async def ready(self) -> bool:
        """Return whether the log answers now, within two seconds."""
        ...

    async def close(self) -> None: ...

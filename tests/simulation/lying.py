"""Mailboxes as they are stored: the rows of `mailbox` and `mailbox_end`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from broker.store.mailbox import Lying


@dataclass(slots=True)
class Letter:
    """A row of `mailbox`."""

    organisation: str
    epoch: int
    place: int
    alarm_at: datetime
    fetched_at: datetime | None = None


@dataclass
class Mailboxes:
    """Everything that lies for organisations that come for it."""

    letters: dict[UUID, Letter] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)

    def place(self, organisation: str, laid: Sequence[tuple[UUID, int, timedelta]], now: datetime) -> None:
        """Do what `_PLACE` does."""
        for delivery_id, epoch, alarm_after in laid:
            there = self.letters.get(delivery_id)
            if there is None or there.epoch < epoch:
                place = self.ends[organisation] = self.ends.get(organisation, 0) + 1
                self.letters[delivery_id] = Letter(organisation, epoch, place, now + alarm_after)

    def look(self, organisation: str, lies: Callable[[UUID, int], bool]) -> list[Lying]:
        """Return what `_LYING` finds in a mailbox, in order; `lies` says of a delivery whether it is still open so."""
        found = [
            Lying(one, letter.epoch, letter.place, letter.fetched_at is not None)
            for one, letter in self.letters.items()
            if letter.organisation == organisation and lies(one, letter.epoch)
        ]
        return sorted(found, key=lambda item: item.place)

    def fetched(self, delivery_ids: Iterable[UUID], now: datetime) -> list[UUID]:
        """Note that these are handed out; return which of them were not before."""
        first = [one for one in delivery_ids if one in self.letters and self.letters[one].fetched_at is None]
        for one in first:
            self.letters[one].fetched_at = now
        return first

    def clear(self, done: Callable[[UUID], bool]) -> None:
        self.letters = {one: letter for one, letter in self.letters.items() if not done(one)}

"""Holds as they are stored, and what registrars said: the rows of `hold` and `confirmation`.

What a hold does to the deliveries of its change stands in `tables`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID, uuid4

from broker.store.holds import Answered, HoldRow, Placed
from contracts.holds import HoldOutcome, HoldReason


@dataclass(slots=True)
class Hold:
    """A row of `hold`."""

    row: HoldRow
    registration: bytes | None
    fact: bytes | None


@dataclass
class Holds:
    """Every hold there ever was, and every registrar's word."""

    rows: dict[UUID, Hold] = field(default_factory=dict)
    confirmations: dict[tuple[str, bytes], tuple[int, frozenset[bytes]]] = field(default_factory=dict)
    """What was said by a registrar of an entry, and when, in the order of things said."""
    _said: int = 0

    def open_of(self, change_id: UUID) -> list[Hold]:
        return [one for one in self._open() if one.row.change_id == change_id]

    def _open(self) -> Iterator[Hold]:
        return (one for one in self.rows.values() if one.row.ended_at is None)

    def place(self, change_id: UUID, person_id: int, holds: Iterable[Placed], now: datetime) -> list[UUID]:
        """Place these, but for those of which one of their reason is open; return the ids of those placed."""
        placed = []
        for one in holds:
            if any(other.row.reason is one.reason for other in self.open_of(change_id)):
                continue
            row = HoldRow(
                id=one.id,
                change_id=change_id,
                person_id=person_id,
                reason=one.reason,
                placed_at=now,
                until=one.until,
                ended_at=None,
                outcome=None,
                decided_by=None,
                why=None,
            )
            self.rows[one.id] = Hold(row, one.registration, one.fact)
            placed.append(one.id)
        return placed

    def carried_over(self, corrected: UUID) -> list[Placed]:
        """Return what `carry_over` places on the change that replaces this one."""
        return [
            Placed(id=uuid4(), reason=one.row.reason, until=one.row.until, registration=one.registration, fact=one.fact)
            for one in self.open_of(corrected)
        ]

    def end(self, hold_id: UUID, outcome: HoldOutcome, by: str, why: str | None, now: datetime) -> None:
        """Do what `end` does to one that is open."""
        hold = self.rows[hold_id]
        hold.row = replace(hold.row, ended_at=now, outcome=outcome, decided_by=by, why=why)

    def erased(self, person_id: int, now: datetime) -> None:
        """Do what the trigger `person_erased` does."""
        for one in self._open():
            if one.row.person_id == person_id:
                one.row = replace(one.row, until=now)

    def over(self, now: datetime) -> list[HoldRow]:
        found = [
            (one.row.until, one.row.placed_at, one.row.id, one.row)
            for one in self._open()
            if one.row.until is not None and one.row.until <= now
        ]
        return [row for *_, row in sorted(found, key=lambda item: item[:3])]

    def confirm(self, organisation: str, registration: bytes, facts: Sequence[bytes]) -> None:
        self._said += 1
        self.confirmations[organisation, registration] = self._said, frozenset(facts)

    def answered(self) -> list[Answered]:
        found = []
        for hold in sorted(self._open(), key=lambda one: (one.row.placed_at, one.row.id)):
            if hold.row.reason is not HoldReason.AWAITS_REGISTRAR:
                continue
            said = sorted(
                (hold.fact not in facts, at, organisation)
                for (organisation, registration), (at, facts) in self.confirmations.items()
                if registration == hold.registration
            )
            looked_at = any(one.row.reason is HoldReason.REGISTRAR_DIFFERS for one in self.open_of(hold.row.change_id))
            if said and (not said[0][0] or not looked_at):
                agrees = not said[0][0]
                found.append(
                    Answered(hold_id=hold.row.id, change_id=hold.row.change_id, organisation=said[0][2], agrees=agrees)
                )
        return found

    def differs(self, hold_id: UUID) -> None:
        """Do what `differs` does to one that awaits a registrar."""
        hold = self.rows[hold_id]
        hold.row = replace(hold.row, reason=HoldReason.REGISTRAR_DIFFERS)

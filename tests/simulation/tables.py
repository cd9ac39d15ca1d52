"""The rows the delivery engine works on, in memory, and what each of the store's statements does to them.

A twin of the SQL in `broker/store`, statement by statement; `test_conformance.py` holds the two against each other.
Nothing here waits: locks and transactions are in `store`.
"""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from broker.store.changes import Owed, Told
from broker.store.holds import HoldRow
from broker.store.lanes import AtTheGate, Claimed, Numbered
from broker.store.mailbox import Lying
from broker.store.receipts import Entry, LeftSuperseded, SetAside, Settled, Touched
from broker.store.replays import Candidate, Replay
from broker.store.withdrawals import OwedBack, Sent, TakingBack
from contracts.agreement import Agreement
from contracts.breaker import Breaker, Phase
from contracts.holds import HoldOutcome, HoldReason
from contracts.organisation import Organisation
from tests.simulation.held import Holds
from tests.simulation.lying import Mailboxes

LaneKey = tuple[int, str]
"""Person and organisation."""

UNSENT: Final = frozenset({"waiting", "queued"})
HOLDING: Final = frozenset({Phase.OPEN, Phase.PROBING})
OPEN: Final = UNSENT | {"published"}
NEVER: Final = datetime.max.replace(tzinfo=UTC)
"""PostgreSQL's infinity, as it is read."""


@dataclass(slots=True)
class Lane:
    """A row of `lane`."""

    subject: str
    due: datetime | None
    last_sequence: int = 0
    occupant: UUID | None = None
    in_flight: bool = False
    claim: int = 0
    granted_until: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Row:
    """A row of `delivery`, with its content."""

    owed: Owed
    change_id: UUID
    person_id: int
    ordinal: int
    type: str
    generation: int
    status: str
    due: datetime
    accepted_at: datetime
    held_due: datetime | None = None
    epoch: int = 0
    sequence: int | None = None
    attempts: int = 0
    unknowns: int = 0
    published_at: datetime | None = None
    answered_at: datetime | None = None
    replayed_at: datetime | None = None
    reason: str | None = None
    reference: str | None = None

    @property
    def lane(self) -> LaneKey:
        return self.person_id, self.owed.organisation

    @property
    def kind(self) -> tuple[str, str, bytes | None]:
        """Of two of one kind the newer may be all that matters."""
        return self.owed.agreement, self.type, self.owed.newest_of

    @property
    def ended_unsent(self) -> bool:
        """It is over, and nobody was sent it."""
        ours = self.status == "cancelled" or (self.status == "superseded" and self.reason == "superseded")
        return self.unknowns == 0 and ours


def _comes_before(earlier: Row, this: Row) -> bool:
    """Return whether a delivery is of an earlier change of the same person and type."""
    return (earlier.person_id, earlier.type) == (this.person_id, this.type) and earlier.ordinal < this.ordinal


@dataclass(slots=True)
class Round:
    """A row of `collection`."""

    due: datetime
    failures: int = 0
    reason: str | None = None
    answered_at: datetime | None = None
    silent: bool = False


class BatchRow(NamedTuple):
    """A row of `batch_row`."""

    epoch: int
    organisation: str
    batch: str
    row: int
    closed_at: datetime


@dataclass(slots=True)
class Person:
    """A row of `person`, with its key."""

    kek_generation: int
    wrapped: bytes | None
    last_ordinal: int = 0
    erased_at: datetime | None = None


@dataclass(slots=True)
class Party:
    """A row of `organisation`."""

    definition: Organisation
    paused_reason: str | None = None
    draining: bool = False
    pauses: list[list[datetime | None]] = field(default_factory=list)
    """When each pause began and ended; None while it lasts."""

    @property
    def paused(self) -> bool:
        """Whether nothing at all may be sent."""
        return self.paused_reason is not None and not self.draining

    def paused_since(self, since: datetime, now: datetime) -> timedelta:
        """Return how long it was paused from then on."""
        spans = ((began, ended or now) for began, ended in self.pauses if began is not None)
        return sum((ended - max(began, since) for began, ended in spans if ended > since), timedelta())


@dataclass(slots=True, kw_only=True)
class Withdrawal:
    """A row of `withdrawal`, with what stands in `change` of what takes it back."""

    person_id: int
    corrected_by: UUID | None
    taken_back_by: UUID
    ordinal: int
    """Of the change that takes it back."""
    generation: int
    asked_at: datetime
    look_at: datetime | None


Write = Callable[[], None]
"""What a statement will have done once its transaction commits. The lanes it changes stay locked until then."""


@dataclass
class Tables:
    """Everything that is stored."""

    lanes: dict[LaneKey, Lane] = field(default_factory=dict)
    deliveries: dict[UUID, Row] = field(default_factory=dict)
    people: dict[int, Person] = field(default_factory=dict)
    parties: dict[str, Party] = field(default_factory=dict)
    agreements: dict[tuple[str, int], Agreement] = field(default_factory=dict)
    receipts: dict[UUID, Entry] = field(default_factory=dict)
    keys: dict[tuple[int, bytes], UUID] = field(default_factory=dict)
    quarantine: dict[tuple[str, int, int], SetAside] = field(default_factory=dict)
    breakers: dict[str, Breaker] = field(default_factory=dict)
    replays: dict[UUID, Replay] = field(default_factory=dict)
    batch_rows: dict[UUID, BatchRow] = field(default_factory=dict)
    leaves: list[bytes] = field(default_factory=list)
    holds: Holds = field(default_factory=Holds)
    mailboxes: Mailboxes = field(default_factory=Mailboxes)
    collections: dict[str, Round] = field(default_factory=dict)
    """How far the fetching of each organisation's answers has come."""
    withdrawals: dict[UUID, Withdrawal] = field(default_factory=dict)
    """By the change that is withdrawn."""
    correcting: dict[UUID, UUID] = field(default_factory=dict)
    """What is withdrawn, by the change that replaces it."""
    version: int = 0
    _by_lane: dict[LaneKey, list[UUID]] = field(default_factory=dict)
    _by_change: dict[UUID, list[UUID]] = field(default_factory=dict)

    def of_change(self, change_id: UUID) -> list[Row]:
        return [self.deliveries[one] for one in self._by_change.get(change_id, ())]

    def shadow(self, settled: Sequence[Settled]) -> "Tables":
        """Return what would stand after these were settled, for a transaction to read what it has not committed."""
        keys = {(item.person_id, item.organisation) for item in settled}
        other = replace(
            self,
            lanes={key: replace(self.lanes[key]) for key in keys},
            deliveries={one: replace(self.deliveries[one]) for key in keys for one in self._by_lane[key]},
        )
        other.settle(settled)
        return other

    def of_lane(self, key: LaneKey) -> Iterator[Row]:
        """Give the deliveries of a lane in the order of their changes."""
        return (self.deliveries[one] for one in self._by_lane.get(key, ()))

    def lanes_of(self, delivery_ids: Iterable[UUID]) -> list[LaneKey]:
        """Return the lanes of these deliveries in lane order, as they are locked."""
        return sorted({self.deliveries[one].lane for one in delivery_ids if one in self.deliveries})

    def first_due(self, key: LaneKey) -> datetime | None:
        return min(
            (row.due for row in self.of_lane(key) if row.sequence is None and row.status in UNSENT), default=None
        )

    # changes.accept

    def accept(self, told: Told, now: datetime) -> None:
        """Owe what a change owes. The person is not erased and the key is new."""
        person = self.people[told.person_id]
        person.last_ordinal += 1
        self.keys[told.person_id, told.key] = told.id
        self.leaves.append(told.leaf)
        self.holds.place(told.id, told.person_id, told.holds, now)
        for owed in told.owed:
            due = max(owed.not_before, now)
            row = Row(
                owed=owed,
                change_id=told.id,
                person_id=told.person_id,
                ordinal=person.last_ordinal,
                type=told.type,
                generation=told.generation,
                status="waiting" if told.holds or due > now else "queued",
                due=NEVER if told.holds else due,
                accepted_at=now,
                held_due=due if told.holds else None,
            )
            lane = self.lanes.setdefault(row.lane, Lane(owed.subject, row.due))
            if lane.occupant is None:
                lane.due = row.due if lane.due is None else min(lane.due, row.due)
            self._keep(row)

    def _keep(self, row: Row) -> None:
        self.deliveries[row.owed.id] = row
        insort(self._by_lane.setdefault(row.lane, []), row.owed.id, key=lambda one: self.deliveries[one].ordinal)
        self._by_change.setdefault(row.change_id, []).append(row.owed.id)

    # holds

    def hold_back(self, change_id: UUID) -> None:
        """Do what `_STOP` does."""
        for row in self.of_change(change_id):
            if row.sequence is None and row.status in UNSENT | {"undelivered"} and row.held_due is None:
                row.held_due, row.due = row.due, NEVER

    def and_later(self, change_id: UUID, reason: HoldReason) -> list[UUID]:
        """Return what `_AND_LATER` finds."""
        this = self.of_change(change_id)
        if change_id in self.withdrawals or not this:
            return []
        answered = {
            one.row.change_id
            for one in self.holds.rows.values()
            if (one.row.reason, one.row.outcome) == (reason, HoldOutcome.RELEASED)
        }
        later = {
            row.change_id: row.ordinal
            for first in this
            for row in self.of_lane(first.lane)
            if _comes_before(first, row)
            and (first.sequence, row.sequence) == (None, None)
            and {first.status, row.status} <= UNSENT
            and row.change_id not in self.withdrawals
            and row.change_id not in answered
        }
        return [change_id, *sorted(later, key=later.__getitem__)]

    def earlier_held(self, hold: HoldRow) -> list[HoldRow]:
        """Return the open holds of which `_EARLIER` finds the first."""
        if hold.reason is HoldReason.AWAITS_REGISTRAR:
            return []
        return [
            first.row
            for row in self.of_change(hold.change_id)
            if row.held_due is not None
            for earlier in self.of_lane(row.lane)
            if _comes_before(earlier, row) and earlier.held_due is not None
            for first in self.holds.open_of(earlier.change_id)
            if first.row.reason is not HoldReason.AWAITS_REGISTRAR
        ]

    def over(self, now: datetime) -> list[HoldRow]:
        """Return what `over` finds."""
        return [one for one in self.holds.over(now) if not self.earlier_held(one)]

    def release(self, hold_id: UUID, by: str, why: str, now: datetime) -> bool:
        """End an open hold, and do what `_GO` does where nothing else holds its change; return whether it goes."""
        self.holds.end(hold_id, HoldOutcome.RELEASED, by, why, now)
        change_id = self.holds.rows[hold_id].row.change_id
        if self.holds.open_of(change_id):
            return False
        for row in self.of_change(change_id):
            if row.held_due is None:
                continue
            if row.status == "waiting" and row.held_due <= now:
                row.status = "queued"
            row.due, row.held_due = max(row.held_due, now), None
            lane = self.lanes[row.lane]
            if lane.occupant is None and row.status in UNSENT:
                lane.due = row.due if lane.due is None else min(lane.due, row.due)
        return True

    # lanes.claim

    def due_lanes(
        self, now: datetime, organisations: Iterable[str], limit: int, credit: int, locked: Collection[LaneKey]
    ) -> list[LaneKey]:
        """Return the lanes `_CLAIM` locks: `locked` ones are skipped."""
        chosen: list[LaneKey] = []
        for organisation in organisations:
            these = [(key, lane) for key, lane in self.lanes.items() if key[1] == organisation and lane.due is not None]
            unanswered = sum(lane.in_flight and lane.due is not None and lane.due > now for _, lane in these)
            unanswered = min(credit, unanswered)
            breaker = self.breakers.get(organisation)
            if breaker is None or breaker.phase not in HOLDING or breaker.until is None:
                room = min(limit, credit - unanswered)
            else:
                room = min(1, 1 - unanswered) if breaker.until <= now else 0
            due = sorted((lane.due, key) for key, lane in these if lane.due is not None and lane.due <= now)
            chosen += [key for _, key in due if key not in locked][: max(room, 0)]
        return chosen

    def claim(self, now: datetime, keys: Sequence[LaneKey], lease: timedelta) -> tuple[list[Claimed], Write]:
        """Return what `CLAIM` returns for these locked lanes, and what it writes."""
        claimed: list[tuple[Claimed, Row, Lane]] = []
        passed: list[LaneKey] = []
        for key in keys:
            lane = self.lanes[key]
            row = self._next(key, lane, now)
            if row is None:
                passed.append(key)
                continue
            sequence = lane.last_sequence + 1 if row.sequence is None else row.sequence
            item = Claimed(
                person_id=row.person_id,
                organisation=row.owed.organisation,
                claim=lane.claim + 1,
                subject=lane.subject,
                delivery_id=row.owed.id,
                epoch=row.epoch,
                sequence=sequence,
                type=row.type,
                accepted_at=row.accepted_at,
                generation=row.generation,
                origin=row.owed.origin,
                digest=row.owed.digest,
                sealed=row.owed.sealed,
                revoked=self.revoked(row),
            )
            claimed.append((item, row, lane))

        def write() -> None:
            for item, row, lane in claimed:
                row.sequence = item.sequence
                row.status = "queued" if row.status == "waiting" else row.status
                lane.occupant, lane.in_flight, lane.claim, lane.due = item.delivery_id, True, item.claim, now + lease
                lane.last_sequence = max(lane.last_sequence, item.sequence)
            for key in passed:
                self.lanes[key].due = self.first_due(key)

        return [item for item, _, _ in claimed], write

    def _next(self, key: LaneKey, lane: Lane, now: datetime) -> Row | None:
        if lane.occupant is not None:
            return self.deliveries[lane.occupant]
        return next(
            (row for row in self.of_lane(key) if row.sequence is None and row.status in UNSENT and row.due <= now), None
        )

    def revoked(self, row: Row) -> bool:
        return self.agreements[row.owed.agreement, row.owed.agreement_version].revoked

    # batches.claim

    def room(self, now: datetime, organisation: str, credit: int) -> int:
        """Return what `_ROOM` does."""
        unanswered = sum(
            lane.in_flight and lane.due is not None and lane.due > now
            for key, lane in self.lanes.items()
            if key[1] == organisation
        )
        breaker = self.breakers.get(organisation)
        if breaker is None or breaker.phase not in HOLDING or breaker.until is None:
            return credit - min(credit, unanswered)
        return credit if breaker.until <= now and unanswered == 0 else 0

    def again(self, now: datetime, organisation: str) -> list[LaneKey]:
        """Return the lanes `_AGAIN` chooses."""
        held: dict[str, list[tuple[datetime, LaneKey]]] = {}
        for key, lane in self.lanes.items():
            if key[1] == organisation and lane.due is not None and (row := self._closed(lane)) is not None:
                held.setdefault(row.batch, []).append((lane.due, key))
        due = sorted((max(rows)[0], batch) for batch, rows in held.items() if max(rows)[0] <= now)
        return sorted(key for _, key in held[due[0][1]]) if due else []

    def fresh(self, now: datetime, organisation: str, upto: datetime, most: int) -> list[LaneKey]:
        """Return the lanes `_FRESH` chooses."""
        due = sorted(
            (lane.due, key)
            for key, lane in self.lanes.items()
            if key[1] == organisation
            and lane.due is not None
            and lane.due <= min(upto, now)
            and self._closed(lane) is None
        )
        return sorted(key for _, key in due[:most])

    def _closed(self, lane: Lane) -> BatchRow | None:
        row = self.batch_rows.get(lane.occupant) if lane.occupant else None
        return row if row and lane.occupant and row.epoch == self.deliveries[lane.occupant].epoch else None

    def close(self, claimed: Iterable[Claimed], now: datetime) -> None:
        """Do what `_CLOSE` does."""
        for item in claimed:
            if item.place is None:
                continue
            row = BatchRow(item.epoch, item.organisation, item.place.batch, item.place.row, now)
            stands = self.batch_rows.get(item.delivery_id)
            if stands is None or (stands.epoch, stands.batch) != (row.epoch, row.batch):
                self.batch_rows[item.delivery_id] = row

    # lanes.mark_published, lanes.next_due

    def mark_published(self, now: datetime, claimed: Sequence[Claimed], again_after: timedelta) -> None:
        for item in claimed:
            lane = self.lanes[item.person_id, item.organisation]
            if lane.claim == item.claim:
                lane.due = now + again_after
                row = self.deliveries[item.delivery_id]
                row.published_at = row.published_at or now
                row.status = "published" if row.status in UNSENT else row.status

    def next_due(self, now: datetime, organisations: Collection[str]) -> float | None:
        held = {key for key, breaker in self.breakers.items() if breaker.phase in HOLDING}
        among = set(organisations) - held
        dues = [lane.due for key, lane in self.lanes.items() if key[1] in among and lane.due is not None]
        if not dues:
            return None
        return float("inf") if min(dues) == NEVER else (min(dues) - now).total_seconds()

    # lanes.at_the_gate

    def at_the_gate(self, now: datetime, delivery_ids: Iterable[UUID]) -> dict[UUID, AtTheGate]:
        found: dict[UUID, AtTheGate] = {}
        for one in delivery_ids:
            if (row := self.deliveries.get(one)) is None:
                continue
            lane, person = self.lanes[row.lane], self.people[row.person_id]
            found[one] = AtTheGate(
                delivery_id=one,
                person_id=row.person_id,
                organisation=row.owed.organisation,
                epoch=row.epoch,
                status=row.status,
                attempts=row.attempts,
                occupies=lane.occupant == one,
                in_flight=lane.in_flight,
                claim=lane.claim,
                granted_until=lane.granted_until,
                paused=self.parties[row.owed.organisation].paused,
                revoked=self.revoked(row),
                erased=person.erased_at is not None,
                now=now,
                kek_generation=None if person.wrapped is None else person.kek_generation,
                wrapped=person.wrapped,
                withdrawn=row.change_id in self.withdrawals,
                corrected=self.corrected(row.change_id),
                overtaken=self._overtaken(row, now),
            )
        return found

    # mailbox

    def lying(self, organisation: str) -> list[Lying]:
        """Return what `_LYING` finds of an organisation's mailbox."""
        return self.mailboxes.look(
            organisation,
            lambda one, epoch: self.deliveries[one].epoch == epoch and self.deliveries[one].status in OPEN,
        )

    def hand_out(
        self, handed: Collection[UUID], ended: Iterable[AtTheGate], now: datetime
    ) -> tuple[dict[UUID, Numbered], list[UUID]]:
        """Do what `hand_out` writes; return what is handed out, and of what it is the first time."""
        for seen in ended:
            lane = self.lanes[seen.person_id, seen.organisation]
            if lane.occupant == seen.delivery_id and not lane.in_flight:
                lane.due = now
        found: dict[UUID, Numbered] = {}
        for one in handed:
            row = self.deliveries[one]
            row.unknowns = max(row.unknowns, 1)
            found[one] = Numbered(
                subject=self.lanes[row.lane].subject,
                delivery_id=one,
                epoch=row.epoch,
                sequence=row.sequence or 0,
                type=row.type,
                accepted_at=row.accepted_at,
                generation=row.generation,
                origin=row.owed.origin,
                digest=row.owed.digest,
                sealed=row.owed.sealed,
            )
        return found, self.mailboxes.fetched(handed, now)

    # lanes.at_the_gate, its end

    def stands(self, seen: AtTheGate) -> bool:
        """Return whether a lane has not moved since it was looked at."""
        lane = self.lanes[seen.person_id, seen.organisation]
        return (lane.claim, lane.granted_until) == (seen.claim, seen.granted_until)

    def _overtaken(self, row: Row, now: datetime) -> bool:
        agreed = self.agreements[row.owed.agreement, row.owed.agreement_version]
        if not agreed.latest_only or row.owed.newest_of is None:
            return False
        unsent = [one for one in self.of_lane(row.lane) if one.sequence is None and one.status in UNSENT]
        for later in sorted(unsent, key=lambda one: one.ordinal):
            if later.kind != row.kind:
                return False  # it goes first
            if later.due <= now and later.change_id not in self.withdrawals:
                return True
        return False

    def corrected(self, change_id: UUID) -> bool:
        found = self.withdrawals.get(change_id)
        return found is not None and found.corrected_by is not None

    def grant(self, granted: Mapping[UUID, datetime]) -> None:
        for one, until in granted.items():
            row = self.deliveries[one]
            if self.lanes[row.lane].granted_until is not None:
                row.unknowns = max(row.unknowns, 1)
            self.lanes[row.lane].granted_until = until

    # receipts.folding

    def touched(self, delivery_ids: Iterable[UUID], now: datetime) -> dict[UUID, Touched]:
        found: dict[UUID, Touched] = {}
        for one in delivery_ids:
            if (row := self.deliveries.get(one)) is None:
                continue
            lane = self.lanes[row.lane]
            begun = max(row.replayed_at or row.published_at or row.due, row.due)
            found[one] = Touched(
                id=one,
                person_id=row.person_id,
                organisation=row.owed.organisation,
                agreement=row.owed.agreement,
                agreement_version=row.owed.agreement_version,
                status=row.status,
                epoch=row.epoch,
                attempts=row.attempts,
                unknowns=row.unknowns,
                since=begun + self.parties[row.owed.organisation].paused_since(begun, now),
                first_due=row.due,
                published_at=row.published_at,
                answered_at=row.answered_at,
                reason=row.reason,
                reference=row.reference,
                occupies=lane.occupant == one,
                in_flight=lane.in_flight,
                lane_due=lane.due,
                granted_until=lane.granted_until,
                withdrawn=row.change_id in self.withdrawals or row.change_id in self.correcting,
            )
        return found

    def look_again(self, delivery_ids: Iterable[UUID], now: datetime) -> None:
        """Do what `_LOOK_AGAIN` does."""
        for one in delivery_ids:
            change_id = self.deliveries[one].change_id
            for withdrawn in (change_id, self.correcting.get(change_id)):
                if withdrawn is not None and withdrawn in self.withdrawals:
                    self.withdrawals[withdrawn].look_at = now

    def left_superseded(self, ended: Iterable[UUID], now: datetime) -> list[LeftSuperseded]:
        """Return what `_LEFT_SUPERSEDED` finds."""
        found: dict[UUID, bool] = {}
        for row in map(self.deliveries.__getitem__, ended):
            lane = list(self.of_lane(row.lane))
            superseded = [
                one
                for one in lane
                if (one.status, one.reason, one.kind) == ("superseded", "superseded", row.kind)
                and one.sequence is not None
                and one.change_id not in self.withdrawals
            ]
            if not superseded:
                continue
            last = max(superseded, key=lambda one: one.sequence or 0)
            if not any(self.stands_for(newer, last, now) for newer in lane):
                found[last.owed.id] = self.lanes[last.lane].occupant is None and not any(
                    later.sequence is not None
                    and later.sequence > (last.sequence or 0)
                    and not later.ended_unsent
                    and not (later.unknowns == 0 and later.status == "undelivered")
                    for later in lane
                )
        touched = self.touched(found, now)
        return [LeftSuperseded(touched[one], in_order) for one, in_order in found.items()]

    @staticmethod
    def stands_for(newer: Row, older: Row, now: datetime) -> bool:
        """Return whether a newer delivery is why an older, numbered one of its lane need not be sent."""
        if newer.kind != older.kind or newer.ended_unsent:
            return False
        if newer.sequence is not None:
            return newer.sequence > (older.sequence or 0)
        return newer.due <= now if newer.status in UNSENT else newer.ordinal > older.ordinal

    # withdrawals

    def withdraw(
        self,
        person_id: int,
        change_id: UUID,
        back: TakingBack,
        by: UUID | None,
        now: datetime,
        refused_by: str | None = None,
    ) -> None:
        """Do what `_ASK` does."""
        outcome = HoldOutcome.WITHDRAWN if refused_by is None else HoldOutcome.REFUSED
        for hold in self.holds.open_of(change_id):
            self.holds.end(hold.row.id, outcome, refused_by or f"citizen:{person_id}", None, now)
        person = self.people[person_id]
        person.last_ordinal += 1
        self.leaves.append(back.leaf)
        self.withdrawals[change_id] = Withdrawal(
            person_id=person_id,
            corrected_by=by,
            taken_back_by=back.id,
            ordinal=person.last_ordinal,
            generation=back.generation,
            asked_at=now,
            look_at=now,
        )
        if by is not None:
            self.correcting[by] = change_id

    def sent(self, change_id: UUID) -> dict[UUID, Sent]:
        """Return what `_SENT` finds."""
        found = self.withdrawals[change_id]
        back = {row.owed.organisation for row in self.of_change(found.taken_back_by)}
        by = self.of_change(found.corrected_by) if found.corrected_by is not None else []
        replaced = {row.owed.organisation for row in by if not row.ended_unsent}
        return {
            row.owed.id: Sent(
                id=row.owed.id,
                sequence=row.sequence,
                digest=row.owed.digest,
                sealed=row.owed.sealed,
                event=row.type,
                taken_back=row.owed.organisation in back,
                replaced=row.owed.organisation in replaced,
            )
            for row in self.of_change(change_id)
        }

    def take_back(self, change_id: UUID, owed: Sequence[OwedBack], now: datetime) -> None:
        """Do what `_TAKE_BACK` does."""
        found = self.withdrawals[change_id]
        for item in owed:
            was = self.deliveries[item.takes_back]
            lane = self.lanes[was.lane]
            if lane.occupant is None:
                lane.due = now if lane.due is None else min(lane.due, now)
            self._keep(
                Row(
                    owed=replace(was.owed, id=item.id, not_before=now, digest=item.digest, sealed=item.sealed),
                    change_id=found.taken_back_by,
                    person_id=was.person_id,
                    ordinal=found.ordinal,
                    type="withdrawal",
                    generation=found.generation,
                    status="queued",
                    due=now,
                    accepted_at=now,
                )
            )

    # receipts.folding, its end

    def settle(self, settled: Sequence[Settled]) -> bool:
        """Do what `_SETTLE` does, and return whether the relay is to look."""
        for item in settled:
            row = self.deliveries[item.id]
            row.status, row.attempts, row.unknowns = item.status, item.attempts, item.unknowns
            row.published_at, row.answered_at = item.published_at, item.answered_at
            row.reason, row.reference = item.reason, item.reference
        moved = [self._move(item) for item in settled if item.occupied]
        return any(lane.due is not None for lane in moved)

    def _move(self, item: Settled) -> Lane:
        key = item.person_id, item.organisation
        lane = self.lanes[key]
        if item.occupies and item.attempt_ended:
            due = item.due
        elif item.occupies:
            due = max((at for at in (item.due, lane.granted_until) if at is not None), default=None)
        else:
            due = self.first_due(key)
        lane.due, lane.in_flight, lane.claim = due, item.in_flight, lane.claim + 1
        lane.occupant = lane.occupant if item.occupies else None
        lane.granted_until = lane.granted_until if item.occupies and not item.attempt_ended else None
        return lane

    def keep(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.receipts[entry.id] = entry
            self.leaves.append(entry.leaf)

    # replays.step

    def candidate(self, delivery_id: UUID) -> Candidate:
        row = self.deliveries[delivery_id]
        lane = self.lanes[row.lane]
        return Candidate(
            delivery_id=delivery_id,
            person_id=row.person_id,
            organisation=row.owed.organisation,
            status=row.status,
            epoch=row.epoch,
            sequence=row.sequence,
            overtaken=any(
                later.sequence is not None
                and (
                    later.ordinal > row.ordinal
                    if row.sequence is None
                    else later.sequence > row.sequence and later.published_at is not None
                )
                for later in self.of_lane(row.lane)
            )
            or (row.sequence is not None and lane.occupant not in (None, delivery_id)),
            withdrawn=row.change_id in self.withdrawals,
            revoked=self.revoked(row),
            erased=self.people[row.person_id].erased_at is not None,
        )

    def reopen(self, delivery_id: UUID, now: datetime) -> None:
        row = self.deliveries[delivery_id]
        lane = self.lanes[row.lane]
        if row.sequence is not None:
            lane.occupant, lane.in_flight, lane.claim = delivery_id, False, lane.claim + 1
            lane.due, lane.granted_until = now, None
        elif lane.occupant is None:
            lane.due = now if lane.due is None else min(lane.due, now)
        row.status, row.epoch, row.attempts, row.unknowns = "queued", row.epoch + 1, 0, min(row.unknowns, 1)
        row.reason, row.answered_at, row.replayed_at = None, None, now

    # horizon.past

    def past(self, now: datetime, horizons: Mapping[str, timedelta]) -> list[UUID]:
        found: list[UUID] = []
        for key, lane in self.lanes.items():
            breaker, horizon = self.breakers.get(key[1]), horizons.get(key[1])
            row = self._next(key, lane, now)
            if row is None or breaker is None or breaker.phase not in HOLDING or horizon is None:
                continue
            if self.touched([row.owed.id], now)[row.owed.id].since <= now - horizon:
                found.append(row.owed.id)
        return found

    # What breakers.move does

    def move(self, organisation: str, to: Breaker) -> Breaker | None:
        """Take a breaker's next state and return None, or return what stands instead."""
        stands = self.breakers.get(organisation, Breaker())
        if to.version != stands.version + 1:
            return stands
        self.breakers[organisation] = to
        return None

    def take_for_lost(
        self, now: datetime, organisations: Collection[str], untaken: timedelta, locked: Collection[LaneKey]
    ) -> dict[str, int]:
        """Do what `_TAKE_FOR_LOST` does: `locked` lanes are skipped."""
        found: Counter[str] = Counter()
        for name in organisations:
            breaker = self.breakers.get(name)
            if (
                breaker is None
                or breaker.phase is not Phase.OPEN
                or breaker.until is None
                or breaker.until > now - untaken
            ):
                continue
            self.breakers[name] = replace(breaker, until=now)
            for key, lane in self.lanes.items():
                waits = lane.in_flight and lane.due is not None and lane.due > now
                if key[1] == name and waits and key not in locked:
                    lane.due = now
                    found[name] += 1
        return dict(sorted(found.items()))

    # What people and operators do

    def put_organisation(self, definition: Organisation) -> None:
        self.parties[definition.id] = Party(definition)
        self.version += 1

    def put_agreement(self, agreement: Agreement) -> None:
        self.agreements[agreement.id, agreement.version] = agreement
        self.version += 1

    def pause(self, organisation: str, reason: str | None, now: datetime, *, draining: bool = False) -> bool:
        """Do what `operations.pause` and `Folding.pause` do: pause for a reason or resume; say whether it changed."""
        party = self.parties[organisation]
        was_paused = party.paused_reason is not None
        may = was_paused if reason is None else not was_paused or (party.draining and not draining)
        if not may:
            return False
        if was_paused and reason is None:
            party.pauses[-1][1] = now
        elif not was_paused:
            party.pauses.append([now, None])
        party.paused_reason, party.draining = reason, draining and reason is not None
        self.version += 1
        return True

    def revoke(self, agreement: str, number: int) -> None:
        found = self.agreements[agreement, number]
        self.agreements[agreement, number] = found.model_copy(update={"revoked": True})
        self.version += 1

    def erase(self, person_id: int, now: datetime) -> None:
        person = self.people[person_id]
        person.erased_at, person.wrapped = now, None
        self.holds.erased(person_id, now)

"""The invariants of the delivery engine. Those of a moment are checked in it, the others when everything has healed.

Numbers are those of the project's list: 1 nothing lost, 2 nobody who may not be told, 3 conservation, 4 order,
5 same id, same bytes, 6 statuses rise, 7 never silent, 10 audit leaves.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from broker.delivery.line import START_SECONDS
from broker.delivery.pool import GROUP
from broker.eventlog import Offset, Partition, Record
from broker.store.lanes import AtTheGate, Claimed
from broker.store.receipts import Entry, Settled
from broker.store.withdrawals import OwedBack
from contracts.batches import Place
from contracts.delivery import Delivery
from contracts.holds import HoldOutcome, HoldReason
from contracts.organisation import Organisation
from contracts.receipts import Quarantined, Receipt, ReceiptKind
from contracts.records import Undecodable, read_delivery, read_receipt
from contracts.statuses import ENDED, OCCUPIES_LANE_BELOW, RANK, STATUS_OF, Reason, Status
from contracts.topics import RECEIPTS
from contracts.windows import is_open
from tests.simulation.history import Call, History
from tests.simulation.log import SimulatedLog
from tests.simulation.loop import EPOCH, Process
from tests.simulation.organisations import SimulatedOrganisation
from tests.simulation.tables import UNSENT, LaneKey, Row, Tables

ENOUGH: Final = frozenset({*ENDED, Status.RECEIVED, Status.NEEDS_REVIEW})
"""After these, it is the organisation's turn, or nobody's."""


LOOKED_SECONDS: Final = 1.0
"""A worker looks at the clock so often, if nothing wakes it."""
PERHAPS_SENT: Final = frozenset({Status.CANCELLED, Status.SUPERSEDED, Status.UNDELIVERED})
"""Where a delivery ends withheld or by hand, an attempt that was granted and never heard of is counted: it may have arrived."""


def _place(item: Claimed) -> Place:
    assert item.place is not None
    return item.place


def _row(item: Claimed) -> int:
    return _place(item).row


class Invariants:
    """Everything that is told of a run, held against what must always be."""

    def __init__(self, tables: Tables, history: History) -> None:
        self._tables = tables
        self._history = history
        self.withdrawn: dict[str, float] = {}
        """When an agreement, a person or an organisation's being open was taken back, by `kind:id`; until given back."""
        self._open: defaultdict[tuple[str, str], list[Call]] = defaultdict(list)
        self._data: dict[UUID, bytes] = {}
        self._numbered: dict[UUID, int] = {}
        self._made: defaultdict[UUID, Counter[int]] = defaultdict(Counter)
        """Attempts that ended at the organisation, by delivery and epoch."""
        self.handed: set[UUID] = set()
        """What was given to organisations that came for it."""
        self._granted_until: dict[UUID, datetime] = {}
        self._given_back: set[tuple[UUID, datetime]] = set()
        """Grants whose attempt a receipt has ended."""
        self._records: dict[Partition, list[tuple[UUID, int] | None]] = defaultdict(list)
        self._concluded: Counter[tuple[UUID, int]] = Counter()
        self._set_aside: set[tuple[str, int, int]] = set()
        self._passed: Counter[tuple[UUID, int]] = Counter()
        self._facts: dict[UUID, Receipt] = {}
        self._published: set[tuple[UUID, int]] = set()
        self._poison: set[tuple[str, int, int]] = set()
        self._taking_back: dict[UUID, UUID] = {}
        """What each compensating delivery takes back."""
        self._holds: defaultdict[UUID, set[UUID]] = defaultdict(set)
        """Holds of each change that are open, or by which it was refused."""
        self._kept: defaultdict[UUID, set[UUID]] = defaultdict(set)
        """What of each change its holds keep from being sent."""
        self._files: dict[str, tuple[UUID, ...]] = {}
        """The rows of each file, by its name."""
        self._contents: dict[tuple[UUID, ...], list[bytes]] = {}
        """What each file told, by its rows."""
        self.given_up: dict[UUID, int] = {}
        """Under which epoch an operator gave a delivery up."""
        self._still_open: UUID | None = None

    # What the store is about to commit

    def committing(self, event: str, what: Any) -> None:
        """See store.Watch."""
        seen: dict[str, Callable[[Any], None]] = {
            "claimed": lambda what: self._claimed(*what),
            "granted": self._granted,
            "settled": lambda what: self._settled(*what),
            "reopened": lambda what: self._history.note("reopened", what),
            "breaker": lambda what: self._history.note("breaker", what[0], what[1].phase),
            "paused": lambda what: self._paused(*what),
            "withdrawn": self._withdrawn,
            "held": lambda what: self._held(*what),
            "hold ended": lambda what: self._hold_ended(*what),
            "handed out": self._handed_out,
            "taken back": self._taken_back_by,
        }
        seen[event](what)

    def _withdrawn(self, change_id: UUID) -> None:
        self._history.note("withdrawn", change_id)
        self.withdrawn[f"change:{change_id}"] = self._history.loop.time()

    def _taken_back_by(self, owed: Sequence[OwedBack]) -> None:
        for item in owed:
            self._history.note("taken back", item.takes_back, item.id)
            self._taking_back[item.id] = item.takes_back

    def _first_of_its_lane(self, row: Row, now: datetime) -> None:
        """What is numbered is the earliest told of what is due; what is held, or has yet its day, is not waited for.

        `now` is the claim's own: a batch is closed in several statements, and its relay may stand still between them.
        """
        for other in self._tables.of_lane(row.lane):
            if other.sequence is None and other.status in UNSENT and other.due <= now and other.ordinal < row.ordinal:
                self._history.violated("4, order", f"{row.owed.id} is numbered before {other.owed.id}")

    def _claimed(self, claimed: Sequence[Claimed], now: datetime) -> None:
        known = set(self._numbered)
        for item in claimed:
            self._history.note("claimed", item.delivery_id, item.epoch, item.sequence)
            if self._numbered.setdefault(item.delivery_id, item.sequence) != item.sequence:
                self._history.violated("4, a sequence never changes", item.delivery_id)

            row = self._tables.deliveries[item.delivery_id]
            if row.owed.id in self._kept[row.change_id] and self._holds[row.change_id]:
                self._history.violated("nothing held is sent", item.delivery_id)
            if item.delivery_id not in known and item.place is None:
                self._first_of_its_lane(row, now)
        for organisation in {item.organisation for item in claimed if item.place}:
            self._closed(sorted((one for one in claimed if one.organisation == organisation and one.place), key=_row))

    def _closed(self, rows: Sequence[Claimed]) -> None:
        """A file's name means the same rows, always; and there are no two of a lane in it."""
        name, ids = _place(rows[0]).batch, tuple(item.delivery_id for item in rows)
        self._history.note("closed", name, len(ids))
        if self._files.setdefault(name, ids) != ids or [_row(item) for item in rows] != [*range(1, len(rows) + 1)]:
            self._history.violated("21, a file's name is its rows", name)
        if len({item.subject for item in rows}) < len(rows):
            self._history.violated("4, one granted at a time", f"two of a lane in the file {name}")

    def _held(self, change_id: UUID, holds: Sequence[UUID], kept: Sequence[UUID]) -> None:
        self._history.note("held", change_id, len(kept))
        self._holds[change_id].update(holds)
        self._kept[change_id].update(kept)

    def _hold_ended(self, change_id: UUID, hold: UUID, outcome: HoldOutcome) -> None:
        self._history.note("hold ended", change_id, outcome)
        if outcome is HoldOutcome.RELEASED:
            self._released_in_order(change_id, self._tables.holds.rows[hold].row.reason)
            self._holds[change_id].discard(hold)
            if not self._holds[change_id]:
                self._kept.pop(change_id, None)

    def _released_in_order(self, change_id: UUID, reason: HoldReason) -> None:
        """What was told first, and is to be sent to the same organisation, is let go first, whoever decides on either."""
        held = [row for row in self._tables.of_change(change_id) if row.held_due is not None]
        for earlier in (one for row in held for one in self._tables.of_lane(row.lane) if one.ordinal < row.ordinal):
            reasons = {one.row.reason for one in self._tables.holds.open_of(earlier.change_id)}
            still = earlier.held_due is not None and reasons - {HoldReason.AWAITS_REGISTRAR}
            if still and reason is not HoldReason.AWAITS_REGISTRAR:
                self._history.violated("4, in order", f"{change_id} is let go before {earlier.change_id}")

    def _handed_out(self, handed: Sequence[AtTheGate]) -> None:
        """What is given to who came for it: as it is when something is sent, but under the lanes' locks."""
        violated = self._history.violated
        for seen in handed:
            self._history.note("handed out", seen.delivery_id, seen.epoch)
            row = self._tables.deliveries[seen.delivery_id]
            self._made[seen.delivery_id][seen.epoch] = max(self._made[seen.delivery_id][seen.epoch], 1)
            self.handed.add(seen.delivery_id)
            self._earlier_have_ended(row, row.sequence or 0)
            for what in self._needs(row):
                if EPOCH + timedelta(seconds=self.withdrawn.get(what, float(10**8))) < seen.now:
                    violated(
                        "2, only who may be told", f"{seen.delivery_id} is handed out although {what} was taken back"
                    )
        if len({(seen.person_id, seen.organisation) for seen in handed}) < len(handed):
            violated("4, order", "two of a lane are handed out together")

    def _granted(self, granted: Sequence[tuple[UUID, datetime, datetime]]) -> None:
        lanes: set[LaneKey] = set()
        for delivery_id, until, now in granted:
            self._history.note("granted", delivery_id, until)
            row = self._tables.deliveries[delivery_id]
            before = self._tables.lanes[row.lane].granted_until
            if row.lane in lanes or (before is not None and before > now):
                self._history.violated("4, one granted at a time", delivery_id)
            lanes.add(row.lane)
            earlier = self._granted_until.get(delivery_id)
            if earlier is not None and earlier > now and (delivery_id, earlier) not in self._given_back:
                self._history.violated("4, one granted at a time", f"{delivery_id}, whose earlier attempt goes on")
            self._granted_until[delivery_id] = until

    def _settled(self, settled: Sequence[Settled], entries: Sequence[Entry]) -> None:
        for item in settled:
            self._history.note("settled", item.id, item.status, item.attempts)
            row = self._tables.deliveries[item.id]
            if RANK[Status(item.status)] < RANK[Status(row.status)]:
                self._history.violated("6, a status only rises", f"{item.id} from {row.status} to {item.status}")
            perhaps = row.attempts + (item.status in PERHAPS_SENT)
            made = max(perhaps, *self._made[item.id].values(), 0)
            if item.attempts > made:
                self._history.violated("attempts are counted right", f"{item.id}: {item.attempts} counted, {made} made")
        for entry in entries:
            said = entry.outcome or entry.failure or entry.reason
            self._history.note("folded", entry.delivery_id, entry.kind, said, entry.epoch, entry.attempt, entry.effect)
            if entry.id in self._tables.receipts:
                self._history.violated("3, a receipt is folded once", entry.id)

    def _paused(self, organisation: str, reason: str | None) -> None:
        self._history.note("paused", organisation, reason)
        if reason is None:
            self.withdrawn.pop(f"open:{organisation}", None)
        else:
            self.withdrawn.setdefault(f"open:{organisation}", self._history.loop.time())

    # What the log takes

    def appended(self, process: Process | None, partition: Partition, offset: Offset, record: Record) -> None:
        """See log.Appended."""
        self._history.note("appended", partition.topic, partition.number, offset)
        if partition.topic == RECEIPTS.name:
            try:
                self._told(process, read_receipt(record.value, record.headers))
            except Undecodable:
                self._poison.add((partition.topic, partition.number, offset))
            return
        try:
            sealed = read_delivery(record.key, record.value, record.headers)
        except Undecodable:
            self._records[partition].append(None)
            self._poison.add((partition.topic, partition.number, offset))
            return
        self._records[partition].append((sealed.id, sealed.epoch))
        self._published.add((sealed.id, sealed.epoch))

    def _told(self, process: Process | None, receipt: Receipt | Quarantined) -> None:
        by = process.name if process is not None else "outside"
        self._history.note("told", by, receipt if isinstance(receipt, Receipt) else receipt.reason)
        if isinstance(receipt, Quarantined):
            self._set_aside.add((receipt.topic, receipt.partition, receipt.offset))
            return
        self._facts[receipt.id] = receipt
        if receipt.granted_until is not None:
            self._given_back.add((receipt.delivery_id, receipt.granted_until))
        if process is not None and process.name.startswith("worker"):
            self._concluded[receipt.delivery_id, receipt.epoch] += 1

    def lost(self, topic: str) -> None:
        """A topic was lost: its offsets begin anew."""
        for partition in [one for one in self._records if one.topic == topic]:
            del self._records[partition]
        self._poison = {one for one in self._poison if one[0] != topic}

    def committed(self, group: str, partition: Partition, before: Offset, upto: Offset) -> None:
        """See log.Committed: what is passed over for good must have ended in a durable receipt."""
        self._history.note("committed", group, partition.topic, partition.number, upto)
        if group != GROUP:
            return
        for offset in range(before, upto):
            found = self._records[partition][offset]
            if found is None:
                continue  # whether it was set aside is looked at in the end
            self._passed[found] += 1
            copies = self._concluded[found] + ((partition.topic, partition.number, offset) in self._set_aside)
            if not copies:
                self._history.violated("receipts before commits", f"{found[0]} at {partition}/{offset}")

    # What organisations see

    def called(self, settings: Organisation, delivery: Delivery, process: Process, now: float) -> Call:
        """An attempt begins."""
        history = self._history
        history.note("called", settings.id, delivery.id, delivery.epoch, delivery.attempt, process.name)
        row = self._tables.deliveries[delivery.id]
        if self._data.setdefault(delivery.id, delivery.data) != delivery.data:
            history.violated("5, same id, same bytes", delivery.id)
        if self._granted_until[delivery.id] < EPOCH + timedelta(seconds=now):
            history.violated("4, one granted at a time", f"{delivery.id} is sent after its grant had run out")
        lane = self._open[settings.id, delivery.subject]
        lane[:] = [call for call in lane if call.undisturbed() and not self._has_it(call)]
        if lane:
            history.violated("4, one granted at a time", f"{delivery.id} is sent while its lane is being sent to")
        self._earlier_have_ended(row, delivery.sequence)
        if delivery.epoch <= self.given_up.get(delivery.id, -1):
            history.violated("7, what is given up is", f"{delivery.id} is sent after an operator gave it up")
        self._in_hours(settings, delivery, now)
        for what in self._needs(row):
            if self.withdrawn.get(what, now) < now - START_SECONDS:
                history.violated("2, only who may be told", f"{delivery.id} is sent although {what} was taken back")
        call = Call(delivery, settings.id, process, process.stops, now, settings.policy.deadline_seconds)
        lane.append(call)
        history.calls.append(call)
        return call

    def _earlier_have_ended(self, row: Row, sequence: int) -> None:
        for earlier in self._tables.of_lane(row.lane):
            if (
                earlier.sequence is not None
                and earlier.sequence < sequence
                and RANK[Status(earlier.status)] < OCCUPIES_LANE_BELOW
            ):
                self._history.violated("4, order", f"{row.owed.id} is sent before {earlier.owed.id} has ended")

    def handed_a_file(self, settings: Organisation, deliveries: Sequence[Delivery]) -> None:
        """A file is what was closed, whole, and to the byte what it was when it came before."""
        ids, told = tuple(one.id for one in deliveries), [one.data for one in deliveries]
        self._history.note("file", settings.id, len(ids))
        if ids not in self._files.values():
            self._history.violated("21, a file is sent whole", f"{len(ids)} to {settings.id}")
        if self._contents.setdefault(ids, told) != told:
            self._history.violated("5, same id, same bytes", f"a file to {settings.id}")

    def fetched(self, settings: Organisation, read: Sequence[Delivery]) -> None:
        """An organisation has come for these."""
        for delivery in read:
            self._history.note("fetched", settings.id, delivery.id)
            if self._data.setdefault(delivery.id, delivery.data) != delivery.data:
                self._history.violated("5, same id, same bytes", delivery.id)

    def _has_it(self, call: Call) -> bool:
        """Return whether the organisation has said that it has this: a copy still on its way changes nothing there."""
        return RANK[Status(self._tables.deliveries[call.delivery.id].status)] > OCCUPIES_LANE_BELOW

    def _needs(self, row: Row) -> Iterable[str]:
        owed = row.owed
        told = f"agreement:{owed.agreement}", f"person:{row.person_id}", f"open:{owed.organisation}"
        return *told, f"change:{row.change_id}"

    def _in_hours(self, settings: Organisation, delivery: Delivery, now: float) -> None:
        """Nothing is sent outside of its hours, but what a worker had asked for just before they ended."""
        asked = EPOCH + timedelta(seconds=now - START_SECONDS - LOOKED_SECONDS)
        if not any(is_open(settings.policy.windows, at) for at in (asked, EPOCH + timedelta(seconds=now))):
            self._history.violated("delivery windows", f"{delivery.id} is sent to {settings.id} outside of its hours")

    def ended(self, call: Call) -> None:
        """An attempt is over."""
        call.over = True
        if call.counts:
            made = self._made[call.delivery.id]
            made[call.delivery.epoch] += 1

    def ignored(self, delivery: Delivery) -> None:
        """An organisation has never had this delivery, and has applied a later one."""
        if Status(self._tables.deliveries[delivery.id].status) not in ENDED:
            self._history.violated("4, order", f"{delivery.id} came after a later one had taken effect")

    # When all has healed

    def open(self) -> list[Row]:
        """Return the deliveries that are still ours to bring."""
        return [row for row in self._tables.deliveries.values() if row.status not in ENOUGH]

    def at_the_end(self, promised: dict[UUID, bytes], organisations: dict[str, SimulatedOrganisation]) -> None:
        """Check what must hold once everything is healed and drained. `promised`: the data of every accepted delivery."""
        violated = self._history.violated
        if promised.keys() != self._tables.deliveries.keys():
            violated("3, conservation", "what is stored is not what was accepted")
        for row in self._tables.deliveries.values():
            self._one(row, promised[row.owed.id], organisations[row.owed.organisation])
        self._lanes()
        self._attempts()
        self._taken_back(organisations)
        self._superseded()
        for receipt in self._facts.values():
            row_of = self._tables.deliveries.get(receipt.delivery_id)
            if receipt.id not in self._tables.receipts and row_of is not None:
                violated("1, nothing lost", f"{receipt!r} was never folded")
        for place in self._poison - self._tables.quarantine.keys():
            violated("7, never silent", f"the unreadable record at {place} was not set aside")
        self._leaves()

    def _one(self, row: Row, data: bytes, organisation: SimulatedOrganisation) -> None:
        violated, delivery_id, status = self._history.violated, row.owed.id, Status(row.status)
        if status not in ENOUGH:
            violated("1, nothing lost", f"{delivery_id} is still {status}")
        if delivery_id in organisation.applied and organisation.applied[delivery_id] != data:
            violated("5, same id, same bytes", f"{delivery_id} was applied with other bytes")
        if status is Status.APPLIED and delivery_id not in organisation.applied:
            violated("1, nothing lost", f"{delivery_id} is applied here and not there")
        if status is Status.RECEIVED and not organisation.has(row.owed.subject, row.sequence or 0, delivery_id):
            violated("1, nothing lost", f"{delivery_id} is received here and not there")
        if status is Status.UNDELIVERED and str(delivery_id) not in self._history.alarms["delivery.undelivered"]:
            violated("7, never silent", f"{delivery_id} was given up without an alarm")
        if status is Status.CANCELLED and not self.was_withdrawn(row):
            violated("1, nothing lost", f"{delivery_id} was cancelled and nobody asked for it")
        if RANK[status] > OCCUPIES_LANE_BELOW and not organisation.stands_by(delivery_id, status):
            violated("6, statuses are what was said", f"{delivery_id} is {status}, which nobody said")

    def was_withdrawn(self, row: Row) -> bool:
        erased = self._tables.people[row.person_id].erased_at is not None
        return self._tables.revoked(row) or erased or row.change_id in self._tables.withdrawals

    def _taken_back(self, organisations: dict[str, SimulatedOrganisation]) -> None:
        """Who was told a change that was withdrawn is told that it is taken back, and nobody else is."""
        tables, called = self._tables, {call.delivery.id for call in self._history.calls}
        back = {takes_back: tables.deliveries[one] for one, takes_back in self._taking_back.items()}
        for was in back:
            if was not in called and was not in self._granted_until:
                self._history.violated("exactly who was told", f"{was} is taken back and was never sent")
        for change_id, found in tables.withdrawals.items():
            if tables.people[found.person_id].erased_at is not None:
                continue
            by = tables.of_change(found.corrected_by) if found.corrected_by is not None else []
            replaced = {row.owed.organisation for row in by if not row.ended_unsent}
            for row in tables.of_change(change_id):
                has_it = row.owed.id in organisations[row.owed.organisation].applied
                if has_it and row.owed.organisation not in replaced and row.owed.id not in back:
                    self._history.violated("exactly who was told", f"{row.owed.id} took effect and is not taken back")

    def _superseded(self) -> None:
        """What was superseded by a newer one has a newer one that stands for it, and says what it did."""
        for row in self._tables.deliveries.values():
            ours = row.status == Status.SUPERSEDED and row.reason == Reason.SUPERSEDED
            if not ours or row.change_id in self._tables.withdrawals:
                continue
            lane = [one for one in self._tables.of_lane(row.lane) if one.owed.newest_of == row.owed.newest_of]
            if not any(self._tables.stands_for(newer, row, EPOCH) for newer in lane):
                self._history.violated("1, nothing lost", f"{row.owed.id} was superseded by what was never sent")

    def _lanes(self) -> None:
        lanes: dict[LaneKey, list[int]] = defaultdict(list)
        for row in self._tables.deliveries.values():
            if row.sequence is not None:
                lanes[row.lane].append(row.sequence)
        for key, sequences in lanes.items():
            if sorted(sequences) != list(range(1, len(sequences) + 1)):
                self._history.violated("4, sequences are dense", f"{key}: {sorted(sequences)}")
        for key, lane in self._tables.lanes.items():
            if lane.occupant is not None:
                self._history.violated("7, never silent", f"lane {key} is held by {lane.occupant}, which has ended")

    def _attempts(self) -> None:
        told: Counter[tuple[UUID, int]] = Counter()
        for entry in self._tables.receipts.values():
            mattered = entry.effect in ("raised", "scheduled") and entry.attempt > 0
            if mattered and entry.kind in (ReceiptKind.ANSWERED, ReceiptKind.DEFERRED):
                key = entry.delivery_id, entry.epoch
                told[key] = max(told[key], entry.attempt)
        for row in self._tables.deliveries.values():
            if row.attempts < told[row.owed.id, row.epoch]:
                self._history.violated("attempts are counted right", f"{row.owed.id}: fewer counted than told")

    def _facts_hold(self) -> None:
        for receipt in self._facts.values():
            row = self._tables.deliveries.get(receipt.delivery_id)
            said = STATUS_OF[receipt.outcome] if receipt.outcome is not None else None
            if row is not None and said is not None and RANK[Status(row.status)] < RANK[said]:
                self._history.violated("6, an organisation's fact counts", f"{receipt!r}, and it is {row.status}")

    def _leaves(self) -> None:
        self._facts_hold()
        leaves = [orjson.loads(leaf) for leaf in self._tables.leaves]
        published = {
            (UUID(leaf["delivery"]), leaf["detail"]["epoch"])
            for leaf in leaves
            if leaf["action"] == "delivery.published"
        }
        for missing in self._published - published:
            self._history.violated("10, audit leaves", f"{missing[0]} was published without one")
        receipts = sum(leaf["action"].startswith("delivery.") and "effect" in leaf.get("detail", {}) for leaf in leaves)
        if receipts != len(self._tables.receipts):
            self._history.violated("10, audit leaves", f"{receipts} for {len(self._tables.receipts)} receipts")

    def _some_open(self) -> bool:
        """Return whether `open` would name any: the one found last time is looked at before all the others."""
        found = self._tables.deliveries.get(self._still_open) if self._still_open is not None else None
        if found is None or found.status in ENOUGH:
            self._still_open = next((row.owed.id for row in self.open()), None)
        return self._still_open is not None

    def drained(self, log: SimulatedLog) -> bool:
        """Return whether nothing is left to do: no delivery is ours to bring, and no record waits in the log."""
        if self._some_open():
            return False
        looked = all(found.look_at is None for found in self._tables.withdrawals.values())
        return looked and all(
            group.committed.get(Partition(topic, number), 0) == len(records)
            for group, topics in ((log.group(GROUP), None), (log.group("unwaith.tracking"), RECEIPTS.name))
            for topic, partitions in log.partitions.items()
            if (topic == RECEIPTS.name) == (topics is not None)
            for number, records in enumerate(partitions)
        )

"""The store as the stages reach it: the functions of `broker.store` they call, over `tables`, with locks and transactions.

Each function below has the name, parameters and promise of one in `broker/store` and is put in its place while a
simulation runs (`twins.standing_in`). What stands in place of the `Database` they are given is a `Store`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar, cast
from uuid import UUID

from broker.store import Database, StoreUnavailable, batches, replays
from broker.store.breakers import Standing
from broker.store.changes import Asked, PersonErased, Told
from broker.store.lanes import AtTheGate, Claimed, GateDecision
from broker.store.receipts import Entry, LeftSuperseded, SetAside, Settled, Touched
from broker.store.register import Configuration
from broker.store.replays import Candidate, Replay
from broker.store.withdrawals import OwedBack, Sent, TakingBack, WithdrawnAlready
from contracts.breaker import Breaker
from contracts.holds import HoldReason
from tests.simulation.loop import PROCESS, Process
from tests.simulation.tables import LaneKey, Tables, Write

T = TypeVar("T")
Lock = LaneKey | str

LOCK_SECONDS: Final = 5.0
TRANSACTION_SECONDS: Final = 15.0
CONFIGURATION: Final = "configuration"
"""The one row that is locked besides lanes."""

Watch = Callable[[str, Any], None]
"""Told of each commit that matters to an invariant, before anybody can see it: its name and what it did."""


class Carry(Protocol):
    """Brings a request to the store and its answer back. Raises StoreUnavailable, done or not done."""

    def __call__(self, work: Callable[[], Awaitable[T]]) -> Awaitable[T]: ...


@dataclass(eq=False, slots=True)
class Transaction:
    """One transaction: the locks it holds, and when `now()` is."""

    now: datetime
    process: Process | None
    held: list[Lock] = field(default_factory=list)
    over: bool = False


@dataclass(frozen=True, slots=True)
class _Listener:
    channel: str
    heard: Callable[[str], None]
    process: Process | None
    context: Context
    lost: asyncio.Future[None]


class Store:
    """The server: rows, row locks, transactions, notices."""

    def __init__(self, tables: Tables, clock: Callable[[], datetime], carry: Carry, watch: Watch) -> None:
        self.tables = tables
        self.watch = watch
        self.carry = carry
        self._clock = clock
        self._holders: dict[Lock, Transaction] = {}
        self._waiting: dict[Lock, deque[asyncio.Future[None]]] = {}
        self._open: list[Transaction] = []
        self._listeners: list[_Listener] = []

    def now(self) -> datetime:
        return self._clock()

    def begin(self, process: Process | None) -> Transaction:
        """Begin a transaction of `process`; one that lasts too long is rolled back."""
        transaction = Transaction(self._clock(), process)
        self._open.append(transaction)
        asyncio.get_running_loop().call_later(TRANSACTION_SECONDS, self._end, transaction)
        return transaction

    async def lock(self, transaction: Transaction, wanted: Sequence[Lock]) -> None:
        """Lock in the order given, waiting for whoever holds. Raises StoreUnavailable after the lock timeout."""
        loop = asyncio.get_running_loop()
        for one in wanted:
            while one in self._holders and self._holders[one] is not transaction:
                free: asyncio.Future[None] = loop.create_future()
                queue = self._waiting.setdefault(one, deque())
                queue.append(free)
                try:
                    async with asyncio.timeout(LOCK_SECONDS):
                        await free
                except TimeoutError:
                    queue.remove(free)
                    self._end(transaction)
                    raise StoreUnavailable("LockNotAvailableError") from None
            if transaction.over:
                raise StoreUnavailable("the transaction was ended")
            self._take(transaction, one)

    def lock_free(self, transaction: Transaction, wanted: Sequence[LaneKey]) -> None:
        """Lock what nobody holds: SKIP LOCKED has left out the rest."""
        for one in wanted:
            self._take(transaction, one)

    def locked(self) -> Mapping[Lock, Transaction]:
        return self._holders

    def _take(self, transaction: Transaction, one: Lock) -> None:
        if one not in self._holders:
            self._holders[one] = transaction
            transaction.held.append(one)

    def commit(self, transaction: Transaction, *writes: Write, wakes: str | None = None) -> None:
        """Make the writes seen, all at once, and let the locks go. Raises StoreUnavailable if it was ended before."""
        if transaction.over:
            raise StoreUnavailable("the transaction was ended")
        for write in writes:
            write()
        self._end(transaction)
        if wakes is not None:
            self.notify(wakes)

    def _end(self, transaction: Transaction) -> None:
        if transaction.over:
            return
        transaction.over = True
        self._open.remove(transaction)
        for one in transaction.held:
            del self._holders[one]
            queue = self._waiting.get(one, ())
            for free in queue:
                if not free.done():
                    free.set_result(None)
            self._waiting.pop(one, None)

    def rolled_back(self, transaction: Transaction) -> None:
        """Its client gave it up."""
        self._end(transaction)

    def disconnected(self, process: Process) -> None:
        """The process is gone: what it had open is rolled back, as PostgreSQL does when it sees the socket closed."""
        for transaction in [one for one in self._open if one.process is process]:
            self._end(transaction)
        self._listeners = [one for one in self._listeners if one.process is not process]

    async def listen(self, channel: str, heard: Callable[[str], None]) -> Awaitable[None]:
        """See Database.listen."""
        listener = _Listener(
            channel, heard, PROCESS.get(None), copy_context(), asyncio.get_running_loop().create_future()
        )

        async def heard_from_now_on() -> None:
            self._listeners.append(listener)

        await self.carry(heard_from_now_on)
        return listener.lost

    def notify(self, channel: str) -> None:
        """Have everybody who listens hear of it, each in their own process."""
        for one in self._listeners:
            if one.channel == channel:
                asyncio.get_running_loop().call_soon(one.heard, "", context=one.context)

    def hang_up(self) -> None:
        """Cut every connection that listens."""
        gone, self._listeners = self._listeners, []
        for one in gone:
            if not one.lost.done():
                one.lost.set_result(None)


# The functions that stand in ---------------------------------------------------------------------------------------


def of(database: Database) -> Store:
    """Return what stands in place of the database."""
    return cast("Store", database)


async def claim(
    database: Database,
    organisations: Sequence[str],
    *,
    limit: int,
    credit: int,
    lease: timedelta,
    leaf: Callable[[Claimed], bytes],
) -> list[Claimed]:
    """See lanes.claim."""
    store, process = of(database), PROCESS.get(None)

    async def taking() -> list[Claimed]:
        transaction = store.begin(process)
        keys = store.tables.due_lanes(transaction.now, organisations, limit, credit, cast("Any", store.locked()))
        store.lock_free(transaction, keys)
        claimed, write = store.tables.claim(transaction.now, keys, lease)
        store.commit(transaction, write)
        store.watch("claimed", (claimed, transaction.now))
        return claimed

    claimed = await store.carry(taking)
    leaves = [leaf(item) for item in claimed if not item.revoked]

    async def keeping() -> None:
        store.tables.leaves.extend(leaves)

    if leaves:
        await store.carry(keeping)
    return claimed


async def claim_batch(
    database: Database,
    organisation: str,
    *,
    upto: datetime,
    size: int,
    credit: int,
    lease: timedelta,
    leaf: Callable[[Claimed], bytes],
) -> list[Claimed]:
    """See batches.claim."""
    store, process = of(database), PROCESS.get(None)
    tables = store.tables

    async def taking() -> tuple[Transaction, list[Claimed], Write] | None:
        transaction = store.begin(process)
        if (room := tables.room(transaction.now, organisation, credit)) <= 0:
            store.rolled_back(transaction)
            return None
        again = tables.again(transaction.now, organisation)
        keys = again or tables.fresh(transaction.now, organisation, upto, min(size, room))
        await store.lock(transaction, keys)
        if again:
            keys = [key for key in again if tables.again(transaction.now, organisation) == again]
        else:
            due = set(tables.fresh(transaction.now, organisation, upto, len(tables.lanes)))
            keys = [key for key in keys if key in due]
        claimed, write = tables.claim(transaction.now, keys, lease)
        return transaction, batches.placed(claimed), write

    if (taken := await store.carry(taking)) is None:
        return []
    transaction, claimed, write = taken
    leaves = [leaf(item) for item in claimed if item.place]

    async def committing() -> None:
        store.commit(
            transaction,
            write,
            lambda: tables.close(claimed, transaction.now),
            lambda: tables.leaves.extend(leaves),
        )
        store.watch("claimed", (claimed, transaction.now))

    await store.carry(committing)
    return claimed


async def mark_published(database: Database, claimed: Sequence[Claimed], *, again_after: timedelta) -> None:
    """See lanes.mark_published."""
    store, process = of(database), PROCESS.get(None)

    async def marking() -> None:
        transaction = store.begin(process)
        await store.lock(transaction, sorted((item.person_id, item.organisation) for item in claimed))
        store.commit(transaction, lambda: store.tables.mark_published(transaction.now, claimed, again_after))

    await store.carry(marking)


async def next_due(database: Database, organisations: Sequence[str]) -> float | None:
    """See lanes.next_due."""
    store = of(database)

    async def looking() -> float | None:
        return store.tables.next_due(store.now(), organisations)

    return await store.carry(looking)


async def at_the_gate(database: Database, delivery_ids: Sequence[UUID], decide: GateDecision) -> dict[UUID, AtTheGate]:
    """See lanes.at_the_gate."""
    store, process = of(database), PROCESS.get(None)
    rows: dict[UUID, AtTheGate] = {}
    asked: Collection[UUID] = delivery_ids

    async def reading() -> dict[UUID, AtTheGate]:
        return store.tables.at_the_gate(store.now(), asked)

    async def granting() -> set[UUID]:
        transaction = store.begin(process)
        await store.lock(transaction, store.tables.lanes_of(granted))
        still = {one: until for one, until in granted.items() if store.tables.stands(rows[one])}

        def write() -> None:
            store.watch("granted", [(one, until, transaction.now) for one, until in still.items()])
            store.tables.grant(still)

        store.commit(transaction, write)
        return set(still)

    while asked:
        seen = await store.carry(reading)
        rows |= seen
        granted = decide(seen)
        asked = granted.keys() - await store.carry(granting) if granted else ()
    return rows


class Folding:
    """See receipts.Folding."""

    def __init__(
        self,
        store: Store,
        transaction: Transaction,
        known: frozenset[UUID],
        touched: Mapping[UUID, Touched],
    ) -> None:
        self._store = store
        self._transaction = transaction
        self.now = transaction.now
        self.known = known
        self.touched = touched
        self.writes: list[Write] = []
        self.wakes = False
        self._settled: list[Settled] = []

    async def write(self, settled: Sequence[Settled], entries: Sequence[Entry], *, by_operator: bool = False) -> None:
        tables = self._store.tables
        looked_at = [item.id for item in settled if item.id in self.touched and self.touched[item.id].withdrawn]

        def write() -> None:
            self._store.watch("settled", (settled, entries))
            self.wakes = tables.settle(settled) or self.wakes
            tables.look_again(looked_at, self.now)
            tables.keep(entries)

        self._settled += settled
        self.writes.append(write)

    async def left_superseded(self, ended: Sequence[UUID]) -> list[LeftSuperseded]:
        return self._store.tables.shadow(self._settled).left_superseded(ended, self.now)

    async def reopen(self, deliveries: Sequence[Touched], leaves: Sequence[bytes]) -> None:
        def write() -> None:
            for one in deliveries:
                self._store.watch("reopened", one.id)
                self._store.tables.reopen(one.id, self.now)
            self._store.tables.leaves.extend(leaves)
            self.wakes = True

        self.writes.append(write)

    async def quarantine(self, records: Sequence[SetAside]) -> None:
        def write() -> None:
            for record in records:
                self._store.tables.quarantine.setdefault((record.topic, record.partition, record.offset), record)

        self.writes.append(write)

    async def pause(self, organisation: str, reason: str, leaf: bytes) -> bool:
        store, now = self._store, self._transaction.now

        async def pausing() -> bool:
            await store.lock(self._transaction, [CONFIGURATION])
            party = store.tables.parties[organisation]
            return party.paused_reason is None or party.draining

        def write() -> None:
            store.tables.pause(organisation, reason, now)
            store.tables.leaves.append(leaf)
            store.watch("paused", (organisation, reason))
            store.notify("unwaith_configuration")

        changed = await store.carry(pausing)
        if changed:
            self.writes.append(write)
        return changed


@asynccontextmanager
async def folding(
    database: Database, receipt_ids: Sequence[UUID], delivery_ids: Sequence[UUID]
) -> AsyncIterator[Folding]:
    """See receipts.folding."""
    store, process = of(database), PROCESS.get(None)

    async def reading() -> Folding:
        transaction = store.begin(process)
        await store.lock(transaction, store.tables.lanes_of(delivery_ids))
        known = frozenset(one for one in receipt_ids if one in store.tables.receipts)
        folding = Folding(store, transaction, known, store.tables.touched(delivery_ids, transaction.now))
        begun.append(transaction)
        return folding

    begun: list[Transaction] = []
    try:
        found = await store.carry(reading)
        yield found

        async def committing() -> None:
            store.commit(begun[0], *found.writes)
            if found.wakes:
                store.notify("unwaith_due")

        await store.carry(committing)
    except BaseException:
        for transaction in begun:
            store.rolled_back(transaction)
        raise


async def accept(
    database: Database, batch: Sequence[Told], *, also: Callable[[Any], Awaitable[None]] | None = None
) -> dict[UUID, datetime]:
    """See changes.accept; nothing is done beside it here."""
    store, process = of(database), PROCESS.get(None)
    assert also is None

    async def accepting() -> dict[UUID, datetime]:
        tables = store.tables
        fresh = [told for told in batch if (told.person_id, told.key) not in tables.keys]
        if erased := frozenset(told.id for told in fresh if tables.people[told.person_id].erased_at is not None):
            raise PersonErased(erased)
        transaction = store.begin(process)
        await store.lock(transaction, [person_of(one) for one in sorted({told.person_id for told in fresh})])
        wanted = sorted({(told.person_id, owed.organisation) for told in fresh for owed in told.owed})
        await store.lock(transaction, [one for one in wanted if one in tables.lanes])

        def write() -> None:
            for told in fresh:
                tables.accept(told, transaction.now)
                watch_held(store, told.id, [one.id for one in told.holds])

        store.commit(transaction, write, wakes="unwaith_due")
        return {told.id: transaction.now for told in fresh}

    return await store.carry(accepting)


def watch_held(store: Store, change_id: UUID, holds: Sequence[UUID]) -> None:
    """Tell of a change's holds, and what of it they keep: what has no place in its lane yet."""
    if holds:
        kept = [row.owed.id for row in store.tables.of_change(change_id) if row.sequence is None]
        store.watch("held", (change_id, holds, kept))


async def pause(
    database: Database, organisation: str, reason: str | None, note: str | None, leaf: bytes, *, draining: bool = False
) -> bool:
    """See operations.pause."""
    store, process = of(database), PROCESS.get(None)

    async def pausing() -> bool:
        transaction = store.begin(process)
        await store.lock(transaction, [CONFIGURATION])
        changed: list[bool] = []

        def write() -> None:
            changed.append(store.tables.pause(organisation, reason, transaction.now, draining=draining))
            if changed[0]:
                store.tables.leaves.append(leaf)
                store.watch("paused", (organisation, None if draining else reason))

        store.commit(transaction, write, wakes="unwaith_due")
        store.notify("unwaith_configuration")
        return changed[0]

    return await store.carry(pausing)


async def ask(database: Database, replay: Replay, leaf: bytes) -> None:
    """See replays.ask."""
    store = of(database)

    async def asking() -> None:
        store.tables.replays[replay.id] = replay
        store.tables.leaves.append(leaf)

    await store.carry(asking)


async def step(
    database: Database, limit: int, decide: replays.Decide[str], leaf: Callable[[Replay, Candidate], bytes]
) -> UUID | None:
    """See replays.step; only single deliveries are asked for here."""
    store, process = of(database), PROCESS.get(None)

    async def stepping() -> UUID | None:
        tables = store.tables
        if not tables.replays:
            return None
        replay = min(tables.replays.values(), key=lambda one: one.asked_at)
        assert replay.asked.delivery_id is not None
        transaction = store.begin(process)
        await store.lock(transaction, tables.lanes_of([replay.asked.delivery_id]))
        if replay.id not in tables.replays:  # another has carried it out meanwhile
            store.rolled_back(transaction)
            return None
        candidate = tables.candidate(replay.asked.delivery_id)
        replayed = decide(candidate) is None

        def write() -> None:
            del tables.replays[replay.id]
            if replayed:
                store.watch("reopened", candidate.delivery_id)
                tables.reopen(candidate.delivery_id, transaction.now)
                tables.leaves.append(leaf(replay, candidate))

        store.commit(transaction, write, wakes="unwaith_due")
        return replay.id

    return await store.carry(stepping)


def person_of(person_id: int) -> str:
    """Return the lock on a person's row."""
    return f"person {person_id}"


async def cancel(database: Database, person_id: int, change_id: UUID, back: TakingBack) -> bool:
    """See withdrawals.cancel."""
    store, process = of(database), PROCESS.get(None)

    async def cancelling() -> bool:
        transaction = store.begin(process)
        await store.lock(transaction, [person_of(person_id)])
        if change_id in store.tables.withdrawals:
            store.rolled_back(transaction)
            return False

        def write() -> None:
            store.watch("withdrawn", change_id)
            store.tables.withdraw(person_id, change_id, back, None, transaction.now)

        store.commit(transaction, write)
        return True

    return await store.carry(cancelling)


async def correct(
    database: Database,
    told: Told,
    change_id: UUID,
    back: TakingBack,
    held: Callable[[Sequence[HoldReason]], bytes],
) -> datetime | None:
    """See withdrawals.correct."""
    store, process = of(database), PROCESS.get(None)

    async def correcting() -> datetime | None:
        tables = store.tables
        if (told.person_id, told.key) in tables.keys:
            return None
        if tables.people[told.person_id].erased_at is not None:
            raise PersonErased(frozenset((told.id,)))
        transaction = store.begin(process)
        wanted = sorted((told.person_id, owed.organisation) for owed in told.owed)
        await store.lock(transaction, [person_of(told.person_id), *(one for one in wanted if one in tables.lanes)])
        if change_id in tables.withdrawals:
            store.rolled_back(transaction)
            raise WithdrawnAlready

        def write() -> None:
            store.watch("withdrawn", change_id)
            tables.accept(told, transaction.now)
            watch_held(store, told.id, [one.id for one in told.holds])
            over = tables.holds.carried_over(change_id)
            if placed := tables.holds.place(told.id, told.person_id, over, transaction.now):
                watch_held(store, told.id, placed)
                tables.hold_back(told.id)
                tables.leaves.append(held([tables.holds.rows[one].row.reason for one in placed]))
            tables.withdraw(told.person_id, change_id, back, told.id, transaction.now)

        store.commit(transaction, write, wakes="unwaith_due")
        return transaction.now

    return await store.carry(correcting)


async def due(database: Database, limit: int) -> list[UUID]:
    """See withdrawals.due."""
    store = of(database)

    async def looking() -> list[UUID]:
        now = store.now()
        waiting = [
            (one.look_at, key)
            for key, one in store.tables.withdrawals.items()
            if one.look_at is not None and one.look_at <= now
        ]
        return [key for _, key in sorted(waiting)[:limit]]

    return await store.carry(looking)


async def later(database: Database, change_id: UUID, seconds: float) -> None:
    """See withdrawals.later."""
    store = of(database)

    async def putting_off() -> None:
        store.tables.withdrawals[change_id].look_at = store.now() + timedelta(seconds=seconds)

    await store.carry(putting_off)


@dataclass
class Look:
    """See withdrawals.Look."""

    store: Store
    change_id: UUID
    taken_back_by: UUID
    corrected: bool
    folding: Folding
    sent: Mapping[UUID, Sent]
    key: tuple[int, int, bytes] | None

    async def take_back(self, owed: Sequence[OwedBack], leaf: bytes) -> None:
        def write() -> None:
            self.store.watch("taken back", owed)
            self.store.tables.take_back(self.change_id, owed, self.folding.now)
            self.store.tables.leaves.append(leaf)
            self.folding.wakes = True

        self.folding.writes.append(write)

    async def looked(self, again: datetime | None) -> None:
        def write() -> None:
            self.store.tables.withdrawals[self.change_id].look_at = again

        self.folding.writes.append(write)


@asynccontextmanager
async def looking(database: Database, change_id: UUID) -> AsyncIterator[Look | None]:
    """See withdrawals.looking."""
    store, process = of(database), PROCESS.get(None)
    begun: list[Transaction] = []

    async def reading() -> Look | None:
        tables, transaction = store.tables, store.begin(process)
        begun.append(transaction)
        found = tables.withdrawals[change_id]
        await store.lock(transaction, [person_of(found.person_id)])
        ids = [row.owed.id for row in tables.of_change(change_id)]
        await store.lock(transaction, [*tables.lanes_of(ids), f"withdrawal {change_id}"])
        if found.look_at is None or found.look_at > transaction.now:
            return None
        person = tables.people[found.person_id]
        return Look(
            store,
            change_id,
            found.taken_back_by,
            found.corrected_by is not None,
            Folding(store, transaction, frozenset(), tables.touched(ids, transaction.now)),
            tables.sent(change_id),
            None if person.wrapped is None else (found.person_id, person.kek_generation, person.wrapped),
        )

    try:
        look = await store.carry(reading)
        yield look

        async def committing() -> None:
            writes = look.folding.writes if look is not None else []
            store.commit(begun[0], *writes)
            if look is not None and look.folding.wakes:
                store.notify("unwaith_due")

        await store.carry(committing)
    except BaseException:
        for transaction in begun:
            store.rolled_back(transaction)
        raise


async def take_for_lost(database: Database, organisations: Sequence[str], untaken: timedelta) -> dict[str, int]:
    """See breakers.take_for_lost."""
    store = of(database)

    async def looking() -> dict[str, int]:
        locked = cast("Any", store.locked())
        return store.tables.take_for_lost(store.now(), organisations, untaken, locked)

    return await store.carry(looking)


async def past(database: Database, horizons: Mapping[str, timedelta], limit: int) -> list[UUID]:
    """See horizon.past."""
    store = of(database)

    async def looking() -> list[UUID]:
        return store.tables.past(store.now(), horizons)[:limit]

    return await store.carry(looking)


async def tidy(database: Database, keep: timedelta, settled: timedelta = timedelta(minutes=1)) -> None:
    """See operations.tidy: no counts are kept here."""


async def version(database: Database) -> int:
    """See register.version."""
    store = of(database)

    async def looking() -> int:
        return store.tables.version

    return await store.carry(looking)


async def configuration(database: Database) -> Configuration:
    """See register.configuration."""
    store = of(database)

    async def looking() -> Configuration:
        tables = store.tables
        return Configuration(
            version=tables.version,
            organisations={
                key: party.definition.model_copy(update={"paused": party.paused, "draining": party.draining})
                for key, party in tables.parties.items()
            },
            agreements=tuple(tables.agreements.values()),
        )

    return await store.carry(looking)


async def standing(database: Database) -> Standing:
    """See breakers.standing."""
    store = of(database)

    async def looking() -> Standing:
        return Standing(store.tables.version, store.now(), dict(store.tables.breakers))

    return await store.carry(looking)


async def move(database: Database, organisation: str, to: Breaker) -> Breaker | None:
    """See breakers.move."""
    store = of(database)

    async def moving() -> Breaker | None:
        stands = store.tables.move(organisation, to)
        store.watch("breaker", (organisation, to))
        store.notify("unwaith_configuration")
        return stands

    return await store.carry(moving)


async def of_organisation(database: Database, organisation: str, delivery_id: UUID) -> Asked | None:
    """See changes.of_organisation."""
    store = of(database)

    async def looking() -> Asked | None:
        row = store.tables.deliveries.get(delivery_id)
        if row is None or row.owed.organisation != organisation or row.sequence is None:
            return None
        return Asked(id=delivery_id, status=row.status, epoch=row.epoch, attempts=row.attempts, sequence=row.sequence)

    return await store.carry(looking)

"""A world to deliver in: real relays, workers, gates and trackers as processes, and everything around them modelled."""

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar, cast
from unittest.mock import patch
from uuid import UUID, uuid4

import structlog

from adapters.pull import Pull
from broker import sealing
from broker.delivery import Pool, PoolSettings
from broker.eventlog import LogUnavailable, Record
from broker.main.rooms import when_there
from broker.register import Directory
from broker.relay import Relay, RelaySettings
from broker.relay import relay as relay_room
from broker.store import Database, StoreUnavailable, changes, holds, mailbox, operations, withdrawals
from broker.store.changes import Owed, PersonErased, Told
from broker.store.holds import HoldRow, Placed
from broker.store.replays import Asked
from broker.store.withdrawals import TakingBack, WithdrawnAlready
from broker.telemetry.metrics import new_metrics
from broker.tracking import giving_up, holding, horizon, replay, watching, withdrawing
from broker.tracking.collecting import Collecting
from broker.tracking.giving_up import GivenUp
from broker.tracking.tracker import Tracker, TrackerSettings
from broker.vault import StoreGate, Vault
from contracts.adapters import Adapter, AdapterContext, Collector
from contracts.delivery import Delivery
from contracts.holds import HoldReason
from contracts.organisation import Organisation
from contracts.receipts import Answer
from contracts.records import write_receipt
from contracts.statuses import Outcome
from contracts.topics import RECEIPTS
from tests.simulation.comers import ComingOrganisation
from tests.simulation.door import AtTheDoor
from tests.simulation.filed import FiledOrganisation
from tests.simulation.history import History
from tests.simulation.invariants import Invariants
from tests.simulation.log import SimulatedLog
from tests.simulation.loop import EPOCH, Process, SimulatedLoop
from tests.simulation.network import Network, Weather
from tests.simulation.organisations import BatchedOrganisation, SimulatedOrganisation
from tests.simulation.store import Store
from tests.simulation.store_lying import StoreMailbox
from tests.simulation.tables import Person, Tables
from tests.simulation.twins import standing_in
from tests.support.line import agreement

T = TypeVar("T")
Role = Literal["relay", "worker", "tracker", "api"]

FAULTS_OF_OURS: Final = frozenset(
    {"delivery.failed", "adapter.misconfigured", "definition.unreadable", "withdrawal.failed"}
)
"""Logged only where our own code is wrong."""


LEAF: Final = b'{"action":"noted"}'
CUT_OFF: Final = timedelta(seconds=10)
"""From one cut-off of files to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What stands in the world when it begins."""

    organisations: Sequence[Organisation]
    people: int = 3
    roles: Mapping[Role, int] = field(default_factory=lambda: {"relay": 1, "worker": 1, "tracker": 1})
    relaying: RelaySettings = field(default_factory=lambda: RelaySettings(lease=timedelta(seconds=10)))
    pooling: PoolSettings = field(default_factory=lambda: PoolSettings(drain_seconds=2.0))
    tracking: TrackerSettings = field(default_factory=TrackerSettings)
    latest_only: frozenset[str] = frozenset()
    """Organisations to whom only a person's newest change matters."""
    stays: int = 0
    """One change in so many is a stay, which says nothing of a move, and no move of it; 0: none is."""
    holds: bool = False
    """Changes may be held, and answers be fetched: trackers and workers look for what that asks of them."""
    session_seconds: float = 10.0
    even: bool = False
    """Every way takes as long as every other, so that two runs can be compared by their times."""


class World:
    """All of it. Made by `a_world`."""

    def __init__(self, seed: int, setting: Setting) -> None:
        self.dice = random.Random(seed)
        self.setting = setting
        self.loop = SimulatedLoop(random.Random(self.dice.random()))  # type: ignore[abstract]  # what nobody calls is absent
        self.history = History(self.loop)
        self.network = Network(self.loop, random.Random(self.dice.random()), even=setting.even)
        self.weather = Weather()
        """On the way to the store."""
        self.tables = Tables()
        self.invariants = Invariants(self.tables, self.history)
        self.store = Store(self.tables, self.now, self._to_the_store, self.invariants.committing)
        self.log = SimulatedLog(
            self.loop,
            self.network,
            random.Random(self.dice.random()),
            session_seconds=setting.session_seconds,
            appended=self.invariants.appended,
            committed=self.invariants.committed,
            prompt=setting.even,
        )
        self.promised: dict[UUID, bytes] = {}
        """The data of every delivery whose change was accepted."""
        self.accepted_at: dict[UUID, float] = {}
        self.changes: dict[UUID, int] = {}
        """Whose each change is that was accepted."""
        self.processes: dict[str, Process] = {}
        self.errands = 0
        """What people and organisations have begun and not ended: tellings, later answers."""
        self._kek = bytes(range(32))
        self._keys: dict[int, bytes] = {}
        self.pools: dict[str, Pool] = {}
        """The workers' pools, for tests that look inside."""
        self._vault = Vault(self.database, {1: self._kek})
        self._metrics = new_metrics()
        self._stops: dict[str, asyncio.Event] = {}
        self._all: list[Process] = []
        self._made = 0
        self.organisations = {item.id: self._organisation(item) for item in setting.organisations}
        self.door = AtTheDoor(self, StoreGate(self.database, self._vault))
        for number in range(1, setting.people + 1):
            self._person(number)

    def begin(self) -> None:
        """Start every process."""
        for role, count in self.setting.roles.items():
            for number in range(1, count + 1):
                self.start(f"{role}-{number}")
        self.loop.spawn(self.loop.outside, self._hearts())
        for one in self.organisations.values():
            if isinstance(one, ComingOrganisation):
                self.loop.spawn(self.loop.outside, one.come(self.door))

    @property
    def database(self) -> Database:
        """The store, as the stages are given it."""
        return cast("Database", self.store)

    def now(self) -> datetime:
        """Return the right time."""
        return EPOCH + timedelta(seconds=self.loop.time())

    def run(self, until: Callable[[], bool] = lambda: False, *, seconds: float = float("inf")) -> bool:
        """Run until `until()` holds, something is violated, or so many seconds have passed; return whether it holds."""
        self.loop.run(lambda: self.history.violation is not None or until(), latest=self.loop.time() + seconds)
        if self.loop.faults:
            self.history.violated("nothing breaks", self.loop.faults[0])
        return self.history.violation is None and until()

    # Processes

    def start(self, name: str) -> Process:
        """Start a process; what it is stands at the beginning of its name."""
        process = self.loop.process(name, ours=True)
        stop = asyncio.Event()
        roles = {"relay": self._relay, "worker": self._worker, "tracker": self._tracker, "api": self._api}
        role = roles[name.partition("-")[0]]
        self.processes[name], self._stops[name] = process, stop
        self._all.append(process)
        main = self.loop.spawn(process, role(process, stop))
        main.add_done_callback(lambda task: self._ended(process, stop, task))
        self.history.note("started", name)
        return process

    def kill(self, name: str) -> None:
        """SIGKILL: nothing of it runs again, and what it had open is rolled back a moment later."""
        process = self.processes[name]
        if process.state != "dead":
            self.history.note("killed", name)
            process.state = "dead"
            self.loop.forget(process)
            with self.loop.within(self.loop.outside):
                self.loop.call_later(self.dice.uniform(0.0, 0.1), self.store.disconnected, process)

    def stop(self, name: str) -> None:
        """SIGSTOP: it stands still, and knows nothing of it."""
        process = self.processes[name]
        if process.state == "running":
            self.history.note("stopped", name)
            process.state = "stopped"
            process.stops += 1

    def go_on(self, name: str) -> None:
        """SIGCONT."""
        process = self.processes[name]
        if process.state == "stopped":
            self.history.note("continued", name)
            process.state = "running"

    def end(self, name: str) -> None:
        """SIGTERM: it ends in its own way."""
        self.history.note("asked to end", name)
        self._stops[name].set()

    def _ended(self, process: Process, stop: asyncio.Event, task: asyncio.Task[None]) -> None:
        if process.state == "dead":
            return
        if not task.cancelled() and (error := task.exception()) is not None:
            self.history.violated("nothing breaks", f"{process.name} ended with {error!r}")
        elif not stop.is_set():
            self.history.violated("nothing breaks", f"{process.name} ended by itself")
        process.state = "dead"
        self.history.note("ended", process.name)
        self.store.disconnected(process)

    async def _relay(self, process: Process, stop: asyncio.Event) -> None:
        async with _directory(self, stop) as directory:
            relay = Relay(
                self.database, self.log, directory.organisations, self.setting.relaying, self._metrics, _clock(self, process)
            )  # fmt: skip
            await relay.run(stop)

    async def _worker(self, process: Process, stop: asyncio.Event) -> None:
        async with _directory(self, stop) as directory:
            pool = Pool(
                self.log,
                StoreGate(self.database, self._vault),
                directory,
                self._adapter,
                self.setting.pooling,
                self._metrics,
                _clock(self, process),
                directory,
            )
            self.pools[process.name] = pool
            beside = []
            if any(isinstance(one, FiledOrganisation) for one in self.organisations.values()):
                clock = _clock(self, process)
                fetched = Collecting(self.database, self.log, directory, self._collector, self._metrics, clock)
                beside = [asyncio.create_task(fetched.run(stop))]
            await pool.run(stop)
            await asyncio.gather(*beside)

    async def _tracker(self, process: Process, stop: asyncio.Event) -> None:
        clock = _clock(self, process)
        async with _directory(self, stop) as directory:
            tracker = Tracker(
                self.database,
                self.log,
                directory.organisations,
                self.setting.tracking,
                self._metrics,
                clock,
                jitter=self.dice.random,
            )
            beside = [
                asyncio.create_task(replay.attend(self.database, clock, stop)),
                asyncio.create_task(horizon.attend(self.database, directory.organisations, stop)),
                asyncio.create_task(withdrawing.attend(self.database, self._vault, clock, stop)),
            ]
            if self.setting.holds:
                beside.append(asyncio.create_task(holding.attend(self.database, clock, stop)))
            if "api-1" in self.processes:
                beside.append(asyncio.create_task(self._clearing(stop)))
            await tracker.run(stop)
            await asyncio.gather(*beside)

    async def _clearing(self, stop: asyncio.Event) -> None:
        """Take out of the mailboxes what has ended, as `watching.watch` does; what else it looks at is not here."""
        while not stop.is_set():
            with suppress(StoreUnavailable):
                await mailbox.clear(self.database)
            with suppress(TimeoutError):
                async with asyncio.timeout(watching.EVERY_SECONDS):
                    await stop.wait()

    async def _api(self, _process: Process, stop: asyncio.Event) -> None:
        """What is asked of it runs in its process; see `AtTheDoor`."""
        await stop.wait()

    async def _adapter(self, settings: Organisation) -> Adapter:
        organisation = self.organisations[settings.id]
        if not isinstance(organisation, ComingOrganisation):
            return organisation
        nothing: Any = None  # it calls nobody
        context = AdapterContext(
            organisation=settings.id,
            settings={},
            secret=nothing,
            http=nothing,
            connections=nothing,
            mailbox=StoreMailbox(self.database, settings.id),
            deadline=timedelta(seconds=settings.policy.deadline_seconds),
            clock=self.now,
        )
        return organisation.laying(Pull(context))

    async def _collector(self, settings: Organisation) -> Collector | None:
        organisation = self.organisations[settings.id]
        return organisation.collector() if isinstance(organisation, FiledOrganisation) else None

    async def _hearts(self) -> None:
        while True:
            await asyncio.sleep(max(1.0, self.setting.session_seconds / 60))
            self.log.beat()

    async def _to_the_store(self, work: Callable[[], Awaitable[T]]) -> T:
        return await self.network.ask(self.weather, lambda: StoreUnavailable("ConnectionLost"), work)

    # People, organisations, operators

    def tell(
        self,
        person_id: int,
        organisations: Sequence[str],
        *,
        in_seconds: float = 0.0,
        held_for: Mapping[HoldReason, float | None] = MappingProxyType({}),
    ) -> None:
        """Have a person tell a change, from then on, until it is answered.

        `held_for`: why it is held, and for how long; None until somebody decides.
        """
        told, data = self._told(person_id, organisations, in_seconds)
        holds = tuple(self._hold(told.id, reason, seconds) for reason, seconds in held_for.items())
        self._errand(self._telling((replace(told, holds=holds), data)))

    def _hold(self, change_id: UUID, reason: HoldReason, seconds: float | None) -> Placed:
        return Placed(
            id=uuid4(),
            reason=reason,
            until=None if seconds is None else self.now() + timedelta(seconds=seconds),
            registration=change_id.bytes if reason is HoldReason.AWAITS_REGISTRAR else None,
            fact=b"as it was told" if reason is HoldReason.AWAITS_REGISTRAR else None,
        )

    def object_to(self, change_id: UUID) -> None:
        """Have somebody say that it was not them who told a change."""
        self._act(
            holds.place(self.database, change_id, self._hold(change_id, HoldReason.OBJECTED, None), lambda _: LEAF)
        )

    def release(self, hold: HoldRow) -> None:
        """Have whoever decides on a hold end it."""
        self._act(holds.release(self.database, hold.id, "operator:1", "evidence_seen", LEAF))

    def refuse(self, hold: HoldRow) -> None:
        """Have staff refuse a held change."""
        back, by = self._back(), "operator:1"
        self._act(
            withdrawals.refuse(self.database, hold.person_id, hold.change_id, back, hold.id, by, "not_convincing")
        )

    def registered(self, hold: HoldRow, *, otherwise: bool) -> None:
        """Have a registrar say what a change that waits for it says, or something else."""
        facts = [b"something else" if otherwise else b"as it was told"]
        entry = self.tables.holds.rows[hold.id].registration or b""
        self._act(holds.confirm(self.database, "registrar", entry, facts, LEAF))

    def _act(self, work: Coroutine[Any, Any, object]) -> None:
        """Do something once: whoever does it sees whether it was done, and does it again or not."""

        async def acting() -> None:
            with suppress(StoreUnavailable):
                await work

        self._errand(acting())

    async def _telling(self, told: tuple[Told, dict[UUID, bytes]]) -> None:
        change, data = told
        while True:
            try:
                await changes.accept(self.database, [change])
            except StoreUnavailable:
                await asyncio.sleep(self.dice.uniform(0.1, 2.0))
            except PersonErased:
                return
            else:
                self._promise(change, data)
                return

    def _promise(self, change: Told, data: dict[UUID, bytes]) -> None:
        self.promised |= data
        self.accepted_at |= dict.fromkeys(data, self.loop.time())
        self.changes[change.id] = change.person_id

    def promise_what_is_taken_back(self) -> None:
        """Open what compensating deliveries carry: who made them is not the person, but the tracker."""
        for one, row in self.tables.deliveries.items():
            if row.type == "withdrawal":
                key = sealing.delivery_key(self._keys[row.person_id], one)
                self.promised[one] = sealing.open_delivery(key, one, row.owed.sealed, row.owed.digest)

    def cancel(self, change_id: UUID) -> None:
        """Have a person cancel a change of theirs, until it is answered."""
        self._errand(self._taking_back(change_id, None))

    def correct(self, change_id: UUID, organisations: Sequence[str]) -> None:
        """Have a person replace a change of theirs by another, to these, until it is answered."""
        self._errand(self._taking_back(change_id, self._told(self.changes[change_id], organisations, 0.0)))

    async def _taking_back(self, change_id: UUID, by: tuple[Told, dict[UUID, bytes]] | None) -> None:
        back = self._back()
        while True:
            try:
                if by is None:
                    await withdrawals.cancel(self.database, self.changes[change_id], change_id, back)
                else:
                    await withdrawals.correct(self.database, by[0], change_id, back, lambda _: LEAF)
                    self._promise(*by)
            except StoreUnavailable:
                await asyncio.sleep(self.dice.uniform(0.1, 2.0))
            except (WithdrawnAlready, PersonErased):
                return
            else:
                return

    def _back(self) -> TakingBack:
        self._made += 1
        return TakingBack(
            id=uuid4(), reference=f"B{self._made}", generation=1, sealed=b"", leaf=b'{"action":"change.cancelled"}'
        )

    def _told(self, person_id: int, organisations: Sequence[str], in_seconds: float) -> tuple[Told, dict[UUID, bytes]]:
        change_id, data = uuid4(), {}
        owed = []
        for name in organisations:
            delivery_id = uuid4()
            data[delivery_id] = b'{"newAddress":"%d","person":%d}' % (self.dice.randrange(10**9), person_id)
            key = sealing.delivery_key(self._keys[person_id], delivery_id)
            sealed, digest = sealing.seal_delivery(key, delivery_id, data[delivery_id])
            owed.append(
                Owed(
                    id=delivery_id,
                    organisation=name,
                    subject=f"{name}-{person_id}",
                    agreement=f"{name}-moves",
                    agreement_version=1,
                    not_before=self.now() + timedelta(seconds=in_seconds),
                    origin="origin",
                    digest=digest,
                    sealed=sealed,
                    newest_of=b"a stay" if self.setting.stays and self._made % self.setting.stays == 0 else b"a move",
                )
            )
        self._made += 1
        told = Told(
            id=change_id,
            person_id=person_id,
            key=b"key %d" % self._made,
            fingerprint=b"",
            reference=f"R{self._made}",
            type="address",
            generation=1,
            sealed=b"",
            accepted_at=self.now(),
            owed=tuple(owed),
            leaf=b'{"action":"change.accepted"}',
        )
        return told, data

    def pause(self, organisation: str, reason: str | None, *, draining: bool = False) -> None:
        """Have an operator pause an organisation, or resume it."""

        async def pausing() -> None:
            with suppress(StoreUnavailable):
                leaf = b'{"action":"organisation.paused"}'
                await operations.pause(self.database, organisation, reason, None, leaf, draining=draining)

        self._errand(pausing())

    def revoke(self, organisation: str) -> None:
        """Take back an organisation's agreement."""
        self.history.note("revoked", organisation)
        self.tables.revoke(f"{organisation}-moves", 1)
        self.invariants.withdrawn.setdefault(f"agreement:{organisation}-moves", self.loop.time())
        self.store.notify("unwaith_configuration")

    def erase(self, person_id: int) -> None:
        """Erase a person: the tombstone is set and the key is gone."""
        self.history.note("erased", person_id)
        self.tables.erase(person_id, self.now())
        self.invariants.withdrawn.setdefault(f"person:{person_id}", self.loop.time())

    def replay(self, delivery_id: UUID) -> None:
        """Have an operator ask for a delivery to be sent again."""

        async def asking() -> None:
            asked = Asked(organisation=self.tables.deliveries[delivery_id].owed.organisation, delivery_id=delivery_id)
            with suppress(StoreUnavailable):
                await replay.ask(
                    self.database, asked, reason="repaired", note="", actor="operator", expected=1, now=self.now()
                )

        self._errand(asking())

    def give_up(self, delivery_id: UUID) -> None:
        """Have an operator give a delivery up."""

        async def giving() -> None:
            with suppress(StoreUnavailable):
                epoch = self.tables.deliveries[delivery_id].epoch
                done = await giving_up.give_up(
                    self.database, delivery_id, reason="operator", note="", actor="operator", now=self.now()
                )
                if done is GivenUp.DONE:
                    self.invariants.given_up[delivery_id] = epoch

        self._errand(giving())

    def poison(self, topic: str) -> None:
        """Put a record into the log that nobody can read."""
        if topic in self.log.partitions:
            self.log.place(None, Record(topic, os.urandom(4), os.urandom(8), (("ce_specversion", b"0.1"),)))
            self.log.changed()

    def lose(self, topic: str) -> None:
        """Lose a topic of the log."""
        self.history.note("lost", topic)
        self.invariants.lost(topic)
        self.log.lose(topic)

    def _later(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        with self.loop.within(self.loop.outside):
            self._errand(self._answering(delivery, outcome, seconds))

    async def _answering(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        """What `POST /v1/receipts` does, asked again until it holds."""
        await asyncio.sleep(seconds)
        row = self.tables.deliveries[delivery.id]
        answer = Answer(id=uuid4(), delivery_id=delivery.id, outcome=outcome)
        receipt = answer.receipt(epoch=row.epoch, attempt=row.attempts, now=self.now())
        while True:
            try:
                await self.log.append([Record(RECEIPTS.name, *write_receipt(receipt))])
            except LogUnavailable:
                await asyncio.sleep(1.0)
            else:
                return

    def _errand(self, work: Coroutine[Any, Any, None]) -> None:
        def done(_: object) -> None:
            self.errands -= 1

        self.errands += 1
        self.loop.spawn(self.loop.outside, work).add_done_callback(done)

    def _organisation(self, settings: Organisation) -> SimulatedOrganisation:
        self.tables.put_organisation(settings)
        agreed = agreement(settings.id, "anywhere")
        self.tables.put_agreement(agreed.model_copy(update={"latest_only": settings.id in self.setting.latest_only}))
        kind: type[SimulatedOrganisation] = SimulatedOrganisation
        if settings.adapter == "pull":
            kind = ComingOrganisation
        elif settings.policy.batch:
            kind = FiledOrganisation if settings.policy.closings else BatchedOrganisation
        return kind(
            settings, self.loop, random.Random(self.dice.random()), self.history, self.invariants, self.now, self._later
        )

    def _person(self, number: int) -> None:
        key = os.urandom(sealing.KEY_BYTES)
        self._keys[number] = key
        wrapped = sealing.seal(self._kek, key, b"dek|v1|%d|%d" % (number, 1))
        self.tables.people[number] = Person(1, wrapped)

    def bury(self) -> None:
        """End what still runs, stands still or is dead, so that nothing of it is left for others to trip over."""
        self.weather.away = self.log.weather.away = True
        self.loop.rested()
        for _ in range(100):
            for process in self._all:  # each time: one whose main task ended is taken for dead, with what else it ran
                process.state = "running"
                self.loop.revive(process)
            left = [task for process in self._all for task in process.tasks if not task.done()]
            left += [task for task in asyncio.all_tasks(self.loop) if not task.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            self.loop.run(lambda: False, callbacks=20_000, latest=self.loop.time() + 60.0)
        raise AssertionError("some of it does not end")

    def _hear(self, _logger: object, method: str, event: Any) -> Any:
        """Take what the stages log: alarms are what operators are told."""
        name = str(event["event"])
        if method in ("error", "exception"):
            self.history.alarmed(name, str(event.get("delivery_id") or event.get("organisation") or ""))
            if name in FAULTS_OF_OURS:
                self.history.violated("nothing breaks", f"{name}: {event.get('error')}")
        raise structlog.DropEvent


def cut_off(_closings: Iterable[str], now: datetime) -> datetime:
    """Return the last cut-off: there is one every few seconds, for days are long and runs are short."""
    return EPOCH + (now - EPOCH) // CUT_OFF * CUT_OFF


def _clock(world: World, process: Process) -> Callable[[], datetime]:
    """Return the process's own wall clock, which may be wrong."""
    return lambda: world.now() + process.skew


@asynccontextmanager
async def _directory(world: World, stop: asyncio.Event) -> AsyncIterator[Directory]:
    """The directory of one process, followed until the process ends."""
    directory = Directory(world.database)
    await when_there(directory.refresh)
    following = asyncio.create_task(directory.run(stop))
    try:
        yield directory
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@contextmanager
def a_world(seed: int, setting: Setting) -> Iterator[World]:
    """Make a world. While it stands, chance is the seed's, and the stages' calls of the store go to its own."""
    chance = random.Random(seed)
    before = structlog.get_config()
    with (
        standing_in(),
        patch.object(relay_room, "latest", cut_off),
        patch.object(os, "urandom", chance.randbytes),
        patch.object(random, "_urandom", chance.randbytes),
    ):
        world = World(seed, setting)
        structlog.configure(
            processors=[world._hear], wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
        )
        try:
            with world.loop.entered():
                world.begin()
                try:
                    yield world
                finally:
                    world.bury()
        finally:
            structlog.configure(**before)

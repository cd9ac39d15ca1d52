"""The store's twin does what the store does: one history on both, compared as it goes.

PostgreSQL's `now()` is put on the simulation's clock, so that even times must be equal. Hypothesis makes the histories.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.store import Database, StoreUnavailable, changes, keys, register, replays
from broker.store.changes import Owed, Told
from broker.store.lanes import AtTheGate, Claimed
from broker.store.receipts import Entry, SetAside, Settled
from broker.store.withdrawals import OwedBack, TakingBack, WithdrawnAlready
from broker.tracking import replay, withdrawing
from broker.tracking.entries import entry_of, settled, standing_of
from broker.tracking.fold import Effect, fold, stopped
from broker.tracking.superseding import bring_back
from broker.tracking.tracker import _ended
from broker.vault import gate
from contracts.breaker import Breaker, Phase
from contracts.organisation import DeliveryPolicy
from contracts.receipts import FailureKind, Receipt, ReceiptKind, withheld
from contracts.statuses import Outcome, Reason
from tests.simulation import store as twins
from tests.simulation.loop import EPOCH
from tests.simulation.store import TWINS, Store
from tests.simulation.tables import Person, Tables
from tests.support.line import agreement, organisation

T = TypeVar("T")
PEOPLE, PLACES = (1, 2, 3, 4, 5), ("council", "library")
LEASE, AGAIN, VALID = timedelta(seconds=30), timedelta(hours=24), timedelta(seconds=10)

CLOCK = """
CREATE SCHEMA simulated;
CREATE TABLE simulated.clock (at timestamptz NOT NULL);
INSERT INTO simulated.clock VALUES ($$2026-03-02T09:00:00Z$$);
CREATE FUNCTION simulated.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM simulated.clock';
"""


@asynccontextmanager
async def on_a_clock(dsn: str) -> AsyncIterator[Database]:
    """Open a database whose `now()` is what stands in `simulated.clock`."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(CLOCK)
    await connection.close()
    setting = {"search_path": "simulated,unwaith,public,pg_catalog", "timezone": "UTC", "lock_timeout": "5000"}
    pool = asyncpg.create_pool(dsn, min_size=0, max_size=4, server_settings=setting)
    await pool
    opened = Database(pool, dsn, setting, 12.0)
    try:
        yield opened
    finally:
        await opened.close()


@dataclass
class Both:
    """The real store and its twin, given the same."""

    real: Database
    tables: Tables = field(default_factory=Tables)
    now: datetime = EPOCH
    made: int = 0
    late: int = 0
    """How many were found past their horizon."""
    claimed: list[Claimed] = field(default_factory=list)
    granted: list[tuple[UUID, datetime]] = field(default_factory=list)

    def __post_init__(self) -> None:
        async def at_once(work: Callable[[], Awaitable[T]]) -> T:
            return await work()

        self.twin = cast("Database", Store(self.tables, lambda: self.now, at_once, lambda _event, _what: None))

    async def begin(self) -> None:
        """Put the same people, organisations and agreements into both."""
        await keys.add_generation(self.real, 1, b"kek")
        for name in PLACES:
            agreed = agreement(name, "anywhere").model_copy(update={"latest_only": name == "library"})
            await register.put_organisation(self.real, organisation(name))
            await register.put_agreement(self.real, agreed)
            self.tables.put_organisation(organisation(name))
            self.tables.put_agreement(agreed)
        for number in PEOPLE:
            assert await keys.add_person(self.real, b"account %d" % number) == number
            await keys.add_person_key(self.real, number, 1, b"wrapped %d" % number)
            self.tables.people[number] = Person(1, b"wrapped %d" % number)
        self.tables.version = await register.version(self.real)

    async def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        async with self.real.connection() as connection:
            await connection.execute("UPDATE simulated.clock SET at = $1", self.now)

    async def both(self, act: Callable[[Any, Database], Awaitable[T]]) -> T:
        """Do one act on the real store's functions and on the twins; what they return must be equal."""
        real, twin = await act(REAL, self.real), await act(twins, self.twin)
        assert twin == real
        return real

    async def compare(self) -> None:
        """Everything that is stored must be equal, row by row."""
        async with self.real.connection() as connection:
            kept = [dict(row) for row in await connection.fetch("SELECT * FROM lane ORDER BY person_id, organisation")]
            sent = [dict(row) for row in await connection.fetch("SELECT * FROM delivery ORDER BY id")]
            read = await connection.fetch("SELECT id, effect, status, next_due FROM receipt ORDER BY id")
            leaves = await connection.fetchval("SELECT count(*) FROM audit_leaf")
            closed = await connection.fetch("SELECT * FROM batch_row")
            aside = await connection.fetch("SELECT topic, partition, record_offset FROM quarantine ORDER BY 1, 2, 3")
            version = await connection.fetchval("SELECT version FROM configuration")
            withdrawn = await connection.fetch("SELECT * FROM withdrawal ORDER BY change_id")
        tables = self.tables
        names = ("subject", "last_sequence", "occupant", "in_flight", "claim", "due", "granted_until")
        assert {(row["person_id"], row["organisation"]): [row[name] for name in names] for row in kept} == {
            key: [getattr(lane, name) for name in names] for key, lane in tables.lanes.items()
        }
        columns = (
            "change_id", "person_id", "ordinal", "status", "epoch", "sequence", "attempts", "unknowns", "due",
            "accepted_at", "published_at", "answered_at", "replayed_at", "reason", "reference",
        )  # fmt: skip
        assert {row["id"]: [row[name] for name in columns] for row in sent} == {
            one: [getattr(row, name) for name in columns] for one, row in tables.deliveries.items()
        }
        assert [tuple(row) for row in read] == [
            (one.id, one.effect, one.status, one.next_due)
            for one in sorted(tables.receipts.values(), key=lambda r: r.id)
        ]
        assert {row["delivery_id"]: tuple(row)[1:] for row in closed} == tables.batch_rows
        assert [tuple(row) for row in aside] == sorted(tables.quarantine)
        known = ("person_id", "corrected_by", "taken_back_by", "asked_at", "look_at")
        assert {row["change_id"]: [row[name] for name in known] for row in withdrawn} == {
            one: [getattr(found, name) for name in known] for one, found in tables.withdrawals.items()
        }
        assert (leaves, version) == (len(tables.leaves), tables.version)

    def some(self, place: int) -> UUID | None:
        """Return a delivery: mostly one that holds its lane, for there most can happen."""
        holding = sorted(lane.occupant for lane in self.tables.lanes.values() if lane.occupant is not None)
        known = holding if holding and place % 6 else sorted(self.tables.deliveries)
        return known[place % len(known)] if known else None

    # Acts

    async def tell(self, person: int, places: list[str], wait: float) -> None:
        told = self._told(person, places, wait)

        async def telling(of: Any, database: Database) -> object:
            try:
                return await of.accept(database, [told]), await of.accept(database, [told])
            except changes.PersonErased as erased:
                return erased.change_ids

        await self.both(telling)

    def _told(self, person: int, places: list[str], wait: float) -> Told:
        self.made += 1
        number = self.made
        owed = tuple(
            Owed(
                id=UUID(int=1000 * number + place),
                organisation=name,
                subject=f"{name}-{person}",
                agreement=f"{name}-moves",
                agreement_version=1,
                not_before=self.now + timedelta(seconds=wait),
                origin="origin",
                digest=b"digest",
                sealed=b"sealed",
            )
            for place, name in enumerate(places)
        )
        return Told(
            id=UUID(int=number),
            person_id=person,
            key=b"key %d" % number,
            fingerprint=b"",
            reference=f"R{number}",
            type="address",
            generation=1,
            sealed=b"",
            accepted_at=self.now,
            owed=owed,
            leaf=b"{}",
        )

    async def claim(self, limit: int, credit: int) -> None:
        async def claiming(of: Any, database: Database) -> list[Claimed]:
            found: list[Claimed] = await of.claim(
                database, list(PLACES), limit=limit, credit=credit, lease=LEASE, leaf=lambda _: b"{}"
            )
            return sorted(found, key=lambda item: item.delivery_id)

        self.claimed += await self.both(claiming)

    async def close(self, size: int, back: float) -> None:
        """Close what was due `back` seconds ago, as a relay does at a cut-off, or claim a closed batch again."""

        async def closing(of: Any, database: Database) -> list[Claimed]:
            found: list[Claimed] = await of.claim_batch(
                database,
                PLACES[1],
                upto=self.now - timedelta(seconds=back),
                size=size,
                credit=3,
                lease=LEASE,
                leaf=lambda _: b"{}",
            )
            return sorted(found, key=lambda item: item.delivery_id)

        self.claimed += await self.both(closing)

    async def mark(self, place: int) -> None:
        if self.claimed:
            item = self.claimed[-1 - place % min(3, len(self.claimed))]
            await self.both(lambda of, database: of.mark_published(database, [item], again_after=AGAIN))

    async def gate(self, place: int, stale: int) -> None:
        ids = [UUID(int=7), *filter(None, {self.some(place), self.some(place + 1)})]

        def decide(rows: Any) -> dict[UUID, datetime]:
            return {
                one: row.now + VALID
                for one, row in rows.items()
                if gate.decide(row, row.epoch + stale, row.now) is None
            }

        async def asking(of: Any, database: Database) -> dict[UUID, AtTheGate]:
            found: dict[UUID, AtTheGate] = await of.at_the_gate(database, ids, decide)
            return found

        for one, row in (await self.both(asking)).items():
            self.granted += [(one, until) for until in decide({one: row}).values()]

    async def fold(self, receipts_of: list[Receipt], aside: bool) -> None:
        """As the tracker does it."""

        async def folding(of: Any, database: Database) -> object:
            ids = list({one.delivery_id for one in receipts_of})
            async with of.folding(database, [one.id for one in receipts_of], ids) as transaction:
                standings = {key: standing_of(touched) for key, touched in transaction.touched.items()}
                entries, moved, ended = [], set(), set()
                for receipt in receipts_of:
                    if receipt.id in transaction.known or receipt.delivery_id not in transaction.touched:
                        continue
                    touched = transaction.touched[receipt.delivery_id]
                    folded = fold(standings[touched.id], receipt, DeliveryPolicy(), transaction.now, 0.5)
                    standings[touched.id] = folded.standing
                    entries.append(entry_of(receipt, folded, touched))
                    if folded.effect in (Effect.RAISED, Effect.SCHEDULED):
                        moved.add(touched.id)
                    if _ended(transaction.touched, receipt):
                        ended.add(touched.id)
                written = [
                    settled(transaction.touched[one], standings[one], attempt_ended=one in ended)
                    for one in standings
                    if one in moved
                ]
                await transaction.write(written, entries)
                await bring_back(transaction, written)
                if aside:
                    await transaction.quarantine(
                        [
                            SetAside(
                                topic="t",
                                partition=0,
                                offset=self.made,
                                reason="undecodable",
                                at=self.now,
                                delivery_id=None,
                            )
                        ]
                    )
                    await transaction.pause(PLACES[0], "unauthorised", b"{}")
                return transaction.now, transaction.known, transaction.touched

        await self.both(folding)

    async def replay(self, place: int) -> None:
        given_up = sorted(one for one, row in self.tables.deliveries.items() if row.status == "undelivered")
        if not (known := given_up or sorted(self.tables.deliveries)):
            return
        row = self.tables.deliveries[known[place % len(known)]]
        self.made += 1
        asked = replays.Replay(
            id=UUID(int=self.made),
            asked=replays.Asked(organisation=row.owed.organisation, delivery_id=row.owed.id),
            reason="repaired",
            note="",
            actor="operator",
            asked_at=self.now,
            expected=1,
            replayed=0,
            refused={},
            ended_at=None,
        )

        async def replaying(of: Any, database: Database) -> object:
            await of.ask(database, asked, b"{}")
            return await of.step(database, 10, replay.decide, lambda *_: b"{}"), await of.step(
                database, 10, replay.decide, lambda *_: b"{}"
            )

        await self.both(replaying)

    def _taking_back(self) -> TakingBack:
        return TakingBack(
            id=UUID(int=10**7 + self.made), reference=f"B{self.made}", generation=1, sealed=b"", leaf=b"{}"
        )

    def _some_change(self, place: int) -> tuple[UUID, int] | None:
        told = sorted(
            {(row.change_id, row.person_id) for row in self.tables.deliveries.values() if row.type == "address"}
        )
        return told[place % len(told)] if told else None

    async def cancel(self, place: int) -> None:
        if (found := self._some_change(place)) is None:
            return
        change_id, person = found
        self.made += 1
        back = self._taking_back()
        await self.both(lambda of, database: of.cancel(database, person, change_id, back))

    async def correct(self, place: int, places: list[str]) -> None:
        if (found := self._some_change(place)) is None:
            return
        change_id, person = found
        told = self._told(person, places, 0.0)
        back = self._taking_back()

        async def correcting(of: Any, database: Database) -> object:
            try:
                return await of.correct(database, told, change_id, back, lambda _: b"")
            except (changes.PersonErased, WithdrawnAlready) as refused:
                return type(refused)

        await self.both(correcting)

    async def take_back(self, place: int) -> None:
        """As the tracker does it, for a withdrawal that is due or not."""
        await self.both(lambda of, database: of.due(database, 50))
        if not (known := sorted(self.tables.withdrawals)):
            return
        change_id = known[place % len(known)]
        self.made += 1
        number = self.made

        async def looking(of: Any, database: Database) -> object:
            async with of.looking(database, change_id) as look:
                if look is None:
                    return None
                moved: list[Settled] = []
                entries: list[Entry] = []
                owed: list[OwedBack] = []
                for touched in sorted(look.folding.touched.values(), key=lambda one: one.organisation):
                    verdict = withdrawing.decide(
                        standing_of(touched), look.sent[touched.id], touched.granted_until, look.folding.now
                    )
                    if verdict.stop:
                        said = withheld(touched.id, touched.epoch, Reason.CANCELLED, look.folding.now)
                        said = said.model_copy(update={"id": UUID(int=2 * 10**9 + 9 * number + len(moved))})
                        folded = stopped(standing_of(touched), said)
                        assert folded is not None
                        moved.append(settled(touched, folded.standing, attempt_ended=True))
                        entries.append(entry_of(said, folded, touched))
                    if verdict.take_back and look.key is not None:
                        key = UUID(int=3 * 10**9 + 9 * number + len(owed))
                        owed.append(OwedBack(id=key, takes_back=touched.id, digest=b"d", sealed=b"s"))
                await look.folding.write(moved, entries)
                await bring_back(look.folding, moved)
                if owed:
                    await look.take_back(owed, b"{}")
                await look.looked(None)
                return look.sent, look.key, look.corrected, look.folding.touched

        await self.both(looking)

    async def pause(self, place: str, reason: str | None, draining: bool) -> None:
        await self.both(lambda of, database: of.pause(database, place, reason, None, b"{}", draining=draining))

    async def revoke(self, place: str) -> None:
        if await register.revoke_agreement(self.real, f"{place}-moves", 1, self.now):
            self.tables.revoke(f"{place}-moves", 1)

    async def erase(self, person: int) -> None:
        async with self.real.connection() as connection:
            await connection.execute("UPDATE person SET erased_at = now() WHERE id = $1", person)
            await connection.execute("DELETE FROM person_key WHERE person_id = $1", person)
        self.tables.erase(person, self.now)

    async def move(self, place: str, phase: Phase, seconds: float, ahead: int) -> None:
        """Move a breaker as whoever sees does, sometimes from a state that no longer stands."""
        stands = self.tables.breakers.get(place, Breaker())
        until = None if phase is Phase.CLOSED else self.now + timedelta(seconds=seconds)
        to = Breaker(phase=phase, since=self.now, until=until, probes=1, version=stands.version + ahead)
        await self.both(lambda of, database: of.move(database, place, to))
        await self.both(lambda of, database: of.standing(database))

    async def miss(self, seconds: float) -> None:
        places, untaken = list(PLACES), timedelta(seconds=seconds)
        await self.both(lambda of, database: of.take_for_lost(database, places, untaken))
        await self.both(lambda of, database: of.standing(database))

    async def look(self) -> None:
        async def past(of: Any, database: Database) -> list[UUID]:
            horizons = {name: timedelta(seconds=60) for name in PLACES}
            return sorted(await of.past(database, horizons, 100))

        self.late += len(await self.both(past))
        await self.both(lambda of, database: of.next_due(database, list(PLACES)))
        await self.both(lambda of, database: of.version(database))

        async def configured(of: Any, database: Database) -> object:
            found = await of.configuration(database)
            return found.version, found.organisations, {(one.id, one.revoked) for one in found.agreements}

        await self.both(configured)


class _Real:
    """The store's own functions, by their names."""

    def __getattr__(self, name: str) -> Any:
        return next(original for original, twin in TWINS if twin.__name__ == name)


REAL = _Real()


def receipt(both: Both, place: int, said: int, offset: int) -> Receipt | None:
    """Return some receipt about some delivery; the same `offset` again is the same receipt."""
    if (one := both.some(place)) is None:
        return None
    row = both.tables.deliveries[one]
    granted = [until for whose, until in both.granted if whose == one]
    shape: dict[str, Any] = (
        {"kind": ReceiptKind.ANSWERED, "outcome": list(Outcome)[said % len(Outcome)], "attempt": row.attempts + 1},
        {"kind": ReceiptKind.DEFERRED, "failure": list(FailureKind)[said % 4], "reason": Reason.SERVER_ERROR,
         "attempt": row.attempts + 1, "granted_until": granted[said % len(granted)] if granted else None},
        {"kind": ReceiptKind.WITHHELD, "attempt": 0, "reason": (Reason.ERASED, Reason.PAUSED, Reason.GRANTED_ELSEWHERE,
         Reason.SUPERSEDED, Reason.CANCELLED, Reason.ALREADY_RECEIVED)[said // 8 % 6], "not_before": both.now + timedelta(seconds=said)},
        {"kind": ReceiptKind.UNDELIVERED, "attempt": 0, "reason": Reason.UNKNOWN_LIMIT},
    )[(0, 1, 1, 1, 2, 1, 1, 3)[said % 8]]  # fmt: skip
    return Receipt(
        id=UUID(int=10**9 + offset),
        delivery_id=row.owed.id,
        epoch=max(0, row.epoch - (said % 7 == 0)),
        at=both.now,
        **shape,
    )


NUMBER = st.integers(0, 60)
ACTS = st.one_of(
    st.tuples(st.just("tell"), st.sampled_from(PEOPLE), st.sampled_from(([PLACES[0]], list(PLACES))), st.sampled_from((0.0, 0.0, 40.0))),
    st.tuples(st.just("claim"), st.sampled_from((1, 500)), st.sampled_from((2, 8192))),
    st.tuples(st.just("claim"), st.just(500), st.just(8192)),
    st.tuples(st.just("close"), st.sampled_from((1, 2, 1000)), st.sampled_from((0.0, 0.0, 2.0))),
    st.tuples(st.just("gate"), NUMBER, st.just(0)),
    st.tuples(st.just("mark"), NUMBER),
    st.tuples(st.just("gate"), NUMBER, st.sampled_from((0, 0, 0, 1))),
    st.tuples(st.just("fold"), NUMBER, NUMBER, NUMBER, st.booleans()),
    st.tuples(st.just("replay"), NUMBER),
    st.tuples(st.just("cancel"), NUMBER),
    st.tuples(st.just("correct"), NUMBER, st.sampled_from(([PLACES[1]], list(PLACES)))),
    st.tuples(st.just("take_back"), NUMBER),
    st.tuples(st.just("move"), st.sampled_from(PLACES), st.sampled_from(list(Phase)), st.sampled_from((0.5, 20.0)), st.sampled_from((1, 1, 2))),
    st.tuples(st.just("miss"), st.sampled_from((5.0, 60.0))),
    st.tuples(st.just("pause"), st.sampled_from(PLACES), st.sampled_from((None, "operator")), st.booleans()),
    st.tuples(st.just("tick"), st.sampled_from((0.5, 3.0, 15.0, 45.0, 90_000.0))),
)  # fmt: skip
RARE = st.one_of(
    st.tuples(st.just("revoke"), st.sampled_from(PLACES)), st.tuples(st.just("erase"), st.sampled_from(PEOPLE))
)
HISTORIES = st.lists(st.one_of(*[ACTS] * 12, RARE), min_size=40, max_size=80)


async def live(both: Both, history: list[tuple[Any, ...]]) -> None:
    """Live through a history, and compare what is stored every few acts."""
    for number, (name, *given_to) in enumerate(history, 1):
        await both.tick(0.001)  # so that no two lanes fall due in one moment, and which is first is told
        if name == "fold":
            place, said, offset, aside = given_to
            found = [
                one
                for one in (receipt(both, place, said, offset), receipt(both, place + 1, said + 3, offset + 1))
                if one
            ]
            await both.fold(found, aside and said > 50)
        elif name == "claim" and _tied(both):
            await both.claim(500, 8192)
        else:
            await getattr(both, name)(*given_to)
        if number % 6 == 0 or number == len(history):
            await both.look()
            await both.compare()


def _tied(both: Both) -> bool:
    """Whether two lanes of a place fell due in one moment: PostgreSQL may then begin with either."""
    dues = [(key[1], lane.due) for key, lane in both.tables.lanes.items() if lane.due is not None]
    return len(dues) != len(set(dues))


async def emptied(both: Both) -> None:
    """Begin again on an empty store."""
    async with both.real.connection() as connection:
        await connection.execute(
            "TRUNCATE person, account, person_key, organisation, agreement, change, change_key, withdrawal, lane, pseudonym, delivery,"
            " delivery_content, receipt, breaker, quarantine, replay, batch_row, audit_leaf, pause, key_generation RESTART IDENTITY CASCADE"
        )
        await connection.execute("UPDATE simulated.clock SET at = $1", EPOCH)
    await both.begin()


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as opened:
        yield opened


def test_any_history_is_the_same_on_both(dsn: str, runner: asyncio.Runner) -> None:
    opening = on_a_clock(dsn)
    real = runner.run(opening.__aenter__())
    acts, found = 0, list[int]()

    @settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(HISTORIES)
    def both_agree(history: list[tuple[Any, ...]]) -> None:
        async def lived() -> None:
            both = Both(real)
            await emptied(both)
            await live(both, history)
            found.append(both.late)

        nonlocal acts
        acts += len(history)
        runner.run(lived())

    try:
        both_agree()
    finally:
        runner.run(opening.__aexit__(None, None, None))
    print(f"{acts} acts compared, {sum(found)} found past their horizon")  # noqa: T201  said with -s


@pytest.mark.parametrize(("original", "twin"), TWINS, ids=[twin.__name__ for _, twin in TWINS])
def test_each_twin_is_called_as_the_store_is(original: Callable[..., Any], twin: Callable[..., Any]) -> None:
    def shape(of: Callable[..., Any]) -> list[tuple[str, object, object]]:
        return [(one.name, one.kind, one.default) for one in inspect.signature(of).parameters.values()]

    assert shape(twin) == shape(original)


async def test_what_is_locked_is_waited_for_or_passed_over_by_both(dsn: str) -> None:
    """A fold holds one lane: a claim passes it over, and a grant waits for it and is then decided anew on what it made."""
    async with on_a_clock(dsn) as real:
        both = Both(real)
        await emptied(both)
        for person in PEOPLE[:2]:
            await both.tell(person, ["council"], 0.0)
            await both.tick(1.0)
        held = UUID(int=1000)

        async def contended(of: Any, database: Database) -> object:
            async with of.folding(database, [], [held]):
                first = await of.claim(database, ["council"], limit=9, credit=9, lease=LEASE, leaf=lambda _: b"{}")
            second = await of.claim(database, ["council"], limit=9, credit=9, lease=LEASE, leaf=lambda _: b"{}")
            seen: list[Any] = []

            def seeing(rows: Any) -> dict[UUID, datetime]:
                seen.append(rows[held].status)
                return {one: row.now + VALID for one, row in rows.items() if row.in_flight}

            done = asyncio.Event()

            async def asks() -> None:
                await of.at_the_gate(database, [held], seeing)
                done.set()

            async with of.folding(database, [], [held]) as transaction:
                asking = asyncio.create_task(asks())
                await asyncio.sleep(0.1)
                waited = not done.is_set()
                answered = Receipt(
                    id=UUID(int=1), delivery_id=held, epoch=0, attempt=1, kind=ReceiptKind.ANSWERED,
                    outcome=Outcome.APPLIED, at=self_now,
                )  # fmt: skip
                touched = transaction.touched[held]
                folded = fold(standing_of(touched), answered, DeliveryPolicy(), transaction.now, 0.5)
                await transaction.write(
                    [settled(touched, folded.standing, attempt_ended=False)], [entry_of(answered, folded, touched)]
                )
            await asking
            return [one.delivery_id for one in first], [one.delivery_id for one in second], waited, seen

        self_now = both.now
        first, second, waited, seen = cast("Any", await both.both(contended))
        assert (first, second, waited) == ([UUID(int=2000)], [held], True)
        assert seen == ["queued", "applied"]
        await both.compare()


async def test_a_transaction_that_failed_leaves_nothing_in_either(dsn: str) -> None:
    async with on_a_clock(dsn) as real:
        both = Both(real)
        await emptied(both)
        await both.tell(1, ["council"], 0.0)

        async def failing(of: Any, database: Database) -> object:
            with pytest.raises(StoreUnavailable):  # noqa: PT012  what fails is the transaction as a whole
                async with of.folding(database, [], [UUID(int=1000)]) as transaction:
                    await transaction.pause("council", "unauthorised", b"{}")
                    raise StoreUnavailable
            return await of.version(database)

        await both.both(failing)
        await both.compare()
        await both.claim(9, 9)
        await both.compare()


@pytest.mark.parametrize("sent_meanwhile", [False, True])
async def test_what_was_superseded_and_left_alone_is_the_same_on_both(dsn: str, sent_meanwhile: bool) -> None:
    """The library wants only the newest; that is cancelled unsent, and perhaps something else went meanwhile."""
    async with on_a_clock(dsn) as real:
        both = Both(real)
        await emptied(both)
        for _ in range(2):
            await both.tell(1, ["library"], 0.0)
            await both.tick(1.0)
            if not both.claimed:
                await both.claim(9, 9)
        first, second = sorted(both.tables.deliveries)
        said = withheld(first, 0, Reason.SUPERSEDED, both.now).model_copy(update={"id": UUID(int=9)})
        await both.fold([said], False)
        assert both.tables.deliveries[first].status == "superseded", "the second stands for it"
        if sent_meanwhile:
            await both.claim(9, 9)
            lost = {"kind": ReceiptKind.DEFERRED, "failure": FailureKind.UNKNOWN, "attempt": 1}
            await both.fold([said.model_copy(update={"id": UUID(int=8), "delivery_id": second, **lost})], False)
            await both.tell(1, ["library"], 0.0)
        await both.cancel(1)
        await both.take_back(0)
        stands = both.tables.deliveries[first]
        assert (stands.status, stands.epoch) == (("superseded", 0) if sent_meanwhile else ("queued", 1))
        await both.claim(9, 9)
        await both.compare()

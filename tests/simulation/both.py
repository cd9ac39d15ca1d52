"""The real store and its twin side by side, and what can be done to both."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import asyncpg

from broker.store import Database, changes, keys, register, replays
from broker.store.changes import Owed, Told
from broker.store.holds import Placed
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
from contracts.receipts import Receipt, withheld
from contracts.statuses import Reason
from tests.simulation.loop import EPOCH
from tests.simulation.store import Store
from tests.simulation.tables import NEVER, Person, Tables
from tests.simulation.twins import TWINS
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


class _Functions:
    """The store's functions, or their twins, by the twins' names."""

    def __init__(self, which: int) -> None:
        self._which = which

    def __getattr__(self, name: str) -> Any:
        return next(pair[self._which] for pair in TWINS if pair[1].__name__ == name)


REAL, TWIN = _Functions(0), _Functions(1)


def aware(read: T) -> T:
    """Return what was read from PostgreSQL with its infinity as the twin has it: the driver's has no zone."""
    seen: Any = read
    if seen == NEVER.replace(tzinfo=None):
        seen = NEVER
    elif is_dataclass(seen) and not isinstance(seen, type):
        told = {one.name: aware(getattr(seen, one.name)) for one in fields(seen)}
        seen = replace(seen, **told)
    elif isinstance(seen, dict):
        seen = {key: aware(value) for key, value in seen.items()}
    elif type(seen) in (list, tuple):
        seen = type(seen)(map(aware, seen))
    return cast("T", seen)


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
        real, twin = aware(await act(REAL, self.real)), await act(TWIN, self.twin)
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
            overlooked = await connection.fetchval(
                "SELECT count(*) FROM delivery d JOIN lane l USING (person_id, organisation)"
                " WHERE d.sequence IS NULL AND d.status IN ('waiting', 'queued') AND d.ordinal < l.owed_from"
            )
        assert overlooked == 0, "owed, and not looked back to"
        tables = self.tables
        names = ("subject", "last_sequence", "occupant", "in_flight", "claim", "due", "granted_until")
        assert {(row["person_id"], row["organisation"]): aware([row[name] for name in names]) for row in kept} == {
            key: [getattr(lane, name) for name in names] for key, lane in tables.lanes.items()
        }
        columns = (
            "change_id", "person_id", "ordinal", "status", "epoch", "sequence", "attempts", "unknowns", "due",
            "accepted_at", "published_at", "answered_at", "replayed_at", "reason", "reference",
        )  # fmt: skip
        assert {row["id"]: aware([row[name] for name in columns]) for row in sent} == {
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

    async def tell(self, person: int, places: list[str], wait: float, holds: tuple[Placed, ...] = ()) -> None:
        told = replace(self._told(person, places, wait), holds=holds)

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
                newest_of=(b"temporary" if number % 4 == 0 else b"permanent") if name == "library" else None,
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

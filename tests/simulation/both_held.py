"""What can be done to both stores besides what the line does: holds, mailboxes, answers that are fetched."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from broker.store import Database
from broker.store.collecting import Round
from broker.store.holds import HoldRow, Placed
from broker.store.lanes import AtTheGate
from broker.store.mailbox import PickedUp
from broker.vault import gate
from contracts.delivery import Delivery
from contracts.holds import HoldReason
from contracts.statuses import Reason
from tests.simulation.both import PLACES, Both
from tests.simulation.loop import EPOCH

REGISTRATION = b"an entry"
ALARM_AFTER = timedelta(hours=24)


class BothHeld(Both):
    """Both, and more acts."""

    def held(self, reason: HoldReason, seconds: float, fact: int) -> Placed:
        """Return a hold to be placed."""
        self.made += 1
        return Placed(
            id=UUID(int=4 * 10**9 + self.made),
            reason=reason,
            until=self.now + timedelta(seconds=seconds) if reason is HoldReason.NEW_ACCOUNT else None,
            registration=REGISTRATION if reason is HoldReason.AWAITS_REGISTRAR else None,
            fact=b"fact %d" % fact if reason is HoldReason.AWAITS_REGISTRAR else None,
        )

    async def tell_held(self, person: int, places: list[str], wait: float, reasons: list[HoldReason]) -> None:
        holds = tuple(self.held(reason, 20.0, self.made % 2) for reason in reasons)
        await self.tell(person, places, wait, holds)

    async def hold(self, place: int, reason: HoldReason) -> None:
        if (found := self._some_change(place)) is None:
            return
        placed = self.held(reason, 20.0, 0)

        async def placing(of: Any, database: Database) -> list[UUID]:
            return sorted(await of.place(database, found[0], placed, lambda _: b"{}"))

        await self.both(placing)

    def _some_hold(self, place: int) -> tuple[UUID, HoldReason] | None:
        """Return the change and the reason of a hold, mostly of one that is open: the ids of carried-over ones differ."""
        rows = sorted(
            (one.row.ended_at is not None, one.row.placed_at, one.row.change_id, one.row.reason)
            for one in self.tables.holds.rows.values()
        )
        still = [one for one in rows if not one[0]]
        known = still if still and place % 6 else rows
        return known[place % len(known)][2:] if known else None

    async def _hold_id(self, database: Database, which: tuple[UUID, HoldReason]) -> UUID:
        if database is self.twin:
            found = [one.row for one in self.tables.holds.rows.values() if (one.row.change_id, one.row.reason) == which]
            return max(found, key=lambda row: (row.ended_at is None, row.placed_at)).id
        async with database.connection() as connection:
            hold_id: UUID = await connection.fetchval(
                "SELECT id FROM hold WHERE change_id = $1 AND reason = $2"
                " ORDER BY ended_at IS NULL DESC, placed_at DESC LIMIT 1",
                *which,
            )
        return hold_id

    async def release(self, place: int) -> None:
        if (which := self._some_hold(place)) is None:
            return

        async def releasing(of: Any, database: Database) -> object:
            return await of.release(
                database, await self._hold_id(database, which), "operator:1", "evidence_seen", b"{}"
            )

        await self.both(releasing)

    async def refuse(self, place: int) -> None:
        if (which := self._some_hold(place)) is None:
            return
        person = self.tables.of_change(which[0])[0].person_id
        self.made += 1
        back = self._taking_back()

        async def refusing(of: Any, database: Database) -> object:
            hold_id = await self._hold_id(database, which)
            return await of.refuse(database, person, which[0], back, hold_id, "operator:1", "not_convincing")

        await self.both(refusing)

    async def confirm(self, fact: int) -> None:
        await self.both(lambda of, database: of.confirm(database, PLACES[0], REGISTRATION, [b"fact %d" % fact], b"{}"))

    async def lapse(self) -> None:
        """As the tracker does it: what time has ended is released, what a registrar answered is weighed."""

        async def lapsing(of: Any, database: Database) -> object:
            over: list[HoldRow] = await of.over(database, 50)
            told = [_known(one) for one in over]
            told += [await of.release(database, one.id, "tracking", "time_over", b"{}") for one in over]
            answered = await of.answered(database, 50)
            told += [(one.change_id, one.organisation, one.agrees) for one in answered]
            for one in answered:
                if one.agrees:
                    told.append(await of.release(database, one.hold_id, "registrar", "registrar_confirmed", b"{}"))
                else:
                    told.append(await of.differs(database, one.hold_id, b"{}"))
            return told

        await self.both(lapsing)

    async def lay(self, place: int, ahead: int) -> None:
        """Lay down some of what holds its lane at the one who comes, perhaps such as lies there already."""
        lanes = sorted(self.tables.lanes.items())
        ids = [lane.occupant for (_, name), lane in lanes if name == PLACES[0] and lane.occupant is not None]
        laid = [_of(one, self.tables.deliveries[one].epoch + ahead) for one in ids[place % 2 :]]
        await self.both(lambda of, database: of.StoreMailbox(database, PLACES[0]).place(laid, ALARM_AFTER))

    async def come(self, after: int, limit: int) -> None:
        """Look, and be handed what the gate lets through, of what was laid down just before besides."""
        await self.lay(limit, 0)

        async def coming(of: Any, database: Database) -> object:
            lying = await of.look(database, PLACES[0], after, limit)
            epochs = {one.delivery_id: one.epoch for one in lying}
            seen: list[Mapping[UUID, AtTheGate]] = []

            def decide(rows: Mapping[UUID, AtTheGate]) -> PickedUp:
                seen.append(rows)
                verdicts = {one: gate.decide_pick_up(row, epochs[one]) for one, row in rows.items()}
                ended = [one for one, verdict in verdicts.items() if verdict and verdict.reason is not Reason.PAUSED]
                return PickedUp([one for one, verdict in verdicts.items() if verdict is None], ended)

            handed = await of.hand_out(database, list(epochs), decide, lambda _: b"{}") if lying else {}
            found = [await of.find(database, PLACES[0], one) for one in epochs]
            known = [await of.of_organisation(database, place, one) for one in epochs for place in PLACES]
            return lying, handed, seen, found, known

        await self.both(coming)

    async def clear(self) -> None:
        await self.both(lambda of, database: of.clear(database))

    async def collect(self, place: int, answered: bool, reason: str | None) -> None:
        """Fetch answers, unless it is not yet time."""
        how = Round(
            answered=answered,
            reason=reason,
            every=timedelta(seconds=10),
            longest=timedelta(minutes=1),
            before=self.now - timedelta(seconds=5) if place % 2 else None,
        )
        ids = [UUID(int=7), *filter(None, {self.some(place), self.some(place + 1)})]

        async def collecting(of: Any, database: Database) -> object:
            taken = await of.take(database, list(PLACES), timedelta(minutes=1))
            for name in taken:
                await of.ended(database, name, how)
            await of.note(database, b"{}")
            return taken, [await of.own(database, name, ids) for name in PLACES]

        await self.both(collecting)

    async def compare(self) -> None:
        await super().compare()
        tables = self.tables
        async with self.real.connection() as connection:
            holds = await connection.fetch(
                "SELECT change_id, person_id, reason, placed_at, until, ended_at, outcome, decided_by, why, registration,"
                " fact FROM hold ORDER BY change_id, reason, placed_at"
            )
            back = await connection.fetch("SELECT id, held_due FROM delivery WHERE held_due IS NOT NULL ORDER BY id")
            lying = await connection.fetch(
                "SELECT delivery_id, organisation, epoch, place, alarm_at, fetched_at FROM mailbox ORDER BY delivery_id"
            )
            rounds = await connection.fetch("SELECT * FROM collection ORDER BY organisation")
        assert [tuple(row) for row in holds] == sorted(
            (*_known(one.row), one.registration, one.fact) for one in tables.holds.rows.values()
        )
        kept = ((one, row.held_due) for one, row in tables.deliveries.items() if row.held_due is not None)
        assert [tuple(row) for row in back] == sorted(kept)
        names = ("organisation", "epoch", "place", "alarm_at", "fetched_at")
        assert [tuple(row) for row in lying] == [
            (one, *(getattr(letter, name) for name in names))
            for one, letter in sorted(tables.mailboxes.letters.items())
        ]
        told = ("due", "failures", "reason", "answered_at", "silent")
        assert [tuple(row) for row in rounds] == [
            (one, *(getattr(found, name) for name in told)) for one, found in sorted(tables.collections.items())
        ]


def _known(row: HoldRow) -> tuple[Any, ...]:
    """Return what both say of a hold: all but its id."""
    return (
        row.change_id, row.person_id, row.reason, row.placed_at, row.until, row.ended_at, row.outcome, row.decided_by,
        row.why,
    )  # fmt: skip


def _of(delivery_id: UUID, epoch: int) -> Delivery:
    """Return as much of a delivery as a mailbox asks for."""
    return Delivery(
        id=delivery_id, organisation=PLACES[0], epoch=epoch, attempt=1, sequence=1, type="", source="", subject="",
        time=EPOCH, dataschema="", traceparent="", origin="", data=b"",
    )  # fmt: skip

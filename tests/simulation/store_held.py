"""Holds as the stages and staff reach them: the functions of `broker.store.holds`, and what refuses a change."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID, uuid4

from broker.store import Database
from broker.store.holds import Answered, HoldRow, Placed
from broker.store.withdrawals import TakingBack
from contracts.holds import HoldOutcome, HoldReason
from tests.simulation.loop import PROCESS
from tests.simulation.store import Store, Transaction, of, person_of, watch_held


async def _person_locked(store: Store, transaction: Transaction, change_id: UUID) -> None:
    people = sorted({person_of(row.person_id) for row in store.tables.of_change(change_id)})
    await store.lock(transaction, people)


async def _lanes_locked(store: Store, transaction: Transaction, changes: Sequence[UUID]) -> None:
    ids = [row.owed.id for one in changes for row in store.tables.of_change(one)]
    await store.lock(transaction, store.tables.lanes_of(ids))


async def _locked(store: Store, transaction: Transaction, change_id: UUID) -> None:
    await _person_locked(store, transaction, change_id)
    await _lanes_locked(store, transaction, [change_id])


async def place(database: Database, change_id: UUID, hold: Placed, leaf: Callable[[UUID], bytes]) -> Sequence[UUID]:
    """See holds.place."""
    store, process = of(database), PROCESS.get(None)

    async def placing() -> Sequence[UUID]:
        tables, transaction = store.tables, store.begin(process)
        await _person_locked(store, transaction, change_id)
        ids = tables.and_later(change_id, hold.reason)
        await _lanes_locked(store, transaction, ids)
        held: list[UUID] = []

        def write() -> None:
            for one in ids:
                own = hold if one == change_id else replace(hold, id=uuid4())
                placed = tables.holds.place(one, tables.of_change(one)[0].person_id, [own], transaction.now)
                if placed:
                    watch_held(store, one, placed)
                    tables.hold_back(one)
                    tables.leaves.append(leaf(one))
                    held.append(one)

        store.commit(transaction, write)
        return held

    return await store.carry(placing)


async def release(
    database: Database, hold_id: UUID, decided_by: str, why: str, leaf: bytes, *, by_operator: bool = False
) -> bool:
    """See holds.release."""
    del by_operator
    store, process = of(database), PROCESS.get(None)

    async def releasing() -> bool:
        tables, transaction = store.tables, store.begin(process)
        if (hold := tables.holds.rows.get(hold_id)) is None:
            store.rolled_back(transaction)
            return False
        await _locked(store, transaction, hold.row.change_id)
        if hold.row.ended_at is not None or tables.earlier_held(hold.row):
            store.rolled_back(transaction)
            return False
        goes: list[bool] = []

        def write() -> None:
            store.watch("hold ended", (hold.row.change_id, hold_id, HoldOutcome.RELEASED))
            goes.append(tables.release(hold_id, decided_by, why, transaction.now))
            tables.leaves.append(leaf)

        store.commit(transaction, write)
        if goes[0]:
            store.notify("unwaith_due")
        return True

    return await store.carry(releasing)


async def over(database: Database, limit: int) -> list[HoldRow]:
    """See holds.over."""
    store = of(database)

    async def looking() -> list[HoldRow]:
        return store.tables.over(store.now())[:limit]

    return await store.carry(looking)


async def confirm(
    database: Database, organisation: str, registration: bytes, facts: Sequence[bytes], leaf: bytes
) -> None:
    """See holds.confirm."""
    store = of(database)

    async def confirming() -> None:
        store.tables.holds.confirm(organisation, registration, facts)
        store.tables.leaves.append(leaf)

    await store.carry(confirming)


async def answered(database: Database, limit: int) -> list[Answered]:
    """See holds.answered."""
    store = of(database)

    async def looking() -> list[Answered]:
        return store.tables.holds.answered()[:limit]

    return await store.carry(looking)


async def differs(database: Database, hold_id: UUID, leaf: bytes) -> bool:
    """See holds.differs."""
    store, process = of(database), PROCESS.get(None)

    async def differing() -> bool:
        tables, transaction = store.tables, store.begin(process)
        hold = tables.holds.rows[hold_id]
        await _locked(store, transaction, hold.row.change_id)
        if hold.row.ended_at is not None or hold.row.reason is not HoldReason.AWAITS_REGISTRAR:
            store.rolled_back(transaction)
            return False
        store.commit(transaction, lambda: tables.holds.differs(hold_id), lambda: tables.leaves.append(leaf))
        return True

    return await store.carry(differing)


async def refuse(
    database: Database, person_id: int, change_id: UUID, back: TakingBack, hold_id: UUID, decided_by: str, why: str
) -> bool:
    """See withdrawals.refuse."""
    store, process = of(database), PROCESS.get(None)

    async def refusing() -> bool:
        tables, transaction = store.tables, store.begin(process)
        await store.lock(transaction, [person_of(person_id)])
        if change_id in tables.withdrawals or tables.holds.rows[hold_id].row.ended_at is not None:
            store.rolled_back(transaction)
            return False

        def write() -> None:
            store.watch("hold ended", (change_id, hold_id, HoldOutcome.REFUSED))
            store.watch("withdrawn", change_id)
            tables.holds.end(hold_id, HoldOutcome.REFUSED, decided_by, why, transaction.now)
            tables.withdraw(person_id, change_id, back, None, transaction.now, refused_by=decided_by)

        store.commit(transaction, write)
        return True

    return await store.carry(refusing)

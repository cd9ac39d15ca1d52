"""Mailboxes, and whose answers are fetched when: the functions of `broker.store.mailbox` and `broker.store.collecting`."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from broker.store import Database, collecting, mailbox
from broker.store.collecting import Known
from broker.store.lanes import AtTheGate, Numbered
from broker.store.mailbox import Lying, PickedUp
from tests.simulation.loop import PROCESS
from tests.simulation.store import Transaction, of
from tests.simulation.tables import OPEN, Round


class StoreMailbox(mailbox.StoreMailbox):
    """See mailbox.StoreMailbox: what is laid down together, and what is raised, is its own."""

    async def _place(self, laid: Sequence[tuple[UUID, int, timedelta]]) -> dict[tuple[UUID, int, timedelta], None]:
        store = of(self._database)

        async def placing() -> None:
            store.tables.mailboxes.place(self._organisation, laid, store.now())

        await store.carry(placing)
        return dict.fromkeys(laid)


async def look(database: Database, organisation: str, after: int, limit: int) -> list[Lying]:
    """See mailbox.look."""
    store = of(database)

    async def looking() -> list[Lying]:
        return [one for one in store.tables.lying(organisation) if one.place > after][:limit]

    return await store.carry(looking)


async def find(database: Database, organisation: str, delivery_id: UUID) -> Lying | None:
    """See mailbox.find."""
    store = of(database)

    async def finding() -> Lying | None:
        return next((one for one in store.tables.lying(organisation) if one.delivery_id == delivery_id), None)

    return await store.carry(finding)


async def hand_out(
    database: Database,
    delivery_ids: Sequence[UUID],
    decide: Callable[[Mapping[UUID, AtTheGate]], PickedUp],
    leaf: Callable[[UUID], bytes],
) -> dict[UUID, Numbered]:
    """See mailbox.hand_out."""
    store, process = of(database), PROCESS.get(None)
    tables = store.tables
    begun: list[Transaction] = []

    async def reading() -> dict[UUID, AtTheGate]:
        begun.append(store.begin(process))
        await store.lock(begun[0], tables.lanes_of(delivery_ids))
        return tables.at_the_gate(store.now(), delivery_ids)

    try:
        rows = await store.carry(reading)
        picked = decide(rows)

        async def writing() -> dict[UUID, Numbered]:
            found: dict[UUID, Numbered] = {}

            def write() -> None:
                handed, first = tables.hand_out(picked.handed, [rows[one] for one in picked.ended], begun[0].now)
                found.update(handed)
                tables.leaves.extend(map(leaf, first))
                store.watch("handed out", [rows[one] for one in picked.handed])

            store.commit(begun[0], write, wakes="unwaith_due" if picked.ended else None)
            return found

        return await store.carry(writing)
    except BaseException:
        for transaction in begun:
            store.rolled_back(transaction)
        raise


async def clear(database: Database) -> None:
    """See mailbox.clear."""
    store = of(database)

    async def clearing() -> None:
        store.tables.mailboxes.clear(lambda one: store.tables.deliveries[one].status not in OPEN)

    await store.carry(clearing)


async def take(database: Database, organisations: Sequence[str], lease: timedelta) -> list[str]:
    """See collecting.take."""
    store = of(database)

    async def taking() -> list[str]:
        now, rounds = store.now(), store.tables.collections
        due = [one for one in sorted(organisations) if one not in rounds or rounds[one].due <= now]
        for one in due:
            rounds.setdefault(one, Round(now)).due = now + lease
        return due

    return await store.carry(taking)


async def ended(database: Database, organisation: str, how: collecting.Round) -> None:
    """See collecting.ended."""
    store = of(database)

    async def ending() -> None:
        now, found = store.now(), store.tables.collections[organisation]
        found.failures = 0 if how.reason is None else found.failures + 1
        found.reason = how.reason
        found.answered_at = now if how.answered else found.answered_at
        found.due = now + max(how.every, min(how.longest, how.every * 2 ** min(found.failures, 16)))
        found.silent = how.before is not None and any(
            row.owed.organisation == organisation
            and row.sequence is not None
            and row.status == "received"
            and row.answered_at is not None
            and row.answered_at < how.before
            and (found.answered_at is None or row.answered_at > found.answered_at)
            for row in store.tables.deliveries.values()
        )

    await store.carry(ending)


async def own(database: Database, organisation: str, delivery_ids: Sequence[UUID]) -> dict[UUID, Known]:
    """See collecting.own."""
    store = of(database)

    async def looking() -> dict[UUID, Known]:
        rows = (store.tables.deliveries.get(one) for one in delivery_ids)
        return {
            row.owed.id: Known(row.epoch, row.attempts)
            for row in rows
            if row is not None and row.owed.organisation == organisation and row.sequence is not None
        }

    return await store.carry(looking)


async def note(database: Database, leaf: bytes) -> None:
    """See collecting.note."""
    store = of(database)

    async def noting() -> None:
        store.tables.leaves.append(leaf)

    await store.carry(noting)

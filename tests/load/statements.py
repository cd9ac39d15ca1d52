"""What the store does for each delivery on its way, by itself: a claim, a grant, a fold, five hundred at a time.

The statements as the roles run them, one after the other in this process. `wall` is what each caller waits, our own
part of it included; `processor` is what PostgreSQL's processes took, by the kernel's count.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from broker.eventlog import Partition, Received
from broker.eventlog.postgres import PostgresLog
from broker.relay import Relay, RelaySettings
from broker.store import Database
from broker.telemetry.metrics import new_metrics
from broker.tracking.tracker import Tracker, TrackerSettings
from broker.vault import RootKeyFile, StoreGate, Vault
from contracts.ids import new_id
from contracts.organisation import Organisation
from contracts.receipts import Receipt, ReceiptKind
from contracts.records import write_receipt
from contracts.statuses import Outcome
from contracts.topics import RECEIPTS
from tests.load.exchange import DidNotRun, Exchange

STORE_GOAL: Final = 60.0
STEPS: Final = ("claim", "mark", "grant", "fold")


async def statements(opened: Exchange, root: Path, organisation: Organisation) -> list[tuple[str, float, float | None]]:
    """Carry all that is owed to an organisation from `waiting` to `applied`; no role may run.

    Return (name, microseconds for each delivery, goal).
    """
    await opened.pause()
    database = await Database.open(opened.dsn, size=2)
    wall, processor, count = dict.fromkeys(STEPS, 0.0), dict.fromkeys(STEPS, 0.0), 0
    try:
        vault = await Vault.open(database, RootKeyFile.open(root))
        log, metrics, parties = PostgresLog(database), new_metrics(), lambda: {organisation.id: organisation}
        relay = Relay(database, log, parties, RelaySettings(credit=1_000_000), metrics, _now)
        gate = StoreGate(database, vault)
        tracker = Tracker(database, log, parties, TrackerSettings(), metrics, _now)
        used = await _backends(opened)

        async def step(name: str, work: Any) -> Any:
            began, before = time.perf_counter(), used()
            done = await work
            wall[name] += time.perf_counter() - began
            processor[name] += used() - before
            return done

        while claimed := (await step("claim", relay._claim())).get(organisation.id):
            await step("mark", relay._mark(organisation.id, claimed))
            asked = [(item.delivery_id, item.epoch) for item in claimed]
            await step("grant", gate.grant(asked, timedelta(seconds=10)))
            receipts = [_applied(item.delivery_id, item.epoch, place) for place, item in enumerate(claimed)]
            await step("fold", tracker.fold_all(receipts))
            count += len(claimed)
    finally:
        await database.close()
    if not count:
        raise DidNotRun("nothing was owed to be claimed")
    three = ("claim", "grant", "fold")
    return [
        *((f"store.{name}.wall", wall[name] / count * 1e6, None) for name in STEPS),
        *((f"store.{name}.processor", processor[name] / count * 1e6, None) for name in STEPS),
        ("store.wall", sum(wall[name] for name in three) / count * 1e6, None),
        ("store.processor", sum(processor[name] for name in three) / count * 1e6, STORE_GOAL),
    ]


def _applied(delivery_id: Any, epoch: int, place: int) -> Received:
    """Return the record of an organisation's answer, as a worker writes it."""
    now = _now()
    receipt = Receipt(
        id=new_id(now),
        delivery_id=delivery_id,
        epoch=epoch,
        attempt=1,
        kind=ReceiptKind.ANSWERED,
        outcome=Outcome.APPLIED,
        at=now,
    )
    return Received(Partition(RECEIPTS.name, 0), place, *write_receipt(receipt))


async def _backends(opened: Exchange) -> Callable[[], float]:
    """Return what tells the processor seconds of every process that serves this database, ours to look on apart."""
    query = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND pid <> pg_backend_pid()"
    )
    files = [Path(f"/proc/{row['pid']}/schedstat") for row in await opened.connection.fetch(query)]
    return lambda: sum(int(file.read_text().split()[0]) for file in files) / 1e9


def _now() -> datetime:
    return datetime.now(UTC)

"""`unwaith restored`: said once, after the store was restored from a backup and before anything runs again."""

from rich.console import Console

from broker import audit
from broker.cli.operating import ACTOR, dsn_of, unless_away
from broker.settings import load
from broker.store import Database, restoring
from broker.telemetry.logs import configure_logs
from broker.web.staff import reasons

SECONDS = 1800.0
"""Each lane is written anew."""


@unless_away
async def restored(note: str) -> int:
    """Have numbers go on above all that were given out; 1 where processes of the exchange run. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    console = Console(stderr=True)
    if not reasons.NOTE.fullmatch(note):
        console.print("A note is the code of a ticket, such as INC-1234.")
        return 1

    def leaf(done: restoring.Restored) -> bytes:
        return audit.leaf(
            "store.restored",
            done.at,
            ACTOR,
            detail={"note": note, "sequence_from": done.sequence_from, "lanes": done.lanes, "again": done.again},
        )

    database = await Database.open(dsn_of(load()), size=1, statement_seconds=SECONDS, transaction_seconds=SECONDS)
    try:
        done = await restoring.go_on(database, leaf)
    except restoring.Running:
        console.print("Processes of the exchange are connected to this store. Stop them all, and say it again.")
        return 1
    finally:
        await database.close()
    known = (
        "no change" if done.known_until is None else f"changes accepted until {done.known_until:%Y-%m-%d %H:%M:%S} UTC"
    )
    Console(soft_wrap=True).print(
        f"The store knows {known}. {done.lanes:,} lanes go on from {done.sequence_from}; {done.again:,} deliveries that"
        f" may be in the log are owed again; {done.sessions:,} sessions were ended.\n"
        "On Kafka, have the trackers read every receipt again before anything is sent: docs/running.md says how."
    )
    return 0

"""`unwaith replay`: show what would be sent again, ask, and see it through."""

import sys
from datetime import datetime
from uuid import UUID

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from broker.cli.workers import ACTOR, store
from broker.main.rooms import utc_now
from broker.store import Database, StoreUnavailable, replays
from broker.store.replays import Asked
from broker.telemetry.logs import configure_logs
from broker.tracking import replay as replaying
from broker.tracking.replay import Preview
from broker.web.staff import reasons


async def replay(asked: Asked, *, reason: str, note: str, sure: bool) -> int:
    """Preview, confirm, carry out; 1 if nothing was replayed. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    console = Console(stderr=True)
    try:
        async with store() as database:
            shown = await replaying.preview(database, asked)
            console.print(table(asked, shown))
            if shown.too_many:
                console.print(f"More than {replaying.MOST} deliveries: choose a shorter time.")
                return 1
            if not shown.replayed:
                console.print("There is nothing to replay.")
                return 1
            if not sure and not _agreed(console):
                console.print("Nothing was replayed.")
                return 1
            return await _see_through(console, database, asked, shown, reason, note)
    except StoreUnavailable:
        console.print("The store does not answer.")
        return 1


def _agreed(console: Console) -> bool:
    if not sys.stdin.isatty():
        console.print("Nobody is there to confirm: say --yes.")
        return False
    return console.input("Send these again? [y/N] ").strip().lower() == "y"


async def _see_through(
    console: Console, database: Database, asked: Asked, shown: Preview, reason: str, note: str
) -> int:
    key = await replaying.ask(
        database, asked, reason=reason, note=note, actor=ACTOR, expected=shown.replayed, now=utc_now()
    )
    with Progress(console=console) as progress:
        bar = progress.add_task("Replaying", total=shown.replayed)
        while (found := await replays.find(database, key)) is not None and found.ended_at is None:
            await replaying.carry_on(database, utc_now())  # trackers do the same; each step is done by one of them
            progress.update(bar, completed=found.replayed)
        progress.update(bar, completed=shown.replayed)
    if found is None:
        return 1
    refused = ", ".join(f"{n} {refusal}" for refusal, n in sorted(found.refused.items()))
    console.print(f"{found.replayed} deliveries are sent again{f'; not replayed: {refused}' if refused else ''}.")
    return 0 if found.replayed else 1


def table(asked: Asked, shown: Preview) -> Table:
    """Return the preview as it is printed."""
    made = Table(title=f"Replay to {asked.organisation}", show_header=False)
    made.add_row("to be sent again", str(shown.replayed))
    if shown.first and shown.last:
        made.add_row("given up between", f"{shown.first:%Y-%m-%d %H:%M:%S} and {shown.last:%Y-%m-%d %H:%M:%S} UTC")
    for refusal, n in sorted(shown.refused.items()):
        made.add_row(f"not replayed: {refusal.value}", str(n))
    for status, n in sorted(shown.statuses.items()):
        made.add_row(f"now {status.value}", str(n))
    return made


def check_why(reason: str, note: str) -> None:
    """Raise ValueError, saying what to give, unless both are codes: no name may get into the ledger."""
    if reason not in (*reasons.REPLAY, "operator"):
        raise ValueError(f"The reasons are operator, {', '.join(reasons.REPLAY)}.")
    if note and not reasons.NOTE.fullmatch(note):
        raise ValueError("A note is the code of a ticket, such as INC-1234.")


def what(organisation: str, delivery: str | None, since: datetime | None, until: datetime | None) -> Asked:
    """Return what is asked for; times without an offset are UTC. Raises ValueError saying what to give."""
    if delivery is not None:
        if since or until:
            raise ValueError("Give either --delivery or --since and --until.")
        return Asked(organisation=organisation, delivery_id=UUID(delivery))
    if since is None:
        raise ValueError("Give --since, and --until if it is not now; or one --delivery.")
    now = utc_now()
    start = since.replace(tzinfo=since.tzinfo or now.tzinfo)
    end = min(now, until.replace(tzinfo=until.tzinfo or now.tzinfo)) if until else now
    if end <= start:
        raise ValueError("--until must be after --since.")
    return Asked(organisation=organisation, since=start, upto=end)

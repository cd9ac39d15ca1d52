"""`unwaith replay`: show what would be sent again, ask, and see it through."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from broker.cli.operating import ACTOR, store, unless_away
from broker.main.rooms import utc_now
from broker.store import Database, replays
from broker.store.replays import Asked
from broker.telemetry.logs import configure_logs
from broker.tracking import giving_up
from broker.tracking import replay as replaying
from broker.tracking.giving_up import GivenUp
from broker.tracking.replay import Preview
from broker.web.staff import reasons

LATEST = 20
"""Replays shown."""


@unless_away
async def replay(asked: Asked, *, reason: str, note: str, sure: bool, per_minute: int | None = None) -> int:
    """Preview, confirm, carry out; 1 if nothing was replayed. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    console = Console(stderr=True)
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
        key = await replaying.ask(
            database,
            asked,
            reason=reason,
            note=note,
            actor=ACTOR,
            expected=shown.replayed,
            now=utc_now(),
            per_minute=per_minute,
        )
        return await _see_through(console, database, key, shown.replayed)


def _agreed(console: Console) -> bool:
    if not sys.stdin.isatty():
        console.print("Nobody is there to confirm: say --yes.")
        return False
    return console.input("Send these again? [y/N] ").strip().lower() == "y"


async def _see_through(console: Console, database: Database, key: UUID, expected: int) -> int:
    """Watch a replay to its end. Whoever stops watching stops nothing: trackers carry it on."""
    console.print(f"Replay {key}; to end it before its end: unwaith cancel-replay {key}")
    with Progress(console=console) as progress:
        bar = progress.add_task("Replaying", total=expected)
        while (found := await replays.find(database, key)) is not None and found.ended_at is None:
            progress.update(bar, completed=found.replayed)
            # Trackers do the same; each step is done by one of them.
            if await replaying.carry_on(database, utc_now()) is None:
                await asyncio.sleep(0.2)
        progress.update(bar, completed=found.replayed if found else 0)
    if found is None:
        return 1
    if found.cancelled_at is not None:
        console.print("It was cancelled.")
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


def what(organisation: str, deliveries: Sequence[str], since: datetime | None, until: datetime | None) -> Asked:
    """Return what is asked for; times without an offset are UTC. Raises ValueError saying what to give."""
    if deliveries:
        if since or until:
            raise ValueError("Give either --delivery or --since and --until.")
        return Asked(organisation=organisation, delivery_ids=tuple(sorted(map(as_id, set(deliveries)))))
    if since is None:
        raise ValueError("Give --since, and --until if it is not now; or --delivery, as often as you like.")
    now = utc_now()
    start = since.replace(tzinfo=since.tzinfo or now.tzinfo)
    end = min(now, until.replace(tzinfo=until.tzinfo or now.tzinfo)) if until else now
    if end <= start:
        raise ValueError("--until must be after --since.")
    return Asked(organisation=organisation, since=start, upto=end)


def as_id(said: str) -> UUID:
    """Return an id. Raises ValueError saying what to give."""
    try:
        return UUID(said)
    except ValueError:
        raise ValueError("An id is a UUID, as the trace of a change shows it.") from None


@unless_away
async def show() -> int:
    """Print the last replays with how far each has come. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    async with store() as database:
        found = await replays.latest(database, LATEST)
    console = Console(soft_wrap=True, highlight=False)
    for item in found:
        state = "under way" if item.ended_at is None else "cancelled" if item.cancelled_at else "finished"
        rate = f", {item.per_minute} a minute" if item.per_minute else ""
        console.print(
            f"{item.id}  {item.asked_at:%Y-%m-%d %H:%M:%SZ}  {item.asked.organisation}  {state}:"
            f" {item.replayed} of {item.expected}{rate}  ({item.actor}: {item.reason} {item.note})".rstrip()
        )
    if not found:
        console.print("Nobody has asked for a replay yet.")
    return 0


async def cancel(replay_id: UUID, *, reason: str, note: str) -> int:
    """End a replay where it is; 1 if it has ended, or there is none. Raises SettingsRefused."""
    return await _act(
        lambda database: replaying.cancel(database, replay_id, reason=reason, note=note, actor=ACTOR, now=utc_now()),
        "Nothing changed: there is no such replay, or it has ended.",
    )


async def give_up(delivery_id: UUID, *, reason: str, note: str) -> int:
    """Give a delivery up; 1, saying why, if that cannot be. Raises SettingsRefused."""
    said: GivenUp | None = None

    async def act(database: Database) -> bool:
        nonlocal said
        said = await giving_up.give_up(database, delivery_id, reason=reason, note=note, actor=ACTOR, now=utc_now())
        return said is GivenUp.DONE

    done = await _act(act, "")
    if said is GivenUp.BEING_SENT:
        Console(stderr=True).print("It is being sent this very moment: try again in a minute.")
    elif said is GivenUp.NOT_OPEN:
        Console(stderr=True).print("Nothing changed: there is no such delivery, or it has ended or was answered.")
    return done


@unless_away
async def _act(act: Callable[[Database], Awaitable[bool]], otherwise: str) -> int:
    configure_logs(level="ERROR", style="console")
    async with store() as database:
        done = await act(database)
    if not done and otherwise:
        Console(stderr=True).print(otherwise)
    return 0 if done else 1

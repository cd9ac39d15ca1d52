"""`unwaith gazetteer`: open data brought into the store, and which edition of it is in use."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from broker.cli.ending import before
from broker.cli.operating import store, unless_away
from broker.register.wales import councils
from broker.store import editions
from broker.store.editions import ImportUnderWay
from broker.telemetry.logs import configure_logs
from broker.verification.importing import Imported, ImportRefused, import_edition
from broker.verification.open_data import SOURCES, NotThisSource, Opened, Source, edition_of, opened

SAID_EACH: Final = 5.0
"""Seconds between two lines of a log that nobody watches."""

log = structlog.get_logger()


@unless_away
async def import_file(
    stop: asyncio.Event, name: str, file: Path, edition: str | None, *, most_bad: int, smaller: bool
) -> int:
    """Import a file of a source and put it in use; 1, with the reason, where what was in use stays. Raises SettingsRefused."""
    watched = sys.stderr.isatty()
    configure_logs(level="ERROR" if watched else "INFO", style="console" if watched else "json", out=sys.stderr)
    console = Console(stderr=True)
    source = SOURCES[name]
    try:
        found = opened(source, file)
    except (OSError, NotThisSource) as wrong:
        console.print(f"{wrong}. Nothing was imported.", soft_wrap=True, markup=False)
        return 1
    called = edition or edition_of(source, found)
    if called is None:
        console.print("Its name does not say which edition it is: say --edition.")
        return 1
    codes = {council.gss: code for code, council in councils().items()}
    began = time.monotonic()
    async with store() as database:
        try:
            with _shown(console, source, found, watched=watched) as told:
                done = await before(
                    stop,
                    import_edition(
                        database, source, found, called, codes, most_bad=most_bad, smaller=smaller, told=told
                    ),
                )
        except ImportUnderWay:
            console.print("Another import of this source is under way. Nothing was imported.")
            return 1
        except ImportRefused as refused:
            console.print(f"{refused} What was in use still is.", soft_wrap=True, markup=False)
            return 1
    if done is None:
        console.print("Ended before it was whole. What was in use still is.")
        return 1
    _say(source, called, done, time.monotonic() - began)
    return 0


def _say(source: Source, called: str, done: Imported, seconds: float) -> None:
    out, counted = Console(soft_wrap=True), done.counted
    out.print(f"{source.title}, edition {called}, is in use: {counted.kept:,} rows in {seconds:.1f} s.", markup=False)
    if counted.elsewhere:
        out.print(f"{counted.elsewhere:,} rows were not kept: they lie outside the box around Wales.")
    if counted.bad:
        where = ", ".join(f"{one.file} line {one.number} ({one.code})" for one in counted.shown)
        out.print(f"{counted.bad:,} lines could not be read: {where}", markup=False)
    out.print(f"SHA-256 {done.digest.hex()}")
    out.print(f"{source.attribution}. Open Government Licence v3.0.", markup=False)


@contextmanager
def _shown(console: Console, source: Source, found: Opened, *, watched: bool) -> Iterator[Callable[[int], None]]:
    """Show how far it is: as a bar to somebody who watches, else as a line of the log every few seconds."""
    if not watched:
        said = time.monotonic()

        def line(done: int) -> None:
            nonlocal said
            if time.monotonic() - said >= SAID_EACH:
                said = time.monotonic()
                log.info("gazetteer.import_progressed", kind=source.name, size=done, wanted=found.size)

        yield line
        return
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(source.title, total=found.size)
        yield lambda done: progress.update(bar, completed=done)


@unless_away
async def show() -> int:
    """Show every edition that is kept. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    async with store() as database:
        found = await editions.editions(database)
    table = Table("id", "source", "edition", "rows", "bad", "imported", "SHA-256", "in use")
    for one in found:
        table.add_row(
            str(one.id),
            one.source,
            one.edition,
            "-" if one.kept is None else f"{one.kept:,}",
            "-" if one.bad is None else f"{one.bad:,}",
            "not whole" if one.ended_at is None else f"{one.ended_at:%Y-%m-%d %H:%M} UTC",
            one.digest.hex()[:16],
            "yes" if one.in_use else "",
        )
    Console(soft_wrap=True).print(table)
    return 0


@unless_away
async def use(number: int) -> int:
    """Go back to an edition that is kept; 1 where there is no such one. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    async with store() as database:
        done = await editions.use(database, number)
    if not done:
        Console(stderr=True).print("Nothing changed: there is no such edition, or it is not whole.")
    return 0 if done else 1


@unless_away
async def remove(number: int) -> int:
    """Remove an edition that is not in use; 1 where there is no such one. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    async with store() as database:
        found = next((one for one in await editions.editions(database) if one.id == number), None)
        done = found is not None and await editions.remove(database, number, SOURCES[found.source].table)
    if not done:
        Console(stderr=True).print("Nothing changed: there is no such edition, or it is the one in use.")
    return 0 if done else 1

"""`unwaith doctor`: are the parts there, and do the books balance."""

import json

from rich.console import Console
from rich.table import Table

from broker.cli.operating import dsn_of
from broker.main.rooms import open_log, utc_now
from broker.register import checking
from broker.settings import load
from broker.store import Database, StoreUnavailable, changes, operations, register
from broker.store.migrate import pending
from broker.telemetry.logs import configure_logs
from contracts.statuses import Status
from contracts.times import day_in_wales


async def examine(*, as_json: bool) -> int:
    """Print what was found; return 1 if anything is wrong. Raises SettingsRefused."""
    settings = load()
    configure_logs(level="CRITICAL" if as_json else "ERROR", style="console")
    database = await Database.open(dsn_of(settings), size=2, statement_seconds=60, transaction_seconds=90)
    log = open_log(settings, database)
    wrong: list[str] = []
    books: changes.Books | None = None
    unanswered: list[str] = []
    overdue: list[str] = []
    try:
        books = await changes.books(database)
        if await pending(dsn_of(settings)):
            wrong.append("the schema is older than this program: run unwaith migrate")
        else:
            seen = await operations.overview(database, 1)
            today = day_in_wales(utc_now())
            agreed = checking.newest((await register.configuration(database)).agreements).values()
            overdue = [item.id for item in agreed if checking.is_overdue(item, today)]
            unanswered = [one.organisation for one in seen.organisations if one.silent or one.uncollected]
        if not await log.ready():
            wrong.append("the log does not answer")
    except (StoreUnavailable, OSError):
        wrong.append("the store does not answer")
    finally:
        await log.close()
        await database.close()
    if books is not None:
        wrong += books.faults()
    wrong += [f"{one}: no answers have come by the time agreed, or they cannot be fetched" for one in unanswered]
    wrong += [f"agreement {one}: it should have been reviewed by now" for one in overdue]
    if as_json:
        Console().print_json(json.dumps({"wrong": wrong, "organisations": books.by_status if books else {}}))
    else:
        _show(books, wrong)
    return 1 if wrong else 0


def _show(books: "changes.Books | None", wrong: list[str]) -> None:
    console = Console()
    if books is not None:
        table = Table(title="Accepted deliveries by where they stand")
        for heading in ("organisation", "status", "deliveries"):
            table.add_column(heading, justify="right" if heading == "deliveries" else "left")
        for organisation, counts in books.by_status.items():
            for status in Status:
                if status.value in counts:
                    table.add_row(organisation, status.value, str(counts[status.value]))
        console.print(table)
    for line in wrong:
        console.print(f"[red]wrong[/] {line}")
    if not wrong:
        console.print("[green]Nothing is wrong.[/]")

"""`unwaith run`: everything on this machine, and a panel that says where it is."""

import asyncio
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from broker.main.embedded import Sandbox, sandbox
from broker.sandbox.inbox_page import WAYS
from broker.sandbox.people import sample_people
from broker.telemetry.logs import configure_logs
from broker.telemetry.metrics import new_metrics


async def run(data: Path, port: int, *, verbose: bool, stop: asyncio.Event) -> int:
    """Run until `stop`. Raises PortBusy, PostgresDidNotStart and SettingsRefused before anything is served."""
    metrics = new_metrics()
    configure_logs(level="INFO" if verbose else "ERROR", style="console", dropped=metrics.log_keys_dropped.inc)
    console = Console()
    defaults = {"log_level": "INFO" if verbose else "ERROR", "log_format": "console"}
    with console.status("Starting PostgreSQL and the exchange"):
        where = data.absolute()  # noqa: ASYNC240  at start
        opening = sandbox(where, first_port=port, stop=stop, defaults=defaults, metrics=metrics)
        running = await opening.__aenter__()
    try:
        console.print(panel(running, data))
        await stop.wait()
        console.print("Stopping; everything told so far is kept.")
    finally:
        await opening.__aexit__(None, None, None)
    return 0


def panel(running: Sandbox, data: Path) -> Panel:
    """Return what a newcomer needs to know next."""
    addresses = running.addresses
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", max_width=24)
    table.add_column(overflow="fold")
    table.add_row("Pages", f"{addresses.public_url}/  (sign in as one of the people below)")
    table.add_row("API", f"{addresses.public_url}/openapi.json")
    table.add_row("Sign-in", f"{addresses.issuer}  (a development provider, shaped like GOV.UK One Login)")
    for organisation in running.rooms.directory.organisations().values():
        if organisation.id in addresses.organisations:
            where = f"http://localhost:{addresses.organisations[organisation.id]}/"
            by = WAYS.get(organisation.adapter, organisation.adapter)
            table.add_row(organisation.name.en, f"{where}  (its inbox, reached by {by})\n{organisation.name.cy}")
    table.add_row("Metrics", f"http://localhost:{addresses.metrics}/metrics")
    table.add_row()
    table.add_row(
        "People", ", ".join(f"{person.name} ({person.key})" for person in sample_people()[:5]) + "; all invented"
    )
    table.add_row("Kept in", f"{data}  (delete it to start afresh)")
    table.add_row("Next", "make tell PERSON=llyr, in another terminal: a move, told once; then look into the inboxes")
    return Panel(table, title="Unwaith is running", subtitle="Ctrl-C ends everything it started", expand=False)

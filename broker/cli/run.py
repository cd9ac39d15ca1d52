"""`unwaith run`: everything on this machine, and a panel that says where it is."""

import asyncio
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from broker.main.embedded import Sandbox, sandbox
from broker.sandbox.people import sample_people
from broker.telemetry.logs import configure_logs


async def run(data: Path, port: int, *, verbose: bool, stop: asyncio.Event) -> int:
    """Run until `stop`. Raises PortBusy, PostgresDidNotStart and SettingsRefused before anything is served."""
    configure_logs(level="INFO" if verbose else "ERROR", style="console")
    console = Console()
    defaults = {"log_level": "INFO" if verbose else "ERROR", "log_format": "console"}
    with console.status("Starting PostgreSQL and the exchange"):
        opening = sandbox(data.absolute(), first_port=port, stop=stop, defaults=defaults)  # noqa: ASYNC240  at start
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
    table.add_row("[bold]API[/]", addresses.public_url, "its description: /openapi.json")
    table.add_row("[bold]Sign-in[/]", addresses.issuer, "a development provider, shaped like GOV.UK One Login")
    for organisation in running.rooms.directory.organisations().values():
        if organisation.id in addresses.organisations:
            where = f"http://localhost:{addresses.organisations[organisation.id]}/"
            table.add_row(f"[bold]{organisation.name.en}[/]", where, f"its inbox ({organisation.name.cy})")
    table.add_row("[bold]Metrics[/]", f"http://localhost:{addresses.metrics}/metrics", "and /readyz")
    table.add_row()
    people = ", ".join(f"{person.name} ({person.key})" for person in sample_people()[:4])
    table.add_row("[bold]People[/]", people, "all invented")
    table.add_row("[bold]Kept in[/]", str(data), "delete it to start afresh")
    table.add_row("[bold]Next[/]", "make demo", "tells one move and shows it arrive")
    return Panel(table, title="Unwaith is running", subtitle="Ctrl-C ends everything it started", expand=False)

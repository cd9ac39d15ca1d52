"""`unwaith organisations`: who is connected, who is known and is not, and every version of one."""

import json

from rich.console import Console
from rich.table import Table

from broker.cli.operating import store, unless_away
from broker.register import bodies
from broker.register.differences import differences
from broker.store import proposals, register
from broker.telemetry.logs import configure_logs


@unless_away
async def show(*, as_json: bool) -> int:
    """Print every organisation and body, connected or not. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    async with store() as database:
        known = await register.configuration(database)
    rows = [
        {"id": item.id, "en": item.name.en, "cy": item.name.cy, "sector": item.sector, "adapter": item.adapter}
        for item in sorted(known.organisations.values(), key=lambda item: item.id)
    ] + [
        {"id": item.id, "en": item.name.en, "cy": item.name.cy, "sector": item.sector, "adapter": ""}
        for item in bodies.known(known.bodies)
        if not bodies.is_connected(item, known.organisations)
    ]
    if as_json:
        Console().print_json(json.dumps(rows))
        return 0
    table = Table(title="Who there is; without an adapter, known and not connected")
    for heading in ("id", "English", "Cymraeg", "sector", "adapter"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
    return 0


@unless_away
async def versions(organisation: str, *, as_json: bool) -> int:
    """Print every version of an organisation, the newest first, with what it changed; 1 if there is none."""
    configure_logs(level="ERROR", style="console")
    async with store() as database:
        kept = await proposals.versions(database, "organisation", organisation)
    if not kept:
        Console(stderr=True).print("No such organisation is registered.")
        return 1
    if as_json:
        said = [{"version": one.version, "at": one.at.isoformat(), "definition": one.definition} for one in kept]
        Console().print_json(json.dumps(said))
        return 0
    console = Console(soft_wrap=True)
    for one, before in zip(kept, [*(item.definition for item in kept[1:]), {}], strict=True):
        console.print(f"Version {one.version}, {one.at:%Y-%m-%d %H:%M} UTC")
        for item in differences(before, one.definition):
            console.print(f"  {item.pointer}: {item.before or 'nothing'} → {item.after or 'nothing'}", markup=False)
    return 0

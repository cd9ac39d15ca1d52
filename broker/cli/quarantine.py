"""`unwaith quarantined` and `unwaith examined`: records that were set aside, and that somebody has looked at them."""

import json

from rich.console import Console
from rich.table import Table

from broker import audit
from broker.cli.operating import ACTOR, store, unless_away
from broker.main.rooms import utc_now
from broker.store import operations
from broker.store.operations import Quarantine
from broker.telemetry.logs import configure_logs
from broker.web.staff import reasons

MOST = 1000
"""Shown at once."""


@unless_away
async def show(*, as_json: bool) -> int:
    """Print what was set aside and not looked at; 1 if there is any. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    async with store() as database:
        found = await operations.quarantined(database, MOST)
    if as_json:
        Console().print_json(json.dumps([_plain(item) for item in found]))
    else:
        Console().print(table(found) if found else "Nothing is in quarantine that nobody has looked at.")
    return 1 if found else 0


def table(found: list[Quarantine]) -> Table:
    made = Table(title="Records set aside that nobody has looked at")
    for heading in ("topic", "partition", "offset", "reason", "since", "delivery"):
        made.add_column(heading, justify="right" if heading in ("partition", "offset") else "left")
    for item in found:
        made.add_row(*(str(value) for value in _plain(item).values()))
    return made


def _plain(item: Quarantine) -> dict[str, str | int]:
    return {
        "topic": item.topic,
        "partition": item.partition,
        "offset": item.offset,
        "reason": item.reason,
        "at": f"{item.at:%Y-%m-%dT%H:%M:%SZ}",
        "delivery": str(item.delivery_id or ""),
    }


@unless_away
async def examine(topic: str, partition: int, offset: int, note: str) -> int:
    """Write down that a record was looked at; 1 if there is none, or it was before. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    console = Console(stderr=True)
    if not reasons.NOTE.fullmatch(note):
        console.print("A note is the code of a ticket, such as INC-1234.")
        return 1
    leaf = audit.leaf(
        "quarantine.examined",
        utc_now(),
        ACTOR,
        detail={"topic": topic, "partition": partition, "offset": offset, "note": note},
    )
    async with store() as database:
        changed = await operations.examined(database, topic, partition, offset, note, leaf)
    if not changed:
        console.print("Nothing changed: no such record is in quarantine, or somebody has looked at it already.")
    return 0 if changed else 1

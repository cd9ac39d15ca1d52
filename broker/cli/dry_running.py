"""`unwaith agreements dry-run`: what a version would have sent of the changes there were, in counts."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from broker.cli.agreements import say_faults
from broker.cli.operating import ACTOR, dsn_of, unless_away
from broker.intake.dry_run import A_MONTH, DryRun, dry_run
from broker.main.rooms import utc_now
from broker.register.checking import Fault
from broker.register.reading import Faulty, read
from broker.settings import SettingsRefused, load
from broker.store import Database
from broker.telemetry.logs import configure_logs
from broker.vault import RootKeyFile, Vault
from broker.verification import StoredGazetteer
from broker.web.staff import ledger
from contracts.agreement import Agreement
from contracts.changes import change_types


@unless_away
async def show(file: Path, since: datetime | None, most: int, *, as_json: bool) -> int:
    """Print what came of it; 1 if the document cannot be read. Raises SettingsRefused."""
    configure_logs(level="CRITICAL" if as_json else "ERROR", style="console")
    settings = load()
    if settings.root_key_file is None:
        raise SettingsRefused("UNWAITH_ROOT_KEY_FILE is missing: give the path of the sealed file.")
    try:
        agreement = read("agreement", file.read_bytes())  # noqa: ASYNC240  nothing else runs
    except Faulty as faulty:
        say_faults(faulty.faults)
        return 1
    except OSError as wrong:
        Console(stderr=True).print(wrong.strerror or "The file cannot be read.")
        return 1
    if not isinstance(agreement, Agreement) or agreement.change_type not in change_types():
        say_faults((Fault("/changeType", "type_unknown"),))
        return 1
    now = utc_now()
    begins = now - A_MONTH if since is None else since.replace(tzinfo=UTC)
    database = await Database.open(dsn_of(settings), size=2)
    try:
        vault = await Vault.open(database, RootKeyFile.open(settings.root_key_file))
        leaf = ledger.tried(ACTOR, now, agreement, begins)
        found = await dry_run(database, vault, StoredGazetteer(database), agreement, begins, now, leaf, most=most)
    finally:
        await database.close()
    if as_json:
        Console().print_json(json.dumps({**asdict(found), "since": begins.isoformat()}))
    else:
        _print(agreement, found)
    return 0


def _print(agreement: Agreement, found: DryRun) -> None:
    console = Console()
    table = Table(title=f"{agreement.id}/{agreement.version} since {found.since:%Y-%m-%d}", show_header=False)
    table.add_row("changes looked at", str(found.looked_at))
    table.add_row("of people who were erased", str(found.erased))
    table.add_row("would have been told", str(found.told))
    for share, n in zip(agreement.shares, found.by_share, strict=True):
        table.add_row(f"by the share {share.where} ({share.role})", str(n))
    for name, n in found.fields.items():
        table.add_row(f"with {name}", str(n))
    console.print(table)
    if not found.whole:
        console.print("There were more: the latest were looked at.")

"""`unwaith keys`: which signing keys of ours there are, and new ones in their place."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from rich.console import Console
from rich.table import Table

from broker import audit
from broker.cli.operating import ACTOR, dsn_of, unless_away
from broker.settings import SettingsRefused, load
from broker.store import Database, breakers
from broker.telemetry.logs import configure_logs
from broker.vault import PURPOSES, Purpose, RootKeyFile, SigningKeys, Vault
from broker.vault.signing import Rotation, RotationUnderWay


@unless_away
async def show(*, as_json: bool) -> int:
    """Print every key that is published. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    async with _vault() as (vault, now):
        found = [row for purpose in PURPOSES for row in _rows(purpose, await _of(vault, purpose, now).rotation(), now)]
    if as_json:
        Console().print_json(json.dumps(found))
        return 0
    table = Table(title="Our signing keys")
    for heading in ("purpose", "kid", "type", "signs from", "signs now"):
        table.add_column(heading, overflow="fold")
    for row in found:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
    return 0


@unless_away
async def rotate(purpose: Purpose, *, compromised: bool) -> int:
    """Make new keys for a purpose; 1 where the newest do not sign yet. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    detail: dict[str, str | int] = {"purpose": purpose, "compromised": int(compromised)}
    async with _vault() as (vault, now):
        leaf = audit.leaf("keys.rotated", now, ACTOR, detail={**detail})
        try:
            after = await _of(vault, purpose, now).rotate(leaf=leaf, compromised=compromised)
        except RotationUnderWay:
            Console(stderr=True).print(
                "The newest keys do not sign yet, or somebody else rotates just now. Try again later;"
                " --compromised withdraws all others at once."
            )
            return 1
    newest = after.sets[-1]
    Console().print(f"{', '.join(newest.names())}: published now, signs from {newest.signs_from.isoformat()}.")
    return 0


def _rows(purpose: Purpose, rotation: Rotation, now: datetime) -> list[dict[str, str | bool]]:
    return [
        {
            "purpose": purpose,
            "kid": key.thumbprint(),
            "type": kind,
            "signsFrom": one.signs_from.isoformat(),
            "signsNow": one is rotation.signing(now),
        }
        for one in rotation.published(now)
        for kind, key in one.keys.items()
    ]


def _of(vault: Vault, purpose: Purpose, now: datetime) -> SigningKeys:
    return SigningKeys(vault, purpose, lambda: now)


@asynccontextmanager
async def _vault() -> AsyncIterator[tuple[Vault, datetime]]:
    """Open the vault, and say what time it is by the store's clock: by that our keys sign and are published."""
    settings = load()
    if settings.root_key_file is None:
        raise SettingsRefused("UNWAITH_ROOT_KEY_FILE is missing: give the path of the sealed file.")
    database = await Database.open(dsn_of(settings), size=2)
    try:
        now = (await breakers.standing(database)).now
        yield await Vault.open(database, RootKeyFile.open(settings.root_key_file)), now
    finally:
        await database.close()

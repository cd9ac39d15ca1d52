"""What an operator's commands share: the store they work on, how the ledger names them; and the small ones themselves."""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, ParamSpec

from rich.console import Console

from broker import audit
from broker.main.rooms import utc_now
from broker.settings import Settings, SettingsRefused, load
from broker.store import Database, StoreUnavailable, operations
from broker.store.embedded import EmbeddedPostgres
from broker.store.migrate import migrate
from broker.telemetry.logs import configure_logs

ACTOR: Final = "command-line"
"""How the ledger names whoever has a shell on our machines."""

P = ParamSpec("P")


def dsn_of(settings: Settings) -> str:
    """Return the database's address; of an embedded one, where it is found while `unwaith run` has it running."""
    if settings.database_dsn is not None:
        return settings.database_dsn.get_secret_value()
    if settings.embedded is None:
        raise SettingsRefused("UNWAITH_DATABASE_DSN is missing: give the address of a PostgreSQL.")
    return EmbeddedPostgres(settings.embedded).dsn


async def migrate_store() -> int:
    """Migrate the database the settings name. Raises SettingsRefused."""
    settings = load()
    configure_logs(level=settings.log_level, style=settings.log_format)
    await migrate(dsn_of(settings))
    return 0


def unless_away(command: Callable[P, Coroutine[Any, Any, int]]) -> Callable[P, Coroutine[Any, Any, int]]:
    """Make a command say so, and end with 1, where the store does not answer."""

    @functools.wraps(command)
    async def told(*arguments: P.args, **options: P.kwargs) -> int:
        try:
            return await command(*arguments, **options)
        except StoreUnavailable:
            Console(stderr=True).print("The store does not answer.")
            return 1

    return told


@asynccontextmanager
async def store() -> AsyncIterator[Database]:
    """Open the database the settings name. Raises SettingsRefused."""
    database = await Database.open(dsn_of(load()), size=2)
    try:
        yield database
    finally:
        await database.close()


@unless_away
async def set_paused(organisation: str, reason: str | None, *, draining: bool = False) -> int:
    """Pause, drain or resume an organisation; 1 if that changed nothing."""
    begins = "organisation.draining" if draining else "organisation.paused"
    async with store() as database:
        leaf = audit.leaf(
            "organisation.resumed" if reason is None else begins,
            utc_now(),
            ACTOR,
            organisation=organisation,
            detail={} if reason is None else {"reason": reason},
        )
        changed = await operations.pause(database, organisation, reason, None, leaf, draining=draining)
    if not changed:
        Console(stderr=True).print(
            "Nothing changed: no such organisation, it was so already, or a change of its endpoint or key must be decided first."
        )
    return 0 if changed else 1

"""The roles as processes of their own, and the small acts of an operator."""

import asyncio
import functools
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Literal, ParamSpec, TypeVar

from rich.console import Console

from broker import audit
from broker.main.processes import Place, possible, reserved, several
from broker.main.roles import work
from broker.main.rooms import open_rooms, utc_now
from broker.main.serving import Listener
from broker.settings import Settings, SettingsRefused, load
from broker.store import Database, StoreUnavailable, operations
from broker.store.migrate import migrate
from broker.telemetry.logs import configure_logs
from broker.telemetry.metrics import new_metrics
from broker.vault import RootKeyFile

ACTOR: Final = "command-line"
"""How the ledger names whoever has a shell on our machines."""
LAST_PORT: Final = 65_535

T = TypeVar("T")
P = ParamSpec("P")


async def run_role(
    role: Literal["api", "relay", "deliver", "track", "notify"], stop: asyncio.Event, place: Place | None = None
) -> int:
    """Run one role until `stop`, alone or as one of several that share the API's port.

    Raises SettingsRefused, and PortBusy before anything is opened.
    """
    settings = load()
    metrics = new_metrics()
    configure_logs(level=settings.log_level, style=settings.log_format, dropped=metrics.log_keys_dropped.inc)
    metrics_port = settings.metrics_port
    if place is not None:
        place.ends_with_parent(stop)
        metrics_port += place.number
    doors = {"metrics": Listener(None, settings.metrics_host, metrics_port, "metrics")}
    if role == "api":
        doors["api"] = Listener(None, settings.host, settings.port, "api", shared=place is not None)
    if settings.root_key_file is None:
        raise SettingsRefused("UNWAITH_ROOT_KEY_FILE is missing: give the path of the sealed file.")
    root, dsn = RootKeyFile.open(settings.root_key_file), dsn_of(settings)
    async with AsyncExitStack() as opened:
        for door in doors.values():
            opened.callback(door.close)
            door.bind()
        rooms = await before(stop, opened.enter_async_context(open_rooms(settings, dsn, root, metrics)))
        if rooms is not None:
            keep_collector_off_what_stays()
            await work(rooms, [role], stop, doors=doors)
    return 0


async def before(stop: asyncio.Event, opening: Coroutine[Any, Any, T]) -> T | None:
    """Return what `opening` does; None, having ended it, if `stop` is set first: the store may be away for long."""
    ends = [asyncio.create_task(opening), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return ends[0].result() if ends[0].done() else None
    finally:
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


def serve_with(count: int, child: Callable[[Place], int], hopeless: int) -> int:
    """Serve the API in `count` processes on one port, and return the exit code. Raises SettingsRefused and PortBusy.

    Each has its own health and metrics, from the metrics port upwards: one process cannot tell of another.
    """
    settings = load()
    configure_logs(level=settings.log_level, style=settings.log_format)
    if not possible():
        raise SettingsRefused("--processes needs Linux: elsewhere start several with a port each.")
    if settings.metrics_port + count - 1 > LAST_PORT:
        raise SettingsRefused(f"UNWAITH_METRICS_PORT is too high: {count} processes take as many ports from it.")
    with reserved(settings.host, settings.port):
        return several(count, child, hopeless=hopeless)


def keep_collector_off_what_stays() -> None:
    """Exempt what is in memory now from garbage collection, and look at what comes later less often.

    What is loaded at start lives as long as the process. Walking through it again and again cost a fifth of the
    processor time of an accepted change and most of its slowest answers.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def dsn_of(settings: Settings) -> str:
    """Return the database's address. Raises SettingsRefused for an embedded one, which belongs to `unwaith run`."""
    if settings.database_dsn is None:
        raise SettingsRefused("UNWAITH_DATABASE_DSN is missing: give the address of a PostgreSQL.")
    return settings.database_dsn.get_secret_value()


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
        Console(stderr=True).print("Nothing changed: no such organisation, or it was so already.")
    return 0 if changed else 1

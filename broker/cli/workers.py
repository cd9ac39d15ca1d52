"""The roles as processes of their own."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final, Literal

from broker.cli.ending import before
from broker.cli.operating import dsn_of
from broker.main.listening import Listener
from broker.main.processes import Place, possible, reserved, several
from broker.main.roles import work
from broker.main.rooms import open_rooms
from broker.settings import SettingsRefused, load
from broker.telemetry.logs import configure_logs
from broker.telemetry.metrics import new_metrics
from broker.vault import RootKeyFile

LAST_PORT: Final = 65_535


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

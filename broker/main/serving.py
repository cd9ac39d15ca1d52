"""HTTP servers of ours, ended together, in order."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

import structlog
import uvicorn

from broker.main.connections import Bounds, bounded
from broker.main.listening import Listener

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """A server that leaves signals to the process: one place decides when everything ends."""

    def __init__(self, config: uvicorn.Config, ending: asyncio.Event) -> None:
        super().__init__(config)
        self._ending = ending

    async def main_loop(self) -> None:
        """Wait for the end, where uvicorn looks ten times a second whether it has come."""
        await self.on_tick(0)  # sets the headers of every answer, once and for all: they have no date
        await self._ending.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(listeners: Sequence[Listener], stop: asyncio.Event, bounds: Bounds | None = None) -> None:
    """Serve until `stop`; then let requests under way end. Raises PortBusy, and whatever ends a server early."""
    granted, ending = bounds or Bounds(), asyncio.Event()
    servers = []
    for listener in listeners:
        if listener.app is None:
            raise ValueError("a listener without an application")
        config = uvicorn.Config(
            listener.app,
            lifespan="on" if listener.lifespan else "off",
            loop="none",
            http=bounded(granted),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,  # nothing here believes who a caller says it is
            timeout_keep_alive=granted.idle_seconds,
            timeout_graceful_shutdown=10,
        )
        servers.append((_Server(config, ending), listener.socket()))
    running = [asyncio.create_task(server.serve(sockets=[taken])) for server, taken in servers]
    try:
        for listener in listeners:
            log.info("address.opened", address=f"{listener.host}:{listener.port}", component=listener.name)
        stopping = asyncio.create_task(stop.wait())
        while not all(server.started for server, _ in servers) and not any(task.done() for task in running):  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # uvicorn tells it by a flag alone
        for listener in listeners:
            listener.started.set()
        await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
    finally:
        for server, _ in servers:
            server.should_exit = True
        ending.set()
        await asyncio.gather(*running)

"""HTTP servers of ours: bound first, so that a busy port is a clear message; ended together, in order."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import structlog
import uvicorn
from starlette.types import ASGIApp

from broker.main.connections import Bounds, bounded

log = structlog.get_logger()


class PortBusy(Exception):  # noqa: N818  says what holds
    """Somebody else listens there."""

    def __init__(self, name: str, host: str, port: int) -> None:
        super().__init__(f"{host}:{port} is in use")
        self.name = name
        self.host = host
        self.port = port


@dataclass(slots=True)
class Listener:
    """One application at one address. Port 0 takes a free one; `port` then says which."""

    app: ASGIApp | None
    host: str
    port: int
    name: str
    lifespan: bool = False
    shared: bool = False
    """Other processes of ours listen there too."""
    started: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set once it answers."""
    _socket: socket.socket | None = field(default=None, repr=False)

    def bind(self) -> int:
        """Take the port now and return it. Raises PortBusy."""
        if self._socket is None:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            # Named as TCP: only then does asyncio send small answers at once; else each waits 40 ms for its reader's ACK.
            taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.shared:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                taken.bind((self.host, self.port))
            except OSError as fault:
                taken.close()
                if fault.errno == errno.EADDRINUSE:
                    raise PortBusy(self.name, self.host, self.port) from None
                raise
            self._socket = taken
            self.port = taken.getsockname()[1]
        return self.port

    def close(self) -> None:
        """Give the port up, if it was taken."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def socket(self) -> socket.socket:
        self.bind()
        if self._socket is None:
            raise RuntimeError("not bound")
        return self._socket


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

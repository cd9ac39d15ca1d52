"""Ports of ours, taken before anything else is opened, so that a busy one is a clear message."""

import asyncio
import errno
import socket
from dataclasses import dataclass, field

from starlette.types import ASGIApp


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

"""Ports for servers that are started by number.

Linux gives connections their own ports from 32768 up (ip_local_port_range), and so is a port that was asked for with 0
and given back: by the time a server comes to it, somebody's connection may have it. Below that nobody takes one unasked.
"""

import contextlib
import random
import socket
from typing import Final

_BELOW: Final = range(15_000, 32_000)
_CHOOSE: Final = random.SystemRandom()  # workers of one run begin with one seed


def free_row(count: int) -> range:
    """Return so many ports in a row that nobody listens on."""
    while True:
        first = _CHOOSE.randrange(_BELOW.start, _BELOW.stop - count)
        with contextlib.ExitStack() as taken, contextlib.suppress(OSError):
            for port in range(first, first + count):
                taken.enter_context(socket.create_server(("127.0.0.1", port)))
            return range(first, first + count)


def free_port() -> int:
    """Return a port that nobody listens on."""
    return free_row(1).start

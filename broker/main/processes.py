"""Several processes of one role on one port: a parent that only watches, and children that serve.

The parent opens no connection, runs no loop and has one thread, so it may fork at any time: it forks again for a child
that died. Each child listens on the port for itself (`SO_REUSEPORT`): the system spreads new connections over those that
live, and none waits for one that does not. A decision record says why: docs/decisions/0012-several-processes-one-port.md.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from broker.main.listening import Listener

RESTART_SECONDS: Final = 1.0
"""Before a child is started again that had lived for less than `SETTLED_SECONDS`; others are at once."""
SETTLED_SECONDS: Final = 10.0

_ASKED: Final = frozenset({signal.SIGTERM, signal.SIGINT})
_HEARD: Final = _ASKED | {signal.SIGCHLD, signal.SIGALRM}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Place:
    """Where one child stands among its like."""

    number: int
    """From 0."""
    parent: int
    """A file descriptor that ends with the parent, however that ends."""

    def ends_with_parent(self, stop: asyncio.Event) -> None:
        """Set `stop` when the parent is gone. Called on the running loop."""
        loop = asyncio.get_running_loop()

        def gone() -> None:
            loop.remove_reader(self.parent)
            stop.set()

        loop.add_reader(self.parent, gone)


@contextlib.contextmanager
def reserved(host: str, port: int) -> Iterator[None]:
    """Hold a port for children that share it; it takes no connections here. Raises PortBusy.

    Sharing alone would not notice another program of the same user on the port, so it is taken alone first.
    """
    alone = Listener(None, host, port, "api")
    alone.bind()
    alone.close()
    held = Listener(None, host, port, "api", shared=True)
    held.bind()
    try:
        yield
    finally:
        held.close()


def several(count: int, work: Callable[[Place], int], *, hopeless: int) -> int:
    """Run `work` in `count` children until SIGTERM or SIGINT, which is passed on; return the exit code.

    A child that ends by itself is started again. If the first of its number ends with the exit code `hopeless`, all
    end with that code. A second signal is passed on too.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    ends_with_us, ours = os.pipe()
    running: dict[int, tuple[int, float]] = {}
    """By process id: the child's number, and when it was started."""
    due = dict.fromkeys(range(count), 0.0)
    """By number: when a child is to be started."""
    first = set(due)
    """Numbers whose first child has not ended."""
    asked, code = False, 0
    log.info("processes.started", count=count)
    while running or due:
        now = time.monotonic()
        for number in [number for number, at in due.items() if at <= now]:
            del due[number]
            running[_forked(work, Place(number, ends_with_us), ours, before)] = number, now
        signal.setitimer(signal.ITIMER_REAL, max(0.001, min(due.values()) - now) if due else 0)
        if signal.sigwait(_HEARD) in _ASKED:
            asked = True
            _pass_on(running)
        for pid, ended in list(_ended(running)):
            number, since = running.pop(pid)
            if asked:
                code = code or (0 if ended == -signal.SIGTERM else abs(ended))  # asked before it could hear
            elif ended == hopeless and number in first:
                asked, code = True, ended
                _pass_on(running)
            else:
                log.error("process.ended", status=ended, seconds=round(time.monotonic() - since, 1))
                settled = time.monotonic() - since >= SETTLED_SECONDS
                due[number] = time.monotonic() + (0.0 if settled else RESTART_SECONDS)
                first.discard(number)
        if asked:
            due.clear()
    os.close(ours)
    os.close(ends_with_us)
    return code


def _forked(work: Callable[[Place], int], place: Place, ours: int, mask: Iterable[int]) -> int:
    """Start a child and return its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)  # Ctrl-C reaches the parent alone, which passes it on once
        os.close(ours)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = work(place)
    except BaseException:  # noqa: BLE001  a child never returns into its parent's code
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError):  # whoever read what we say may be gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _ended(running: dict[int, tuple[int, float]]) -> Iterator[tuple[int, int]]:
    """Yield the children that have ended, each with its exit code; below 0, the signal that ended it."""
    for pid in running:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            yield pid, os.waitstatus_to_exitcode(status)


def _pass_on(running: dict[int, tuple[int, float]]) -> None:
    for pid in running:
        os.kill(pid, signal.SIGTERM)  # not reaped yet, so it is still this child


def possible() -> bool:
    """Return whether this system spreads connections over processes that share a port. Linux does."""
    return sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")

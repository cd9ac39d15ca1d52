"""A process of the exchange that a test kills, stops, continues and starts again."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 60.0
"""Seconds after which something that must happen is given up. Never a measure of speed."""

A_TRY: Final = aiohttp.ClientTimeout(total=2.0)
"""One question whether it lives: who stands still before it answers keeps nobody waiting."""


class EndedByItself(Exception):  # noqa: N818  says what holds
    """A process ended that nobody had asked to. The message ends with its last words."""


class Process:
    """One process on fixed settings and a fixed address. A start after a kill is an ordinary start."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path, alive: str
    ) -> None:
        """`alive` is the URL that answers 200 while it lives; its words go to `folder`/`name`.log."""
        self.name = name
        self.starts = 0
        self._command = [*_tied_to_us(), sys.executable, *command]
        self.environment = {**_ordinary(), **environment}
        """What it is started with."""
        self._file = folder / f"{name}.log"
        self._alive = alive
        self._running: subprocess.Popen[bytes] | None = None
        self._may_stop = False

    @property
    def pid(self) -> int:
        if self._running is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._running.pid

    @property
    def running(self) -> bool:
        return self._running is not None and self._running.poll() is None

    def start(self, failpoints: str = "") -> None:
        """Start, with places armed where it is to die or stop by itself (see `broker.failpoints`)."""
        self.starts += 1
        armed = {"UNWAITH_FAILPOINTS": failpoints} if failpoints else {}
        self._may_stop = ":stop" in failpoints
        with self._file.open("ab") as out:
            self._running = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**self.environment, **armed},
                cwd=ROOT,
            )

    async def until_alive(self) -> None:
        """Return when it answers, or has died or stopped as it was armed to. Raises EndedByItself, or AssertionError."""
        try:
            async with asyncio.timeout(PATIENCE), aiohttp.ClientSession(timeout=A_TRY) as session:
                while self.running:
                    if self._may_stop and self._stands_still():
                        return
                    try:
                        async with session.get(self._alive) as answer:
                            if answer.status == 200:
                                return
                    except (aiohttp.ClientError, TimeoutError):
                        pass
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{self.name} runs and does not answer:\n{self.last_words()}") from None
        self.killed()

    def killed(self) -> bool:
        """Return whether it was killed by SIGKILL, False while it runs. Raises EndedByItself for any other end."""
        code = None if self._running is None else self._running.poll()
        if code not in {None, -signal.SIGKILL}:
            raise EndedByItself(f"{self.name} ended with {code}:\n{self.last_words()}")
        return code is not None

    async def until_killed(self, seconds: float = PATIENCE) -> bool:
        """Wait for a process that dies by its own failpoint; return whether it did in time. Raises EndedByItself."""
        try:
            async with asyncio.timeout(seconds):
                while not self.killed():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return False
        return True

    async def until_stopped(self) -> None:
        """Wait until it has stopped itself at a failpoint."""
        async with asyncio.timeout(PATIENCE):
            while not self._stands_still():
                self.killed()
                await asyncio.sleep(0.01)

    def _stands_still(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has let go of it."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()

    def suspend(self) -> None:
        """SIGSTOP: it keeps its connections and locks and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def said(self) -> list[dict[str, Any]]:
        """Return every line it logged so far, over all its lives; what is not JSON as {"raw": line}."""
        if not self._file.exists():
            return []
        return [_read(line) for line in self._file.read_text(errors="replace").splitlines() if line]

    def last_words(self) -> str:
        return "\n".join(self._file.read_text(errors="replace").splitlines()[-25:]) if self._file.exists() else ""


def _read(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {"raw": line}  # a line cut short by a kill, or a traceback
    return found if isinstance(found, dict) else {"raw": line}


def _ordinary() -> dict[str, str]:
    """Return our environment without settings of the exchange."""
    return {name: value for name, value in os.environ.items() if not name.startswith("UNWAITH_")}


def _tied_to_us() -> list[str]:
    """Return what makes the kernel end a process with us, where the system can: nothing is left behind."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []

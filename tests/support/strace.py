"""strace, to have the kernel kill a process, fail it or hold it up in one chosen system call.

It must be there, or root on a Debian to install it; and it must be allowed to trace. Where either is not so, tests that
need it are left out aloud, and fail where CI=true.
"""

import asyncio
import functools
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

PACKAGE: Final = "strace"
ATTACH_SECONDS: Final = 10.0
SAID_SECONDS: Final = 20.0


@functools.cache
def strace_missing() -> str | None:
    """Return what to do to have a strace that may trace, or None if it works; installs it where this process may."""
    if shutil.which("strace") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", PACKAGE]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", *command], capture_output=True, check=False, env=environment)
    if shutil.which("strace") is None:
        return f"strace is missing: sudo apt-get install -y {PACKAGE}"
    with subprocess.Popen(["sleep", "60"]) as traced:
        command = ["timeout", "1", "strace", "-e", "trace=none", "-p", str(traced.pid)]
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
        traced.kill()
    if "attached" not in tried.stderr:
        return "strace may not trace here: run as root, or set kernel.yama.ptrace_scope=0"
    return None


def need_strace() -> None:
    """Leave the test out, or fail it in CI, where strace cannot be used."""
    missing = strace_missing()
    if missing is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must run the tests on system calls. {missing}", pytrace=False)
        pytest.skip(f"NOT TESTED AT SYSTEM CALLS: {missing}")


class Tracing:
    """A strace that is attached."""

    def __init__(self, process: asyncio.subprocess.Process, said: Path) -> None:
        self._process = process
        self._said = said

    def happened(self, words: str) -> bool:
        """Return whether strace has reported `words`, such as "killed by SIGKILL" or "INJECTED"."""
        return words in self._said.read_text(errors="replace")

    async def until(self, words: str) -> None:
        """Wait for such a report: strace may write it after whoever it happened to has been missed. Raises TimeoutError."""
        async with asyncio.timeout(SAID_SECONDS):
            while not self.happened(words):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def tracing(pid: int, said: Path, *injections: str, children_only: bool = False) -> AsyncIterator[Tracing]:
    """Trace a process with its children and tamper with their system calls until the block ends.

    Children to come are traced too; with `children_only`, nobody but the children there are. An injection is as strace
    has it: `fdatasync:signal=KILL:when=3`. Its counts are each process's own. Raises TimeoutError.
    """
    calls = ",".join(injection.partition(":")[0] for injection in injections)
    command = ["strace", *([] if children_only else ["-f"]), "-o", str(said), "-e", f"trace={calls}"]
    for injection in injections:
        command += ["-e", f"inject={injection}"]
    traced = [*([] if children_only else [pid]), *_children(pid)]
    for one in traced:
        command += ["-p", str(one)]
    said.write_text("")
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        if process.stderr is not None:
            async with asyncio.timeout(ATTACH_SECONDS):
                for _ in traced:  # a line for each: attached, or why not
                    await process.stderr.readline()
        yield Tracing(process, said)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def _children(pid: int) -> Iterable[int]:
    """Return the processes below one, as they are now."""
    try:
        children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return  # it has just ended
    for child in children:
        yield child
        yield from _children(child)

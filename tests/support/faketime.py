"""libfaketime, to give one process a wrong clock: its own, and whatever it dates and compares.

It must be there, or root on a Debian to install it. Where it is not, tests that need it are left out aloud, and fail
where CI=true. https://github.com/wolfcw/libfaketime
"""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

PACKAGE: Final = "libfaketime"
_PLACES: Final = ("/usr/lib", "/usr/lib64", "/usr/local/lib")


@functools.cache
def _library() -> Path | None:
    """Return the library for programs with threads; installs it where this process may."""
    if (found := _found()) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", PACKAGE]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", *command], capture_output=True, check=False, env=environment)
        found = _found()
    return found


def _found() -> Path | None:
    for place in _PLACES:
        for library in sorted(Path(place).glob("**/faketime/libfaketimeMT.so.1")):
            return library
    return None


def wrong_by(seconds: int) -> dict[str, str]:
    """Return the environment in which a process's clock is wrong by so much, while its time passes as ever.

    Leaves the test out, or fails it in CI, where that cannot be had.
    """
    library = _library()
    if library is None:
        _not_here(f"libfaketime is missing: sudo apt-get install -y {PACKAGE}")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{seconds:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DISABLE_SHM": "1",  # what it shares with children outlives a process that is killed
        "NO_FAKE_STAT": "1",
    }
    asked = [sys.executable, "-c", "import time; print(time.time())"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    right = subprocess.run(asked, capture_output=True, text=True, check=True)
    if told.returncode or abs(float(told.stdout) - float(right.stdout) - seconds) > 60:
        _not_here("libfaketime does not move this Python's clock")
    return environment


def _not_here(why: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must run the tests on wrong clocks. {why}", pytrace=False)
    pytest.skip(f"NOT TESTED WITH WRONG CLOCKS: {why}")

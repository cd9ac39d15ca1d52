"""Several API processes on one port: each serves, one that dies is replaced, all end together, none outlives its parent."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from broker.cli.commands import REFUSED
from tests.support.ports import free_row

COUNT = 2
PATIENCE_SECONDS = 60.0


def _free_ports() -> tuple[int, int]:
    """Return a port for the API and the first of `COUNT` in a row for metrics."""
    first, metrics, *_ = free_row(1 + COUNT)
    return first, metrics


class Several:
    """The parent, and a look at its children."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, metrics: int, said: Path) -> None:
        self.process = process
        self.port = port
        self.metrics = metrics
        self.said = said

    def children(self) -> list[int]:
        with contextlib.suppress(OSError):
            pid = self.process.pid
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                await asyncio.sleep(0.05)

    async def ready(self, number: int) -> None:
        """Wait until one of them says so on its own metrics port."""
        async with asyncio.timeout(PATIENCE_SECONDS), httpx2.AsyncClient() as client:
            while True:
                with contextlib.suppress(httpx2.HTTPError):
                    answer = await client.get(f"http://127.0.0.1:{self.metrics + number}/readyz")
                    if answer.status_code == 200:
                        return
                await asyncio.sleep(0.05)

    async def answers(self) -> bool:
        """Return whether a new connection to the shared port is answered."""
        async with httpx2.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{self.port}/readyz")).status_code == 200


@asynccontextmanager
async def started(dsn: str, folder: Path, port: int, metrics: int) -> AsyncIterator[Several]:
    said = folder / "said"
    environment = {
        "UNWAITH_ENVIRONMENT": "test",
        "UNWAITH_DATABASE_DSN": dsn,
        "UNWAITH_ROOT_KEY_FILE": str(folder / "root.key"),
        "UNWAITH_LOG": "postgres",
        "UNWAITH_PORT": str(port),
        "UNWAITH_METRICS_PORT": str(metrics),
    }
    with said.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "broker.cli", "api", "--processes", str(COUNT)),
            stdout=out,
            stderr=out,
            env={**os.environ, **environment},
        )
    try:
        yield Several(process, port, metrics, said)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the root key of this file's database is."""
    return tmp_path_factory.mktemp("processes")


def alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the command refuses")
async def test_a_dead_one_is_replaced_and_a_signal_ends_them_all(shared_dsn: str, home: Path) -> None:
    async with started(shared_dsn, home, *_free_ports()) as several:
        for number in range(COUNT):
            await several.ready(number)
        first, second = several.children()
        os.kill(first, signal.SIGKILL)
        await several.until(lambda: not alive(first))
        assert [await several.answers() for _ in range(20)] == [True] * 20, (
            "the one that is left takes every connection"
        )
        await several.until(lambda: len(several.children()) == COUNT)
        for number in range(COUNT):
            await several.ready(number)
        assert second in several.children()
        assert first not in several.children()

        assert (await _refused(shared_dsn, home / "second", several.port, several.metrics + COUNT)) == REFUSED

        children = several.children()
        several.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await several.process.wait() == 0, several.said.read_text()
        assert not any(map(alive, children))


async def _refused(dsn: str, folder: Path, port: int, metrics: int) -> int:
    """Return the exit code of another start on the same port."""
    folder.mkdir()
    async with started(dsn, folder, port, metrics) as second, asyncio.timeout(PATIENCE_SECONDS):
        code = await second.process.wait()
        assert f"Port {port} is in use" in second.said.read_text()
        return code


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the command refuses")
async def test_none_outlives_its_parent(shared_dsn: str, home: Path) -> None:
    async with started(shared_dsn, home, *_free_ports()) as several:
        for number in range(COUNT):
            await several.ready(number)
        children = several.children()
        several.process.kill()
        await several.until(lambda: not any(map(alive, children)))

"""The embedded PostgreSQL: what survives, what ends, what is refused."""

import asyncio
import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from broker.store.embedded import SETTINGS, EmbeddedPostgres, PostgresDidNotStart
from broker.store.embedded_account import account_for

_CHILD = """
import sys, time
from pathlib import Path
from broker.store.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
{then}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of this test's own, with the real settings; `tmp_path` is long and closed to others, as homes are."""
    server = EmbeddedPostgres(tmp_path / "home")
    yield server
    server.stop()


def _ask(server: EmbeddedPostgres, query: str) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(server.dsn)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(ask())


def _child(home: Path, then: str) -> tuple[subprocess.Popen[bytes], int]:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD.format(then=then), str(home)], stdout=subprocess.PIPE, env=os.environ
    )
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip().isdigit():
            return child, int(line)
    raise AssertionError("the child did not start its server")


def _ends(pid: int) -> bool:
    for _ in range(500):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            return True
        time.sleep(0.02)
    return False


def test_what_was_committed_survives_a_kill_and_the_address_stays(server: EmbeddedPostgres) -> None:
    first = server.start()
    _ask(server, "CREATE TABLE kept AS SELECT 7 AS n")
    server.kill()
    assert server.pid is None
    assert server.start() == first
    assert _ask(server, "SELECT n FROM kept") == 7


def test_it_is_built_to_be_trusted(server: EmbeddedPostgres) -> None:
    server.start()
    assert _ask(server, "SHOW data_checksums") == "on"
    assert _ask(server, "SHOW server_encoding") == "UTF8"
    query = "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = current_database()"
    assert _ask(server, query) == "bC.UTF-8"
    assert _ask(server, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'trust'") == 0
    assert _ask(server, "SHOW listen_addresses") == ""
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        assert _ask(server, f"SHOW {name}") == SETTINGS[name] == "on"


def test_only_its_account_may_enter(server: EmbeddedPostgres, tmp_path: Path) -> None:
    server.start()
    for directory in (tmp_path / "home" / "cluster", server._socket):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0


def test_its_log_names_no_values(server: EmbeddedPostgres) -> None:
    server.start()
    _ask(server, "CREATE TABLE person (name text UNIQUE CHECK (name <> 'Angharad'))")
    _ask(server, "INSERT INTO person VALUES ('Myfanwy')")
    for name, refusal in (("Myfanwy", asyncpg.UniqueViolationError), ("Angharad", asyncpg.CheckViolationError)):
        with pytest.raises(refusal):
            _ask(server, f"INSERT INTO person VALUES ('{name}')")
    said = server.log_file.read_text()
    assert "unique constraint" in said
    assert "Myfanwy" not in said
    assert "Angharad" not in said


def test_one_directory_serves_one_exchange(server: EmbeddedPostgres, tmp_path: Path) -> None:
    server.start()
    with pytest.raises(PostgresDidNotStart, match="Another Unwaith"):
        EmbeddedPostgres(tmp_path / "home").start()
    assert _ask(server, "SELECT 1") == 1
    server.stop()
    other = EmbeddedPostgres(tmp_path / "home")
    other.start()
    other.stop()


def test_a_long_and_odd_path_still_has_a_socket(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("cartref " * 15).strip() / "tŷ, 'data'")
    try:
        server.start()
        assert _ask(server, "SELECT 1") == 1
    finally:
        server.stop()
        server._socket.rmdir()


def test_a_socket_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "planted").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError):
        account_for(tmp_path / "cluster").make_private(tmp_path / "planted")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends an account")
def test_a_lent_account_reaches_what_lies_below_a_closed_directory_and_is_not_root(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "program"
    program.write_text('#!/bin/sh\ntest -x "$0" && id -u && grep CapEff /proc/self/status\n')
    program.chmod(0o755)
    prefix = account_for(tmp_path / "cluster").prefix([program])
    said = subprocess.run([*prefix, str(program)], capture_output=True, check=True).stdout.split()
    assert said[0] != b"0"
    assert int(said[2], 16) == 1 << 1  # CAP_DAC_OVERRIDE and nothing else


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_process(tmp_path: Path, how: signal.Signals) -> None:
    child, postmaster = _child(tmp_path / "home", "time.sleep(60)")
    with child:
        child.send_signal(how)
    assert _ends(postmaster)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
def test_it_ends_even_when_its_process_is_killed(tmp_path: Path) -> None:
    child, postmaster = _child(tmp_path / "home", "time.sleep(60)")
    with child:
        child.kill()
    assert _ends(postmaster)


def test_an_orphan_is_ended_by_the_next_start(tmp_path: Path) -> None:
    """Where the kernel does not tell it, a server outlives a killed process: made here by letting go of it."""
    left = EmbeddedPostgres(tmp_path / "home")
    left.start()
    orphan = left._server
    assert orphan is not None
    assert left._lock is not None
    left._server = None
    left._lock.close()
    left._lock = None
    server = EmbeddedPostgres(tmp_path / "home")
    try:
        # A real orphan is reaped by init; this one must be by its parent, this process.
        threading.Thread(target=orphan.wait, daemon=True).start()
        server.start()
        assert server.pid not in {None, orphan.pid}
        assert orphan.wait(5) == 0
        assert _ask(server, "SELECT 1") == 1
    finally:
        server.stop()


def test_a_process_number_given_to_a_stranger_does_not_stop_it(server: EmbeddedPostgres, tmp_path: Path) -> None:
    server.start()
    note = tmp_path / "home" / "cluster" / "postmaster.pid"
    server.kill()
    lines = note.read_text().splitlines()
    stranger = subprocess.Popen([*account_for(tmp_path / "home" / "cluster").prefix([]), "sleep", "60"])
    try:
        note.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        server.start()
        assert _ask(server, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_start_waits_for_what_a_killed_server_left_running(server: EmbeddedPostgres) -> None:
    """A backend that is computing does not notice at once that its postmaster is gone."""
    server.start()

    async def kill_while_busy() -> None:
        connection = await asyncpg.connect(server.dsn)
        busy = asyncio.ensure_future(connection.fetchval("SELECT count(*) FROM generate_series(1, 6000000)"))
        await asyncio.sleep(0.1)
        server.kill()
        server.start()
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await busy
        connection.terminate()

    asyncio.run(kill_while_busy())
    assert _ask(server, "SELECT 1") == 1
    said = server.log_file.read_text()
    assert "still in use" in said
    mangled = [line for line in said.splitlines() if not re.match(r"[\d-]+ [\d:.]+ UTC \[\d+\] [A-Z]+: ", line)]
    assert mangled == [], "two servers wrote over each other's words"


def test_a_half_made_cluster_is_made_again(server: EmbeddedPostgres, tmp_path: Path) -> None:
    (tmp_path / "home" / "cluster.new").mkdir(parents=True)
    (tmp_path / "home" / "cluster.new" / "PG_VERSION").write_text("18\n")
    server.start()
    assert _ask(server, "SELECT 1") == 1


def test_another_version_is_refused_untouched(server: EmbeddedPostgres, tmp_path: Path) -> None:
    (tmp_path / "home" / "cluster").mkdir(parents=True)
    (tmp_path / "home" / "cluster" / "PG_VERSION").write_text("16\n")
    with pytest.raises(PostgresDidNotStart, match="PostgreSQL 16"):
        server.start()
    assert [file.name for file in (tmp_path / "home" / "cluster").iterdir()] == ["PG_VERSION"]


def test_a_wrong_setting_says_why(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "home", settings={"shared_buffers": "much"})
    with pytest.raises(PostgresDidNotStart, match="shared_buffers"):
        server.start()
    assert server.pid is None

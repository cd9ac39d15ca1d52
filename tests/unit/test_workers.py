"""How a role begins and ends while the store is away: what is wrong is said at once, and who is asked to end does."""

import asyncio
import socket
from pathlib import Path

import pytest
from typer.main import get_group
from typer.testing import CliRunner

from broker.cli.commands import REFUSED, app
from broker.cli.workers import run_role
from broker.main.listening import PortBusy
from tests.support.ports import free_row

PATIENCE_SECONDS = 20.0


@pytest.fixture
def metrics_port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """Set up an installation whose PostgreSQL is not there, and return its metrics port."""
    key = tmp_path / "root.key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o400)
    nobody, free = free_row(2)
    for name, value in (
        ("ENVIRONMENT", "test"),
        ("DATABASE_DSN", f"postgresql://nobody@127.0.0.1:{nobody}/nothing"),
        ("LOG", "postgres"),
        ("ROOT_KEY_FILE", str(key)),
        ("METRICS_PORT", str(free)),
    ):
        monkeypatch.setenv(f"UNWAITH_{name}", value)
    monkeypatch.setattr("broker.cli.workers.configure_logs", lambda **_: None)
    return free


@pytest.mark.usefixtures("metrics_port")
async def test_a_role_that_waits_for_the_store_ends_when_it_is_asked_to() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stop.set)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await run_role("relay", stop) == 0


async def test_a_port_that_is_taken_is_said_without_waiting_for_the_store(metrics_port: int) -> None:
    with socket.create_server(("127.0.0.1", metrics_port)):
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(PortBusy) as busy:
                await run_role("relay", asyncio.Event())
    assert (busy.value.name, busy.value.port) == ("metrics", metrics_port)


def test_a_role_names_the_variable_that_moves_its_port(metrics_port: int) -> None:
    with socket.create_server(("127.0.0.1", metrics_port)):
        ended = CliRunner().invoke(app, ["relay"])
    assert ended.exit_code == REFUSED
    assert f"Port {metrics_port} is in use (metrics). Choose another: UNWAITH_METRICS_PORT=" in ended.stderr


def test_no_option_is_read_from_a_variable_that_the_settings_refuse() -> None:
    options = [(name, option) for name, command in get_group(app).commands.items() for option in command.params]
    assert options
    assert [name for name, option in options if option.envvar] == []

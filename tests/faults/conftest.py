"""The seed and the number of kills, one exchange for the rows of the matrix, and the figures at the end of a run."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.kafka.jars import PartMissing
from tests.faults.exchange import Exchange, LogKind
from tests.support.strace import strace_missing

KILLS: Final = 204
"""In a normal run, both logs together."""

_SEED: Final = pytest.StashKey[int]()
_FIGURE: Final = "figure"


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed once; pytest's workers are given it."""
    given = getattr(config, "workerinput", {}).get("seed") or os.environ.get("UNWAITH_TEST_SEED")
    config.stash[_SEED] = int(given or 1 + secrets.randbelow(1_000_000))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["seed"] = node.config.stash[_SEED]


def pytest_report_header(config: pytest.Config) -> list[str]:
    lines = [f"faults: seed {config.stash[_SEED]}; the same again: make faults SEED={config.stash[_SEED]}"]
    if (missing := strace_missing()) is not None:
        lines += ["*" * 100, f"*** NOTHING IS KILLED AT AN FSYNC, ROWS 1 AND 4 ARE NOT WHOLE: {missing}", "*" * 100]
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.section(f"faults, seed {config.stash[_SEED]}")
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, line in getattr(report, "user_properties", ()):
                if name == _FIGURE and report.when == "call":
                    terminalreporter.write_line(str(line))


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    return pytestconfig.stash[_SEED]


@pytest.fixture(scope="session")
def kills() -> int:
    """How many kills, over both logs."""
    return int(os.environ.get("UNWAITH_TEST_KILLS") or KILLS)


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say something at the end of the run, whether it went well or not."""
    return lambda line: record_property(_FIGURE, line)


def opened(stack: ExitStack, log: LogKind) -> Exchange:
    """Open an exchange of one's own. Where Kafka cannot run the test is left out aloud, or fails in CI."""
    # Not pytest's own folder: PostgreSQL runs as another account when we are root, and could not enter it.
    folder = Path(tempfile.mkdtemp(prefix="unwaith-faults-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    try:
        return stack.enter_context(Exchange.on(log, folder))
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must prove it on Kafka. {missing}", pytrace=False)
        pytest.skip(f"NOT PROVEN ON KAFKA: {missing}")


@pytest.fixture(scope="module")
def on_postgres() -> Iterator[Exchange]:
    with ExitStack() as stack:
        yield opened(stack, "postgres")


@pytest.fixture(scope="module")
def on_kafka() -> Iterator[Exchange]:
    with ExitStack() as stack:
        yield opened(stack, "kafka")


@pytest.fixture(params=["postgres", "kafka"])
def exchange(request: pytest.FixtureRequest) -> Exchange:
    """Give the module's exchange on each log in turn. No role runs."""
    found: Exchange = request.getfixturevalue(f"on_{request.param}")
    return found

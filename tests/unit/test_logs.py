"""Nothing personal comes out of the logs, whichever way it goes in."""

import ast
import asyncio
import io
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
import structlog

from broker.telemetry.logs import KEYS, configure_logs
from broker.telemetry.metrics import new_metrics

NAME = "Angharad Gwynfor-Canary"
HOME = "7 Heol y Frenhines, Caerdydd CF10 2AB"
ROOT = Path(__file__).parents[2]

_FAILING = """
def fail():
    local = HOME
    try:
        raise KeyError(NAME)
    except KeyError as cause:
        raise ValueError(NAME + " lives at " + local) from cause
"""


class _Lines:
    def __init__(self) -> None:
        self.out = io.StringIO()
        self.withheld = 0

    def count(self, number: int) -> None:
        self.withheld += number

    def all(self) -> list[dict[str, object]]:
        return [orjson.loads(line) for line in self.out.getvalue().splitlines()]

    def only(self) -> dict[str, object]:
        (line,) = self.all()
        return line


@pytest.fixture
def lines() -> Iterator[_Lines]:
    """Configured logging, and everything it touched put back afterwards."""
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("alembic", "aiokafka", "uvicorn")}
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook)
    captured = _Lines()
    configure_logs(level="DEBUG", out=captured.out, dropped=captured.count)
    yield captured
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def _silent_about_the_person(lines: _Lines) -> None:
    for word in re.split(r"[\s,-]+", f"{NAME} {HOME}"):
        if len(word) > 2:
            assert word not in lines.out.getvalue()


def test_a_fact_comes_out_with_its_ids(lines: _Lines) -> None:
    delivery = UUID(int=7)
    structlog.get_logger().info("delivery.attempted", delivery_id=delivery, organisation="cardiff", attempt=2, count=0)
    line = lines.only()
    assert datetime.fromisoformat(str(line.pop("timestamp"))).tzinfo == UTC
    assert line == {
        "event": "delivery.attempted",
        "level": "info",
        "delivery_id": str(delivery),
        "organisation": "cardiff",
        "attempt": 2,
        "count": 0,
    }
    assert lines.withheld == 0


def test_an_unlisted_key_is_dropped_and_counted(lines: _Lines) -> None:
    structlog.get_logger().info("change.accepted", name=NAME, new_address=HOME, count=1)
    assert lines.only()["count"] == 1
    assert not {"name", "new_address"} & set(lines.only())
    assert lines.withheld == 2
    _silent_about_the_person(lines)


@pytest.mark.parametrize("value", [NAME, HOME, {"name": NAME}, [HOME], NAME.encode(), ValueError(HOME), "x" * 201])
def test_a_listed_key_takes_codes_and_numbers_only(lines: _Lines, value: object) -> None:
    structlog.get_logger().info("delivery.refused", reason=value)
    assert lines.only()["reason"] == "withheld"
    assert lines.withheld == 1
    _silent_about_the_person(lines)


def test_an_exception_is_its_classes_and_our_lines(lines: _Lines) -> None:
    ours: dict[str, Any] = {"__name__": "contracts.text", "NAME": NAME, "HOME": HOME}
    exec(_FAILING, ours)
    try:
        ours["fail"]()
    except ValueError:
        structlog.get_logger().exception("delivery.failed")
    line = lines.only()
    assert line["error"] == "ValueError<KeyError"
    assert line["frames"] == ["contracts/text.py:5 in fail", "contracts/text.py:7 in fail"]
    _silent_about_the_person(lines)


def test_a_group_says_which_exceptions_it_holds(lines: _Lines) -> None:
    """Roles run in task groups: what ended one must not hide behind the group's name."""
    group = ExceptionGroup(NAME, [ExceptionGroup(NAME, [KeyError(NAME)]), OSError(NAME)])
    structlog.get_logger().error("x.failed", exc_info=group)
    assert lines.only()["error"] == "ExceptionGroup<ExceptionGroup<OSError<KeyError"
    _silent_about_the_person(lines)


def test_frames_and_error_are_ours_to_fill(lines: _Lines) -> None:
    structlog.get_logger().error("x.failed", frames=[HOME], error=ValueError(NAME))
    structlog.get_logger().error("x.failed", frames=[HOME])
    first, second = lines.all()
    assert first["error"] == "ValueError"
    assert "frames" not in second
    _silent_about_the_person(lines)


def test_libraries_are_reduced_to_who_and_where(lines: _Lines) -> None:
    try:
        raise RuntimeError(NAME)
    except RuntimeError:
        logging.getLogger("asyncpg").exception("could not store %s", NAME)
    logging.getLogger("aiokafka.producer").error("Failed to send %s to %s", HOME, NAME)
    logging.getLogger("aiokafka").error(f"Failed to send {HOME}")  # noqa: G004  as some libraries do
    logging.getLogger("somebody").error("Hello %s", NAME)
    logging.getLogger("somebody").error(NAME)
    first, second, *rest = lines.all()
    assert first["library"] == "asyncpg"
    assert first["error"] == "RuntimeError"
    assert str(first["where"]).startswith("test_logs.py:")
    assert second["template"] == "Failed to send %s to %s"
    assert not any("template" in line for line in rest)
    assert {line["event"] for line in lines.all()} == {"library.logged"}
    _silent_about_the_person(lines)


_ENDING = """
import threading, warnings
from broker.telemetry.logs import configure_logs
configure_logs()
warnings.warn({name!r})
thread = threading.Thread(target=lambda: int({name!r}))
thread.start()
thread.join()
class Unraisable:
    def __del__(self):
        raise ValueError({name!r})
Unraisable()
raise ValueError({home!r})
"""


def test_a_process_warns_and_ends_without_saying_more(lines: _Lines) -> None:
    code = _ENDING.format(name=NAME, home=HOME)
    ended = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, check=False, cwd=ROOT)
    assert ended.returncode == 1
    assert ended.stderr == b""
    lines.out.write(ended.stdout.decode())
    assert [line["event"] for line in lines.all()] == ["library.logged"] + ["process.failed"] * 3
    assert [line.get("error") for line in lines.all()][1:] == ["ValueError"] * 3
    _silent_about_the_person(lines)


def test_a_task_nobody_waited_for_says_no_more(lines: _Lines) -> None:
    async def main() -> None:
        async def lost() -> None:
            raise ValueError(NAME)

        task = asyncio.create_task(lost())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task

    asyncio.run(main())
    assert lines.only()["library"] == "asyncio"
    assert lines.only()["error"] == "ValueError"
    _silent_about_the_person(lines)


def test_the_console_is_as_silent(lines: _Lines) -> None:
    configure_logs(style="console", out=lines.out)
    try:
        raise ValueError(NAME)
    except ValueError:
        structlog.get_logger().exception("delivery.failed", name=NAME, reason=HOME, organisation="cardiff")
    assert "cardiff" in lines.out.getvalue()
    _silent_about_the_person(lines)


def test_the_counter_can_be_a_metric(lines: _Lines) -> None:
    metrics = new_metrics()
    configure_logs(out=lines.out, dropped=metrics.log_keys_dropped.inc)
    structlog.get_logger().info("change.accepted", name=NAME)
    assert metrics.registry.get_sample_value("unwaith_log_keys_dropped_total") == 1


def test_what_is_below_the_level_is_not_logged(lines: _Lines) -> None:
    configure_logs(level="WARNING", out=lines.out)
    structlog.get_logger().info("change.accepted")
    logging.getLogger("somebody").info("hello")
    assert lines.out.getvalue() == ""


def _log_calls() -> Iterator[tuple[str, ast.Call]]:
    """Every `log.<level>(...)` and `….get_logger().<level>(...)` in our code."""
    levels = {"debug", "info", "warning", "error", "exception", "critical"}
    for room in ("broker", "adapters"):
        for file in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                speaker = ast.unparse(node.func.value)
                if node.func.attr in levels and re.fullmatch(r"(self\.)?_?log(ger)?|.*get_logger\(\)", speaker):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def test_our_own_code_logs_facts_with_listed_keys() -> None:
    calls = list(_log_calls())
    assert calls
    wrong: dict[str, str] = {}
    for where, call in calls:
        if not (len(call.args) == 1 and isinstance(call.args[0], ast.Constant)):
            wrong[where] = "the event is one constant"
        elif not re.fullmatch(r"[a-z_]+\.[a-z_]+", str(call.args[0].value)):
            wrong[where] = "the event is thing.happened"
        elif unlisted := {str(word.arg) for word in call.keywords} - KEYS - {"exc_info"}:
            wrong[where] = f"not listed: {', '.join(sorted(unlisted))}"
    assert wrong == {}

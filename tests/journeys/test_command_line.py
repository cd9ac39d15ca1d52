"""The commands of the README, run as a newcomer runs them: real processes, real sign-in, real deliveries."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WAYS = {
    "Cardiff Council": "webhook",
    "Swansea Council": "SFTP",
    "Transport for Wales": "webhook",
    "Cardiff and Vale University Health Board": "HL7 v2",
    "Swansea Bay University Health Board": "FHIR",
    "Natural Resources Wales": "pull",
}
ANSWERS = {
    "webhook": "applied",
    "SFTP": "applied",
    "HL7 v2": "accepted",
    "FHIR": "applied",
    "pull": "applied",
}
SEEN = {"webhook": {3}, "SFTP": {3}, "HL7 v2": {2}, "FHIR": {2}, "pull": {2, 3}}
"""How many of the three times there are; an agency may say that it applied a change before it acknowledges it."""
PORTS = 12


def unwaith(*words: str, seconds: float = 90.0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "broker.cli", *words],
        cwd=ROOT,
        env=quiet(),
        text=True,
        capture_output=True,
        timeout=seconds,
        check=False,
    )


def quiet() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("UNWAITH_") and name != "MAKELEVEL"
    }
    return {**kept, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}


@pytest.fixture
def port() -> int:
    """The first of so many free ports in a row as `unwaith run` takes."""
    places = range(21_000, 30_000, 17)
    for first in random.sample(places, len(places)):  # tests run side by side, and look at once
        try:
            taken = [socket.create_server(("127.0.0.1", first + step)) for step in range(PORTS)]
        except OSError:
            continue
        for one in taken:
            one.close()
        return first
    raise RuntimeError("no free ports in a row")


class Running:
    """`unwaith run` as a process."""

    def __init__(self, data: Path, port: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "broker.cli", "run", "--data", str(data), "--port", str(port)],
            cwd=ROOT,
            env=quiet(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.said = ""

    def until_running(self) -> None:
        assert self.process.stdout
        while "Ctrl-C ends everything" not in self.said:
            line = self.process.stdout.readline()
            assert line, self.said
            self.said += line

    def ended(self) -> str:
        """What it said at its end, if it ended by itself."""
        if self.process.poll() is None:
            return ""
        rest, _ = self.process.communicate(timeout=5)
        return f"\nthe exchange ended with {self.process.returncode}:\n{self.said}{rest}"

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=30)  # closes the pipe too
        self.said += rest
        return self.process.returncode


@pytest.fixture
def running(tmp_path: Path, port: int) -> Iterator[Running]:
    started = Running(tmp_path / "data", port)
    try:
        started.until_running()
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        if started.process.stdout and not started.process.stdout.closed:
            started.process.communicate()


@pytest.mark.parametrize("log", ["postgres", "kafka"])
def test_demo_goes_all_the_way(log: str, request: pytest.FixtureRequest) -> None:
    if log == "kafka":
        request.getfixturevalue("kafka")  # what is missing is said there
    done = unwaith("demo", "--log", log)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "has signed in: authorization code, PKCE" in done.stdout
    assert "Every organisation has answered as it should" in done.stdout
    move, *others = (table_in(part) for part in done.stdout.split("Change ")[1:])
    rows = move
    told = next(" ".join(lines) for lines in zip(*rows, strict=True))
    assert all(organisation in told for organisation in WAYS), told
    found = [row for row in rows if row[1]]  # the first line of each organisation
    assert sorted(row[1] for row in found) == sorted(WAYS.values())
    for _, way, *times, answer in found:
        assert answer == ANSWERS[way], way
        reached = [float(time) for time in times if time != "-"]
        assert len(reached) in SEEN[way], "sent, received, applied, as far as this way says them"
        assert min(reached) > 0  # in no promised order: each is somebody else's clock, and an answer may come at once
    ways = [{"webhook", "pull", "FHIR"}] * 2 + [{"webhook", "FHIR"}, {"webhook", "pull", "HL7 v2"}]
    for told_after, by in zip(others, ways, strict=True):  # a telephone number, a language, a name, a death
        found = [row for row in told_after if row[1]]
        assert {row[1] for row in found} == by
        assert all(row[-1] == ANSWERS[row[1]] for row in found)
    said = " ".join(done.stdout.split())
    assert "a person must see the certificate first" in said
    assert "a registrar must confirm it first" in said
    assert said.count("Confirmed, and released") == 2


def table_in(part: str) -> list[list[str]]:
    """Return the rows of the table whose title `part` begins with."""
    lines = part[: part.index("└")].splitlines()
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]


def test_demo_says_why_it_did_not_end_well() -> None:
    done = unwaith("demo", "--person", "dafydd")  # he can sign in, but nobody has proven who he is
    assert done.returncode == 1
    assert "did not end as it should" in done.stderr
    done = unwaith("demo", "--person", "nobody")
    assert done.returncode == 1
    assert "there is no sample person" in done.stderr


def test_run_serves_everything_and_keeps_it_over_a_restart(running: Running, tmp_path: Path, port: int) -> None:
    told = unwaith("tell", "llyr", "--data", str(tmp_path / "data"), "--port", str(port))
    assert told.returncode == 0, told.stdout + told.stderr + running.ended()
    [reference] = re.findall(r"Reference (\S+)", told.stdout)
    inbox = _get(port + 2, "/inbox.json")
    assert inbox["totals"]["effects"] == 1
    for page in (f"http://127.0.0.1:{port + 2}/", f"http://127.0.0.1:{port + 5}/metrics", _fhir(port)):
        with urllib.request.urlopen(page, timeout=5) as answer:
            assert answer.status == 200
    assert _get(port, "/readyz")["ready"] is True
    assert running.interrupt() == 0
    assert _nothing_runs_in(tmp_path / "data")

    again = Running(tmp_path / "data", port)
    try:
        again.until_running()
        assert _get(port + 2, "/inbox.json")["totals"]["effects"] == 1
        second = unwaith("tell", "llyr", "--data", str(tmp_path / "data"), "--port", str(port))
        assert second.returncode == 0, second.stdout + second.stderr
        assert reference not in second.stdout
        events = _get(port + 2, "/inbox.json")["events"]
        assert [event["sequence"] for event in events] in ([1, 2], [2, 1]), "the lane goes on where it was"
        assert len({event["subject"] for event in events}) == 1
    finally:
        assert again.interrupt() == 0
    assert _nothing_runs_in(tmp_path / "data")


def test_a_busy_port_is_a_sentence_with_a_way_out(tmp_path: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port + 1)):
        done = unwaith("run", "--data", str(tmp_path / "data"), "--port", str(port))
    assert done.returncode == 2
    assert f"Port {port + 1} is in use" in done.stderr
    assert "unwaith run --port" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_same_data_cannot_be_run_twice(running: Running, tmp_path: Path) -> None:
    assert running.process.poll() is None
    done = unwaith("run", "--data", str(tmp_path / "data"), "--port", "31000")
    assert done.returncode == 2
    assert "Another Unwaith is running" in done.stderr


def test_a_role_without_settings_says_what_is_missing() -> None:
    for role in ("api", "relay", "deliver", "track", "notify", "migrate", "doctor"):
        done = unwaith(role)
        assert done.returncode == 2, role
        assert "UNWAITH_DATABASE_DSN" in done.stderr
        assert "Traceback" not in done.stderr


def test_killed_outright_it_leaves_nothing_running_and_starts_again(
    running: Running, tmp_path: Path, port: int
) -> None:
    told = unwaith("tell", "sian", "--data", str(tmp_path / "data"), "--port", str(port))
    assert told.returncode == 0, told.stdout + told.stderr + running.ended()
    running.process.kill()
    running.process.communicate()
    again = Running(tmp_path / "data", port)
    try:
        again.until_running()
        assert _get(port + 3, "/inbox.json")["totals"]["effects"] == 1
    finally:
        assert again.interrupt() == 0


def _fhir(port: int) -> str:
    return f"http://127.0.0.1:{port + 8}/fhir/metadata"


def _get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.load(answer)


def _nothing_runs_in(data: Path) -> bool:
    """Whether no process on this machine names `data` in its command line."""
    for _ in range(50):
        lines = subprocess.run(["ps", "-eo", "args"], text=True, capture_output=True, check=True).stdout
        if not any(f"{data}/postgres" in line for line in lines.splitlines()):
            return True
        time.sleep(0.1)
    return False

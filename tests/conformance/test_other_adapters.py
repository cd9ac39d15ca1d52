"""Adapters of others: a package that announces one is found, and `unwaith adapter new` makes one that passes."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.registry import GROUP, adapter_for, collector_for, collects, names, secrets_of
from broker.cli.commands import app
from tests.support.ways_out import context

ROOT = Path(__file__).parents[2]


def install(site: Path, package: str, name: str, value: str) -> None:
    """Announce an entry point as an installed package does."""
    folder = site / f"{package.replace('-', '_')}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {value}\n")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    done = CliRunner().invoke(app, ["adapter", "new", "housing-crm", "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    package = tmp_path / "unwaith-adapter-housing-crm"
    assert done.stdout == f"{package}\n"
    return package


def test_what_is_made_passes_the_suite(made: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(made)],
        cwd=made,
        env={"PYTHONPATH": f"{made}:{ROOT}", "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert "passed" in ran.stdout
    assert not [text for file in made.iterdir() for text in ("EXAMPLE", "MODULE", "CLASS") if text in file.read_text()]


async def test_what_is_made_is_found_once_it_is_installed(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announced = tomllib.loads((made / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
    ((name, value),) = announced.items()
    install(made, "unwaith-adapter-housing-crm", name, value)
    monkeypatch.syspath_prepend(str(made))
    assert name == "housing-crm"
    assert "housing-crm" in names()
    assert secrets_of("housing-crm") == ("token",)
    adapter = adapter_for("housing-crm", context({"endpoint": "https://crm.example/moves"}, {"token": "x"}))
    assert type(adapter).__name__ == "HousingCrm"
    await adapter.close()
    wrong = context({"endpoint": "https://crm.example/moves"})
    with pytest.raises(ValueError, match="secret token"):
        adapter_for("housing-crm", wrong)
    await wrong.close()


POST_BOX = """
class Collector:
    def __init__(self, context):
        self.context = context

    async def close(self):
        await self.context.close()


class PostBox:
    secrets = ()

    @staticmethod
    def collector(context):
        return Collector(context) if "box" in context.settings else None
"""


async def test_a_package_may_bring_what_fetches_its_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_post_box.py").write_text(POST_BOX)
    install(tmp_path, "post-box", "post-box", "some_post_box:PostBox")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert collects("post-box")
    assert not collects("webhook")
    with_one, without = context({"box": 1}), context({})
    collector = collector_for("post-box", with_one)
    assert collector is not None
    assert collector_for("post-box", without) is None
    await collector.close()
    await without.close()


@pytest.mark.parametrize(
    ("value", "says_what"),
    [
        ("nowhere_to_be_found:Adapter", "cannot be loaded"),
        ("json:nothing", "cannot be loaded"),
        ("json:loads", "cannot be loaded"),
        ("sys:version", "is not an adapter's factory"),
        ("some_broken_adapter:Adapter", "cannot be loaded"),
        ("some_odd_adapter:Adapter", "is not an adapter's factory"),
    ],
)
def test_what_is_no_adapter_is_said_and_nothing_else_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, says_what: str
) -> None:
    (tmp_path / "some_broken_adapter.py").write_text("raise RuntimeError('hunter2')")
    (tmp_path / "some_odd_adapter.py").write_text("class Adapter:\n    secrets = 'token'\n")
    install(tmp_path, "odd", "odd", value)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="adapter odd: .* " + says_what) as raised:
        secrets_of("odd")
    assert "hunter2" not in str(raised.value)
    assert secrets_of("pull") == ()


def test_ours_are_not_replaced_and_two_of_a_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = secrets_of("webhook")
    install(tmp_path, "impostor", "webhook", "json:JSONDecoder")
    install(tmp_path, "one", "pigeon", "json:JSONDecoder")
    install(tmp_path, "two", "pigeon", "json:JSONEncoder")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert secrets_of("webhook") == ours
    with pytest.raises(ValueError, match="several packages announce it, uninstall all but one: one, two"):
        secrets_of("pigeon")
    assert json.loads("1") == 1


@pytest.mark.parametrize("name", ["", "A", "1st", "a_b", "../x", "a-", "a--b", "webhook", "x" * 41])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(app, ["adapter", "new", "--folder", str(tmp_path), "--", name])
    assert done.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_nothing_that_is_there_is_overwritten(made: Path) -> None:
    mine = made / "README.md"
    mine.write_text("mine")
    done = CliRunner().invoke(app, ["adapter", "new", "housing-crm", "--folder", str(made.parent)])
    assert done.exit_code == 1
    assert mine.read_text() == "mine"

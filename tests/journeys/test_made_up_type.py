"""A change type in a folder of its own, announced as a package does: told end to end, and refused where it is not whole."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.language import check_kinds, words_in
from broker.language.catalogue import ids
from contracts.changes import CHANGE_TYPES, change_types, event_kinds
from contracts.changes.installed import installed

ROOT = Path(__file__).parents[2]
MADE_UP = ROOT / "tests" / "support" / "made_up_type"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A temporary folder with the module, its messages and its example, announced as `pip install` would leave it."""
    folder = tmp_path / "site"
    shutil.copytree(MADE_UP / "parking_permit", folder / "parking_permit")
    announced = folder / "parking_permit-1.0.dist-info"
    announced.mkdir()
    (announced / "METADATA").write_text("Metadata-Version: 2.1\nName: parking-permit\nVersion: 1.0\n")
    (announced / "entry_points.txt").write_text("[unwaith.changes]\nparking-permit = parking_permit:KIND\n")
    return folder


def run(packages: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNWAITH_")}
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**kept, "PYTHONPATH": f"{packages}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_it_is_previewed_told_delivered_and_named_in_both_languages(packages: Path, tmp_path: Path) -> None:
    done = run(packages, str(MADE_UP / "told.py"), str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["types"][-1] == "parking-permit"
    assert found["statuses"] == {"cardiff-council": "applied"}
    assert found["arrived"] == ["wales.unwaith.parking-permit-changed.v1"]
    assert set(found["data"]["change"]) == {"newVehicle", "effectiveDate"}
    assert found["data"]["roles"] == ["resident"]
    assert "parking-permit" in found["described"]
    assert found["tried"] == [1, 1], "an agreement for it can be tried out"
    assert found["said"] == {
        "cy": ["O ba ddiwrnod", found["said"]["cy"][1]],
        "en": ["From which day", found["said"]["en"][1]],
    }
    assert found["title"] == "Eich newid trwydded barcio"
    assert "422" in found["refused"]


@pytest.fixture
def installed_here(packages: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have it installed in this process, which looks once: what it knows is forgotten before and afterwards."""
    lookups = (installed, change_types, event_kinds, ids, words_in)
    monkeypatch.syspath_prepend(str(packages))
    for lookup in lookups:
        lookup.cache_clear()
    yield packages
    monkeypatch.undo()
    for name in [name for name in sys.modules if name.split(".")[0] == "parking_permit"]:
        del sys.modules[name]
    for lookup in lookups:
        lookup.cache_clear()


def test_it_is_known_once_it_is_installed(installed_here: Path) -> None:
    assert installed_here.is_dir()
    check_kinds()
    assert list(change_types()) == [*CHANGE_TYPES, "parking-permit"]
    assert list(CHANGE_TYPES) == [name for name in change_types() if name != "parking-permit"], (
        "what is published stays"
    )


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("parking_permit/cy.ftl", "changes-parking-permit = Newid\n", "change-title-parking-permit"),
        ("parking_permit/example.json", "{}", "example.json is not a change of this type"),
        ("parking_permit/__init__.py", "KIND = None\n", "is not a ChangeKind of this name"),
        ("parking_permit/__init__.py", "raise RuntimeError\n", "cannot be loaded"),
        (
            "parking_permit-1.0.dist-info/entry_points.txt",
            "[unwaith.changes]\naddress = contracts.changes.address:KIND\n",
            "change type address",
        ),
    ],
)
def test_one_that_is_not_whole_is_refused_in_words(installed_here: Path, file: str, content: str, why: str) -> None:
    (installed_here / file).write_text(content)
    with pytest.raises(ValueError, match=why):
        check_kinds()


def test_a_process_does_not_start_with_one_that_is_not_whole(packages: Path, tmp_path: Path) -> None:
    (packages / "parking_permit" / "en.ftl").unlink()
    done = run(packages, "-m", "broker.cli", "run", "--data", str(tmp_path / "data"))
    assert done.returncode != 0
    assert "change type parking-permit" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr

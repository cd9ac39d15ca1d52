"""What docs/security.md promises is shown by tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_it_names_exists() -> None:
    there = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        there |= set(re.findall(r"^(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named - there == set()
    assert len(named) > 25


def test_every_file_it_links_exists() -> None:
    linked = [place.partition("#")[0] for place in re.findall(r"\]\(([^)]+)\)", PAGE)]
    assert [place for place in linked if not (ROOT / "docs" / place).exists()] == []


def test_every_row_stands_in_its_table() -> None:
    table = PAGE.partition("## The list of OAuth bad inputs")[2].partition("\n## ")[0]
    assert [int(row) for row in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == list(range(1, 26))

"""`docs/performance.md` for people and `docs/performance.json` for the next run."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson

from tests.load.figures import Figure

DOCS: Final = Path(__file__).parents[2] / "docs"
WORDS: Final = Path(__file__).with_name("performance.words.md")
"""What a person wrote: how it is measured, what it means, what would come next."""

Recorded = dict[str, Any]
"""`figures` by name, each a Figure's fields and `at`; `machine`; `plans`; `profiles`; `history`."""


def last() -> Recorded:
    """Return what was recorded last, empty the first time."""
    path = DOCS / "performance.json"
    return orjson.loads(path.read_bytes()) if path.exists() else {"figures": {}}


def moved(figures: Iterable[Figure], before: Recorded) -> str:
    """Return a table of this run's figures against the recorded ones."""
    lines = [f"{'':38} {'now':>10} {'recorded':>10} {'moved':>7}   goal"]
    for figure in figures:
        known = before["figures"].get(figure.name, {}).get("value")
        change = f"{100 * (figure.value / known - 1):+.0f}%" if known else ""
        recorded = f"{known:,.1f}" if known is not None else ""
        reached = {True: "reached", False: "not reached", None: ""}[figure.reached()]
        goal = "" if figure.goal is None else f"{figure.goal:,.0f} {reached}"
        lines.append(f"{figure.name:38} {figure.value:10,.1f} {recorded:>10} {change:>7}   {goal}")
    return "\n".join(lines)


def record(before: Recorded, figures: Iterable[Figure], at: str, **sections: Any) -> None:
    """Write both files. Figures and sections this run did not take stay as they were recorded."""
    recorded = {**before, **{name: section for name, section in sections.items() if section}}
    measured = {f.name: {**asdict(f), "at": at} for f in figures if not math.isnan(f.value)}
    recorded["figures"] = {**before["figures"], **measured}
    (DOCS / "performance.json").write_bytes(
        orjson.dumps(recorded, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
    (DOCS / "performance.md").write_text(page(recorded), encoding="utf-8")


def page(recorded: Recorded) -> str:
    """Return the page for people."""
    figures = {name: Figure(**{k: v for k, v in one.items() if k != "at"}) for name, one in recorded["figures"].items()}
    before_plans, _, after = WORDS.read_text(encoding="utf-8").partition("<!-- figures -->\n")
    parts = [
        before_plans,
        "## The machine\n\n" + "\n".join(f"- {name}: {value}" for name, value in recorded["machine"].items()),
        "## Figures\n\n" + _table(figures, recorded),
        "## Where the time goes\n\n" + _profiles(recorded.get("profiles", {})),
        after.strip(),
        "## Plans of the hot statements\n\n" + _plans(recorded),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _table(figures: Mapping[str, Figure], recorded: Recorded) -> str:
    rows = ["| figure | measured | goal | share of its floor |", "|---|---|---|---|"]
    for name in sorted(figures):
        figure = figures[name]
        goal = ""
        if figure.goal is not None:
            sign = "≥" if figure.better == "higher" else "≤"
            goal = f"{sign} {figure.goal:,g} {'reached' if figure.reached() else '**not reached**'}"
        floor = figures.get(figure.floor or "")
        share = ""
        if floor is not None:
            ratio = figure.value / floor.value
            share = (
                f"{ratio:.0%} of {floor.value:,.0f}"
                if figure.better == "higher"
                else f"{ratio:.1f} times {floor.value:.1f}"
            )
        rows.append(f"| `{name}` | {figure.value:,.1f} {figure.unit} | {goal} | {share} |")
    days = sorted({one["at"] for one in recorded["figures"].values()})
    return "\n".join(rows) + f"\n\nTaken {' and '.join(days)}."


def _profiles(profiles: Mapping[str, Any]) -> str:
    parts = []
    for role, found in profiles.items():
        parts.append(f"### {role}\n\n{found['micros']:,.0f} µs of processor time for each {found['unit']}.\n")
        parts.append("| with what it calls | | alone | |\n|---|---|---|---|")
        for (within, part), (own, alone) in zip(found["within"], found["own"], strict=False):
            parts[-1] += f"\n| `{within}` | {part:.1%} | `{own}` | {alone:.1%} |"
    return "\n\n".join(parts)


def _plans(recorded: Recorded) -> str:
    parts = [recorded.get("stored", "")]
    for name, plan in recorded.get("plans", {}).items():
        parts.append(f"<details><summary>{name}</summary>\n\n```\n{plan}\n```\n\n</details>")
    return "\n\n".join(parts)

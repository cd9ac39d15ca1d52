"""The delivery engine, disturbed by many seeds: every invariant holds, a seed replays, and planted faults are found."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.simulation.__main__ import failed
from tests.simulation.planted import FAULTS, Planted
from tests.simulation.schedule import STEPS_A_SEED, simulate

STEPS = 25_000
"""Of each part; there are four, so that they can run side by side."""
FEWEST_SEEDS = 6
"""Of each part: in a single one everybody may be erased, or everything held."""
SEEDS_FOR_A_FAULT = 400


@pytest.mark.parametrize("part", range(4))
def test_every_invariant_holds_whatever_a_seed_does(part: int) -> None:
    taken, seed, events = 0, 1_000 * part + 1, Counter[str]()
    while taken < STEPS or seed <= 1_000 * part + FEWEST_SEEDS:
        run = simulate(seed, STEPS_A_SEED)
        assert run.violation is None, failed(run, STEPS_A_SEED)
        taken, seed = taken + run.steps, seed + 1
        events.update(run.events)
    print(f"{taken:,} steps in {seed - 1_000 * part - 1} seeds: {dict(events)}")  # noqa: T201  said with -s
    assert events["called"] > 20, "organisations were hardly called: the disturbance smothers everything"


def test_seeds_replay_in_another_process() -> None:
    """Whatever the process's own hashes are: the same events at the same moments."""
    code = (
        "from tests.simulation.schedule import simulate; print([simulate(seed, 800).digest for seed in range(7, 12)])"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for hashes in ("1", "2")
    }
    assert digests == {str([simulate(seed, 800).digest for seed in range(7, 12)])}


@pytest.mark.parametrize("planted", FAULTS, ids=[planted.fault.__name__ for planted in FAULTS])
def test_a_planted_fault_is_found(planted: Planted) -> None:
    with planted.fault():
        runs = (
            simulate(seed, 1_500, favouring=planted.favouring, mood=planted.mood, bent=planted.bent)
            for seed in range(1, SEEDS_FOR_A_FAULT + 1)
        )
        found = next((run for run in runs if run.violation), None)
    assert found is not None, f"{SEEDS_FOR_A_FAULT} seeds have not noticed it"
    print(found.said())  # noqa: T201  said with -s

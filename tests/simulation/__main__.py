"""Run seeds until so many steps are taken: `python -m tests.simulation --steps 5000000`, or one seed again with `--seed`."""

import argparse
import random
import sys
import time
from collections import Counter

from tests.simulation.schedule import STEPS_A_SEED, Run, simulate


def main() -> int:
    """Return 1 if an invariant was violated; the failing seed and how to replay it are printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000, help="steps to take over all seeds")
    parser.add_argument("--seed", type=int, help="this seed alone, with the end of what happened in it")
    parser.add_argument("--each", type=int, default=STEPS_A_SEED, help="disturbed steps of each seed")
    asked = parser.parse_args()
    if asked.seed is not None:
        run = simulate(asked.seed, asked.each)
        sys.stdout.write("\n".join((*run.tail, run.said(), "")))
        return 1 if run.violation else 0
    return until(asked.steps, asked.each, random.SystemRandom().randrange(10**9))


def until(steps: int, each: int, seed: int) -> int:
    """Run seeds from `seed` on until so many steps are taken."""
    began, taken, told, runs = time.monotonic(), 0, 0, 0
    events: Counter[str] = Counter()
    while taken < steps:
        run = simulate(seed, each)
        taken, told, runs = taken + run.steps, told + run.told, runs + 1
        events.update(run.events)
        if run.violation:
            sys.stdout.write(failed(run, each))
            return 1
        seed += 1
        if runs % 20 == 0:
            sys.stdout.write(f"{taken:,} steps, {runs} seeds, {told:,} deliveries, {time.monotonic() - began:.0f} s\n")
    sys.stdout.write(f"{taken:,} steps in {runs} seeds from {seed - runs}: every invariant held\n{dict(events)}\n")
    return 0


def failed(run: Run, each: int) -> str:
    """Return what to say of a failing run, with the command that replays it."""
    return f"{run.said()}\nreplay: make simulate SEED={run.seed} EACH={each}\n"


if __name__ == "__main__":
    sys.exit(main())

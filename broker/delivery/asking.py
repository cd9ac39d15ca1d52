"""How many records the gate is asked for at once: one question for many costs little more than for one."""

from typing import Final

from contracts.organisation import BatchPolicy

ASK_SECONDS: Final = 0.005
"""How long a free slot waits for others before the gate is asked: one question for a quarter of them costs as much as
for one."""
REST_SECONDS: Final = 1.0
"""A pause, or a window's closed hours, may end without a record coming."""

MOMENT_SECONDS: Final = 1e-6
"""What is left of a wait and too short to wait for: a timer set for less may be due without any time having passed."""


def worth_asking(waiting: int, free: int, slots: int, idle_seconds: float) -> int:
    """Return for how many the gate is to be asked now: for all that wait, for a quarter of the slots, or after a while.

    `free` of the `slots` are free, and have been, with something waiting, for `idle_seconds`.
    """
    count = max(0, min(waiting, free))
    return count if count == waiting or 4 * count >= slots or idle_seconds >= ASK_SECONDS else 0


def batch_of(waiting: int, policy: BatchPolicy, idle_seconds: float) -> tuple[int, float]:
    """Return how many make a batch now, or 0 and in how many seconds to look again.

    A full one, or what there is when the first has waited long enough. The pace says when, not how many.
    """
    left = policy.linger_seconds - idle_seconds
    if waiting >= policy.size or left < MOMENT_SECONDS:
        return min(waiting, policy.size), 0.0
    return 0, min(REST_SECONDS, left)

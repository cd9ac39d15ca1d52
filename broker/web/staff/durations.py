"""How long deliveries take, from counts in half octaves of milliseconds (`0006_looking.sql`). Pure."""

from collections.abc import Mapping
from datetime import timedelta


def percentile(counts: Mapping[int, int], share: float) -> timedelta | None:
    """Return about how long that `share` (0 to 1) of deliveries took at most, None of none.

    `counts` has how many took at most 2^(n/2) ms and more than the n before. What is returned is the middle of its half
    octave, so it is a fifth off at most.
    """
    total = sum(counts.values())
    reached = 0
    for half_octave in sorted(counts):
        reached += counts[half_octave]
        if total and reached >= share * total:
            return timedelta(milliseconds=2 ** ((half_octave - 0.5) / 2))
    return None

"""Is it so: where an address lies, whether the person is known well enough, whether a date can be true.

Nobody is told anything from here; what cannot be verified says so and fails closed.
"""

from broker.verification.checks import Doubt, check_change
from broker.verification.gazetteer import Gazetteer, StoredGazetteer
from broker.verification.holds import NO_HOLDS, Facts, Hold, HoldPolicy, holds_on, too_many

__all__ = [
    "NO_HOLDS",
    "Doubt",
    "Facts",
    "Gazetteer",
    "Hold",
    "HoldPolicy",
    "StoredGazetteer",
    "check_change",
    "holds_on",
    "too_many",
]

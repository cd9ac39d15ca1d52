"""Is it so: where an address lies, whether the person is known well enough, whether a date can be true.

Nobody is told anything from here; what cannot be verified says so and fails closed.
"""

from broker.verification.checks import Doubt, check_change
from broker.verification.gazetteer import Gazetteer, StoredGazetteer

__all__ = ["Doubt", "Gazetteer", "StoredGazetteer", "check_change"]

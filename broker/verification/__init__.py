"""Is it so: where an address lies, whether the person is known well enough, whether a date can be true.

Nobody is told anything from here; what cannot be verified says so and fails closed.
"""

from broker.verification.checks import Doubt, check_change
from broker.verification.gazetteer import Gazetteer, GazetteerAway, Placed, StoredGazetteer
from broker.verification.holds import NO_HOLDS, REDIRECTS, Facts, Hold, HoldPolicy, holds_on, too_many
from broker.verification.licensed import OsPlacesGazetteer
from broker.verification.os_places import OsPlaces
from broker.verification.postcodes import that_do_not_exist
from broker.verification.registrations import Confirmed, Registered, confirmed, registered

__all__ = [
    "NO_HOLDS",
    "REDIRECTS",
    "Confirmed",
    "Doubt",
    "Facts",
    "Gazetteer",
    "GazetteerAway",
    "Hold",
    "HoldPolicy",
    "OsPlaces",
    "OsPlacesGazetteer",
    "Placed",
    "Registered",
    "StoredGazetteer",
    "check_change",
    "confirmed",
    "holds_on",
    "registered",
    "that_do_not_exist",
    "too_many",
]

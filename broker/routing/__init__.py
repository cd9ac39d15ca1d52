"""Who is told what, and why, and who is not: pure functions of a change, the agreements and where its addresses lie.

Nothing is looked up here and nothing is sent. What is not permitted by name is not told.
"""

from broker.routing.ends import End, end_of
from broker.routing.minimise import minimise
from broker.routing.recipients import Areas, Recipient, Standing, recipients, standing
from broker.routing.untold import Concerned, Ends, not_told, signposts

__all__ = [
    "Areas",
    "Concerned",
    "End",
    "Ends",
    "Recipient",
    "Standing",
    "end_of",
    "minimise",
    "not_told",
    "recipients",
    "signposts",
    "standing",
]

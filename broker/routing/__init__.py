"""Who is told what, and why: pure functions of a change, the agreements and where its addresses lie.

Nothing is looked up here and nothing is sent. What is not permitted by name is not told.
"""

from broker.routing.minimise import minimise
from broker.routing.recipients import Areas, Recipient, Standing, recipients, standing

__all__ = ["Areas", "Recipient", "Standing", "minimise", "recipients", "standing"]

"""PostgreSQL: the truth and the schedule. Migrations and every query of ours, and nothing else.

No decision may enter here: what a row means is decided by pure functions above.
"""

from broker.store.database import Database, StoreUnavailable

__all__ = ["Database", "StoreUnavailable"]

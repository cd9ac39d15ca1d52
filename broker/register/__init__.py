"""Who takes part: organisations, agreements and their clients as they are now, known within a second everywhere.

No routing decision and no delivery may enter: this room only knows and tells.
"""

from broker.register.directory import Directory

__all__ = ["Directory"]

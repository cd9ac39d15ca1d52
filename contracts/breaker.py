"""Where an organisation's breaker stands, as all workers share it and an operator sees it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Phase(StrEnum):
    """What may be attempted."""

    CLOSED = "closed"
    """Everything."""
    OPEN = "open"
    """Nothing, until the next probe."""
    PROBING = "probing"
    """One delivery, by the worker that took the probe."""
    RAMPING = "ramping"
    """Few at first, then more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """One organisation's breaker. All times are the store's clock's, which all workers share."""

    phase: Phase = Phase.CLOSED
    since: datetime | None = None
    """When it came into this phase; None for one that was never open."""
    until: datetime | None = None
    """When the next probe may be taken (`open`), the probe counts as lost (`probing`), all is well again (`ramping`)."""
    probes: int = 0
    """Probes that failed, and relapses, since it was last closed."""
    version: int = 0
    """Rises with each change: of two workers that change it at once, one is first."""

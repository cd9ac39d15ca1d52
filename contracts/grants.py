"""What the gate says right before sending: the key to one delivery, or why it is withheld.

The one place where an agreement, a pause, a cancellation or an erasure takes effect at once.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.statuses import Reason


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to send one delivery once, until `valid_until`. `key` opens that delivery and nothing else."""

    attempt: int
    valid_until: datetime
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Withheld:
    """Not to be sent. `not_before` where it may be asked again (paused, granted elsewhere)."""

    reason: Reason
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class NotKnown:
    """The store holds no such delivery: after a restore, or a forged record. Quarantined."""


Verdict = Grant | Withheld | NotKnown


class GateUnavailable(Exception):  # noqa: N818  says what holds
    """The gate does not answer: nothing may be sent, and that is no attempt."""


Asked = tuple[UUID, int]
"""Delivery id and epoch."""

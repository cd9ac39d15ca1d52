"""The ledger of what was done with whose data: one leaf an act, written in the act's own transaction.

A leaf is canonical JSON of codes, ids and counts, never values. As yet unsequenced: the tree comes later.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from broker.sealing import canonical


def leaf(
    action: str,
    at: datetime,
    actor: str,
    *,
    organisation: str | None = None,
    agreement: str | None = None,
    change_id: UUID | None = None,
    delivery_id: UUID | None = None,
    outcome: str | None = None,
    detail: dict[str, str | int | Sequence[str]] | None = None,
) -> bytes:
    """Return the bytes of one leaf.

    `actor` is a role and a pseudonymous id (`citizen:42`, `relay`); `detail` holds codes, counts and field names.
    """
    entry = {
        "action": action,
        "at": at.isoformat(timespec="microseconds"),
        "actor": actor,
        "organisation": organisation,
        "agreement": agreement,
        "change": str(change_id) if change_id else None,
        "delivery": str(delivery_id) if delivery_id else None,
        "outcome": outcome,
        "detail": {key: list(value) if isinstance(value, tuple) else value for key, value in (detail or {}).items()},
    }
    return canonical({key: value for key, value in entry.items() if value not in (None, {})})

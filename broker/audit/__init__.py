"""The ledger of what was done with whose data: one leaf an act, written in the act's own transaction.

A leaf is canonical JSON of codes, ids and counts, never values. As yet unsequenced: the tree comes later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from broker.sealing import canonical


class Relation(StrEnum):
    """As what somebody acts for a person."""

    SELF = "self"
    STAFF = "staff"
    """Helped by a member of staff, by telephone or over a counter."""
    ATTORNEY = "attorney"
    PARENT = "parent"
    APPOINTEE = "appointee"


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acted for whom about a person's own change. Both are a role and a pseudonymous id, `citizen:42`."""

    actor: str
    on_behalf_of: str
    relation: Relation

    def __post_init__(self) -> None:
        if (self.actor == self.on_behalf_of) != (self.relation is Relation.SELF):
            raise ValueError("people act as themselves for themselves alone")


def by_oneself(person_id: int) -> Acting:
    """Return a citizen who acts for nobody else."""
    return Acting(f"citizen:{person_id}", f"citizen:{person_id}", Relation.SELF)


def leaf(
    action: str,
    at: datetime,
    actor: str | Acting,
    *,
    organisation: str | None = None,
    agreement: str | None = None,
    change_id: UUID | None = None,
    delivery_id: UUID | None = None,
    outcome: str | None = None,
    detail: dict[str, str | int | Sequence[str]] | None = None,
) -> bytes:
    """Return the bytes of one leaf.

    `actor` is a role and a pseudonymous id (`staff:7`, `relay`), or who acted for which person; `detail` holds codes,
    counts and field names.
    """
    acting = actor if isinstance(actor, Acting) else None
    entry = {
        "action": action,
        "at": at.isoformat(timespec="microseconds"),
        "actor": acting.actor if acting else actor,
        "on_behalf_of": acting.on_behalf_of if acting else None,
        "relation": acting.relation.value if acting else None,
        "organisation": organisation,
        "agreement": agreement,
        "change": str(change_id) if change_id else None,
        "delivery": str(delivery_id) if delivery_id else None,
        "outcome": outcome,
        "detail": {key: list(value) if isinstance(value, tuple) else value for key, value in (detail or {}).items()},
    }
    return canonical({key: value for key, value in entry.items() if value not in (None, {})})

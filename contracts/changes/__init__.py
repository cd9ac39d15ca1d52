"""The changes a person can tell: one module a type, each with its schema and what must hold before it is sent.

A new type is a module here, its line in `CHANGE_TYPES`, its messages in both languages and an example.
No wording and no routing may enter: labels live in `broker.language`, who is told lives in agreements.
"""

from typing import Final

from contracts.changes import address, withdrawal
from contracts.changes.kind import ChangeKind, EventKind

CHANGE_TYPES: Final[dict[str, ChangeKind]] = {kind.name: kind for kind in (address.KIND,)}
"""Every change type by its name on the wire."""

EVENTS: Final[dict[str, EventKind]] = {**CHANGE_TYPES, withdrawal.KIND.name: withdrawal.KIND}
"""Everything organisations are sent: the changes people tell, and that one of them is taken back."""

__all__ = ["CHANGE_TYPES", "EVENTS", "ChangeKind", "EventKind"]

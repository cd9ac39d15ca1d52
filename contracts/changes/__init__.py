"""The changes a person can tell: one module a type, each with its schema and what must hold before it is sent.

A new type of ours is a module here, its line in `CHANGE_TYPES`, its messages in both languages and an example.
No wording and no routing may enter: labels live in `broker.language`, who is told lives in agreements.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from contracts.changes import address, bereavement, contact, language, name, withdrawal
from contracts.changes.kind import ChangeKind, Confirmation, EventKind, Sensitivity

CHANGE_TYPES: Final[Mapping[str, ChangeKind]] = MappingProxyType(
    {kind.name: kind for kind in (address.KIND, name.KIND, contact.KIND, language.KIND, bereavement.KIND)}
)
"""Our own change types by their name on the wire: those that are published."""

EVENTS: Final[Mapping[str, EventKind]] = MappingProxyType({**CHANGE_TYPES, withdrawal.KIND.name: withdrawal.KIND})
"""Everything organisations are sent: the changes people tell, and that one of them is taken back."""

__all__ = ["CHANGE_TYPES", "EVENTS", "ChangeKind", "Confirmation", "EventKind", "Sensitivity"]

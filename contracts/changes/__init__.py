"""The changes a person can tell: one module a type, each with its schema and what must hold before it is sent.

A new type of ours is a module here, its line in `CHANGE_TYPES`, its messages in both languages and an example; others'
come from installed packages (`installed`). No wording and no routing may enter: labels live in `broker.language`, who
is told lives in agreements.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from contracts.changes import address, bereavement, contact, language, name, withdrawal
from contracts.changes.installed import installed
from contracts.changes.kind import ChangeKind, Confirmation, EventKind, Sensitivity

CHANGE_TYPES: Final[Mapping[str, ChangeKind]] = MappingProxyType(
    {kind.name: kind for kind in (address.KIND, name.KIND, contact.KIND, language.KIND, bereavement.KIND)}
)
"""Our own change types by their name on the wire: those that are published."""

EVENTS: Final[Mapping[str, EventKind]] = MappingProxyType({**CHANGE_TYPES, withdrawal.KIND.name: withdrawal.KIND})
"""Everything of ours that organisations are sent: the changes people tell, and that one of them is taken back."""


@cache
def change_types() -> Mapping[str, ChangeKind]:
    """Return every change type there is here by its name: ours, and those of installed packages.

    Raises ValueError, naming what must be put right, where one of them takes a name or event of another.
    """
    found = dict(CHANGE_TYPES)
    events = {kind.event_type for kind in EVENTS.values()}
    for one in installed():
        if one.kind.name in EVENTS or one.kind.name in found or one.kind.event_type in events:
            raise ValueError(f"change type {one.kind.name}: its name or its event type is another's")
        found[one.kind.name] = one.kind
        events.add(one.kind.event_type)
    return MappingProxyType(found)


@cache
def event_kinds() -> Mapping[str, EventKind]:
    """Return everything organisations are sent by its name, as `change_types` and `withdrawal`."""
    return MappingProxyType({**change_types(), withdrawal.KIND.name: withdrawal.KIND})


__all__ = [
    "CHANGE_TYPES",
    "EVENTS",
    "ChangeKind",
    "Confirmation",
    "EventKind",
    "Sensitivity",
    "change_types",
    "event_kinds",
]

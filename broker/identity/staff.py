"""What staff may do, by the groups their provider says they belong to."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class May(StrEnum):
    """Something a member of staff may do."""

    LOOK = "look"
    """See the line in numbers."""
    TRACE = "trace"
    """Follow one change by its reference; nothing personal is shown."""
    PAUSE = "pause"
    """Pause an organisation, and resume it."""
    REPLAY = "replay"
    """Have undelivered deliveries sent again."""
    DECIDE = "decide"
    """Decide on changes that need a person; on record, see what was told."""
    READ_ACTS = "read_acts"
    """Read what the operators did."""


GROUPS: Final[Mapping[str, frozenset[May]]] = MappingProxyType(
    {
        "unwaith-support": frozenset({May.LOOK, May.TRACE}),
        "unwaith-manager": frozenset({May.LOOK, May.TRACE, May.PAUSE, May.REPLAY}),
        "unwaith-caseworker": frozenset({May.LOOK, May.DECIDE}),
        "unwaith-auditor": frozenset({May.LOOK, May.READ_ACTS}),
    }
)
"""Signed in is not yet allowed: who belongs to none of these may do nothing."""


def may(groups: Iterable[str]) -> frozenset[May]:
    """Return everything that members of `groups` may do together."""
    return frozenset[May]().union(*(GROUPS.get(group, frozenset()) for group in groups))

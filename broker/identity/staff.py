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
    JOIN = "join"
    """Be one of the two who join a new account to the person an earlier one belongs to, or refuse it."""
    READ_ACTS = "read_acts"
    """Read what the operators did."""
    READ_REGISTER = "read_register"
    """See organisations, agreements and what is proposed, with every version."""
    PROPOSE = "propose"
    """Propose a change of the register, and be the first of the two who approve it."""
    APPROVE = "approve"
    """Approve what somebody else proposed, or reject it."""
    TRY = "try"
    """Have counted what a proposed agreement would have sent: changes are opened for it, and none is shown."""
    REVOKE = "revoke"
    """Revoke an agreement at once."""


GROUPS: Final[Mapping[str, frozenset[May]]] = MappingProxyType(
    {
        "unwaith-support": frozenset({May.LOOK, May.TRACE, May.READ_REGISTER}),
        "unwaith-manager": frozenset(
            {
                May.LOOK,
                May.TRACE,
                May.PAUSE,
                May.REPLAY,
                May.READ_REGISTER,
                May.PROPOSE,
                May.APPROVE,
                May.TRY,
                May.REVOKE,
            }
        ),
        "unwaith-caseworker": frozenset({May.LOOK, May.DECIDE, May.JOIN}),
        "unwaith-auditor": frozenset({May.LOOK, May.READ_ACTS, May.READ_REGISTER}),
        "unwaith-security": frozenset(
            {
                May.LOOK,
                May.TRACE,
                May.PAUSE,
                May.JOIN,
                May.READ_ACTS,
                May.READ_REGISTER,
                May.APPROVE,
                May.TRY,
                May.REVOKE,
            }
        ),
    }
)
"""Signed in is not yet allowed: who belongs to none of these may do nothing."""


def may(groups: Iterable[str]) -> frozenset[May]:
    """Return everything that members of `groups` may do together."""
    return frozenset[May]().union(*(GROUPS.get(group, frozenset()) for group in groups))

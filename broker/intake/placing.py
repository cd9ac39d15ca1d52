"""Where the addresses of a change lay when it was told, kept sealed beside it.

Whoever looks at a change later is shown what was known when it was told, and a gazetteer that is paid for, or away, is not
asked again.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from uuid import UUID

import orjson

from broker import sealing
from broker.routing import Areas
from broker.store.changes import ToldBefore
from broker.vault import PersonKey
from contracts.changes.kind import Place


@dataclass(frozen=True, slots=True)
class Lay:
    """Where each place of a change lies."""

    areas: Areas
    """The custodian code of each, None for one that lies nowhere known."""
    unchecked: AbstractSet[Place]
    """Places whose address the gazetteer could not be asked about."""


def sealed(person: PersonKey, change_id: UUID, lay: Lay) -> bytes:
    """Return it as it is kept."""
    plain = orjson.dumps({"areas": lay.areas, "unchecked": sorted(lay.unchecked)})
    return sealing.seal(sealing.record_key(person.key, change_id), plain, _bound_to(change_id))


def opened(person: PersonKey, change: ToldBefore) -> Lay | None:
    """Return it as it was kept, None for a change that was told before it was. Raises sealing.CannotOpen."""
    if change.placed is None:
        return None
    key = sealing.record_key(person.key, change.id)
    kept = orjson.loads(sealing.open_sealed(key, change.placed, _bound_to(change.id)))
    return Lay(kept["areas"], frozenset(kept["unchecked"]))


def _bound_to(change_id: UUID) -> bytes:
    return b"placed|v1|" + change_id.bytes

"""What an agreement would have told of the changes there were: counts and names of fields, never values, never who.

Changes are sealed under their people's keys, so each is opened, held against the agreement, counted and forgotten. How
many are looked at, and for how long, is bounded. Nothing is written but that it was done.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import orjson

from broker import sealing
from broker.intake.intake import fields, opened
from broker.routing import Areas, recipients, standing
from broker.store import Database, operations, sampling
from broker.vault import PersonKey, Vault
from broker.verification import Gazetteer
from contracts.agreement import Agreement
from contracts.changes import ChangeKind, change_types

A_MONTH: Final = timedelta(days=31)
MOST: Final = 1000
"""Changes looked at, the latest first."""
SECONDS: Final = 20.0
"""After so long it ends with what it has."""

_PERSON: Final = {
    "name": {"nameParts": [{}]},
    "birthDate": "",
    "identityLevel": "",
    "preferredLanguage": "",
    "identifiers": [{}],
}
"""What is kept of a change does not hold its person: each is taken to have everything a person can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What came of it."""

    since: datetime
    looked_at: int
    erased: int
    """Of those looked at, people whose key is gone."""
    whole: bool
    """False where there were more, or the time was over: the latest were looked at."""
    told: int
    """Of those looked at, how many the organisation would have been told of."""
    by_share: tuple[int, ...]
    """In the order of the agreement's shares; one change can count for several."""
    fields: dict[str, int]
    """How often each would have been sent."""


async def dry_run(
    database: Database,
    vault: Vault,
    gazetteer: Gazetteer,
    agreement: Agreement,
    since: datetime,
    until: datetime,
    leaf: bytes,
    *,
    most: int = MOST,
    clock: Callable[[], float] = time.monotonic,
) -> DryRun:
    """Hold an agreement against the changes of a span of time, as if it were in force and nobody had left it out.

    `leaf` is written before the first is opened. Raises KeyError for a type of change there is not, and StoreUnavailable.
    """
    kind = change_types()[agreement.change_type]
    async with database.transaction() as connection:
        await operations.record_act(connection, [leaf])
    shares = [_alone(agreement, place) for place in range(len(agreement.shares))]
    ends, looked_at, erased, told, whole = clock() + SECONDS, 0, 0, 0, True
    by_share: Counter[int] = Counter()
    sent: Counter[str] = Counter()
    async for item in sampling.latest(database, kind.name, since, until):
        if looked_at == most or clock() > ends:
            whole = False
            break
        looked_at += 1
        key = await vault.key_of(item.person_id)
        if key is None:
            erased += 1
            continue
        try:
            content = opened(PersonKey(item.person_id, item.generation, key), item.id, kind.name, item.sealed)
        except sealing.CannotOpen:
            erased += 1
            continue
        change = orjson.loads(content)
        areas = await _areas(kind, gazetteer, content)
        names = _told(kind, agreement, change, areas)
        told += bool(names)
        sent.update(names)
        by_share.update(place for place, share in enumerate(shares) if _told(kind, share, change, areas))
    return DryRun(
        since=since,
        looked_at=looked_at,
        erased=erased,
        whole=whole,
        told=told,
        by_share=tuple(by_share[place] for place in range(len(shares))),
        fields=dict(sorted(sent.items())),
    )


def _told(kind: ChangeKind, agreement: Agreement, change: dict[str, Any], areas: Areas) -> list[str]:
    """Return the names of what would be sent, none for nothing."""
    day = date.max
    as_if = agreement.model_copy(update={"valid_from": date.min, "valid_until": None, "revoked": False})
    in_force = standing([as_if], kind.name, day)
    whole = {"person": _PERSON, "change": change}
    found = recipients(whole, agreement.identity_level, areas, in_force, kind.special, kind.context)
    return fields(found[0].data) if found else []


def _alone(agreement: Agreement, place: int) -> Agreement:
    return agreement.model_copy(update={"shares": (agreement.shares[place],)})


async def _areas(kind: ChangeKind, gazetteer: Gazetteer, content: bytes) -> Areas:
    places = kind.places(kind.model.model_validate_json(content))
    placed = await gazetteer.placed(list(places.values()))
    return {place: one.custodian_code for place, one in zip(places, placed, strict=True)}

"""Whom a change may concern and who is not told of it: the register and the map of Wales, as routing takes them."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Literal

from broker.register import wales
from broker.register.bodies import answering_for, as_organisation, packaged
from broker.routing import Areas, Concerned, Standing, end_of, not_told
from contracts.body import Body
from contracts.changes import ChangeKind
from contracts.organisation import Organisation
from contracts.requests import NotTold


def untold(
    kind: ChangeKind,
    change: Any,
    areas: Areas,
    in_force: Standing,
    organisations: Mapping[str, Organisation],
    told: Collection[str],
    *,
    sent: bool,
) -> tuple[NotTold, ...]:
    """Return who is not told of a change. `told` are those who are; `sent` says that this is past.

    What was sent is held against the register as it is now: whoever could be told today and was not, was left out or
    takes part only since.
    """
    codes = wales.councils()
    ends = {place: end_of(address, areas.get(place), codes) for place, address in kind.places(change).items()}
    left_out = {one.organisation for one in in_force.concerned(areas)} - set(told) if sent else set()
    agreed = {one.organisation for one in in_force.agreements}
    bodies = {
        code: _bodies(code, organisations, agreed) for code in areas.values() if code is not None and code in codes
    }
    return not_told(kind.name, ends, areas, bodies, told, left_out)


def _bodies(code: int, organisations: Mapping[str, Organisation], agreed: Collection[str]) -> tuple[Concerned, ...]:
    found = []
    for body, sector in _there(code):
        organisation = as_organisation(body, organisations)
        found.append(
            Concerned(organisation or body.id, sector, body.name, organisation is not None, organisation in agreed)
        )
    return tuple(found)


@cache
def _there(code: int) -> tuple[tuple[Body, Literal["council", "health-board"]], ...]:
    """Return the council and the health board of an area."""
    return tuple(
        (body, body.sector) for body in answering_for(packaged(), [code]) if body.sector in ("council", "health-board")
    )

"""Whom a change may concern and who is not told of it: the register and the map of Wales, as routing takes them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from broker.register import wales
from broker.register.bodies import answering_for, as_organisation
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
    bodies: Collection[Body],
    told: Collection[str],
    *,
    sent: bool,
) -> tuple[NotTold, ...]:
    """Return who is not told of a change. `told` are those who are, `bodies` everybody known; `sent` says that it is past.

    What was sent is held against the register as it is now: whoever could be told today and was not, was left out or
    takes part only since.
    """
    codes = wales.councils()
    ends = {place: end_of(address, areas.get(place), codes) for place, address in kind.places(change).items()}
    left_out = {one.organisation for one in in_force.concerned(areas)} - set(told) if sent else set()
    agreed = {one.organisation for one in in_force.agreements}
    concerned = {
        code: _concerned(answering_for(bodies, [code]), organisations, agreed)
        for code in areas.values()
        if code is not None and code in codes
    }
    return not_told(kind.name, ends, areas, concerned, told, left_out)


def _concerned(
    there: Iterable[Body], organisations: Mapping[str, Organisation], agreed: Collection[str]
) -> tuple[Concerned, ...]:
    """Return the councils and health boards of an area, as they take part."""
    found = []
    for body in there:
        if body.sector in ("council", "health-board"):
            organisation = as_organisation(body, organisations)
            connected, agrees = organisation is not None, organisation in agreed
            found.append(Concerned(organisation or body.id, body.sector, body.name, connected, agrees))
    return tuple(found)

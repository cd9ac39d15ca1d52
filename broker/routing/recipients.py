"""The decision who is told: agreements held against one change."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from broker.routing.minimise import minimise, without
from contracts.agreement import Agreement, Share
from contracts.changes.kind import Place
from contracts.person import IdentityLevel
from contracts.text import Bilingual

Areas = Mapping[Place, int | None]
"""The local custodian code of each place of the change; None where it is not known or not in Wales."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One organisation that is told, with what exactly, and why."""

    organisation: str
    agreement: str
    agreement_version: int
    required: bool
    roles: tuple[str, ...]
    because: tuple[Bilingual, ...]
    data: dict[str, Any] = field(repr=False)
    """`{person, change, roles}` as the organisation will receive it."""
    latest_only: bool
    """It asks for the newest alone."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The agreements in force for one change type on one day, found by where a change happens."""

    agreements: tuple[Agreement, ...]
    """By organisation and id."""
    anywhere: frozenset[int]
    """Places in `agreements` of those that do not look at an area."""
    by_area: Mapping[tuple[str, int], AbstractSet[int]]
    """Places of those that do, by the place of the change and the code it must lie in."""

    def concerned(self, areas: Areas) -> list[Agreement]:
        """Return those with a share that may hold for a change that lies there, by organisation and id."""
        found = set(self.anywhere)
        for end, code in areas.items():
            if code is not None:
                found.update(self.by_area.get((end, code), ()))
        return [self.agreements[place] for place in sorted(found)]


def standing(agreements: Iterable[Agreement], change_type: str, on: date) -> Standing:
    """Return the agreements in force `on` that day for a change type."""
    found = [agreement for agreement in _newest(agreements, on) if _in_force(agreement, change_type, on)]
    found.sort(key=lambda item: (item.organisation, item.id))
    anywhere: set[int] = set()
    by_area: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for place, agreement in enumerate(found):
        for share in agreement.shares:
            if share.where == "anywhere":
                anywhere.add(place)
            else:
                for code in agreement.area:
                    by_area[share.where, code].add(place)
    return Standing(tuple(found), frozenset(anywhere), by_area)


def recipients(
    told: Mapping[str, Any],
    level: IdentityLevel,
    areas: Areas,
    in_force: Standing,
    special: AbstractSet[str] = frozenset(),
    context: AbstractSet[str] = frozenset(),
    *,
    unchecked: AbstractSet[str] = frozenset(),
) -> list[Recipient]:
    """Return who is told of a change, by organisation.

    `told` is `{person, change}` in wire form; `in_force` is what `standing` gives for the change's type and day;
    `special` are the paths that only an agreement naming them permits, `context` the members of a change that tell
    nothing by themselves (`ChangeKind`); `unchecked` are the places whose address the gazetteer could not be asked
    about: with one of them only agreements that take unverified addresses count. An agreement counts if it asks no
    higher identity level. One organisation with several agreements is told once, under
    the first that has a share that holds and permits a part of the change.
    """
    found: dict[str, Recipient] = {}
    for agreement in in_force.concerned(areas):
        if agreement.organisation in found or not level.meets(agreement.identity_level):
            continue
        if unchecked and not agreement.unverified_addresses:
            continue
        shares = [share for share in agreement.shares if _holds(share, agreement.area, areas)]
        permitted = {path for share in shares for path in share.paths}
        data = minimise(without(told, special - permitted), permitted)
        if not data.get("change", {}).keys() - context:
            continue  # nothing of the change itself is permitted: there is nothing to tell
        roles = tuple(dict.fromkeys(share.role for share in shares))
        found[agreement.organisation] = Recipient(
            organisation=agreement.organisation,
            agreement=agreement.id,
            agreement_version=agreement.version,
            required=agreement.required,
            roles=roles,
            because=tuple(share.because for share in shares),
            data={**data, "roles": list(roles)},
            latest_only=agreement.latest_only,
        )
    return list(found.values())


def _newest(agreements: Iterable[Agreement], on: date) -> list[Agreement]:
    """Return the newest version of each agreement that has begun.

    An older one never comes back, also when the newest is revoked or has ended.
    """
    begun = (agreement for agreement in agreements if agreement.valid_from <= on)
    return list({agreement.id: agreement for agreement in sorted(begun, key=lambda item: item.version)}.values())


def _in_force(agreement: Agreement, change_type: str, on: date) -> bool:
    return (
        not agreement.revoked
        and agreement.change_type == change_type
        and agreement.valid_from <= on
        and (agreement.valid_until is None or on <= agreement.valid_until)
    )


def _holds(share: Share, area: tuple[int, ...], areas: Areas) -> bool:
    """Fails closed: a place that is not known lies in nobody's area."""
    if share.where == "anywhere":
        return True
    code = areas.get(share.where)
    return code is not None and code in area

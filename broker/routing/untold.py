"""Whom a change may concern and who is not told of it, with what the person can do instead. Pure.

A table (`signposts.toml`) and one rule: a public body of Wales whose area an end lies in is either told or named here.
Nobody named here is ever said to have been told.
"""

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, Literal, get_args

from broker.routing.ends import End
from broker.routing.recipients import Areas
from contracts.changes.kind import Place
from contracts.requests import NotTold, NotToldReason, WebPage
from contracts.text import Bilingual

Ends = Mapping[Place, End]
"""Where each end of the change lies; empty for a change that has none."""

_ORDER: Final[tuple[Place, ...]] = get_args(Place)


@dataclass(frozen=True, slots=True)
class Concerned:
    """A public body of Wales whom a change concerns because of a place."""

    id: str
    """Of the organisation it is, where it is connected."""
    sector: Literal["council", "health-board"]
    name: Bilingual
    connected: bool
    """Whether anything can be sent to it."""
    agreed: bool
    """Whether it has an agreement in force for this type of change."""


@dataclass(frozen=True, slots=True)
class _Signpost:
    types: frozenset[str]
    where: Mapping[Place, frozenset[str]]
    not_new: frozenset[str]
    shown: NotTold


def not_told(
    change_type: str,
    ends: Ends,
    areas: Areas,
    bodies: Mapping[int, Collection[Concerned]],
    told: Collection[str],
    left_out: Collection[str] = (),
) -> tuple[NotTold, ...]:
    """Return who is not told: public bodies by the ends of the change, then everybody only the person can tell.

    `bodies` are those whose area each custodian code lies in; `told` the organisations that are, by id; `left_out`
    those that could have been and are not.
    """
    codes: dict[Place, int] = {
        place: code for place in _ORDER if (code := areas.get(place)) is not None and code in bodies
    }
    concerned: dict[str, tuple[Concerned, tuple[Place, ...]]] = {}
    for place, code in codes.items():
        for body in bodies[code]:
            if body.id not in told:
                _, before = concerned.get(body.id, (body, ()))
                concerned[body.id] = body, (*before, place)
    named = [_of_wales(body, places, _why(body, left_out)) for body, places in concerned.values()]
    open_ends: dict[Place, End] = {place: end for place, end in ends.items() if place not in codes}
    return (*named, *_signposted(change_type, ends, open_ends))


def signposts() -> Mapping[str, NotTold]:
    """Return what is said to everybody who moves within Wales, by id."""
    return {one.id: one for one in _signposted("address", {}, {})}


def _why(body: Concerned, left_out: Collection[str]) -> NotToldReason:
    if body.id in left_out:
        return "left-out"
    if body.agreed:
        return "not-agreed-for-this"
    return "no-agreement" if body.connected else "not-connected"


def _of_wales(body: Concerned, places: tuple[Place, ...], reason: NotToldReason) -> NotTold:
    instead, page = _read()[1][body.sector]
    return NotTold(id=body.id, who=body.name, ends=places, reason=reason, instead=instead, page=page)


def _signposted(change_type: str, ends: Ends, open_ends: Ends) -> Iterator[NotTold]:
    for one in _read()[0]:
        if change_type not in one.types or ends.get("new") in one.not_new:
            continue
        # what is said of an end holds only for one whose council and health board are not known
        if all(open_ends.get(place) in ends_of_it for place, ends_of_it in one.where.items()):
            yield one.shown


@cache
def _read() -> tuple[tuple[_Signpost, ...], Mapping[str, tuple[Bilingual, WebPage]]]:
    written = tomllib.loads((resources.files(__package__) / "signposts.toml").read_text(encoding="utf-8"))
    bodies = {
        one["sector"]: (Bilingual.model_validate(one["instead"]), WebPage(en=one["page"])) for one in written["body"]
    }
    return tuple(_signpost(one) for one in written["signpost"]), bodies


def _signpost(written: Mapping[str, Any]) -> _Signpost:
    where: dict[Place, frozenset[str]] = {place: frozenset(written[place]) for place in _ORDER if place in written}
    return _Signpost(
        types=frozenset(written["for"]),
        where=where,
        not_new=frozenset(written.get("not_new", ())),
        shown=NotTold(
            id=written["id"],
            who=Bilingual.model_validate(written["who"]),
            ends=() if written["reason"] == "only-yourself" else tuple(where),
            reason=written["reason"],
            instead=Bilingual.model_validate(written["instead"]),
            page=WebPage(en=written["page"], cy=written.get("page_cy")) if "page" in written else None,
        ),
    )

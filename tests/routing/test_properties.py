"""What holds of every decision, over random agreements: nobody is told more than was agreed, and nobody is forgotten."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.routing import Areas, recipients, standing
from contracts.agreement import Agreement
from contracts.person import IdentityLevel
from tests.routing.told import CHANGE, DAY, PERSON
from tests.support.line import agreement

TOLD: Mapping[str, Any] = {"person": PERSON, "change": CHANGE}
PATHS = (
    "/person",
    "/person/name",
    "/person/birthDate",
    "/person/identifiers",
    "/person/absent",
    "/change",
    "/change/newAddress",
    "/change/newAddress/postalCode",
    "/change/newAddress/postalCode/deeper",
    "/change/previousAddress",
    "/change/household/name",
    "/change/tenure",
)
CODES = (6815, 6855, 6850)
NEAR = st.integers(-2, 2).map(lambda days: DAY + timedelta(days=days))
LEVELS = st.sampled_from(list(IdentityLevel))


@st.composite
def shares(draw: st.DrawFn) -> dict[str, Any]:
    where = draw(st.sampled_from(["old", "new", "anywhere"]))
    words = {"en": "Why", "cy": "Pam"}
    paths = tuple(draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=4)))
    return {
        "where": where,
        "role": {"old": "leaving", "new": "arriving"}.get(where, "national"),
        "paths": paths,
        "because": words,
    }


@st.composite
def an_agreement(draw: st.DrawFn) -> Agreement:
    sample = agreement("x", "anywhere").model_dump(by_alias=False)
    organisation = draw(st.sampled_from(["a-council", "b-council", "c-board"]))
    return Agreement.model_validate(
        sample
        | {
            "id": f"{organisation}.{draw(st.integers(1, 3))}",
            "organisation": organisation,
            "version": draw(st.integers(1, 3)),
            "change_type": draw(st.sampled_from(["address", "address", "address", "name"])),
            "area": tuple(draw(st.lists(st.sampled_from(CODES), max_size=2, unique=True))),
            "shares": tuple(draw(st.lists(shares(), min_size=1, max_size=3))),
            "identity_level": draw(LEVELS),
            "valid_from": draw(NEAR),
            "valid_until": draw(st.none() | NEAR),
            "revoked": draw(st.integers(0, 5)) == 0,
        }
    )


def apart(agreements: list[Agreement]) -> list[Agreement]:
    """Leave out a second agreement of the same id and version: the register cannot hold two."""
    return list({(one.id, one.version): one for one in agreements}.values())


AGREEMENTS = st.lists(an_agreement(), max_size=8).map(apart)
AREAS = st.fixed_dictionaries({}, optional={"old": st.none() | st.sampled_from(CODES), "new": st.sampled_from(CODES)})


def values(tree: Any, at: str = "") -> dict[str, Any]:
    if isinstance(tree, dict):
        return {path: value for key, inner in tree.items() for path, value in values(inner, f"{at}/{key}").items()}
    return {at: tree}


def judged(agreements: Sequence[Agreement], level: IdentityLevel, areas: Areas) -> dict[str, dict[str, Any]]:
    """Decide the slow way, one question after the other, in the words of the rules."""
    found: dict[str, dict[str, Any]] = {}
    for one in sorted(agreements, key=lambda item: item.id):
        begun = [other for other in agreements if other.id == one.id and other.valid_from <= DAY]
        if one.organisation in found or one not in begun or one.version != max(other.version for other in begun):
            continue
        if one.revoked or one.change_type != "address" or (one.valid_until or date.max) < DAY:
            continue
        if level.value < one.identity_level.value:
            continue
        holding = [
            share
            for share in one.shares
            if share.where == "anywhere" or (areas.get(share.where) is not None and areas[share.where] in one.area)
        ]
        allowed = {path for share in holding for path in share.paths}
        sent = {
            path: value
            for path, value in values(TOLD).items()
            if any(path == permitted or path.startswith(f"{permitted}/") for permitted in allowed)
        }
        if any(path.startswith("/change/") for path in sent):
            found[one.organisation] = sent
    return found


@settings(max_examples=400, deadline=None)
@given(AGREEMENTS, LEVELS, AREAS)
def test_exactly_what_was_agreed_is_told_to_exactly_whom(
    agreements: list[Agreement], level: IdentityLevel, areas: Areas
) -> None:
    before = repr(TOLD)
    found = recipients(TOLD, level, areas, standing(agreements, "address", DAY))
    assert repr(TOLD) == before
    assert [one.organisation for one in found] == sorted(one.organisation for one in found)
    told = {
        one.organisation: values({block: one.data[block] for block in ("person", "change") if block in one.data})
        for one in found
    }
    assert told == judged(agreements, level, areas)


@settings(max_examples=100, deadline=None)
@given(AGREEMENTS, LEVELS, AREAS)
def test_what_is_decided_does_not_depend_on_the_order_of_agreements(
    agreements: list[Agreement], level: IdentityLevel, areas: Areas
) -> None:
    assert recipients(TOLD, level, areas, standing(agreements, "address", DAY)) == recipients(
        TOLD, level, areas, standing(agreements[::-1], "address", DAY)
    )

"""Who is told what: pure, deny by default, closed where something is not known."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.routing import Areas, minimise, recipients, standing
from broker.routing.minimise import without
from contracts.agreement import Agreement
from contracts.person import IdentityLevel
from tests.support.line import agreement

ON = date(2026, 6, 1)
TOLD = {
    "person": {"name": {"nameParts": []}, "birthDate": "1980-01-01", "identityLevel": "P2"},
    "change": {"previousAddress": {"uprn": 1}, "newAddress": {"uprn": 2, "postalCode": "CF1 1AA"}, "tenure": "owner"},
}
HERE: Areas = {"old": 6815, "new": 6855}


def who(agreements: list[Agreement], areas: Areas = HERE, level: IdentityLevel = IdentityLevel.P2) -> list[str]:
    return [item.organisation for item in recipients(TOLD, level, areas, standing(agreements, "address", ON))]


@pytest.mark.parametrize(
    ("where", "area", "areas", "is_told"),
    [
        ("old", (6815,), HERE, True),
        ("old", (6855,), HERE, False),
        ("new", (6855,), HERE, True),
        ("new", (6815, 6855), HERE, True),
        ("old", (), HERE, False),
        ("new", (), HERE, False),
        ("anywhere", (), HERE, True),
        ("old", (6815,), {"old": None, "new": 6855}, False),
        ("old", (6815,), {"new": 6815}, False),
        ("anywhere", (), {"old": None, "new": None}, True),
    ],
)
def test_the_area_decides_and_what_is_not_known_is_nobodys(
    where: str, area: tuple[int, ...], areas: Areas, is_told: bool
) -> None:
    assert who([agreement("council", where, area=area)], areas) == (["council"] if is_told else [])


@pytest.mark.parametrize(
    "change",
    [
        {"revoked": True},
        {"valid_from": date(2026, 6, 2)},
        {"valid_until": date(2026, 5, 31)},
        {"change_type": "name"},
        {"identity_level": IdentityLevel.P3},
    ],
)
def test_an_agreement_not_in_force_tells_nobody(change: dict[str, Any]) -> None:
    whole = agreement("council", "anywhere")
    assert who([whole]) == ["council"]
    assert who([whole.model_copy(update=change)]) == []


def test_the_newest_version_alone_counts_and_an_older_one_never_comes_back() -> None:
    first = agreement("council", "anywhere", paths=("/person", "/change"))
    second = agreement("council", "anywhere", paths=("/change/tenure",)).model_copy(update={"version": 2})
    [found] = recipients(TOLD, IdentityLevel.P2, HERE, standing([first, second], "address", ON))
    assert (found.agreement_version, set(found.data["change"])) == (2, {"tenure"})
    assert who([first, second.model_copy(update={"revoked": True})]) == []
    assert who([first, second.model_copy(update={"valid_from": date(2026, 6, 2)})]) == ["council"], "not yet begun"


def test_the_first_and_last_day_count() -> None:
    whole = agreement("council", "anywhere").model_copy(update={"valid_from": ON, "valid_until": ON})
    assert who([whole]) == ["council"]


def test_without_a_part_of_the_change_there_is_nothing_to_tell() -> None:
    assert who([agreement("council", "anywhere", paths=("/person",))]) == []


def test_leaving_and_arriving_at_once_is_told_once_with_both_roles() -> None:
    one = agreement("council", "old", area=(6815,), paths=("/change/previousAddress",))
    two = agreement("council", "new", area=(6815,), paths=("/change/newAddress",))
    both = one.model_copy(update={"shares": (*one.shares, *two.shares)})
    [found] = recipients(TOLD, IdentityLevel.P2, {"old": 6815, "new": 6815}, standing([both], "address", ON))
    assert found.roles == ("leaving", "arriving")
    assert set(found.data["change"]) == {"previousAddress", "newAddress"}
    [found] = recipients(TOLD, IdentityLevel.P2, {"old": 6815, "new": 1}, standing([both], "address", ON))
    assert set(found.data["change"]) == {"previousAddress"}


def test_only_what_is_named_is_sent() -> None:
    assert minimise(TOLD, ["/person/name", "/change/newAddress/postalCode"]) == {
        "person": {"name": {"nameParts": []}},
        "change": {"newAddress": {"postalCode": "CF1 1AA"}},
    }
    assert minimise(TOLD, []) == {}
    assert minimise(TOLD, ["/change/absent", "/person/name/absent/deeper", "/change/tenure/deeper"]) == {}
    assert minimise(TOLD, ["/change/newAddress/uprn", "/change"])["change"] == TOLD["change"]


keys = st.sampled_from(["a", "b", "c"])
trees = st.recursive(st.integers(), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=12)
paths = st.lists(st.lists(keys, min_size=1, max_size=4).map(lambda steps: "/" + "/".join(steps)), max_size=6)


def leaves(tree: Any, at: str = "") -> set[str]:
    if isinstance(tree, dict) and tree:
        return {leaf for key, value in tree.items() for leaf in leaves(value, f"{at}/{key}")}
    return {at}


@given(st.dictionaries(keys, trees, max_size=3), paths)
def test_sent_is_exactly_what_is_agreed(whole: dict[str, Any], permitted: list[str]) -> None:
    before = repr(whole)
    sent = minimise(whole, permitted)
    assert repr(whole) == before, "the original is not touched"
    agreed = {leaf for leaf in leaves(whole) if any(leaf == path or leaf.startswith(path + "/") for path in permitted)}
    assert (leaves(sent) if sent else set()) - {""} == agreed - {""}


def test_an_address_that_could_not_be_checked_reaches_only_those_who_take_it() -> None:
    asks = agreement("council", "anywhere")
    takes = asks.model_copy(update={"id": "other", "organisation": "other", "unverified_addresses": True})
    in_force = standing([asks, takes], "address", ON)
    for unchecked, told in ((set[str](), ["council", "other"]), ({"new"}, ["other"]), ({"old", "new"}, ["other"])):
        found = recipients(TOLD, IdentityLevel.P2, HERE, in_force, unchecked=unchecked)
        assert [item.organisation for item in found] == told


def test_what_is_taken_out_may_not_be_there() -> None:
    whole = {"change": {"kept": 1, "gone": 2}}
    assert without(whole, ["/person/name", "/change/absent", "/change/gone"]) == {"change": {"kept": 1}}
    assert whole == {"change": {"kept": 1, "gone": 2}}

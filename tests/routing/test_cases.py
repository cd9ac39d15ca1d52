"""Who is told what, and why: the cases in `cases/*.yaml`, each compared whole with what routing decides."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from broker.intake.untold import untold
from broker.register import wales
from broker.register.bodies import packaged
from broker.routing import recipients, standing
from contracts.changes import CHANGE_TYPES
from contracts.changes.address import AddressChange
from contracts.person import IdentityLevel
from tests.routing.told import HERE, Case, agreement_id, cases

CASES = cases()
NOT_TOLD = [case for case in CASES if case.not_told is not None]


def leaves(tree: Any, at: str = "") -> dict[str, Any]:
    """Return every value by its path. A list is one value: it is agreed whole or not at all."""
    if isinstance(tree, dict):
        return {path: value for key, inner in tree.items() for path, value in leaves(inner, f"{at}/{key}").items()}
    return {at: tree}


def beneath(whole: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Return the values at or beneath some paths. Each must lead to one: a case may not promise what is not there."""
    wanted = [f"/{path}" for path in paths]
    every = leaves(whole)
    for path in wanted:
        assert any(leaf == path or leaf.startswith(f"{path}/") for leaf in every), f"{path} is not in the change"
    return {
        leaf: value
        for leaf, value in every.items()
        if any(leaf == path or leaf.startswith(f"{path}/") for path in wanted)
    }


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_who_is_told_what_and_why(case: Case) -> None:
    in_force = standing(case.agreements, "address", case.on)
    found = {one.organisation: one for one in recipients(case.told, IdentityLevel(case.level), case.areas, in_force)}
    assert set(found) == set(case.expected)
    for organisation, expected in case.expected.items():
        one = found[organisation]
        assert expected.keys() <= {"as", "required", "gets", "why", "rheswm", "under", "version"}
        assert set(one.data) <= {"person", "change", "roles"}
        assert one.data["roles"] == list(one.roles)
        if "as" in expected:
            assert list(one.roles) == expected["as"]
        if "required" in expected:
            assert one.required is expected["required"]
        if "gets" in expected:
            sent = {block: one.data[block] for block in ("person", "change") if block in one.data}
            assert leaves(sent) == beneath(case.told, expected["gets"])
        if "why" in expected:
            assert [reason.en for reason in one.because] == expected["why"]
        if "rheswm" in expected:
            assert [reason.cy for reason in one.because] == expected["rheswm"]
        if "under" in expected:
            assert one.agreement == agreement_id(expected["under"])
        if "version" in expected:
            assert one.agreement_version == expected["version"]


@pytest.mark.parametrize("case", NOT_TOLD, ids=[case.name for case in NOT_TOLD])
def test_who_is_not_told_and_why(case: Case) -> None:
    in_force = standing(case.agreements, "address", case.on)
    told = {one.organisation for one in recipients(case.told, IdentityLevel(case.level), case.areas, in_force)}
    change = AddressChange.model_validate_json(json.dumps(case.told["change"]))
    sent = bool(case.left_out)
    found = untold(
        CHANGE_TYPES["address"],
        change,
        case.areas,
        in_force,
        case.organisations,
        packaged(),
        told - set(case.left_out),
        sent=sent,
    )
    said: dict[str, str] = {}
    for one in found:
        if one.reason != "only-yourself":
            said[one.id] = "; ".join([*said.get(one.id, "").split("; "), " ".join([one.reason, *one.ends])]).strip("; ")
    assert said == {who: why for who, why in (case.not_told or {}).items() if why != "only-yourself"}
    alone = {one.id for one in found if one.reason == "only-yourself"}
    assert {who for who, why in (case.not_told or {}).items() if why == "only-yourself"} <= alone
    assert {"hmrc", "royal-mail", "driving-licence", "electoral-register"} <= alone


def test_no_two_cases_have_one_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert {file.suffix for file in (HERE / "cases").iterdir()} == {".yaml"}


def test_every_council_lies_in_one_health_board() -> None:
    councils, boards = wales.councils(), wales.health_boards()
    assert (len(councils), len(boards)) == (22, 7)
    assert sorted(code for board in boards.values() for code in board.area) == sorted(councils)
    assert {council.board for council in councils.values()} == set(boards)
    assert len({council.gss for council in councils.values()}) == 22
    assert councils[6815].name.cy == "Caerdydd"
    assert boards["W11000031"].ods == "7A3"

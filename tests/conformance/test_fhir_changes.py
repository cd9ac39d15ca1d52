"""What changes in a Patient by a name, a telephone, a language and a death; said twice it is said once."""

import json
from typing import Any

import pytest

from adapters.conformance import sample_change, sample_withdrawal
from adapters.fhir_changes import BCP_47, CARRIED, making, says_enough, unmaking
from adapters.fhir_patient import is_person, needs_a_person
from adapters.told import Told, told, withdrawn
from broker.sandbox.json_patch import patched
from contracts.changes import CHANGE_TYPES

NUMBER = {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9434765919"}
RECORD: dict[str, Any] = {
    "resourceType": "Patient",
    "identifier": [NUMBER],
    "name": [
        {"use": "old", "family": "Llwyd", "given": ["Siân"]},
        {"use": "usual", "id": "n1", "family": "GWYR-LLYN", "given": ["Sian"], "period": {"start": "1987-05-14"}},
    ],
    "birthDate": "1987-05-14",
    "telecom": [
        {"system": "phone", "use": "mobile", "value": "07700 900 123", "rank": 1},
        {"system": "email", "value": "sian@llyn.example"},
    ],
    "communication": [{"language": {"coding": [{"system": BCP_47, "code": "en-GB"}]}, "preferred": True}],
}


def changed(name: str, **members: Any) -> Told:
    return told(sample_change(name, **members), CARRIED)


def after(name: str, record: dict[str, Any] = RECORD, **members: Any) -> dict[str, Any]:
    """Return the record with a change of this type, patched as a server patches it; said again it changes nothing."""
    kind, change = CHANGE_TYPES[name].event_type, changed(name, **members)
    operations = making(kind)(record, change)
    assert operations is not None
    now: dict[str, Any] = patched(json.loads(json.dumps(record)), operations)
    assert making(kind)(now, change) == [], "said twice"
    return now


def test_a_new_name_is_added_and_the_one_before_is_old_from_the_day_on() -> None:
    now = after("name")
    assert now["name"][0] == RECORD["name"][0]
    assert now["name"][1] == {
        "use": "old",
        "id": "n1",
        "family": "GWYR-LLYN",
        "given": ["Sian"],
        "period": {"start": "1987-05-14", "end": "2026-04-18"},
    }
    assert now["name"][2] == {
        "use": "usual",
        "family": "Ŵylan-Gŵyr",
        "given": ["Siân", "Heledd"],
        "prefix": ["Dr"],
        "period": {"start": "2026-04-18"},
    }
    assert {**now, "name": None} == {**RECORD, "name": None}
    assert after("name", {**RECORD, "name": []})["name"][0]["use"] == "official"
    single = after("name", newName={"nameParts": [{"type": "GivenName", "value": "Ŵylan"}]})
    assert (single["name"][2]["family"], "given" in single["name"][2]) == ("Ŵylan", False)


def test_whose_name_changes_may_be_known_by_either() -> None:
    change = changed("name")
    for family, is_hers in (("Gŵyr-Llŷn", True), ("Wylan Gwyr", True), ("Llwyd", False)):
        record = RECORD | {"name": [{"family": family, "given": ["Sian"]}]}
        assert is_person(record, change) is is_hers, family


def test_a_name_that_is_only_said_finds_nobody() -> None:
    another = {"nameParts": [{"type": "GivenName", "value": "Mair"}, {"type": "FamilyName", "value": "Arall"}]}
    claimed = changed("name", previousName=another, newName={"nameParts": another["nameParts"][:1]})
    assert not is_person(RECORD | {"name": [{"family": "Arall", "given": ["Mair"]}]}, claimed)
    assert is_person(RECORD, claimed), "by the name that is verified"


def test_a_telephone_is_found_however_it_is_written_and_nothing_else_is_touched() -> None:
    now = after("contact")
    assert now["telecom"][0] == RECORD["telecom"][0] | {"use": "old", "period": {"end": "2026-04-20"}}
    assert now["telecom"][1] == RECORD["telecom"][1]
    assert now["telecom"][2] == {
        "system": "phone",
        "use": "mobile",
        "value": "+447700900456",
        "period": {"start": "2026-04-20"},
    }
    given_up = after("contact", newContact=None)
    assert [one["use"] for one in given_up["telecom"] if "use" in one] == ["old"]
    none = {name: value for name, value in RECORD.items() if name != "telecom"}
    assert len(after("contact", none)["telecom"]) == 1
    mail = {"system": "email", "use": "home", "value": "Sian@Llyn.example"}
    assert after("contact", previousContact=None, newContact=mail) == RECORD, "there already"


def test_one_language_is_preferred() -> None:
    now = after("language")
    assert [one["preferred"] for one in now["communication"]] == [False, True]
    assert now["communication"][1]["language"] == {"coding": [{"system": BCP_47, "code": "cy"}]}
    back = after("language", now, newLanguage="en", previousLanguage="cy")
    assert [one["preferred"] for one in back["communication"]] == [True, False]
    assert after("language", {"resourceType": "Patient"})["communication"][0]["preferred"] is True


@pytest.mark.parametrize("day", ["2026-04-02", "2026-04", "2026"])
def test_a_death_is_told_as_far_as_the_day_is_known(day: str) -> None:
    assert after("bereavement", deathDate=day)["deceasedDateTime"] == day
    known = RECORD | {"deceasedDateTime": "2026-04-02T08:00:00Z"}
    assert after("bereavement", known, deathDate=day) == known, "known better"
    coarser = RECORD | {"deceasedDateTime": "2026"}
    assert after("bereavement", coarser, deathDate=day)["deceasedDateTime"] == day
    alive = after("bereavement", RECORD | {"deceasedBoolean": False}, deathDate=day)
    assert "deceasedBoolean" not in alive


def test_a_death_is_of_who_died() -> None:
    change = changed("bereavement")
    assert (change.family, change.given, str(change.birth_date)) == ("Gŵyr", ("Tŷfai",), "1941-02-28")
    assert not is_person(RECORD, change), "not of who tells it"
    assert needs_a_person(RECORD | {"deceasedBoolean": True})
    assert not needs_a_person(RECORD | {"deceasedBoolean": True}, dead=True)
    assert needs_a_person(RECORD | {"active": False}, dead=True)


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("name", {"name": [{"use": "usual", "family": "A"}, {"use": "official", "family": "B"}]}),
        ("name", {"name": [1]}),
        ("name", {"name": "Siân"}),
        ("contact", {"telecom": [{"system": "phone", "period": "always"}]}),
        ("language", {"communication": ["cy"]}),
        ("bereavement", {"deceasedDateTime": "2020-01-01"}),
        ("bereavement", {"deceasedDateTime": 2020}),
        ("bereavement", {"deceasedDateTime": ""}),
    ],
)
def test_what_a_person_must_look_at(name: str, record: dict[str, Any]) -> None:
    assert making(CHANGE_TYPES[name].event_type)(RECORD | record, changed(name)) is None


@pytest.mark.parametrize("name", [name for name in CHANGE_TYPES if name != "address"])
def test_taken_back_it_is_for_a_person_unless_nothing_of_it_is_there(name: str) -> None:
    delivery, kind = sample_change(name), CHANGE_TYPES[name].event_type
    back = withdrawn(sample_withdrawal(delivery.data, type=kind), CARRIED)
    assert back is not None
    assert back.type == kind
    assert unmaking(kind)(after(name), back.told) is None
    assert unmaking(kind)(RECORD, back.told) == []


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("name", "newName"),
        ("name", "effectiveDate"),
        ("language", "newLanguage"),
        ("bereavement", "deathDate"),
    ],
)
def test_too_little_is_not_enough(name: str, left_out: str) -> None:
    kind = CHANGE_TYPES[name].event_type
    assert says_enough(kind, changed(name))
    assert not says_enough(kind, changed(name, **{left_out: None}))

"""The models everything is built from: strict, silent about their values, and whole in their tables."""

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts.address import PostalCode
from contracts.agreement import PermittedPath
from contracts.changes import CHANGE_TYPES
from contracts.changes.address import AddressChange
from contracts.person import Identifier, IdentityLevel, Person, PersonName
from contracts.receipts import Answer, FailureKind, Receipt, ReceiptKind, Reference
from contracts.statuses import ENDED, RANK, STATUS_OF, Outcome, Reason, Status

CARDIFF = {"uprn": 100100123456, "buildingNumber": "3", "streetName": "Heol y Crwys", "addressLocality": "Caerdydd"}
SWANSEA = {"buildingName": "Tŷ Gŵyr", "streetName": "Ffordd y Môr", "postalCode": "sa1  1aa"}
MOVE: dict[str, Any] = {"previousAddress": CARDIFF, "newAddress": SWANSEA, "effectiveDate": "2026-03-01"}
SIAN: dict[str, Any] = {
    "name": {"nameParts": [{"type": "GivenName", "value": "Siân"}, {"type": "FamilyName", "value": "Llŷr"}]},
    "birthDate": "1990-02-28",
    "identityLevel": "P2",
}


def child(born: str) -> dict[str, Any]:
    return {"name": {"nameParts": [{"type": "GivenName", "value": "Gwen"}]}, "birthDate": born}


def test_a_move_is_read_and_written_the_same() -> None:
    move = AddressChange.model_validate_json(json.dumps(MOVE))
    again = AddressChange.model_validate_json(move.model_dump_json(exclude_none=True))
    assert again == move
    assert move.new_address.postal_code == "SA1 1AA"
    assert move.model_dump(mode="json", exclude_none=True)["newAddress"]["buildingName"] == "Tŷ Gŵyr"


@pytest.mark.parametrize(
    "wrong",
    [
        MOVE | {"extra": 1},
        MOVE | {"effectiveDate": 20260301},
        MOVE | {"effectiveDate": "2026-02-30"},
        MOVE | {"moveKind": "Permanent"},
        MOVE | {"newAddress": CARDIFF},
        MOVE | {"newAddress": SWANSEA | {"uprn": CARDIFF["uprn"]}},
        MOVE | {"newAddress": {"postalCode": "SA1 1AA"}},
        MOVE | {"newAddress": SWANSEA | {"uprn": "100100123457"}},
        MOVE | {"newAddress": SWANSEA | {"uprn": 10**12}},
        MOVE | {"newAddress": SWANSEA | {"addressCountry": "gb"}},
        MOVE | {"newAddress": SWANSEA | {"validFrom": "2026-03-02", "validUntil": "2026-03-01"}},
        MOVE | {"newAddress": SWANSEA | {"buildingName": "Tŷ\u202eGŵyr"}},
        MOVE | {"newAddress": SWANSEA | {"building_name": "Tŷ", "buildingName": "Tŷ"}},
        MOVE | {"household": [child("2008-03-01")]},  # eighteen on the day
        MOVE | {"household": [child("2026-03-02")]},  # not born yet
        MOVE | {"household": [child("2020-01-01")] * 13},
    ],
)
def test_what_is_no_move(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        AddressChange.model_validate_json(json.dumps(wrong))
    for value in ("Tŷ", "Gŵyr", "Heol", "Gwen", "SA1", "100100123456"):
        assert value not in str(raised.value), "an error repeats a value"


@pytest.mark.parametrize("born", ["2008-03-02", "2008-02-29", "2026-03-01"])
def test_children_up_to_the_day_before_eighteen(born: str) -> None:
    move = MOVE | {"effectiveDate": "2026-03-01", "household": [child(born)]}
    if born == "2008-02-29":
        move["effectiveDate"] = "2026-02-28"  # turns eighteen on 1 March
    assert AddressChange.model_validate_json(json.dumps(move)).household


@given(st.text(max_size=5))
def test_a_postcode_is_settled_at_once(value: str) -> None:
    try:
        once = TypeAdapter(PostalCode).validate_python(value)
    except ValidationError:
        return
    assert TypeAdapter(PostalCode).validate_python(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert 1 <= len(once) <= 16


def test_a_person_may_have_a_single_name() -> None:
    person = Person.model_validate_json(json.dumps(SIAN | {"name": {"nameParts": SIAN["name"]["nameParts"][:1]}}))
    assert isinstance(person.name, PersonName)
    with pytest.raises(ValidationError):
        Person.model_validate_json(json.dumps(SIAN | {"name": {"nameParts": []}}))


def test_no_model_shows_a_value() -> None:
    person = Person.model_validate_json(json.dumps(SIAN))
    for shown in (repr(person), str(person), f"{person}", repr([person.name])):
        assert "Siân" not in shown


@pytest.mark.parametrize("system", ["http://x.y/z", "https://", "https://x y", "javascript:alert(1)"])
def test_identifiers_name_their_register(system: str) -> None:
    with pytest.raises(ValidationError):
        Identifier.model_validate({"system": system, "value": "9434765919"})


def test_levels_are_ordered() -> None:
    assert IdentityLevel.P2.meets(IdentityLevel.P2)
    assert IdentityLevel.P3.meets(IdentityLevel.P1)
    assert not IdentityLevel.P1.meets(IdentityLevel.P2)


def test_every_outcome_has_its_status_and_every_status_its_rank() -> None:
    assert set(STATUS_OF) == set(Outcome)
    assert set(RANK) == set(Status)
    assert {outcome for outcome, status in STATUS_OF.items() if status is None} == {Outcome.UNKNOWN, Outcome.FAILED}


def test_received_is_not_applied() -> None:
    assert STATUS_OF[Outcome.ACCEPTED] is Status.RECEIVED
    assert RANK[Status.RECEIVED] < RANK[Status.APPLIED]
    assert Status.RECEIVED not in ENDED
    assert Status.NEEDS_REVIEW not in ENDED


def test_what_an_organisation_says_outranks_what_we_did() -> None:
    ours = max(RANK[status] for status in (Status.CANCELLED, Status.SUPERSEDED, Status.UNDELIVERED))
    said = {status for outcome, status in STATUS_OF.items() if status and outcome is not Outcome.SUPERSEDED}
    assert all(RANK[status] > ours for status in said)


def receipt(**more: Any) -> Receipt:
    return Receipt(id=uuid4(), delivery_id=uuid4(), epoch=0, attempt=1, at=datetime(2026, 3, 1, tzinfo=UTC), **more)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": ReceiptKind.ANSWERED},
        {"kind": ReceiptKind.ANSWERED, "outcome": Outcome.APPLIED, "failure": FailureKind.UNKNOWN},
        {"kind": ReceiptKind.DEFERRED, "reason": Reason.SERVER_ERROR},
        {"kind": ReceiptKind.DEFERRED, "failure": FailureKind.UNAVAILABLE},
        {"kind": ReceiptKind.WITHHELD, "reason": Reason.ERASED, "outcome": Outcome.APPLIED},
        {"kind": ReceiptKind.WITHHELD},
    ],
)
def test_a_receipt_fits_its_kind(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        receipt(**wrong)


@pytest.mark.parametrize("value", ["CT-2026/117", "in.csv#12", "a:b_c"])
def test_references(value: str) -> None:
    assert TypeAdapter(Reference).validate_python(value) == value


@pytest.mark.parametrize("value", ["", "two words", "-a", "ŵ", "a" * 65, "a\n", "=cmd()"])
def test_free_text_is_no_reference(value: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Reference).validate_python(value)


def test_an_answer_from_the_future_is_of_now() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    answer = Answer(id=UUID(int=1), delivery_id=UUID(int=2), outcome=Outcome.APPLIED, at=now + timedelta(hours=1))
    assert answer.receipt(epoch=0, attempt=1, now=now).at == now


@pytest.mark.parametrize("path", ["/person", "/change/newAddress/uprn"])
def test_permitted_paths(path: str) -> None:
    assert TypeAdapter(PermittedPath).validate_python(path) == path


@pytest.mark.parametrize("path", ["", "/", "person", "/other", "/change/", "/change/0", "/change/*", "/changes"])
def test_what_is_no_permitted_path(path: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(PermittedPath).validate_python(path)


def test_change_types_are_known_by_their_own_name() -> None:
    for name, kind in CHANGE_TYPES.items():
        assert kind.name == name
        assert kind.event_type.startswith("wales.unwaith.")
        assert kind.dataschema == "urn:wales:unwaith:schema:" + kind.event_type.removeprefix("wales.unwaith.")

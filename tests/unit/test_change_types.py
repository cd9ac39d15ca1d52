"""Each change type: what it takes and refuses, who is told because of it, and in which words it is refused."""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from broker.api.bodies import model_in
from broker.api.problems import NotReadable
from broker.api.spoken import in_welsh
from broker.identity.citizens import birth_date
from broker.language import LANGUAGES, Language, words_in
from broker.language.catalogue import ids
from broker.register.checking import leads_somewhere
from broker.routing import minimise, recipients, standing
from broker.verification import check_change
from broker.web.changed.bereavement import BEREAVEMENT
from broker.web.telling.questions import today_of
from broker.web.telling.wording import told_fields
from contracts.changes import CHANGE_TYPES
from contracts.changes.kind import ROLE_AT
from contracts.examples import CHANGES, PERSON, asked
from contracts.person import IdentityLevel, PersonName
from contracts.problems import TYPE_PREFIX
from contracts.publishing import schemas
from contracts.requests import preview_requests
from tests.support.line import agreement

TODAY = date(2026, 4, 30)
HOME = 6855
WHO = PERSON.name


def read(wire: Mapping[str, Any]) -> Any:
    return model_in(json.dumps(wire).encode(), preview_requests())


def changed(name: str, **members: Any) -> dict[str, Any]:
    """Return the example of a type with members of its change replaced, or left out where they are None."""
    wire = asked(name)
    change = {**wire["change"], **members}
    return wire | {"change": {member: value for member, value in change.items() if value is not None}}


def told_of(name: str) -> dict[str, Any]:
    return {
        "person": PERSON.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
        "change": CHANGES[name].model_dump(mode="json", exclude_none=True),
    }


def a_name(*parts: str) -> dict[str, Any]:
    *given, family = parts
    return {
        "nameParts": [
            *({"type": "GivenName", "value": part} for part in given),
            {"type": "FamilyName", "value": family},
        ]
    }


@pytest.mark.parametrize("name", CHANGE_TYPES)
def test_the_example_of_each_type_is_read_as_its_own_model_and_is_so(name: str) -> None:
    kind = CHANGE_TYPES[name]
    request = read(asked(name))
    assert type(request.change) is kind.model
    assert request.change == CHANGES[name]
    assert check_change(kind, request.change, WHO, TODAY) == []
    assert set(kind.places(request.change)) == set(kind.ends)
    assert kind.roles == (*(ROLE_AT[end] for end in kind.ends), "national")


@pytest.mark.parametrize("name", CHANGE_TYPES)
def test_what_needs_care_is_there_to_need_it(name: str) -> None:
    kind = CHANGE_TYPES[name]
    known = set(schemas()[kind.dataschema.rpartition(":")[2]]["properties"]["change"]["properties"])
    assert {path.removeprefix("/change/") for path in kind.sensitivity} <= known


NOON = {"reference": "CDF 1", "registeredAt": "2026-04-05T12:00:00Z"}
CONTACT = {"system": "phone", "use": "mobile", "value": "+447700900456"}
MAIL = {"system": "email", "value": "sian@llanfairpwll.example"}


@pytest.mark.parametrize(
    ("wire", "pointer", "detail"),
    [
        ({"change": {}}, "/type", "is missing"),
        (asked("address") | {"type": "birth"}, "/type", "is not one of the values allowed"),
        (asked("address") | {"type": 1}, "/type", "is not one of the values allowed"),
        (asked("address") | {"type": "name"}, "/change/previousName", "is missing"),
        (asked("language") | {"Gwenwyn": 1}, "", "holds a field that is not known"),
        (changed("language", Gwenwyn=1), "/change", "holds a field that is not known"),
        (changed("name", homeAddress=None), "/change/homeAddress", "is missing"),
        (changed("name", reason="whim"), "/change/reason", "is not one of the values allowed"),
        (changed("name", newName={"nameParts": []}), "/change/newName/nameParts", "is too short"),
        (
            changed("name", newName=a_name("Gwenwyn" * 43)),  # 301
            "/change/newName/nameParts/0/value",
            "is too long",
        ),
        (
            changed("name", newName=asked("name")["change"]["previousName"]),
            "/change",
            "previousName and newName are the same",
        ),
        (
            changed("name", evidenceReference=None),
            "/change",
            "needs evidenceReference, unless reason is a correction",
        ),
        (
            changed("name", newName=a_name("Gwenwyn\u202e")),
            "/change/newName/nameParts/0/value",
            "contains a character that is not allowed",
        ),
        (
            changed("name", newName=a_name("Gwenw\u0443n")),  # a Cyrillic letter
            "/change/newName/nameParts/0/value",
            "mixes alphabets in one word",
        ),
        (changed("name", effectiveDate="2026-02-29"), "/change/effectiveDate", "must be a date, YYYY-MM-DD"),
        (
            changed("contact", newContact=CONTACT | {"value": "029 2018 0000"}),
            "/change/newContact",
            "value must be a number with its country's code, such as +442920180000",
        ),
        (
            changed("contact", newContact=CONTACT | {"value": "+" + "4" * 16}),
            "/change/newContact",
            "value must be a number with its country's code, such as +442920180000",
        ),
        (
            changed("contact", previousContact=None, newContact=MAIL | {"value": "Gwenwyn@nowhere"}),
            "/change/newContact",
            "value must be an e-mail address",
        ),
        (
            changed("contact", previousContact=None, newContact=MAIL | {"value": "siân@tŷ.example"}),
            "/change/newContact",
            "value must be an e-mail address",
        ),
        (
            changed("contact", previousContact=None, newContact=MAIL | {"value": "a@b.example\r\nBcc: c@d.example"}),
            "/change/newContact",
            "value must be an e-mail address",
        ),
        (
            changed("contact", newContact=MAIL | {"use": "mobile"}, previousContact=None),
            "/change/newContact",
            "use is mobile for a telephone only",
        ),
        (changed("contact", newContact=MAIL), "/change", "previousContact and newContact are of different systems"),
        (
            changed("contact", newContact=CONTACT, previousContact=CONTACT),
            "/change",
            "previousContact and newContact are the same",
        ),
        (
            changed("contact", newContact=None, previousContact=None),
            "/change",
            "needs previousContact or newContact",
        ),
        (
            changed("language", newLanguage=None, newFormats=None),
            "/change",
            "needs newLanguage or newFormats",
        ),
        (changed("language", newLanguage="en"), "/change", "previousLanguage and newLanguage are the same"),
        (changed("language", newLanguage="fr"), "/change/newLanguage", "is not one of the values allowed"),
        (changed("language", newFormats=[]), "/change/newFormats", "is too short"),
        (changed("language", newFormats=["bsl", "bsl"]), "/change", "a format is named twice"),
        (
            changed("language", newFormats=["standard", "bsl"]),
            "/change",
            "standard goes with no other format",
        ),
        (changed("language", newFormats=["standard"]), "/change", "previousFormats and newFormats are the same"),
        (changed("bereavement", deathDate="1941-02"), "", ""),  # may be the day they were born
        (changed("bereavement", deathDate="1941-01"), "/change", "deathDate is before birthDate"),
        (changed("bereavement", deathDate="2026-02-29"), "/change/deathDate", "must be a date, YYYY-MM-DD"),
        (changed("bereavement", deathDate="2026-13"), "/change/deathDate", "must be a date, YYYY-MM-DD"),
        (changed("bereavement", deathDate="0000"), "/change/deathDate", "must be a date, YYYY-MM-DD"),
        (changed("bereavement", deathDate="yesterday"), "/change/deathDate", "does not have the right form"),
        (changed("bereavement", deathDate="2026-04-07"), "/change", "registeredAt is before deathDate"),
        (changed("bereavement", deathDate="2026-04-06"), "", ""),  # the same day, in another zone
        (
            changed("bereavement", registration=NOON | {"registeredOn": "2026-04-04"}),
            "/change/registration",
            "registeredOn and registeredAt are different days",
        ),
        (changed("bereavement", registration={"reference": "X1"}), "/change/registration/registeredAt", "is missing"),
        (
            changed("bereavement", registration={"reference": "X1", "registeredAt": "2026-04-05T10:00"}),
            "/change/registration/registeredAt",
            "must be a time with its zone (RFC 3339)",
        ),
        (
            changed("bereavement", registration={"reference": "X1", "registeredAt": "9999-12-31T23:59:59Z"}),
            "",
            "",
        ),  # for the checks to refuse
    ],
)
def test_what_is_refused_names_the_field_in_both_languages_and_never_the_value(
    wire: dict[str, Any], pointer: str, detail: str
) -> None:
    if not detail:
        read(wire)
        return
    with pytest.raises(NotReadable) as refused:
        read(wire)
    errors = refused.value.errors
    assert (pointer, detail) in {(error.pointer, error.detail) for error in errors}
    written = json.dumps([error.model_dump() for error in errors], ensure_ascii=False)
    for value in ("Gwenwyn", "Gwenw\u0443n", 'birth"', "whim", "Bcc", "nowhere", "tŷ.example"):
        assert value not in written
    body = {"type": f"{TYPE_PREFIX}invalid", "errors": [error.model_dump() for error in errors]}
    for said, english in zip(json.loads(in_welsh(json.dumps(body).encode()))["errors"], errors, strict=True):
        assert said["detail"] != english.detail, "is not said in Welsh"


@pytest.mark.parametrize(
    "wire",
    [
        changed("name", newName=a_name("Llŷr")),  # a single name
        changed("name", newName=a_name("ŵ" * 300)),
        changed("name", newName=a_name("Мария")),
        changed("name", reason="correction", evidenceReference=None),
        changed("name", effectiveDate="2024-02-29"),
        changed("contact", newContact=None),
        changed("contact", previousContact=None, newContact=MAIL),
        changed("contact", previousContact=None, newContact=MAIL | {"value": "a" * 64 + "@xn--t-3ga.example"}),
        changed("contact", newContact=CONTACT | {"value": "+35312345678"}),
        changed("contact", newContact=CONTACT | {"use": "work", "value": "+447700900123"}),
        changed("language", newFormats=None),
        changed("language", newLanguage=None, previousFormats=None, newFormats=["braille", "bsl"]),
        changed("bereavement", deathDate="2025"),
        changed("bereavement", deathDate="2026-03"),
        changed("bereavement", deathDate="2024-02-29"),
        changed("bereavement", homeAddress={"addressLocality": "BFPO 58", "postalCode": "BF1 2AU"}),
        changed("contact", homeAddress={"addressLocality": "Trelew", "addressCountry": "AR"}),
        changed("language", homeAddress={"addressLocality": "Dim cartref sefydlog", "postalCode": "ZZ99 3VZ"}),
        changed("language", homeAddress={"buildingName": "Tŷ Ŵyn", "addressLocality": "Y Bala"}),
    ],
)
def test_what_is_taken(wire: dict[str, Any]) -> None:
    request = read(wire)
    assert check_change(CHANGE_TYPES[wire["type"]], request.change, WHO, TODAY) == []
    assert request.change.model_dump(mode="json", exclude_none=True, exclude_defaults=True) == wire["change"]


def test_both_forms_of_a_letter_are_one_name() -> None:
    [one, other] = [
        read(changed("name", newName=a_name(unicodedata.normalize(form, "Ŵylan-Gŵyr")))) for form in ("NFC", "NFD")
    ]
    assert one == other
    with pytest.raises(NotReadable):
        read(
            changed(
                "name",
                previousName=a_name(unicodedata.normalize("NFC", "Ŵylan")),
                newName=a_name(unicodedata.normalize("NFD", "Ŵylan")),
            )
        )


@pytest.mark.parametrize(
    ("wire", "pointer", "code"),
    [
        (changed("name", effectiveDate="2027-05-02"), "/change/effectiveDate", "too_far_ahead"),
        (changed("name", effectiveDate="9999-12-31"), "/change/effectiveDate", "too_far_ahead"),
        (changed("contact", effectiveDate="2016-04-01"), "/change/effectiveDate", "too_long_ago"),
        (changed("language", effectiveDate="0001-01-01"), "/change/effectiveDate", "too_long_ago"),
        (
            changed("contact", newContact=CONTACT | {"value": "+447700900999", "verifiedAt": "2026-05-01T00:00:00Z"}),
            "/change/newContact/verifiedAt",
            "in_the_future",
        ),
        (
            changed(
                "bereavement",
                deathDate="2026-05-01",
                registration={"reference": "X1", "registeredAt": "2026-04-30T12:00:00Z"},
            ),
            "/change/deathDate",
            "in_the_future",
        ),
        (
            changed("bereavement", registration={"reference": "X1", "registeredAt": "9999-12-31T23:59:59Z"}),
            "/change/registration/registeredAt",
            "in_the_future",
        ),
        (changed("bereavement", deathDate="1999"), "/change/deathDate", "too_long_ago"),
    ],
)
def test_days_that_cannot_be(wire: dict[str, Any], pointer: str, code: str) -> None:
    [doubt] = check_change(CHANGE_TYPES[wire["type"]], read(wire).change, WHO, TODAY)
    assert (doubt.pointer, doubt.code) == (pointer, code)
    words = {words_in("en")(name) for name in ids("en") if name.startswith("detail-")}
    assert doubt.detail in words, "has no Welsh"


@pytest.mark.parametrize(
    ("previous", "new", "theirs"),
    [
        (("Siân", "Mair", "Morgan"), ("Siân", "Gwŷdd"), True),
        (("SIÂN", "Morgan"), ("Elin", "Gwŷdd"), True),
        (("Elin", "Gwŷdd"), ("Siân", "Morgan"), True),  # who signs in under the new name already
        (("Elin", "Gwŷdd"), ("Elin", "Morgan"), False),
        (("Siân",), ("Morgan",), False),
        (("Siân", "Gwŷdd"), ("Siân", "Jones"), False),
        (("Sian", "Morgan"), ("Elin", "Gwŷdd"), True),  # whose provider has the accents, or has not
        (("Siân Mair", "Morgan"), ("Elin", "Gwŷdd"), True),
    ],
)
def test_a_name_that_changes_is_that_of_whoever_tells_it(
    previous: tuple[str, ...], new: tuple[str, ...], *, theirs: bool
) -> None:
    wire = changed("name", previousName=a_name(*previous), newName=a_name(*new))
    who = PersonName.model_validate_json(json.dumps(a_name("Siân", "Morgan")))
    doubts = check_change(CHANGE_TYPES["name"], read(wire).change, who, TODAY)
    assert [(doubt.pointer, doubt.code) for doubt in doubts] == [("/change/previousName", "not_yours")] * (not theirs)
    assert all(in_welsh(f'{{"detail": "{doubt.detail}"}}'.encode()).startswith(b'{"detail":"rhaid') for doubt in doubts)


def test_a_month_that_has_begun_may_be_the_month_of_a_death() -> None:
    wire = changed(
        "bereavement", deathDate="2026-04", registration={"reference": "X1", "registeredAt": "2026-04-30T12:00:00Z"}
    )
    assert check_change(CHANGE_TYPES["bereavement"], read(wire).change, WHO, TODAY) == []
    assert CHANGE_TYPES["bereavement"].effective(read(wire).change) == date(2026, 4, 1)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", CHANGE_TYPES)
def test_every_part_of_every_type_has_its_words_on_the_pages(name: str, language: Language) -> None:
    words, whole = words_in(language), told_of(name)
    shown = told_fields(whole, words)
    assert len(shown) == len(whole["person"]) + len(whole["change"])
    assert all(label and value for label, value in shown)
    codes = {"marriage", "large-print", "text-relay", "child", "private-tenant"} & set(json.dumps(whole).split('"'))
    assert not codes & {value for _, value in shown}, "a code is no word"


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["/change/registration"], "ABT/2026/0731, Abertawe, 5 April 2026"),
        (["/change/deceased"], "Tŷfai Gŵyr, born 28 February 1941, 9434765919"),
        (["/change/deceased/name"], "Tŷfai Gŵyr"),
        (["/change/deceased/birthDate", "/change/deceased/identifiers"], "28 February 1941, 9434765919"),
    ],
)
def test_what_is_told_of_a_death_is_shown_whole_however_little_it_is(paths: list[str], said: str) -> None:
    assert [value for _, value in told_fields(minimise(told_of("bereavement"), paths), words_in("en"))] == [said]


def paths_into(value: Any, path: str) -> Iterator[str]:
    yield path
    if isinstance(value, dict):
        for member, inner in value.items():
            yield from paths_into(inner, f"{path}/{member}")


@pytest.mark.parametrize("name", CHANGE_TYPES)
def test_whatever_part_is_agreed_is_shown(name: str) -> None:
    whole = told_of(name)
    for path in (path for part in whole for path in paths_into(whole[part], f"/{part}")):
        if leads_somewhere(CHANGE_TYPES[name], path):
            shown = told_fields(minimise(whole, [path]), words_in("cy"))
            assert shown, path
            assert all(value for _, value in shown), path


def test_today_begins_on_pages_when_it_begins_in_wales() -> None:
    visit: Any = SimpleNamespace(parts=SimpleNamespace(clock=lambda: datetime(2026, 6, 30, 23, 30, tzinfo=UTC)))
    assert today_of(visit) == date(2026, 7, 1)


# Who is told

SOMETHING = {
    "name": ("/change/newName", "/change/effectiveDate"),
    "contact": ("/change/newContact",),
    "language": ("/change/newLanguage",),
    "bereavement": ("/change/deathDate",),
}


@pytest.mark.parametrize("name", [name for name, kind in CHANGE_TYPES.items() if kind.ends == ("home",)])
def test_the_council_of_where_somebody_lives_is_told_and_nobody_of_a_day_alone(name: str) -> None:
    kind = CHANGE_TYPES[name]
    agreements = [
        agreement("here", "home", area=(HOME,), paths=SOMETHING[name], change_type=name),
        agreement("idle", "anywhere", paths=("/person", "/change/effectiveDate"), change_type=name),
        agreement("elsewhere", "home", area=(6815,), paths=("/change",), change_type=name),
        agreement("mover", "new", area=(HOME,), paths=("/change",), change_type=name),
        agreement("of-moves", "anywhere", paths=("/change",), change_type="address"),
        agreement("national", "anywhere", paths=("/change",), change_type=name),
    ]
    in_force = standing(agreements, name, TODAY)
    found = {
        one.organisation: one
        for one in recipients(told_of(name), IdentityLevel.P2, {"home": HOME}, in_force, kind.special, kind.context)
    }
    assert set(found) == {"here", "national"}
    assert found["here"].roles == ("resident",)
    assert "homeAddress" not in found["here"].data["change"], "what decides is not told with it"
    nowhere = recipients(told_of(name), IdentityLevel.P2, {"home": None}, in_force, kind.special, kind.context)
    assert [one.organisation for one in nowhere] == ["national"]


@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name, kind in CHANGE_TYPES.items() for path in sorted(kind.special)]
)
def test_a_special_part_is_told_only_where_it_is_named(name: str, path: str) -> None:
    member = path.removeprefix("/change/")
    whole = told_of(name)
    before = json.dumps(whole)
    for paths, is_told in (
        (("/change",), False),
        (("/change", path), True),
        ((path,), True),
        (("/change/newLanguage",), False),
    ):
        in_force = standing([agreement("all", "anywhere", paths=paths, change_type=name)], name, TODAY)
        [one] = recipients(whole, IdentityLevel.P2, {}, in_force, CHANGE_TYPES[name].special)
        assert (member in one.data["change"]) is is_told
    assert json.dumps(whole) == before


@pytest.mark.parametrize(
    ("name", "change", "pointer"),
    [
        ("contact", {"newContact": {"system": "phone", "value": "+447700900123", "verifiedAt": "{at}"}},
         "/change/newContact/verifiedAt"),
        ("bereavement", {"registration": {"reference": "CDF 1", "registeredAt": "{at}"}},
         "/change/registration/registeredAt"),
    ],
)  # fmt: skip
def test_days_that_have_been_are_those_of_wales(name: str, change: dict[str, Any], pointer: str) -> None:
    """Half past midnight on 7 June in Wales is 6 June in UTC."""
    wire = json.loads(json.dumps(changed(name, **change)).replace("{at}", "2026-06-06T23:30:00Z"))
    read_back = read(wire)
    past = CHANGE_TYPES[name].past(read_back.change)
    assert past[pointer] == date(2026, 6, 7)


def test_a_child_born_today_is_no_child_of_tomorrow_just_after_midnight_in_summer() -> None:
    assert birth_date("2026-06-07", datetime(2026, 6, 6, 23, 30, tzinfo=UTC)) == date(2026, 6, 7)
    with pytest.raises(ValueError, match="future"):
        birth_date("2026-06-08", datetime(2026, 6, 6, 23, 30, tzinfo=UTC))


def test_a_registration_of_which_only_the_day_is_known_says_so() -> None:
    whole = NOON | {"registeredOn": "2026-04-05"}
    told = read(changed("bereavement", registration=whole)).change
    assert told.registration.registered_on == date(2026, 4, 5)
    for permitted in ("registeredAt", "registeredOn"):  # an agreement may have either alone
        part = {"change": {"registration": {permitted: whole[permitted]}}}
        [(_, said)] = told_fields(part, words_in("en"))
        assert said == "5 April 2026"
    answers = {
        "person": {}, "died": "2026-04-04", "informant": "child", "home": {"address": {}},
        "registration": {"reference": "CDF 1", "day": "2026-04-05", "district": ""},
    }  # fmt: skip
    assert BEREAVEMENT.change(answers, {})["registration"] == whole

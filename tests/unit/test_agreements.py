"""What may be proposed as an agreement, how versions differ, and how one reads as a document."""

from datetime import date, timedelta
from typing import Any

import pytest

from broker.language import words_in
from broker.language.catalogue import LANGUAGES
from broker.register import checking
from broker.register.checking import Fault, agreement_faults, leads_somewhere
from broker.register.differences import Difference, differences
from broker.register.document import as_markdown, written
from broker.register.proposing import turns_delivery
from broker.register.reading import Faulty, read
from broker.sandbox.definitions import sample_agreements
from broker.store.register import Configuration
from contracts.agreement import Agreement, Share
from contracts.changes import CHANGE_TYPES
from contracts.examples import AGREEMENT, ORGANISATION
from contracts.person import IdentityLevel
from contracts.registration import RegisteredClient

TODAY = date(2026, 6, 1)
NEW = AGREEMENT.model_copy(update={"valid_from": TODAY, "review_by": date(2027, 6, 1)})
ARRIVING = NEW.shares[1]
AT_HOME = Share(where="home", role="resident", paths=("/change/deceased",), because=ARRIVING.because)


def faults(proposed: Agreement, *known: Agreement) -> list[tuple[str, str]]:
    return [(one.pointer, one.code) for one in agreement_faults(proposed, known, {"cardiff"}, TODAY)]


def changed(agreement: Agreement = NEW, **update: Any) -> Agreement:
    return agreement.model_copy(update=update)


def test_what_is_whole_has_no_fault() -> None:
    assert faults(NEW) == []
    assert faults(changed(version=2), NEW) == []


@pytest.mark.parametrize(
    ("update", "fault"),
    [
        ({"organisation": "stranger"}, ("/organisation", "organisation_unknown")),
        ({"change_type": "haircut"}, ("/changeType", "type_unknown")),
        ({"area": (6815, 1234)}, ("/area/1", "area_unknown")),
        ({"area": ()}, ("/area", "area_missing")),
        ({"valid_until": TODAY - timedelta(days=1), "valid_from": date(2026, 1, 1)}, ("/validUntil", "over")),
        ({"valid_until": TODAY - timedelta(days=1)}, ("/validUntil", "over_before")),
        ({"review_by": TODAY - timedelta(days=1)}, ("/reviewBy", "review_past")),
        ({"change_type": "bereavement", "latest_only": True, "shares": (AT_HOME,)}, ("/latestOnly", "latest_partial")),
        ({"signatories": ()}, ("/signatories", "unsigned")),
        ({"version": 2}, ("/version", "not_next")),
    ],
)
def test_each_fault_is_named_by_its_field(update: dict[str, Any], fault: tuple[str, str]) -> None:
    assert faults(changed(**update)) == [fault]


def test_an_area_nothing_looks_at_is_a_fault() -> None:
    nationwide = Share(where="anywhere", role="national", paths=("/change/newAddress",), because=ARRIVING.because)
    assert faults(changed(shares=(nationwide,))) == [("/area", "area_unused")]
    assert faults(changed(shares=(nationwide,), area=())) == []


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (("/person/shoeSize", "/change"), [("/shares/0/paths/0", "path_outside")]),
        (("/change/household/name",), [("/shares/0/paths/0", "path_outside")]),
        (("/change/newAddress/uprn", "/person/name/nameParts"), []),
        (("/change/newAddress/uprn/more",), [("/shares/0/paths/0", "path_outside")]),
        (("/person/name",), [("/shares/0/paths", "path_nothing")]),
    ],
)
def test_a_path_must_lead_into_the_person_or_the_change(paths: tuple[str, ...], found: list[tuple[str, str]]) -> None:
    share = ARRIVING.model_copy(update={"paths": paths})
    assert faults(changed(shares=(share,))) == found


def test_a_share_looks_at_a_place_its_type_of_change_has() -> None:
    share = ARRIVING.model_copy(update={"where": "home"})
    assert faults(changed(shares=(share,))) == [("/shares/0/where", "where_outside")]


def test_every_path_of_the_samples_leads_somewhere() -> None:
    for agreement in sample_agreements():
        kind = CHANGE_TYPES[agreement.change_type]
        wrong = [path for share in agreement.shares for path in share.paths if not leads_somewhere(kind, path)]
        assert wrong == [], agreement.id


def test_the_next_version_is_of_the_same_organisation_and_type() -> None:
    before = changed(organisation="swansea", change_type="name")
    assert faults(changed(version=2), before) == [
        ("/organisation", "organisation_other"),
        ("/changeType", "type_other"),
    ]


@pytest.mark.parametrize(
    ("other", "overlaps"),
    [
        ({}, True),
        ({"area": (6855,)}, False),
        ({"area": (6855, 6815)}, True),
        ({"revoked": True}, False),
        ({"organisation": "swansea"}, False),
        ({"valid_from": date(2026, 1, 1), "valid_until": TODAY - timedelta(days=1)}, False),
        ({"valid_until": TODAY}, True),
        ({"valid_from": TODAY + timedelta(days=400)}, True),
    ],
)
def test_two_agreements_must_not_hold_for_one_change(other: dict[str, Any], overlaps: bool) -> None:
    found = agreement_faults(NEW, [changed(id="another", **other)], {"cardiff"}, TODAY)
    assert found == ([Fault("", "overlaps", "another")] if overlaps else [])


def test_an_older_version_of_another_agreement_overlaps_with_nothing() -> None:
    older, newer = changed(id="another"), changed(id="another", version=2, area=(6855,))
    assert faults(NEW, newer, older) == []


def test_a_document_is_read_strictly_and_nothing_of_it_is_repeated() -> None:
    raw = NEW.model_dump_json()
    assert read("agreement", raw.encode()) == NEW
    for wrong, found in (
        (b"{", ("", "not_json")),
        (b'"' + b"x" * 30_000 + b'"', ("", "too_large")),
        (raw.replace('"purpose"', '"porpoise"').encode(), ("/porpoise", "not_known")),
        (raw.replace('"purpose"', '"porpoise"').encode(), ("/purpose", "missing")),
        (raw.replace('"retentionDays":365', '"retentionDays":"hunter2"').encode(), ("/retentionDays", "not_valid")),
    ):
        with pytest.raises(Faulty) as faulty:
            read("agreement", wrong)
        assert found in [(one.pointer, one.code) for one in faulty.value.faults]
        assert "hunter2" not in str(faulty.value)


def test_where_a_version_stands() -> None:
    assert [
        checking.state(changed(**update), TODAY)
        for update in (
            {},
            {"valid_from": TODAY + timedelta(days=1)},
            {"valid_until": TODAY},
            {"valid_from": date(2026, 1, 1), "valid_until": TODAY - timedelta(days=1)},
            {"review_by": TODAY - timedelta(days=1)},
            {"revoked": True},
        )
    ] == ["in_force", "to_come", "in_force", "over", "overdue", "revoked"]


def test_versions_differ_by_place_whatever_the_order_of_a_list() -> None:
    before = {"a": 1, "b": ["x", "y"], "c": {"d": "e"}, "f": [{"g": 1}], "same": True}
    after = {"a": 2, "b": ["y", "x"], "f": [{"g": 1}, {"g": 2}], "same": True}
    assert differences(before, after) == [
        Difference("/a", "1", "2"),
        Difference("/c/d", "e", None),
        Difference("/f/1/g", None, "2"),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": ["b, c"]}, {"a": ["b", "c"]}),
        ({"a": 1}, {"a": "1"}),
        ({"a": True}, {"a": "true"}),
        ({"a": {"b": 1}}, {"a/b": 1}),
        ({"a/b": 1, "a": {"b": 2}}, {"a/b": 3, "a": {"b": 2}}),
    ],
)
def test_nobody_approves_a_difference_that_is_not_shown(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert differences(before, after)
    assert differences(after, before)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_agreement_reads_as_a_document(language: Any) -> None:
    words = words_in(language)
    document = as_markdown(written(NEW, ORGANISATION, words))
    for said in (
        words.of(NEW.title), words.of(NEW.purpose), NEW.lawful_basis, NEW.legal_gateway, words.of(ORGANISATION.name),
        words("agreement-example"), "Heulwen Enghraifft", "365", words.of(ARRIVING.because),
    ):  # fmt: skip
        assert said in document
    bare = as_markdown(
        written(changed(example=False, legal_gateway="An Act", signatories=(), rights=None), None, words)
    )
    assert words("agreement-example") not in bare
    assert words("agreement-not-stated") in bare


def test_only_what_turns_delivery_pauses_it() -> None:
    known = Configuration(1, {ORGANISATION.id: ORGANISATION}, ())
    renamed = ORGANISATION.model_copy(update={"name": NEW.title})
    moved = ORGANISATION.model_copy(update={"adapter_settings": {"endpoint": "https://elsewhere.example/"}})
    key = RegisteredClient(client_id="x", organisation=ORGANISATION.id, jwks={}, scopes=("receipts:write",))
    assert [turns_delivery(item, known) for item in (renamed, moved, key, NEW)] == [False, True, True, False]
    assert not turns_delivery(moved, Configuration(1, {}, ())), "nothing is sent yet to who is new"


def _sharing(*paths: str, **update: Any) -> Agreement:
    share = NEW.shares[0].model_copy(update={"paths": paths})
    return NEW.model_copy(update={"shares": (share,), **update})


@pytest.mark.parametrize(
    ("before", "after", "less"),
    [
        (_sharing("/person", "/change"), _sharing("/person", "/change"), False),
        (_sharing("/person/name", "/change"), _sharing("/person", "/change"), False),
        (_sharing("/person", "/change"), _sharing("/person/name", "/change"), True),
        (_sharing("/person/nameless"), _sharing("/person/name"), True),
        (_sharing("/change"), _sharing("/change", area=()), True),
        (_sharing("/change"), _sharing("/change", area=(*NEW.area, 6855)), False),
        (_sharing("/change"), _sharing("/change", valid_until=date(2999, 1, 1)), True),
        (_sharing("/change", valid_until=date(2998, 1, 1)), _sharing("/change", valid_until=date(2999, 1, 1)), False),
        (_sharing("/change", identity_level=IdentityLevel.P1), _sharing("/change"), True),
        (NEW, NEW.model_copy(update={"shares": NEW.shares[:1]}), True),
    ],
)
def test_a_version_permits_less_where_something_could_no_longer_be_sent(
    before: Agreement, after: Agreement, less: bool
) -> None:
    assert checking.permits_less(after, before) is less


def test_only_what_stands_and_permits_more_than_the_one_in_force_is_broader() -> None:
    first, second, third = (
        _sharing(*paths, version=number)
        for number, paths in enumerate((("/person", "/change"), ("/change",), ("/change",)), 1)
    )
    today = date(2026, 6, 1)
    assert checking.broader([first, second, third], today) == [first]
    assert checking.broader([first.model_copy(update={"revoked": True}), second, third], today) == []
    to_come = second.model_copy(update={"valid_from": date(2026, 7, 1)})
    assert checking.broader([first, to_come], today) == [], "until then the first is what holds"
    assert checking.broader([], today) == []

"""FHIR R4 on the real way out: the suite against a scripted server, every answer, every change to a record."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.conformance import (
    DEADLINE,
    FAILS_AS,
    SHORT_DEADLINE,
    WELSH,
    AdapterConformance,
    Mishap,
    Says,
    Standing,
    attempt,
    sample_delivery,
    sample_withdrawal,
)
from adapters.conformance_http import HttpPeer, HttpRequest, response
from adapters.conformance_oauth import AuthorizedConformance, TokenServer
from adapters.conformance_tls import tls_of
from adapters.fhir import Fhir
from adapters.fhir_patient import changes, is_person, needs_a_person, undone
from adapters.registry import adapter_for
from adapters.told import Told
from contracts.adapters import Adapter, HttpAnswer
from contracts.delivery import Delivery, Failure, Misconfigured, Rejected, Unavailable, Unknown
from contracts.events import canonical
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason
from tests.support.ways_out import context
from tests.support.welsh import NHS, people

GOLDEN = Path(__file__).parent / "golden"
FHIR = ("Content-Type", "application/fhir+json; charset=utf-8")

RECORD: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "7d0f",
    "meta": {"versionId": "3"},
    "identifier": [
        {"system": "https://fhir.example/local", "value": "Q7"},
        {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9434765919"},
    ],
    "name": [
        {"use": "old", "family": "Llwyd", "given": ["Siân"]},
        {"use": "usual", "family": "GWYR MON", "given": ["Sian", "Ll."]},
    ],
    "birthDate": "1987-05-14",
    "address": [
        {"use": "work", "line": ["Y Swyddfa"], "postalCode": "CF10 9ZZ"},
        {
            "use": "home",
            "id": "a1",
            "line": ["14, Heol y Dderwen Ddychmygol", "TREGANNA"],
            "city": "Caerdydd",
            "postalCode": "CF110ZZ",
            "period": {"start": "2019-04-01"},
            "extension": [{"url": "https://fhir.example/kept", "valueBoolean": True}],
        },
    ],
}
"""What a board has of her, in its own spelling."""


def bundle(*resources: dict[str, Any]) -> bytes:
    found = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources]}
    return response(200, json.dumps(found).encode(), FHIR)


def outcome(status: int, code: str, *, detail: str = "", severity: str = "error") -> bytes:
    issue = {"severity": severity, "code": code, "diagnostics": "Siân Gŵyr-Môn, SA1 0ZZ"}
    if detail:
        issue |= {"details": {"coding": [{"system": "https://fhir.nhs.uk/Spine", "code": detail}]}}  # type: ignore[dict-item]  # JSON
    return response(status, json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode(), FHIR)


SAYS = {
    Outcome.APPLIED: response(200),
    Outcome.ACCEPTED: response(202),
    Outcome.NOT_MATCHED: outcome(410, "deleted"),
    Outcome.REJECTED_INVALID: outcome(422, "invalid"),
    Outcome.REJECTED_POLICY: outcome(422, "business-rule"),
    Outcome.FAILED: outcome(503, "transient"),
}
"""How a patch is answered."""


@asynccontextmanager
async def board(
    *,
    deadline: timedelta = DEADLINE,
    tls: ssl.SSLContext | None = None,
    found: Callable[[HttpRequest], bytes] = lambda _: bundle(RECORD),
    secrets: dict[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[Adapter, HttpPeer]]:
    """Give an adapter and a server that answers searches with `found`, and patches as it is told."""

    def aside(request: HttpRequest) -> bytes | None:
        return found(request) if request.path == "/R4/Patient/_search" else None

    async with HttpPeer(tls=tls, say=lambda says: SAYS[says.outcome], key="x-request-id", aside=aside) as peer:
        peer.does(Says(Outcome.APPLIED))
        adapter = adapter_for("fhir", context({"base": f"{peer.base}/R4", **settings}, secrets, deadline=deadline))
        try:
            yield adapter, peer
        finally:
            await adapter.close()


def whoever_is_asked_for(request: HttpRequest) -> bytes:
    """Answer a search for her, or for the person whose death the example tells."""
    dead = {"birthDate": "1941-02-28", "name": [{"use": "official", "family": "Gŵyr", "given": ["Tŷfai"]}]}
    hers = {
        "name": [*RECORD["name"], {"use": "nickname", "family": "Gŵyr-Llŷn", "given": ["Siân"]}]
    }  # as examples have it
    return bundle(RECORD | (dead if b"1941-02-28" in request.body else hers))


class TestFhir(AdapterConformance):
    outcomes = frozenset(SAYS)
    # 404 to a patch: the record is gone, not the server; of a search it is said below.
    fails_as = FAILS_AS | {Mishap.MISSING: ((Unavailable,), Reason.CONFLICTS)}

    @asynccontextmanager
    async def system(
        self, *, deadline: timedelta = DEADLINE, standing: Standing = Standing.PRESENT
    ) -> AsyncIterator[tuple[Adapter, HttpPeer]]:
        async with board(deadline=deadline, tls=tls_of(standing), found=whoever_is_asked_for) as (adapter, peer):
            if standing is Standing.ABSENT:
                peer.leave()
            yield adapter, peer

    def reference(self, _delivery: Delivery) -> None:
        return None

    def carries(self, content: bytes, data: bytes) -> bool:
        assert data == WELSH
        added = json.loads(content)[-1]["value"]
        return (added["line"], added["city"]) == (["Tŷ Gŵyr", "2 Ffordd y Môr"], "Abertawe")


class TestFhirAuthorized(AuthorizedConformance):
    @asynccontextmanager
    async def authorized(
        self, *, deadline: timedelta = DEADLINE, expires_in: int | None = 300
    ) -> AsyncIterator[tuple[Adapter, HttpPeer, TokenServer]]:
        async with TokenServer(expires_in=expires_in) as server:
            by_secret = {"tokenEndpoint": server.url, "clientId": "unwaith", "method": "client_secret_basic"}
            secrets = {"client-secret": "s", "bearer-token": "never-sent"}
            async with board(deadline=deadline, secrets=secrets, authorization=by_secret) as (adapter, peer):
                yield adapter, peer, server


async def test_what_is_asked_and_what_is_sent() -> None:
    searches: list[HttpRequest] = []

    def found(request: HttpRequest) -> bytes:
        searches.append(request)
        return bundle(RECORD)

    async with board(found=found, secrets={"bearer-token": "aGVsbG8.x_-~+/=="}) as (adapter, peer):
        delivery = sample_delivery()
        receipt = await adapter.deliver(delivery)
    assert receipt.outcome is Outcome.APPLIED
    search, patch = searches[0], peer.requests[0]
    assert (search.method, search.path) == ("POST", "/R4/Patient/_search")
    assert parse_qs(search.body.decode(), strict_parsing=True) == {
        "identifier": ["https://fhir.nhs.uk/Id/nhs-number|9434765919"],
        "birthdate": ["1987-05-14"],
        "_elements": ["identifier,name,birthDate,address,deceased,active,link"],
        "_count": ["5"],
    }
    assert (patch.method, patch.path) == ("PATCH", "/R4/Patient/7d0f")
    assert patch.headers["if-match"] == 'W/"3"'
    assert patch.headers["content-type"] == "application/json-patch+json"
    for request in (search, patch):
        assert request.headers["accept"] == "application/fhir+json"
        assert request.headers["x-request-id"] == str(delivery.id)
        assert request.headers["authorization"] == "Bearer aGVsbG8.x_-~+/=="


def data(*, roles: tuple[str, ...] = ("arriving",), **change: Any) -> bytes:
    whole = json.loads(WELSH)
    whole["change"] = {name: value for name, value in (whole["change"] | change).items() if value is not None}
    return canonical(whole | {"roles": list(roles)})


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("moved", WELSH),
        ("for-a-while", data(moveKind="temporary")),
        ("leaving", data(roles=("leaving",), newAddress=None)),
    ],
)
def test_golden_patches(name: str, told: bytes) -> None:
    made = changes(RECORD, Told.model_validate_json(told))
    golden = (GOLDEN / f"fhir-address-{name}.json").read_text(encoding="utf-8")
    assert json.dumps(made, ensure_ascii=False, indent=1) + "\n" == golden


def after(record: dict[str, Any], operations: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Return a record as a server leaves it after a patch of addresses."""
    assert operations is not None
    addresses = list(record.get("address", ()))
    for one in operations:
        place = one["path"].removeprefix("/address").removeprefix("/")
        if one["op"] == "remove":
            del addresses[int(place)]
        elif one["op"] == "replace":
            addresses[int(place)] = one["value"]
        elif place == "-":
            addresses.append(one["value"])
        else:
            addresses = one["value"]
    return record | {"address": addresses}


TOLD = {
    "moved": WELSH,
    "for-a-while": data(moveKind="temporary"),
    "leaving": data(roles=("leaving",), newAddress=None),
    "arriving-alone": data(previousAddress=None),
}


@pytest.mark.parametrize("name", TOLD)
def test_golden_patches_that_take_a_change_back_leave_the_record_as_it_was(name: str) -> None:
    told = Told.model_validate_json(TOLD[name])
    left = after(RECORD, changes(RECORD, told))
    back = undone(left, told)
    golden = (GOLDEN / f"fhir-change-withdrawn-{name}.json").read_text(encoding="utf-8")
    assert json.dumps(back, ensure_ascii=False, indent=1) + "\n" == golden
    stands = after(left, back)
    assert stands == RECORD, "to the letter"
    assert undone(stands, told) == [], "a repeat finds nothing left to do"


@pytest.mark.parametrize(
    "since",
    [
        lambda addresses: [*addresses, {"use": "home", "line": ["3 Y Stryd"], "postalCode": "LL1 1ZZ"}],
        lambda addresses: [*addresses, addresses[-1]],
        lambda addresses: [*addresses[:-1], addresses[-1] | {"use": "old"}],
        lambda addresses: [*addresses[:-1], addresses[-1] | {"period": {"start": "2020-01-01"}}],
        lambda addresses: [*addresses[:-1], addresses[-1] | {"period": None}],
        lambda addresses: [*addresses[:-1], addresses[-1] | {"postalCode": "SA1 9ZZ", "extension": []}],
        lambda addresses: [addresses[1], *addresses],
        lambda addresses: [*addresses[:-1], "2 Ffordd y Môr"],
    ],
    ids=["moved on", "twice", "ended", "was there before", "without a day", "corrected", "two old homes", "malformed"],
)
def test_a_record_that_does_not_stand_as_we_left_it_is_for_a_person(
    since: Callable[[list[Any]], list[Any]],
) -> None:
    told = Told.model_validate_json(WELSH)
    left = after(RECORD, changes(RECORD, told))
    assert undone(left | {"address": since(left["address"])}, told) is None


def test_where_nothing_was_ever_changed_nothing_is_taken_back() -> None:
    for name, told in TOLD.items():
        assert undone(RECORD, Told.model_validate_json(told)) == [], name
    assert undone(changed(address=None), Told.model_validate_json(WELSH)) == []


@pytest.mark.parametrize("period", [{"start": "2026-04"}, {"start": "2020"}, {}])
def test_whatever_home_was_ended_is_the_home_again(period: dict[str, str]) -> None:
    told = Told.model_validate_json(WELSH)
    home = {"use": "home", "line": ["1 Y Lôn"], "postalCode": "CF1 1ZZ"} | ({"period": period} if period else {})
    record = changed(address=[home])
    left = after(record, changes(record, told))
    assert left["address"][0]["use"] == "old"
    assert after(left, undone(left, told)) == record


async def test_a_change_is_taken_back_under_the_version_that_was_read() -> None:
    left = after(RECORD, changes(RECORD, Told.model_validate_json(WELSH)))
    async with board(found=lambda _: bundle(left)) as (adapter, peer):
        assert (await adapter.deliver(sample_withdrawal(WELSH, numbered=7))).outcome is Outcome.APPLIED
    assert peer.requests[0].headers["if-match"] == 'W/"3"'
    assert [one["op"] for one in json.loads(peer.requests[0].body)] == ["replace", "remove"]
    for record, what in ((RECORD, Outcome.ALREADY_CURRENT), (left | {"address": [1]}, Outcome.MUST_REVIEW)):
        async with board(found=lambda _, record=record: bundle(record)) as (adapter, peer):  # type: ignore[misc]  # bound at once
            assert (await adapter.deliver(sample_withdrawal(WELSH))).outcome is what
            assert not peer.requests
    async with board() as (adapter, peer):
        ended = await attempt(adapter, sample_withdrawal(WELSH, change=None))
        assert isinstance(ended, Rejected)
        assert peer.accepted == 0


def changed(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in (RECORD | members).items() if value is not None}


NEW = {
    "use": "home",
    "line": ["Ty Gwyr,", "2 Ffordd-y-Mor"],
    "city": "ABERTAWE",
    "postalCode": "sa10zz",
}
KEY = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-AddressKey"


def uprn(value: str, *, code: str = "UPRN", kind: str = "valueCodeableConcept") -> dict[str, Any]:
    coding = {"system": "https://fhir.hl7.org.uk/CodeSystem/UKCore-AddressKeyType", "code": code}
    said = {"coding": [coding]} if kind == "valueCodeableConcept" else coding
    return {"url": KEY, "extension": [{"url": "type", kind: said}, {"url": "value", "valueString": value}]}


@pytest.mark.parametrize(
    ("addresses", "operations"),
    [
        (None, ["add /address"]),
        ([], ["add /address"]),
        ([NEW], []),
        ([NEW | {"extension": [uprn("0100100999002")]}], []),
        ([NEW | {"extension": [uprn("100100999002", kind="valueCoding")], "line": ["another spelling"]}], []),
        ([NEW | {"extension": [uprn("100100999009")]}], ["replace /address/0", "add /address/-"]),
        ([NEW | {"extension": [uprn("100100999009", code="PAF")]}], []),
        ([NEW | {"use": None}], []),
        ([NEW | {"use": "work"}], ["add /address/-"]),
        ([NEW | {"use": "old"}], ["add /address/-"]),
        ([NEW | {"period": {"end": "2020-01-01"}}], ["add /address/-"]),
        ([{"use": "home", "postalCode": "CF11 0ZZ"}, NEW], ["replace /address/0"]),
        ([{"use": "home"}, {"use": "home"}], ["replace /address/0", "replace /address/1", "add /address/-"]),
    ],
)
def test_which_addresses_change(addresses: list[dict[str, Any]] | None, operations: list[str]) -> None:
    made = changes(changed(address=addresses), Told.model_validate_json(WELSH))
    assert made is not None
    assert [f"{one['op']} {one['path']}" for one in made] == operations


def test_an_address_ends_when_the_other_begins_and_never_before_it_began() -> None:
    told = Told.model_validate_json(WELSH)
    for start, end in ((None, "2026-03-01"), ("2026-03-01", "2026-03-01"), ("2026-03-02T10:00:00Z", None)):
        period = {"start": start} if start else {}
        made = changes(changed(address=[{"use": "home", "period": period}]), told)
        assert made is not None
        assert made[0]["value"]["use"] == "old"
        assert made[0]["value"].get("period", {}).get("end") == end
        assert made[1]["value"]["period"] == {"start": "2026-03-01"}


def test_leaving_a_home_the_board_does_not_know_is_for_a_person() -> None:
    told = Told.model_validate_json(data(newAddress=None))
    for addresses in ([], [NEW], [RECORD["address"][1] | {"use": "old"}]):
        assert changes(changed(address=addresses), told) is None


@pytest.mark.parametrize(
    ("members", "agrees"),
    [
        ({}, True),
        ({"name": [{"family": "Gŵyr-Môn", "given": ["Siân"]}]}, True),
        ({"name": [{"family": "gwyr-mon", "given": ["SIÂN", "x"]}]}, True),
        ({"name": [{"use": "old", "family": "Gŵyr-Môn", "given": ["Siân"]}]}, False),
        ({"name": [{"family": "Gŵyr", "given": ["Siân"]}]}, False),
        ({"name": [{"family": "Gŵyr-Môn", "given": ["Llŷr"]}]}, False),
        ({"name": [{"family": "Gŵyr-Môn"}]}, False),
        ({"name": [{"text": "Siân Gŵyr-Môn"}]}, False),
        ({"name": []}, False),
        ({"name": None}, False),
        ({"name": "Siân Gŵyr-Môn"}, False),
        ({"name": [{"family": 7, "given": [None]}]}, False),
        ({"birthDate": "1987-05-15"}, False),
        ({"birthDate": "1987"}, False),
        ({"birthDate": None}, False),
        ({"identifier": [{"system": "https://fhir.example/local", "value": "9434765919"}]}, False),
        ({"identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9000000009"}]}, False),
        ({"identifier": None}, False),
    ],
)
def test_number_and_name_and_birth_date_must_all_agree(members: dict[str, Any], *, agrees: bool) -> None:
    assert is_person(changed(**members), Told.model_validate_json(WELSH)) is agrees


def test_somebody_with_a_single_name() -> None:
    told = Told.model_validate_json(
        WELSH.replace(b'{"type":"GivenName","value":"Si\xc3\xa2n"},', b"").replace(
            '{"type":"GivenName","value":"Llŷr"},'.encode(), b""
        )
    )
    assert (told.family, told.given) == ("Gŵyr-Môn", ())
    assert is_person(changed(name=[{"family": "Gŵyr Môn"}]), told)
    assert not is_person(changed(name=[{"family": "Gŵyr Môn", "given": ["Siân"]}]), told)


@pytest.mark.parametrize(
    "members",
    [
        {"deceasedBoolean": True},
        {"deceasedDateTime": "2025-12"},
        {"active": False},
        {"link": [{"other": {"reference": "Patient/2"}, "type": "replaced-by"}]},
    ],
)
async def test_a_record_of_somebody_dead_inactive_or_merged_is_left_to_a_person(members: dict[str, Any]) -> None:
    assert needs_a_person(changed(**members))
    async with board(found=lambda _: bundle(changed(**members))) as (adapter, peer):
        assert (await adapter.deliver(sample_delivery())).outcome is Outcome.MUST_REVIEW
        assert not peer.requests


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (bundle(), Outcome.NOT_MATCHED),
        (bundle(changed(birthDate="1950-01-01")), Outcome.NOT_MATCHED),
        (bundle(changed(address=[NEW])), Outcome.ALREADY_CURRENT),
        (bundle(RECORD, RECORD), Outcome.SEVERAL_MATCHES),
        (outcome(200, "multiple-matches"), Outcome.SEVERAL_MATCHES),
        (outcome(200, "invalid", detail="TOO_MANY_MATCHES"), Outcome.SEVERAL_MATCHES),
        (outcome(412, "multiple-matches"), Outcome.SEVERAL_MATCHES),
        (
            bundle({"resourceType": "OperationOutcome", "issue": [{"code": "multiple-matches"}]}),
            Outcome.SEVERAL_MATCHES,
        ),
        (bundle({"resourceType": "OperationOutcome", "issue": [{"code": "informational"}]}), Outcome.NOT_MATCHED),
    ],
)
async def test_what_a_search_means(found: bytes, what: Outcome) -> None:
    async with board(found=lambda _: found) as (adapter, peer):
        assert (await adapter.deliver(sample_delivery())).outcome is what
        assert not peer.requests, "somebody was patched"


@pytest.mark.parametrize(
    ("found", "kind", "reason"),
    [
        (outcome(200, "transient"), Unavailable, Reason.ANSWER_UNREADABLE),
        (response(200, b"<html>"), Unavailable, Reason.ANSWER_UNREADABLE),
        (response(200, b"[" * 60_000), Unavailable, Reason.ANSWER_UNREADABLE),
        (response(200, b'{"resourceType":"Bundle","entry":' + b" " * 70_000), Unavailable, Reason.ANSWER_UNREADABLE),
        (response(200, b""), Unavailable, Reason.ANSWER_UNREADABLE),
        (response(200, b"\xff"), Unavailable, Reason.ANSWER_UNREADABLE),
        (outcome(400, "invalid"), Rejected, Reason.INVALID_FOR_RECEIVER),
        (outcome(401, "login"), Misconfigured, Reason.UNAUTHORISED),
        (outcome(403, "forbidden"), Misconfigured, Reason.UNAUTHORISED),
        (outcome(404, "not-found"), Misconfigured, Reason.ENDPOINT_MISSING),
        (response(302, b"", ("Location", "/elsewhere")), Misconfigured, Reason.REDIRECTED),
        (outcome(406, "not-supported"), Misconfigured, Reason.ADAPTER_FAULT),
        (outcome(429, "throttled"), Unavailable, Reason.TOO_MANY_REQUESTS),
        (outcome(500, "exception"), Unavailable, Reason.SERVER_ERROR),
        (b"SSH-2.0-no\r\n", Unavailable, None),
        (bundle(changed(meta={})), Unavailable, Reason.ANSWER_UNREADABLE),
        (bundle(changed(meta=None)), Unavailable, Reason.ANSWER_UNREADABLE),
        (bundle(changed(id=None)), Unavailable, Reason.ANSWER_UNREADABLE),
    ],
)
async def test_a_search_that_fails_changed_nothing(found: bytes, kind: type[Failure], reason: Reason | None) -> None:
    async with board(found=lambda _: found) as (adapter, peer):
        ended = await attempt(adapter, sample_delivery())
        assert type(ended) is kind, repr(ended)
        assert isinstance(ended, Failure)
        assert reason in {None, ended.reason}
        assert not peer.requests


async def test_a_search_that_ends_at_the_deadline_changed_nothing() -> None:
    async with HttpPeer() as peer:
        peer.does(Mishap.NEVER_ANSWERS)
        adapter = Fhir(context({"base": f"{peer.base}/R4"}, deadline=SHORT_DEADLINE))
        ended = await attempt(adapter, sample_delivery())
        await adapter.close()
    assert isinstance(ended, Unavailable)
    assert ended.reason is Reason.DEADLINE_PASSED


@pytest.mark.parametrize(
    ("answer", "kind", "what"),
    [
        (response(200), Receipt, Outcome.APPLIED),
        (response(204), Receipt, Outcome.APPLIED),
        (response(200, json.dumps(RECORD).encode(), FHIR), Receipt, Outcome.APPLIED),
        (outcome(200, "informational", severity="information"), Receipt, Outcome.APPLIED),
        (outcome(200, "processing"), Receipt, Outcome.ACCEPTED),
        (response(200, b"{}"), Receipt, Outcome.ACCEPTED),
        (response(202), Receipt, Outcome.ACCEPTED),
        (outcome(410, "deleted"), Receipt, Outcome.NOT_MATCHED),
        (outcome(400, "structure"), Rejected, Reason.INVALID_FOR_RECEIVER),
        (outcome(422, "business-rule"), Rejected, Reason.REFUSED_BY_POLICY),
        (outcome(403, "forbidden"), Misconfigured, Reason.UNAUTHORISED),
        (outcome(404, "not-found"), Unavailable, Reason.CONFLICTS),
        (outcome(405, "not-supported"), Misconfigured, Reason.ENDPOINT_MISSING),
        (outcome(501, "not-supported"), Misconfigured, Reason.ENDPOINT_MISSING),
        (outcome(415, "not-supported"), Misconfigured, Reason.ADAPTER_FAULT),
        (outcome(428, "conflict"), Misconfigured, Reason.ADAPTER_FAULT),
        (outcome(409, "conflict"), Unavailable, Reason.CONFLICTS),
        (outcome(412, "conflict"), Unavailable, Reason.CONFLICTS),
        (outcome(504, "timeout"), Unavailable, Reason.SERVER_ERROR),
    ],
)
async def test_what_a_patch_is_answered(answer: bytes, kind: type[Receipt | Failure], what: Outcome | Reason) -> None:
    async with board() as (adapter, peer):
        peer.does(answer)
        ended = await attempt(adapter, sample_delivery())
    assert type(ended) is kind, repr(ended)
    assert (ended.outcome if isinstance(ended, Receipt) else ended.reason) is what
    if what is Reason.CONFLICTS:
        assert len(peer.requests) == 3


async def test_a_record_that_changed_meanwhile_is_read_again_and_patched_under_its_new_version() -> None:
    versions = iter(("3", "4", "5"))
    searched = 0

    def found(_: HttpRequest) -> bytes:
        nonlocal searched
        searched += 1
        return bundle(changed(meta={"versionId": next(versions)}))

    async with board(found=found) as (adapter, peer):
        peer.does(outcome(412, "conflict"), outcome(409, "conflict"), response(200))
        assert (await adapter.deliver(sample_delivery())).outcome is Outcome.APPLIED
    assert [request.headers["if-match"] for request in peer.requests] == ['W/"3"', 'W/"4"', 'W/"5"']
    assert searched == 3


async def test_whoever_changed_it_meanwhile_may_have_done_what_was_wanted() -> None:
    records = iter((RECORD, changed(meta={"versionId": "4"}, address=[NEW])))
    async with board(found=lambda _: bundle(next(records))) as (adapter, peer):
        peer.does(outcome(412, "conflict"))
        assert (await adapter.deliver(sample_delivery())).outcome is Outcome.ALREADY_CURRENT
        assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (WELSH.replace(b"943 476 5919", b"943 476 5918"), Reason.FIELDS_MISSING),
        (WELSH.replace(b"nhs-number", b"nhs-nymbar"), Reason.FIELDS_MISSING),
        (data(effectiveDate=None), Reason.FIELDS_MISSING),
        (data(newAddress=None, previousAddress=None), Reason.FIELDS_MISSING),
        (WELSH.replace(b"birthDate", b"dyddGeni"), Reason.FIELDS_MISSING),
        (b"[", Reason.UNDECODABLE),
    ],
)
async def test_too_little_is_rejected_before_anything_is_sent(told: bytes, reason: Reason) -> None:
    async with board() as (adapter, peer):
        ended = await attempt(adapter, sample_delivery(data=told))
        assert isinstance(ended, Rejected)
        assert ended.reason is reason
        assert peer.accepted == 0


@pytest.mark.parametrize("wrong", ["..", "../../$purge", "a?b", "a#b", "a b", "\r\nX: y", "ŵ", "x" * 65, "", 7])
async def test_an_id_or_a_version_from_a_server_cannot_lead_elsewhere(wrong: Any) -> None:
    for record in (changed(id=wrong), changed(meta={"versionId": wrong})):
        async with board(found=lambda _, record=record: bundle(record)) as (adapter, peer):  # type: ignore[misc]  # bound at once
            assert isinstance(await attempt(adapter, sample_delivery()), Unavailable)
            assert not peer.requests


@pytest.mark.parametrize(
    ("settings", "secrets", "says_what"),
    [
        ({}, {}, "adapter setting base"),
        ({"base": "https://h/R4/"}, {}, "adapter setting base"),
        ({"base": "https://user:hunter2@h/R4"}, {}, "adapter setting base"),
        ({"base": "https://h/R4?key=hunter2"}, {}, "adapter setting base"),
        ({"base": "ftp://h"}, {}, "adapter setting base"),
        ({"base": "https://h", "x": 1}, {}, "adapter setting x"),
        ({"base": "https://h"}, {"bearer-token": "hunter2\r\nX: y"}, "secret bearer-token"),
        ({"base": "https://h"}, {"bearer-token": "ŵ"}, "secret bearer-token"),
        ({"base": "https://h"}, {"bearer-token": ""}, "secret bearer-token"),
    ],
)
async def test_wrong_settings_are_named_without_their_value(
    settings: dict[str, Any], secrets: dict[str, str], says_what: str
) -> None:
    wrong = context(settings, secrets)
    with pytest.raises(ValueError, match=says_what) as raised:
        Fhir(wrong)
    assert "hunter2" not in str(raised.value)
    await wrong.close()


async def test_a_repeat_after_a_lost_answer_finds_what_it_wrote() -> None:
    record = json.loads(json.dumps(RECORD))
    async with board(found=lambda _: bundle(record)) as (adapter, peer):
        peer.does(Mishap.HANGS_UP_AFTER)
        delivery = sample_delivery()
        assert isinstance(await attempt(adapter, delivery), Unknown)
        for operation in json.loads(peer.requests[0].body):  # it had arrived after all
            if operation["op"] == "replace":
                record["address"][int(operation["path"].rpartition("/")[2])] = operation["value"]
            else:
                record["address"].append(operation["value"])
        assert (await adapter.deliver(replace(delivery, attempt=2))).outcome is Outcome.ALREADY_CURRENT
        assert record["address"][1]["extension"] == RECORD["address"][1]["extension"]
        assert date.fromisoformat(record["address"][1]["period"]["end"]) == date(2026, 3, 1)


def test_ten_thousand_people_are_matched_and_their_homes_come_back_identical() -> None:
    for told in people(10_000):
        change = Told.model_validate_json(canonical(told))
        *given, family = (part["value"] for part in told["person"]["name"]["nameParts"])
        record = {
            "identifier": [{"system": NHS, "value": told["person"]["identifiers"][0]["value"]}],
            "name": [{"family": family, "given": given}],
            "birthDate": told["person"]["birthDate"],
            "address": [{"use": "home", "line": ["Hen Gartref"]}],
        }
        assert is_person(record, change)
        ended, added = json.loads(json.dumps(changes(record, change), ensure_ascii=False))
        assert ended["value"]["line"] == ["Hen Gartref"]
        home = told["change"]["newAddress"]
        assert added["value"]["line"] == [
            *([home["buildingName"]] if "buildingName" in home else []),
            f"{home['buildingNumber']} {home['streetName']}",
            *([home["dependentAddressLocality"]] if "dependentAddressLocality" in home else []),
        ]
        assert (added["value"]["city"], added["value"]["postalCode"]) == (home["addressLocality"], home["postalCode"])


_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Nobody is called, and reading the system's takes longer than all else."""

_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(["", "home", "UPRN", "\ud800", "7d0f"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["use", "line", "period", "end", "url", "extension", "coding"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


def _places(of: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return every place in some JSON."""
    within = of.items() if isinstance(of, dict) else enumerate(of) if isinstance(of, list) else ()
    return [at, *(place for name, value in within for place in _places(value, (*at, name)))]


def _with(of: Any, place: tuple[str | int, ...], value: Any) -> Any:
    if not place:
        return value
    copied = of.copy()
    copied[place[0]] = _with(of[place[0]], place[1:], value)
    return copied


_KEYED = RECORD | {
    "active": True,
    "link": [{"type": "seealso"}],
    "address": [*RECORD["address"], NEW | {"extension": [uprn("1")]}],
}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    place=st.sampled_from(_places({"entry": [{"resource": _KEYED}]})), value=_JSON, roles=st.sampled_from(["in", "out"])
)
def test_whatever_a_server_answers_is_understood_somehow(place: tuple[str | int, ...], value: Any, roles: str) -> None:
    whole = {"resourceType": "Bundle", "entry": [{"resource": _KEYED}]}
    body = json.dumps(_with(whole, place, value)).encode()
    told = WELSH if roles == "in" else data(roles=("leaving",), newAddress=None)

    class Scripted:
        async def post(self, url: str, *, headers: Mapping[str, str], content: bytes) -> HttpAnswer:
            del url, headers, content
            return HttpAnswer(200, {}, body)

        async def patch(self, url: str, *, headers: Mapping[str, str], content: bytes) -> HttpAnswer:
            del url, headers
            patched = json.loads(content)
            assert all(one["op"] in {"add", "replace"} for one in patched)
            return HttpAnswer(200, {}, body)

        async def options(self, url: str, *, headers: Mapping[str, str]) -> HttpAnswer:
            raise AssertionError

        async def close(self) -> None:
            return None

    adapter = Fhir(replace(context({"base": "https://board.example/R4"}, tls=_NO_AUTHORITIES), http=Scripted()))
    ended = asyncio.run(attempt(adapter, sample_delivery(data=told)))
    assert isinstance(ended, Receipt | Unavailable)

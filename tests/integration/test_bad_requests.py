"""Heads, queries, keys, tokens and forms no honest caller sends: 4xx, never repeated, never 500."""

import asyncio
import json
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx2
import pytest

from broker.api.app import create_inner, served
from broker.identity.policy import POLICY, ForCitizens, ForOrganisations
from broker.identity.token_endpoint import OAuthError
from tests.support.api import FORM, JSON, Api, a_move_on_the_wire
from tests.support.tokens import verified_claims

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "Gwenwyn"


def is_a_problem(answer: httpx2.Response, status: int, name: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert CANARY not in answer.text + str(answer.headers)
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    if name is not None:
        assert problem["type"] == f"urn:wales:unwaith:problem:{name}"
    return problem


def in_latin_1(headers: dict[str, str]) -> dict[bytes, bytes]:
    """Return headers as bytes: what is not ASCII goes as it would on a socket."""
    return {name.encode(): value.encode("latin-1") for name, value in headers.items()}


async def test_every_route_that_is_served_is_seen_by_the_policy(api: Api) -> None:
    served_here = {route for route, rule in POLICY.items() if rule.listener == "api"}
    assert set(served(create_inner(api.parts))) == served_here


# Routes and methods


@pytest.mark.parametrize(
    "path",
    [
        f"/{CANARY}",
        "/",
        "/v1",
        "/v1/",
        "/v1/changes/",
        f"/v1/changes/a/{CANARY}",
        "//v1/changes",
        "/V1/changes",
        "/v1/changes/../../metrics",
        "/v1/%00",
        "/metrics",
        "/docs",
        "/redoc",
        "/" + CANARY * 500,
    ],
    ids=lambda path: path[:24],
)
async def test_routes_there_are_none(api: Api, path: str) -> None:
    is_a_problem(await api.client.get(path, headers=api.citizen()), 404, "not-found")


@pytest.mark.parametrize(
    "reference",
    [CANARY, "%00", "%ff", "%F0%9F%98%80", "A" * 3000, "7K3M9-QX2TB-D", "%2e%2e", "'%20OR%201=1", "%0d%0aX:%20y"],
    ids=lambda text: text[:16],
)
async def test_references_there_are_none(api: Api, reference: str) -> None:
    is_a_problem(await api.client.get(f"/v1/changes/{reference}", headers=api.citizen()), 404, "not-found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND", CANARY.upper()])
async def test_methods_there_are_none(api: Api, method: str) -> None:
    answer = await api.client.request(method, "/v1/changes", headers=api.citizen())
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST"
    if method != "HEAD":
        is_a_problem(answer, 405, "method-not-allowed")


# Who calls


@pytest.mark.parametrize(
    ("method", "path"), [route for route, rule in POLICY.items() if isinstance(rule, ForCitizens | ForOrganisations)]
)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {CANARY}",
        "Basic YTpi",
        "Bearer a b",
        "Bearer é",
        "Bearer " + "a." * 5000,
        "Bearer ....",
    ],
    ids=lambda text: str(text)[:12],
)
async def test_nobody_in_particular(api: Api, method: str, path: str, authorization: str | None) -> None:
    sent = JSON | ({} if authorization is None else {"authorization": authorization})
    answer = await api.client.request(method, path, headers=in_latin_1(sent))
    is_a_problem(answer, 401, "invalid-token")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_two_tokens(api: Api) -> None:
    token = api.citizen()["authorization"]
    answer = await api.client.get("/v1/changes", headers=[("authorization", token), ("authorization", token)])
    is_a_problem(answer, 401, "invalid-token")


@pytest.mark.parametrize(
    ("method", "path"), [route for route, rule in POLICY.items() if isinstance(rule, ForCitizens | ForOrganisations)]
)
async def test_callers_of_the_other_kind(api: Api, method: str, path: str) -> None:
    theirs = api.organisation() if isinstance(POLICY[method, path], ForCitizens) else api.citizen()
    is_a_problem(await api.client.request(method, path, headers=theirs), 401, "invalid-token")


@pytest.mark.parametrize(
    "person",
    [
        {"name": [{"nameParts": [{"type": "GivenName", "value": "Si\u202en"}]}]},
        {"birthdate": "2999-01-01"},
        {"birthdate": "0000-00-00"},
    ],
)
async def test_a_token_with_a_person_that_cannot_be(api: Api, person: dict[str, Any]) -> None:
    headers = api.citizen(verified_claims=verified_claims(**person))
    is_a_problem(await api.client.get("/v1/changes", headers=headers), 401, "invalid-token")


async def test_a_person_nobody_verified_tells_nothing(api: Api) -> None:
    headers = api.citizen(verified_claims=None)
    is_a_problem(await api.post("/v1/changes/preview", a_move_on_the_wire(), headers), 403, "forbidden")


@pytest.mark.parametrize("name", ["X", "ŵ" * 300])
async def test_persons_with_a_single_and_with_a_long_name(api: Api, name: str) -> None:
    parts = [{"nameParts": [{"type": "GivenName", "value": name}]}]
    headers = api.citizen(30 + len(name), verified_claims=verified_claims(name=parts, birthdate="2004-02-29"))
    told = await api.tell(headers=headers)
    assert told.status_code == 202, told.text


# Idempotency keys


@pytest.mark.parametrize("key", [" ", "a b", "a" * 129, "é", "a\tb", f'"{CANARY}" x', "\u00a0"], ids=ascii)
async def test_odd_keys(api: Api, key: str) -> None:
    change = await api.previewed()
    sent = JSON | api.citizen() | {"idempotency-key": key}
    answer = await api.client.post(
        "/v1/changes",
        content=json.dumps(change),
        headers=in_latin_1(sent),
    )
    problem = is_a_problem(answer, 400)
    assert [item["pointer"] for item in problem.get("errors", [])] in ([], ["/Idempotency-Key"])


async def test_no_key_and_two_keys(api: Api) -> None:
    change = json.dumps(await api.previewed())
    head = list((JSON | api.citizen()).items())
    answer = await api.client.post("/v1/changes", content=change, headers=head)
    is_a_problem(answer, 400, "idempotency-key-missing")
    two = [*head, ("idempotency-key", "a"), ("idempotency-key", "b")]
    is_a_problem(await api.client.post("/v1/changes", content=change, headers=two), 400, "malformed")


async def test_the_same_key_with_the_same_body_is_one_change(api: Api) -> None:
    answers = [await api.tell(key="again", headers=api.citizen(2)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.json()["reference"] for answer in answers}) == 1


async def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    assert (await api.tell(key="other", headers=api.citizen(3))).status_code == 202
    answer = await api.tell(
        a_move_on_the_wire(buildingNumber="8", streetName=CANARY), key="other", headers=api.citizen(3)
    )
    is_a_problem(answer, 422, "idempotency-key-reused")


async def test_another_persons_key_is_another_key(api: Api) -> None:
    mine, theirs = [await api.tell(key="shared", headers=api.citizen(number)) for number in (4, 5)]
    assert mine.status_code == theirs.status_code == 202
    assert mine.json()["reference"] != theirs.json()["reference"]
    answer = await api.client.get(f"/v1/changes/{mine.json()['reference']}", headers=api.citizen(5))
    is_a_problem(answer, 404, "not-found")


async def test_a_key_stays_good_after_its_preview_has_grown_stale(api: Api) -> None:
    first = await api.tell(key="stale", headers=api.citizen(6))
    change = await api.previewed(headers=api.citizen(6))
    stale = change | {"preview": "e30"}  # a preview of nobody
    headers = api.citizen(6) | {"idempotency-key": "stale"}
    is_a_problem(await api.post("/v1/changes", stale, headers), 422, "idempotency-key-reused")
    again = await api.post("/v1/changes", change, headers)
    assert again.json()["reference"] == first.json()["reference"]


# Queries


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("cursor=MQ&cursor=MQ", "/cursor"),
        (f"name={CANARY}", ""),
        (f"{CANARY}", ""),
        ("cursor=", "/cursor"),
        (f"cursor={CANARY}", "/cursor"),
        ("cursor=%00", "/cursor"),
        ("cursor=%ff", "/cursor"),
        ("cursor=LTE", "/cursor"),
        ("cursor=IDE", "/cursor"),
        ("cursor=MV8x", "/cursor"),
        ("cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OQ", "/cursor"),
        ("cursor=" + "OTk5" * 2000, "/cursor"),
        ("cursor[]=MQ", ""),
        ("Cursor=MQ", ""),
        ("a=1&" * 500, ""),
    ],
    ids=lambda text: text[:20],
)
async def test_queries_for_changes(api: Api, query: str, pointer: str) -> None:
    problem = is_a_problem(await api.client.get(f"/v1/changes?{query}", headers=api.citizen()), 400, "malformed")
    assert [item["pointer"] for item in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("after=1", "/subject"),
        ("cursor=", "/cursor"),
        ("cursor=" + "A" * 21 + "B", "/cursor"),  # bits beyond the last byte
        ("cursor=" + "A" * 23, "/cursor"),
        ("subject=a&cursor=" + "A" * 22, "/cursor"),
        ("subject=", "/subject"),
        ("subject=%00", "/subject"),
        ("subject=a%00b", "/subject"),
        (f"subject={CANARY}%20", "/subject"),
        ("subject=%C5%B5", "/subject"),
        ("subject=" + "a" * 65, "/subject"),
        ("subject=a&subject=b", "/subject"),
        ("subject=a&after=-1", "/after"),
        ("subject=a&after=", "/after"),
        ("subject=a&after=1e3", "/after"),
        ("subject=a&after=" + "9" * 19, "/after"),
        ("subject=a&after=%D9%A1", "/after"),
        ("subject=a&after=1%0A", "/after"),
        (f"subject=a&{CANARY}=1", ""),
    ],
    ids=lambda text: text[:20],
)
async def test_queries_for_deliveries(api: Api, query: str, pointer: str) -> None:
    answer = await api.client.get(f"/v1/deliveries?{query}", headers=api.organisation())
    problem = is_a_problem(answer, 400, "malformed")
    assert [item["pointer"] for item in problem["errors"]] == [pointer]


async def test_a_query_where_there_is_none(api: Api) -> None:
    answer = await api.post(f"/v1/changes/preview?postcode={CANARY}", a_move_on_the_wire())
    is_a_problem(answer, 400, "malformed")


# What is asked for in return


@pytest.mark.parametrize("accept", ["", "text/html", "*/*;q=0", ",,,", "a" * 4000, "application/xml, é"])
async def test_whatever_is_accepted_json_comes(api: Api, accept: str) -> None:
    """RFC 9110, section 12.5.1, lets us answer in our one form; a refusal would help nobody."""
    headers: dict[str, Any] = api.citizen() | {"accept": accept.encode("latin-1")}
    answer = await api.client.get("/v1/changes", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


async def test_an_entity_tag_however_it_comes_back(api: Api) -> None:
    told = await api.tell(headers=api.citizen(7))
    path = told.headers["location"]
    tag = (await api.client.get(path, headers=api.citizen(7))).headers["etag"]
    for sent, status in ((tag, 304), (f"W/{tag}", 304), (f'"x", {tag}', 304), ('"x"', 200), ("é", 200), ("", 200)):
        head: dict[str, Any] = api.citizen(7) | {"if-none-match": sent.encode("latin-1")}
        assert (await api.client.get(path, headers=head)).status_code == status, sent


# Organisations' answers


def an_answer(**changes: Any) -> dict[str, Any]:
    known = "00000000-0000-4000-8000-000000000001"
    return {"id": known, "deliveryId": known, "outcome": "applied"} | changes


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"id": CANARY}, "/id"),
        ({"id": 1}, "/id"),
        ({"deliveryId": None}, "/deliveryId"),
        ({"outcome": CANARY}, "/outcome"),
        ({"outcome": "APPLIED"}, "/outcome"),
        ({"reference": f"{CANARY} Llŷr"}, "/reference"),
        ({"reference": "=cmd()"}, "/reference"),
        ({"at": "1717200000"}, "/at"),
        ({"at": 1717200000}, "/at"),
        ({"at": "2026-06-01T00:00:00"}, "/at"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "/at"),
        ({"at": "9999-12-31T23:59:59-14:00"}, "/at"),
        ({"note": CANARY}, ""),
    ],
    ids=lambda value: str(value)[:32],
)
async def test_answers_that_cannot_be(api: Api, wrong: dict[str, Any], pointer: str) -> None:
    problem = is_a_problem(await api.post("/v1/receipts", an_answer(**wrong), api.organisation()), 422, "invalid")
    assert [item["pointer"] for item in problem["errors"]] == [pointer]


async def published(api: Api, reference: str, organisation: str) -> UUID:
    """Return a delivery's id once the relay has published it: before, nobody can have an answer to it."""
    while True:
        async with api.parts.database.connection() as connection:
            found: UUID | None = await connection.fetchval(
                "SELECT d.id FROM delivery d JOIN change c ON c.id = d.change_id"
                " WHERE c.reference = $1 AND d.organisation = $2 AND d.sequence IS NOT NULL",
                reference,
                f"{organisation}-{api.line.prefix}",
            )
        if found is not None:
            return found
        await asyncio.sleep(0.02)


async def test_an_answer_for_a_delivery_of_another_is_as_for_none(api: Api) -> None:
    told = await api.tell(headers=api.citizen(8))
    api.line.start(api.line.relay())
    delivery = str(await published(api, told.json()["reference"], "cardiff-council"))
    theirs = await api.post("/v1/receipts", an_answer(deliveryId=delivery), api.organisation("swansea-council"))
    nobodys = await api.post("/v1/receipts", an_answer(), api.organisation("swansea-council"))
    assert is_a_problem(theirs, 404, "not-found") == is_a_problem(nobodys, 404, "not-found")
    mine = await api.post("/v1/receipts", an_answer(deliveryId=delivery), api.organisation())
    assert mine.status_code == 202


# The token endpoint


async def asks(api: Api, content: bytes | str, **headers: str) -> httpx2.Response:
    return await api.client.post("/oauth/token", content=content, headers=FORM | headers)


def written(**form: str) -> str:
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in form.items())


async def test_a_good_assertion_is_good_once(api: Api) -> None:
    form = written(**api.token_form())
    answer = await asks(api, form)
    assert answer.status_code == 200, answer.text
    token = {"authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await api.client.get("/v1/deliveries?subject=a", headers=token)).status_code == 200
    again = await asks(api, form)
    assert (again.status_code, again.json()["error"]) == (401, OAuthError.INVALID_CLIENT)


@pytest.mark.parametrize("name", ["grant_type", "client_assertion_type", "client_assertion", "scope", CANARY])
async def test_a_parameter_that_stands_twice(api: Api, name: str) -> None:
    form = written(**(api.token_form(scope="receipts:write") | {CANARY: "1"}))
    answer = await asks(api, form + f"&{name}=x")
    assert (answer.status_code, answer.json()["error"]) == (400, OAuthError.INVALID_REQUEST)
    assert CANARY not in answer.text


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_assertion_type": CANARY}, 401, "invalid_client"),
        ({"client_assertion": None}, 401, "invalid_client"),
        ({"client_assertion": CANARY}, 401, "invalid_client"),
        ({"client_assertion": "é.ŵ.\ud7ff"}, 401, "invalid_client"),
        ({"client_assertion": "a." * 20_000}, 401, "invalid_client"),
        ({"client_assertion": "\x00"}, 401, "invalid_client"),
        ({"client_secret": CANARY}, 400, "invalid_request"),
        ({"client_id": CANARY}, 401, "invalid_client"),
        ({"scope": CANARY}, 400, "invalid_scope"),
        ({"scope": "receipts:write  deliveries:read"}, 400, "invalid_scope"),
        ({"scope": "changes:write"}, 400, "invalid_scope"),
        ({"scope": "ŵ"}, 400, "invalid_scope"),
        ({"scope": '"\\'}, 400, "invalid_scope"),
    ],
    ids=lambda value: str(value)[:32],
)
async def test_token_requests_that_cannot_be(api: Api, change: dict[str, Any], status: int, error: str) -> None:
    answer = await asks(api, written(**api.token_form(**change)))
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.headers["cache-control"] == "no-store"
    assert CANARY not in answer.text


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"\xff", {}, 400),
        ("ŵ=1".encode(), {}, 400),
        (b"grant_type=%ff", {}, 400),
        (b"grant_type=%ED%A0%80", {}, 400),
        (b"&".join(b"p%d=1" % number for number in range(30)), {}, 400),
        (b"a" * 65_537, {}, 413),
        (b"{}", {"content-type": "application/json"}, 415),
        (b"grant_type=x", {"content-type": "application/x-www-form-urlencoded; charset=utf-16"}, 415),
        (b"grant_type=x", {"content-encoding": "gzip"}, 415),
    ],
    ids=["byte", "non-ASCII", "percent", "surrogate", "thirty", "huge", "JSON", "charset", "gzip"],
)
async def test_forms_that_cannot_be_read(api: Api, content: bytes, headers: dict[str, str], status: int) -> None:
    is_a_problem(await asks(api, content, **headers), status)


async def test_an_empty_form(api: Api) -> None:
    answer = await asks(api, b"")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

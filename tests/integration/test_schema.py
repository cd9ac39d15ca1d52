"""Schemathesis over the published OpenAPI, as each kind of caller: no 5xx, and every answer is one that is described."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
import jsonschema_rs
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from broker.api import following
from broker.api.publish import document
from broker.store import Database
from tests.support.api import FORM, HOST, Api, a_move_on_the_wire, broken, served
from tests.support.line import NEW_UPRN

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES: Final = 25
"""For each operation, caller and kind of data. The same every time: what is found stays found."""
EXCLUDED: Final = (positive_data_acceptance,)
"""A schema cannot say which references exist, nor that a text must not begin with white space."""
REFUSED: Final = ["400", "401", "403", "404", "409", "413", "414", "415", "422", "431"]
CONFIG: Final = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}})
DOCUMENT: Final = document()
SCHEMA: Final = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port(api: Api) -> AsyncIterator[int]:
    async with served(api.app) as taken:
        yield taken


def callers(api: Api) -> dict[str, dict[str, str]]:
    found = {"nobody": {}, "citizen": api.citizen(), "organisation": api.organisation()}
    return {name: {key.title(): value for key, value in headers.items()} for name, headers in found.items()}


def exercised(operation: Any, mode: schemathesis.GenerationMode, base: str, headers: dict[str, str]) -> None:
    """Send examples of one operation and judge every answer by every check."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        case.call_and_validate(base_url=base, headers=headers, excluded_checks=list(EXCLUDED))

    run()


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("caller", ["nobody", "citizen", "organisation"])
async def test_answers_are_those_described(api: Api, port: int, caller: str, mode: schemathesis.GenerationMode) -> None:
    headers = callers(api)[caller]
    found: list[Any] = list(SCHEMA.get_all_operations())
    for operation in [each.ok() for each in found]:
        takes_anything = operation.body or operation.query or operation.headers or operation.path_parameters
        if mode is schemathesis.GenerationMode.POSITIVE or takes_anything:
            await asyncio.to_thread(exercised, operation, mode, f"http://{HOST}:{port}", headers)


# What random data does not reach: the ways a person and an organisation really go


def as_described(path: str, answer: httpx2.Response, status: int) -> Any:
    """Return the body of an answer that is exactly what the document says of it: status, type, headers, schema."""
    method = answer.request.method.lower()
    assert answer.status_code == status, answer.text
    described = DOCUMENT["paths"][path][method]["responses"][str(status)]
    for name in described.get("headers", {}):
        header = DOCUMENT["components"]["headers"][name]
        assert name in answer.headers or not header.get("required"), f"{name} is missing"
        if name in answer.headers:
            jsonschema_rs.validator_for(header["schema"]).validate(answer.headers[name])
    content = described.get("content")
    if not content:
        assert answer.content == b""
        return None
    schema = content[answer.headers["content-type"]]["schema"] | {"components": DOCUMENT["components"]}
    body = answer.json()
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(body)
    assert "null" not in json.dumps(body), "what is absent is left out"
    return body


async def test_a_citizens_way_is_as_described(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = api.citizen(50)
    found = await api.post("/v1/addresses/search", {"postalCode": "sa99 9zz"}, caller)
    assert as_described("/v1/addresses/search", found, 200)["addresses"][0]["address"]["uprn"] == NEW_UPRN
    for wrong, status in ((b"", 400), ("{}", 422)):
        as_described("/v1/addresses/search", await api.post("/v1/addresses/search", wrong, caller), status)

    preview = await api.post("/v1/changes/preview", a_move_on_the_wire(), caller)
    assert len(as_described("/v1/changes/preview", preview, 200)["recipients"]) == 3
    unverified = await api.post("/v1/changes/preview", a_move_on_the_wire(), api.citizen(51, vot="P1"))
    as_described("/v1/changes/preview", unverified, 403)

    change = a_move_on_the_wire() | {"preview": preview.json()["digest"]}
    key = caller | {"idempotency-key": "first"}
    told = await api.post("/v1/changes", change, key)
    reference = as_described("/v1/changes", told, 202)["reference"]
    as_described("/v1/changes", await api.post("/v1/changes", change, caller), 400)
    as_described("/v1/changes", await api.post("/v1/changes", change | {"leaveOut": ["nobody"]}, key), 422)
    grown = a_move_on_the_wire(buildingNumber="9") | {"preview": preview.json()["digest"]}
    conflict = await api.post("/v1/changes", grown, caller | {"idempotency-key": "second"})
    assert as_described("/v1/changes", conflict, 409)["preview"]["recipients"]

    await api.tell(a_move_on_the_wire(buildingNumber="10"), headers=caller)
    monkeypatch.setattr(following, "PAGE", 1)
    first = await api.client.get("/v1/changes", headers=caller)
    assert len(as_described("/v1/changes", first, 200)["changes"]) == 1
    following_page = first.links["next"]["url"]
    last = await api.client.get(following_page, headers=caller)
    assert [item["reference"] for item in as_described("/v1/changes", last, 200)["changes"]] == [reference]
    assert "link" not in last.headers

    path = told.headers["location"]
    seen = await api.client.get(path, headers=caller)
    as_described("/v1/changes/{reference}", seen, 200)
    same = await api.client.get(path, headers=caller | {"if-none-match": seen.headers["etag"]})
    as_described("/v1/changes/{reference}", same, 304)
    as_described("/v1/changes/{reference}", await api.client.get(path, headers=api.citizen(52)), 404)
    cancellation = "/v1/changes/{reference}/cancellation"
    as_described(cancellation, await api.client.post(f"{path}/cancellation", headers=caller), 202)
    as_described(cancellation, await api.client.post(f"{path}/cancellation", headers=api.citizen(52)), 404)
    as_described("/v1/changes/{reference}", await api.client.get(path, headers=caller), 200)


async def test_an_organisations_way_is_as_described(api: Api) -> None:
    form = urlencode(api.token_form())
    issued = await api.client.post("/oauth/token", content=form, headers=FORM)
    token = {"authorization": f"Bearer {as_described('/oauth/token', issued, 200)['access_token']}"}
    as_described("/oauth/token", await api.client.post("/oauth/token", content=form, headers=FORM), 401)
    as_described("/oauth/token", await api.client.post("/oauth/token", content="", headers=FORM), 400)
    as_described("/oauth/token", await api.client.post("/oauth/token", content=b"\xff", headers=FORM), 400)
    as_described("/.well-known/jwks.json", await api.client.get("/.well-known/jwks.json"), 200)
    for purpose in ("client-assertions", "message-signatures"):
        path = f"/.well-known/jwks/{purpose}.json"
        as_described(path, await api.client.get(path), 200)
    metadata = "/.well-known/oauth-authorization-server"
    as_described(metadata, await api.client.get(metadata), 200)

    await api.tell(headers=api.citizen(53))
    api.line.start(api.line.relay())
    async with asyncio.timeout(20):
        while not (subject := await published_subject(api.parts.database, f"cardiff-council-{api.line.prefix}")):
            await asyncio.sleep(0.02)
    answer = await api.client.get(f"/v1/deliveries?subject={subject}", headers=token)
    [delivery, *_] = as_described("/v1/deliveries", answer, 200)["deliveries"]
    said = {"id": delivery["id"], "deliveryId": delivery["id"], "outcome": "applied"}
    as_described("/v1/receipts", await api.post("/v1/receipts", said, token), 202)
    theirs = await api.post("/v1/receipts", said, api.organisation("swansea-council"))
    as_described("/v1/receipts", theirs, 404)


async def published_subject(database: Database, organisation: str) -> str | None:
    async with database.connection() as connection:
        found: str | None = await connection.fetchval(
            "SELECT l.subject FROM lane l JOIN delivery d USING (person_id, organisation)"
            " WHERE l.organisation = $1 AND d.published_at IS NOT NULL LIMIT 1",
            organisation,
        )
    return found


async def test_a_fault_of_ours_is_as_described_and_says_nothing(api: Api) -> None:
    async with broken(api, directory=None, vault=None) as client:
        answer = await client.get("/v1/changes", headers=api.citizen())
    assert set(as_described("/v1/changes", answer, 500)) == {"type", "title", "status"}

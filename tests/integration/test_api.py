"""The API as its two kinds of caller use it: a citizen who tells and follows, an organisation that answers later."""

import asyncio
import hashlib
import json
from typing import Any
from uuid import uuid4

import pytest

from broker.intake.references import read_reference
from broker.store import register
from contracts.events import canonical
from tests.support.api import Api, a_move_on_the_wire
from tests.support.line import ALL, now

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_telling_answers_202_with_a_reference_and_who_is_told(api: Api) -> None:
    answer = await api.tell(headers=api.citizen(100))
    assert answer.status_code == 202
    told = answer.json()
    assert answer.headers["location"] == f"/v1/changes/{told['reference']}"
    assert read_reference(told["reference"]) == told["reference"]
    assert {item["organisation"] for item in told["deliveries"]} == {f"{name}-{api.line.prefix}" for name in ALL}
    assert {item["status"] for item in told["deliveries"]} == {"queued"}
    assert told["change"]["newAddress"] == a_move_on_the_wire()["change"]["newAddress"] | {"addressCountry": "GB"}
    assert answer.headers["cache-control"] == "no-store"


async def test_a_preview_names_reason_law_agreement_and_the_very_data(api: Api) -> None:
    answer = await api.post("/v1/changes/preview", a_move_on_the_wire(), api.citizen(101))
    recipients = {item["organisation"]: item for item in answer.json()["recipients"]}
    cardiff = recipients[f"cardiff-council-{api.line.prefix}"]
    assert cardiff["because"]
    assert cardiff["lawfulBasis"] == "UK GDPR Article 6(1)(e)"
    assert cardiff["agreement"] == f"cardiff-council-moves-{api.line.prefix}/1"
    assert cardiff["required"] is True
    assert set(cardiff["data"]) == {"person", "change", "roles"}
    assert set(cardiff["data"]["person"]) == {"name"}, "and nothing of the person its agreement does not name"
    assert set(cardiff["data"]["change"]) == {"previousAddress"}
    assert recipients[f"transport-for-wales-{api.line.prefix}"]["required"] is False


async def test_the_ledger_has_what_is_sent_by_field_names_and_keyed_digest_and_no_value(api: Api) -> None:
    caller = api.citizen(120)
    preview = (await api.post("/v1/changes/preview", a_move_on_the_wire(), caller)).json()["recipients"]
    reference = (await api.tell(headers=caller)).json()["reference"]
    async with api.parts.database.connection() as connection:
        change = await connection.fetchval("SELECT id FROM change WHERE reference = $1", read_reference(reference))
        owed = await connection.fetch(
            "SELECT d.id, d.organisation, c.digest FROM delivery d JOIN delivery_content c ON c.delivery_id = d.id WHERE d.change_id = $1",
            change,
        )
        leaves = await connection.fetch(
            "SELECT leaf FROM audit_leaf WHERE convert_from(leaf, 'UTF8')::jsonb @> $1",
            json.dumps({"action": "change.accepted", "change": str(change)}),
        )
    [row] = leaves
    leaf = json.loads(row["leaf"])
    assert (leaf["on_behalf_of"], leaf["relation"]) == (leaf["actor"], "self")
    assert leaf["detail"]["fields"] == [
        " ".join(
            [
                one["organisation"],
                *sorted(f"{part}/{name}" for part in ("person", "change") for name in one["data"].get(part, {})),
            ]
        )
        for one in preview
    ]
    assert sorted(leaf["detail"]["digests"]) == sorted(
        f"{one['organisation']} {one['id']} {one['digest'].hex()}" for one in owed
    )
    for one in owed:
        told = next(item["data"] for item in preview if item["organisation"] == one["organisation"])
        assert one["digest"] != hashlib.sha256(canonical(told)).digest(), "keyed: nobody can try values out"
    moved = a_move_on_the_wire()["change"]["newAddress"]
    assert not [value for value in moved.values() if isinstance(value, str) and len(value) > 3 and value in str(leaf)]


async def test_the_same_key_again_is_answered_alike(api: Api) -> None:
    caller = api.citizen(102)
    change = await api.previewed(headers=caller)
    answers = [await api.post("/v1/changes", change, caller | {"idempotency-key": "once"}) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["reference"] for answer in answers}) == 1
    other = change["change"] | {"tenure": "owner"}
    refused = await api.post("/v1/changes", change | {"change": other}, caller | {"idempotency-key": "once"})
    assert refused.status_code == 422
    assert refused.json()["type"].endswith("idempotency-key-reused")


async def test_a_preview_that_would_grow_is_answered_with_the_new_one(api: Api) -> None:
    caller = api.citizen(103)
    change = await api.previewed(headers=caller)
    other = change["change"] | {"newAddress": change["change"]["newAddress"] | {"buildingNumber": "99"}}
    refused = await api.post("/v1/changes", change | {"change": other}, caller | {"idempotency-key": "k"})
    assert refused.status_code == 409
    fresh = refused.json()["preview"]
    accepted = await api.post(
        "/v1/changes", change | {"change": other, "preview": fresh["digest"]}, caller | {"idempotency-key": "k"}
    )
    assert accepted.status_code == 202


async def test_anothers_reference_is_the_same_404_as_none(api: Api) -> None:
    reference = (await api.tell(headers=api.citizen(104))).json()["reference"]
    own = await api.client.get(f"/v1/changes/{reference}", headers=api.citizen(104))
    assert own.status_code == 200
    stranger = await api.client.get(f"/v1/changes/{reference}", headers=api.citizen(105))
    nobody = await api.client.get("/v1/changes/00000-00000-0", headers=api.citizen(104))
    garbage = await api.client.get("/v1/changes/whatever", headers=api.citizen(104))
    assert stranger.status_code == nobody.status_code == garbage.status_code == 404
    assert stranger.content == nobody.content == garbage.content
    spoken = reference.replace("-", " ").lower()
    assert (await api.client.get(f"/v1/changes/{spoken}", headers=api.citizen(104))).status_code == 200


async def test_polling_costs_nothing_while_nothing_happens(api: Api) -> None:
    reference = (await api.tell(headers=api.citizen(106))).json()["reference"]
    first = await api.client.get(f"/v1/changes/{reference}", headers=api.citizen(106))
    again = await api.client.get(
        f"/v1/changes/{reference}", headers=api.citizen(106) | {"if-none-match": first.headers["etag"]}
    )
    assert again.status_code == 304
    assert again.content == b""


async def test_the_list_is_newest_first_and_pages_by_its_own_link(api: Api) -> None:
    caller = api.citizen(107)
    assert (await api.client.get("/v1/changes", headers=api.citizen(99_999))).json() == {"changes": []}
    references = []
    for house in range(53):
        answer = await api.tell(a_move_on_the_wire(buildingNumber=str(house + 1)), headers=caller)
        references.append(answer.json()["reference"])
    first = await api.client.get("/v1/changes", headers=caller)
    assert [item["reference"] for item in first.json()["changes"]] == references[:2:-1]
    link = first.headers["link"]
    assert link.endswith('; rel="next"')
    rest = await api.client.get(link[1 : link.index(">")], headers=caller)
    assert [item["reference"] for item in rest.json()["changes"]] == references[2::-1]
    assert "link" not in rest.headers


async def test_addresses_are_found_by_post(api: Api) -> None:
    answer = await api.post("/v1/addresses/search", {"postalCode": "cf99 9zz"})
    assert answer.status_code == 200
    assert [item["address"]["uprn"] for item in answer.json()["addresses"]] == [900000000001]
    assert answer.json()["addresses"][0]["invented"] is True
    assert (await api.post("/v1/addresses/search", {"postalCode": "ZZ1 1ZZ"})).json() == {"addresses": []}


async def test_addresses_are_found_by_what_people_type(api: Api) -> None:
    home = {"uprn": 900000000777, "buildingNumber": "7", "streetName": "Figwort Row", "addressLocality": "Cardiff"}
    await register.put_places(
        api.line.database, [register.Place(900000000777, "en", 6815, "CF99 9ZD", home, invented=True)]
    )
    language = api.citizen() | {"accept-language": "en"}
    for typed in ({"text": "7 figwert row"}, {"text": "7", "postalCode": "CF99 9ZD"}, {"text": "cf999zd"}):
        found = await api.post("/v1/addresses/search", typed, language)
        assert found.status_code == 200
        assert [one["address"]["uprn"] for one in found.json()["addresses"]] == [900000000777], typed
        assert found.json()["addresses"][0]["invented"] is True
    for asked, pointer in (({}, ""), ({"text": ""}, "/text"), ({"text": "x" * 201}, "/text"), ({"text": 3}, "/text")):
        refused = await api.post("/v1/addresses/search", asked, language)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_an_organisation_answers_later_and_the_person_sees_it(api: Api) -> None:
    caller = api.citizen(108)
    told = await api.tell(a_move_on_the_wire(buildingNumber="777"), headers=caller)
    reference = told.json()["reference"]
    api.line.start()
    view = await _until(api, caller, reference, "applied")
    assert [entry["what"] for entry in view["deliveries"][0]["timeline"]] == ["accepted", "published", "answered"]

    swanseas = api.line.systems.of(f"swansea-council-{api.line.prefix}")
    [delivery] = [item for item in swanseas if b'"777"' in item.data]
    answer = {"id": str(uuid4()), "deliveryId": str(delivery.id), "outcome": "not_matched", "at": now().isoformat()}
    for _ in range(2):
        taken = await api.post("/v1/receipts", answer, api.organisation("swansea-council"))
        assert taken.status_code == 202, taken.text
    for _ in range(1000):
        await asyncio.sleep(0.02)
        view = (await api.client.get(f"/v1/changes/{reference}", headers=caller)).json()
        [swansea] = [item for item in view["deliveries"] if item["organisation"].startswith("swansea")]
        if len(swansea["timeline"]) == 4:
            break
    assert swansea["status"] == "applied", "a later, lower answer changes no status"
    assert [entry["what"] for entry in swansea["timeline"]] == ["accepted", "published", "answered", "conflict"]


async def test_anothers_delivery_is_the_same_404_as_none(api: Api) -> None:
    await api.tell(headers=api.citizen(109))
    api.line.start()
    while not (own := api.line.systems.of(f"cardiff-council-{api.line.prefix}")):
        await asyncio.sleep(0.02)
    answers = []
    for delivery_id, name in ((str(own[0].id), "swansea-council"), (str(uuid4()), "cardiff-council")):
        body = {"id": str(uuid4()), "deliveryId": delivery_id, "outcome": "applied"}
        answers.append(await api.post("/v1/receipts", body, api.organisation(name)))
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content


async def test_after_a_gap_an_organisation_asks_what_became_of_a_sequence(api: Api) -> None:
    caller = api.citizen(110)
    api.line.start()
    for house in ("881", "882", "883"):
        told = await api.tell(a_move_on_the_wire(buildingNumber=house), headers=caller)
        await _until(api, caller, told.json()["reference"], "applied")
    swanseas = api.line.systems.of(f"swansea-council-{api.line.prefix}")
    [subject] = {item.subject for item in swanseas if b'"881"' in item.data}
    asked = await api.client.get(
        "/v1/deliveries", params={"subject": subject, "after": "1"}, headers=api.organisation("swansea-council")
    )
    assert [item["sequence"] for item in asked.json()["deliveries"]] == [2, 3]
    assert {item["status"] for item in asked.json()["deliveries"]} == {"applied"}
    other = await api.client.get(
        "/v1/deliveries", params={"subject": subject}, headers=api.organisation("cardiff-council")
    )
    assert other.json() == {"deliveries": []}, "another's subject is nobody"


async def test_an_organisation_gets_its_token_by_its_own_key_and_once_an_assertion(api: Api) -> None:
    form = api.token_form(scope="receipts:write")
    first = await api.client.post("/oauth/token", data=form)
    assert first.status_code == 200, first.text
    assert first.json()["expires_in"] == 300
    assert (await api.client.post("/oauth/token", data=form)).json()["error"] == "invalid_client"
    bearer = {"authorization": f"Bearer {first.json()['access_token']}"}
    unknown = await api.post(
        "/v1/receipts", {"id": str(uuid4()), "deliveryId": str(uuid4()), "outcome": "applied"}, bearer
    )
    assert unknown.status_code == 404
    read = await api.client.get("/v1/deliveries", params={"subject": "x"}, headers=bearer)
    assert read.status_code == 403, "the token was asked for without deliveries:read"
    metadata = (await api.client.get("/.well-known/oauth-authorization-server")).json()
    assert metadata["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]


@pytest.mark.parametrize(
    ("method", "path", "caller", "status"),
    [
        ("GET", "/v1/changes", "nobody", 401),
        ("GET", "/v1/changes", "organisation", 401),
        ("POST", "/v1/receipts", "citizen", 401),
        ("GET", "/v1/deliveries", "citizen", 401),
        ("GET", "/openapi.json", "nobody", 200),
        ("GET", "/metrics", "nobody", 404),
    ],
)
async def test_each_kind_of_caller_on_the_others_routes(
    api: Api, method: str, path: str, caller: str, status: int
) -> None:
    headers = {"citizen": api.citizen(), "organisation": api.organisation(), "nobody": {}}[caller]
    answer = await api.client.request(method, path, headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_person_not_known_well_enough_is_told_what_is_missing(api: Api) -> None:
    weak = api.citizen(111, vot="Cl.Cm")
    answer = await api.post("/v1/changes/preview", a_move_on_the_wire(), weak)
    assert answer.status_code == 403
    assert answer.json()["type"].endswith("identity-level")
    assert "P2" in answer.json()["detail"]


async def _until(api: Api, caller: dict[str, str], reference: str, status: str) -> dict[str, Any]:
    view: dict[str, Any] = {}
    for _ in range(1000):
        await asyncio.sleep(0.02)
        view = (await api.client.get(f"/v1/changes/{reference}", headers=caller)).json()
        if all(item["status"] == status for item in view["deliveries"]):
            return view
    raise AssertionError([item["status"] for item in view["deliveries"]])

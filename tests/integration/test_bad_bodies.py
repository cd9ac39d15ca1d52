"""Bodies no honest caller sends: each is a 4xx problem that names the field and never repeats what was sent."""

import base64
import json
import unicodedata
from typing import Any

import pytest

from broker.api.bodies import LARGEST_BODY
from contracts.organisation import Organisation
from contracts.problems import TYPE_PREFIX
from tests.support.api import Api, a_move_on_the_wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "Gwenŵyn"
"""Stands beside the fault in every body; it may not come back."""
PREVIEW = "/v1/changes/preview"


def a_move(**changes: Any) -> dict[str, Any]:
    return a_move_on_the_wire(**({"streetName": CANARY} | changes))


def raw(placeholder: str, written: str, **changes: Any) -> bytes:
    """Return a move with `written` in the place of the text `placeholder`, as no JSON library would write it."""
    return json.dumps(a_move(**changes)).replace(f'"{placeholder}"', written).encode("utf-8", "surrogatepass")


async def refused(
    api: Api, body: Any, status: int, pointer: str | None, code: str | None = None, **headers: str
) -> Any:
    answer = await api.post(PREVIEW, body, api.citizen() | headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"].startswith(TYPE_PREFIX)
    assert problem["status"] == status
    for form in (CANARY, json.dumps(CANARY)[1:-1], unicodedata.normalize("NFD", CANARY)):
        assert form not in answer.text, "an answer repeats what was sent"
    if pointer is not None:
        assert problem["errors"][0]["pointer"] == pointer, problem
        assert all(pointer.startswith(item["pointer"]) for item in problem["errors"]), problem
    if code is not None:
        assert problem["errors"][0]["code"] == code
    return problem


# What JSON leaves open


BUILDING = "/change/newAddress/buildingName"


@pytest.mark.parametrize(
    ("written", "status", "code"),
    [
        ('"\\ud800"', 400, "not_text"),
        ('"Gwenŵyn\\udc00"', 400, "not_text"),
        ('"\\ud800\\ud800"', 400, "not_text"),
        ('"\\u0000"', 422, "value_error"),
        ('"Gwenŵyn\\u0000"', 422, "value_error"),
        ('"\\u202eGwenŵyn"', 422, "value_error"),
        ('"Ty\\u200bGwyn"', 422, "value_error"),
        ('"T\\u0443 Gwyn"', 422, "value_error"),
        ('"Gwenŵyn\\r\\nSet-Cookie: b"', 422, "value_error"),
        ('" Gwenŵyn"', 422, "value_error"),
        ("NaN", 400, "not_a_number"),
        ("-Infinity", 400, "not_a_number"),
        ("1e400", 400, "number_too_large"),
        ("9" * 41, 400, "number_too_large"),
        ("9" * 5000, 400, "number_too_large"),
        ("12", 422, "string_type"),
        ("true", 422, "string_type"),
        ("[]", 422, "string_type"),
        ("{}", 422, "string_type"),
        ('""', 422, "too_short"),
        ('"' + "w" * 256 + '"', 422, "too_long"),
    ],
    ids=[
        "lone surrogate",
        "low surrogate alone",
        "two high surrogates",
        "NUL",
        "NUL inside",
        "bidi override",
        "zero width",
        "homoglyph",
        "CRLF",
        "white space before",
        "NaN",
        "Infinity",
        "1e400",
        "41 digits",
        "5000 digits",
        "number as text",
        "bool as text",
        "list as text",
        "object as text",
        "empty",
        "too long",
    ],
)
async def test_what_is_no_text(api: Api, written: str, status: int, code: str) -> None:
    await refused(api, raw("HERE", written, buildingName="HERE"), status, BUILDING, code)


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ('"12"', 422),
        ("12.0", 422),
        ("1e2", 422),
        ("true", 422),
        ("-1", 422),
        ("0", 422),
        (str(10**12), 422),
        ("NaN", 400),
        ("1e400", 400),
        ('"\\ud800"', 400),
        ("1" + "0" * 5000, 400),
    ],
    ids=["text", "float", "exponent", "bool", "negative", "0", "13 digits", "NaN", "1e400", "surrogate", "huge"],
)
async def test_what_is_no_uprn(api: Api, written: str, status: int) -> None:
    await refused(api, raw("HERE", written, uprn="HERE"), status, "/change/newAddress/uprn")


@pytest.mark.parametrize("said", ['"yes"', '"true"', "1", "0", '"on"', "null"])
async def test_what_is_no_bool(said: str) -> None:
    text = '{"id":"a","name":{"cy":"A","en":"A"},"sector":"council","adapter":"webhook","paused":%s}'
    assert Organisation.model_validate_json(text % "true").paused
    with pytest.raises(ValueError, match="bool"):
        Organisation.model_validate_json(text % said)


async def test_a_name_that_stands_twice(api: Api) -> None:
    twice = raw("HERE", f'"b", "buildingName": "{CANARY}"', buildingName="HERE")
    await refused(api, twice, 400, BUILDING, "duplicate_name")


async def test_a_name_that_stands_twice_and_is_not_known_is_not_repeated(api: Api) -> None:
    twice = raw("HERE", f'"b", "{CANARY}": 1, "{CANARY}": 2', buildingName="HERE")
    await refused(api, twice, 400, "/change/newAddress", "duplicate_name")


@pytest.mark.parametrize("where", [(), ("change",), ("change", "newAddress")], ids=["top", "change", "address"])
async def test_a_name_that_is_not_known(api: Api, where: tuple[str, ...]) -> None:
    body = inner = a_move()
    for step in where:
        inner = inner[step]
    inner[CANARY] = 1
    await refused(api, body, 422, "".join(f"/{step}" for step in where), "extra_forbidden")


async def test_names_are_those_of_the_wire_only(api: Api) -> None:
    await refused(api, a_move(building_name="b"), 422, "/change/newAddress", "extra_forbidden")


async def test_a_surrogate_as_a_name(api: Api) -> None:
    await refused(api, raw("HERE", '"b", "\\ud800": 1', buildingName="HERE"), 400, "/change/newAddress", "not_text")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf{}",
        '{"type":"address"}'.encode("utf-16"),
        '{"type":"address"}'.encode("utf-16-le"),
        '{"type":"address"}'.encode("utf-32"),
        b"{}{}",
        b"{'type':'address'}",
        b'{"type":"address",}',
        b'{"type":"add\x00ress"}',
        b'{"type":"add\nress"}',
        b"[" * 20_000,
        b"[" * 20_000 + b"]" * 20_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"//\n{}",
    ],
    ids=lambda body: ascii(body[:12]) + str(len(body)),
)
async def test_what_is_no_json(api: Api, body: bytes) -> None:
    await refused(api, body, 400, "", "not_json")


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"1", b"true", b"[{}]"])
async def test_json_that_is_no_object(api: Api, body: bytes) -> None:
    await refused(api, body, 422, "")


@pytest.mark.parametrize("depth", [50, 150, 250, 600, 900])
async def test_nesting(api: Api, depth: int) -> None:
    await refused(api, raw("HERE", "[" * depth + "]" * depth, buildingName="HERE"), 400 if depth > 190 else 422, None)


async def test_a_surrogate_deep_inside(api: Api) -> None:
    deep = "[" * 600 + '"\\ud800"' + "]" * 600
    await refused(api, raw("HERE", deep, buildingName="HERE"), 400, None)


async def test_an_answer_names_a_few_faults_of_thousands(api: Api) -> None:
    answer = await api.post(PREVIEW, {f"x{number}": number for number in range(4000)})
    assert answer.status_code == 422
    assert len(answer.content) < 4096
    many = a_move() | {"identifiers": [{}] * 3000}
    answer = await api.post(PREVIEW, many)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) <= 20


# Size, type, encoding


async def test_a_body_of_64_kb_is_read_and_one_more_byte_is_not(api: Api) -> None:
    body = json.dumps(a_move()).encode()
    fits = body + b" " * (LARGEST_BODY - len(body))
    assert (await api.post(PREVIEW, fits)).status_code == 200
    assert (await refused(api, fits + b" ", 413, None))["type"].endswith(":too-large")


@pytest.mark.parametrize("announced", ["200000000", "65537", "-1", "1e3", "9" * 5000, "²", "1, 1"])
async def test_what_is_announced_is_believed_to_its_disadvantage(api: Api, announced: str) -> None:
    answer = await api.client.request(
        "POST",
        PREVIEW,
        content=b"{}",
        headers=[(b"content-type", b"application/json"), (b"content-length", announced.encode("latin-1"))]
        + [(name.encode(), value.encode()) for name, value in api.citizen().items()],
    )
    assert answer.status_code == 413, answer.text


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "text/json",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/json; charset=utf-8; charset=utf-7",
        "application/jsonx",
        "application/problem+json",
        "json",
        "application/json, text/plain",
    ],
)
async def test_another_media_type(api: Api, kind: str) -> None:
    await refused(api, a_move(), 415, None, **{"content-type": kind})


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON", 'application/json;charset="UTF-8"'])
async def test_the_right_media_type_however_written(api: Api, kind: str) -> None:
    answer = await api.post(PREVIEW, a_move(), api.citizen() | {"content-type": kind})
    assert answer.status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "x"])
async def test_a_compressed_body(api: Api, coding: str) -> None:
    await refused(api, a_move(), 415, None, **{"content-encoding": coding})


# What people really are called, and where they really live


async def told(api: Api, move: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await api.post(PREVIEW, move)
    assert answer.status_code == 200, answer.text
    recipients: list[dict[str, Any]] = answer.json()["recipients"]
    return recipients


def with_child(name: str, born: str = "2020-02-29") -> dict[str, Any]:
    move = a_move()
    move["change"]["household"] = [{"name": {"nameParts": [{"type": "GivenName", "value": name}]}, "birthDate": born}]
    return move


async def test_composed_and_decomposed_letters_are_one_text(api: Api) -> None:
    twins = [unicodedata.normalize(form, "Tŷ'r Ŵylan, Rhes y Gŵr") for form in ("NFC", "NFD")]
    assert twins[0] != twins[1]
    shown = [await told(api, a_move(buildingName=twin)) for twin in twins]
    assert shown[0] == shown[1]
    assert twins[0] in json.dumps(shown[1], ensure_ascii=False)
    for form in ("NFC", "NFD"):
        await told(api, a_move(buildingName=unicodedata.normalize(form, "ŵ" * 255)))


async def test_one_key_with_composed_and_decomposed_letters_is_one_change(api: Api) -> None:
    answers = []
    for form in ("NFC", "NFD", "NFC"):
        move = a_move(buildingName=unicodedata.normalize(form, "Tŷ Ŵyn"))
        answers.append(await api.tell(move, key="twins", headers=api.citizen(20)))
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert len({answer.json()["reference"] for answer in answers}) == 1


@pytest.mark.parametrize(
    "name",
    [
        "X",
        "ŵ" * 300,
        "\u041c\u0430\u0440\u0438\u044f",
        "\u039f",
        "日本太郎",
        "O\u2019Brien",
        "José María",
        "Llŷr-Gwŷdd",
        "Jr.",
    ],
)
async def test_names_that_people_have(api: Api, name: str) -> None:
    await told(api, with_child(name))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ŵ" * 301,
        "Si\u200bân",
        "Si\u00adân",
        "\u0421iân",
        "Si\u03b1n",
        "\uff33iân",
        "Siân\u202e",
        "\u2800",
        "\U000e0041",
        "S\ufe0fi",
    ],
    ids=ascii,
)
async def test_names_that_deceive(api: Api, name: str) -> None:
    await refused(api, with_child(name), 422, "/change/household/0/name/nameParts/0/value")


@pytest.mark.parametrize(
    "day",
    [
        "2026-02-30",
        "2026-13-01",
        "2025-02-29",
        "1717200000",
        "20260601",
        "2026-06-01T00:00:00",
        "2026-6-1",
        "today",
        "10000-01-01",
        "-001-01-01",
        "0000-01-01",
        "\u0662\u0660\u0662\u0666-\u0660\u0666-\u0660\u0661",
        "",
        20260601,
        None,
        1.5,
    ],
    ids=str,
)
async def test_what_is_no_date(api: Api, day: object) -> None:
    move = a_move()
    move["change"]["effectiveDate"] = day
    await refused(api, move, 422, "/change/effectiveDate")


@pytest.mark.parametrize(("day", "code"), [("0001-01-01", "too_long_ago"), ("9999-12-31", "too_far_ahead")])
async def test_dates_at_the_ends_of_time(api: Api, day: str, code: str) -> None:
    move = a_move()
    move["change"]["effectiveDate"] = day
    await refused(api, move, 422, "/change/effectiveDate", code)
    await told(api, a_move(validFrom=day))


async def test_the_29th_of_february(api: Api) -> None:
    move = a_move()
    move["change"]["effectiveDate"] = "2024-02-29"
    await told(api, move)
    await told(api, with_child("Gwen", "2024-02-29"))


async def test_a_child_born_in_the_year_1(api: Api) -> None:
    await refused(api, with_child("Gwen", "0001-01-01"), 422, "/change", "value_error")


@pytest.mark.parametrize(
    "place",
    [
        {"uprn": None, "postalCode": "BFPO 58", "organisationName": "BFPO"},
        {"uprn": None, "postalCode": "75001", "addressCountry": "FR"},
        {"uprn": None, "postalCode": None, "addressLocality": "Dún Laoghaire", "addressCountry": "IE"},
        {"uprn": None, "postalCode": None},
    ],
    ids=["BFPO", "overseas", "no postcode there", "no postcode"],
)
async def test_addresses_whose_council_nobody_knows(api: Api, place: dict[str, Any]) -> None:
    move = a_move(**place)
    move["change"]["newAddress"] = {name: value for name, value in move["change"]["newAddress"].items() if value}
    answer = await api.post(PREVIEW, move)
    assert answer.status_code == 200, answer.text
    assert answer.json()["unknownAreas"] == ["new"]
    assert [one for one in answer.json()["notTold"] if "new" in one["ends"]], "and it is said what to do about it"
    assert {item["organisation"].rpartition("-")[0] for item in answer.json()["recipients"]} == {
        "cardiff-council",
        "transport-for-wales",
    }


async def test_a_postcode_that_does_not_exist(api: Api) -> None:
    move = a_move(postalCode="not one at all")
    del move["change"]["newAddress"]["uprn"]
    await refused(api, move, 422, "/change/newAddress/postalCode", "no_such_postcode")


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"addressCountry": "fr"}, "/change/newAddress/addressCountry"),
        ({"addressCountry": "FRA"}, "/change/newAddress/addressCountry"),
        ({"postalCode": "SA1 1AA SA1 1AA SA1 1AA"}, "/change/newAddress/postalCode"),
        ({"postalCode": "SA1\u00001AA"}, "/change/newAddress/postalCode"),
        ({"validFrom": "2026-02-02", "validUntil": "2026-02-01"}, "/change/newAddress"),
    ],
)
async def test_addresses_that_cannot_be(api: Api, wrong: dict[str, Any], pointer: str) -> None:
    await refused(api, a_move(**wrong), 422, pointer)


@pytest.mark.parametrize(
    "digest", ["x", "e30", "W10", "bnVsbA", "eyJhIjoxfQ", "eyJhIjoiXHVkODAwIn0", "____", "A" * 16000]
)
async def test_a_preview_that_is_not_ours(api: Api, digest: str) -> None:
    answer = await api.post("/v1/changes", a_move() | {"preview": digest}, api.citizen() | {"idempotency-key": "k"})
    assert answer.status_code in {409, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_marks_of_a_preview_that_are_not_text(api: Api) -> None:
    shown = await api.previewed()
    marks = json.loads(base64.urlsafe_b64decode(shown["preview"] + "=" * (-len(shown["preview"]) % 4)))
    forged = base64.urlsafe_b64encode(json.dumps(dict.fromkeys(marks, "\ud800")).encode()).decode().rstrip("=")
    answer = await api.post("/v1/changes", shown | {"preview": forged}, api.citizen() | {"idempotency-key": "forged"})
    assert answer.status_code in {409, 422}, answer.text

"""What is said while the gazetteer does not answer, and of a postcode that does not exist: in both languages."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from broker.language import words_in
from broker.store.register import Place
from broker.verification import GazetteerAway, Placed
from contracts.address import Address
from tests.support.api import Api, a_move_on_the_wire, broken
from tests.support.front import URL, a_front

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Away:
    """A gazetteer that does not answer."""

    def __init__(self) -> None:
        self.asked = 0

    async def placed(self, addresses: Sequence[Address]) -> list[Placed]:
        self.asked += 1
        return [Placed(None, checked=False) for _ in addresses]

    async def at(self, postal_code: str, language: str) -> list[Place]:
        raise GazetteerAway

    async def search(self, text: str, postal_code: str | None, language: str) -> list[Place]:
        raise GazetteerAway


async def test_who_looks_for_an_address_is_told_to_type_it(api: Api) -> None:
    async with a_front(replace(api, parts=replace(api.parts, gazetteer=Away()))) as front, front.browser() as browser:
        await browser.signs_in(prove=True)
        form, headers = {"csrf": await browser.token()}, {"Origin": URL}
        await browser.http.post("/change", data=form | {"kind": "address"}, headers=headers)
        for asked in ({"postcode": "CF99 9AA"}, {"part": "3 Otter Row"}):
            sent = await browser.http.post("/move/new/postcode", data=form | asked, headers=headers)
            assert sent.status_code == 303
            for language in ("en", "cy"):
                place = f"{sent.headers['location']}&lang={language}"
                page = (await browser.http.get(place, follow_redirects=True)).text
                assert words_in("cy" if language == "cy" else "en")("gazetteer-away") in page
                assert 'href="/move/new/type' in page
        typed = {"building": "7", "street": "Otter Row", "town": "Cardiff", "postcode": "CF10 1AA"}
        answer = await browser.http.post("/move/new/type", data=form | typed, headers=headers)
        assert (answer.status_code, answer.headers["location"]) == (303, "/move/previous")


async def test_software_is_told_to_ask_again(api: Api) -> None:
    async with broken(api, gazetteer=Away()) as client:
        for asked in ({"postalCode": "CF99 9AA"}, {"text": "3 Otter Row"}):
            answer = await client.post("/v1/addresses/search", json=asked, headers=api.citizen())
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:wales:unwaith:problem:unavailable"
            assert answer.headers["retry-after"]


@pytest.mark.parametrize("kept", [True, False], ids=["where it lay is kept", "told before that was kept"])
async def test_whoever_was_told_is_not_said_to_be_unknown_while_it_is_away(
    api: Api, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    who = api.citizen(81 if kept else 82)
    told = await api.tell(a_move_on_the_wire(), headers=who)
    assert told.status_code == 202, told.text
    if not kept:
        async with api.line.database.connection() as connection:
            await connection.execute("UPDATE change SET placed = NULL")
    away = Away()
    monkeypatch.setattr(api.parts.intake, "_gazetteer", away)
    seen = (await api.client.get(f"/v1/changes/{told.json()['reference']}", headers=who)).json()
    assert "only-yourself" in {one["reason"] for one in seen["notTold"]}
    assert "area-unknown" not in {one["reason"] for one in seen["notTold"]}
    assert away.asked == (0 if kept else 1), "each look would be paid for"


async def test_a_typed_postcode_that_does_not_exist_is_named_in_both_languages(api: Api) -> None:
    move = a_move_on_the_wire()
    typed = {"buildingNumber": "7", "addressLocality": "Cardiff"}
    for code, refused in (("CF99 9QQ", True), ("CF10 3AT", False), ("ZZ99 3VZ", False), ("CF99 9ZZ", False)):
        move["change"]["newAddress"] = typed | {"postalCode": code}
        for language, detail in (("en", "is not a postcode that exists"), ("cy", "nid yw’n god post sy’n bodoli")):
            answer = await api.post("/v1/changes/preview", move, api.citizen() | {"accept-language": language})
            faults = answer.json().get("errors", [])
            assert [(one["pointer"], one["code"], one["detail"]) for one in faults] == (
                [("/change/newAddress/postalCode", "no_such_postcode", detail)] if refused else []
            ), code
    move["change"]["newAddress"] = typed | {"postalCode": "CF99 9QQ", "addressCountry": "FR"}
    assert "errors" not in (await api.post("/v1/changes/preview", move, api.citizen())).json()

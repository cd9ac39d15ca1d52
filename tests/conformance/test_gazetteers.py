"""What every gazetteer must do, for ours and for OS Places; and OS Places when it is limited, away or says nonsense."""

import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from broker.main.credentials import by_secret
from broker.main.samples import sample_places
from broker.outbound.client import GuardedClient, tls_context
from broker.outbound.oauth import Tokens
from broker.store import Database, register
from broker.verification import Gazetteer, GazetteerAway, OsPlaces, OsPlacesGazetteer, StoredGazetteer
from broker.verification.os_places import place_of
from contracts.address import Address
from contracts.credentials import ClientCredentials
from tests.support.os_places import KEY, SECRET, Peer, a_peer

CARDIFF, SWANSEA = 6815, 6855
HOME = 900_000_000_001


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with a_peer() as found:
        yield found


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    found = GuardedClient(tls=tls_context(), deadline=timedelta(seconds=5), allowed_hosts=["127.0.0.1"])
    yield found
    await found.close()


Making = Callable[..., OsPlacesGazetteer]


@pytest.fixture
def licensed(database: Database, peer: Peer, client: GuardedClient, clock: Clock) -> Making:
    def made(*, oauth: bool = False, a_minute: int = 600) -> OsPlacesGazetteer:
        credentials = ClientCredentials(
            token_endpoint=f"{peer.url}/oauth2/token/v1", client_id=KEY, method="client_secret_basic"
        )
        proof = by_secret(credentials, lambda _: SECRET.encode())
        tokens = Tokens(client.post, credentials, proof, lambda: datetime.now(UTC)) if oauth else None
        url = f"{peer.url}/search/places/v1"
        places = OsPlaces(client.get, url, key=None if oauth else KEY, tokens=tokens, a_minute=a_minute, clock=clock)
        return OsPlacesGazetteer(places, StoredGazetteer(database), clock=clock)

    return made


@pytest.fixture(params=["stored", "os-places", "os-places-oauth"])
async def gazetteer(request: pytest.FixtureRequest, database: Database, licensed: Making) -> Gazetteer:
    if request.param == "stored":
        await register.put_places(database, sample_places())
        return StoredGazetteer(database)
    return licensed(oauth=request.param == "os-places-oauth")


class TestEveryGazetteer:
    async def test_it_gives_each_home_at_a_postcode_once_in_both_languages(self, gazetteer: Gazetteer) -> None:
        for language, street, town in (("en", "Otter Row", "Cardiff"), ("cy", "Rhes y Dyfrgi", "Caerdydd")):
            found = await gazetteer.at("CF99 9AA", language)
            assert [one.address["buildingNumber"] for one in found] == ["1", "2", "3", "4", "5", "6"]
            assert {(one.address["streetName"], one.address["addressLocality"]) for one in found} == {(street, town)}
            assert {(one.custodian_code, one.language, one.postal_code) for one in found} == {
                (CARDIFF, language, "CF99 9AA")
            }
            assert found[0].address["uprn"] == found[0].uprn == HOME
        assert await gazetteer.at("CF99 9ZZ", "en") == []

    async def test_what_it_gives_is_an_address(self, gazetteer: Gazetteer) -> None:
        for code in ("CF99 9AB", "CF99 9AD", "CF99 9AE", "SY99 9AA"):
            for language in ("cy", "en"):
                for one in await gazetteer.at(code, language):
                    read = Address.model_validate_json(orjson.dumps(one.address))
                    assert (read.uprn, read.postal_code) == (one.uprn, code)
        [first, _] = await gazetteer.at("CF99 9AB", "en")
        assert (first.address["subBuildingName"], first.address["buildingName"]) == ("Flat 1", "Invention House")

    async def test_it_says_where_an_address_lies_or_that_it_is_not_certain(self, gazetteer: Gazetteer) -> None:
        [swansea] = {one.uprn for one in await gazetteer.at("SA99 9AD", "en")}
        asked = [Address(uprn=HOME), Address(uprn=swansea), Address(uprn=1), Address(address_locality="Nowhere")]
        found = await gazetteer.placed(asked)
        assert [one.custodian_code for one in found] == [CARDIFF, SWANSEA, None, None]
        assert all(one.checked for one in found)
        here, elsewhere = (
            Address(address_locality="Trelew", postal_code="CF99 9AA", address_country=country)
            for country in ("GB", "AR")
        )
        found = await gazetteer.placed([here, elsewhere])
        assert [one.custodian_code for one in found] == [
            CARDIFF if isinstance(gazetteer, StoredGazetteer) else None,  # what is typed, OS Places does not know
            None,
        ], "a postcode is one of this country only"
        assert await gazetteer.placed([]) == []

    async def test_it_finds_by_words_in_either_language(self, gazetteer: Gazetteer) -> None:
        for typed in ("3 Otter Row, Cardiff", "3 Rhes y Dyfrgi, Caerdydd"):
            for language, street in (("en", "Otter Row"), ("cy", "Rhes y Dyfrgi")):
                [first, *_] = await gazetteer.search(typed, None, language)
                assert (first.address["buildingNumber"], first.custodian_code) == ("3", CARDIFF)
                assert typed[2:].startswith("Rhes") or first.address["streetName"] == street or language == "cy"
        assert await gazetteer.search("Marsh Mallow Boulevard", None, "en") == []
        assert len(await gazetteer.search("", "CF99 9AA", "en")) == 6


async def test_the_key_stands_in_a_header_and_in_no_address(licensed: Making, peer: Peer) -> None:
    await licensed().at("CF99 9AA", "en")
    await licensed(oauth=True).at("CF99 9AA", "en")
    (by_key, first), (by_token, second) = peer.asked
    assert (first["key"], "authorization" in first) == (KEY, False)
    assert (second["authorization"], "key" in second) == ("Bearer invented-token1", False)
    assert KEY not in by_key + by_token


async def test_a_token_that_is_refused_is_fetched_anew_once(licensed: Making, peer: Peer) -> None:
    gazetteer = licensed(oauth=True)
    await gazetteer.at("CF99 9AA", "en")
    peer.tokens += 1  # the one given is good no more
    assert len(await gazetteer.at("CF99 9AA", "en")) == 6
    assert len(peer.asked) == 3


async def test_no_more_is_asked_in_a_minute_than_is_allowed(licensed: Making, peer: Peer, clock: Clock) -> None:
    gazetteer = licensed(a_minute=3)
    for _ in range(3):
        await gazetteer.at("CF99 9AA", "en")
    with pytest.raises(GazetteerAway):
        await gazetteer.at("CF99 9AA", "en")
    clock.now = 59.0
    with pytest.raises(GazetteerAway):
        await gazetteer.at("CF99 9AA", "en")
    assert len(peer.asked) == 3
    clock.now = 60.0
    assert len(await gazetteer.at("CF99 9AA", "en")) == 6


@pytest.mark.parametrize("status", [429, 500, 503, 408, 403, 404, 302, 204])
async def test_what_does_not_answer_is_left_alone_for_longer_each_time(
    licensed: Making, peer: Peer, clock: Clock, status: int
) -> None:
    gazetteer, peer.status = licensed(), status
    for seconds in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
        before = len(peer.asked)
        for _ in range(3):
            with pytest.raises(GazetteerAway):
                await gazetteer.at("CF99 9AA", "en")
        assert len(peer.asked) == before + 1, "it was asked while it was to be left alone"
        clock.now += seconds
    peer.status = None
    assert len(await gazetteer.at("CF99 9AA", "en")) == 6
    peer.status = status
    with pytest.raises(GazetteerAway):
        await gazetteer.at("CF99 9AA", "en")
    clock.now += 1.0
    peer.status = None
    assert len(await gazetteer.at("CF99 9AA", "en")) == 6, "one good answer begins it anew"


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b"null", b'{"header": 1}', b'{"header": {"totalresults": "x"}}', b'{"header": {"totalresults": 1}, "results": [3]}', b'{"header": {"totalresults": 1}, "results": 3}', b"\xff\xfe"],
)  # fmt: skip
async def test_nonsense_is_away_and_not_an_error(licensed: Making, peer: Peer, body: bytes) -> None:
    gazetteer, peer.body = licensed(), body
    with pytest.raises(GazetteerAway):
        await gazetteer.at("CF99 9AA", "en")


@pytest.mark.parametrize(
    "spoil",
    [
        {"UPRN": "x"},
        {"UPRN": None},
        {"UPRN": "0"},
        {"LOCAL_CUSTODIAN_CODE": None},
        {"POSTCODE": "é", "POSTCODE_LOCATOR": "é"},
    ],
)
async def test_a_result_that_is_not_whole_is_left_out(licensed: Making, peer: Peer, spoil: dict[str, Any]) -> None:
    gazetteer, peer.spoil = licensed(), spoil
    assert await gazetteer.at("CF99 9AA", "en") == []


async def test_away_an_address_is_unchecked_and_only_its_postcode_places_it(
    licensed: Making, peer: Peer, database: Database
) -> None:
    gazetteer, peer.status = licensed(), 503
    await register.put_places(database, [register.Place(7, "en", SWANSEA, "SA99 9ZZ", {}, invented=True)])
    with_uprn, typed = Address(uprn=HOME), Address(building_number="1", postal_code="SA99 9ZZ")
    found = await gazetteer.placed([with_uprn, typed])
    assert [(one.custodian_code, one.checked) for one in found] == [(None, False), (SWANSEA, False)]


async def test_whose_a_uprn_is_is_believed_for_a_minute(licensed: Making, peer: Peer, clock: Clock) -> None:
    gazetteer = licensed()
    for _ in range(3):
        assert (await gazetteer.placed([Address(uprn=HOME)]))[0].custodian_code == CARDIFF
    assert len(peer.asked) == 1
    peer.status = 503
    assert (await gazetteer.placed([Address(uprn=HOME)]))[0].checked
    clock.now = 61.0
    assert not (await gazetteer.placed([Address(uprn=HOME)]))[0].checked


async def test_nothing_that_was_asked_is_logged(
    licensed: Making, peer: Peer, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gazetteer = licensed()
    assert await gazetteer.at("CF99 9AA", "en")
    assert await gazetteer.search("3 Otter Row", None, "en")
    peer.status = 503
    with pytest.raises(GazetteerAway, match=r"^$"):
        await gazetteer.at("CF99 9AA", "en")
    said = capsys.readouterr()
    told = said.out + said.err + caplog.text
    for word in ("CF99", "9AA", "Otter", KEY):
        assert word not in told


def test_results_of_both_kinds_are_the_same_address() -> None:
    mail = {"UPRN": "123", "BUILDING_NUMBER": "4A", "THOROUGHFARE_NAME": "HEOL PEN-Y-BONT", "POST_TOWN": "CAERDYDD", "POSTCODE": "CF99 9AA", "LOCAL_CUSTODIAN_CODE": 6815, "LANGUAGE": "CY"}  # fmt: skip
    authority = {"UPRN": "123", "PAO_START_NUMBER": 4, "PAO_START_SUFFIX": "A", "STREET_DESCRIPTION": "HEOL PEN-Y-BONT", "TOWN_NAME": "CAERDYDD", "POSTCODE_LOCATOR": "CF99 9AA", "LOCAL_CUSTODIAN_CODE": "6815", "LPI_LOGICAL_STATUS_CODE": "1", "LANGUAGE": "CY"}  # fmt: skip
    found = place_of({"DPA": mail})
    assert found is not None
    assert found == place_of({"LPI": authority})
    assert (found.address["buildingNumber"], found.address["streetName"]) == ("4A", "Heol Pen-y-Bont")
    assert place_of({"LPI": {**authority, "LPI_LOGICAL_STATUS_CODE": "8"}}) is None, "historical"
    assert place_of({"LPI": {**authority, "POSTAL_ADDRESS_CODE": "N"}}) is None, "no post is brought there"
    ranged = place_of({"LPI": {**authority, "PAO_END_NUMBER": 6, "SAO_TEXT": "FLAT", "SAO_START_NUMBER": "2"}})
    assert ranged is not None
    assert (ranged.address["buildingNumber"], ranged.address["subBuildingName"]) == ("4A-6", "Flat 2")

"""Finding an address by what people type, on a real PostgreSQL, among the sandbox's invented addresses."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from broker.main.samples import sample_places
from broker.store import Database, finding, register
from broker.store.embedded import EmbeddedPostgres
from broker.verification import StoredGazetteer
from tests.load.plans import Explaining, OneTransaction
from tests.support.postgres import fresh_database

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def module_dsn(postgres: EmbeddedPostgres, _template: str) -> object:
    yield from fresh_database(postgres, _template)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def held(module_dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(module_dsn)
    await register.put_places(database, sample_places())
    yield database
    await database.close()


async def first(database: Database, text: str, language: str = "en", postal_code: str | None = None) -> str:
    found = await StoredGazetteer(database).search(text, postal_code, language)
    return in_words(found[0]) if found else ""


def in_words(place: register.Place) -> str:
    parts = ("subBuildingName", "buildingName", "buildingNumber", "streetName", "addressLocality", "postalCode")
    return " ".join(str(place.address[part]) for part in parts if part in place.address)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("3 Otter Row, Cardiff", "3 Otter Row Cardiff CF99 9AA"),
        ("3 otter row cardiff cf999aa", "3 Otter Row Cardiff CF99 9AA"),
        ("3 Oter Row Cardif", "3 Otter Row Cardiff CF99 9AA"),  # a letter left out, twice
        ("3 Ottre Row", "3 Otter Row Cardiff CF99 9AA"),  # two letters changed places
        ("3 Otterr Rwo", "3 Otter Row Cardiff CF99 9AA"),
        ("3 Rhes y Dyfrgi, Caerdydd", "3 Otter Row Cardiff CF99 9AA"),
        ("3 Rhes y Dyfrgi, Cardiff", "3 Otter Row Cardiff CF99 9AA"),
        ("3 otter row swansea", "3 Otter Row Cardiff CF99 9AA"),  # the town is wrong
        ("12a Bell Heather Way", "12A Bell Heather Way Cardiff CF99 9AD"),
        ("12 Bell Heather Way", "12A Bell Heather Way Cardiff CF99 9AD"),  # none is 12: what is nearest to it
        ("Flat 2 Invention House Heron Quay", "Flat 2 Invention House Heron Quay Cardiff CF99 9AB"),
        ("2 invention hse, heron quay", "Flat 2 Invention House Heron Quay Cardiff CF99 9AB"),
        ("Fflat 2, Tŷ Dychymyg, Cei'r Crëyr", "Flat 2 Invention House Heron Quay Cardiff CF99 9AB"),
        ("fflat 2 ty dychymyg", "Flat 2 Invention House Heron Quay Cardiff CF99 9AB"),
        ("Lark Cottage", "Lark Cottage Old Ferry Lane Cardiff CF99 9AE"),
        ("lark cotage ferry lane", "Lark Cottage Old Ferry Lane Cardiff CF99 9AE"),
        ("Bwthyn yr Ehedydd", "Lark Cottage Old Ferry Lane Cardiff CF99 9AE"),
        ("Bwthyn yr Ehedyd, Lôn yr Hen Fferi", "Lark Cottage Old Ferry Lane Cardiff CF99 9AE"),
        ("23 Lamp Room Terrace Abertawe", "23 Lamp Room Terrace Swansea SA99 9AB"),
        ("4 seagrass st", "4 Seagrass Street Swansea SA99 9AA"),
        ("4 Seagrass Street CF99 9AA", "4 Seagrass Street Swansea SA99 9AA"),  # the postcode is another's
    ],
)
async def test_what_is_typed_finds_what_is_meant(held: Database, typed: str, meant: str) -> None:
    assert await first(held, typed) == meant


async def test_it_is_given_in_the_language_that_was_asked_for(held: Database) -> None:
    assert await first(held, "3 Otter Row", "cy") == "3 Rhes y Dyfrgi Caerdydd CF99 9AA"
    assert await first(held, "3 Rhes y Dyfrgi", "en") == "3 Otter Row Cardiff CF99 9AA"


async def test_at_a_postcode_a_number_is_enough(held: Database) -> None:
    assert await first(held, "5", postal_code="cf999aa") == "5 Otter Row Cardiff CF99 9AA"
    found = await StoredGazetteer(held).search("CF99 9AA", None, "en")
    assert len(found) == 6


@pytest.mark.parametrize(
    "typed", ["", "zzzz", "1", "Marsh Mallow Boulevard, Aberdeen", "~", "%%%", "' OR 1=1 --", "ŵ" * 200]
)
async def test_what_is_nobodys_address_finds_nothing(held: Database, typed: str) -> None:
    assert await first(held, typed) == ""


async def test_words_of_an_address_that_is_replaced_are_gathered_anew(held: Database) -> None:
    sample = sample_places()[0].address
    for street in ("Marsh Mallow Row", "Figwort Row"):
        address = {**sample, "streetName": street, "postalCode": "CF99 9ZZ"}
        await register.put_places(held, [register.Place(909, "en", 6815, "CF99 9ZZ", address, invented=True)])
    assert await first(held, "1 Figwort Row") == "1 Figwort Row Cardiff CF99 9ZZ"
    assert await first(held, "1 Marsh Mallow Row") == ""


async def test_words_are_found_by_their_index(held: Database) -> None:
    found: dict[str, str] = {}
    async with held.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SET LOCAL enable_seqscan = off")  # what has no index is read whole all the same
        one = OneTransaction(Explaining(connection, found))
        await finding.meanings(one, ["otter", "cardiff"])
        await finding.where_all_stand(one, [["otter"], ["cardiff"]], ["1"], 12)
        await transaction.rollback()
    assert not any("Seq Scan" in plan for plan in found.values()), found
    assert any(re.search(r"Bitmap Index Scan on found_at_words", plan) for plan in found.values()), found

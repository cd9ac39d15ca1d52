"""Finding one of very many addresses by what people type. Every address in it is invented."""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import orjson

from broker.language.address_words import words_of
from broker.store import Database, finding
from broker.verification import StoredGazetteer
from tests.load.figures import Figure, percentile
from tests.load.gazetteer import postcode

GOAL: Final = 5.0
HOMES: Final = 15
"""Addresses at a postcode."""
ASKED: Final = 300
SEED: Final = 20_261_122
KINDS: Final = (("Road", "Heol"), ("Street", "Stryd"), ("Lane", "Lôn"), ("Close", "Clos"), ("Avenue", "Rhodfa"))
SYLLABLES: Final = re.findall(
    r"\w+", "bran tyr cal mor wen dol pell gar lun hesk far nant ost rill vo sed pwll quen tor ash mel ith"
)
TOWNS: Final = (
    ("Cardiff", "Caerdydd"), ("Swansea", "Abertawe"), ("Newport", "Casnewydd"), ("Wrexham", "Wrecsam"),
    ("Bridgend", "Pen-y-bont ar Ogwr"), ("Neath", "Castell-nedd"), ("Barry", "Y Barri"), ("Brecon", "Aberhonddu"),
    *((f"Invented{n:02}ton", f"Tredychymyg{n:02}") for n in range(52)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Home:
    """One invented property."""

    uprn: int
    code: str
    building: str
    """A number, or a name."""
    street: tuple[str, str]
    """In English and in Welsh."""
    town: tuple[str, str]

    def address(self, welsh: int) -> dict[str, Any]:
        part = "buildingNumber" if self.building[0].isdigit() else "buildingName"
        named = {"streetName": self.street[welsh], "addressLocality": self.town[welsh], "postalCode": self.code}
        return {"uprn": self.uprn, part: self.building, **named}


def homes(count: int) -> Iterator[Home]:
    """Yield as many homes, the same every time: two postcodes a street, one street in ten of named houses."""
    dice = random.Random(SEED)
    words = ["".join(dice.choices(SYLLABLES, k=dice.choice((2, 2, 3)))).title() for _ in range(6_000)]
    street, town = ("", ""), TOWNS[0]
    for number in range(count):
        place, home = divmod(number, HOMES)
        if number % (2 * HOMES) == 0:
            name = " ".join(words[int(len(words) * dice.random() ** 2)] for _ in range(dice.choice((1, 2))))
            english, welsh = dice.choice(KINDS)
            street, town = (f"{name} {english}", f"{welsh} {name}"), TOWNS[int(len(TOWNS) * dice.random() ** 2)]
        named = place // 2 % 10 == 0
        building = f"{dice.choice(words)} Cottage" if named else str(1 + home + HOMES * (place % 2))
        yield Home(900_000_000_000 + number, postcode(place), building, street, town)


async def fill(dsn: str, count: int) -> None:
    """Put homes into the store in both languages, with their words."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "unwaith,public", "jit": "off"})
    columns = ["uprn", "language", "custodian_code", "postal_code", "address", "invented", "found_by"]
    rows: list[tuple[Any, ...]] = []
    known: dict[tuple[str, str], str] = {}

    async def write() -> None:
        await connection.copy_records_to_table("place", records=rows, columns=columns, schema_name="unwaith")
        rows.clear()

    codes: set[str] = set()
    for home in homes(count):
        codes.add(home.code)
        for welsh, language in enumerate(("en", "cy")):
            where = home.street[welsh], home.town[welsh]
            found = known.setdefault(where, " ".join(words_of(" ".join(where))))
            building = " ".join(words_of(home.building))
            address = orjson.dumps(home.address(welsh)).decode()
            rows.append((home.uprn, language, 6815, home.code, address, True, f"{building} {found}"))
        if len(rows) >= 40_000:
            await write()
    await write()
    await connection.execute("ANALYZE place")
    await finding.gather(connection, list(codes))
    await connection.execute("ANALYZE found_at; ANALYZE meant")
    await connection.execute("VACUUM found_at")
    await connection.execute("VACUUM place")
    await connection.close()


async def measured(dsn: str, count: int) -> list[Figure]:
    """Ask for homes in several ways: what each takes, and how many are given first."""
    dice = random.Random(SEED + 1)
    wanted = set(dice.sample(range(count), ASKED))
    chosen = [home for number, home in enumerate(homes(count)) if number in wanted]
    database = await Database.open(dsn, size=2)
    gazetteer = StoredGazetteer(database)
    found = []
    try:
        for name, typed in _WAYS.items():
            took, first = [], 0
            for home in chosen[:20]:
                await gazetteer.search(typed(home, dice), None, "en")
            for home in chosen:
                said = typed(home, dice)
                began = time.perf_counter()
                places = await gazetteer.search(said, None, "en")
                took.append((time.perf_counter() - began) * 1000)
                same = [one.uprn for one in places[:1] if _alike(one.address, home)]
                first += bool(same)
            found += [
                Figure(f"gazetteer.find.{name}.p50", percentile(took, 0.5), "ms", "lower", GOAL),
                Figure(f"gazetteer.find.{name}.p99", percentile(took, 0.99), "ms", "lower"),
                Figure(f"gazetteer.find.{name}.first", 100 * first / len(chosen), "%", "higher"),
            ]
    finally:
        await database.close()
    return found


def _alike(address: dict[str, Any], home: Home) -> bool:
    """Return whether it is what was asked for: the same words; several homes of this making have the same."""
    return {address.get("buildingNumber"), address.get("buildingName")} >= {home.building} and (
        address["streetName"],
        address["addressLocality"],
    ) == (home.street[0], home.town[0])


def _wrong(street: str, dice: random.Random) -> str:
    """Return a street with one letter wrong in each longer word."""
    return " ".join(_one_wrong(word, dice) if len(word) > 4 else word for word in street.split())


def _one_wrong(word: str, dice: random.Random) -> str:
    place = dice.randrange(1, len(word) - 1)
    return dice.choice((word[:place] + word[place + 1 :], word[:place] + dice.choice("aeiou") + word[place + 1 :]))


_WAYS: Final[Mapping[str, Callable[[Home, random.Random], str]]] = {
    "postcode": lambda home, _: f"{home.building} {home.code}",
    "words": lambda home, _: f"{home.building} {home.street[0]}, {home.town[0]}",
    "welsh": lambda home, _: f"{home.building} {home.street[1]}, {home.town[1]}",
    "typo": lambda home, dice: f"{home.building} {_wrong(home.street[0], dice)}, {home.town[0]}",
    "street": lambda home, _: f"{home.building} {home.street[0]}",
}
"""What somebody types who looks for a home."""

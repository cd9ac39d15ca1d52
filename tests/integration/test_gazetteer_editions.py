"""Open data imported into a real PostgreSQL: in use whole or not at all, and what it then says of an address.

Every file is in its publisher's layout, and invented.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from broker.cli.commands import app
from broker.register.wales import councils
from broker.store import Database, editions, register
from broker.store.editions import ImportUnderWay, Unit
from broker.verification import StoredGazetteer, importing
from broker.verification.gazetteer import authority
from broker.verification.importing import Imported, ImportRefused, import_edition
from broker.verification.open_data import SOURCES, edition_of, opened
from contracts.address import Address
from tests.support.open_data import (
    BRISTOL,
    CARDIFF,
    SWANSEA,
    Postcode,
    code_point_zip,
    onspd,
    onspd_zip,
    open_uprn,
    open_uprn_zip,
)

CODES = {council.gss: code for code, council in councils().items()}
IN_CARDIFF = ("318000", "176000", "1")
HOME = 900_000_000_001


async def imported(database: Database, name: str, file: Path, **options: Any) -> Imported:
    source = SOURCES[name]
    found = opened(source, file)
    return await import_edition(database, source, found, edition_of(source, found) or "none", CODES, **options)


def unit_rows(count: int, gss: str = CARDIFF) -> list[Postcode]:
    letters = "ABDEFGHJLNPQRSTUWXYZ"
    return [(f"CF99 9{letters[n // 20]}{letters[n % 20]}", "", gss, *IN_CARDIFF) for n in range(count)]


async def whose(database: Database, address: Address) -> int | None:
    [code] = await StoredGazetteer(database).custodians([address])
    return code


def typed(postal_code: str, uprn: int | None = None) -> Address:
    return Address(building_number="1", street_name="Otter Row", postal_code=postal_code, uprn=uprn)


async def test_an_edition_is_in_use_with_its_digest_and_the_one_before_is_kept(
    database: Database, tmp_path: Path
) -> None:
    file = onspd_zip(tmp_path, [("CF99 9AA", "", CARDIFF, *IN_CARDIFF)])
    first = await imported(database, "onspd", file)
    assert first.digest == hashlib.sha256(file.read_bytes()).digest()
    assert await whose(database, typed("CF999AA")) == 6815
    second = await imported(database, "onspd", onspd_zip(tmp_path, [("CF99 9AA", "", SWANSEA, *IN_CARDIFF)]))
    assert await whose(database, typed("CF99 9AA")) == 6855
    found = await editions.editions(database)
    assert [(one.id, one.edition, one.kept, one.bad, one.in_use) for one in found] == [
        (second.id, "AUG 2026", 1, 0, True),
        (first.id, "AUG 2026", 1, 0, False),
    ]
    assert await editions.use(database, first.id)
    assert await whose(database, typed("CF99 9AA")) == 6815
    assert not await editions.remove(database, first.id, "postcode"), "it is in use"
    assert await editions.remove(database, second.id, "postcode")
    assert not await editions.use(database, second.id)


async def test_an_import_that_is_cut_short_leaves_what_was_in_use(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await imported(database, "onspd", onspd_zip(tmp_path, [("CF99 9AA", "", CARDIFF, *IN_CARDIFF)]))
    monkeypatch.setattr(importing, "BATCH", 10)
    write, written = editions.write, asyncio.Event()

    async def slowly(*arguments: Any) -> list[int]:
        done = await write(*arguments)
        written.set()
        await asyncio.sleep(60)
        return done

    monkeypatch.setattr(editions, "write", slowly)
    half = asyncio.create_task(imported(database, "onspd", onspd_zip(tmp_path, unit_rows(100, SWANSEA))))
    await written.wait()
    assert await whose(database, typed("CF99 9AA")) == 6815, "half of it was to be seen"
    with pytest.raises(ImportUnderWay):
        await imported(database, "onspd", onspd_zip(tmp_path, unit_rows(100, SWANSEA)))
    half.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await half
    monkeypatch.setattr(editions, "write", write)
    assert await whose(database, typed("CF99 9AA")) == 6815
    assert await rows(database) == 11
    await _until(lambda: imported(database, "onspd", onspd_zip(tmp_path, unit_rows(100, SWANSEA))))
    assert await whose(database, typed("CF99 9AA")) == 6855
    assert await rows(database) == 101, "what the one cut short had written is still there"


async def rows(database: Database) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM postcode"))


async def _until(work: Callable[[], Any]) -> None:
    """Do it once the connection of the import before is seen to be gone."""
    async with asyncio.timeout(20):
        while True:
            try:
                await work()
            except ImportUnderWay:
                await asyncio.sleep(0.05)
            else:
                return


async def test_lines_that_cannot_be_read_are_counted_and_too_many_end_it(database: Database, tmp_path: Path) -> None:
    lines = open_uprn([(HOME + n, 318000, 176000) for n in range(20)]) + b"x,1,1,1,1\r\n" * 3
    file = tmp_path / "osopenuprn_202610.csv"
    file.write_bytes(lines)
    with pytest.raises(ImportRefused, match=r"More than 2 lines .* line 22 \(uprn\), .* line 24 \(uprn\)"):
        await imported(database, "open-uprn", file, most_bad=2)
    assert await editions.editions(database) == []
    done = await imported(database, "open-uprn", file, most_bad=3)
    assert (done.counted.kept, done.counted.bad) == (20, 3)
    assert [(one.number, one.code) for one in done.counted.shown] == [(22, "uprn"), (23, "uprn"), (24, "uprn")]


async def test_a_key_that_comes_again_is_a_line_that_cannot_be_used(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH", 3)
    numbers = [1, 2, 3, 4, 4, 1, 5, 5, 6]
    file = open_uprn_zip(tmp_path, open_uprn([(HOME + n, 318000, 176000) for n in numbers]))
    done = await imported(database, "open-uprn", file)
    assert (done.counted.kept, done.counted.bad) == (6, 3)
    assert [(one.number, one.code) for one in done.counted.shown] == [(6, "again"), (7, "again"), (9, "again")]
    assert len(await editions.points(database, [HOME + n for n in range(1, 7)])) == 6


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (onspd([]), "Not one row"),
        (onspd(unit_rows(8)), "may be cut short"),
        (open_uprn([(HOME, 1, 1)]), "not a file of this source"),
    ],
    ids=["empty", "smaller", "another"],
)
async def test_what_looks_wrong_is_not_put_in_use(database: Database, tmp_path: Path, content: bytes, why: str) -> None:
    await imported(database, "onspd", onspd_zip(tmp_path, unit_rows(10)))
    file = tmp_path / "ONSPD_NOV_2026_UK.csv"
    file.write_bytes(content)
    with pytest.raises(ImportRefused, match=why):
        await imported(database, "onspd", file)
    assert [one.edition for one in await editions.editions(database)] == ["AUG 2026"]
    if b"CF99" in content:
        assert (await imported(database, "onspd", file, smaller=True)).counted.kept == 8


async def test_a_cut_zip_is_refused_and_says_what_to_do(database: Database, tmp_path: Path) -> None:
    file = onspd_zip(tmp_path, unit_rows(300))
    whole = bytearray(file.read_bytes())
    place = whole.find(b"Data/ONSPD") + 60
    whole[place] ^= 0xFF
    file.write_bytes(whole)
    with pytest.raises(ImportRefused, match="Download it again"):
        await imported(database, "onspd", file)


async def test_a_postcode_says_whose_an_address_is_only_where_everything_agrees(
    database: Database, tmp_path: Path
) -> None:
    await imported(
        database,
        "onspd",
        onspd_zip(
            tmp_path,
            [
                ("CF99 9AA", "", CARDIFF, *IN_CARDIFF),
                ("CF99 9AB", "", CARDIFF, *IN_CARDIFF),
                ("CF99 9AD", "202001", CARDIFF, *IN_CARDIFF),
                ("BS99 9AA", "", BRISTOL, "358000", "172000", "1"),
            ],
        ),
    )
    await imported(
        database,
        "code-point-open",
        code_point_zip(
            tmp_path,
            cf=[("CF99 9AA", 10, 318000, 176000, CARDIFF), ("CF99 9AB", 10, 318000, 176000, SWANSEA)],
        ),
    )
    assert await whose(database, typed("CF99 9AA")) == 6815
    assert await whose(database, typed("cf999aa")) == 6815
    assert await whose(database, typed("CF99 9AB")) is None, "the two contradict each other"
    assert await whose(database, typed("CF99 9AD")) is None, "it has ended"
    assert await whose(database, typed("BS99 9AA")) is None
    assert await whose(database, typed("CF99 9ZZ")) is None
    await register.put_places(database, [register.Place(HOME, "en", 6855, "CF99 9AA", {}, invented=True)])
    assert await whose(database, typed("CF99 9AA")) is None, "an address there is another authority's"
    assert await whose(database, typed("CF99 9AA", HOME)) == 6855, "an address that is held says it itself"


async def test_a_uprn_that_is_not_held_must_lie_near_its_postcode(database: Database, tmp_path: Path) -> None:
    await imported(database, "onspd", onspd_zip(tmp_path, [("CF99 9AA", "", CARDIFF, *IN_CARDIFF)]))
    assert await whose(database, typed("CF99 9AA", HOME)) is None, "nothing says where it lies"
    points = [(HOME, 318500, 176500), (HOME + 1, 265000, 193000)]
    await imported(database, "open-uprn", open_uprn_zip(tmp_path, open_uprn(points)))
    assert await whose(database, typed("CF99 9AA", HOME)) == 6815
    assert await whose(database, typed("CF99 9AA", HOME + 1)) is None, "it lies in Swansea"
    assert await whose(database, typed("CF99 9AA", HOME + 2)) is None
    assert await whose(database, Address(uprn=HOME)) is None, "without a postcode nothing says whose it is"


@pytest.mark.parametrize(
    ("held", "unit", "code"),
    [
        (set(), None, None),
        ({6815}, None, 6815),
        ({6815, 6855}, None, None),
        (set(), Unit(frozenset({6815}), current=True, point=None), 6815),
        ({6815}, Unit(frozenset({6815}), current=True, point=None), 6815),
        ({6815}, Unit(frozenset({None}), current=True, point=None), None),
        (set(), Unit(frozenset({6815, None}), current=True, point=None), None),
        ({6815}, Unit(frozenset({6815}), current=False, point=None), None),
    ],
)
def test_everything_that_is_known_must_say_the_same(held: set[int], unit: Unit | None, code: int | None) -> None:
    assert authority(held, unit) == code


def test_the_commands(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.cli.gazetteer.configure_logs", lambda **_: None)
    for name, value in {"ENVIRONMENT": "test", "LOG": "postgres", "DATABASE_DSN": dsn}.items():
        monkeypatch.setenv(f"UNWAITH_{name}", value)
    file = onspd_zip(tmp_path, unit_rows(3))

    def unwaith(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["gazetteer", *words])
        return done.exit_code, done.output

    code, said = unwaith("import", "onspd", str(file))
    assert code == 0
    assert "ONS Postcode Directory, edition AUG 2026, is in use: 3 rows" in said
    assert "Open Government Licence v3.0" in said
    assert hashlib.sha256(file.read_bytes()).hexdigest() in said
    assert unwaith("import", "onspd", str(tmp_path / "none.zip"))[0] == 1
    code, said = unwaith("import", "open-uprn", str(file))
    assert (code, "Nothing was imported" in said) == (1, True)
    assert unwaith("import", "onspd", str(file), "--edition", "second")[0] == 0
    code, said = unwaith("editions")
    assert code == 0
    assert "second" in said
    assert unwaith("use", "1")[0] == 0
    assert unwaith("remove", "1")[0] == 1
    assert unwaith("remove", "2")[0] == 0
    assert unwaith("remove", "2")[0] == 1

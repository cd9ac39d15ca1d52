"""The gazetteer: a million rows of each source imported, as its command does it. Everything in it is invented."""

import asyncio
import os
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from broker.store.embedded import EmbeddedPostgres
from broker.store.migrate import migrate
from tests.load.figures import Figure
from tests.support.open_data import CARDIFF, ONS_2026, SWANSEA

IMPORT_SECONDS_GOAL: Final = 60.0
IMPORT_MEMORY_GOAL: Final = 300.0
LETTERS: Final = "ABDEFGHJLNPQRSTUWXYZ"
AREAS: Final = ("CF", "SA", "LL", "NP", "SY", "LD")


async def imports(postgres: EmbeddedPostgres, home: Path, rows: int) -> list[Figure]:
    """Import that many rows of each source into an empty store, each by a process of its own."""
    dsn = postgres.dsn_of("gazetteer")
    await migrate(dsn)
    found = []
    for source, file in (("open-uprn", _open_uprn(home, rows)), ("onspd", _onspd(home, rows))):
        seconds, megabytes = await asyncio.to_thread(_run, dsn, source, file)
        found += [
            Figure(
                f"gazetteer.import.{source}", seconds * 1_000_000 / rows, "s a million", "lower", IMPORT_SECONDS_GOAL
            ),
            Figure(f"gazetteer.import.{source}.memory", megabytes, "MB", "lower", IMPORT_MEMORY_GOAL),
        ]
        file.unlink()
    return found


def _run(dsn: str, source: str, file: Path) -> tuple[float, float]:
    """Run `unwaith gazetteer import`; return the seconds it took and the most memory it had, in MB."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNWAITH_")}
    given = {"UNWAITH_ENVIRONMENT": "test", "UNWAITH_LOG": "postgres", "UNWAITH_DATABASE_DSN": dsn}
    began = time.monotonic()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "broker.cli", "gazetteer", "import", source, str(file)],
        {**kept, **given},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, used = os.wait4(child, 0)
    if status:
        raise RuntimeError("the import did not end well")
    return time.monotonic() - began, used.ru_maxrss / 1024


def _open_uprn(home: Path, rows: int) -> Path:
    file = home / "osopenuprn_202610_csv.zip"
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("osopenuprn_202610.csv", "w", force_zip64=True) as out,
    ):
        out.write(b"\xef\xbb\xbfUPRN,X_COORDINATE,Y_COORDINATE,LATITUDE,LONGITUDE\r\n")
        for block in _blocks(rows):
            out.write(
                "".join(
                    f"{900_000_000_000 + n},{150_000 + n % 200_000}.25,{170_000 + n % 220_000}.5,52.1234567,-3.7654321\r\n"
                    for n in block
                ).encode()
            )
    return file


def _onspd(home: Path, rows: int) -> Path:
    file = home / "ONSPD_AUG_2026.zip"
    middle = ",".join(['""'] * 3)
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("Data/ONSPD_AUG_2026_UK.csv", "w", force_zip64=True) as out,
    ):
        out.write(",".join(ONS_2026).encode() + b"\r\n")
        rest = ",".join(['""'] * (len(ONS_2026) - 13))
        for block in _blocks(rows):
            out.write(
                "".join(
                    f'"","","{postcode(n)}","200001","","0","{150_000 + n % 200_000}","{170_000 + n % 220_000}","1",'
                    f'{middle},"{(CARDIFF, SWANSEA)[n % 2]}",{rest}\r\n'
                    for n in block
                ).encode()
            )
    return file


def _blocks(rows: int) -> Iterator[range]:
    return (range(first, min(first + 10_000, rows)) for first in range(0, rows, 10_000))


def postcode(number: int) -> str:
    """Return an invented postcode of its own for each number below 2,400,000; in no sector that is in use."""
    unit, rest = number % 400, number // 400
    sector, rest = rest % 10, rest // 10
    return f"{AREAS[rest % 6]}{rest // 6 % 100} {sector}{LETTERS[unit // 20]}{LETTERS[unit % 20]}"

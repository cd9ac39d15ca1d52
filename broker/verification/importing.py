"""Importing open data: streamed from its file into a new edition, which is put in use when it is whole."""

import asyncio
import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from broker.store import Database, editions
from broker.store.editions import Row
from broker.verification.open_data import Authorities, Line, NotThisSource, Opened, Source, lines

BATCH: Final = 10_000
"""Rows written at once. What an import needs of memory is about two batches."""
MOST_BAD: Final = 100
SHOWN_BAD: Final = 5
LEAST_OF_BEFORE: Final = 0.9
"""Of the rows in use; less looks like a file that is cut."""

log = structlog.get_logger()


class ImportRefused(Exception):  # noqa: N818  it says what holds
    """The import ended and nothing of it is in use: what was in use before still is. The text says why."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A line that could not be read: where it is and a code, never what it says."""

    file: str
    number: int
    code: str


@dataclass(slots=True)
class Counted:
    """What an import has seen so far."""

    kept: int = 0
    elsewhere: int = 0
    bad: int = 0
    shown: list[Bad] = field(default_factory=list)
    """The first of the bad ones."""


@dataclass(frozen=True, slots=True)
class Imported:
    """An edition that is in use."""

    id: int
    digest: bytes
    counted: Counted


async def import_edition(
    database: Database,
    source: Source,
    opened: Opened,
    edition: str,
    codes: Authorities,
    *,
    most_bad: int = MOST_BAD,
    smaller: bool = False,
    told: Callable[[int], None] = lambda _bytes: None,
) -> Imported:
    """Import a file and put it in use, whole.

    `codes` has the authorities whose areas are told apart. `most_bad`: with more lines than that which cannot be read, nothing is put in use. `smaller`: it may be smaller than
    what is in use. `told` hears how many bytes have been read. Raises ImportRefused, editions.ImportUnderWay, and
    StoreUnavailable; after each of them what was in use is in use, and what was written is removed by the next import.
    """
    digest = await asyncio.to_thread(_digest, opened.path)
    counted = Counted()
    async with editions.alone(database, source.name, source.table):
        before = next(
            (one for one in await editions.editions(database) if one.in_use and one.source == source.name), None
        )
        number = await editions.begin(database, source.name, edition, digest)
        log.info("gazetteer.import_begun", kind=source.name, sequence=number)
        try:
            await _write_all(database, source, lines(source, opened, codes, told), number, counted, most_bad)
            _enough(counted, before, smaller=smaller)
            await editions.looked_over(database, source.table)
        except ImportRefused:
            await editions.remove(database, number, source.table)
            raise
        await editions.put_in_use(database, number, kept=counted.kept, elsewhere=counted.elsewhere, bad=counted.bad)
    log.info("gazetteer.import_ended", kind=source.name, sequence=number, count=counted.kept)
    return Imported(number, digest, counted)


async def _write_all(
    database: Database,
    source: Source,
    reading: Iterator[Line],
    number: int,
    counted: Counted,
    most_bad: int,
) -> None:
    while batch := await asyncio.to_thread(_next, reading, counted, most_bad):
        again = await editions.write(database, number, source.table, [row for _, row in batch])
        counted.kept += len(batch) - len(again)
        for place in again:
            _note(counted, batch[place][0], "again", most_bad)


def _next(reading: Iterator[Line], counted: Counted, most_bad: int) -> list[tuple[Line, Row]]:
    """Return the next rows to be kept, none at the end. Raises ImportRefused."""
    return list(islice(_kept(reading, counted, most_bad), BATCH))


def _kept(reading: Iterator[Line], counted: Counted, most_bad: int) -> Iterator[tuple[Line, Row]]:
    try:
        for line in reading:
            if line.row is not None:
                yield line, line.row
            elif line.bad is None:
                counted.elsewhere += 1
            else:
                _note(counted, line, line.bad, most_bad)
    except NotThisSource as wrong:
        raise ImportRefused(f"This is not a file of this source: {wrong}.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as broken:
        raise ImportRefused(f"The file is cut short or damaged ({type(broken).__name__}). Download it again.") from None


def _note(counted: Counted, line: Line, code: str, most_bad: int) -> None:
    counted.bad += 1
    if len(counted.shown) < SHOWN_BAD:
        counted.shown.append(Bad(line.file, line.number, code))
    if counted.bad > most_bad:
        where = ", ".join(f"{one.file} line {one.number} ({one.code})" for one in counted.shown)
        raise ImportRefused(
            f"More than {most_bad} lines cannot be read; the first: {where}."
            " Look at them, and if the rest is to be used nevertheless, allow more with --most-bad."
        )


def _enough(counted: Counted, before: editions.Edition | None, *, smaller: bool) -> None:
    if not counted.kept:
        raise ImportRefused("Not one row of it is of use here.")
    if before is not None and before.kept and not smaller and counted.kept < before.kept * LEAST_OF_BEFORE:
        raise ImportRefused(
            f"It has {counted.kept:,} rows, and the edition in use has {before.kept:,}: it may be cut short."
            " If it is right, say --smaller."
        )


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()

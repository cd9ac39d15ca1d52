"""The open data a gazetteer is made from, as its publishers lay it out. Pure but for reading the file.

| source | published as | read from it |
|---|---|---|
| `open-uprn` | one CSV with a header, in a zip | where each UPRN lies |
| `code-point-open` | a CSV without header for each postcode area, in a zip | each live postcode, its middle and its authority |
| `onspd` | one CSV with a header, in a zip | each postcode, live or terminated, its middle and its authority |

Sources: OS Open UPRN technical specification, "Feature type"; Code-Point Open technical specification, "Product
structure" and its sample record; ONS Postcode Directory user guide, field list (the names of columns changed in 2025:
`oslaua` became `lad25cd`, and changes with each year; `osgrdind` became `gridind`).
"""

import csv
import io
import itertools
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final, NamedTuple

from broker.store.editions import Row, Table

Authorities = Mapping[str, int]
"""Local custodian codes by GSS code: `W06000015` is 6815. Of the authorities whose areas we know; others are none."""
Reader = Callable[[list[str]], Row | None]
"""Makes a row of a line's values; None for one nobody here is asked about. Raises BadRow."""


class BadRow(ValueError):  # noqa: N818  it says what holds
    """A line that cannot be what it should be. The text is a code, never a value."""


class NotThisSource(ValueError):  # noqa: N818  it says what holds
    """The file is none of this source's. The text says what was expected."""


@dataclass(frozen=True, slots=True)
class Source:
    """One publication."""

    name: str
    title: str
    publisher: str
    attribution: str
    """What its licence, the Open Government Licence v3.0, asks to be said."""
    page: str
    """Where people get it."""
    table: Table
    members: re.Pattern[str]
    """Which files of its zip are read; the first alternative that any file matches is the one."""
    edition: re.Pattern[str]
    """Finds in the name of a file which edition it is."""
    begin: Callable[[Iterator[list[str]], Authorities], tuple[Reader, list[str] | None]]
    """Given the lines, reads a header if there is one; returns what reads the rest, and the line it did not consume."""


class Line(NamedTuple):
    """One line of data."""

    file: str
    number: int
    """From 1, the header's included."""
    row: Row | None
    """None: not kept, or bad."""
    bad: str | None
    """Why it could not be read."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A publication's file, before its lines are read."""

    path: Path
    files: Sequence[str]
    """In the zip; empty for a plain CSV."""
    size: int
    """Bytes there are to read, unpacked."""


# The box around Wales on the National Grid, in metres. UPRNs outside are not kept: no authority of ours is asked there.
WEST: Final = 146_000
EAST: Final = 356_000
SOUTH: Final = 163_000
NORTH: Final = 397_000

_GRID: Final = 1_300_000
"""No coordinate of the National Grid is larger."""
_SURE: Final = 5
"""ONSPD's grid indicator up to which the middle is that of this postcode, and not of its sector or of nothing; OS's
positional quality is ten times that."""
_DIGITS: Final = 18
"""More has no number here, and Python refuses to read one of thousands."""
_LONGEST: Final = 65_536
"""Characters of a line. The rest of a longer one is read as another: a file without line ends does not fill memory."""
_TOLD_EACH: Final = 10_000
"""Lines."""
_NO_POINT: Final = frozenset({"", "0"})


def packed(postal_code: str) -> str:
    """Return a postcode as we keep it: in capitals, without spaces."""
    return "".join(postal_code.split()).upper()


_POSTCODE: Final = re.compile(r"[A-Z]{1,2}[0-9][0-9A-Z]?[0-9][A-Z]{2}")
_GSS: Final = re.compile(r"[A-Z][0-9]{8}")


def _postal_code(value: str) -> str:
    code = packed(value)
    if not _POSTCODE.fullmatch(code):
        raise BadRow("postcode")
    return code


def _metres(value: str) -> int:
    try:
        found = round(float(value))
    except (ValueError, OverflowError):
        raise BadRow("coordinate") from None
    if not 0 <= found <= _GRID:
        raise BadRow("coordinate")
    return found


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= _DIGITS


def _authority(gss: str, codes: Authorities) -> int | None:
    if not gss:
        return None
    if not _GSS.fullmatch(gss):
        raise BadRow("authority")
    return codes.get(gss)


def _named(header: Sequence[str], name: str, *patterns: str) -> int:
    """Return the place of the first column that matches a pattern. Raises NotThisSource."""
    names = [one.strip().lower() for one in header]
    for pattern in patterns:
        for place, one in enumerate(names):
            if re.fullmatch(pattern, one):
                return place
    raise NotThisSource(f"its first line names no column {name}")


def _open_uprn(lines: Iterator[list[str]], _codes: Authorities) -> tuple[Reader, None]:
    header = next(lines, [])
    uprn, x, y = (_named(header, name, name.lower()) for name in ("UPRN", "X_COORDINATE", "Y_COORDINATE"))
    width = len(header)

    def read(values: list[str]) -> Row | None:
        if len(values) != width:
            raise BadRow("columns")
        number = values[uprn]
        if not (_is_number(number) and 0 < int(number) < 10**12):
            raise BadRow("uprn")
        easting, northing = _metres(values[x]), _metres(values[y])
        if not (WEST <= easting <= EAST and SOUTH <= northing <= NORTH):
            return None
        return int(number), easting, northing

    return read, None


def _code_point_open(lines: Iterator[list[str]], codes: Authorities) -> tuple[Reader, list[str] | None]:
    first = next(lines, None)
    width, quality, x, y, district = 10, 1, 2, 3, 8  # it has no header

    def read(values: list[str]) -> Row | None:
        if len(values) != width:
            raise BadRow("columns")
        code, sure = _postal_code(values[0]), values[quality]
        if not _is_number(sure):
            raise BadRow("quality")
        point = values[x] not in _NO_POINT and int(sure) <= _SURE * 10
        authority = _authority(values[district], codes)
        if not point:
            return code, None, True, None, None
        return code, authority, True, _metres(values[x]), _metres(values[y])

    return read, first


def _onspd(lines: Iterator[list[str]], codes: Authorities) -> tuple[Reader, None]:
    header = next(lines, [])
    code_at = _named(header, "pcds", "pcds")
    ended_at = _named(header, "doterm", "doterm")
    authority_at = _named(header, "oslaua or lad..cd", r"oslaua|laua|lad\d\dcd")
    x = _named(header, "oseast1m or east1m", "oseast1m|east1m")
    y = _named(header, "osnrth1m or north1m", "osnrth1m|north1m")
    sure_at = _named(header, "osgrdind or gridind", "osgrdind|gridind")
    width = len(header)

    def read(values: list[str]) -> Row | None:
        if len(values) != width:
            raise BadRow("columns")
        code, ended, sure = _postal_code(values[code_at]), values[ended_at].strip(), values[sure_at].strip()
        if ended and not (ended.isascii() and ended.isdigit()):
            raise BadRow("doterm")
        if not _is_number(sure):
            raise BadRow("quality")
        authority = _authority(values[authority_at].strip(), codes)
        if values[x].strip() in _NO_POINT or int(sure) > _SURE:
            return code, None, not ended, None, None
        return code, authority, not ended, _metres(values[x]), _metres(values[y])

    return read, None


_OS: Final = "Contains OS data © Crown copyright and database right"
_RM: Final = "Contains Royal Mail data © Royal Mail copyright and database right"
_NS: Final = "Source: Office for National Statistics licensed under the Open Government Licence v.3.0"

SOURCES: Final[Mapping[str, Source]] = {
    source.name: source
    for source in (
        Source(
            name="open-uprn",
            title="OS Open UPRN",
            publisher="Ordnance Survey",
            attribution=_OS,
            page="https://osdatahub.os.uk/downloads/open/OpenUPRN",
            table="property_point",
            members=re.compile(r"(?:.*/)?osopenuprn[^/]*\.csv", re.IGNORECASE),
            edition=re.compile(r"osopenuprn[^0-9/]*_?(\d{4,8})", re.IGNORECASE),
            begin=_open_uprn,
        ),
        Source(
            name="code-point-open",
            title="Code-Point Open",
            publisher="Ordnance Survey",
            attribution=f"{_OS}. {_RM}. Contains National Statistics data © Crown copyright and database right",
            page="https://osdatahub.os.uk/downloads/open/CodePointOpen",
            table="postcode",
            members=re.compile(r"(?:.*/)?Data/CSV/[a-z]{1,2}\.csv", re.IGNORECASE),
            edition=re.compile(r"codepo[^0-9/]*(\d[\d.-]{3,})", re.IGNORECASE),
            begin=_code_point_open,
        ),
        Source(
            name="onspd",
            title="ONS Postcode Directory",
            publisher="Office for National Statistics",
            attribution=f"{_NS}. {_OS}. {_RM}",
            page="https://geoportal.statistics.gov.uk/search?tags=ONS%2520Postcode%2520Directory",
            table="postcode",
            members=re.compile(r"(?:.*/)?Data/ONSPD_[A-Z]{3}_\d{4}_UK\.csv", re.IGNORECASE),
            edition=re.compile(r"ONSPD_([A-Z]{3}_\d{4})", re.IGNORECASE),
            begin=_onspd,
        ),
    )
}


def opened(source: Source, path: Path) -> Opened:
    """Return what of a file is to be read. Raises NotThisSource, and OSError for one that is not there."""
    if not zipfile.is_zipfile(path):
        return Opened(path, (), path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        files = sorted((one for one in archive.infolist() if source.members.fullmatch(one.filename)), key=_by_name)
    if not files:
        raise NotThisSource(f"this zip has no file named as {source.title} names it ({source.members.pattern})")
    return Opened(path, [one.filename for one in files], sum(one.file_size for one in files))


def _by_name(one: zipfile.ZipInfo) -> str:
    return one.filename


def edition_of(source: Source, opened: Opened) -> str | None:
    """Return which edition the names say it is, None where they do not."""
    for name in (*opened.files, opened.path.name):
        if found := source.edition.search(name):
            return found[1].replace("_", " ").strip(" .-").upper()
    return None


def lines(source: Source, opened: Opened, codes: Authorities, told: Callable[[int], None]) -> Iterator[Line]:
    """Read the lines of data one after the other, never more than one of them in memory; a zip is not unpacked.

    Every now and then `told` hears how many bytes have been read. Raises NotThisSource, and zipfile.BadZipFile,
    EOFError, zlib.error or OSError for a file that is cut or damaged.
    """
    if not opened.files:
        with opened.path.open("rb") as raw:
            yield from _lines(source, opened.path.name, raw, codes, told)
        return
    before = 0
    with zipfile.ZipFile(opened.path) as archive:
        for name in opened.files:
            with archive.open(name) as raw:
                yield from _lines(source, name.rpartition("/")[2], raw, codes, partial(_on_top, told, before))
            before += archive.getinfo(name).file_size


def _on_top(told: Callable[[int], None], before: int, done: int) -> None:
    told(before + done)


def _lines(
    source: Source, file: str, raw: IO[bytes], codes: Authorities, told: Callable[[int], None]
) -> Iterator[Line]:
    with io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="") as text:
        values = csv.reader(iter(partial(text.readline, _LONGEST), ""))
        read, first = source.begin(values, codes)
        if first is not None:
            yield _line(file, 1, first, read)
        for turn in itertools.count(1):
            if turn % _TOLD_EACH == 0:
                told(raw.tell())
            try:
                found = next(values)
            except StopIteration:
                told(raw.tell())
                return
            except csv.Error:
                yield Line(file, values.line_num, None, "csv")
                continue
            if found:
                yield _line(file, values.line_num, found, read)


def _line(file: str, number: int, values: list[str], read: Reader) -> Line:
    try:
        return Line(file, number, read(values), None)
    except BadRow as bad:
        return Line(file, number, None, str(bad))

r"""Files of many deliveries, and files of answers: CSV that arrives whole or not at all.

CSV as RFC 4180 has it: UTF-8, every cell in quotes, CRLF. The first cell says what a record is:

    "H","unwaith-deliveries","1","<this file's name>"
    "C","row","delivery_id",...                     the columns' names
    "D","1","0f5bb1f2-...",...                      a record for each delivery, numbered from 1
    "T","<count of D>","<SHA-256 of every byte before this record, in hexadecimal>"

    "H","unwaith-answers","1","<any name>"
    "A","<delivery id>","<outcome>","<reference, may be empty>"
    "T","<count of A>","<SHA-256 of every byte before this record, in hexadecimal>"

Spreadsheets run a cell that begins with = + - @ (also in their full-width forms) as a formula, and so does one that
begins with a tab or a line's end. Such a cell gets a ' before it, as does one that begins with ': whoever reads the
file takes one leading ' away and has exactly what was told.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field, StringConstraints, ValidationError

from contracts.receipts import Reference
from contracts.statuses import Outcome
from contracts.text import Line, Strict

VERSION: Final = "1"
DELIVERIES: Final = "unwaith-deliveries"
ANSWERS: Final = "unwaith-answers"

_BEGINS_A_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠'")  # noqa: RUF001  the full-width forms are meant


class Column(Strict):
    """One column: its name in the file, and where in `{person, change, roles, withdraws}` its value is."""

    name: Line
    path: Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z]+)+$", max_length=200)]
    """Names from the top, as in an agreement's paths. `/person/name/family` and `/person/name/given` stand for the parts
    of that kind, a space between. What is there but is no text, number or day is written as JSON."""


_ADDRESS: Final = (
    ("uprn", "uprn"),
    ("organisation", "organisationName"),
    ("department", "departmentName"),
    ("sub_building", "subBuildingName"),
    ("building_name", "buildingName"),
    ("building_number", "buildingNumber"),
    ("po_box", "poBoxNumber"),
    ("dependent_street", "dependentStreetName"),
    ("street", "streetName"),
    ("double_dependent_locality", "doubleDependentAddressLocality"),
    ("dependent_locality", "dependentAddressLocality"),
    ("town", "addressLocality"),
    ("postcode", "postalCode"),
    ("country", "addressCountry"),
)

COLUMNS: Final = (
    Column(name="family_name", path="/person/name/family"),
    Column(name="given_names", path="/person/name/given"),
    Column(name="birth_date", path="/person/birthDate"),
    Column(name="effective_date", path="/change/effectiveDate"),
    Column(name="move_kind", path="/change/moveKind"),
    Column(name="tenure", path="/change/tenure"),
    *(
        Column(name=f"{which}_{name}", path=f"/change/{which}Address/{member}")
        for which in ("new", "previous")
        for name, member in _ADDRESS
    ),
)
"""The columns of an organisation that asks for no others."""

ALWAYS: Final = ("row", "delivery_id", "sequence", "subject", "type", "roles")
"""Columns of every file, before its own."""


class Unreadable(Exception):  # noqa: N818  what a file is, not an error of the program
    """A file of answers is not whole, or not of this form. Its text names the record, never what it says."""


class FileAnswer(Strict):
    """One record of a file of answers."""

    delivery_id: UUID
    outcome: Outcome
    reference: Reference | None = None
    row: Annotated[int, Field(ge=1)]


def cells(data: Mapping[str, Any], columns: Sequence[Column]) -> tuple[str, ...]:
    """Return what one delivery's data says in these columns; an empty cell for what is not told."""
    return tuple(_written(_value(data, column.path)) for column in columns)


def batch(name: str, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> bytes:
    """Return the file's bytes: the same for the same rows. `rows` are the cells of `ALWAYS` but the first, then ours."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(("H", DELIVERIES, VERSION, name))
    writer.writerow(("C", *ALWAYS, *(column.name for column in columns)))
    count = 0
    for count, row in enumerate(rows, start=1):
        writer.writerow(("D", str(count), *map(safe, row)))
    body = text.getvalue().encode()
    return body + _trailer(count, body)


def read_answers(content: bytes) -> Iterator[FileAnswer]:
    """Give the answers of a file. Line ends may be LF, quotes may be left out where CSV allows it.

    Raises Unreadable for a file that is cut short, altered or of another form, before the first answer is given.
    """
    end = content.rstrip(b"\r\n").rfind(b"\n") + 1
    body, last = content[:end], content[end:]
    try:
        records = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
        trailer = next(csv.reader([last.decode().strip()], strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        raise Unreadable("not CSV in UTF-8") from None
    if not records or records[0][:3] != ["H", ANSWERS, VERSION]:
        raise Unreadable("the first record is not the header of a file of answers")
    if len(trailer) != 3 or trailer[0] != "T":  # noqa: PLR2004  as drawn above
        raise Unreadable("the last record is no trailer: the file may be cut short")
    if trailer[2].lower() != hashlib.sha256(body).hexdigest():
        raise Unreadable("the digest in the trailer is of other bytes")
    if trailer[1] != str(len(records) - 1):
        raise Unreadable("the trailer counts other records")
    return iter([_answer(number, record) for number, record in enumerate(records[1:], start=1)])


def safe(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return "'" + cell if cell.startswith(_BEGINS_A_FORMULA) else cell


def _answer(number: int, record: Sequence[str]) -> FileAnswer:
    try:
        _, delivery_id, outcome, reference = record if record[:1] == ["A"] else ()
        return FileAnswer(
            delivery_id=UUID(delivery_id),
            outcome=Outcome(outcome),
            reference=reference.removeprefix("'") or None,
            row=number,
        )
    except (ValueError, ValidationError):
        raise Unreadable(f"record {number} is no answer") from None


def _trailer(count: int, body: bytes) -> bytes:
    return f'"T","{count}","{hashlib.sha256(body).hexdigest()}"\r\n'.encode()


def _value(data: Mapping[str, Any], path: str) -> Any:
    if path in _PARTS:
        parts = _value(data, "/person/name/nameParts") or []
        return " ".join(part["value"] for part in parts if part["type"] == _PARTS[path])
    value: Any = data
    for name in path[1:].split("/"):
        value = value.get(name) if isinstance(value, dict) else None
    return value


_PARTS: Final = {"/person/name/family": "FamilyName", "/person/name/given": "GivenName"}


def _written(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))

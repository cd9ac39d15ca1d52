"""Files of deliveries as a council's loader reads them, and the files of answers it writes.

Written from `docs/adapters.md` alone, as an organisation would: CSV (RFC 4180) in UTF-8, each record beginning with what
it is, and a trailer that counts the records and has the SHA-256 of every byte before it.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from contracts.statuses import Outcome

LARGEST_FILE: Final = 16 * 1024 * 1024
_ALWAYS: Final = ("row", "delivery_id", "sequence", "subject", "type", "roles")
"""The columns every file has; `C` and `D` stand before them."""

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SEQUENCE: Final = re.compile(r"[0-9]{12}")


class NotWhole(Exception):  # noqa: N818  what a file is
    """The file is cut short, altered or of another form: nothing of it is loaded. Says where, never what it holds."""


@dataclass(frozen=True, slots=True)
class Row:
    """One delivery of a file."""

    delivery_id: str
    sequence: int
    subject: str
    type: str
    told: dict[str, str] = field(repr=False)
    """The other columns that are not empty, by their names."""


def read_deliveries(content: bytes, name: str) -> Sequence[Row]:
    """Return the rows of a whole file. Raises NotWhole for any other, before a row is given."""
    end = content.rstrip(b"\r\n").rfind(b"\n") + 1
    body = content[:end]
    try:
        records = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise NotWhole("it is no CSV in UTF-8") from None
    if len(records) < 3 or records[0] != ["H", "unwaith-deliveries", "1", name]:  # noqa: PLR2004  H, C and T
        raise NotWhole("its first record is not the header of this file")
    columns, deliveries, trailer = records[1], records[2:-1], records[-1]
    if trailer != ["T", str(len(deliveries)), hashlib.sha256(body).hexdigest()]:
        raise NotWhole("its trailer has another count or digest")
    if tuple(columns[: 1 + len(_ALWAYS)]) != ("C", *_ALWAYS):
        raise NotWhole("its columns are others")
    return [_row(number, columns, record) for number, record in enumerate(deliveries, start=1)]


def _row(number: int, columns: Sequence[str], record: Sequence[str]) -> Row:
    if len(record) != len(columns) or list(record[:2]) != ["D", str(number)]:
        raise NotWhole(f"record {number} is no delivery")
    cells = [cell.removeprefix("'") for cell in record]  # where a spreadsheet would have run it
    named = dict(zip(columns[1:], cells[1:], strict=True))
    _, delivery_id, sequence, subject, kind, _ = (named[name] for name in _ALWAYS)
    if not (_UUID.fullmatch(delivery_id) and _SEQUENCE.fullmatch(sequence) and subject and kind):
        raise NotWhole(f"record {number} is no delivery")
    told = {name: cell for name, cell in named.items() if cell and name not in _ALWAYS[:-1]}
    return Row(delivery_id, int(sequence), subject, kind, told)


def answers_file(name: str, answers: Iterable[tuple[str, Outcome, str]]) -> bytes:
    """Return a whole file of answers: (delivery's id, outcome, our reference) each."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(("H", "unwaith-answers", "1", name))
    rows = [("A", delivery_id, outcome.value, reference) for delivery_id, outcome, reference in answers]
    writer.writerows(rows)
    body = text.getvalue().encode()
    return body + f'"T","{len(rows)}","{hashlib.sha256(body).hexdigest()}"\r\n'.encode()

"""Files of answers, as an organisation writes them."""

import csv
import hashlib
import io
from collections.abc import Iterable
from uuid import UUID

from contracts.statuses import Outcome


def answers_file(answers: Iterable[tuple[UUID | str, Outcome | str, str]], *, ends: str = "\r\n") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=ends)
    writer.writerow(("H", "unwaith-answers", "1", "atebion"))
    count = 0
    for answer in answers:
        writer.writerow(("A", *map(str, answer)))
        count += 1
    return sealed(text.getvalue().encode(), count, ends=ends)


def sealed(body: bytes, count: int | str, *, ends: str = "\r\n") -> bytes:
    """Return these records with the trailer that belongs to them."""
    return body + f"T,{count},{hashlib.sha256(body).hexdigest()}{ends}".encode()

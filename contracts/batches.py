"""Batches that were closed at a cut-off: which deliveries go out together, in which order, and under which name."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID


class Place(NamedTuple):
    """A delivery's place in a batch."""

    batch: str
    row: int
    """From 1."""
    rows: int
    """How many there are."""


def batch_name(rows: Sequence[tuple[UUID, datetime]]) -> str:
    """Return the name of a batch of these (delivery id, when its change was told), of which there is at least one.

    The day (UTC) the last was told, and 120 bits of the SHA-256 of their ids in their order: 33 characters, digits and
    capitals. So a name always means the same deliveries in the same order, and what is told in them never changes.
    """
    ids = hashlib.sha256(b"".join(delivery_id.bytes for delivery_id, _ in rows)).digest()
    day = max(told for _, told in rows).astimezone(UTC)
    return f"{day:%Y%m%d}-{base64.b32encode(ids)[:24].decode()}"

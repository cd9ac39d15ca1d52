"""Deliveries and receipts as records of the log.

A delivery is a CloudEvent in the binary mode of the Kafka protocol binding (CloudEvents 1.0.2): attributes as `ce_`
headers in clear, the sealed data as the value. Receipts are JSON and hold no personal data.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from contracts.batches import Place
from contracts.delivery import Delivery
from contracts.events import SEQUENCE_DIGITS, timestamp
from contracts.receipts import Quarantined, Receipt

Headers = tuple[tuple[str, bytes], ...]

DELIVERY_HEADERS: Final = {
    "ce_specversion": "always 1.0",
    "ce_id": "the delivery's id, and its idempotency key",
    "ce_type": "the change type's event",
    "ce_source": "this exchange",
    "ce_time": "when the change was accepted, to the second",
    "ce_dataschema": "URI of the published JSON Schema of the data",
    "ce_sequence": "twelve digits; dense per person and organisation, but for a jump after the store was restored",
    "ce_traceparent": "W3C Trace Context of this recipient alone",
    "ce_origin": "names the change's origin to this recipient alone",
    "unwaith_epoch": "rises with each replay an operator orders",
    "unwaith_generation": "generation of the person's data key the value is sealed under",
    "unwaith_digest": "keyed digest of the data, hexadecimal",
}
"""The headers of every delivery record, in clear. The record's key is the CloudEvents `subject`."""

BATCH_HEADERS: Final = {
    "ce_subject": "the recipient's own pseudonym for the person",
    "unwaith_batch": "the batch it was closed in at a cut-off, which is the record's key then",
    "unwaith_row": "its place in that batch, and how many there are: 3/120",
}
"""The headers of a delivery that goes out in a closed batch, besides: one key keeps a batch in one partition."""

KIND_HEADER: Final = "unwaith_kind"
RECEIPT: Final = b"receipt"
QUARANTINED: Final = b"quarantined"


class Undecodable(Exception):  # noqa: N818  says what holds of the record
    """The record is not one of ours, or is damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedDelivery:
    """A delivery as the log carries it: everything but the data, which is ciphertext."""

    id: UUID
    epoch: int
    sequence: int
    type: str
    source: str
    subject: str
    time: datetime
    dataschema: str
    traceparent: str
    origin: str
    generation: int
    digest: bytes
    sealed: bytes = field(repr=False)
    place: Place | None = None
    """In which closed batch it goes out."""

    def key(self) -> bytes:
        return (self.place.batch if self.place else self.subject).encode()

    def headers(self) -> Headers:
        return (
            ("ce_specversion", b"1.0"),
            ("ce_id", str(self.id).encode()),
            ("ce_type", self.type.encode()),
            ("ce_source", self.source.encode()),
            ("ce_time", timestamp(self.time).encode()),
            ("ce_dataschema", self.dataschema.encode()),
            ("ce_sequence", b"%0*d" % (SEQUENCE_DIGITS, self.sequence)),
            ("ce_traceparent", self.traceparent.encode()),
            ("ce_origin", self.origin.encode()),
            ("unwaith_epoch", b"%d" % self.epoch),
            ("unwaith_generation", b"%d" % self.generation),
            ("unwaith_digest", self.digest.hex().encode()),
            *self._of_batch(),
        )

    def _of_batch(self) -> Headers:
        if self.place is None:
            return ()
        return (
            ("ce_subject", self.subject.encode()),
            ("unwaith_batch", self.place.batch.encode()),
            ("unwaith_row", b"%d/%d" % (self.place.row, self.place.rows)),
        )

    def opened(self, organisation: str, attempt: int, data: bytes) -> Delivery:
        """Return the delivery as an adapter receives it, with its `data` in clear."""
        return Delivery(
            id=self.id,
            organisation=organisation,
            epoch=self.epoch,
            attempt=attempt,
            sequence=self.sequence,
            type=self.type,
            source=self.source,
            subject=self.subject,
            time=self.time,
            dataschema=self.dataschema,
            traceparent=self.traceparent,
            origin=self.origin,
            data=data,
        )


def read_delivery(key: bytes, value: bytes, headers: Iterable[tuple[str, bytes]]) -> SealedDelivery:
    """Return the delivery a record carries. Raises Undecodable, whatever is wrong with it."""
    try:
        found = {name: content.decode("ascii") for name, content in headers}
        if found["ce_specversion"] != "1.0":
            raise Undecodable("another version")
        time = datetime.fromisoformat(found["ce_time"])
        if time.tzinfo is None:
            raise Undecodable("a time without zone")
        place = _place(found["unwaith_batch"], found["unwaith_row"]) if "unwaith_batch" in found else None
        return SealedDelivery(
            id=UUID(found["ce_id"]),
            epoch=int(found["unwaith_epoch"]),
            sequence=int(found["ce_sequence"]),
            type=found["ce_type"],
            source=found["ce_source"],
            subject=found["ce_subject"] if place else key.decode("ascii"),
            time=time,
            dataschema=found["ce_dataschema"],
            traceparent=found["ce_traceparent"],
            origin=found["ce_origin"],
            generation=int(found["unwaith_generation"]),
            digest=bytes.fromhex(found["unwaith_digest"]),
            sealed=value,
            place=place,
        )
    except (KeyError, ValueError):
        raise Undecodable("a header is missing or damaged") from None


def delivery_id_in(headers: Iterable[tuple[str, bytes]]) -> UUID | None:
    """Return which delivery a record is about, where so much of it can be read."""
    try:
        return next((UUID(content.decode("ascii")) for name, content in headers if name == "ce_id"), None)
    except ValueError:
        return None


def place_in(headers: Iterable[tuple[str, bytes]]) -> Place | None:
    """Return a record's place in a closed batch; None where it is in none, or that cannot be read."""
    found = dict(headers)
    if "unwaith_batch" not in found:
        return None
    try:
        return _place(found["unwaith_batch"].decode("ascii"), found["unwaith_row"].decode("ascii"))
    except (KeyError, ValueError):
        return None


def _place(batch: str, row: str) -> Place:
    """Raises ValueError."""
    number, _, rows = row.partition("/")
    place = Place(batch, int(number), int(rows))
    if not 1 <= place.row <= place.rows:
        raise ValueError("no place of this batch")
    return place


def write_receipt(receipt: Receipt | Quarantined) -> tuple[bytes, bytes, Headers]:
    """Return key, value and headers of a receipt's record."""
    if isinstance(receipt, Receipt):
        key, kind = receipt.delivery_id.bytes, RECEIPT
    else:
        key, kind = receipt.topic.encode(), QUARANTINED
    return key, receipt.model_dump_json(exclude_none=True).encode(), ((KIND_HEADER, kind),)


def read_receipt(value: bytes, headers: Iterable[tuple[str, bytes]]) -> Receipt | Quarantined:
    """Return the receipt a record carries. Raises Undecodable."""
    kind = dict(headers).get(KIND_HEADER)
    try:
        if kind == RECEIPT:
            return Receipt.model_validate_json(value)
        if kind == QUARANTINED:
            return Quarantined.model_validate_json(value)
    except ValidationError:
        raise Undecodable("not a receipt of ours") from None
    raise Undecodable("not a receipt of ours")

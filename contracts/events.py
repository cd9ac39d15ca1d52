"""Deliveries as CloudEvents 1.0.2, and the canonical JSON their digests are taken over."""

import json
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from pydantic_core import to_json

from contracts.delivery import Delivery

SPEC_VERSION: Final = "1.0"
CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
"""Structured mode, CloudEvents HTTP binding 1.0.2, section 3.2."""
BATCH_CONTENT_TYPE: Final = "application/cloudevents-batch+json; charset=utf-8"
"""Batched mode, CloudEvents HTTP binding 1.0.2, section 3.3: a JSON array of structured events."""
SEQUENCE_DIGITS: Final = 12
"""`sequence` is compared as text (CloudEvents sequence extension), so it is padded with zeros."""


def canonical(value: Any) -> bytes:
    """Return `value` as canonical JSON: keys sorted, no white space, UTF-8, no floats (RFC 8785 for what we send).

    Raises TypeError for a float, whose text form is not ours to choose, and for what JSON has no form for.
    """
    _refuse_floats(value)
    return _CANONICAL.encode(value).encode()


_CANONICAL: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
_LEAVES: Final = frozenset({str, int, bool, type(None)})


def _refuse_floats(value: Any) -> None:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if type(one) in _LEAVES:
            continue
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)
        elif isinstance(one, float):
            raise TypeError("canonical JSON of ours has no floats")


def timestamp(moment: datetime) -> str:
    """Return RFC 3339 in UTC to the second: finer would let two recipients join their records by time.

    Raises ValueError for a time without its zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"


def structured(delivery: Delivery) -> bytes:
    """Return the structured-mode JSON of `delivery`; its `data` bytes stand in it unchanged."""
    return to_json(_attributes(delivery))[:-1] + b',"data":' + delivery.data + b"}"


def binary(delivery: Delivery) -> dict[str, str]:
    """Return the headers of `delivery` in binary mode (HTTP binding, section 3.1); the body is its `data` as it is."""
    attributes = _attributes(delivery)
    headers = {"content-type": attributes.pop("datacontenttype")}
    return headers | {f"ce-{name}": quote(value, safe=_UNQUOTED) for name, value in attributes.items()}


_UNQUOTED: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
"""HTTP binding, section 3.1.3.2: what is not printable ASCII, a space, a quotation mark and a percent sign are encoded."""


def _attributes(delivery: Delivery) -> dict[str, str]:
    return {
        "specversion": SPEC_VERSION,
        "id": str(delivery.id),
        "type": delivery.type,
        "source": delivery.source,
        "subject": delivery.subject,
        "time": timestamp(delivery.time),
        "datacontenttype": "application/json",
        "dataschema": delivery.dataschema,
        "sequence": f"{delivery.sequence:0{SEQUENCE_DIGITS}d}",
        "traceparent": delivery.traceparent,
        "origin": delivery.origin,
    }

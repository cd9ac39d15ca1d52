"""Deliveries by which the one before is taken back, as the tracker makes them."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

from adapters.conformance import sample_delivery
from contracts.changes import address, withdrawal
from contracts.delivery import Delivery
from contracts.events import canonical

FIRST = UUID("0f5bb1f2-62d0-4d5c-9a3c-4a2f3c9d7e10")
BACK = UUID("b1c7e5d4-0a3e-4f6b-8d2c-91f0a7c3e522")


def taking_back(told: bytes, *, number: int = 2, **withdraws: Any) -> Delivery:
    """Return the delivery that takes back one that told this, numbered 1; `number` is its own, `withdraws` are other members of it."""
    was = json.loads(told)
    named = {"id": str(FIRST), "type": address.KIND.event_type, "sequence": "000000000001", "change": was.get("change")}
    told_of = {name: value for name, value in (named | withdraws).items() if value is not None}
    data = {name: was[name] for name in ("person", "roles") if name in was} | {"withdraws": told_of}
    return replace(
        sample_delivery(delivery_id=BACK, data=canonical(data)),
        sequence=number,
        type=withdrawal.KIND.event_type,
        dataschema=withdrawal.KIND.dataschema,
    )

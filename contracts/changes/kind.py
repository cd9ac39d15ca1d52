"""What the exchange must know of a change type to carry it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from contracts.address import Address
from contracts.person import IdentityLevel
from contracts.text import Strict

Place = Literal["old", "new"]
"""The two ends of a change that has them; an agreement's area is told against one of them."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """What organisations are sent: its name here and on the wire."""

    name: str
    """On our API, and in the store: `address`."""
    event_type: str
    """CloudEvents `type`: `wales.unwaith.address-changed.v1`."""

    @property
    def dataschema(self) -> str:
        """URI of the published JSON Schema (CloudEvents `dataschema`)."""
        return f"urn:wales:unwaith:schema:{self.event_type.removeprefix('wales.unwaith.')}"


@dataclass(frozen=True, slots=True)
class ChangeKind(EventKind):
    """One change type: its schema, the event it becomes, and what verification needs."""

    model: type[Strict]
    identity_level: IdentityLevel
    """The least level at which it may be told."""
    places: Callable[[Any], Mapping[Place, Address]]
    """The addresses an agreement's area is held against."""
    effective: Callable[[Any], date]
    """The day from which it is true; it is not sent before."""

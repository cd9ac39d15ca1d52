"""What the exchange must know of a change type to carry it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal

from contracts.address import Address
from contracts.person import IdentityLevel, PersonName
from contracts.text import Strict

Place = Literal["old", "new", "home"]
"""Where a change happens; an agreement's area is told against one of them. A move has two ends; what is not a move
happens where the person lives."""

Role = Literal["leaving", "arriving", "resident", "national"]
"""What a change is to a recipient."""

ROLE_AT: Final[Mapping[Place, Role]] = MappingProxyType({"old": "leaving", "new": "arriving", "home": "resident"})
"""The role of whoever is told because of a place; who is told wherever it is has the role `national`."""

A_YEAR: Final = timedelta(days=366)
"""How far ahead a change may be told, unless its type says otherwise."""


class Confirmation(StrEnum):
    """Who must say that a change is so before anybody is told of it."""

    A_PERSON = "a-person"
    """Somebody who works here looks at it, and at its evidence."""
    REGISTRAR = "registrar"
    """A registrar confirms the registration it names."""


class Sensitivity(StrEnum):
    """The care a part of a change needs beyond the rest of it."""

    CONFIDENTIAL = "confidential"
    """Where somebody lives or can be reached, or about somebody else: shown marked before it is sent."""
    SPECIAL = "special"
    """A special category (UK GDPR, Article 9): marked, and sent only where an agreement names its very path. A path
    above it does not permit it."""


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


def _none(_change: Any) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class ChangeKind(EventKind):
    """One change type: its schema, the event it becomes, and what verification needs."""

    model: type[Strict]
    identity_level: IdentityLevel
    """The least level at which it may be told."""
    ends: tuple[Place, ...]
    """Where it happens, in the order of `places`."""
    places: Callable[[Any], Mapping[Place, Address]]
    """The address at each of its `ends`."""
    effective: Callable[[Any], date]
    """The day from which it is true; it is not sent before."""
    confirmation: Confirmation | None = None
    """Who must confirm it before it is sent; None where the person's own word is enough."""
    dated: str = "/change/effectiveDate"
    """Where that day stands, for whoever told one that cannot be (RFC 6901)."""
    ahead: timedelta = A_YEAR
    """How far ahead that day may lie; nothing for what can only have happened."""
    past: Callable[[Any], Mapping[str, date]] = _none
    """Further days that cannot lie ahead, by where they stand (RFC 6901)."""
    known_as: Callable[[Any], Mapping[str, PersonName]] = _none
    """Names of which one must be that of whoever tells it, by where they stand (RFC 6901); none where it may name
    anybody."""
    about: str = "/person"
    """Whose change it is, as organisations match (RFC 6901, into what they are told): not always who tells it."""
    replaces: Callable[[Any], Any] | None = None
    """What of it must be the same on a newer one for that to say all that this one did, as JSON; None where nothing
    makes it so: then no agreement may ask for the newest alone."""
    sensitivity: Mapping[str, Sensitivity] = field(default_factory=dict)
    """The parts that need care, by path as agreements write it."""

    context: frozenset[str] = frozenset({"effectiveDate", "homeAddress"})
    """Members of it that tell nothing by themselves: an organisation that may have no other is not told."""

    @property
    def roles(self) -> tuple[Role, ...]:
        """What it can be to a recipient."""
        return (*(ROLE_AT[end] for end in self.ends), "national")

    @property
    def special(self) -> frozenset[str]:
        """Paths an agreement must name to permit them."""
        return frozenset(path for path, care in self.sensitivity.items() if care is Sensitivity.SPECIAL)

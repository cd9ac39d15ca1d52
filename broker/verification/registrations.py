"""Deaths as registrars know them: what was told and what was confirmed are compared as keyed digests, never shown."""

from dataclasses import dataclass, field
from typing import Final

from broker.sealing import Digester
from contracts.changes.bereavement import Bereavement
from contracts.confirmation import DeathConfirmation
from contracts.text import Strict

_LENGTHS: Final = (len("YYYY-MM-DD"), len("YYYY-MM"), len("YYYY"))


@dataclass(frozen=True, slots=True)
class Registered:
    """A death as it was told: by the number of its entry, and with its date."""

    registration: bytes = field(repr=False)
    fact: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A death as it was confirmed."""

    registration: bytes = field(repr=False)
    facts: tuple[bytes, ...] = field(repr=False)
    """Of the day, its month and its year: whoever told it may have known no more."""


def registered(digest: Digester, change: Strict) -> Registered | None:
    """Return what a registrar must confirm of a change, None for a kind that none can."""
    if not isinstance(change, Bereavement):
        return None
    number = _number(change.registration.reference)
    return Registered(digest(b"number", number), digest(b"date", number, str(change.death_date).encode()))


def confirmed(digest: Digester, said: DeathConfirmation) -> Confirmed:
    """Return what a registrar has said."""
    number, day = _number(said.registration_reference), said.death_date.isoformat()
    dates = [day[:length].encode() for length in _LENGTHS]
    return Confirmed(digest(b"number", number), tuple(digest(b"date", number, date) for date in dates))


def _number(reference: str) -> bytes:
    """Return the number of an entry however it is spaced, dashed or cased."""
    return "".join(letter for letter in reference.upper() if letter.isalnum()).encode()

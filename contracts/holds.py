"""Why a change is kept from being sent, and who ends that."""

from enum import StrEnum
from typing import Final

from pydantic import AwareDatetime

from contracts.text import Strict


class HoldReason(StrEnum):
    """Why a change is held. Closed, so that no personal data can hide in it."""

    NEEDS_PERSON = "needs_person"
    """Its kind asks for evidence that only a person can weigh."""
    AWAITS_REGISTRAR = "awaits_registrar"
    """A registrar must confirm it."""
    REGISTRAR_DIFFERS = "registrar_differs"
    """What a registrar said is not what was told."""
    NEW_ACCOUNT = "new_account"
    """Whoever told it has only just come here."""
    CONTACT_CHANGED = "contact_changed"
    """Where we write to them has only just changed."""
    OBJECTED = "objected"
    """Somebody at the address we write to said that it was not them."""


class DecidedBy(StrEnum):
    """Who ends a hold."""

    TIME = "time"
    STAFF = "staff"
    REGISTRAR = "registrar"
    PERSON = "person"
    """Whose change it is, signed in with a proven identity."""


DECIDED_BY: Final[dict[HoldReason, DecidedBy]] = {
    HoldReason.NEEDS_PERSON: DecidedBy.STAFF,
    HoldReason.AWAITS_REGISTRAR: DecidedBy.REGISTRAR,
    HoldReason.REGISTRAR_DIFFERS: DecidedBy.STAFF,
    HoldReason.NEW_ACCOUNT: DecidedBy.TIME,
    HoldReason.CONTACT_CHANGED: DecidedBy.TIME,
    HoldReason.OBJECTED: DecidedBy.PERSON,
}


class HoldOutcome(StrEnum):
    """How a hold ended."""

    RELEASED = "released"
    REFUSED = "refused"
    """The change will not be sent."""
    WITHDRAWN = "withdrawn"
    """Its person cancelled the change, or replaced it by another, which is held in its turn."""


class HoldView(Strict):
    """One reason why a change is or was held, as its person sees it."""

    reason: HoldReason
    since: AwareDatetime
    until: AwareDatetime | None = None
    """When it ends by itself; absent where somebody must decide."""
    ended_at: AwareDatetime | None = None
    outcome: HoldOutcome | None = None

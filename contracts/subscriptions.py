"""What an organisation's own software proposes of the register, and what it is told of that."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, model_validator

from contracts.agreement import Agreement, Terms, Version
from contracts.organisation import Contact
from contracts.text import Code, Strict


class AgreementVersion(Strict):
    """One version of one agreement."""

    id: Code
    version: Version


class SubscriptionRequest(Terms):
    """An agreement as the organisation whose token comes with it wants it to be.

    Whose it is comes from the register, its id and version from us: none of them can be named here.
    """

    replaces: AgreementVersion | None = None
    """The newest version of one of its own, which a new version is to follow. Absent: it is a new agreement."""


class SettingsRequest(Strict):
    """How the organisation whose token comes with it wants to be reached. What is absent stays as it is."""

    adapter_settings: dict[str, Any] | None = None
    """All settings of the adapter by which it is reached, as they are to be from then on. Never a secret."""
    contacts: Annotated[tuple[Contact, ...], Field(min_length=1, max_length=10)] | None = None
    """All mailboxes that are to be written to from then on."""

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.adapter_settings is None and self.contacts is None:
            raise ValueError("needs adapterSettings or contacts")
        return self


class SubscriptionProposal(Strict):
    """What became of what an organisation's software proposed."""

    id: UUID
    kind: Literal["agreement", "settings"]
    agreement: AgreementVersion | None = None
    """Of an agreement: what it is called once it is in force."""
    state: Literal["requested", "approved", "refused", "taken_back"]
    """Approved is in force."""
    approvals: Annotated[int, Field(ge=0)]
    """How many different people have approved it; two must."""
    pauses: bool
    """Nothing is sent to the organisation until it is decided: it changes where or under which key it is reached."""
    proposed_by: str
    """The client that proposed it."""
    proposed_at: AwareDatetime
    decided_at: AwareDatetime | None = None
    reason: Code | None = None
    """Why it was refused."""


class SubscriptionProposals(Strict):
    """A page of them, the newest first."""

    proposals: tuple[SubscriptionProposal, ...]


class Subscription(Strict):
    """The newest version of one of the organisation's agreements, and where it stands today."""

    agreement: Agreement
    state: Literal["revoked", "overdue", "in_force", "to_come", "over"]


class ReachedBy(Strict):
    """How an organisation is reached, as the register has it."""

    adapter: Code
    adapter_settings: dict[str, Any]
    contacts: tuple[Contact, ...]
    paused: bool


class Subscriptions(Strict):
    """What is agreed with an organisation, and how it is reached."""

    agreements: tuple[Subscription, ...]
    settings: ReachedBy

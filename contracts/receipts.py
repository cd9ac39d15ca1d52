"""Receipts: what became of one attempt. They carry no personal data and travel in clear."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID, uuid5

from pydantic import Field, StringConstraints, model_validator

from contracts.ids import new_id
from contracts.statuses import Outcome, Reason
from contracts.text import Line, Strict
from contracts.times import Moment

Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9#:/._-]{0,63}$")]
"""The organisation's own reference for what it did: a case number, a file and row. Never free text."""


class ReceiptKind(StrEnum):
    """Whose fact it is: `answered` is the organisation's and counts from any epoch; the rest are ours."""

    ANSWERED = "answered"
    PLACED = "placed"
    """It lies where the organisation comes for it, and what becomes of it there is still to be said."""
    DEFERRED = "deferred"
    WITHHELD = "withheld"
    UNDELIVERED = "undelivered"


class FailureKind(StrEnum):
    """Why an attempt was deferred; decides what it counts against."""

    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"
    MISCONFIGURED = "misconfigured"
    STOPPED = "stopped"
    """Our own doing (shutdown, hand-over): no attempt is counted."""


class Receipt(Strict):
    """One receipt. The same `id` twice is the same receipt."""

    id: UUID
    delivery_id: UUID
    epoch: Annotated[int, Field(ge=0, le=2**31 - 1)]
    attempt: Annotated[int, Field(ge=0, le=2**31 - 1)]
    """Which try this was, from 1; 0 when nothing was tried."""
    kind: ReceiptKind
    outcome: Outcome | None = None
    failure: FailureKind | None = None
    reason: Reason | None = None
    reference: Reference | None = None
    not_before: Moment | None = None
    """A floor for the next try. Of an attempt that failed: as the organisation asked (`Retry-After`); by the clock that
    dated `at`, so what counts is the span between the two. Of one that was withheld: by the store's clock."""
    granted_until: Moment | None = None
    """Which grant this ended: until when it was good. Only that one is given back, not a later one."""
    probe: Literal[True] | None = None
    """It was sent to see whether an organisation that had failed answers again: how that ends is no fault of its own."""
    at: Moment

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if (self.outcome is not None) != (self.kind is ReceiptKind.ANSWERED):
            raise ValueError("an outcome belongs to an answered receipt, and only there")
        if (self.failure is not None) != (self.kind is ReceiptKind.DEFERRED):
            raise ValueError("a failure belongs to a deferred receipt, and only there")
        if self.kind not in (ReceiptKind.ANSWERED, ReceiptKind.PLACED) and self.reason is None:
            raise ValueError("a receipt of ours needs a reason")
        return self

    def __repr__(self) -> str:  # no personal data in here, and logs need it
        return f"Receipt({self.delivery_id}, {self.kind}, {self.outcome or self.failure or self.reason})"

    __str__ = __repr__


def withheld(
    delivery_id: UUID, epoch: int, reason: Reason, at: datetime, *, not_before: datetime | None = None
) -> Receipt:
    """Return the receipt of a delivery that was not let through: nothing was tried."""
    return Receipt(
        id=new_id(at),
        delivery_id=delivery_id,
        epoch=epoch,
        attempt=0,
        kind=ReceiptKind.WITHHELD,
        reason=reason,
        not_before=not_before,
        at=at,
    )


class Quarantined(Strict):
    """A record of the log that cannot be read or has no delivery: set aside with its position, never dropped."""

    topic: Line
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    reason: Reason
    at: Moment
    delivery_id: UUID | None = None
    """The delivery it was about, where that could still be read."""


class Answer(Strict):
    """What an organisation says of one delivery, later or at once (`POST /v1/receipts`, or the body of its 200)."""

    id: UUID
    """The organisation's own id for this answer; the same id again changes nothing."""
    delivery_id: UUID
    outcome: Outcome
    reference: Reference | None = None
    at: Moment | None = None
    """When it happened at the organisation; the time of arrival where absent."""

    def receipt(self, *, epoch: int, attempt: int, now: datetime) -> Receipt:
        """Return our receipt for this answer.

        Its id is made from the delivery's and the answer's (UUIDv5), so that one organisation's ids can never
        collide with, or shadow, another's. A time ahead of ours is taken as ours.
        """
        return Receipt(
            id=uuid5(self.delivery_id, str(self.id)),
            delivery_id=self.delivery_id,
            epoch=epoch,
            attempt=attempt,
            kind=ReceiptKind.ANSWERED,
            outcome=self.outcome,
            reference=self.reference,
            at=min(self.at, now) if self.at else now,
        )

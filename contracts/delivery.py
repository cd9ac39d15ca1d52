"""A delivery as an adapter receives it, and the ways an attempt can end."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.ids import new_id
from contracts.receipts import Receipt, ReceiptKind
from contracts.statuses import Outcome, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One change on its way to one organisation. `id` repeats on every retry, with identical `data` bytes.

    The wire form is CloudEvents 1.0.2: `contracts.events`.
    """

    id: UUID
    """CloudEvents `id`, and the idempotency key."""
    organisation: str
    epoch: int
    """Rises with each replay an operator orders."""
    attempt: int
    """Which try this is, from 1."""
    sequence: int
    """Dense per person and organisation; receivers ignore one not above the last they applied."""
    type: str
    source: str
    subject: str
    """The recipient's own pseudonym for the person; two organisations cannot join theirs."""
    time: datetime
    dataschema: str
    traceparent: str
    """W3C Trace Context of this recipient alone."""
    origin: str
    """Names the change's origin to this recipient alone, so it can recognise its own echo."""
    data: bytes = field(repr=False)
    """Canonical JSON, frozen at acceptance. Personal: never logged."""

    def answered(
        self, outcome: Outcome, at: datetime, *, reference: str | None = None, reason: Reason | None = None
    ) -> Receipt:
        """Return the receipt for what the organisation said of this attempt."""
        return Receipt(
            id=new_id(at),
            delivery_id=self.id,
            epoch=self.epoch,
            attempt=self.attempt,
            kind=ReceiptKind.ANSWERED,
            outcome=outcome,
            reason=reason,
            reference=reference,
            at=at,
        )

    def placed(self, at: datetime) -> Receipt:
        """Return the receipt for having laid it where the organisation comes for it: nothing was said yet."""
        return Receipt(
            id=new_id(at),
            delivery_id=self.id,
            epoch=self.epoch,
            attempt=self.attempt,
            kind=ReceiptKind.PLACED,
            at=at,
        )


class Failure(Exception):  # noqa: N818  an instruction to the engine, not an error of the program
    """An attempt did not end in an answer. Says what to do, not what broke.

    Failure
    ├── Rejected        this delivery will never be taken
    ├── Unavailable     not now; tried again no sooner than `retry_after`
    ├── Unknown         it may have arrived; tried again with the same key, under its own small limit
    └── Misconfigured   a person must put it right: pauses the organisation, alarms, is no attempt
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Rejected(Failure):
    """The organisation will never take this delivery, or says so of its content."""

    def __init__(
        self, reason: Reason, *, outcome: Outcome = Outcome.REJECTED_INVALID, reference: str | None = None
    ) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reference = reference


class Unavailable(Failure):
    """Not now. `retry_after` is in seconds, a floor under the engine's own schedule."""

    def __init__(self, reason: Reason, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Unknown(Failure):
    """The request may have arrived: tried again with the same id, at most a few times."""


class Misconfigured(Failure):
    """401, 403, 404, 405, 410, TLS, DNS, a redirect: nothing will be taken until a person acts."""

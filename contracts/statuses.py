"""What can become of a delivery: the answers an organisation can give, our statuses, and the one table between.

A status only rises by `RANK`; a later, lower answer is a conflict for the timeline, never a change.
"""

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """What an organisation can answer. Closed: free text is refused."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    APPLIED = "applied"
    ALREADY_CURRENT = "already_current"
    NOT_MATCHED = "not_matched"
    SEVERAL_MATCHES = "several_matches"
    DUPLICATE = "duplicate"
    MUST_REVIEW = "must_review"
    REJECTED_INVALID = "rejected_invalid"
    REJECTED_POLICY = "rejected_policy"
    SUPERSEDED = "superseded"
    UNKNOWN = "unknown"
    FAILED = "failed"


class Status(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    QUEUED = "queued"
    PUBLISHED = "published"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    UNDELIVERED = "undelivered"
    RECEIVED = "received"
    NEEDS_REVIEW = "needs_review"
    REJECTED = "rejected"
    NOT_MATCHED = "not_matched"
    ALREADY_CURRENT = "already_current"
    APPLIED = "applied"


RANK: Final[dict[Status, int]] = {
    Status.WAITING: 0,
    Status.QUEUED: 1,
    Status.PUBLISHED: 2,
    Status.CANCELLED: 3,
    Status.SUPERSEDED: 3,
    Status.UNDELIVERED: 3,
    Status.RECEIVED: 4,
    Status.NEEDS_REVIEW: 5,
    Status.REJECTED: 6,
    Status.NOT_MATCHED: 6,
    Status.ALREADY_CURRENT: 7,
    Status.APPLIED: 7,
}

STATUS_OF: Final[dict[Outcome, Status | None]] = {
    Outcome.RECEIVED: Status.RECEIVED,
    Outcome.ACCEPTED: Status.RECEIVED,  # taken in is not yet applied (HTTP 202, HL7 AA, an uploaded file)
    Outcome.APPLIED: Status.APPLIED,
    Outcome.ALREADY_CURRENT: Status.ALREADY_CURRENT,
    Outcome.DUPLICATE: Status.ALREADY_CURRENT,
    Outcome.SEVERAL_MATCHES: Status.NEEDS_REVIEW,
    Outcome.MUST_REVIEW: Status.NEEDS_REVIEW,
    Outcome.NOT_MATCHED: Status.NOT_MATCHED,
    Outcome.REJECTED_INVALID: Status.REJECTED,
    Outcome.REJECTED_POLICY: Status.REJECTED,
    Outcome.SUPERSEDED: Status.SUPERSEDED,
    Outcome.UNKNOWN: None,  # tried again under its own small limit
    Outcome.FAILED: None,  # tried again by policy
}
"""The status each answer means; None where the delivery is tried again."""

ENDED: Final = frozenset(status for status, rank in RANK.items() if rank >= RANK[Status.CANCELLED]) - {
    Status.RECEIVED,
    Status.NEEDS_REVIEW,
}
"""Statuses after which nobody owes an answer. `received` and `needs_review` still wait for the organisation."""

OCCUPIES_LANE_BELOW: Final = RANK[Status.CANCELLED]
"""A numbered delivery holds its lane while its rank is below this: nothing may overtake it."""


class Reason(StrEnum):
    """Why something was deferred, withheld, refused or given up. Closed, so that no personal data can hide in it."""

    # the organisation could not be reached, or asked us to wait
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_LOST = "connection_lost"
    DEADLINE_PASSED = "deadline_passed"
    TOO_MANY_REQUESTS = "too_many_requests"
    SERVER_ERROR = "server_error"
    ANSWER_TOO_LARGE = "answer_too_large"
    ANSWER_UNREADABLE = "answer_unreadable"
    # something a person must put right
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    NAME_NOT_RESOLVED = "name_not_resolved"
    TLS_FAILED = "tls_failed"
    HOST_KEY_UNKNOWN = "host_key_unknown"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_REFUSED = "certificate_refused"
    UNAUTHORISED = "unauthorised"
    TOKEN_REFUSED = "token_refused"  # noqa: S105  a reason
    NOT_ACTIVATED = "not_activated"
    ENDPOINT_MISSING = "endpoint_missing"
    ENDPOINT_GONE = "endpoint_gone"
    REDIRECTED = "redirected"
    ADAPTER_FAULT = "adapter_fault"
    # the organisation refused this delivery
    INVALID_FOR_RECEIVER = "invalid_for_receiver"
    FIELDS_MISSING = "fields_missing"
    REFUSED_BY_POLICY = "refused_by_policy"
    CONFLICTS = "conflicts"
    # the gate withheld it
    ERASED = "erased"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    REVOKED = "revoked"
    ALREADY_RECEIVED = "already_received"
    STALE_EPOCH = "stale_epoch"
    PAUSED = "paused"
    GRANTED_ELSEWHERE = "granted_elsewhere"
    NOT_DUE = "not_due"
    # our own
    STOPPING = "stopping"
    RETRIES_SPENT = "retries_spent"
    BATCH_BROKEN = "batch_broken"
    HORIZON_PASSED = "horizon_passed"
    UNKNOWN_LIMIT = "unknown_limit"
    GIVEN_UP = "given_up"
    UNDECODABLE = "undecodable"
    UNKNOWN_KEY = "unknown_key"
    UNKNOWN_DELIVERY = "unknown_delivery"

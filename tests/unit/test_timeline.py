"""What a person reads of a delivery its organisation comes for: that it is ready, said once, and no failed try."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from broker.language import words_in
from broker.store.changes import DeliveryRow, ReceiptRow
from broker.tracking.timeline import PLACED, view
from broker.web.timeline_words import entry_words
from contracts.receipts import ReceiptKind
from contracts.statuses import Status

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
DELIVERY = DeliveryRow(
    id=UUID(int=1),
    change_id=UUID(int=2),
    organisation="agency",
    agreement="agency-moves",
    agreement_version=1,
    status="published",
    sequence=1,
    attempts=0,
    due=AT,
    held=False,
    accepted_at=AT,
    published_at=AT,
    answered_at=None,
    reason=None,
    reference=None,
)


def receipt(kind: ReceiptKind, hours: int, status: Status = Status.PUBLISHED, effect: str = "scheduled") -> ReceiptRow:
    return ReceiptRow(
        delivery_id=DELIVERY.id,
        kind=kind.value,
        outcome="received" if kind is ReceiptKind.ANSWERED else None,
        reason="horizon_passed" if status is Status.UNDELIVERED else None,
        attempt=1,
        reference=None,
        at=AT + timedelta(hours=hours),
        effect=effect,
        status=status.value,
        next_due=AT + timedelta(hours=hours + 6) if effect == "scheduled" else None,
    )


def test_that_it_lies_ready_is_said_once_and_that_it_was_received_after_it() -> None:
    placed = [receipt(ReceiptKind.PLACED, hours) for hours in (0, 6, 12)]
    seen = view(DELIVERY, [*placed, receipt(ReceiptKind.ANSWERED, 13, Status.RECEIVED, "raised")], {})
    assert [(entry.what, entry.reason) for entry in seen.timeline] == [
        ("accepted", None),
        ("published", None),
        ("published", PLACED),
        ("answered", None),
    ]
    lies = seen.timeline[2]
    assert lies.next_try is None, "nobody tries"
    assert entry_words(lies, words_in("en"))[1] == "It is ready for the organisation to collect."
    assert entry_words(lies, words_in("cy"))[1] == "Mae’n barod i’r sefydliad ei gasglu."
    assert entry_words(seen.timeline[1], words_in("en"))[1] == "It was sent off."


def test_what_nobody_came_for_is_said_to_be_undelivered() -> None:
    last = receipt(ReceiptKind.PLACED, 168, Status.UNDELIVERED, "raised")
    seen = view(DELIVERY, [receipt(ReceiptKind.PLACED, 0), last], {})
    assert [(entry.what, entry.reason) for entry in seen.timeline][-2:] == [
        ("published", PLACED),
        ("undelivered", "horizon_passed"),
    ]
    assert "could not be delivered" in entry_words(seen.timeline[-1], words_in("en"))[1]


def test_what_waits_under_a_revoked_agreement_is_being_stopped_and_no_day_is_promised() -> None:
    for status, stopping in (("waiting", True), ("queued", True), ("published", True), ("received", None)):
        delivery = replace(DELIVERY, status=status, due=AT + timedelta(days=9))
        assert view(delivery, [], {}).stopping is None
        seen = view(replace(delivery, revoked=True), [], {})
        assert (seen.stopping, seen.not_before) == (stopping, None), status
    assert view(replace(DELIVERY, status="waiting", due=AT), [], {}).not_before == AT

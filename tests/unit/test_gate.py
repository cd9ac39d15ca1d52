"""Why the gate withholds, in the order of what weighs most."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from broker.store.lanes import AtTheGate
from broker.vault.gate import decide, decide_pick_up
from contracts.grants import Withheld
from contracts.statuses import RANK, Reason, Status

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FREE = AtTheGate(
    delivery_id=UUID(int=1),
    person_id=1,
    organisation="council",
    epoch=0,
    status="published",
    attempts=0,
    occupies=True,
    in_flight=True,
    claim=1,
    granted_until=None,
    paused=False,
    revoked=False,
    erased=False,
    now=NOW,
    kek_generation=1,
    wrapped=b"",
)


def test_what_is_due_and_nobody_minds_may_be_sent() -> None:
    assert decide(FREE, 0, NOW) is None
    assert decide(replace(FREE, status="queued"), 0, NOW) is None
    assert decide(replace(FREE, granted_until=NOW), 0, NOW) is None, "a grant that has run out holds nobody up"


@pytest.mark.parametrize(
    ("row", "epoch", "reason"),
    [
        (replace(FREE, erased=True, revoked=True, paused=True), 0, Reason.ERASED),
        (replace(FREE, epoch=2), 1, Reason.STALE_EPOCH),
        (FREE, 1, Reason.STALE_EPOCH),
        (replace(FREE, status="cancelled", occupies=False), 0, Reason.CANCELLED),
        (replace(FREE, status="received", occupies=False), 0, Reason.ALREADY_RECEIVED),
        (replace(FREE, occupies=False), 0, Reason.ALREADY_RECEIVED),
        (replace(FREE, revoked=True, paused=True), 0, Reason.REVOKED),
        (replace(FREE, paused=True), 0, Reason.PAUSED),
        (replace(FREE, withdrawn=True, paused=True), 0, Reason.CANCELLED),
        (replace(FREE, withdrawn=True, corrected=True, paused=True), 0, Reason.SUPERSEDED),
        (replace(FREE, overtaken=True, paused=True), 0, Reason.SUPERSEDED),
        (replace(FREE, withdrawn=True, overtaken=True), 0, Reason.CANCELLED),
        (replace(FREE, withdrawn=True, in_flight=False), 0, Reason.NOT_DUE),
        (replace(FREE, withdrawn=True, granted_until=NOW + timedelta(seconds=1)), 0, Reason.GRANTED_ELSEWHERE),
        (replace(FREE, in_flight=False), 0, Reason.NOT_DUE),
        (replace(FREE, paused=True, granted_until=NOW + timedelta(seconds=1)), 0, Reason.GRANTED_ELSEWHERE),
        (replace(FREE, granted_until=NOW + timedelta(seconds=1)), 0, Reason.GRANTED_ELSEWHERE),
    ],
)
def test_each_reason(row: AtTheGate, epoch: int, reason: Reason) -> None:
    found = decide(row, epoch, NOW)
    assert isinstance(found, Withheld)
    assert found.reason is reason


def test_nothing_that_was_received_or_ended_is_sent_again() -> None:
    for status in Status:
        if RANK[status] >= RANK[Status.CANCELLED]:
            assert decide(replace(FREE, status=status.value), 0, NOW) is not None


@pytest.mark.parametrize(
    ("row", "epoch", "reason"),
    [
        (FREE, 0, None),
        (replace(FREE, in_flight=False), 0, None),
        (replace(FREE, granted_until=NOW + timedelta(seconds=9)), 0, None),
        (FREE, 1, Reason.STALE_EPOCH),
        (replace(FREE, erased=True), 0, Reason.ERASED),
        (replace(FREE, status="received", occupies=False), 0, Reason.ALREADY_RECEIVED),
        (replace(FREE, revoked=True), 0, Reason.REVOKED),
        (replace(FREE, withdrawn=True), 0, Reason.CANCELLED),
        (replace(FREE, withdrawn=True, corrected=True), 0, Reason.SUPERSEDED),
        (replace(FREE, overtaken=True), 0, Reason.SUPERSEDED),
        (replace(FREE, paused=True), 0, Reason.PAUSED),
    ],
)
def test_what_lies_in_a_mailbox_is_handed_out_by_the_same_rules(
    row: AtTheGate, epoch: int, reason: Reason | None
) -> None:
    withheld = decide_pick_up(row, epoch)
    assert (withheld.reason if withheld else None) is reason

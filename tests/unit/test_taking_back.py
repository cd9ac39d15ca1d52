"""What is done about each delivery of a change that was taken back, wherever it stands."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from broker.store.withdrawals import Sent
from broker.tracking.fold import Effect, Standing, stopped
from broker.tracking.withdrawing import Verdict, decide, may_have
from contracts.receipts import Receipt, ReceiptKind
from contracts.statuses import OCCUPIES_LANE_BELOW, RANK, Reason, Status

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SENT = Sent(id=UUID(int=1), sequence=1, digest=b"", sealed=b"", event="address", taken_back=False, replaced=False)
WAITING = Standing(
    status=Status.QUEUED,
    epoch=0,
    attempts=0,
    unknowns=0,
    since=NOW,
    published_at=None,
    answered_at=None,
    reason=None,
    reference=None,
    occupies=False,
)
UNDER_WAY = replace(WAITING, status=Status.PUBLISHED, occupies=True, in_flight=True, due=NOW + timedelta(days=1))
LATER = NOW + timedelta(seconds=5)


@pytest.mark.parametrize(
    ("standing", "granted_until", "verdict"),
    [
        (WAITING, None, Verdict(stop=True)),
        (replace(WAITING, status=Status.WAITING), None, Verdict(stop=True)),
        (UNDER_WAY, None, Verdict()),
        (replace(UNDER_WAY, granted=True), LATER, Verdict()),
        (replace(UNDER_WAY, in_flight=False), None, Verdict(stop=True)),
        (replace(UNDER_WAY, in_flight=False, attempts=3), None, Verdict(stop=True)),
        (replace(UNDER_WAY, in_flight=False, attempts=3, unknowns=1), None, Verdict(stop=True, take_back=True)),
        (replace(UNDER_WAY, in_flight=False, granted=True), LATER, Verdict(wait_until=LATER)),
        (replace(UNDER_WAY, in_flight=False, granted=True), NOW, Verdict(stop=True, take_back=True)),
        (replace(WAITING, status=Status.CANCELLED, reason=Reason.CANCELLED), None, Verdict()),
        (replace(WAITING, status=Status.CANCELLED, reason=Reason.CANCELLED, unknowns=1), None, Verdict(take_back=True)),
        (replace(WAITING, status=Status.SUPERSEDED, reason=Reason.SUPERSEDED), None, Verdict()),
        (replace(WAITING, status=Status.SUPERSEDED), None, Verdict(take_back=True)),  # so the organisation said
        (replace(WAITING, status=Status.SUPERSEDED, reason=Reason.CONFLICTS), None, Verdict(take_back=True)),
        (replace(WAITING, status=Status.UNDELIVERED, reason=Reason.HORIZON_PASSED), None, Verdict()),
        (replace(WAITING, status=Status.UNDELIVERED, reason=Reason.UNKNOWN_LIMIT, unknowns=5), None, Verdict(take_back=True)),
    ],
)  # fmt: skip
def test_each(standing: Standing, granted_until: datetime | None, verdict: Verdict) -> None:
    assert decide(standing, SENT, granted_until, NOW) == verdict


@pytest.mark.parametrize("status", [status for status in Status if RANK[status] >= RANK[Status.RECEIVED]])
def test_what_an_organisation_has_said_anything_of_is_taken_back(status: Status) -> None:
    assert decide(replace(WAITING, status=status), SENT, None, NOW) == Verdict(take_back=True)


def test_whatever_holds_nothing_is_taken_back_twice_nor_what_is_replaced_nor_what_is_under_way() -> None:
    flags = itertools.product(Status, (False, True), (False, True), (0, 1), (False, True), (False, True))
    for status, in_flight, granted, unknowns, back, replaced in flags:
        standing = replace(
            UNDER_WAY, status=status, in_flight=in_flight, granted=granted, unknowns=unknowns, attempts=unknowns
        )
        verdict = decide(standing, replace(SENT, taken_back=back, replaced=replaced), LATER, NOW)
        is_open = RANK[status] < OCCUPIES_LANE_BELOW
        if back or replaced:
            assert not verdict.take_back
        if is_open and (in_flight or granted):
            assert not verdict.stop
            assert not verdict.take_back
        if verdict.stop:
            assert is_open
        if verdict.take_back:
            assert may_have(standing)
        if not is_open and not back and not replaced:
            assert verdict.take_back == may_have(standing), "and nobody who may have it is left out"


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.CANCELLED, Status.CANCELLED),
        (Reason.SUPERSEDED, Status.SUPERSEDED),
        (Reason.GIVEN_UP, Status.UNDELIVERED),
    ],
)
def test_what_is_ended_by_an_act_says_why_and_leaves_its_lane(reason: Reason, status: Status) -> None:
    receipt = Receipt(
        id=uuid4(), delivery_id=UUID(int=1), epoch=0, attempt=0, kind=ReceiptKind.WITHHELD, reason=reason, at=NOW
    )
    for standing in (WAITING, UNDER_WAY, replace(UNDER_WAY, granted=True)):
        folded = stopped(standing, receipt)
        assert folded is not None
        assert folded.effect is Effect.RAISED
        ended = folded.standing
        assert (ended.status, ended.reason, ended.occupies, ended.in_flight, ended.due) == (
            status,
            reason,
            False,
            False,
            None,
        )
        assert ended.unknowns == standing.granted, "what was granted and never heard of may have arrived"
    for known in Status:
        if RANK[known] >= OCCUPIES_LANE_BELOW:
            assert stopped(replace(WAITING, status=known), receipt) is None

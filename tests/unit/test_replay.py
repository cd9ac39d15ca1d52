"""Which deliveries may be replayed, what a preview says, and which staff may do what."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import pytest

from broker.cli import replaying
from broker.identity.staff import GROUPS, May, may
from broker.store import StoreUnavailable
from broker.store.replays import Candidate
from broker.tracking.replay import Refusal, decide, summed_up
from contracts.statuses import Status

AT = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def candidate(
    status: Status = Status.UNDELIVERED,
    *,
    person_id: int = 1,
    sequence: int | None = 1,
    overtaken: bool = False,
    revoked: bool = False,
    erased: bool = False,
    withdrawn: bool = False,
) -> Candidate:
    return Candidate(
        delivery_id=uuid4(),
        person_id=person_id,
        organisation="cardiff-council",
        status=status.value,
        epoch=0,
        sequence=sequence,
        overtaken=overtaken,
        revoked=revoked,
        erased=erased,
        withdrawn=withdrawn,
    )


def test_what_is_undelivered_and_the_last_of_its_lane_may_be_replayed() -> None:
    assert decide(candidate()) is None
    assert decide(candidate(sequence=None)) is None, "an operator gave it up before it was ever due"


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.UNDELIVERED}))
def test_nothing_else_may(status: Status) -> None:
    assert decide(candidate(status)) is Refusal.MOVED_ON


@pytest.mark.parametrize(
    ("found", "refusal"),
    [
        (candidate(withdrawn=True, revoked=True), Refusal.WITHDRAWN),
        (candidate(Status.APPLIED, withdrawn=True), Refusal.MOVED_ON),
        (candidate(overtaken=True), Refusal.OVERTAKEN),
        (candidate(revoked=True), Refusal.REVOKED),
        (candidate(overtaken=True, revoked=True), Refusal.REVOKED),
        (candidate(overtaken=True, revoked=True, erased=True), Refusal.ERASED),
        (candidate(Status.APPLIED, erased=True), Refusal.ERASED),
    ],
)
def test_what_weighs_most_is_said(found: Candidate, refusal: Refusal) -> None:
    assert decide(found) is refusal


def test_a_preview_counts_those_refused_and_names_the_first_and_last_of_the_others() -> None:
    shown = summed_up(
        [
            (AT, candidate(overtaken=True)),
            (AT + timedelta(hours=1), candidate()),
            (AT + timedelta(hours=3), candidate(person_id=2)),
            (AT + timedelta(hours=9), candidate(Status.APPLIED)),
        ]
    )
    assert (shown.replayed, shown.refused) == (2, {Refusal.OVERTAKEN: 1, Refusal.MOVED_ON: 1})
    assert (shown.first, shown.last) == (AT + timedelta(hours=1), AT + timedelta(hours=3))
    assert shown.statuses == {Status.UNDELIVERED: 3, Status.APPLIED: 1}
    assert not shown.too_many


def test_a_preview_counts_one_of_a_lane_the_lowest_as_only_that_will_be_sent() -> None:
    shown = summed_up(
        [
            (AT, candidate(sequence=2)),
            (AT + timedelta(hours=1), candidate(sequence=1)),
            (AT + timedelta(hours=2), candidate(person_id=2, sequence=7)),
            (AT + timedelta(hours=3), candidate(sequence=None)),
        ]
    )
    assert (shown.replayed, shown.refused) == (3, {Refusal.OVERTAKEN: 1})
    assert (shown.first, shown.last) == (AT + timedelta(hours=1), AT + timedelta(hours=3)), "what is not numbered goes"


def test_more_than_one_replay_may_look_at_is_said() -> None:
    assert summed_up([(AT, candidate()), (AT, candidate())], most=1).too_many


def test_who_belongs_to_nothing_may_nothing() -> None:
    assert may([]) == may(["staff", "unwaith", ""]) == frozenset()


def test_each_act_is_for_these_roles_alone() -> None:
    """As `docs/agreements.md` shows it. A change here is a change of who may do what: it must be meant."""
    everybody = {"support", "manager", "caseworker", "auditor", "security"}
    allowed = {act: {group.removeprefix("unwaith-") for group in GROUPS if act in may([group])} for act in May}
    assert allowed == {
        May.LOOK: everybody,
        May.TRACE: {"support", "manager", "security"},
        May.PAUSE: {"manager", "security"},
        May.REPLAY: {"manager"},
        May.DECIDE: {"caseworker"},
        May.JOIN: {"caseworker", "security"},
        May.READ_ACTS: {"auditor", "security"},
        May.READ_REGISTER: everybody - {"caseworker"},
        May.PROPOSE: {"manager"},
        May.APPROVE: {"manager", "security"},
        May.TRY: {"manager", "security"},
        May.REVOKE: {"manager", "security"},
    }
    together = may(["unwaith-support", "unwaith-auditor"])
    assert together == {May.LOOK, May.TRACE, May.READ_ACTS, May.READ_REGISTER}


def test_the_published_table_of_roles_is_the_one_that_holds() -> None:
    page = (Path(__file__).parents[2] / "docs" / "agreements.md").read_text(encoding="utf-8")
    groups = [group.removeprefix("unwaith-") for group in GROUPS]
    assert f"| | {' | '.join(groups)} |" in page
    for act in May:
        marks = " | ".join("yes" if act in may([f"unwaith-{group}"]) else "" for group in groups)
        assert f"| `{act.value}` | {marks} |" in page, act


async def test_a_store_that_is_away_says_nothing_of_the_delivery(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away() -> NoReturn:
        raise StoreUnavailable

    monkeypatch.setattr("broker.cli.replaying.store", away)
    monkeypatch.setattr("broker.cli.replaying.configure_logs", lambda **_: None)
    assert await replaying.give_up(uuid4(), reason="operator", note="") == 1
    assert capsys.readouterr().err.strip() == "The store does not answer."

"""What a change waits for before it is sent: every rule of the policy, and where each begins and ends."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from broker.verification.holds import (
    NO_HOLDS,
    REDIRECTS,
    Facts,
    Hold,
    HoldPolicy,
    holds_on,
    too_many,
)
from contracts.changes import Confirmation
from contracts.holds import DECIDED_BY, DecidedBy, HoldReason

NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY: Final = timedelta(hours=24)
MOMENT: Final = timedelta(microseconds=1)
POLICY: Final = HoldPolicy(new_account=DAY, new_contact=2 * DAY, most_a_day=3)
WELL_KNOWN: Final = Facts(now=NOW, known_since=NOW - 400 * DAY, contact_since=None, told=0, objected=False)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (WELL_KNOWN, []),
        (replace(WELL_KNOWN, known_since=NOW), [Hold(HoldReason.NEW_ACCOUNT, NOW + DAY)]),
        (replace(WELL_KNOWN, known_since=NOW - DAY + MOMENT), [Hold(HoldReason.NEW_ACCOUNT, NOW + MOMENT)]),
        (replace(WELL_KNOWN, known_since=NOW - DAY), []),
        (replace(WELL_KNOWN, contact_since=NOW), [Hold(HoldReason.CONTACT_CHANGED, NOW + 2 * DAY)]),
        (replace(WELL_KNOWN, contact_since=NOW - 2 * DAY), []),
        (replace(WELL_KNOWN, objected=True), [Hold(HoldReason.OBJECTED)]),
        (
            replace(WELL_KNOWN, known_since=NOW, contact_since=NOW, objected=True),
            [
                Hold(HoldReason.NEW_ACCOUNT, NOW + DAY),
                Hold(HoldReason.CONTACT_CHANGED, NOW + 2 * DAY),
                Hold(HoldReason.OBJECTED),
            ],
        ),
    ],
)
@pytest.mark.parametrize("kind", sorted(REDIRECTS))
def test_what_redirects_waits(kind: str, facts: Facts, expected: list[Hold]) -> None:
    assert holds_on(kind, None, facts, POLICY) == expected


def test_what_redirects_nothing_waits_for_nothing() -> None:
    suspicious = replace(WELL_KNOWN, known_since=NOW, contact_since=NOW, objected=True)
    assert holds_on("name", None, suspicious, POLICY) == []


@pytest.mark.parametrize(
    ("confirmed_by", "reason"),
    [(Confirmation.A_PERSON, HoldReason.NEEDS_PERSON), (Confirmation.REGISTRAR, HoldReason.AWAITS_REGISTRAR)],
)
@pytest.mark.parametrize("policy", [POLICY, NO_HOLDS])
def test_a_kind_that_must_be_confirmed_always_waits_for_it(
    confirmed_by: Confirmation, reason: HoldReason, policy: HoldPolicy
) -> None:
    assert holds_on("anything", confirmed_by, WELL_KNOWN, policy) == [Hold(reason)]


def test_without_a_policy_only_an_objection_holds() -> None:
    suspicious = replace(WELL_KNOWN, known_since=NOW, contact_since=NOW, objected=True, told=1000)
    assert holds_on("address", None, suspicious, NO_HOLDS) == [Hold(HoldReason.OBJECTED)]
    assert not too_many(suspicious, NO_HOLDS)


@pytest.mark.parametrize(("told", "refused"), [(0, False), (2, False), (3, True), (4, True)])
def test_so_many_a_day_and_no_more(told: int, refused: bool) -> None:
    assert too_many(replace(WELL_KNOWN, told=told), POLICY) is refused


def test_what_lapses_says_when_and_what_is_decided_does_not() -> None:
    everything = replace(WELL_KNOWN, known_since=NOW, contact_since=NOW, objected=True)
    for confirmed_by in Confirmation:
        for hold in holds_on("address", confirmed_by, everything, POLICY):
            assert (hold.until is not None) == (DECIDED_BY[hold.reason] is DecidedBy.TIME)
    assert set(DECIDED_BY) == set(HoldReason), "somebody ends every hold"

"""What the operators' overview makes of numbers: how long deliveries take, and what raises an alarm."""

from datetime import UTC, datetime, timedelta

import pytest

from broker.store.browsing import NEWEST, Place
from broker.store.operations import Counted, Happened, Overview
from broker.web.staff.alarms import OLDEST, Raised, alarms
from broker.web.staff.browsing import read_place, written_place
from broker.web.staff.durations import percentile

AT = datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)
WELL = {"store": True, "log": True}


def counted(**said: object) -> Counted:
    plain = {
        "organisation": "council",
        "accepted": 1,
        "by_status": {"applied": 1},
        "oldest": None,
        "in_flight": 0,
        "between_tries": 0,
        "next_try": None,
        "paused_at": None,
        "paused_reason": None,
        "paused_note": None,
        "draining": False,
        "in_question": False,
        "breaker": "closed",
        "breaker_until": None,
        "comes_for_it": False,
        "unread": 0,
        "unwritten": 0,
        "silent": False,
        "uncollected": False,
    }
    return Counted(**{**plain, **said})  # type: ignore[arg-type]  # as said


def seen(item: Counted, *happened: tuple[str, int], quarantined: int = 0) -> Overview:
    return Overview(
        at=AT,
        organisations=(item,),
        happened=tuple(Happened(AT, "council", event, "", n) for event, n in happened),
        quarantined={"undecodable": quarantined} if quarantined else {},
    )


def test_letters_nobody_got_are_an_alarm_of_their_organisation() -> None:
    [raised] = alarms(seen(counted(unwritten=2)), WELL)
    assert (raised.alarm, raised.about, raised.n) == ("unwritten", "council", 2)


def test_nothing_is_raised_while_all_is_well() -> None:
    assert alarms(seen(counted(oldest=AT - OLDEST), ("answered", 10), ("deferred", 10)), WELL) == ()
    assert alarms(seen(counted(oldest=AT - timedelta(days=1), comes_for_it=True)), WELL) == (), (
        "they have a day and more"
    )
    assert alarms(seen(counted(), ("deferred", 9)), WELL) == (), "too few tries to tell"
    assert alarms(seen(counted(oldest=AT - timedelta(days=1), paused_at=AT)), WELL) == (), "paused, so it waits"


@pytest.mark.parametrize(
    ("overview", "health", "raised"),
    [
        (seen(counted()), {"store": True, "log": False}, Raised("away", "log")),
        (seen(counted(accepted=2)), WELL, Raised("unbalanced", "council")),
        (seen(counted(), quarantined=3), WELL, Raised("quarantined", "", 3)),
        (
            seen(counted(oldest=AT - timedelta(days=3), comes_for_it=True, unread=2)),
            WELL,
            Raised("unread", "council", 2),
        ),
        (
            seen(counted(oldest=AT - OLDEST - timedelta(seconds=1))),
            WELL,
            Raised("overdue", "council", lasted=OLDEST + timedelta(seconds=1)),
        ),
        (seen(counted(), ("answered", 10), ("deferred", 11)), WELL, Raised("failing", "council", 11)),
        (seen(counted(), ("answered", 10), ("undelivered", 2)), WELL, Raised("given_up", "council", 2)),
        (seen(counted(), ("conflict", 1)), WELL, Raised("conflict", "council", 1)),
    ],
)
def test_each_alarm_is_raised_by_its_cause(overview: Overview, health: dict[str, bool], raised: Raised) -> None:
    assert alarms(overview, health) == (raised,)


def test_what_waits_for_a_cut_off_is_not_overdue_before_it() -> None:
    told = seen(counted(oldest=AT - timedelta(hours=20)))  # 17:00:30 in Wales, the evening before
    assert alarms(told, WELL, {"council": ["17:00"]}) == ()
    overdue = timedelta(hours=19, minutes=0, seconds=30)
    assert alarms(told, WELL, {"council": ["18:00"]}) == (Raised("overdue", "council", lasted=overdue),)
    assert alarms(told, WELL, {"another": ["17:00"]}) != ()
    just_after = seen(counted(oldest=AT.replace(hour=11, second=0)))  # 12:00:00 to ten seconds, so it may be 12:00:09
    assert alarms(just_after, WELL, {"council": ["12:00"]}) == ()


def test_the_gravest_alarm_comes_first() -> None:
    found = alarms(seen(counted(accepted=2), ("conflict", 1), ("undelivered", 20)), {"store": False})
    assert [one.alarm for one in found] == ["away", "unbalanced", "failing", "given_up", "conflict"]


def test_how_long_deliveries_took_is_told_to_a_fifth() -> None:
    assert percentile({}, 0.5) is None
    for true in (3, 40, 700, 9_000, 3_600_000):
        half_octave = next(n for n in range(99) if 2 ** (n / 2) >= true)
        said = percentile({half_octave: 1}, 0.5)
        assert said is not None
        assert 0.8 < said.total_seconds() * 1000 / true < 1.2
    mixed = {10: 94, 20: 1, 30: 5}
    assert percentile(mixed, 0.5) == percentile({10: 1}, 1)
    assert percentile(mixed, 0.95) == percentile({20: 1}, 1)
    assert percentile(mixed, 0.96) == percentile({30: 1}, 1)


def test_a_place_in_a_list_is_read_as_it_was_written() -> None:
    place = Place(AT + timedelta(microseconds=7), NEWEST.id)
    assert read_place(written_place(place)) == place
    assert read_place(None) == NEWEST
    for other in ("", "x", "é", "AAAA", written_place(place)[:-4], "f" * 32, "//evil"):
        assert read_place(other) is None, other


def test_an_agreement_that_should_have_been_reviewed_is_the_mildest_alarm() -> None:
    found = alarms(seen(counted(), ("conflict", 1)), WELL, unreviewed={"b", "a"})
    assert [(one.alarm, one.about) for one in found] == [
        ("conflict", "council"),
        ("unreviewed", "a"),
        ("unreviewed", "b"),
    ]

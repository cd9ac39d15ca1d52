"""Long outages and slow organisations, in virtual time: who is well is not delayed, and nothing piles up."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

import pytest

from broker.delivery import PoolSettings, line
from broker.register import directory
from broker.relay import RelaySettings
from broker.tracking import replay, withdrawing
from broker.tracking.tracker import TrackerSettings
from contracts.breaker import Phase
from contracts.organisation import BreakerPolicy, DeliveryPolicy
from contracts.statuses import Status
from tests.simulation.organisations import WELL, Mood
from tests.simulation.world import Setting, World, a_world
from tests.support.line import organisation

THIRTY = tuple(f"organisation-{number}" for number in range(1, 31))
BAD: Mapping[str, Mood] = {THIRTY[4]: {"hangs": 1}, THIRTY[14]: {"is_away": 1}, THIRTY[24]: {"drips": 1}}
HOUR = 3600.0


def effects(world: World) -> dict[str, list[float]]:
    """Return how long after acceptance each applied delivery was answered, by organisation."""
    found: dict[str, list[float]] = {}
    for row in world.tables.deliveries.values():
        if row.status == Status.APPLIED and row.answered_at is not None:
            waited = (row.answered_at - row.accepted_at).total_seconds()
            found.setdefault(row.owed.organisation, []).append(waited)
    return {name: sorted(times) for name, times in found.items()}


def thirty(moods: Mapping[str, Mood]) -> dict[str, list[float]]:
    """Tell twenty people's changes, a second apart, to thirty organisations; return the times of the answers."""
    policy = DeliveryPolicy(concurrency=4, deadline_seconds=10.0)
    setting = Setting(organisations=[organisation(name, policy) for name in THIRTY], people=20, even=True)
    with a_world(1, setting) as world:
        for name, mood in moods.items():
            world.organisations[name].mood = dict(mood)
        world.run(seconds=5.0)
        for person in range(1, 21):
            world.tell(person, THIRTY)
            world.run(seconds=1.0)
        well = [name for name in THIRTY if name not in BAD]

        def brought() -> bool:
            rows = world.tables.deliveries.values()
            return world.errands == 0 and all(
                row.status == Status.APPLIED for row in rows if row.owed.organisation in well
            )

        assert world.run(brought, seconds=120.0), world.history.violation
        return effects(world)


def test_one_hangs_one_refuses_one_answers_a_byte_a_second_and_the_others_are_not_delayed() -> None:
    undisturbed, beside = thirty({}), thirty(BAD)
    for name in THIRTY:
        if name not in BAD:
            assert len(beside[name]) == 20
            assert beside[name][-1] <= undisturbed[name][-1] * 1.1, name


def test_72_hours_of_outage_are_no_storm_and_everything_arrives_in_order_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What looks around every second does so every ten minutes: three days of idling show nothing more.
    for module, name in ((line, "REST_SECONDS"), (directory, "POLL_SECONDS"), (withdrawing, "EVERY_SECONDS")):
        monkeypatch.setattr(module, name, 600.0)
    monkeypatch.setattr(directory, "STALE_SECONDS", 3_000.0)
    monkeypatch.setattr(replay, "attend", lambda _database, _clock, stop: stop.wait())
    people, changes = 10, 3
    away = organisation("away", DeliveryPolicy(longest_delay_seconds=HOUR))
    idle = timedelta(minutes=10)
    setting = Setting(
        organisations=[away],
        people=people,
        relaying=RelaySettings(longest_wait=idle),
        pooling=PoolSettings(fetch_wait=timedelta(seconds=60)),
        tracking=TrackerSettings(fetch_wait=timedelta(seconds=60)),
        session_seconds=HOUR,
        even=True,
    )
    with a_world(1, setting) as world:
        world.organisations["away"].mood = {"is_away": 1}
        for _ in range(changes):
            for person in range(1, people + 1):
                world.tell(person, ["away"])
        timers: list[int] = []
        for _ in range(72):
            world.run(seconds=HOUR)
            timers.append(world.loop.timers())
        assert world.history.violation is None
        assert {row.status for row in world.tables.deliveries.values()} <= {"queued", "published"}

        hourly = Counter(int(call.began // HOUR) for call in world.history.calls)
        calls = Counter(call.delivery.id for call in world.history.calls)
        assert len(calls) == people, "only the first of each lane is tried"
        assert all(hourly[hour] <= 10 * people for hour in range(1, 72)), f"a storm: {hourly}"
        assert max(timers[10:]) <= max(timers[:10]) + 3 * people, "what is waited for grows"
        assert all(len(item._waiting) == 0 for item in world.pools["worker-1"]._lines.values())

        world.organisations["away"].mood = dict(WELL)
        assert world.run(lambda: world.invariants.drained(world.log), seconds=24 * HOUR), world.history.violation
        world.invariants.at_the_end(world.promised, world.organisations)
        assert world.history.violation is None
        assert {row.status for row in world.tables.deliveries.values()} == {Status.APPLIED}


def test_a_system_that_answers_again_is_sent_one_at_a_time_first_by_all_workers_together() -> None:
    policy = DeliveryPolicy(concurrency=8, breaker=BreakerPolicy(longest_probe_seconds=10.0, ramp_seconds=30.0))
    away = organisation("away", policy).model_copy(update={"partitions": 3})
    setting = Setting(
        organisations=[away], people=40, roles={"relay": 1, "worker": 3, "tracker": 1}, session_seconds=2.0, even=True
    )
    with a_world(1, setting) as world:
        system = world.organisations["away"]
        system.mood = {"is_away": 1}
        for person in range(1, 41):
            world.tell(person, ["away"])
        world.run(seconds=60.0)
        assert all(len(pool._lines["away"]._owned) == 1 for pool in world.pools.values()), "each has one partition"
        system.mood, system.seconds_away = dict(WELL), 1.0

        def phase() -> Phase:
            return world.tables.breakers["away"].phase

        assert world.run(lambda: phase() is Phase.RAMPING, seconds=60.0)
        since, earlier, at_once = world.loop.time(), len(world.history.calls), []

        def all_is_well() -> bool:
            under_way = sum(not call.over for call in world.history.calls[earlier:])
            at_once.append((world.loop.time() - since, under_way))
            return phase() is Phase.CLOSED

        assert world.run(all_is_well, seconds=60.0)
        assert max(count for when, count in at_once if when < 5.0) == 1
        assert max(count for _, count in at_once) > 3, "and then more"
        assert world.run(lambda: world.invariants.drained(world.log), seconds=120.0), world.history.violation


def test_many_that_must_be_tried_again_are_hardly_published_in_vain() -> None:
    """Eighty tries failed at once, and one a second may be made again."""
    people = 80
    policy = DeliveryPolicy(concurrency=8, breaker=BreakerPolicy(consecutive=1000, of_last=1000, share=1.0))
    setting = Setting(organisations=[organisation("shaken", policy)], people=people, even=True)
    with a_world(1, setting) as world:
        system = world.organisations["shaken"]
        system.mood = {"is_away": 1}
        for person in range(1, people + 1):
            world.tell(person, ["shaken"])
        assert world.run(lambda: len(world.history.calls) >= people, seconds=60.0)
        system.mood = dict(WELL)
        assert world.run(lambda: world.invariants.drained(world.log), seconds=3_600.0), world.history.violation
        tries = len(world.history.calls)
        assert tries < 3 * people
        in_vain = world.history.events["claimed"] - tries
        assert in_vain <= 1.5 * people, "what cannot get leave is published over and over"


def test_what_nobody_can_be_told_for_longer_than_its_horizon_is_given_up_aloud_though_nothing_is_tried() -> None:
    policy = DeliveryPolicy(horizon_seconds=HOUR, breaker=BreakerPolicy(longest_probe_seconds=600.0))
    setting = Setting(organisations=[organisation("away", policy)], people=20, even=True)
    with a_world(1, setting) as world:
        world.organisations["away"].mood = {"is_away": 1}
        for person in range(1, 11):
            world.tell(person, ["away"])
            world.tell(person, ["away"])
        world.run(seconds=HOUR / 2)
        for person in range(11, 21):
            world.tell(person, ["away"])
        world.run(seconds=HOUR / 2 - 60)
        rows = world.tables.deliveries
        assert {row.status for row in rows.values()} <= {"queued", "published"}, "not before"
        tried = {call.delivery.id for call in world.history.calls}
        assert len(tried) < 15, "most were never tried"
        world.run(seconds=240.0)
        late = {one for one, row in rows.items() if row.person_id <= 10}
        assert {one for one, row in rows.items() if row.status == Status.UNDELIVERED} == late
        assert {rows[one].reason for one in late} == {"horizon_passed"}
        assert world.history.alarms["delivery.undelivered"] == set(map(str, late))
        world.organisations["away"].mood = dict(WELL)
        assert world.run(lambda: world.invariants.drained(world.log), seconds=HOUR), world.history.violation
        assert {row.status for one, row in rows.items() if one not in late} == {Status.APPLIED}


def test_a_topic_lost_while_its_organisation_is_away_is_found_once_a_probe_is_due() -> None:
    """Not only when its records would be published again anyway, half a retention later."""
    policy = DeliveryPolicy(concurrency=3, breaker=BreakerPolicy(longest_probe_seconds=20.0))
    setting = Setting(organisations=[organisation("away", policy)], people=30, even=True)
    with a_world(1, setting) as world:
        world.organisations["away"].mood = {"is_away": 1}
        for person in range(1, 31):
            world.tell(person, ["away"])
        world.run(seconds=60.0)
        assert world.tables.breakers["away"].phase is Phase.OPEN
        assert sum(lane.in_flight for lane in world.tables.lanes.values()) > 10, "the log holds what is not tried"
        tried = len(world.history.calls)
        world.lose("unwaith.deliveries.away")
        world.organisations["away"].mood = dict(WELL)
        assert world.run(lambda: world.invariants.drained(world.log), seconds=300.0), world.history.violation
        assert {row.status for row in world.tables.deliveries.values()} == {Status.APPLIED}
        assert len(world.history.calls) - tried == 30


@pytest.mark.parametrize("seed", [2, 3, 6])
def test_what_a_worker_read_of_a_topic_that_was_lost_is_not_committed_for_the_one_made_anew(seed: int) -> None:
    """It was stopped meanwhile, and joins anew in the midst of a fetch. By these seeds it is given the same share."""
    setting = Setting(
        organisations=[organisation("told", DeliveryPolicy(concurrency=3))],
        people=30,
        roles={"relay": 1, "worker": 2, "tracker": 1},
        session_seconds=2.0,
        even=True,
    )
    with a_world(seed, setting) as world:
        world.run(seconds=5.0)
        for person in range(1, 31):
            world.tell(person, ["told"])
        assert world.run(lambda: len(world.history.calls) >= 3, seconds=30.0)
        world.run(seconds=0.04)
        held_up = next(name for name, pool in world.pools.items() if pool._offsets.partitions())
        world.stop(held_up)
        world.run(seconds=4.0)
        world.lose("unwaith.deliveries.told")
        world.run(seconds=2.0)
        world.go_on(held_up)
        assert world.run(lambda: world.invariants.drained(world.log), seconds=300.0), world.history.violation
        assert world.history.violation is None
        assert {row.status for row in world.tables.deliveries.values()} == {Status.APPLIED}

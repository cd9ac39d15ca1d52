"""What a seed does to a world: people tell, everything fails, then it heals, and the invariants are looked at."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from broker.delivery import PoolSettings
from broker.relay import RelaySettings
from broker.store.holds import HoldRow
from broker.tracking.tracker import TrackerSettings
from contracts.holds import HoldReason
from contracts.organisation import AnswersPolicy, BatchPolicy, BreakerPolicy, DeliveryPolicy, Organisation
from contracts.statuses import Status
from contracts.topics import RECEIPTS, deliveries_topic
from tests.simulation.loop import Spinning
from tests.simulation.organisations import WELL, Mood
from tests.simulation.world import Role, Setting, World, a_world
from tests.support.line import organisation

HEALED_SECONDS: Final = 240.0
"""Within so long after everything is well again, everything must have been brought."""
STEPS_A_SEED: Final = 3_000
"""Steps a seed is disturbed for, before it may heal."""
PATIENT_SECONDS: Final = 1200.0
"""The same where the log had lost records, which are published again only after `again_after`, or a clock was ten
minutes off, which shifts what an organisation asked for by `Retry-After`."""

HOURS: Final = (
    *(
        f"{minute // 60:02}:{minute % 60:02}-{(minute + 2) // 60:02}:{(minute + 2) % 60:02}"
        for minute in range(540, 720, 3)
    ),
    "12:00-00:00",
    "00:00-09:00",
)
"""Delivery windows: from when a run begins, two minutes of three."""
SHUT_SECONDS: Final = 180.0
"""So much longer it takes to bring everything to one who has such windows."""

MOODS: Final[tuple[Mood, ...]] = (
    WELL,
    {"applies": 6, "is_away": 3, "asks_to_wait": 1},
    {"applies": 4, "loses_the_answer": 2, "loses_the_request": 2, "dawdles": 2},
    {"takes_in": 3, "answers_twice": 3, "doubts": 1, "refuses": 1, "applies": 2},
    {"hangs": 2, "drips": 1, "applies": 3},
    {"dawdles": 3, "is_away": 2, "breaks_its_adapter": 1},
    {"is_away": 1},
    {"hangs": 1},
    {"applies": 20, "shuts_us_out": 1, "breaks_its_adapter": 1},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of one seed."""

    seed: int
    steps: int
    """Callbacks run in relays, workers and trackers, and what the schedule did."""
    callbacks: int
    """All callbacks, those of the modelled surroundings too."""
    seconds: float
    """Virtual."""
    digest: str
    violation: str | None
    told: int
    """Deliveries that were accepted."""
    events: dict[str, int]
    tail: tuple[str, ...]

    def said(self) -> str:
        """Return it in one line."""
        return (
            f"seed {self.seed}: {self.steps:,} steps, {self.told} deliveries, {self.seconds:,.0f} s, {self.digest}"
            + (f"; VIOLATED {self.violation}" if self.violation else "")
        )


def simulate(
    seed: int,
    steps: int,
    *,
    favouring: str = "",
    mood: Mood | None = None,
    bent: Callable[[Setting], Setting] = lambda setting: setting,
) -> Run:
    """Run one seed for `steps` steps of disturbance, and then until it has healed.

    One kind of act can be favoured, organisations be kept in one mood, and what stands in the beginning be bent, to look
    for one kind of fault.
    """
    dice = random.Random(f"schedule {seed}")
    patient = dice.random() < 0.25
    with a_world(seed, bent(a_setting(dice, patient=patient))) as world:
        schedule = Schedule(world, dice, patient=patient, favouring=favouring, moods=(mood,) if mood else MOODS)
        try:
            schedule.disturb(steps)
            schedule.heal()
        except Spinning as process:
            world.history.violated("nothing breaks", f"{process} spins")
        history = world.history
        return Run(
            seed=seed,
            steps=world.loop.steps + schedule.acts,
            callbacks=world.loop.callbacks,
            seconds=world.loop.time(),
            digest=history.digest(),
            violation=history.violation,
            told=len(world.promised),
            events=dict(sorted(history.events.items())),
            tail=tuple(history.tail),
        )


def a_setting(dice: random.Random, *, patient: bool) -> Setting:
    """Return how the world of a seed begins: how many of everything, and how lasting."""

    def one(number: int) -> Organisation:
        concurrency = dice.choice((1, 2, 8))
        kind = dice.choice(("called", "called", "called", "called", "files", "comes"))
        policy = DeliveryPolicy(
            concurrency=concurrency,
            deadline_seconds=dice.choice((2.0, 5.0)),
            first_delay_seconds=dice.choice((0.1, 1.0)),
            longest_delay_seconds=20.0,
            unknown_limit=dice.choice((2, 5)),
            horizon_seconds=dice.choice((30.0, 7 * 86_400.0)),
            rate=dice.choice((3.0, 20.0)) if dice.random() < 0.2 else None,
            windows=HOURS if dice.random() < 0.2 else (),
            batch=BatchPolicy(
                size=dice.choice((2, 5)),
                linger_seconds=dice.choice((0.0, 1.0)),
                closes=("18:00",) if kind == "files" else (),
            )
            if kind == "files" or dice.random() < 0.25
            else None,
            answers=AnswersPolicy(every_seconds=5.0),
            breaker=BreakerPolicy(
                consecutive=dice.choice((2, 10)), first_probe_seconds=1.0, longest_probe_seconds=20.0, ramp_seconds=5.0
            ),
        )
        return organisation(f"organisation-{number}").model_copy(
            update={
                "policy": policy,
                "partitions": min(concurrency, dice.choice((1, 2, 3))),
                "adapter": "pull" if kind == "comes" else "scripted",
            }
        )

    roles: dict[Role, int] = {
        "relay": dice.choice((1, 2)),
        "worker": dice.choice((1, 2, 3)),
        "tracker": dice.choice((1, 2)),
    }
    organisations = [one(number) for number in range(1, dice.choice((1, 2, 3)) + 1)]
    if any(item.adapter == "pull" for item in organisations):
        roles["api"] = dice.choice((1, 2))
    return Setting(
        organisations=organisations,
        latest_only=frozenset(item.id for item in organisations if dice.random() < 0.3),
        holds=dice.random() < 0.5,
        people=dice.choice((1, 3, 10)),
        roles=roles,
        relaying=RelaySettings(
            batch=dice.choice((1, 3, 500)),
            credit=dice.choice((2, 8192)),
            lease=timedelta(seconds=dice.choice((4, 10, 30))),
            again_after=timedelta(seconds=300) if patient else timedelta(days=1),
        ),
        pooling=PoolSettings(fetch=dice.choice((1, 3, 1000)), drain_seconds=dice.choice((0.2, 5.0))),
        tracking=TrackerSettings(batch=dice.choice((1, 4, 1000))),
        session_seconds=dice.choice((1.0, 6.0)),
        stays=dice.choice((0, 3)),
    )


class Schedule:
    """The disturbances of one run, each drawn from the dice."""

    def __init__(
        self, world: World, dice: random.Random, *, patient: bool, favouring: str, moods: tuple[Mood, ...]
    ) -> None:
        self.world = world
        self.dice = dice
        self.acts = 0
        self._patient = patient
        """Whether the log may lose records and clocks may be minutes off: what then waits, waits long."""
        self._pace = dice.choice((0.05, 0.3, 1.0))
        """Seconds between two acts."""
        self._rage = dice.choice((60, 250, 1000))
        """Steps between two strikes."""
        self._next_strike = 0
        self._moods = moods
        for one in world.organisations.values():
            one.mood = dict(dice.choice(moods))
        acts: list[tuple[Callable[[], None], float]] = [
            (self.tell, 10.0),
            (self.kill, 0.5),
            (self.restart, 3.0),
            (self.end, 2.0),
            (self.stop, 0.5),
            (self.go_on, 3.0),
            (self.store_away, 0.3),
            (self.log_away, 0.3),
            (self.unsettle, dice.choice((0.5, 2.0))),
            (self.calm, 1.0),
            (self.rebalance, 1.5),
            (self.rewind, 0.2),
            (self.change_mood, 1.5),
            (self.pause, 0.3),
            (self.resume, 1.0),
            (self.skew, 0.3),
            (self.revoke, 0.02),
            (self.erase, 0.05),
            (self.replay, 1.0),
            (self.cancel, 1.0),
            (self.correct, 0.5),
            (self.give_up, 0.3),
            (self.object, 0.5 if world.setting.holds else 0.0),
            (self.decide, 2.0 if world.setting.holds else 0.0),
            (self.poison, 0.1),
            (self.hang_up, 0.1),
            (self.lose, 0.1 if patient else 0.0),
        ]
        self._acts = [act for act, _ in acts]
        self._weights = [weight * (8.0 if act.__name__ == favouring else 1.0) for act, weight in acts]

    def disturb(self, steps: int) -> None:
        """Let the dice act until so many steps were taken."""
        world = self.world
        task = world.loop.spawn(world.loop.outside, self._acting())
        world.run(lambda: self._strike_when_due() or world.loop.steps + self.acts >= steps)
        task.cancel()

    def _strike_when_due(self) -> bool:
        """Strike at a step, not at a time: between any two callbacks of a process, where no time passes."""
        steps = self.world.loop.steps
        if steps >= self._next_strike:
            self._next_strike = steps + 1 + int(self.dice.expovariate(1.0 / self._rage))
            self._strike()
        return False

    def _strike(self) -> None:
        """Kill or stop one that is in the midst of something; who is stopped goes on after a while."""
        world = self.world
        busy = [name for name, process in world.processes.items() if process.state == "running" and process.ready]
        if not busy:
            return
        self.acts += 1
        name = self.dice.choice(busy)
        if self.dice.random() < 0.3:
            world.kill(name)
            return
        world.stop(name)
        with world.loop.within(world.loop.outside):
            world.loop.call_later(self.dice.choice((0.2, 2.0, 8.0, 20.0)), world.go_on, name)

    async def _acting(self) -> None:
        while True:
            self.act()
            await asyncio.sleep(self.dice.expovariate(1.0 / self._pace))

    def act(self) -> None:
        """Do one thing."""
        self.acts += 1
        [act] = self.dice.choices(self._acts, self._weights)
        act()

    def heal(self) -> None:
        """End every disturbance, wait until all is brought, and look at the invariants."""
        world = self.world
        self.calm()
        for name, process in world.processes.items():
            process.skew = timedelta(0)
            self._up(name)
        for one in world.organisations.values():
            one.mood = dict(WELL)
        limit = PATIENT_SECONDS if self._patient else HEALED_SECONDS
        limit += SHUT_SECONDS if any(one.settings.policy.windows for one in world.organisations.values()) else 0.0
        healing = world.loop.spawn(world.loop.outside, self._operating())

        def drained() -> bool:
            return world.errands == 0 and world.invariants.drained(world.log)

        healed = world.run(drained, seconds=limit)
        healing.cancel()
        if healed:
            world.run(seconds=5.0)  # nothing may stir after that but answers that were written before
            healed = world.run(drained, seconds=limit)
        if not healed and world.history.violation is None:
            left = ", ".join(f"{row.owed.id} {row.status}" for row in world.invariants.open())
            world.history.violated("7, never silent", f"not brought after {limit:.0f} s: {left or 'the log'}")
        if world.history.violation is None:
            world.promise_what_is_taken_back()
            world.invariants.at_the_end(world.promised, world.organisations)

    async def _operating(self) -> None:
        """An operator who looks every second: what is paused is resumed, who died is started."""
        world = self.world
        while True:
            for name, party in world.tables.parties.items():
                if party.paused_reason is not None:
                    world.pause(name, None)
            for name in world.processes:
                self._up(name)
            for hold in self._undecided():
                self._decided(hold)
            await asyncio.sleep(1.0)

    def _up(self, name: str) -> None:
        process = self.world.processes[name]
        if process.state == "dead":
            self.world.start(name)
        else:
            self.world.go_on(name)

    # What can happen

    def tell(self) -> None:
        world, dice = self.world, self.dice
        names = list(world.organisations)
        chosen = dice.sample(names, dice.randint(1, len(names)))
        person = dice.choice(list(world.tables.people))
        in_seconds = dice.choice((0.0, 0.0, 0.0, dice.uniform(0.0, 30.0)))
        held_for: dict[HoldReason, float | None] = {}
        if world.setting.holds and dice.random() < 0.4:
            reasons = (HoldReason.NEW_ACCOUNT, HoldReason.NEEDS_PERSON, HoldReason.AWAITS_REGISTRAR)
            for reason in dice.sample(reasons, dice.choice((1, 1, 2))):
                held_for[reason] = dice.uniform(0.0, 20.0) if reason is HoldReason.NEW_ACCOUNT else None
        world.tell(person, chosen, in_seconds=in_seconds, held_for=held_for)

    def object(self) -> None:
        if change_id := self._change():
            self.world.object_to(change_id)

    def decide(self) -> None:
        """Have staff, a registrar, or whoever told it, decide on something that is held."""
        if undecided := self._undecided():
            self._decided(self.dice.choice(undecided))

    def _undecided(self) -> list[HoldRow]:
        """Return the open holds that do not end by themselves."""
        holds = self.world.tables.holds.rows.values()
        return [one.row for one in holds if one.row.ended_at is None and one.row.until is None]

    def _decided(self, hold: HoldRow) -> None:
        if hold.reason is HoldReason.AWAITS_REGISTRAR:
            self.world.registered(hold, otherwise=self.dice.random() < 0.3)
        elif hold.reason is HoldReason.OBJECTED or self.dice.random() < 0.7:
            self.world.release(hold)
        else:
            self.world.refuse(hold)

    def _name(self, state: str) -> str | None:
        names = [name for name, process in self.world.processes.items() if process.state == state]
        return self.dice.choice(names) if names else None

    def kill(self) -> None:
        if name := self._name(self.dice.choice(("running", "running", "stopped"))):
            self.world.kill(name)

    def restart(self) -> None:
        if name := self._name("dead"):
            self.world.start(name)

    def end(self) -> None:
        if name := self._name("running"):
            self.world.end(name)

    def stop(self) -> None:
        if name := self._name("running"):
            self.world.stop(name)

    def go_on(self) -> None:
        if name := self._name("stopped"):
            self.world.go_on(name)

    def store_away(self) -> None:
        self.world.weather.away = True
        self.world.store.hang_up()

    def log_away(self) -> None:
        self.world.log.weather.away = True

    def unsettle(self) -> None:
        weather = self.dice.choice((self.world.weather, self.world.log.weather))
        weather.lost, weather.slow = self.dice.choice(((0.05, 0.0), (0.0, 0.1), (0.2, 0.4)))

    def calm(self) -> None:
        for weather in (self.world.weather, self.world.log.weather):
            weather.away, weather.lost, weather.slow = False, 0.0, 0.0

    def rebalance(self) -> None:
        self.world.log.rebalance(self._group())

    def rewind(self) -> None:
        self.world.log.rewind(self._group())

    def _group(self) -> str:
        return self.dice.choice(("unwaith.delivery", "unwaith.tracking"))

    def change_mood(self) -> None:
        self.dice.choice(list(self.world.organisations.values())).mood = dict(self.dice.choice(self._moods))

    def pause(self) -> None:
        self.world.pause(self._organisation(), "operator", draining=self.dice.random() < 0.3)

    def resume(self) -> None:
        for name in self.world.organisations:
            self.world.pause(name, None)

    def skew(self) -> None:
        if name := self._name("running"):
            self.world.processes[name].skew = timedelta(seconds=self.dice.choice((-3600, -5, 0, 5, 3600)))

    def revoke(self) -> None:
        self.world.revoke(self._organisation())

    def erase(self) -> None:
        self.world.erase(self.dice.choice(list(self.world.tables.people)))

    def replay(self) -> None:
        given_up = [row for row in self.world.tables.deliveries.values() if row.status == Status.UNDELIVERED]
        if given_up:
            self.world.replay(self.dice.choice(given_up).owed.id)

    def _change(self) -> UUID | None:
        told = list(self.world.changes)
        return self.dice.choice(told[-5:] if self.dice.random() < 0.7 else told) if told else None

    def cancel(self) -> None:
        if change_id := self._change():
            self.world.cancel(change_id)

    def correct(self) -> None:
        if change_id := self._change():
            names = list(self.world.organisations)
            self.world.correct(change_id, self.dice.sample(names, self.dice.randint(1, len(names))))

    def give_up(self) -> None:
        if rows := self.world.invariants.open():
            self.world.give_up(self.dice.choice(rows).owed.id)

    def poison(self) -> None:
        self.world.poison(self.dice.choice((RECEIPTS.name, deliveries_topic(self._organisation()))))

    def hang_up(self) -> None:
        self.world.store.hang_up()

    def lose(self) -> None:
        self.world.lose(deliveries_topic(self._organisation()))

    def _organisation(self) -> str:
        return self.dice.choice(list(self.world.organisations))

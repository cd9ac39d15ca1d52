"""Who is killed, where and when: decided by a seed before anything runs, then carried out on a busy exchange."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from tests.faults.exchange import AWAY, LEASE_SECONDS, OUTSIDERS, SESSION_SECONDS, Exchange, LogKind
from tests.support.strace import strace_missing, tracing

Means = Literal["signal", "failpoint", "fsync", "zombie"]

PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "api": ("intake.decided", "intake.written", "intake.stored"),
    "relay": ("relay.claimed", "relay.appended", "relay.marked"),
    "deliver": (
        "delivery.fetched",
        "delivery.granted",
        "delivery.answered",
        "delivery.concluded",
        "delivery.receipted",
        "delivery.committed",
    ),
    "track": ("tracking.written", "tracking.folded", "tracking.committed"),
}
"""Every failpoint, by the role that passes it: one between each pair of steps."""

SHARES: Final[Mapping[str, int]] = {
    "api": 9,
    "api-2": 8,
    "relay-1": 12,
    "relay-2": 12,
    "deliver-1": 13,
    "deliver-2": 13,
    "track-1": 15,
    OUTSIDERS: 6,
    "postgres": 8,
    "kafka": 4,
}
"""How many of a hundred kills fall to whom. The PostgreSQL log's run gives Kafka's share to PostgreSQL."""

FAILPOINT_SECONDS: Final = 4.0
"""How long a process has to reach the place it was armed at; then it is killed where it is."""
SLOW_SECONDS: Final = 0.25
"""How long an organisation takes to answer: what is told lasts until the next strike, however fast the exchange is."""
BUSY_SECONDS: Final = 10.0
"""How long a kill waits for work to be under way."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One thing done to one process."""

    victim: str
    means: Means
    place: str = ""
    """The failpoint and at which time it is passed, or the number of the fsync."""
    after: float = 0.0
    """Seconds from the moment it answers."""


@dataclass(frozen=True, slots=True)
class Landed:
    """A strike as it fell."""

    strike: Strike
    means: Means
    """A failpoint that was not reached in time has become a signal."""
    asking: int
    """Requests of people that were out."""
    open_deliveries: int
    """Accepted and not ended."""

    @property
    def busy(self) -> bool:
        """Return whether work was under way. Who comes to a failpoint or to an fsync is at work."""
        return self.means in {"failpoint", "fsync"} or self.asking + self.open_deliveries > 0


def plan(seed: int, kills: int, log: LogKind) -> dict[str, list[Strike]]:
    """Return, for each victim, what will be done to it, in order: `kills` kills and a twentieth as many zombies."""
    dice = random.Random(f"{seed}/{log}")
    shares = dict(SHARES)
    if log == "postgres":
        shares["postgres"] += shares.pop("kafka")
    victims = list(shares) + dice.choices(list(shares), list(shares.values()), k=max(0, kills - len(shares)))
    strikes: dict[str, list[Strike]] = {victim: [] for victim in shares}
    for victim in victims[:kills]:
        strikes[victim].append(_kill(victim, dice))
    for _ in range(kills // 20):
        victim = dice.choice([one for one in shares if one.partition("-")[0] in PLACES])
        strikes[victim].append(Strike(victim, "zombie", after=dice.uniform(0.0, 0.5)))
    for theirs in strikes.values():
        dice.shuffle(theirs)
    return strikes


def _kill(victim: str, dice: random.Random) -> Strike:
    places = PLACES.get(victim.partition("-")[0])
    if places and dice.random() < 0.6:
        return Strike(victim, "failpoint", f"{dice.choice(places)}={dice.randint(1, 2)}")
    if victim == "postgres" and dice.random() < 0.4:
        return Strike(victim, "fsync", str(dice.randint(1, 12)), dice.uniform(0.0, 0.5))
    return Strike(victim, "signal", after=dice.uniform(0.0, 0.8))


@dataclass(slots=True)
class Storm:
    """A plan being carried out: every victim at its own pace, all at once."""

    exchange: Exchange
    strikes: Mapping[str, Sequence[Strike]]
    asking: Callable[[], int]
    """How many requests of people are out now."""
    fell: Callable[[], None]
    """Called after each strike: more may be told."""
    idle: Callable[[], None]
    """Called while nothing is under way and something is to be struck."""
    landed: list[Landed] = field(default_factory=list)
    last_open: int = 0
    """Deliveries that were open when PostgreSQL could last be asked."""

    @property
    def kills(self) -> list[Landed]:
        return [one for one in self.landed if one.means != "zombie"]

    async def rage(self) -> None:
        """Carry out everything, then leave everything running."""
        async with asyncio.TaskGroup() as group:
            for victim, strikes in self.strikes.items():
                group.create_task(self._torment(victim, strikes))

    def told(self) -> str:
        """Return the figures of what fell, for whoever reads."""
        kills = self.kills
        by_means = Counter(one.means for one in kills)
        by_victim = Counter(one.strike.victim.partition("-")[0] for one in kills)
        places = {one.strike.place.partition("=")[0] for one in kills if one.means == "failpoint"}
        return (
            f"{len(kills)} kills, {sum(one.busy for one in kills)} of them on a busy exchange "
            f"({', '.join(f'{name} {count}' for name, count in by_victim.most_common())}; "
            f"{', '.join(f'by {name} {count}' for name, count in by_means.most_common())} at {len(places)} places), "
            f"{len(self.landed) - len(kills)} zombies"
        )

    async def _torment(self, victim: str, strikes: Sequence[Strike]) -> None:
        for strike in strikes:
            if victim == "postgres":
                await self._strike_postgres(strike)
            elif victim == "kafka":
                await self._strike_kafka(strike)
            else:
                await self._strike_process(strike)
            self.fell()
        if victim not in {"postgres", "kafka"}:
            await self._begin(victim)

    async def _begin(self, victim: str, failpoints: str = "") -> None:
        await self.exchange.start(victim, failpoints={victim: failpoints})
        if victim == OUTSIDERS and self.exchange.process(OUTSIDERS).running:
            await self.exchange.tell_outsiders(behaviour="slow", seconds=SLOW_SECONDS)

    async def _strike_process(self, strike: Strike) -> None:
        process = self.exchange.process(strike.victim)
        if strike.means == "failpoint" and process.running:
            process.kill()  # only at the very first: a place is armed by a start
        await self._begin(strike.victim, strike.place if strike.means == "failpoint" else "")
        if strike.means == "failpoint":
            if await process.until_killed(FAILPOINT_SECONDS):
                self._note(strike, "failpoint", (self.asking(), self.last_open))
                return
        else:
            await asyncio.sleep(strike.after)
        under_way = await self._until_busy()
        process.killed()  # raises if it has ended by itself
        if strike.means == "zombie":
            self._note(strike, "zombie", under_way)
            process.suspend()
            await asyncio.sleep(max(LEASE_SECONDS, SESSION_SECONDS) + 0.7)
            process.resume()
            return
        self._note(strike, "signal", under_way)
        process.kill()

    async def _strike_postgres(self, strike: Strike) -> None:
        await asyncio.sleep(strike.after + 1.0)  # it starts much faster than the others; let them have something of it
        if strike.means == "fsync" and strace_missing() is None:
            await self._until_busy()
            if await self._kill_at_fsync(strike):
                return
        self._note(strike, "signal", await self._until_busy())
        await self.exchange.kill_postgres()
        await self.exchange.start_postgres()

    async def _kill_at_fsync(self, strike: Strike) -> bool:
        """Kill whichever backend is first to come to its n-th fsync; the server then recovers by itself."""
        pid = self.exchange.postgres.pid
        if pid is None:
            return False
        said = Path(self.exchange.folder, "strace.out")
        strikes = [f"{call}:signal=KILL:when={strike.place}" for call in ("fdatasync", "fsync")]
        # Not the server itself, which nobody would start again, nor children to come: it waits for ever if what
        # recovers it is killed in its turn.
        async with tracing(pid, said, *strikes, children_only=True) as traced:
            for _ in range(int(FAILPOINT_SECONDS / 0.02)):
                if traced.happened("killed by SIGKILL"):
                    break
                await asyncio.sleep(0.02)
            else:
                return False
            self._note(strike, "fsync", (self.asking(), self.last_open))
        return True

    async def _strike_kafka(self, strike: Strike) -> None:
        await asyncio.sleep(strike.after + 2.0)
        self._note(strike, "signal", await self._until_busy())
        await self.exchange.kill_broker()
        await self.exchange.start_broker()

    async def _until_busy(self) -> tuple[int, int]:
        """Wait for work, for a while; return what is under way: requests, and open deliveries. The strike falls at once."""
        for _ in range(int(BUSY_SECONDS / 0.02)):
            open_deliveries = await self._open()
            if (asking := self.asking()) + open_deliveries > 0:
                return asking, open_deliveries
            self.idle()
            await asyncio.sleep(0.02)
        return 0, 0

    def _note(self, strike: Strike, means: Means, under_way: tuple[int, int]) -> None:
        self.landed.append(Landed(strike, means, *under_way))

    async def _open(self) -> int:
        with suppress(*AWAY):
            self.last_open = await self.exchange.open_deliveries()
        return self.last_open  # while PostgreSQL is away nothing can end

"""What is measured, each on a running exchange: acceptance, draining a backlog, the way of one change."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from broker.sandbox.definitions import ORGANISATION_IDS
from tests.load.exchange import Exchange, Orderly, Receiver
from tests.load.figures import Figure, percentile, steady_rate

CONNECTIONS = 64
RATE = 100.0
"""Changes a second while the way of one change is measured."""

ACCEPTED_GOAL, ACCEPT_P99_GOAL = 2_500.0, 80.0
"""Of several API processes, one fewer than there are processors; of one process, the share of the floor is the goal."""
ACCEPT_SHARE_GOAL = 40.0
SEVERAL = max(2, (os.cpu_count() or 1) - 1)
DELIVERED_GOAL = 3_000.0
ARRIVAL_P50_GOAL, ARRIVAL_P99_GOAL = 10.0, 30.0
MEMORY_GOAL, READY_GOAL = 160.0, 3.0
MILLISECONDS = 1000.0

_ANSWERED = """
SELECT c.reference, d.id::text, extract(epoch FROM pg_xact_commit_timestamp(c.xmin))::float8,
       extract(epoch FROM pg_xact_commit_timestamp(r.xmin))::float8
FROM change c JOIN delivery d ON d.change_id = c.id JOIN receipt r ON r.delivery_id = d.id
WHERE c.reference = ANY($1) AND d.status = 'applied'
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """A running exchange with its people and organisations, and the name its figures begin with."""

    name: str
    exchange: Exchange
    citizens: Orderly
    receiver: Receiver

    def figure(self, name: str) -> str:
        return f"{self.name}.{name}"


async def accepting(bench: Bench, seconds: float, name: str = "accept") -> list[Figure]:
    """Measure changes accepted a second with nothing else running but what already runs.

    `accept` is one process, held against the floor; `accept.several` is what the goals are for.
    """
    told = await bench.citizens.do("tell", url=bench.exchange.url, connections=CONNECTIONS, seconds=seconds)
    if told["refused"]:
        raise RuntimeError(f"changes were refused: {told['refused']}")
    floor = bench.figure("accept.floor") if name == "accept" else None
    goals = (ACCEPTED_GOAL, ACCEPT_P99_GOAL) if name == "accept.several" else None
    return accepted(bench.figure(name), told["answered"], floor, goals)


def accepted(
    name: str,
    answered: list[tuple[float, float]],
    floor: str | None = None,
    goals: tuple[float, float] | None = None,
) -> list[Figure]:
    took = [seconds * MILLISECONDS for _, seconds in answered]
    goal, p99_goal = goals or (None, None)
    return [
        Figure(
            f"{name}.rate", steady_rate([at for at, _ in answered]), "/s", "higher", goal, floor and f"{floor}.rate"
        ),
        Figure(f"{name}.p50", percentile(took, 0.5), "ms", "lower", None, floor and f"{floor}.p50"),
        Figure(f"{name}.p99", percentile(took, 0.99), "ms", "lower", p99_goal, floor and f"{floor}.p99"),
    ]


def share(name: str, figures: Iterable[Figure]) -> Figure:
    """Return what one process accepts a second, in percent of its floor's rate. Both must have been measured."""
    values = {figure.name: figure.value for figure in figures}
    part = 100 * values[f"{name}.rate"] / values[f"{name}.floor.rate"]
    return Figure(f"{name}.share", part, "%", "higher", ACCEPT_SHARE_GOAL)


async def draining(bench: Bench) -> list[Figure]:
    """Measure deliveries a second of a backlog: to one organisation alone, then to the two others at once.

    Every role must run and every organisation be paused. The rate is that of arrivals between the first and the last
    twentieth; the whole way from the store to the folded receipt goes on meanwhile.
    """
    exchange, receiver = bench.exchange, bench.receiver
    first, *others = ORGANISATION_IDS
    await receiver.taken()
    await exchange.pause(*others)
    await exchange.settled(first)
    one = await receiver.taken()
    await exchange.pause()
    await exchange.settled()
    rest = await receiver.taken()
    name = bench.figure("drain")
    return [
        Figure(f"{name}.one.count", len(one), "deliveries", "higher"),
        Figure(f"{name}.one.rate", _rate(one), "/s", "higher", DELIVERED_GOAL, "floor.convey.rate"),
        Figure(f"{name}.two.rate", _rate(rest), "/s", "higher"),
    ]


def _rate(arrived: Iterable[tuple[str, str, float]]) -> float:
    return steady_rate([at for _, _, at in arrived])


async def following(bench: Bench, seconds: float) -> list[Figure]:
    """Measure the way of one change at 100 changes a second.

    From the request's first byte sent to the 202 at the client; from acceptance to each delivery's arrival at its
    organisation; from the first byte to that arrival; and to the moment the transaction that raises its status to
    `applied` begins to commit. Acceptance is when the change's own transaction begins to commit: PostgreSQL's commit
    timestamps, before their flush.
    """
    await bench.receiver.taken()
    told = (
        await bench.citizens.do("steady", url=bench.exchange.url, connections=CONNECTIONS, seconds=seconds, rate=RATE)
    )["told"]
    await bench.exchange.settled()
    arrived = {key: at for _, key, at in await bench.receiver.taken()}
    rows = await bench.exchange.connection.fetch(_ANSWERED, list(told))
    sent = {reference: moments[0] for reference, moments in told.items()}
    figures = _way(bench.figure("way.answer"), [answered - began for began, answered in told.values()])
    figures += _way(
        bench.figure("way.arrival"),
        [arrived[key] - accepted for _, key, accepted, _ in rows],
        goals=(ARRIVAL_P50_GOAL, ARRIVAL_P99_GOAL),
        floor="floor.convey.arrival",
    )
    figures += _way(bench.figure("way.whole"), [arrived[key] - sent[reference] for reference, key, _, _ in rows])
    return figures + _way(bench.figure("way.applied"), [at - sent[reference] for reference, _, _, at in rows])


def _way(
    name: str, took: list[float], goals: tuple[float, float] | None = None, floor: str | None = None
) -> list[Figure]:
    p50, p99 = goals or (None, None)
    return [
        Figure(f"{name}.p50", percentile(took, 0.5) * MILLISECONDS, "ms", "lower", p50, floor and f"{floor}.p50"),
        Figure(f"{name}.p99", percentile(took, 0.99) * MILLISECONDS, "ms", "lower", p99, floor and f"{floor}.p99"),
    ]


def readiness(name: Callable[[str], str], ready: dict[str, float]) -> list[Figure]:
    return [Figure(name(f"{role}.ready"), took, "s", "lower", READY_GOAL) for role, took in ready.items()]


def memory(bench: Bench) -> list[Figure]:
    """Return the peak resident memory of each role since it started."""
    return [
        Figure(bench.figure(f"{role}.memory"), peak, "MB", "lower", MEMORY_GOAL)
        for role, (_, peak) in bench.exchange.memory().items()
    ]

"""Deliveries in batches to one organisation: what a worker can do, what the whole line can, and what the store's part is.

Four organisations are told the same and are owed as much. To the first everything works at once. For the second and the
third all is put into the log before any worker begins, and nothing but one worker runs, and then several, as many as
there are partitions: their own rate, however fast the rest is. They have come, and share the partitions, before anything
may be sent: what is measured is neither their start nor their sharing. With the fourth the store's statements are run
by themselves.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from contracts.organisation import BatchPolicy, DeliveryPolicy
from tests.load.exchange import DidNotRun, Exchange
from tests.load.figures import Figure, steady_rate
from tests.load.organisations import Ground, many
from tests.load.statements import statements

BATCHED_GOAL: Final = 20_000.0
WORKERS: Final = 3
"""As many share one organisation, a partition each: the goal is theirs."""
SHARED_SECONDS: Final = 5.0
"""So long after their start workers have long shared the partitions, and lie idle."""
POLICY: Final = DeliveryPolicy(concurrency=8, batch=BatchPolicy(size=250, linger_seconds=0.02))


async def batches(ground: Ground, *, deliveries: int) -> list[Figure]:
    """Return deliveries a second in batches of 250, and what claim, grant and fold take of the store for each."""
    name = f"{ground.kind}.batch"
    first, *waiting, last = many(4, ground.receiver, POLICY, prefix="batched", partitions=WORKERS)
    await ground.sign_in(deliveries)
    async with ground.exchange(name, [first, *waiting, last], TUNING__RELAY_CREDIT="100000") as opened:
        await opened.pause(first.id, *(one.id for one in waiting), last.id)
        await opened.start("api")
        await ground.preview(opened, 4)
        await ground.tell(opened, deliveries)
        await opened.stop("api")
        await opened.start("relay", "deliver", "track")
        await ground.receiver.taken()
        await opened.pause(*(one.id for one in waiting), last.id)
        await opened.settled(first.id)
        line = await ground.receiver.taken()
        await opened.stop("deliver")
        await opened.pause(first.id, last.id)
        for one in waiting:
            await _published(opened, one.id, deliveries)
        await opened.stop("relay", "track")
        everybody, arrivals = {first.id, last.id, *(one.id for one in waiting)}, []
        for one, workers in zip(waiting, (1, WORKERS), strict=True):
            await opened.pause(*everybody)
            await opened.start_workers(workers)
            await asyncio.sleep(SHARED_SECONDS)
            arriving = asyncio.create_task(_arrived(ground, opened, deliveries))
            await opened.pause(*(everybody - {one.id}))
            arrivals.append(await arriving)
            await opened.stop("deliver")
        found = await statements(opened, ground.home / "root.key", last)
    (alone, seconds), (several, _) = arrivals
    return [
        Figure(f"{name}.line.rate", _rate(line), "/s", "higher"),
        Figure(f"{name}.alone.rate", _rate(alone), "/s", "higher"),
        Figure(f"{name}.rate", _rate(several), "/s", "higher", BATCHED_GOAL),
        Figure(f"{name}.workers", WORKERS, "processes", "higher"),
        Figure(f"{name}.processor", seconds / deliveries * 1e6, "µs", "lower"),
        *(Figure(f"{ground.kind}.{one}", value, "µs", "lower", goal) for one, value, goal in found),
    ]


async def _published(opened: Exchange, organisation: str, count: int) -> None:
    """Wait until all that is owed to an organisation is in the log."""
    query = "SELECT count(*) FROM delivery WHERE organisation = $1 AND status = 'published'"
    end = time.monotonic() + 120
    while await opened.connection.fetchval(query, organisation) < count:
        if time.monotonic() > end:
            raise DidNotRun("not everything was published in two minutes")
        await asyncio.sleep(0.1)


async def _arrived(ground: Ground, opened: Exchange, count: int) -> tuple[list[tuple[str, str, float]], float]:
    """Wait until so many have arrived; return them, and the processor seconds the workers have used meanwhile."""
    before = opened.processor_seconds("deliver")
    end = time.monotonic() + 120
    while await ground.receiver.count() < count:
        if time.monotonic() > end:
            raise DidNotRun("not everything arrived in two minutes")
        await asyncio.sleep(0.02)
    return await ground.receiver.taken(), opened.processor_seconds("deliver") - before


def _rate(arrived: Iterable[tuple[str, str, float]]) -> float:
    return steady_rate([at for _, _, at in arrived])

"""What one more organisation costs a worker: two hundred in one pool against three, and a hundred thousand owed.

Both pools deliver as many, one after the other in turn; a worker's processor time is divided by what it delivered.
"""

import asyncio
import time
from typing import Final

from contracts.organisation import DeliveryPolicy, Organisation
from tests.load.exchange import DidNotRun, Exchange, Role
from tests.load.figures import Figure, median_within
from tests.load.organisations import Ground, many

FEW: Final = 3
MANY: Final = 200
EACH: Final = 4
"""Changes that each person tells."""
COST_GOAL: Final = 10.0
MEMORY_GOAL: Final = 200.0
POLICY: Final = DeliveryPolicy(concurrency=16)
PATIENCE: Final = 120.0
WORKERS: Final[tuple[Role, ...]] = ("relay", "deliver", "track")


async def pools(ground: Ground, *, rounds: int, deliveries: int, backlog: int) -> list[Figure]:
    """Return by how many percent a delivery costs more in the large pool, and a worker's peak with a `backlog` in the small.

    `deliveries` are those of one round in one pool; they and `backlog` are multiples of 2,400. Both pools have as many
    lanes, with four deliveries in each.
    """
    name = f"{ground.kind}.pools"
    pool = {count: many(count, ground.receiver, POLICY, prefix=f"of-{count}") for count in (FEW, MANY)}
    costs: dict[int, list[float]] = {FEW: [], MANY: []}
    await ground.sign_in(max(deliveries, backlog) // FEW // EACH)
    async with (
        ground.exchange(f"{name}.{FEW}", pool[FEW]) as few,
        ground.exchange(f"{name}.{MANY}", pool[MANY]) as large,
    ):
        exchanges = {FEW: few, MANY: large}
        for turn in range(rounds):
            for count in (FEW, MANY) if turn % 2 else (MANY, FEW):
                await _owe(ground, exchanges[count], pool[count], deliveries)
                costs[count].append(await _drained(ground, exchanges[count], deliveries))
        await _owe(ground, few, pool[FEW], backlog)
        await few.start(*WORKERS)
        await few.pause()
        await few.settled(seconds=600)
        _, peak = few.memory()["deliver"]
        await few.stop()
    middle, low, high = median_within([100 * (m / f - 1) for f, m in zip(costs[FEW], costs[MANY], strict=True)])
    return [
        Figure(f"{name}.{FEW}.processor", median_within(costs[FEW])[0], "µs", "lower"),
        Figure(f"{name}.{MANY}.processor", median_within(costs[MANY])[0], "µs", "lower"),
        Figure(f"{name}.cost", middle, "%", "lower", COST_GOAL),
        Figure(f"{name}.cost.least", low, "%", "lower"),
        Figure(f"{name}.cost.most", high, "%", "lower"),
        Figure(f"{name}.backlog.memory", peak, "MB", "lower", MEMORY_GOAL),
        Figure(f"{name}.backlog.count", backlog, "deliveries", "higher"),
    ]


async def _owe(ground: Ground, opened: Exchange, organisations: list[Organisation], count: int) -> None:
    """Have so many deliveries owed and none sent: everybody is paused, and only the API runs."""
    changes = count // len(organisations)
    await opened.pause(*(one.id for one in organisations))
    await opened.start("api")
    await ground.preview(opened, len(organisations), people=changes // EACH)
    await ground.tell(opened, changes)
    await opened.stop("api")


async def _drained(ground: Ground, opened: Exchange, count: int) -> float:
    """Deliver all that is owed; return the processor time the delivery process took for each, in microseconds.

    Counted from when the first quarter has arrived: what is done once for each organisation is done by then.
    """
    await opened.start(*WORKERS)
    await ground.receiver.taken()
    await opened.pause()
    end = time.monotonic() + PATIENCE
    while (arrived := await ground.receiver.count()) < count // 4:
        if time.monotonic() > end:
            raise DidNotRun("a quarter of what was owed did not arrive in two minutes")
        await asyncio.sleep(0.01)
    before = opened.processor_seconds("deliver")
    await opened.settled()
    used = opened.processor_seconds("deliver") - before
    await opened.stop()
    return used / (count - arrived) * 1e6

"""What a bad neighbour costs: thirty organisations, all well and then three of them ill, in pairs one after the other.

One hangs until its deadline, one turns every connection away, one answers a byte a second. Each half of a pair begins
with all breakers closed and nothing owed, so every bad half has the whole of an outage's beginning: deliveries that
hang, tries again, a breaker that opens, probes. What is compared is how long deliveries to the 27 others take, from
their acceptance by the store's clock to their arrival.
"""

import asyncio
import time
from typing import Final

from contracts.organisation import BreakerPolicy, DeliveryPolicy
from tests.load.exchange import DidNotRun, Exchange
from tests.load.figures import Figure, median_within, percentile
from tests.load.organisations import CONNECTIONS, Ground, many

COUNT: Final = 30
RATE: Final = 12.0
"""Changes a second, each told to all thirty."""
COST_GOAL: Final = 10.0
POLICY: Final = DeliveryPolicy(
    concurrency=16,
    first_delay_seconds=0.25,
    longest_delay_seconds=1.0,
    deadline_seconds=1.0,
    unknown_limit=100,
    breaker=BreakerPolicy(first_probe_seconds=0.5, longest_probe_seconds=1.0, ramp_seconds=0.5),
)
"""Quicker than by default, so that a few seconds hold a whole outage."""

_WELL: Final = """
SELECT d.id::text AS id, extract(epoch FROM d.accepted_at)::float8 AS at FROM delivery d JOIN change c ON c.id = d.change_id
WHERE c.reference = ANY($1) AND d.organisation <> ALL($2)
"""


async def neighbours(ground: Ground, *, pairs: int, seconds: float, people: int) -> list[Figure]:
    """Return by how many percent deliveries to the others take longer beside three that are ill (p50, p99)."""
    name = f"{ground.kind}.neighbours"
    organisations = many(COUNT, ground.receiver, POLICY, prefix="neighbour", partitions=3)
    hangs, refuses, drips = (organisations[place].id for place in (4, 14, 24))
    organisations[14] = organisations[14].model_copy(
        update={"adapter_settings": {"endpoint": f"{ground.receiver.door}/{refuses}"}}
    )
    ill = [hangs, refuses, drips]
    await ground.sign_in(people)
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    async with ground.exchange(name, organisations) as opened:
        await opened.start("api", "relay", "deliver", "track")
        await ground.preview(opened, COUNT)
        await _half(ground, opened, ill, 1.0)  # lanes, topics and connections are there from now on
        for pair in range(pairs):
            for bad in (False, True) if pair % 2 else (True, False):
                if bad:
                    await ground.receiver.behave(hangs=[hangs], drips=[drips], shut=True)
                took = await _half(ground, opened, ill, seconds)
                found[bad].append((percentile(took, 0.5), percentile(took, 0.99)))
                await ground.receiver.behave()
                await _recovered(opened)
    figures = []
    for place, which in enumerate(("p50", "p99")):
        costs = [100 * (b[place] / w[place] - 1) for w, b in zip(found[False], found[True], strict=True)]
        middle, low, high = median_within(costs)
        goal = COST_GOAL if which == "p99" else None
        figures += [
            Figure(f"{name}.{which}", median_within([one[place] for one in found[False]])[0], "ms", "lower"),
            Figure(f"{name}.{which}.cost", middle, "%", "lower", goal),
            Figure(f"{name}.{which}.cost.least", low, "%", "lower"),
            Figure(f"{name}.{which}.cost.most", high, "%", "lower"),
        ]
    return figures


async def _half(ground: Ground, opened: Exchange, ill: list[str], seconds: float) -> list[float]:
    """Return how long each delivery to the others took, in milliseconds."""
    await ground.receiver.taken()
    told = await ground.citizens.do("steady", url=opened.url, connections=CONNECTIONS, seconds=seconds, rate=RATE)
    references = list(told["told"])
    if len(references) < int(seconds * RATE):
        raise DidNotRun(f"of {int(seconds * RATE)} changes {len(references)} were accepted")
    accepted = {row["id"]: row["at"] for row in await opened.connection.fetch(_WELL, references, ill)}
    arrived: dict[str, float] = {}
    end = time.monotonic() + 60
    while accepted.keys() - arrived.keys():
        if time.monotonic() > end:
            raise DidNotRun("deliveries to those who are well did not arrive in a minute")
        await asyncio.sleep(0.1)
        for _, key, at in await ground.receiver.taken():
            arrived.setdefault(key, at)
    return [(arrived[key] - at) * 1000 for key, at in accepted.items()]


async def _recovered(opened: Exchange) -> None:
    """Wait until nothing is owed to anybody and no breaker is open."""
    await opened.settled()
    end = time.monotonic() + 60
    while await opened.connection.fetchval("SELECT count(*) FROM breaker WHERE phase <> 'closed'"):
        if time.monotonic() > end:
            raise DidNotRun("a breaker did not close in a minute")
        await asyncio.sleep(0.1)

"""Every place between two steps, one after the other: a process dies exactly there, every time, on both logs."""

import asyncio

import pytest

from tests.faults.exchange import Exchange
from tests.faults.kills import PLACES
from tests.faults.ledger import unbalanced
from tests.faults.telling import Desk

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("places")]

PEOPLE = 4
PROCESS = {"api": "api", "relay": "relay-1", "deliver": "deliver-1", "track": "track-1"}


async def test_a_process_dies_at_every_place(exchange: Exchange) -> None:
    """Somebody always is at work there: one of each role runs, and each time a few people tell something."""
    number = 0
    async with exchange.running(*PROCESS.values()), Desk(exchange, run="places") as desk:
        for role, places in PLACES.items():
            process = exchange.process(PROCESS[role])
            for place in places:
                number += 1
                process.kill()
                await exchange.start(process.name, failpoints={process.name: f"{place}=1"})
                telling = asyncio.gather(*(desk.tell(person, number) for person in range(PEOPLE)))
                assert await process.until_killed(), f"nobody came to {place}"
                await exchange.start(process.name)
                await telling
                await exchange.until_settled()  # fails at once where it happened
        assert await unbalanced(exchange) == []
        assert desk.faults == []
        assert exchange.alarms() == []

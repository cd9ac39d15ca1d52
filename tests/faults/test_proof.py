"""The proof: changes are told while everything is killed, and afterwards nothing is lost, doubled or out of order."""

import asyncio
import random
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.faults.conftest import opened
from tests.faults.exchange import APIS, LogKind
from tests.faults.kills import SHARES, SLOW_SECONDS, Storm, plan
from tests.faults.ledger import inboxes, unbalanced
from tests.faults.telling import Desk

CHANGES = 500
PEOPLE = 60
BUSY = 0.75
"""At least so many of the kills must fall while work is going on, else they prove little."""


class Tickets:
    """Lets the people tell in a seeded order, spread over the whole storm; each person one thing after the other.

    So many changes, and more wherever the exchange would have nothing to do when it is struck.
    """

    def __init__(self, seed: int, changes: int, strikes: int) -> None:
        self._dice = random.Random(seed)
        self._order = [number % PEOPLE for number in range(changes)]
        self._dice.shuffle(self._order)
        self._queues: list[asyncio.Queue[bool]] = [asyncio.Queue() for _ in range(PEOPLE)]
        self._ahead = max(10, changes // 20)
        self._strikes = strikes
        self._fallen = 0
        self._given = 0
        self._give()

    def fell(self) -> None:
        self._fallen += 1
        self._give()

    def idle(self) -> None:
        """Let somebody tell something more."""
        self._queues[self._dice.randrange(PEOPLE)].put_nowait(True)

    def end(self) -> None:
        """Let nobody tell any more, once all is told."""
        for queue in self._queues:
            queue.put_nowait(False)

    async def taken(self, person: int) -> bool:
        """Wait until a person may tell something; False if they may no more."""
        return await self._queues[person].get()

    def _give(self) -> None:
        total = len(self._order)
        due = (
            total if self._fallen >= self._strikes else min(total, total * self._fallen // self._strikes + self._ahead)
        )
        while self._given < due:
            self._queues[self._order[self._given]].put_nowait(True)
            self._given += 1


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    "log", [pytest.param(log, marks=pytest.mark.xdist_group(f"proof on {log}")) for log in ("postgres", "kafka")]
)
async def test_nothing_is_lost_or_doubled_while_everything_is_killed(
    log: LogKind, seed: int, kills: int, figure: Callable[[str], None]
) -> None:
    share = kills // 2
    strikes = plan(seed, share, log)
    tickets = Tickets(seed, max(CHANGES, 3 * share), sum(map(len, strikes.values())))
    with ExitStack() as stack:
        exchange = opened(stack, log)
        roles = [name for name in SHARES if name not in {"postgres", "kafka"}]
        async with exchange.running(*roles), Desk(exchange, run=f"{seed}-{log}", apis=APIS) as desk:
            await exchange.tell_outsiders(behaviour="slow", seconds=SLOW_SECONDS)

            async def tell(person: int) -> None:
                number = 0
                while await tickets.taken(person):
                    number += 1
                    await desk.tell(person, number)

            async def rages() -> None:
                await storm.rage()
                tickets.end()

            storm = Storm(exchange, strikes, lambda: desk.asking, tickets.fell, tickets.idle)
            try:
                async with asyncio.TaskGroup() as group:
                    for person in range(PEOPLE):
                        group.create_task(tell(person))
                    group.create_task(rages())
                await exchange.until_settled(180)
                for item in exchange.told:  # whoever asks again with the same key is told the same
                    await desk.accepted(item)
            finally:
                figure(f"{log}: {storm.told()}")
            boxes = inboxes(exchange)
            figure(
                f"{log}: {len(exchange.told)} changes of {PEOPLE} people, {sum(len(box.effects) for box in boxes)} effects at "
                f"{len(boxes)} organisations, {sum(box.repeats for box in boxes)} repeats seen by them; "
                f"{desk.met['lost']} answers lost, {desk.met['503'] + desk.met['429']} refused for a while; "
                f"{await exchange.value('SELECT count(*) FROM receipt')} receipts"
            )
            assert await unbalanced(exchange) == []
            assert desk.faults == []
            assert exchange.alarms() == []
            assert len(storm.kills) >= share
            assert sum(one.busy for one in storm.kills) >= BUSY * len(storm.kills)

"""Row 24 of the fault matrix: an organisation comes for its deliveries while API, worker and tracker are killed."""

import asyncio
import itertools
import random
from collections.abc import Callable

import pytest

from broker.main.embedded import organisations_at
from broker.store import register
from tests.faults.coming import Comer
from tests.faults.exchange import SHORT, Exchange
from tests.faults.kills import PLACES, Storm, Strike
from tests.faults.ledger import unbalanced
from tests.faults.software import Software
from tests.faults.telling import Desk

COMES = "swansea-council"
PEOPLE = 4
KILLS = {"api": 2, "deliver-1": 2, "track-1": 2}


@pytest.mark.timeout(240)
@pytest.mark.xdist_group("mailbox")
async def test_24_a_mailbox_while_everything_is_killed(
    on_kafka: Exchange, seed: int, figure: Callable[[str], None]
) -> None:
    """All of it is taken in, once, each person's in order and with the same bytes whenever it is read; nothing but that."""
    exchange = on_kafka
    dice = random.Random(f"{seed}/mailbox")
    strikes = {victim: [_strike(victim, dice) for _ in range(count)] for victim, count in KILLS.items()}
    await _let_it_come(exchange)
    async with (
        exchange.running("relay-1", *KILLS),
        Software(exchange, COMES) as software,
        Desk(exchange, run=f"{seed}-mailbox") as desk,
    ):
        comer, settled = Comer(software, dice), asyncio.Event()
        storm, over = Storm(exchange, strikes, lambda: desk.asking, lambda: None, lambda: None), asyncio.Event()

        async def tell(person: int) -> None:
            for number in itertools.count(1):
                await desk.tell(person, number)
                if over.is_set():
                    return
                await asyncio.sleep(dice.uniform(0.5, 1.0))

        async def settle() -> None:
            await storm.rage()
            over.set()
            await asyncio.gather(*telling)
            await exchange.until(lambda: _all_applied(exchange), "all is applied")
            settled.set()

        async with asyncio.TaskGroup() as group:
            telling = [group.create_task(tell(person)) for person in range(PEOPLE)]
            group.create_task(comer.come(settled.is_set))
            group.create_task(settle())
        figure(
            f"mailbox: {storm.told()}; {len(comer.taken)} events, read {comer.reads.total()} times, "
            f"{comer.crashes} crashes before an acknowledgement"
        )
        assert comer.faults == []
        assert len(comer.taken) == len(exchange.told)
        assert comer.reads.total() > len(comer.taken), "something was to be read again"
        assert await unbalanced(exchange, came=[comer.inbox(COMES)]) == []
        assert desk.faults == []
        assert exchange.alarms() == []


def _strike(victim: str, dice: random.Random) -> Strike:
    """Have it die between two of its steps, or at any moment; nobody comes to the API's own steps by coming for events."""
    role = victim.partition("-")[0]
    if role != "api" and dice.random() < 0.6:
        return Strike(victim, "failpoint", f"{dice.choice(PLACES[role])}={dice.randint(1, 2)}")
    return Strike(victim, "signal", after=dice.uniform(0.0, 0.8))


async def _let_it_come(exchange: Exchange) -> None:
    """Register one council as one that cannot be called."""
    [known] = [one for one in organisations_at(exchange.addresses) if one.id == COMES]
    async with exchange.database() as database:
        await register.put_organisation(
            database, known.model_copy(update={"adapter": "pull", "adapter_settings": {}, "policy": SHORT})
        )


async def _all_applied(exchange: Exchange) -> bool:
    return not await exchange.value("SELECT count(*) FROM delivery WHERE status <> 'applied'")

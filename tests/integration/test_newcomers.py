"""Organisations join, leave and change while deliveries are under way: it is felt by nobody else."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from broker.eventlog import EventLog, LogUnavailable
from broker.main.roles import secret_name
from broker.store import Database, register
from broker.vault import RootKeyFile
from contracts.delivery import Delivery
from contracts.receipts import Receipt
from contracts.topics import deliveries_topic
from tests.support.line import QUICK, Line, a_line, a_move, agreement, applied, applies, named, organisation, somebody

PATIENT = QUICK.model_copy(update={"deadline_seconds": 60.0})


@pytest.fixture
async def line(database: Database, eventlog: EventLog, tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(database, eventlog, RootKeyFile.open(tmp_path / "root.key")) as opened:
        yield opened


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(40):
        while not holds():
            await asyncio.sleep(0.02)


async def test_what_is_under_way_goes_on_whoever_joins_or_changes_meanwhile(line: Line) -> None:
    busy, changes, joins = (f"{name}-{line.prefix}" for name in ("cardiff-council", "swansea-council", "new"))
    may_answer = asyncio.Event()

    async def thinks(delivery: Delivery, seen: int) -> Receipt:
        await may_answer.wait()
        return await applies(delivery, seen)

    line.systems.behaviour[busy] = thinks
    await register.put_organisation(line.database, organisation(busy, PATIENT))
    await line.directory.refresh()
    line.start()
    first = await line.tell(somebody(1), a_move(1))
    await line.until(
        first, named(line, cardiff_council="published", swansea_council="applied", transport_for_wales="applied")
    )
    await until(lambda: len(line.systems.of(busy)) == 1)

    await register.put_organisation(line.database, organisation(joins))
    await register.put_agreement(line.database, agreement(joins, "anywhere"))
    await register.put_organisation(line.database, organisation(changes, PATIENT))
    await line.directory.refresh()
    second = await line.tell(somebody(2), a_move(2))
    reached = named(
        line, cardiff_council="published", swansea_council="applied", transport_for_wales="applied", new="applied"
    )
    await line.until(second, reached)
    await until(lambda: len(line.systems.of(busy)) == 2)

    await line.vault.entrust(secret_name(changes, "signing"), b"another")
    await line.directory.refresh()
    third = await line.tell(somebody(3), a_move(3))
    await line.until(third, reached)
    assert [line.systems.adapters.count(one) for one in (busy, joins, changes)] == [1, 1, 3]
    await until(lambda: line.systems.closed.count(changes) == 2)  # the former ones
    assert not {busy, joins} & set(line.systems.closed)

    may_answer.set()
    for told in (first, second, third):
        await line.until(told, applied(line) | ({joins: "applied"} if told is not first else {}))
    arrived = [delivery.id for delivery in line.systems.of(busy)]
    assert len(arrived) == len(set(arrived)) == 3, "each once: none was cut short"


async def test_nobody_waits_for_a_newcomer_whose_topic_cannot_be_made(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.start()
    await line.until(await line.tell(somebody(1), a_move(1)), applied(line))
    joins, makes = f"new-{line.prefix}", line.eventlog.ensure
    refused = asyncio.Event()

    async def refuses(topics: Mapping[str, int]) -> None:
        if deliveries_topic(joins) in topics:
            refused.set()
            raise LogUnavailable
        await makes(topics)

    monkeypatch.setattr(line.eventlog, "ensure", refuses)
    await register.put_organisation(line.database, organisation(joins))
    await register.put_agreement(line.database, agreement(joins, "anywhere"))
    await line.directory.refresh()
    async with asyncio.timeout(40):
        await refused.wait()
    accepted = await line.tell(somebody(2), a_move(2))
    await line.until(accepted, applied(line) | {joins: "queued"})
    assert not line.systems.closed
    monkeypatch.undo()
    await line.until(accepted, applied(line) | {joins: "applied"})


async def test_a_worker_starts_though_one_topic_cannot_be_made(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    without, makes = f"swansea-council-{line.prefix}", line.eventlog.ensure

    async def refuses(topics: Mapping[str, int]) -> None:
        if deliveries_topic(without) in topics:
            raise LogUnavailable
        await makes(topics)

    monkeypatch.setattr(line.eventlog, "ensure", refuses)
    line.start()
    accepted = await line.tell(somebody(1), a_move(1))
    await line.until(accepted, applied(line) | {without: "queued"})
    monkeypatch.undo()
    await line.until(accepted, applied(line))


async def test_who_leaves_is_served_again_once_it_is_back_and_the_others_all_along(line: Line) -> None:
    """As when its definition is one that only a newer version of this program can read."""
    line.start()
    first = await line.tell(somebody(1), a_move(1))
    await line.until(first, applied(line))
    leaves = f"swansea-council-{line.prefix}"
    async with line.database.connection() as connection:
        await connection.execute(
            "UPDATE organisation SET definition = definition || '{\"yetToCome\": 1}' WHERE id = $1", leaves
        )
    await line.directory.refresh()
    meanwhile = await line.tell(somebody(2), a_move(2))
    await line.until(meanwhile, named(line, cardiff_council="applied", transport_for_wales="applied"))
    await until(lambda: leaves in line.systems.closed)
    await register.put_organisation(line.database, organisation(leaves))
    await line.directory.refresh()
    again = await line.tell(somebody(3), a_move(3))
    await line.until(again, applied(line))
    others = [one for one in applied(line) if one != leaves]
    assert [line.systems.adapters.count(one) for one in (leaves, *others)] == [2, 1, 1]
    assert not set(others) & set(line.systems.closed)

"""What an organisation is sent at most, whoever sends it: at once, a second, by the hour, and again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from broker.delivery.limits import BURST_SECONDS
from broker.store import Database, register
from broker.vault import RootKeyFile
from contracts.adapters import Adapter
from contracts.delivery import Delivery, Failure, Unavailable
from contracts.organisation import BatchPolicy, BreakerPolicy, Organisation
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason
from contracts.times import WALES
from tests.support.eventlogs import log_of, on_both_logs
from tests.support.line import QUICK, Line, a_line, a_move, applied, applies, named, now, organisation, somebody


@pytest.fixture
async def line(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(database, log_of(request, database), RootKeyFile.open(tmp_path / "root.key")) as opened:
        yield opened


def swansea(line: Line) -> str:
    return f"swansea-council-{line.prefix}"


async def agree(line: Line, *, partitions: int = 3, **policy: object) -> None:
    """Set what Swansea is sent at most."""
    settings = organisation(swansea(line)).model_dump() | {
        "policy": QUICK.model_copy(update=policy),
        "partitions": partitions,
    }
    await register.put_organisation(line.database, Organisation.model_validate(settings))
    await line.directory.refresh()


class Busy:
    """Takes a moment over each delivery, and counts how many come at once."""

    def __init__(self) -> None:
        self.at_once = self.most = 0
        self.arrived: list[float] = []

    async def __call__(self, delivery: Delivery, seen: int) -> Receipt:
        self.arrived.append(asyncio.get_running_loop().time())
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.02)
        self.at_once -= 1
        return await applies(delivery, seen)


@pytest.mark.parametrize(("partitions", "concurrency"), [(1, 1), (3, 4)])
async def test_two_workers_together_send_no_more_at_once_than_one_may(
    line: Line, partitions: int, concurrency: int
) -> None:
    await agree(line, partitions=partitions, concurrency=concurrency)
    busy = line.systems.behaviour[swansea(line)] = Busy()
    told = [await line.tell(somebody(number), a_move()) for number in range(30)]
    line.start(line.relay(), line.pool(), line.pool(), line.tracker())
    for accepted in told:
        await line.until(accepted, applied(line))
    assert busy.most <= concurrency
    assert len(busy.arrived) == 30


async def test_a_pace_is_kept(line: Line) -> None:
    rate = 20.0
    await agree(line, rate=rate)
    busy = line.systems.behaviour[swansea(line)] = Busy()
    told = [await line.tell(somebody(number), a_move()) for number in range(30)]
    line.start(line.relay(), line.pool(), line.pool(), line.tracker())
    for accepted in told:
        await line.until(accepted, applied(line))
    for first, one in enumerate(busy.arrived):
        within = [other for other in busy.arrived[first:] if other - one <= 1.0]
        assert len(within) <= rate * (1 + BURST_SECONDS) + 2 * 2, "a second's worth, and what two workers may save up"


async def test_outside_its_hours_nothing_is_sent_and_inside_everything(line: Line) -> None:
    shown = now().astimezone(WALES)
    begins, ends = shown + timedelta(hours=2), shown + timedelta(hours=3)
    await agree(line, windows=(f"{begins:%H:%M}-{ends:%H:%M}",))
    told = [await line.tell(somebody(number), a_move()) for number in range(3)]
    line.start()
    for accepted in told:
        await line.until(
            accepted, named(line, cardiff_council="applied", swansea_council="queued", transport_for_wales="applied")
        )
    await agree(line, windows=(f"{shown - timedelta(hours=2):%H:%M}-{ends:%H:%M}",))
    for accepted in told:
        await line.until(accepted, applied(line))


async def test_what_is_in_the_log_when_its_hours_end_waits_for_them(line: Line) -> None:
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    shown = now().astimezone(WALES)
    await agree(line, windows=(f"{shown + timedelta(hours=2):%H:%M}-{shown + timedelta(hours=3):%H:%M}",))
    line.start()
    await line.until(
        accepted, named(line, cardiff_council="applied", swansea_council="published", transport_for_wales="applied")
    )
    assert line.systems.of(swansea(line)) == []
    await agree(line)
    await line.until(accepted, applied(line))
    assert [delivery.attempt for delivery in line.systems.of(swansea(line))] == [1]


async def test_tries_again_stay_a_share_and_waiting_for_leave_is_no_attempt(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.delivery.limits.SOONEST_SECONDS", 0.2)
    await agree(line, breaker=BreakerPolicy(consecutive=1000, of_last=1000, share=1.0))

    async def fails_first(delivery: Delivery, seen: int) -> Receipt:
        if seen == 1:
            raise Unavailable(Reason.SERVER_ERROR)
        return await applies(delivery, seen)

    line.systems.behaviour[swansea(line)] = fails_first
    told = [await line.tell(somebody(number), a_move()) for number in range(20)]
    line.start()
    for accepted in told:
        await line.until(accepted, applied(line))
    assert sorted(delivery.attempt for delivery in line.systems.of(swansea(line))) == [1] * 20 + [2] * 20
    async with line.database.connection() as connection:
        spent = await connection.fetchval("SELECT count(*) FROM receipt WHERE reason = 'retries_spent'")
    assert spent, "more than the budget had were due at once"


class Gathered:
    """An adapter that takes batches, and refuses the deliveries of one of them for good, by turns."""

    def __init__(self, line: Line, name: str) -> None:
        self._line = line
        self._name = name
        self.batches: list[list[Delivery]] = []

    async def deliver(self, delivery: Delivery) -> Receipt:
        return delivery.answered(Outcome.APPLIED, now())

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        self.batches.append(list(deliveries))
        return [
            Unavailable(Reason.SERVER_ERROR) if delivery.attempt == 1 and place == 0 else await self.deliver(delivery)
            for place, delivery in enumerate(deliveries)
        ]

    async def close(self) -> None:
        return None


@on_both_logs
async def test_batches_are_full_or_have_waited_and_never_hold_two_of_one_person(line: Line) -> None:
    await agree(line, batch=BatchPolicy(size=8, linger_seconds=0.3))
    gathered = Gathered(line, swansea(line))
    scripted = line.adapter

    async def adapter(settings: Organisation) -> Adapter:
        return gathered if settings.id == swansea(line) else await scripted(settings)

    line.adapter = adapter  # type: ignore[method-assign]  # one organisation is reached in another way
    told = [await line.tell(somebody(number), a_move(house)) for house in (1, 2) for number in range(20)]
    line.start()
    for accepted in told:
        await line.until(accepted, applied(line))
    assert all(len(batch) <= 8 for batch in gathered.batches)
    assert any(len(batch) == 8 for batch in gathered.batches)
    for batch in gathered.batches:
        assert len({delivery.subject for delivery in batch}) == len(batch)
    order: dict[str, list[int]] = {}
    for batch in gathered.batches:
        for delivery in batch:
            order.setdefault(delivery.subject, []).append(delivery.sequence)
    assert all(sequences == sorted(sequences) for sequences in order.values())
    assert any(len(sequences) > 2 for sequences in order.values()), "one of each batch was tried again, alone"


class Agreeing(Gathered):
    """One whose organisation takes so many requests a second, and no more."""

    rate: float | None = 10.0

    def __init__(self, line: Line, name: str) -> None:
        super().__init__(line, name)
        self.at: list[float] = []

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        self.at.append(asyncio.get_running_loop().time())
        self.batches.append(list(deliveries))
        return [await self.deliver(delivery) for delivery in deliveries]


async def test_a_batch_is_one_request_of_those_an_endpoint_has_agreed_to(line: Line) -> None:
    await agree(line, partitions=1, batch=BatchPolicy(size=8, linger_seconds=0.01))
    agreeing = Agreeing(line, swansea(line))
    scripted = line.adapter

    async def adapter(settings: Organisation) -> Adapter:
        return agreeing if settings.id == swansea(line) else await scripted(settings)

    line.adapter = adapter  # type: ignore[method-assign]  # one organisation is reached in another way
    line.start()
    first = await line.tell(somebody(0), a_move())
    await line.until(first, applied(line))  # from now on it is known what was agreed
    told = await asyncio.gather(*(line.tell(somebody(number), a_move()) for number in range(1, 41)))
    for accepted in told:
        await line.until(accepted, applied(line))
    assert sum(map(len, agreeing.batches)) == 41
    assert agreeing.rate is not None
    for place, one in enumerate(agreeing.at):
        within = [other for other in agreeing.at[place:] if other - one <= 1.0]
        assert len(within) <= agreeing.rate + 3, "a second's worth, what was saved up, and both ends of it"


async def test_a_pace_of_deliveries_makes_batches_rarer_and_not_smaller(line: Line) -> None:
    rate, size = 20.0, 8
    await agree(line, partitions=1, rate=rate, batch=BatchPolicy(size=size, linger_seconds=30.0))
    paced = Agreeing(line, swansea(line))
    paced.rate = None
    scripted = line.adapter

    async def adapter(settings: Organisation) -> Adapter:
        return paced if settings.id == swansea(line) else await scripted(settings)

    line.adapter = adapter  # type: ignore[method-assign]  # one organisation is reached in another way
    told = await asyncio.gather(*(line.tell(somebody(number), a_move()) for number in range(3 * size)))
    line.start()
    for accepted in told:
        await line.until(accepted, applied(line))
    assert [len(batch) for batch in paced.batches] == [size] * 3


async def test_batches_for_an_adapter_that_takes_none_are_somebodys_mistake(line: Line) -> None:
    await agree(line, batch=BatchPolicy(size=8))
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(
        accepted, named(line, cardiff_council="applied", swansea_council="published", transport_for_wales="applied")
    )
    while not line.directory.organisations()[swansea(line)].paused:
        await asyncio.sleep(0.02)
    assert line.systems.of(swansea(line)) == []

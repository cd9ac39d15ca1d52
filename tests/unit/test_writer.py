"""Which changes set out together: the store is a stand-in that answers when it is let."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from broker.intake import TooBusy, Writer
from broker.intake import writer as writing_down
from broker.intake.writer import IN_COMPANY, LARGEST_BATCH, LONGEST_QUEUE, WORTH_ANOTHER
from broker.store import changes

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Stored:
    """Batches on their way to the store, which answers when `gate` opens."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.erased: set[UUID] = set()
        self.bad: set[UUID] = set()

    async def accept(self, _database: object, batch: Sequence[changes.Told]) -> dict[UUID, datetime]:
        self.batches.append(len(batch))
        await self.gate.wait()
        ids = {told.id for told in batch}
        if gone := ids & self.erased:
            raise changes.PersonErased(frozenset(gone))
        if ids & self.bad:
            raise asyncpg.DataError
        return dict.fromkeys(ids, NOW)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Stored:
    stored = Stored()
    monkeypatch.setattr(changes, "accept", stored.accept)
    return stored


@asynccontextmanager
async def writing() -> AsyncIterator[tuple[Writer, asyncio.Event]]:
    nothing: Any = None
    writer, stop = Writer(nothing), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run(stop))
        yield writer, stop
        stop.set()


async def told(writer: Writer, count: int) -> list[asyncio.Task[changes.Told | None]]:
    """Hand in changes and let everything happen that can."""
    asked = [asyncio.create_task(writer.write(a_change())) for _ in range(count)]
    for _ in range(5):
        await asyncio.sleep(0)
    return asked


def a_change() -> changes.Told:
    return changes.Told(
        id=uuid4(),
        person_id=1,
        key=os.urandom(16),
        fingerprint=b"",
        reference="",
        type="address",
        generation=1,
        sealed=b"",
        accepted_at=NOW,
        owed=(),
        leaf=b"",
    )


async def test_a_second_batch_sets_out_once_it_is_worth_it_and_a_third_never(stored: Stored) -> None:
    async with writing() as (writer, _):
        asked = await told(writer, 1)
        asked += await told(writer, WORTH_ANOTHER - 1)
        assert stored.batches == [1]
        asked += await told(writer, 1)
        assert stored.batches == [1, WORTH_ANOTHER]
        asked += await told(writer, 3 * WORTH_ANOTHER)
        assert stored.batches == [1, WORTH_ANOTHER]
        stored.gate.set()
        assert all(await asyncio.gather(*asked))
        assert stored.batches == [1, WORTH_ANOTHER, 3 * WORTH_ANOTHER]


@pytest.mark.parametrize(("last", "alone"), [(IN_COMPANY, []), (IN_COMPANY - 1, [1])])
async def test_behind_a_batch_of_several_the_next_waits_for_company(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, last: int, alone: list[int]
) -> None:
    monkeypatch.setattr(writing_down, "COMPANY_SECONDS", 3600.0)
    stored.gate.set()
    async with writing() as (writer, _):
        assert all(await asyncio.gather(*[writer.write(a_change()) for _ in range(last)]))
        asked = await told(writer, 1)
        assert stored.batches == [last, *alone]
        asked += await told(writer, WORTH_ANOTHER)
        assert all(await asyncio.gather(*asked))
    assert stored.batches == [last, *alone, WORTH_ANOTHER + 1 - len(alone)]


async def test_what_waits_is_bounded_and_is_still_written_when_asked_to_stop(stored: Stored) -> None:
    async with writing() as (writer, stop):
        asked = await told(writer, 2 * LARGEST_BATCH)
        asked += await told(writer, LONGEST_QUEUE)
        with pytest.raises(TooBusy):
            await writer.write(a_change())
        stop.set()
        stored.gate.set()
        assert all(await asyncio.gather(*asked))
    assert stored.batches == [LARGEST_BATCH] * 4


async def test_one_who_was_erased_fails_alone_and_the_others_are_one_batch_still(stored: Stored) -> None:
    async with writing() as (writer, _):
        several = [a_change() for _ in range(10)]
        stored.erased = {several[3].id, several[7].id}
        asked = [asyncio.create_task(writer.write(one)) for one in several]
        stored.gate.set()
        ended = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(one, changes.PersonErased) for one in ended] == [one.id in stored.erased for one in several]
    assert stored.batches == [10, 8]


async def test_one_bad_row_fails_alone_and_is_found_by_halves(stored: Stored) -> None:
    async with writing() as (writer, _):
        several = [a_change() for _ in range(64)]
        stored.bad = {several[5].id}
        asked = [asyncio.create_task(writer.write(one)) for one in several]
        stored.gate.set()
        ended = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(one, asyncpg.DataError) for one in ended] == [one.id in stored.bad for one in several]
    assert len(stored.batches) == 13, "sixty-four, then two halves for each doubling"

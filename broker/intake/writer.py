"""Group commit: what waits is drained into one statement, so a hundred people share one wait for the disk."""

import asyncio
import contextlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from broker.intake.references import new_reference
from broker.intake.refusals import TooBusy
from broker.store import Database, StoreUnavailable, changes

LARGEST_BATCH: Final = 500
LONGEST_QUEUE: Final = 1_000
"""Changes waiting to be written; beyond this a person is asked to come back, and memory stays bounded."""
AT_ONCE: Final = 2
"""Batches on their way: while PostgreSQL stores one, this process prepares the next. With one alone each waits for the
other. Batches of one process stand to each other as those of two processes do: the statement takes its locks in order."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Waiting:
    told: changes.Told
    done: asyncio.Future[changes.Told | None]


class Writer:
    """Writes accepted changes. One a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(LONGEST_QUEUE)

    async def write(self, told: changes.Told) -> changes.Told | None:
        """Store one change with the next batch; return it as it was stored, or None if its key is known already.

        Raises TooBusy, StoreUnavailable (unknown whether stored: ask the key) and changes.PersonErased.
        """
        waiting = _Waiting(told, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull:
            raise TooBusy from None
        return await waiting.done

    async def run(self, stop: asyncio.Event) -> None:
        """Write until `stop` and the queue is empty."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._drain(stop))

    async def _drain(self, stop: asyncio.Event) -> None:
        while not (stop.is_set() and self._queue.empty()):
            batch: list[_Waiting] = []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    batch.append(await self._queue.get())
            while not self._queue.empty() and len(batch) < LARGEST_BATCH:
                batch.append(self._queue.get_nowait())
            if batch:
                await self._write(batch)

    async def _write(self, batch: list[_Waiting]) -> None:
        try:
            accepted = await changes.accept(self._database, [item.told for item in batch])
        except StoreUnavailable as away:
            _fail(batch, away)
        except (changes.PersonErased, asyncpg.PostgresError) as refused:
            if len(batch) == 1:
                await self._write_alone(batch[0], refused)
                return
            for item in batch:  # one bad row fails its batch: let it fail alone
                await self._write([item])
        except Exception as fault:  # whoever waits must hear of it; the writer goes on
            log.exception("changes.not_written", count=len(batch), error=type(fault).__name__)
            _fail(batch, fault)
        else:
            _succeed(batch, accepted)

    async def _write_alone(self, item: _Waiting, refused: Exception) -> None:
        constraint = getattr(refused, "constraint_name", None)
        if constraint == "change_reference_key":  # 50 random bits met their like: draw again
            item.told = _renamed(item.told)
            await self._write([item])
            return
        if not isinstance(refused, changes.PersonErased):
            log.error("change.not_written", error=type(refused).__name__)
        _fail([item], refused)


def _renamed(told: changes.Told) -> changes.Told:
    return replace(told, reference=new_reference())


def _succeed(batch: list[_Waiting], accepted: dict[UUID, datetime]) -> None:
    for item in batch:
        if not item.done.done():
            at = accepted.get(item.told.id)
            item.done.set_result(replace(item.told, accepted_at=at) if at else None)


def _fail(batch: list[_Waiting], fault: Exception) -> None:
    for item in batch:
        if not item.done.done():
            item.done.set_exception(fault)

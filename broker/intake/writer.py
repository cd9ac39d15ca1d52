"""Group commit: what waits is drained into one statement, so a hundred people share one wait for the disk."""

import asyncio
import contextlib
from collections import deque
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
WORTH_ANOTHER: Final = 16
"""Changes that must wait for a second batch to set out: a batch costs PostgreSQL as much as ten changes in it."""
IN_COMPANY: Final = 4
COMPANY_SECONDS: Final = 0.002
"""After a batch of so many the next one waits so long for company: those who were just answered tell the next change."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Waiting:
    told: changes.Told
    done: asyncio.Future[changes.Told | None]


class Writer:
    """Writes accepted changes. One a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: deque[_Waiting] = deque()
        self._under_way = 0
        self._last = 0
        """How many set out with the last batch."""
        self._stirred = asyncio.Event()
        """Set when a change came, a batch was stored or the end has come."""
        self._enough = asyncio.Event()
        """Set when as many wait as are worth another batch."""

    async def write(self, told: changes.Told) -> changes.Told | None:
        """Store one change with the next batch; return it as it was stored, or None if its key is known already.

        Raises TooBusy, StoreUnavailable (unknown whether stored: ask the key) and changes.PersonErased.
        """
        if len(self._queue) >= LONGEST_QUEUE:
            raise TooBusy
        waiting = _Waiting(told, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._stirred.set()
        if len(self._queue) >= WORTH_ANOTHER:
            self._enough.set()
        return await waiting.done

    async def run(self, stop: asyncio.Event) -> None:
        """Write until `stop` and the queue is empty."""
        async with asyncio.TaskGroup() as group:
            group.create_task(stop.wait()).add_done_callback(lambda _: self._stirred.set())
            while not (stop.is_set() and not self._queue):
                if self._may_set_out():
                    if self._last >= IN_COMPANY and len(self._queue) < WORTH_ANOTHER:
                        self._enough.clear()
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(COMPANY_SECONDS):
                                await self._enough.wait()
                    batch = [self._queue.popleft() for _ in range(min(len(self._queue), LARGEST_BATCH))]
                    self._last = len(batch)
                    self._under_way += 1
                    group.create_task(self._set_out(batch))
                    continue
                self._stirred.clear()
                await self._stirred.wait()

    def _may_set_out(self) -> bool:
        waiting = len(self._queue)
        return waiting > 0 and (self._under_way == 0 or (waiting >= WORTH_ANOTHER and self._under_way < AT_ONCE))

    async def _set_out(self, batch: list[_Waiting]) -> None:
        try:
            await self._write(batch)
        finally:
            self._under_way -= 1
            self._stirred.set()

    async def _write(self, batch: list[_Waiting]) -> None:
        try:
            accepted = await changes.accept(self._database, [item.told for item in batch])
        except StoreUnavailable as away:
            _fail(batch, away)
        except changes.PersonErased as erased:  # nothing was stored: theirs fail, and the others are one batch still
            _fail([item for item in batch if item.told.id in erased.change_ids], erased)
            if others := [item for item in batch if item.told.id not in erased.change_ids]:
                await self._write(others)
        except asyncpg.PostgresError as refused:
            if len(batch) == 1:
                await self._write_alone(batch[0], refused)
                return
            half = len(batch) // 2
            for part in (batch[:half], batch[half:]):  # one bad row fails its batch: halved until it fails alone
                await self._write(part)
        except Exception as fault:  # whoever waits must hear of it; the writer goes on
            log.exception("changes.not_written", count=len(batch), error=type(fault).__name__)
            _fail(batch, fault)
        else:
            _succeed(batch, accepted)

    async def _write_alone(self, item: _Waiting, refused: asyncpg.PostgresError) -> None:
        constraint = getattr(refused, "constraint_name", None)
        if constraint == "change_reference_key":  # 50 random bits met their like: draw again
            item.told = _renamed(item.told)
            await self._write([item])
            return
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

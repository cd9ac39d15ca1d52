"""Writing to Kafka in order: one lane per partition, the next batch only after the last one was acknowledged.

aiokafka's own `send` lets several batches of a partition wait behind each other; if one of them fails for good and the
next succeeds, a key's second record stands in the log without its first. Here nothing is sent behind an unacknowledged
batch and one failure ends the whole writer, so each attempt leaves a *prefix* of a key's records: appending again may
repeat records, never reorder them. Waiting appends of many tasks share a batch, so nothing is lost in speed.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from broker.eventlog.log import LogUnavailable, Partition, Record
from broker.eventlog.partitioning import partition_of

BATCH_BYTES: Final = 512 * 1024
TOPIC_SECONDS: Final = 2.0


class _Piece:
    """The records of one append for one partition."""

    __slots__ = ("acknowledged", "records", "taken")

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.taken = 0
        self.acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Writer:
    """One started producer with its lanes. Good until the first failure, then `failed` for ever."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.producer = producer
        self.failed = False
        self.guilty: set[str] = set()
        """Topics whose own failure ended this writer."""
        self._lanes: dict[Partition, deque[_Piece]] = {}
        self._busy: dict[Partition, asyncio.Task[None]] = {}

    async def write(self, records: Sequence[Record]) -> None:
        """Return when every record is acknowledged. Raises LogUnavailable."""
        pieces = await self._pieces(records)
        if self.failed:
            raise LogUnavailable("the connection to Kafka was given up")
        for partition, piece in pieces.items():
            self._lanes.setdefault(partition, deque()).append(piece)
            if partition not in self._busy:
                self._busy[partition] = asyncio.create_task(self._empty_lane(partition))
        await asyncio.gather(*(piece.acknowledged for piece in pieces.values()))

    def fail(self, fault: Exception | None = None) -> None:
        """Give up: whoever waits gets LogUnavailable, or the fault if it is one of ours."""
        self.failed = True
        ours = fault is not None and not isinstance(fault, KafkaError | OSError)
        told = fault if ours and fault else LogUnavailable("the connection to Kafka was given up")
        for task in self._busy.values():
            if task is not asyncio.current_task():
                task.cancel()
        for lane in self._lanes.values():
            for piece in lane:
                if not piece.acknowledged.done():
                    piece.acknowledged.set_exception(told)
                    piece.acknowledged.exception()  # whoever waited may have left: then nobody is to be told
            lane.clear()

    async def _pieces(self, records: Sequence[Record]) -> dict[Partition, _Piece]:
        """Sort records into their partitions, a key always into the same: Kafka's default partitioner."""
        counts: dict[str, int] = {}
        sorted_records: dict[Partition, list[Record]] = {}
        for record in records:
            if record.topic not in counts:
                try:
                    async with asyncio.timeout(TOPIC_SECONDS):
                        counts[record.topic] = len(await self.producer.partitions_for(record.topic))
                except (KafkaError, TimeoutError) as failed:
                    raise LogUnavailable(
                        f"Kafka does not know {record.topic}: {type(failed).__name__}; `ensure` creates it"
                    ) from None
            partition = Partition(record.topic, partition_of(record.key, counts[record.topic]))
            sorted_records.setdefault(partition, []).append(record)
        return {partition: _Piece(these) for partition, these in sorted_records.items()}

    async def _empty_lane(self, partition: Partition) -> None:
        lane = self._lanes[partition]
        try:
            while lane:
                batch = self.producer.create_batch()
                for piece in lane:
                    if not _fill(batch, piece):
                        break
                batch.close()
                sent = await self.producer.send_batch(batch, partition.topic, partition=partition.number)
                await sent
                while lane and lane[0].taken == len(lane[0].records):
                    piece = lane.popleft()
                    if not piece.acknowledged.done():
                        piece.acknowledged.set_result(None)
        except Exception as fault:  # noqa: BLE001  nobody awaits this task: whoever waits for its records is told
            self.guilty.add(partition.topic)
            self.fail(fault)
        finally:
            del self._busy[partition]


def _fill(batch: BatchBuilder, piece: _Piece) -> bool:
    """Move records of a piece into the batch; return False when the batch is full."""
    for record in piece.records[piece.taken :]:
        if batch.append(timestamp=None, key=record.key, value=record.value, headers=[*record.headers]) is None:
            return False
        piece.taken += 1
    return True

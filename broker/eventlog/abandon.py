"""Close an aiokafka client that may no longer answer, within a time limit and without leaving tasks behind.

aiokafka's own `stop()` first flushes or leaves the group, without a time limit: after the loss of a cluster it can
wait for ever. What follows reaches into aiokafka 0.14, because it offers no other way; it is all in this file.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

GRACE_SECONDS: Final = 3.0


async def stop(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Stop in order if that goes quickly, else abandon."""
    if not await within(GRACE_SECONDS, client.stop()):
        await abandon(client)


async def abandon(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Cut the connections, then end every task of the client. Never raises, takes at most a few seconds."""
    client._closed = True  # noqa: SLF001  also silences the destructor
    if isinstance(client, AIOKafkaProducer):
        network, tasks = client.client, [client._sender.sender_task]  # noqa: SLF001
    else:
        network, tasks = client._client, _tasks_of(client)  # noqa: SLF001
    network._get_conn = _no_connection  # noqa: SLF001  what still runs must not connect behind our back
    await within(1.0, _cut(network))  # requests in flight fail now instead of at their time limit
    await _end([task for task in tasks if task is not None])
    if isinstance(client, AIOKafkaConsumer) and client._fetcher is not None:  # noqa: SLF001
        await within(1.0, client._fetcher.close())  # noqa: SLF001
    await within(1.0, network.close())  # a connection that was being made while we cut


async def _no_connection(*_: object, **__: object) -> None:
    """What aiokafka's client answers when a node cannot be reached."""


async def _cut(network: Any) -> None:
    async with network._get_conn_lock:  # noqa: SLF001  a connection being made belongs to nobody until it is made
        await network.close()


def _tasks_of(consumer: AIOKafkaConsumer) -> list[asyncio.Task[Any] | None]:
    coordinator = consumer._coordinator  # noqa: SLF001
    if coordinator is None:
        return []
    if not coordinator._closing.done():  # noqa: SLF001
        coordinator._closing.set_result(None)  # noqa: SLF001
    return [coordinator._coordination_task, coordinator._heartbeat_task, coordinator._commit_refresh_task]  # noqa: SLF001


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel until they end: an aiokafka task may take one cancellation as the wish to finish its work first."""
    for _ in range(5):
        pending = {task for task in tasks if not task.done()}
        if not pending:
            break
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.5)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # seen; it is of no interest any more


async def within(seconds: float, work: Coroutine[Any, Any, None]) -> bool:
    """Return whether the work ended well in time; it is cancelled otherwise."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task}, timeout=0.5)
    if not task.done() or task.cancelled():
        return False
    return task.exception() is None

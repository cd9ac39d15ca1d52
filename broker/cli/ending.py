"""Where a process decides to end, also while it still opens what it works on."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

if sys.platform == "win32":
    _loop = asyncio.new_event_loop
else:
    import uvloop

    _loop = uvloop.new_event_loop

T = TypeVar("T")


def until_done(work: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    """Run `work` on a new loop and return its exit code. It is given the event that SIGINT and SIGTERM set."""

    async def main() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()

        def end() -> None:
            if stop.is_set() and task is not None:
                task.cancel()  # asked twice
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end)
        return await work(stop)

    with asyncio.Runner(loop_factory=_loop) as runner:
        try:
            return runner.run(main())
        except asyncio.CancelledError:
            return 130


async def before(stop: asyncio.Event, opening: Coroutine[Any, Any, T]) -> T | None:
    """Return what `opening` does; None, having ended it, if `stop` is set first: the store may be away for long."""
    ends = [asyncio.create_task(opening), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return ends[0].result() if ends[0].done() else None
    finally:
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)

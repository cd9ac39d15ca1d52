"""One place where the process decides to end."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

if sys.platform == "win32":
    _loop = asyncio.new_event_loop
else:
    import uvloop

    _loop = uvloop.new_event_loop


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

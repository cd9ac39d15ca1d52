"""An asyncio event loop whose time is virtual and whose order comes from a seed.

It runs several processes, each with its own queue of callbacks. Within a process callbacks keep the order asyncio
promises; which process goes next is chosen by the seed. When nobody has anything to do, the clock jumps to the next
timer. A process can be stopped and continued, or killed: its callbacks are then never run again, no `finally` either.
"""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar

T = TypeVar("T")

EPOCH: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""When every simulation begins."""
SPINNING: Final = 200_000
"""So many callbacks without a moment passing: somebody waits by looking again and again."""


@dataclass(eq=False, slots=True)
class Process:
    """One process: what is ready to run in it, and whether it may."""

    name: str
    ours: bool = False
    """It runs the product's code: its callbacks are counted as steps."""
    state: Literal["running", "stopped", "dead"] = "running"
    skew: timedelta = timedelta(0)
    """How far its wall clock is off."""
    stops: int = 0
    ready: deque[asyncio.Handle] = field(default_factory=deque)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    """Those under way, and some that are done."""
    crowd: int = 64
    """At so many tasks those that are done are let go."""


PROCESS: Final[ContextVar[Process]] = ContextVar("process")
"""The process whose callback is running; tasks and timers belong to the process that made them."""


class Spinning(Exception):  # noqa: N818  says what holds
    """Callbacks without end, and time stands still."""


class SimulatedLoop(asyncio.AbstractEventLoop):
    """The loop. Only what the stages use is there: tasks, futures, timers."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Process]] = []
        self._made = 0
        self._processes: list[Process] = []
        self._at_this_moment = 0
        self.outside = self.process("outside")
        """Everything that is modelled: it is never stopped."""
        self.steps = 0
        """Callbacks run in processes of ours."""
        self.callbacks = 0
        self.faults: list[str] = []
        """What nobody caught."""

    # What asyncio asks of a loop

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        process = PROCESS.get(self.outside)
        if process.ours:
            if len(process.tasks) >= process.crowd:
                process.tasks = [one for one in process.tasks if not one.done()]
                process.crowd = 2 * len(process.tasks) + 64
            process.tasks.append(task)
        return task

    def call_soon(  # type: ignore[override]  # typed for whoever calls it by the abstract loop
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._owner(context).ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]  # typed for whoever calls it by the abstract loop
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # typed for whoever calls it by the abstract loop
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._made += 1
        heapq.heappush(self._timers, (when, self._made, handle, self._owner(context)))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is thrown away when its time comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None:
            self.faults.append(f"{context['message']}: {error!r}")

    def _owner(self, context: Context | None) -> Process:
        return PROCESS.get(self.outside) if context is None else context.get(PROCESS, self.outside)

    # Processes

    def process(self, name: str, *, ours: bool = False) -> Process:
        made = Process(name, ours)
        self._processes.append(made)
        return made

    def spawn(self, process: Process, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` in `process`."""
        with self.within(process):
            return self.create_task(work)

    @contextmanager
    def within(self, process: Process) -> Iterator[None]:
        """What is made inside belongs to `process`."""
        token = PROCESS.set(process)
        try:
            yield
        finally:
            PROCESS.reset(token)

    def forget(self, process: Process) -> None:
        """It is dead: its callbacks need not be looked at any more."""
        if process in self._processes:
            self._processes.remove(process)

    def revive(self, process: Process) -> None:
        """Have a forgotten process looked at again."""
        if process not in self._processes:
            self._processes.append(process)

    # Running

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be the running loop, as `asyncio.get_running_loop` sees it."""
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)

    def run(self, until: Callable[[], bool], *, latest: float = float("inf"), callbacks: int = 10**12) -> bool:
        """Run until `until()` holds, looked at before each callback; return whether it does.

        Ends without it at the virtual second `latest`, after so many `callbacks`, or when nothing is left to do.
        Raises Spinning.
        """
        for _ in range(callbacks):
            if until():
                return True
            if not self._one(latest):
                return False
        return until()

    def _one(self, latest: float) -> bool:
        """Run one callback; return whether there was one by `latest`."""
        timers = self._timers
        while True:
            while timers and timers[0][0] <= self._now:
                _, _, timer, owner = heapq.heappop(timers)
                if not timer.cancelled() and owner.state != "dead":
                    owner.ready.append(timer)
            able = [process for process in self._processes if process.ready and process.state == "running"]
            if able:
                break
            while timers and timers[0][2].cancelled():
                heapq.heappop(timers)
            if not timers or timers[0][0] > latest:
                return False
            self._now = timers[0][0]
            self._at_this_moment = 0
        process = able[0] if len(able) == 1 else able[int(self._dice.random() * len(able))]
        handle = process.ready.popleft()
        if not handle.cancelled():
            self._at_this_moment += 1
            if self._at_this_moment > SPINNING:
                raise Spinning(process.name)
            self.callbacks += 1
            self.steps += process.ours
            handle._run()
        return True

    def rested(self) -> None:
        """Whoever was spinning has been told: count anew."""
        self._at_this_moment = 0

    def timers(self) -> int:
        """Return how many timers are set."""
        return sum(not timer.cancelled() for _, _, timer, _ in self._timers)

"""The way between a process and what it talks to: it takes its time, and may lose either the request or the answer."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tests.simulation.loop import PROCESS, SimulatedLoop

T = TypeVar("T")


@dataclass(slots=True)
class Weather:
    """How the way to one thing is just now."""

    away: bool = False
    """Nothing gets through: requests fail, and answers under way are lost."""
    lost: float = 0.0
    """The share of requests of which either the request or the answer is lost."""
    slow: float = 0.0
    """The share of ways that take seconds instead of milliseconds."""


class Network:
    """Carries requests out of a process and answers back into it.

    What happens at the other end happens there, whether or not whoever asked lives to hear of it.
    """

    def __init__(self, loop: SimulatedLoop, dice: random.Random, *, even: bool = False) -> None:
        """`even`: every way takes one millisecond, so that runs can be compared by their times."""
        self._loop = loop
        self._dice = dice
        self._even = even

    async def ask(
        self,
        weather: Weather,
        failure: Callable[[], Exception],
        work: Callable[[], Awaitable[T]],
        *,
        lossy: bool = True,
    ) -> T:
        """Have `work` done at the other end and return its result, or raise `failure()`: then it may be done or not.

        `lossy`: it may be lost although the other end is there.
        """
        answer: asyncio.Future[T] = self._loop.create_future()
        lost = self._lost(weather) if lossy else None

        async def there() -> None:
            await asyncio.sleep(self._way(weather))
            if weather.away or lost == "request":
                back(None, failure())
                return
            try:
                result = await work()
            except Exception as error:  # noqa: BLE001  whatever it is, it is the asker's
                back(None, error)
                return
            if weather.away or lost == "answer":
                back(None, failure())
            else:
                back(result, None)

        def back(result: T | None, error: Exception | None) -> None:
            with self._loop.within(asker):
                self._loop.call_later(self._way(weather), arrive, result, error)

        def arrive(result: T, error: Exception | None) -> None:
            if answer.done():
                return  # whoever asked no longer waits
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        asker = PROCESS.get(self._loop.outside)
        self._loop.spawn(self._loop.outside, there())
        return await answer

    def _way(self, weather: Weather) -> float:
        if self._even:
            return 0.001
        if weather.slow and self._dice.random() < weather.slow:
            return self._dice.uniform(0.1, 3.0)
        return self._dice.uniform(0.0, 0.005)

    def _lost(self, weather: Weather) -> str | None:
        if weather.lost and self._dice.random() < weather.lost:
            return self._dice.choice(("request", "answer"))
        return None

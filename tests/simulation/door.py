"""The API as organisations reach it that come for their deliveries: what they ask runs in one of its processes."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from uuid import UUID

from broker.api import fetching
from broker.eventlog import LogUnavailable
from broker.identity.refusals import Absent
from broker.store import StoreUnavailable, mailbox
from broker.vault import StoreGate
from tests.simulation.comers import Away

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

PATIENCE_SECONDS: Final = 30.0
"""After so long without an answer whoever came goes away again."""


class AtTheDoor:
    """Implements Door, on the routes' own functions."""

    def __init__(self, world: "World", gate: StoreGate) -> None:
        self._world = world
        self._gate = gate
        self._parts: Any = SimpleNamespace(database=world.database, eventlog=world.log, clock=world.now)
        """As much of `ApiParts` as is asked for."""

    async def page(self, organisation: str, after: int, limit: int) -> tuple[list[bytes], int | None]:
        """See Door."""

        async def asked() -> tuple[list[bytes], int | None]:
            lying = await mailbox.look(self._world.database, organisation, after, limit)
            events = await fetching._events(self._parts, self._gate, organisation, lying) if lying else []
            return events, lying[-1].place if lying else None

        return await self._asked(asked)

    async def acknowledge(self, organisation: str, delivery_id: UUID) -> bool:
        """See Door."""

        async def asked() -> bool:
            try:
                await fetching._acknowledge(self._parts, organisation, delivery_id)
            except Absent:
                return False
            return True

        return await self._asked(asked)

    async def _asked(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Have one of the processes do it; what it was at when it died, is done or not."""
        world, loop = self._world, self._world.loop
        alive = [one for name, one in world.processes.items() if name.startswith("api") and one.state != "dead"]
        if not alive:
            raise Away
        answer: asyncio.Future[T] = loop.create_future()

        async def answering() -> None:
            try:
                answered, result = True, await ask()
            except (StoreUnavailable, LogUnavailable):
                answered, result = False, cast("T", None)
            with loop.within(loop.outside):
                loop.call_later(world.dice.uniform(0.0, 0.005), arrive, answered, result)

        def arrive(answered: bool, result: T) -> None:
            if answer.done():
                return
            if answered:
                answer.set_result(result)
            else:
                answer.set_exception(Away())

        loop.spawn(world.dice.choice(alive), answering())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await answer
        except TimeoutError:
            raise Away from None

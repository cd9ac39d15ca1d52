"""Questions gathered into one: nobody gets an answer older than their question, and nobody is left without one."""

import asyncio
from collections.abc import Sequence

import pytest

from broker.store.together import Together


class Asked:
    """A store whose queries end when they are let."""

    def __init__(self) -> None:
        self.queries: list[list[int]] = []
        self.kept = {1: "one", 2: "two"}
        self.gate = asyncio.Event()
        self.fault: Exception | None = None

    async def __call__(self, keys: Sequence[int]) -> dict[int, str]:
        self.queries.append(list(keys))
        found = {key: self.kept[key] for key in keys if key in self.kept}
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return found


async def test_what_is_asked_meanwhile_is_one_question_and_sees_what_was_stored_meanwhile() -> None:
    store = Asked()
    together = Together(store)
    first = asyncio.create_task(together.answers([1, 3]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    store.kept[3] = "three"
    later = [asyncio.create_task(together.answers(keys)) for keys in ([3], [3, 2], [4])]
    await asyncio.sleep(0)
    store.gate.set()
    assert await first == {1: "one"}
    assert await asyncio.gather(*later) == [{3: "three"}, {3: "three", 2: "two"}, {}]
    assert store.queries == [[1, 3], [3, 2, 4]]


async def test_a_fault_reaches_everybody_who_asked_and_the_next_ask_anew() -> None:
    store = Asked()
    store.gate.set()
    store.fault = TimeoutError()
    together = Together(store)
    found = await asyncio.gather(together.answers([1]), together.answers([2]), return_exceptions=True)
    assert [type(one) for one in found] == [TimeoutError, TimeoutError]
    store.fault = None
    assert await together.answers([1]) == {1: "one"}


async def test_who_stops_waiting_leaves_the_others_their_answer() -> None:
    store = Asked()
    together = Together(store)
    gone, stays = asyncio.create_task(together.answers([1])), asyncio.create_task(together.answers([2]))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    store.gate.set()
    assert await stays == {2: "two"}

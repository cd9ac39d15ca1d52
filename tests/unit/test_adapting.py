"""An organisation's adapter is made anew when what it is made of changes, and closed when nobody uses it any more."""

import asyncio
from typing import Any

import pytest

from broker.delivery.adapting import HeldAdapter
from contracts.adapters import Adapter
from contracts.delivery import Delivery
from contracts.organisation import BatchPolicy, Contact, DeliveryPolicy, Organisation
from contracts.receipts import Receipt
from contracts.text import Bilingual
from tests.support.line import organisation

COUNCIL = organisation("council")


class Counted:
    """An adapter that tells whether it is closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def deliver(self, delivery: Delivery) -> Receipt:
        raise NotImplementedError(delivery.id)

    async def close(self) -> None:
        self.closed += 1


class Source:
    """Makes them, one after the other, each as slowly as a question to the store."""

    def __init__(self) -> None:
        self.made: list[Counted] = []

    async def __call__(self, _settings: Organisation) -> Adapter:
        await asyncio.sleep(0)
        self.made.append(Counted())
        return self.made[-1]

    async def closed(self) -> list[int]:
        """Return how often each was closed, by now."""
        await asyncio.sleep(0)
        return [one.closed for one in self.made]


def changed(**fields: Any) -> Organisation:
    """Return the organisation as the register gives it after a change: another object, whatever is in it."""
    return COUNCIL.model_copy(deep=True, update=fields)


@pytest.mark.parametrize(
    ("settings", "secrets", "anew"),
    [
        (changed(), b"one", False),
        (changed(name=Bilingual(cy="Arall", en="Other")), b"one", False),
        (changed(contacts=(Contact(email="a@b.example", language="cy"),)), b"one", False),
        (changed(paused=True), b"one", False),
        (changed(), b"two", True),
        (changed(adapter_settings={"endpoint": "https://other.example/"}), b"one", True),
        (changed(allowed_hosts=("other.example",)), b"one", True),
        (changed(adapter="other"), b"one", True),
        (changed(policy=DeliveryPolicy(rate=5.0)), b"one", True),
    ],
)
async def test_it_is_made_anew_only_when_what_it_is_made_of_has_changed(
    settings: Organisation, secrets: bytes, *, anew: bool
) -> None:
    source = Source()
    held = HeldAdapter(source)
    held.back(await held.taken(COUNCIL, b"one"))
    for _ in range(2):
        held.back(await held.taken(settings, secrets))
    assert len(source.made) == 1 + anew
    await held.close()
    assert [one.closed for one in source.made] == [1] * len(source.made)


async def test_a_former_one_is_closed_by_the_last_who_uses_it_however_busy_the_line_is() -> None:
    source = Source()
    held = HeldAdapter(source)
    first, second = [await held.taken(COUNCIL, b"one") for _ in range(2)]
    newer = await held.taken(COUNCIL, b"two")
    held.back(first)
    assert await source.closed() == [0, 0]
    held.back(second)
    assert await source.closed() == [1, 0]
    await held.close()
    assert await source.closed() == [1, 0], "somebody still uses it"
    held.back(newer)
    assert await source.closed() == [1, 1]


async def test_of_many_who_need_it_at_once_one_makes_it() -> None:
    source = Source()
    held = HeldAdapter(source)
    taken = await asyncio.gather(*(held.taken(COUNCIL, b"one") for _ in range(10)))
    assert len(source.made) == 1
    assert {one.adapter for one in taken} == set(source.made)


async def test_one_that_takes_no_batches_is_refused_and_closed_and_the_former_one_stays() -> None:
    source = Source()
    held = HeldAdapter(source)
    held.back(await held.taken(COUNCIL, b"one"))
    with pytest.raises(ValueError, match="takes one delivery at a time"):
        await held.taken(changed(policy=DeliveryPolicy(batch=BatchPolicy())), b"one")
    assert [one.closed for one in source.made] == [0, 1]
    held.back(await held.taken(COUNCIL, b"one"))
    assert len(source.made) == 2

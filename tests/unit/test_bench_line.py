"""The connections by which the bench tells changes: one that has ended is heard of."""

import asyncio

import pytest

from tests.load.citizens import _Line


async def test_who_asks_on_a_connection_that_has_ended_does_not_wait_for_ever() -> None:
    line = _Line()
    line.connection_made(asyncio.Transport())
    line.connection_lost(None)
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(5):
            await line.exchange(b"")

"""Pages that follow the truth hold a connection each: how many there may be, and what the others get."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from broker.identity.page_policy import STAFF
from broker.main.embedded import Sandbox
from broker.web.streaming import MOST_OF_A_SESSION, Watchers
from tests.support.guest import Guest, a_guest

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

LIVE = f"{STAFF}/live"
EVENTS = {"accept": "text/event-stream"}


@asynccontextmanager
async def watching(guest: Guest) -> AsyncIterator[aiohttp.ClientResponse]:
    async with guest.http.get(f"{guest.url}{LIVE}", headers=EVENTS) as answer:
        yield answer


async def test_a_session_has_so_many_streams_and_each_gives_its_place_back(site: Sandbox) -> None:
    async with a_guest(site.addresses.public_url) as guest, a_guest(site.addresses.public_url) as other:
        await guest.sign_in("olwen", prefix=STAFF)
        await other.sign_in("olwen", prefix=STAFF)
        async with AsyncExitStack() as streams:
            opened = [await streams.enter_async_context(watching(guest)) for _ in range(MOST_OF_A_SESSION)]
            for answer in opened:
                assert answer.content_type == "text/event-stream"
                assert await answer.content.readline() == b"retry: 3000\n"
            async with watching(guest) as full:
                assert (full.status, full.headers["retry-after"]) == (503, "30")
            async with watching(other) as another:
                assert another.status == 200, "another session has its own"
            told = await guest.get(LIVE, {"accept": "application/json"})
            assert (told.status, json.loads(told.html)["over"]) == (200, False)
        async with asyncio.timeout(20):
            while True:
                async with watching(guest) as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.05)


async def test_asking_by_itself_keeps_no_session_alive(site: Sandbox) -> None:
    async with a_guest(site.addresses.public_url) as guest:
        await guest.sign_in("olwen", prefix=STAFF)
        async with site.rooms.database.connection() as connection:
            await connection.execute("UPDATE session SET seen_at = now() - interval '14 minutes'")
            await guest.get(LIVE)
            still = "SELECT bool_and(seen_at < now() - interval '13 minutes') FROM session WHERE domain = 'staff'"
            assert await connection.fetchval(still)
            await connection.execute("UPDATE session SET seen_at = now() - interval '16 minutes'")
        assert (await guest.get(LIVE)).status == 401


async def test_there_are_so_many_in_all() -> None:
    watchers = Watchers(most=3, most_of_a_session=2)
    assert [watchers.enter(name) for name in (b"a", b"a", b"a", b"b", b"c")] == [True, True, False, True, False]
    watchers.leave(b"a")
    assert len(watchers) == 2
    assert watchers.enter(b"c")
    for name in (b"a", b"b", b"c"):
        watchers.leave(name)
    assert len(watchers) == 0

"""Pages and API in one process at the door of a provider that can misbehave: for whoever comes in from outside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx2
from starlette.types import ASGIApp

from broker.identity.page_policy import STAFF
from broker.identity.sessions import SessionRules, Sessions, citizen_rules, staff_rules
from broker.web import Door, WebParts
from broker.web.app import create_pages
from tests.support.api import Api
from tests.support.hostile import Hostile, a_place, a_way_to_providers, ours

URL: Final = "https://unwaith.example"
"""Where the pages believe to be served: over TLS, so that cookies are as in production."""
CITIZEN_COOKIE: Final = citizen_rules(secure=True).cookie


@dataclass
class Front:
    """What an outsider finds."""

    api: Api
    citizens: Hostile
    """The provider citizens sign in at."""
    staff: Hostile
    parts: WebParts
    pages: ASGIApp = field(repr=False)

    @asynccontextmanager
    async def browser(self) -> AsyncIterator["Browser"]:
        """Give somebody a browser: cookies are kept, nothing is followed."""
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.pages), base_url=URL) as http:
            yield Browser(self, http)


@dataclass
class Browser:
    front: Front
    http: httpx2.AsyncClient

    async def begins(self, *, prove: bool = False, prefix: str = "", going: str | None = None) -> dict[str, str]:
        """Go to sign in; return the query with which the provider would send the browser back."""
        provider = self.front.staff if prefix else self.front.citizens
        asked = {"prove": "1"} if prove else {}
        answer = await self.http.get(f"{prefix}/sign-in", params=asked if going is None else asked | {"next": going})
        assert answer.status_code == 303, answer.text
        return provider.asked_for(answer.headers["location"])

    async def comes_back(self, query: dict[str, str], *, prefix: str = "") -> httpx2.Response:
        return await self.http.get(f"{prefix}/signed-in", params=query)

    async def signs_in(self, *, prove: bool = False, prefix: str = "") -> httpx2.Response:
        return await self.comes_back(await self.begins(prove=prove, prefix=prefix), prefix=prefix)

    async def is_in(self) -> bool:
        """Say whether a page for citizens who are signed in is shown."""
        return (await self.http.get("/changes")).status_code == 200

    async def token(self, path: str = "/changes") -> str:
        """Return the token of this session's forms."""
        return (await self.http.get(path)).text.partition('name="csrf" value="')[2].partition('"')[0]


def parts_over(api: Api, url: str, citizens: Door, staff: Door | None) -> WebParts:
    """Return the parts of pages at `url` beside `api`."""
    return WebParts(
        public_url=url,
        database=api.parts.database,
        vault=api.parts.vault,
        directory=api.parts.directory,
        gazetteer=api.parts.gazetteer,
        intake=api.parts.intake,
        metrics=api.parts.metrics,
        citizens=citizens,
        staff=staff,
        checks=api.parts.checks,
        stop=asyncio.Event(),
        clock=api.parts.clock,
    )


@asynccontextmanager
async def a_front(api: Api) -> AsyncIterator[Front]:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(a_way_to_providers())
        citizens, staff = [(await stack.enter_async_context(a_place())).taken_by(Hostile()) for _ in range(2)]

        def door(provider: Hostile, rules: SessionRules, prefix: str) -> Door:
            return Door(
                provider=ours(provider, http, redirect_uri=f"{URL}{prefix}/signed-in"),
                sessions=Sessions(api.parts.database, prefix.encode().rjust(32, b"s"), rules),
                prefix=prefix,
            )

        parts = parts_over(
            api,
            URL,
            door(citizens, citizen_rules(secure=True), ""),
            door(staff, staff_rules(secure=True), STAFF),
        )
        yield Front(api, citizens, staff, parts, create_pages(parts))

"""Somebody at the pages without a browser: cookies of their own, forms as the pages have them, the real way to sign in."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urljoin

import aiohttp

from tests.support.said import Read, read


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    """By lower-case name; the last of each."""
    html: str

    @property
    def location(self) -> str:
        return self.headers.get("location", "")

    @property
    def page(self) -> Read:
        return read(self.html)


class Guest:
    """One person's visit. Nothing is followed: each answer is given as it came."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def ask(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        place = urljoin(self.url, path)
        async with self.http.request(method, place, data=form, headers=headers, allow_redirects=False) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            streams = found.get("content-type", "").startswith("text/event-stream")
            return Answer(answer.status, found, "" if streams else await answer.text())

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.ask("GET", path, headers=headers)

    async def go(self, path: str) -> Answer:
        """Ask for a page and follow where it leads, here and at providers."""
        answer, place = await self.get(path), urljoin(self.url, path)
        while answer.location:
            place = urljoin(place, answer.location)
            answer = await self.get(place)
        return answer

    async def fill(self, path: str, query: str = "", **fields: str) -> Answer:
        """Fill in the form of a page of ours, the one in its main part, and send it."""
        form = (await self.get(path + query)).page.forms[-1]
        return await self.ask("POST", form.action, {**form.fields, **fields})

    async def sign_in(self, person: str, *, prefix: str = "", prove: bool = False) -> None:
        """Sign in as a sample person, or step up."""
        asked = await self.get(f"{prefix}/sign-in{'?prove=1' if prove else ''}")
        page = (await self.get(asked.location)).page
        form = page.forms[-1]
        place = urljoin(asked.location, form.action)
        answer = await self.ask("POST", place, {**form.fields, "person": person, "answer": "sign-in"})
        back = await self.get(urljoin(place, answer.location))
        if back.status != 303:
            raise RuntimeError(f"{person} could not sign in: {back.status}")


@asynccontextmanager
async def a_guest(url: str, language: str = "en") -> AsyncIterator[Guest]:
    headers = {"Accept-Language": language}
    async with aiohttp.ClientSession(headers=headers, trust_env=False) as http:
        yield Guest(url, http)

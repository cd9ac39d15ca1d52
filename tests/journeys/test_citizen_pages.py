"""The citizen's pages in a real browser, against a whole sandbox: both languages, with and without JavaScript."""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from broker.language import Language, words_in
from broker.language.catalogue import LANGUAGES, sources
from broker.main.embedded import Sandbox
from tests.support.browser import Visitor, visiting
from tests.support.journey import (
    begin,
    declare,
    fill_date,
    go_on,
    new_address,
    path,
    tell,
    to_check,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

REFERENCE = re.compile(r"[0-9A-Z]{5}-[0-9A-Z]{5}-[0-9A-Z]")


class Inspector:
    """Looks at every page somebody comes to: axe, language, width, console, picture."""

    def __init__(self, v: Visitor, language: Language, mark: str = "") -> None:
        self.v = v
        self.language = language
        self.mark = mark
        self.pages: list[str] = []
        self.foreign = foreign_sentences(language)

    async def __call__(self, name: str) -> None:
        page = self.v.page
        self.pages.append(name)
        await self.v.shot(f"{self.mark}{len(self.pages):02d}-{name}-{self.language}")
        if self.v.scripts:
            assert await self.v.faults() == [], f"{name} ({self.language})"
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} is {wide} px too wide"
        assert await page.locator("html").get_attribute("lang") == self.language
        lines = {line.strip() for line in (await page.locator("body").inner_text()).splitlines()}
        assert lines & self.foreign == set(), f"{name}: in the other language"
        assert [said for said in self.v.said if "Content Security Policy" in said or "Refused" in said] == []


def foreign_sentences(language: Language) -> set[str]:
    """Return what the other language's catalogue says and this one's does not, where no value is put in."""

    def plain(one: Language) -> set[str]:
        return {
            line.split(" = ", 1)[1].strip()
            for text in sources(one).values()
            for line in text.splitlines()
            if re.match(r"[a-z].* = [^{}]+$", line)
        }

    other: Language = "en" if language == "cy" else "cy"
    return plain(other) - plain(language) - {"English", "Cymraeg"}  # what the toggle says, in its own language


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("narrow", [False, True])
async def test_a_move_is_told_and_followed(site: Sandbox, browser: Browser, language: Language, narrow: bool) -> None:
    person = {"cy": {False: "gwenno", True: "caitlin"}, "en": {False: "sian", True: "llyr"}}[language][narrow]
    async with visiting(site, browser, language=language, narrow=narrow) as v:
        seen = Inspector(v, language, "narrow-" if narrow else "")
        await begin(v, person, seen)
        await to_check(v, seen, child=True)
        await declare(v, seen)
        await seen("sent")
        reference = await v.page.inner_text(".unwaith-reference")
        assert REFERENCE.fullmatch(reference)
        assert reference not in v.page.url
        await v.page.locator("main a.govuk-button").click()
        applied = words_in(language)("status-applied")
        told = await v.page.locator("main .govuk-tag").count()
        assert told >= 2
        await expect(v.page.locator("main .govuk-tag", has_text=applied)).to_have_count(told, timeout=20_000)
        await seen("change")
        assert await v.page.locator(".govuk-summary-list__value", has_text=reference).count() == 1
        await v.go("/changes")
        await seen("changes")
        assert len(seen.pages) >= 15


@pytest.mark.parametrize("language", LANGUAGES)
async def test_it_works_without_javascript(site: Sandbox, browser: Browser, language: Language) -> None:
    async with visiting(site, browser, language=language, scripts=False) as v:
        seen = Inspector(v, language, "plain-")
        reference = await tell(v, "robin" if language == "en" else "iestyn", seen)
        assert REFERENCE.fullmatch(reference)
        await v.page.locator("main a.govuk-button").click()
        for _ in range(60):
            refresh = v.page.locator("[data-without-script] a")
            if await refresh.count() == 0:  # nothing more can happen
                break
            await asyncio.sleep(0.3)
            await refresh.click()
        green = await v.page.locator("main .govuk-tag--green").count()
        assert green == await v.page.locator("main .govuk-tag").count() >= 2

"""Looks at every page somebody comes to, in a real browser."""

from typing import Final

from broker.language import Language
from tests.support.browser import Visitor
from tests.support.said import foreign_in

PICTURES: Final = {
    ("tell", "cy"): ("who-will-be-told-cy", 1000, 1800),
    ("change", "en"): ("timeline-en", 1000, 1800),
    ("sent", "en"): ("still-to-tell-en", 1000, 1500),
    ("line-paused", "en"): ("operator", 1200, 1925),
}
"""The pictures of `docs/images`, by page and language: name, width, height. To renew them, run the journeys with a
folder in UNWAITH_TEST_SHOTS and copy them from there."""


class Inspector:
    """Axe, language, width, console, focus, picture."""

    def __init__(self, v: Visitor, language: Language, mark: str = "") -> None:
        self.v = v
        self.language = language
        self.mark = mark
        self.pages: list[str] = []

    async def __call__(self, name: str) -> None:
        page = self.v.page
        self.pages.append(name)
        await self.v.shot(f"{self.mark}{len(self.pages):02d}-{name}-{self.language}")
        if (name, self.language) in PICTURES:
            await self.v.picture(*PICTURES[name, self.language])
        if self.v.scripts:
            assert await self.v.faults() == [], f"{name} ({self.language})"
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} is {wide} px too wide"
            if await page.locator(".govuk-error-summary").count():
                focused = await page.evaluate("document.activeElement.className")
                assert "govuk-error-summary" in focused, f"{name}: whoever made an error is not led to it"
        assert await page.locator("html").get_attribute("lang") == self.language
        assert foreign_in(await page.content(), self.language) == [], f"{name}: in the other language"
        assert [said for said in self.v.said if "Content Security Policy" in said or "Refused" in said] == []

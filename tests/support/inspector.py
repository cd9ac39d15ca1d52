"""Looks at every page somebody comes to, in a real browser."""

from broker.language import Language
from tests.support.browser import Visitor
from tests.support.said import foreign_in


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

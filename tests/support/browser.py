"""A real browser for the pages: Debian's Chromium, driven by Playwright, against a whole sandbox in this process.

`site` is a running sandbox; `browser` a Chromium for the file. Tests using both run in the file's loop:
`pytestmark = pytest.mark.asyncio(loop_scope="module")`.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from broker.main.embedded import Sandbox, sandbox

AXE: Final = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
NARROW: Final = {"width": 320, "height": 800}
WIDE: Final = {"width": 1200, "height": 900}


_APT: Final = ("apt-get", "install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core")


def chromium() -> str:
    """Return where Chromium is. Skips loudly without one; in CI installs Debian's if it may, and fails otherwise."""
    found = installed()
    in_ci = os.environ.get("CI") == "true"
    if found is None and in_ci and os.geteuid() == 0:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (("apt-get", "update", "-qq"), _APT):
            subprocess.run(words, check=True, env=quiet, stdout=subprocess.DEVNULL)
        found = installed()
    if found is None:
        says = f"Chromium is missing. This installs it:  sudo {' '.join(_APT)}"
        if in_ci:
            pytest.fail(f"CI must run the pages in a browser. {says}", pytrace=False)
        pytest.skip(f"THE PAGES ARE NOT TESTED: {says}")
    return found


def installed() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """A whole sandbox on free ports: pages, providers, organisations."""
    stop = asyncio.Event()
    data = tmp_path_factory.mktemp("site")
    async with sandbox(data, first_port=None, stop=stop, defaults={"log_level": "ERROR"}) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    path = chromium()
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        await opened.close()


@dataclass
class Visitor:
    """Somebody with a browser of their own: cookies and history are theirs."""

    site: Sandbox
    context: BrowserContext
    page: Page
    scripts: bool
    shots: Path | None
    said: list[str]
    """What the console said: a blocked style or script among it."""

    @property
    def url(self) -> str:
        return self.site.addresses.public_url

    async def go(self, path: str) -> Any:
        return await self.page.goto(self.url + path)

    async def sign_in(self, person: str = "sian", *, path: str = "/sign-in", query: str = "") -> None:
        """Sign in as a sample person (`path="/staff/sign-in"` for staff), or step up with `query="?prove=1"`."""
        await self.go(path + query)
        await self.choose(person)

    async def choose(self, person: str) -> None:
        """Choose who to be on the provider's page."""
        await self.page.check(f"input[value={person}]")
        await self.page.click("button[value=sign-in]")
        await self.page.wait_for_load_state()

    async def press(self, words: str) -> None:
        """Press the button or link that says exactly this."""
        await self.page.locator(f"main >> :is(a, button):text-is('{words}')").first.click()
        await self.page.wait_for_load_state()

    async def faults(self) -> list[str]:
        """Return axe's violations on the page as it stands, WCAG 2.2 AA and best practice."""
        await self.page.evaluate(AXE)
        found = await self.page.evaluate(
            "async () => (await axe.run()).violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' '))"
        )
        return list(found)

    async def shot(self, name: str) -> None:
        """Take a picture into the folder of UNWAITH_TEST_SHOTS, if one was given."""
        if self.shots is not None:
            self.shots.mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=self.shots / f"{name}.png", full_page=True)

    async def picture(self, name: str, width: int, height: int) -> None:
        """Take a picture of this size, as somebody sees it who has just come to the page, into the same folder."""
        if self.shots is not None:
            before = self.page.viewport_size
            await self.page.set_viewport_size({"width": width, "height": height})
            await self.page.screenshot(path=self.shots / f"{name}.png")
            if before is not None:
                await self.page.set_viewport_size(before)


@asynccontextmanager
async def visiting(
    site: Sandbox, browser: Browser, *, language: str = "en", scripts: bool = True, narrow: bool = False
) -> AsyncIterator[Visitor]:
    """Give somebody a browser: `narrow` is 320 px wide, without `scripts` JavaScript is off."""
    context = await browser.new_context(
        viewport=NARROW if narrow else WIDE,  # type: ignore[arg-type]  # a TypedDict of theirs
        java_script_enabled=scripts,
        extra_http_headers={"Accept-Language": language},
    )
    page = await context.new_page()
    page.set_default_timeout(30_000)
    folder = os.environ.get("UNWAITH_TEST_SHOTS")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    try:
        yield Visitor(site, context, page, scripts, Path(folder) if folder else None, said)
    finally:
        await context.close()

"""The citizen's journey, step by step, by the ids of fields: the same in both languages."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, timedelta

from broker.cli.demo import ENDS
from contracts.statuses import Status
from tests.support.browser import Visitor

GO_ON = "main form button.govuk-button:not(.govuk-button--secondary)"
MOVED = date.today() - timedelta(days=3)  # noqa: DTZ011  the day before a test runs is never in the future

Seen = Callable[[str], Awaitable[None]]


async def nothing(_name: str) -> None:
    return None


async def go_on(v: Visitor) -> None:
    await v.page.locator(GO_ON).last.click()
    await v.page.wait_for_load_state()


async def begin(v: Visitor, person: str = "sian", seen: Seen = nothing) -> None:
    """From the start page to a proven identity, at the postcode of the new address."""
    await v.go("/")
    await seen("start")
    await v.page.locator("a.govuk-button--start").click()
    await v.choose(person)
    await seen("kind")
    await v.page.check("#kind")
    await go_on(v)
    await seen("identity")
    await v.page.locator("main a.govuk-button").click()
    await v.choose(person)


async def new_address(v: Visitor, seen: Seen = nothing, postcode: str = "sa999aa") -> None:
    await seen("postcode")
    await v.page.fill("#postcode", postcode)
    await go_on(v)
    await seen("choose")
    await v.page.locator("input[name=uprn]").nth(1).check()
    await go_on(v)


async def to_check(v: Visitor, seen: Seen = nothing, *, email: bool = True, child: bool = False) -> None:
    """From the postcode of the new address to the page where answers are checked."""
    await new_address(v, seen)
    await seen("suggested")
    await v.page.check("#suggested")
    await go_on(v)
    await seen("date")
    await fill_date(v, "date", MOVED)
    await go_on(v)
    await seen("children")
    if child:
        await add_child(v, seen)
    else:
        await v.page.check("#moved-2")
        await go_on(v)
    await seen("private")
    await v.page.check("#private-2")
    await go_on(v)
    await seen("contact")
    await v.page.check("#by" if email else "#by-2")
    await go_on(v)
    await seen("tell")
    await go_on(v)
    await seen("check")


async def add_child(v: Visitor, seen: Seen = nothing) -> None:
    await v.page.check("#moved")
    await go_on(v)
    await seen("child")
    await v.page.fill("#given", "Eirlys")
    await v.page.fill("#family", "Pen-y-dŵr")
    await fill_date(v, "born", date(2015, 5, 4))
    await go_on(v)
    await seen("children-list")
    await v.page.check("#more-2")
    await go_on(v)


async def fill_date(v: Visitor, name: str, day: date) -> None:
    for part, value in (("day", day.day), ("month", day.month), ("year", day.year)):
        await v.page.fill(f"#{name}-{part}", str(value))


async def declare(v: Visitor, seen: Seen = nothing) -> None:
    await v.page.locator("main a.govuk-button").click()
    await v.page.wait_for_load_state()
    await seen("declaration")
    await go_on(v)


async def tell(v: Visitor, person: str = "sian", seen: Seen = nothing) -> str:
    """Tell a whole move and return its reference."""
    await begin(v, person, seen)
    await to_check(v, seen)
    await declare(v, seen)
    await seen("sent")
    return str(await v.page.inner_text(".unwaith-reference"))


async def as_far_as_it_goes(v: Visitor) -> int:
    """Wait until each organisation on a change's page is where it ends, and return how many there are.

    That is updated, or received where the way there has no later answer. Without scripts the page is asked for anew.
    """
    shown = await v.page.inner_text("main")
    organisations = v.site.rooms.directory.organisations().values()
    there = [one for one in organisations if one.name.en in shown or one.name.cy in shown]
    updated = sum(Status.RECEIVED not in ENDS[one.adapter] for one in there)
    async with asyncio.timeout(30):
        while True:
            green, blue = [await v.page.locator(f"main .govuk-tag--{one}").count() for one in ("green", "blue")]
            if green >= updated and green + blue == len(there):
                break
            if not v.scripts:
                await v.page.reload()
            await asyncio.sleep(0.1)
    assert await v.page.locator("main .govuk-tag").count() == len(there)
    return len(there)


async def path(v: Visitor) -> str:
    return v.page.url.removeprefix(v.url)

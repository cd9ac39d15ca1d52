"""What is not a move, told on pages: each journey without a browser in both languages, and once in a real one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import pytest
from playwright.async_api import Browser

from broker.language import Language, words_in
from broker.language.catalogue import LANGUAGES
from broker.main.embedded import Sandbox
from broker.web.app import JOURNEYS
from broker.web.changed.contact import read_phone
from tests.journeys.test_every_page import judged, looked_at, parts, sent_empty
from tests.support.browser import Visitor, visiting
from tests.support.guest import Guest, a_guest
from tests.support.inspector import Inspector
from tests.support.journey import go_on

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

DAY: Final = date.today() - timedelta(days=3)  # noqa: DTZ011  the day before a test runs is never in the future
LATE: Final = date.today() - timedelta(days=9)  # noqa: DTZ011  likewise
SPECIAL: Final = "/change/newFormats"


@dataclass(frozen=True)
class Asked:
    """One page of a journey: where it is and what somebody fills in."""

    path: str
    fields: Mapping[str, str]


HOME: Final = (
    Asked("home/postcode", {"postcode": "CF99 9AA"}),
    Asked("home/choose", {"uprn": "first"}),
)
ANSWERS: Final[Mapping[str, tuple[Asked, ...]]] = {
    "name": (
        Asked("new", {"title": "Dr", "given": "Siân", "family": "Pen-y-dŵr"}),
        Asked("reason", {"reason": "marriage"}),
        Asked("evidence", {"evidence": "WC 12/2026"}),
        Asked("home", {"suggested": "no"}),
        *HOME,
        Asked("date", parts("date", DAY)),
    ),
    "contact": (
        Asked("what", {"what": "home-phone"}),
        Asked("previous", {"value": "029 2018 0000"}),
        Asked("new", {"value": "(01792) 18 00 00"}),
        Asked("home", {"suggested": "no"}),
        *HOME,
        Asked("date", parts("date", DAY)),
    ),
    "language": (
        Asked("speech", {"speech": "cy"}),
        Asked("formats", {"formats": "large-print"}),
        Asked("home", {"suggested": "no"}),
        *HOME,
        Asked("date", parts("date", DAY)),
    ),
    "bereavement": (
        Asked("person", {"given": "Nia", "family": "Llŷr", **parts("born", date(1931, 4, 5))}),
        Asked("died", {**parts("date", LATE), "date-day": ""}),
        Asked("registration", {"reference": "BXCD 123456", "district": "", **parts("date", LATE + timedelta(days=2))}),
        Asked("informant", {"informant": "child"}),
        *HOME,
    ),
}
ROOTS: Final = {journey.type: journey.root for journey in JOURNEYS}
SAID: Final = {
    "name": ["Siân Pen-y-dŵr", "WC 12/2026"],
    "contact": ["+442920180000", "+441792180000"],
    "language": ["CF99 9AA"],
    "bereavement": ["Nia Llŷr", "BXCD 123456"],
}
"""What stands on the change's own page of what was filled in."""
HELD: Final = {"name": "held-needs-person", "bereavement": "held-awaits-registrar"}


async def told_before(guest: Guest) -> int:
    return len(set(re.findall(r'href="/changes/(\d+)"', (await guest.get("/changes")).html)))


async def filled(guest: Guest, root: str, asked: Asked) -> str:
    fields = dict(asked.fields)
    if fields.get("uprn") == "first":
        fields["uprn"] = re.findall(r'name="uprn"[^>]*value="(\d+)"', (await guest.get(f"{root}/{asked.path}")).html)[1]
    return (await guest.fill(f"{root}/{asked.path}", **fields)).location


async def begun(guest: Guest, person: str, change_type: str) -> None:
    await guest.sign_in(person)
    await guest.fill("/change", kind=change_type)
    await guest.sign_in(person, prove=True)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("change_type", list(ANSWERS))
async def test_it_is_told_question_by_question_in_either_language(
    site: Sandbox, change_type: str, language: Language
) -> None:
    """Every page in its language with every error of an empty form; what is sent is what was shown and filled in."""
    root, words = ROOTS[change_type], words_in(language)
    titles: dict[str, str] = {}
    async with a_guest(site.addresses.public_url, language) as guest:
        await begun(guest, "gwenno", change_type)
        before = await told_before(guest)
        assert (await guest.get(f"{root}/check")).location == f"{root}/{ANSWERS[change_type][0].path}"
        for asked in ANSWERS[change_type]:
            path = f"{root}/{asked.path}"
            await looked_at(guest, language, path, titles)
            if path not in {"/reach/previous", "/language/formats"}:  # which may be left empty
                await sent_empty(guest, language, path)
            location = await filled(guest, root, asked)
            assert location.startswith(root)
            assert [value for value in asked.fields.values() if len(value) > 3 and value in location] == []
        await looked_at(guest, language, f"{root}/contact", titles)
        await guest.fill(f"{root}/contact", language=language, by="none")
        shown = await guest.get(f"{root}/tell")
        judged(shown, language, f"{root}/tell")
        assert {"name": words("tell-waits-person"), "bereavement": words("tell-waits-registrar")}.get(
            change_type, ""
        ) in shown.html
        assert words("untold-before-title") in shown.html
        assert (await guest.fill(f"{root}/tell", tell="cardiff-council")).location == f"{root}/check"
        await looked_at(guest, language, f"{root}/check", titles)
        await looked_at(guest, language, f"{root}/declaration", titles)
        sent = (await guest.fill(f"{root}/declaration")).location
        assert sent == f"/changes/{before + 1}/sent"
        for path in (sent, sent.removesuffix("/sent"), "/changes"):
            await looked_at(guest, language, path, titles)
        followed = (await guest.get(sent.removesuffix("/sent"))).html
        assert [value for value in SAID[change_type] if value not in followed] == []
        page = (await guest.get(sent)).html
        assert (words("sent-kept-title") in page) == (change_type in HELD)
        if change_type in HELD:
            assert words(HELD[change_type]) in page
        assert (await guest.get(f"{root}/check")).location == "/change", "the answers are gone once they are sent"
    assert len(set(titles.values())) == len(titles), "each page has a title of its own"


async def test_what_says_something_of_health_goes_only_where_its_agreement_names_it(site: Sandbox) -> None:
    words = words_in("en")
    async with a_guest(site.addresses.public_url) as guest:
        await begun(guest, "llyr", "language")
        for asked in ANSWERS["language"]:
            await filled(guest, "/language", asked)
        await guest.fill("/language/contact", language="en", by="none")
        cards = (await guest.get("/language/tell")).html.split('<div class="govuk-summary-card">')[1:]
    said = words("tell-care-special", label=words("field-new-formats"))
    agreed = [one for one in site.rooms.directory.agreements() if one.change_type == "language"]
    named = {
        words.of(site.rooms.directory.organisations()[one.organisation].name)
        for one in agreed
        if any(SPECIAL in share.paths for share in one.shares)
    }
    for card in cards:
        title = re.sub(r"<[^>]+>", "", card.partition("</h2>")[0]).strip()
        assert (words("format-large-print") in card, said in card) == (title in named, title in named), title
    assert {said in card for card in cards} == {True, False}, "one agreement at least does not name it"


async def test_another_journey_begins_without_the_answers_of_the_one_before(site: Sandbox) -> None:
    async with a_guest(site.addresses.public_url) as guest:
        await begun(guest, "llyr", "name")
        await filled(guest, "/name", ANSWERS["name"][0])
        await guest.fill("/change", kind="other")
        await guest.fill("/change", kind="name")
        assert "Pen-y-dŵr" in (await guest.get("/name/new")).html, "the same one goes on"
        await guest.fill("/change", kind="contact")
        for path in ("/name/new", "/name/check", "/name/tell", "/move/date", "/bereavement/died"):
            assert (await guest.get(path)).location == "/change", path
        csrf = (await guest.get("/reach/what")).page.forms[-1].fields["csrf"]
        answer = await guest.ask("POST", "/name/new", {"csrf": csrf, "given": "Nobody"})
        assert answer.location == "/change", "and takes no answers of another"
        await guest.fill("/change", kind="name")
        assert "Pen-y-dŵr" not in (await guest.get("/name/new")).html


@pytest.mark.parametrize(
    ("change_type", "upto", "wrong", "message"),
    [
        ("name", 0, {"given": "", "family": ""}, "name-missing"),
        ("name", 0, {"given": "x" * 101}, "text-too-long"),
        ("name", 2, {"evidence": "WC_12"}, "number-wrong"),
        ("contact", 1, {"value": "12"}, "reach-phone-wrong"),
        ("contact", 2, {"value": "029-2018 0000"}, "reach-same"),
        ("contact", 2, {"value": "+44 (0) 29"}, "reach-phone-wrong"),
        ("language", 1, {"formats": "standard"}, None),
        ("bereavement", 0, {"given": "Nia", **parts("born", date(2199, 1, 1))}, "late-born-ahead"),
        ("bereavement", 1, parts("date", date(2199, 1, 1)), "late-died-ahead"),
        ("bereavement", 1, parts("date", date(1930, 1, 1)), "late-died-before-born"),
        ("bereavement", 1, {"date-day": "", "date-month": "2", "date-year": ""}, "date-year-missing"),
        ("bereavement", 2, {"reference": "B 1", **parts("date", date(1999, 1, 1))}, "late-registered-before"),
    ],
)
async def test_an_answer_that_cannot_be_is_put_right_where_it_was_given(
    site: Sandbox, change_type: str, upto: int, wrong: Mapping[str, str], message: str | None
) -> None:
    root, words = ROOTS[change_type], words_in("en")
    async with a_guest(site.addresses.public_url) as guest:
        await begun(guest, "angharad", change_type)
        for asked in ANSWERS[change_type][:upto]:
            await filled(guest, root, asked)
        asked = ANSWERS[change_type][upto]
        location = await filled(guest, root, Asked(asked.path, {**asked.fields, **wrong}))
        if message is None:
            assert "again" not in location
            return
        assert location == f"{root}/{asked.path}?again=1"
        again = await guest.get(location)
        judged(again, "en", location)
        assert words(message) in again.html


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("029 2018 0000", "+442920180000"),
        ("(01792) 180-000", "+441792180000"),
        ("00353 1 234 5678", "+35312345678"),
        ("+353 1.234.5678", "+35312345678"),
        ("+44 (0)29 2018 0000", "+442920180000"),
        ("0044 (0) 29 2018 0000", "+442920180000"),
    ],
)
async def test_telephone_numbers_are_read_as_people_write_them(said: str, read: str) -> None:
    assert read_phone(said) == read


@pytest.mark.parametrize(
    ("change_type", "language", "person"),
    [
        ("name", "cy", "caitlin"),
        ("contact", "en", "robin"),
        ("language", "cy", "iestyn"),
        ("bereavement", "en", "sian"),
    ],
)
async def test_it_is_told_in_a_real_browser(
    site: Sandbox, browser: Browser, change_type: str, language: Language, person: str
) -> None:
    """Each page looked at with axe, at 320 pixels; from the question what has changed to the change's own page."""
    root = ROOTS[change_type]
    async with visiting(site, browser, language=language, narrow=True) as v:
        look = Inspector(v, language)

        async def seen(name: str) -> None:
            await look(f"{change_type}-{name}")  # a move's pictures have the plain names

        await v.sign_in(person, query="?next=/change")
        await seen("kind")
        await v.page.check(f"input[name=kind][value={change_type}]")
        await go_on(v)
        await v.page.locator("main a.govuk-button").click()
        await v.choose(person)
        for asked in ANSWERS[change_type]:
            await v.page.wait_for_url(re.compile(f"{root}/{asked.path}$"))
            await fill(v, asked)
            await seen(asked.path.replace("/", "-"))
            await go_on(v)
        await v.page.check("#by")
        await seen("contact")
        for name in ("tell", "check", "declaration", "sent"):
            await (v.page.locator("main a.govuk-button").click() if name == "declaration" else go_on(v))
            await v.page.wait_for_url(re.compile(f"{root}/{name}$|/changes/[0-9]+/sent$"))
            await seen(name)
        await v.page.locator("main a.govuk-button").click()
        await seen("change")
        for value in SAID[change_type]:
            assert value in await v.page.inner_text("main")


async def fill(v: Visitor, asked: Asked) -> None:
    """Fill in what is asked, as somebody with a keyboard and a pointer does."""
    for name, value in asked.fields.items():
        if name == "uprn":
            await v.page.locator("input[name=uprn]").nth(1).check()
        elif await v.page.locator(f"input[name={name}][value='{value}']:is([type=radio], [type=checkbox])").count():
            await v.page.check(f"input[name={name}][value='{value}']")
        else:
            await v.page.fill(f"[name={name}]", value)

"""The citizen's pages in a real browser, against a whole sandbox: both languages, with and without JavaScript."""

import asyncio
import re
from datetime import date, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from broker.language import Language, words_in
from broker.language.catalogue import LANGUAGES
from broker.main.embedded import Sandbox
from broker.web import following
from tests.support.browser import Visitor, visiting
from tests.support.inspector import Inspector
from tests.support.journey import (
    MOVED,
    as_far_as_it_goes,
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

STATIC = Path(__file__).parents[2] / "broker" / "web" / "static"
REFERENCE = re.compile(r"[0-9A-Z]{5}-[0-9A-Z]{5}-[0-9A-Z]")


@pytest.mark.parametrize(("language", "narrow"), [("cy", True), ("en", False)])
async def test_a_move_is_told_and_followed(site: Sandbox, browser: Browser, language: Language, narrow: bool) -> None:
    person = {"cy": "caitlin", "en": "sian"}[language]
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
        assert await as_far_as_it_goes(v) >= 3
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
        await v.page.get_by_role("link", name=words_in(language)("timeline-refresh"), exact=True).click()
        assert await as_far_as_it_goes(v) >= 3


@pytest.mark.parametrize("language", LANGUAGES)
async def test_errors_say_what_to_do_and_survive_a_switch_of_language(  # noqa: PLR0915  one journey, all its errors
    site: Sandbox, browser: Browser, language: Language
) -> None:
    async with visiting(site, browser, language=language) as v:
        seen = Inspector(v, language, "wrong-")

        async def wrong(name: str, *messages: str) -> None:
            """Expect these errors: in the summary, with links to the fields, and in the title."""
            await go_on(v)
            if name not in messages:
                await seen(name)
            words = words_in(language)
            assert await v.page.locator(".govuk-error-summary__list a").all_inner_texts() == [
                words(message) for message in messages
            ]
            assert (await v.page.title()).startswith(words("error-prefix"))
            for link in await v.page.locator(".govuk-error-summary__list a").all():
                target = await link.get_attribute("href")
                assert target
                assert await v.page.locator(target).count() == 1, target

        await v.sign_in("angharad", query="?next=/change")
        await wrong("kind", "kind-missing")
        await v.page.check("#kind")
        await go_on(v)
        await v.page.locator("main a.govuk-button").click()
        await v.choose("angharad")
        await wrong("postcode", "postcode-missing")
        await v.page.fill("#postcode", "SA9")
        await wrong("postcode-wrong", "postcode-wrong")
        assert await v.page.input_value("#postcode") == "SA9"
        await v.page.fill("#postcode", "SA1 1AA")
        await wrong("postcode-unknown", "postcode-unknown")
        # the other language keeps the page, what was filled in, and the error
        other = words_in(language).other
        await v.page.locator(f"a[hreflang={other}]").last.click()
        assert await v.page.input_value("#postcode") == "SA1 1AA"
        assert words_in(other)("postcode-unknown") in await v.page.inner_text(".govuk-error-summary")
        await v.page.locator(f"a[hreflang={language}]").last.click()
        await v.page.locator("main p a").last.click()
        await v.page.fill("#postcode", "")
        await wrong("type", "type-building-missing", "type-town-missing", "postcode-missing")
        for field, value in (("building", "7"), ("town", "Abertawe"), ("postcode", "SA99 9AA"), ("street", "x" * 101)):
            await v.page.fill(f"#{field}", value)
        await wrong("type-long", "text-too-long")
        await v.page.fill("#street", "Stryd y Morwellt \u202e")
        await wrong("type-strange", "text-not-allowed")
        await v.go("/move/new/postcode")
        await new_address(v)
        await wrong("suggested", "suggested-missing")
        await v.page.check("#suggested-2")
        await go_on(v)
        await v.page.fill("#postcode", "sa99 9aa")
        await go_on(v)
        await wrong("choose", "choose-missing")
        await v.page.locator("input[name=uprn]").nth(1).check()
        await wrong("same", "address-same")
        await v.page.locator("input[name=uprn]").nth(2).check()
        await go_on(v)
        await wrong("date", "date-missing")
        for day, message in (
            (("31", "2", "2026"), "date-unreal"),
            (("1", "2", "26"), "date-unreal"),
            (("1", "2", "1999"), "date-too-long-ago"),
            (("1", "2", "2200"), "date-too-far"),
            (("1", "", "2026"), "date-month-missing"),
        ):
            for part, value in zip(("day", "month", "year"), day, strict=True):
                await v.page.fill(f"#date-{part}", value)
            await wrong(message, message)
        await fill_date(v, "date", MOVED)
        await go_on(v)
        await wrong("children", "children-missing")
        await v.page.check("#moved")
        await go_on(v)
        await wrong("child", "child-name-missing", "date-missing")
        await v.page.fill("#given", "Siôn")
        await fill_date(v, "born", MOVED.replace(year=MOVED.year - 18))
        await wrong("child-adult", "child-adult")
        await fill_date(v, "born", MOVED.replace(year=MOVED.year + 1))
        await wrong("child-later", "child-born-later")
        await fill_date(v, "born", MOVED.replace(year=MOVED.year - 3))
        await go_on(v)
        await wrong("children-list", "children-more-missing")
        await v.page.check("#more-2")
        await go_on(v)
        await wrong("private", "private-missing")
        await v.page.check("#private")
        await go_on(v)
        await seen("private-person")
        await v.go("/move/tell")
        assert await path(v) == "/move/new/postcode", "what must be kept private is not kept here"
        await new_address(v)
        assert await path(v) == "/move/previous"
        await v.go("/move/tell")
        assert await path(v) == "/move/private", "nothing goes on while it must be kept private"
        await v.page.check("#private-2")
        await go_on(v)
        await wrong("contact", "contact-by-missing")


async def test_change_links_keep_every_answer(site: Sandbox, browser: Browser) -> None:
    async with visiting(site, browser) as v:
        await begin(v, "sian")
        await to_check(v, child=True)
        rows = await v.page.locator(".govuk-summary-list__value").all_inner_texts()
        links = [await link.get_attribute("href") for link in await v.page.locator("dd a").all()]
        assert len(links) == 8
        for link in links:
            await v.go(str(link))
            for _ in range(4):  # some answers take more than one page
                if await path(v) == "/move/check":
                    break
                if "/children/list" in v.page.url:
                    await v.page.check("#more-2")
                await go_on(v)
            assert await path(v) == "/move/check", link
            assert await v.page.locator(".govuk-summary-list__value").all_inner_texts() == rows, link
        # an answer that alters who is told leads past that page before it can be sent
        await v.go("/move/new/postcode?from=check")
        await v.page.fill("#postcode", "LD99 9AA")
        await go_on(v)
        await v.page.locator("input[name=uprn]").first.check()
        await go_on(v)
        assert await path(v) == "/move/tell?from=check"
        assert "Swansea" not in await v.page.inner_text("main")
        await v.go("/move/declaration")
        await v.page.go_back()
        await go_on(v)
        assert await path(v) == "/move/check"


async def test_an_organisation_can_be_left_out(site: Sandbox, browser: Browser) -> None:
    async with visiting(site, browser) as v:
        await begin(v, "llyr")
        await to_check(v)
        await v.go("/move/tell")
        await v.page.uncheck("input[name=tell][value=transport-for-wales]")
        await go_on(v)
        assert "Transport for Wales" not in await v.page.inner_text("main")
        await declare(v)
        await v.page.locator("main a.govuk-button").click()
        assert "Transport for Wales" not in await v.page.inner_text("main")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_sent_twice_is_one_change(site: Sandbox, browser: Browser, language: Language) -> None:
    async with visiting(site, browser, language=language, scripts=False) as v:
        await begin(v, "angharad")
        before = await changes_told(v)
        await v.go("/move/new/postcode")
        await to_check(v)
        await v.page.locator("main a.govuk-button").click()
        form: dict[str, str | float | bool] = {
            str(await field.get_attribute("name")): await field.input_value()
            for field in await v.page.locator("main form input").all()
        }
        both = await asyncio.gather(
            *(v.context.request.post(f"{v.url}/move/declaration", form=form, max_redirects=0) for _ in range(4))
        )
        assert {answer.status for answer in both} == {303}
        sent = f"/changes/{before + 1}/sent"
        assert {answer.headers["location"] for answer in both} == {sent}
        await go_on(v)  # and once more from the page itself
        assert await path(v) == sent
        late = await v.context.request.post(f"{v.url}/move/declaration", form=form, max_redirects=0)
        assert late.headers["location"] == sent
        await v.page.go_back()
        assert await path(v) == "/change", "nothing is left to be sent again"
        assert await changes_told(v) == before + 1
        await v.go("/move/check")
        assert await path(v) == "/change", "the answers are gone once they are sent"


async def changes_told(v: Visitor) -> int:
    await v.go("/changes")
    return await v.page.locator(".govuk-summary-card").count()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_two_tabs_send_what_was_seen(site: Sandbox, browser: Browser, language: Language) -> None:
    words = words_in(language)
    async with visiting(site, browser, language=language) as v:
        await begin(v, "iestyn")
        before = await changes_told(v)
        await v.go("/move/new/postcode")
        await to_check(v)
        await v.page.locator("main a.govuk-button").click()
        other = await v.context.new_page()
        await other.goto(f"{v.url}/move/date?from=check")
        await other.fill("#date-day", "1")
        await other.locator("main form button").last.click()
        await other.wait_for_load_state()
        await go_on(v)
        assert await path(v) == "/move/tell?from=check", "it was shown with another date"
        assert words("tell-changed") in await v.page.inner_text("main")
        await go_on(v)
        await v.page.locator("main a.govuk-button").click()
        await other.goto(f"{v.url}/move/contact?from=check")
        await other.check("#by-2")
        await other.locator("main form button").last.click()
        await other.wait_for_load_state()
        await go_on(v)
        assert await path(v) == "/move/check?changed=1"
        assert words("check-changed") in await v.page.inner_text("main")
        assert await changes_told(v) == before


async def test_nobody_unproven_gets_past_the_step_up(site: Sandbox, browser: Browser) -> None:
    async with visiting(site, browser) as v:
        seen = Inspector(v, "en", "unproven-")
        await v.sign_in("dafydd", query="?next=/change")
        await v.page.check("input[name=kind][value=other]")
        await go_on(v)
        await seen("other")
        await v.go("/move/new/postcode")
        assert await path(v) == "/change"
        await v.page.check("#kind")
        await go_on(v)
        await v.page.locator("main a.govuk-button").click()
        await v.choose("dafydd")
        assert await path(v) == "/identity-not-proven"
        await seen("not-proven")
        for place in ("/move/tell", "/move/check", "/move/declaration"):
            await v.go(place)
            assert await path(v) == "/identity"


async def test_a_new_name_at_login_and_at_step_up(site: Sandbox, browser: Browser) -> None:
    async def name() -> str | None:
        found = {str(one.get("name")): str(one.get("value")) for one in await v.context.cookies()}
        return found.get("unwaith-citizen")

    async with visiting(site, browser) as v:
        await v.context.add_cookies([{"name": "unwaith-citizen", "value": "fixed-by-somebody", "url": v.url}])
        await v.sign_in("sian")
        first = await name()
        assert first not in {None, "fixed-by-somebody"}
        await v.sign_in("sian", query="?prove=1")
        second = await name()
        assert second != first
        await v.context.add_cookies([{"name": "unwaith-citizen", "value": str(first), "url": v.url}])
        await v.go("/changes")
        assert await path(v) == "/session-ended?next=%2Fchanges", "the old name opens nothing"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_expired_session_keeps_nothing_and_says_so(
    site: Sandbox, browser: Browser, language: Language
) -> None:
    async with visiting(site, browser, language=language) as v:
        seen = Inspector(v, language, "expired-")
        await begin(v, "gwenno")
        await new_address(v)
        async with site.rooms.database.connection() as connection:
            await connection.execute("UPDATE unwaith.session SET seen_at = now() - interval '31 minutes'")
        await v.go("/move/date")
        assert await path(v) == "/session-ended?next=%2Fmove%2Fdate"
        await seen("session-ended")
        await v.page.locator("main a.govuk-button").click()
        await v.choose("gwenno")
        async with site.rooms.database.connection() as connection:
            old = "SELECT count(*) FROM unwaith.session WHERE seen_at < now() - interval '30 minutes'"
            assert await connection.fetchval(old) == 0, "what has ended is removed, whosever it was"
        assert await path(v) == "/change", "signed in anew, with no answers"


async def test_the_end_of_a_session_is_announced_and_can_be_put_off(site: Sandbox, browser: Browser) -> None:
    async def store(statement: str) -> None:
        async with site.rooms.database.connection() as connection:
            await connection.execute(f"UPDATE unwaith.session SET {statement}")

    async with visiting(site, browser, language="cy") as v:
        await v.page.clock.install()
        await v.sign_in("gwenno", query="?next=/changes")
        warning = v.page.locator("[data-session-warning]")
        await expect(warning).to_be_hidden()
        await store("seen_at = now() - interval '26 minutes'")
        for _ in range(2):
            answer = await v.context.request.get(f"{v.url}/session/left")
            assert 200 < (await answer.json())["left"] < 241, "asking does not prolong it"
        await v.page.clock.fast_forward("25:30")
        await expect(warning).to_be_visible()
        assert await v.faults() == []
        await v.shot("warning-cy")
        async with v.page.expect_response(lambda answer: answer.request.method == "POST"):
            await warning.locator("button").click()
        await expect(warning).to_be_hidden()
        answer = await v.context.request.get(f"{v.url}/session/left")
        assert (await answer.json())["left"] > 1700
        # at the very end nothing puts it off, and that is said
        await store("ends_at = now() + interval '4 minutes'")
        await v.go("/changes")
        await expect(warning).to_be_visible()
        assert await warning.locator("button").count() == 0
        assert await v.faults() == []
        await store("ends_at = now()")
        await v.page.clock.fast_forward("00:16")
        await v.page.wait_for_url("**/session-ended")


async def test_language_and_place_are_kept_through_the_provider_and_the_step_up(
    site: Sandbox, browser: Browser
) -> None:
    """The browser asks for English; Welsh was chosen by the link, on a page before anybody signed in."""
    async with visiting(site, browser, language="en") as v:

        async def speaks() -> str | None:
            return await v.page.locator("html").get_attribute("lang")

        await v.go("/cookies")
        assert await speaks() == "en"
        await v.page.get_by_role("link", name="Cymraeg", exact=True).click()
        await v.page.wait_for_load_state()
        await v.go("/changes")
        assert v.page.url.startswith(site.addresses.issuer)
        assert await speaks() == "cy", "the provider was told"
        await v.choose("brychan")
        assert (await path(v), await speaks()) == ("/changes", "cy")
        await v.go("/sign-in?prove=1&next=/change")
        assert (v.page.url.startswith(site.addresses.issuer), await speaks()) == (True, "cy")
        await v.choose("brychan")
        assert (await path(v), await speaks()) == ("/change", "cy")


async def test_putting_off_the_end_of_a_session_loses_nothing_that_was_typed(site: Sandbox, browser: Browser) -> None:
    async with visiting(site, browser) as v:
        await v.page.clock.install()
        await begin(v, "caitlin")
        await v.page.fill("#postcode", "SA99 9")
        async with site.rooms.database.connection() as connection:
            await connection.execute("UPDATE unwaith.session SET seen_at = now() - interval '26 minutes'")
        await v.page.clock.fast_forward("25:30")
        warning = v.page.locator("[data-session-warning]")
        await expect(warning).to_be_visible()
        async with v.page.expect_response(lambda answer: answer.request.method == "POST"):
            await warning.locator("button").click()
        await expect(warning).to_be_hidden()
        assert await v.page.input_value("#postcode") == "SA99 9"
        await v.page.fill("#postcode", "SA99 9AA")
        await go_on(v)
        assert await path(v) == "/move/new/choose", "and goes on from there"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_nothing_private_is_left_after_signing_out(site: Sandbox, browser: Browser, language: Language) -> None:
    async with visiting(site, browser, language=language) as v:
        seen = Inspector(v, language, "out-")
        reference = await tell(v, "gwenno")
        await v.page.locator("main a.govuk-button").click()
        held = [one for one in await v.context.cookies() if one.get("name") == "unwaith-citizen"]
        await v.page.locator("nav form button").last.click()
        await v.page.wait_for_url("**/signed-out")
        await seen("signed-out")
        await v.page.go_back()
        await v.page.wait_for_load_state()
        assert reference not in await v.page.content()
        await v.go("/changes/1")
        assert reference not in await v.page.content()
        # whoever kept the cookie has nothing in hand
        await v.context.add_cookies([{"name": "unwaith-citizen", "value": str(held[0].get("value")), "url": v.url}])
        await v.go("/changes/1")
        assert "/session-ended" in v.page.url


async def tell_ahead(v: Visitor, person: str) -> None:
    """Tell a move of the next month and go to its page: it waits, and nothing on the page is over."""
    await begin(v, person)
    await to_check(v, email=False)
    await v.go("/move/date?from=check")
    await fill_date(v, "date", date.today() + timedelta(days=30))  # noqa: DTZ011  well ahead, in any zone
    await go_on(v)
    if "/move/tell" in v.page.url:
        await go_on(v)
    await declare(v)
    await v.page.locator("main a.govuk-button").click()


async def test_without_javascript_the_latest_is_shown_by_itself_to_whoever_asks(
    site: Sandbox, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOADED_EVERY", 1)
    async with visiting(site, browser, scripts=False) as v:
        await tell_ahead(v, "brychan")
        asked = v.page.locator("[data-without-script] a").last
        assert await v.page.locator("meta[http-equiv=refresh]").count() == 0, "nobody has asked for it yet"
        await asked.click()
        await v.page.wait_for_url("**/following")
        loads: list[str] = []
        v.page.on("load", lambda page: loads.append(page.url))
        async with asyncio.timeout(30):
            while len(loads) < 2:
                await asyncio.sleep(0.1)
        await asked.click()
        assert not v.page.url.endswith("/following"), "it can be ended"
        assert await v.page.locator("meta[http-equiv=refresh]").count() == 0


async def test_a_page_that_is_watched_is_left_when_another_tab_signs_out(site: Sandbox, browser: Browser) -> None:
    async with visiting(site, browser, language="cy") as v:
        await tell_ahead(v, "brychan")
        await expect(v.page.locator("main .govuk-tag").first).to_have_text(words_in("cy")("status-waiting"))
        await v.shot("waiting-cy")
        assert await v.faults() == []
        other = await v.context.new_page()
        await other.goto(v.url)
        await other.locator("nav form button").last.click()
        await other.wait_for_url("**/signed-out")
        await v.page.wait_for_url("**/session-ended")


async def test_another_persons_change_is_as_absent_as_none(site: Sandbox, browser: Browser) -> None:
    async with visiting(site, browser) as v:
        await v.sign_in("dafydd")
        for number in ("1", "999999", "99999999999999999999999"):
            answer = await v.go(f"/changes/{number}")
            assert answer.status == 404
        assert (await v.context.request.get(f"{v.url}/changes/1/live")).status == 404


async def test_forms_from_elsewhere_are_refused(site: Sandbox, browser: Browser) -> None:
    async with visiting(site, browser) as v:
        await v.sign_in("sian", query="?next=/change")
        token = await v.page.locator("main input[name=csrf]").input_value()
        post = v.context.request.post

        async def status(form: dict[str, str | float | bool], **headers: str) -> int:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = await post(f"{v.url}/change", form=form, headers=named, max_redirects=0)
            return answer.status

        good: dict[str, str | float | bool] = {"csrf": token, "kind": "other"}
        assert await status(good) == 303
        assert await status(good, origin=v.url, sec_fetch_site="same-origin") == 303
        assert await status({"kind": "other"}) == 403
        assert await status({"csrf": token[:-1] + "x", "kind": "other"}) == 403
        for origin in (
            "https://evil.example",
            "null",
            v.url.replace("localhost", "127.0.0.1"),
            f"{v.url}.evil.example",
        ):
            assert await status(good, origin=origin) == 403, origin
        for where in ("cross-site", "same-site", "none"):
            assert await status(good, sec_fetch_site=where) == 403, where
        huge = await post(f"{v.url}/change", form=good | {"more": "x" * 40_000}, max_redirects=0)
        assert huge.status == 400
        odd = await post(f"{v.url}/change", data='{"kind": "other"}', headers={"content-type": "application/json"})
        assert odd.status == 400
        for place in ("/sign-out", "/session/stay"):
            assert (await v.context.request.get(v.url + place)).status in {404, 405}, "no change of state by GET"


async def test_headers_and_caching(site: Sandbox, browser: Browser) -> None:
    async with visiting(site, browser, language="cy") as v:
        for place in ("/", "/cookies", "/nowhere", "/changes", "/sign-in"):
            answer = await v.context.request.get(v.url + place, max_redirects=0)
            assert answer.headers["cache-control"] == "no-store", place
            policy = answer.headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            if answer.status == 200:
                assert answer.headers["content-language"] == "cy"
                assert "Cookie" in answer.headers["vary"]
        await v.go("/")
        source = await v.page.content()
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", source)
        total = 0
        for link in re.findall(r'(?:href|src)="(/static/[^"]+)"', source) + [
            f"/static/{name.name}" for name in STATIC.glob("govuk-frontend.*.js")
        ]:
            answer = await v.context.request.get(v.url + link, headers={"accept-encoding": "gzip"})
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["content-encoding"] == "gzip"
            total += int(answer.headers["content-length"])
        assert total + len(source) < 50 * 1024, "a first view, its page not even compressed"
        assert (await v.context.request.get(f"{v.url}/static/../app.py")).status == 404
        assert (await v.context.request.get(f"{v.url}/static/unwaith.css")).status == 404


@pytest.mark.parametrize("language", LANGUAGES)
async def test_pages_anybody_may_read(site: Sandbox, browser: Browser, language: Language) -> None:
    async with visiting(site, browser, language=language, narrow=True) as v:
        seen = Inspector(v, language, "public-")
        for place in (
            "/cookies",
            "/accessibility",
            "/privacy",
            "/not-signed-in",
            "/signed-out",
            "/nowhere",
            "/changes/x",
        ):
            await v.go(place)
            await seen(place.strip("/").replace("/", "-"))
        answer = await v.go("/staff/sign-in")
        assert answer.ok


async def test_places_to_go_on_to_are_ours(site: Sandbox, browser: Browser) -> None:
    async with visiting(site, browser) as v:
        for place in (
            "//evil.example",
            "/\\evil.example",
            "https:evil.example",
            "%2f%2fevil.example",
            "/a%0d%0ab",
            "/..//x",
        ):
            await v.sign_in("sian", query=f"?next={place}")
            assert v.page.url.startswith(f"{v.url}/"), place
            assert await path(v) == "/", place

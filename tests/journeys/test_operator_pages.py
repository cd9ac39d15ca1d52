"""The operators' pages in a real browser, against a whole sandbox: both languages, with and without JavaScript."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Route, expect

from broker import audit
from broker.identity.staff import GROUPS
from broker.intake import Accepted, Intake, Told, Writer
from broker.language import Language, words_in
from broker.language.catalogue import LANGUAGES
from broker.main.embedded import Sandbox
from broker.sandbox.people import SAMPLE_STAFF
from broker.store import changes, operations, register
from broker.telemetry.metrics import new_metrics
from broker.verification import NO_HOLDS, StoredGazetteer
from contracts.changes.address import AddressChange
from contracts.person import IdentityLevel, NamePart, PersonName
from contracts.requests import ChangeRequest, PreviewRequest
from tests.support.browser import Visitor, visiting
from tests.support.guest import a_guest
from tests.support.inspector import Inspector
from tests.support.line import now
from tests.support.said import foreign_in

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
]

COUNCIL = "cardiff-council"
DONE = (
    *("organisation.paused", "organisation.resumed", "replay.asked", "delivery.replayed", "change.traced"),
    "store.restored",
)
FAMILY = "Cyfrin-Dychmygol"
MAIN = "main form button.govuk-button:not(.govuk-button--secondary)"


async def told(site: Sandbox, person: str) -> Accepted:
    """Tell a move from Cardiff to Swansea, as somebody new."""
    rooms = site.rooms
    writer, stop = Writer(rooms.database), asyncio.Event()
    writing = asyncio.create_task(writer.run(stop))
    gazetteer = StoredGazetteer(rooms.database)
    intake = Intake(rooms.database, rooms.vault, rooms.directory, gazetteer, writer, new_metrics(), now, NO_HOLDS)
    who = Told(
        issuer="https://provider.example/",
        subject=f"urn:person:{person}",
        level=IdentityLevel.P2,
        name=PersonName(name_parts=(NamePart(type="FamilyName", value=FAMILY),)),
        birth_date=now().date().replace(year=1980, day=1),
    )
    move = AddressChange.model_validate(
        {
            "previous_address": {"building_number": "1", "street_name": "Otter Row", "postal_code": "CF99 9AA"},
            "new_address": {
                "building_number": secrets.token_hex(2),
                "street_name": "Stryd y Morwellt",
                "postal_code": "SA99 9AA",
            },
            "effective_date": now().date(),
        }
    )
    request = PreviewRequest(type="address", change=move)
    try:
        shown = await intake.preview(who, request)
        whole = ChangeRequest(type=request.type, change=request.change, preview=shown.digest, leave_out=())
        return await intake.accept(who, secrets.token_hex(8), whole)
    finally:
        stop.set()
        await writing


@asynccontextmanager
async def given_up(site: Sandbox, organisation: str) -> AsyncIterator[None]:
    """Have an organisation refuse everything, and us give up at once."""
    known = site.rooms.directory.organisations()[organisation]
    hasty = known.policy.model_copy(
        update={"horizon_seconds": 1e-6, "first_delay_seconds": 1e-6, "longest_delay_seconds": 1e-6}
    )
    await register.put_organisation(site.rooms.database, known.model_copy(update={"policy": hasty}))
    async with httpx.AsyncClient(base_url=site.addresses.organisation(organisation)) as http:
        await http.post("/sandbox/behaviour", json={"behaviour": "failing"})
        try:
            await site.rooms.directory.refresh()
            yield
        finally:
            await http.post("/sandbox/behaviour", json={"behaviour": "applied"})
            await register.put_organisation(site.rooms.database, known)
            await site.rooms.directory.refresh()


async def until(site: Sandbox, accepted: Accepted, organisation: str, status: str) -> changes.DeliveryRow:
    async with asyncio.timeout(20):
        while True:
            rows = await changes.deliveries_of(site.rooms.database, [accepted.change_id])
            row = next(row for row in rows if row.organisation == organisation)
            if row.status == status:
                return row
            await asyncio.sleep(0.05)


async def staff(v: Visitor, person: str) -> None:
    await v.sign_in(person, path="/staff/sign-in")


async def go_on(v: Visitor) -> None:
    await v.page.locator(MAIN).last.click()
    await v.page.wait_for_load_state()


async def say_why(v: Visitor, reason: str, note: str = "INC-1234") -> None:
    await v.page.check(f"input[name=reason][value={reason}]")
    await v.page.fill("#note", note)


@pytest.mark.parametrize(
    ("language", "narrow", "scripts"),
    [("cy", True, True), ("en", False, True), ("cy", False, False), ("en", True, False)],
)
async def test_a_manager_looks_traces_replays_and_pauses(  # noqa: PLR0915  one journey
    site: Sandbox, browser: Browser, language: Language, narrow: bool, scripts: bool
) -> None:
    words = words_in(language)
    mark = f"operator-{'narrow-' if narrow else ''}{'' if scripts else 'plain-'}"
    async with visiting(site, browser, language=language, narrow=narrow, scripts=scripts) as v:
        seen = Inspector(v, language, mark)
        async with given_up(site, COUNCIL):
            first = await told(site, f"first-{mark}")
            lost = await until(site, first, COUNCIL, "undelivered")
        await staff(v, "rhys")
        await expect(v.page.locator("h1")).to_have_text(words("staff-overview-title"))
        council = site.rooms.directory.organisations()[COUNCIL]
        name = words.of(council.name)
        await expect(v.page.locator("main table").first).to_contain_text(name)
        assert await v.page.locator("main svg").count() == 2
        await seen("line")

        # Trace it
        await v.go("/staff/trace")
        await seen("trace")
        await go_on(v)
        await seen("trace-wrong")
        assert await v.page.locator(".govuk-error-summary__list a").count() == 3
        await say_why(v, "person_asked", "Siân Jones")
        await v.page.fill("#reference", first.reference.lower().replace("-", " "))
        await go_on(v)
        assert await v.page.locator("#note-error").count() == 1, "nobody's name is a ticket"
        await say_why(v, "person_asked")
        await go_on(v)
        assert first.reference not in v.page.url
        assert str(first.change_id) not in v.page.url
        await seen("traced")
        text = await v.page.inner_text("main")
        assert first.reference in text
        assert words("staff-reason-server_error") in text
        for private in (FAMILY, "Morwellt", "Otter", "CF99"):
            assert private not in await v.page.content()

        # Replay it
        await v.page.locator("main form button.govuk-button--secondary").click()
        await v.page.wait_for_load_state()
        await seen("preview-one")
        await go_on(v)
        await seen("preview-wrong")
        await say_why(v, "repaired")
        await go_on(v)
        await until(site, first, COUNCIL, "applied")
        await v.page.wait_for_timeout(200)
        if not scripts:
            async with asyncio.timeout(15):
                while await (refresh := v.page.locator("main [data-without-script] a")).count():
                    await refresh.click()
        await expect(v.page.locator("main")).not_to_contain_text(words("staff-under-way"), timeout=15_000)
        await seen("replayed")
        async with site.rooms.database.connection() as connection:
            assert await connection.fetchval("SELECT epoch FROM delivery WHERE id = $1", lost.id) == 1

        # Replay a range: of two changes of one person the later only
        async with given_up(site, COUNCIL):
            earlier = await told(site, f"second-{mark}")
            await until(site, earlier, COUNCIL, "undelivered")
            later = await told(site, f"second-{mark}")
            await until(site, later, COUNCIL, "undelivered")
        await v.go("/staff/replay")
        await seen("replay")
        await v.page.fill("#since-day", "31")
        await v.page.fill("#since-month", "2")
        await go_on(v)
        await seen("replay-wrong")
        assert await v.page.locator(".govuk-error-summary__list a").count() == 2
        await v.go("/staff/replay")
        await v.page.select_option("#organisation", COUNCIL)
        await go_on(v)
        await seen("preview-range")
        assert words("staff-refusal-overtaken") in await v.page.inner_text("main")
        await say_why(v, "repaired")
        await go_on(v)
        await until(site, later, COUNCIL, "applied")
        await until(site, earlier, COUNCIL, "undelivered")

        # Pause it, and resume it
        await v.go(f"/staff/organisations/{COUNCIL}")
        await seen("organisation")
        await say_why(v, "maintenance", "chg-7")
        await go_on(v)
        await seen("organisation-paused")
        third = await told(site, f"third-{mark}")
        await until(site, third, "transport-for-wales", "applied")
        await until(site, third, COUNCIL, "queued")
        await v.go("/staff")
        await expect(v.page.locator("main table").first).to_contain_text("CHG-7")
        await seen("line-paused")
        await v.go(f"/staff/organisations/{COUNCIL}")
        await say_why(v, "finished")
        await go_on(v)
        await until(site, third, COUNCIL, "applied")
        acts = await operations.acts(site.rooms.database, 3)
        assert [act["action"] for act in acts[:2]] == ["organisation.resumed", "organisation.paused"]
        assert all(act["actor"].startswith("staff:") for act in acts)
        books = await changes.books(site.rooms.database)
        assert books.faults() == []


@pytest.mark.parametrize(("language", "narrow"), [("cy", True), ("en", False)])
async def test_what_was_given_up_is_found_from_the_line(
    site: Sandbox, browser: Browser, language: Language, narrow: bool
) -> None:
    words = words_in(language)
    async with given_up(site, COUNCIL):
        lost = await told(site, f"browsed-{language}")
        await until(site, lost, COUNCIL, "undelivered")
    async with visiting(site, browser, language=language, narrow=narrow) as v:
        seen = Inspector(v, language, "browsing-")
        await staff(v, "olwen")
        await expect(v.page.locator("main .govuk-notification-banner")).to_contain_text(words("staff-alarms"))
        await v.page.locator(f"main a[href='/staff/organisations/{COUNCIL}/deliveries/undelivered']").click()
        await seen("stuck")
        await expect(v.page.locator("main tbody tr").first).to_contain_text(words("staff-reason-server_error"))
        await v.page.locator("main tbody tr button").first.click()
        await seen("trace-why")
        await go_on(v)
        await seen("trace-why-wrong")
        assert await v.page.locator(".govuk-error-summary__list a").count() == 2
        await say_why(v, "incident")
        await go_on(v)
        await seen("traced-from-list")
        assert lost.reference in await v.page.inner_text("main")
        assert lost.reference not in v.page.url
        act, *_ = await operations.acts(site.rooms.database, 1)
        assert (act["action"], act["change"]) == ("change.traced", str(lost.change_id))
        for place in ("applied", "x"):
            assert (await v.go(f"/staff/organisations/{COUNCIL}/deliveries/{place}")).status == 404
        assert (await v.go(f"/staff/organisations/{COUNCIL}/deliveries/rejected?before=x")).status == 404
        await v.go(f"/staff/organisations/{COUNCIL}/deliveries/rejected")
        await seen("stuck-none")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_organisation_is_let_drain(site: Sandbox, language: Language) -> None:
    words, place = words_in(language), f"/staff/organisations/{COUNCIL}"
    async with a_guest(site.addresses.public_url, language) as guest:
        await guest.sign_in("rhys", prefix="/staff")
        await guest.fill(place, reason="maintenance", note="CHG-8", how="drain")
        [draining] = [
            one.draining
            for one in (await operations.overview(site.rooms.database, 1)).organisations
            if one.organisation == COUNCIL
        ]
        assert draining
        for path in (place, "/staff"):
            assert words("staff-draining") in (await guest.get(path)).html, path
            assert foreign_in((await guest.get(path)).html, language) == []
        act, *_ = await operations.acts(site.rooms.database, 1)
        assert act["action"] == "organisation.draining"
        await guest.fill(place, reason="finished", note="CHG-8")
        assert words("staff-draining") not in (await guest.get("/staff")).html


async def test_a_page_without_room_for_its_stream_asks_now_and_then(site: Sandbox, browser: Browser) -> None:
    async with visiting(site, browser) as v:

        async def no_room(route: Route) -> None:
            if "event-stream" in route.request.headers["accept"]:
                await route.fulfill(status=503, headers={"retry-after": "30"})
            else:
                await route.continue_()

        await v.page.clock.install()
        await v.page.route("**/staff/live", no_room)
        await staff(v, "olwen")
        row = v.page.locator("main table").nth(1).locator("tr", has=v.page.locator("th:text-is('Accepted')"))
        before = int(await row.locator("td").first.inner_text())
        await told(site, "polled")
        async with asyncio.timeout(20):
            while int(await row.locator("td").first.inner_text()) != before + 1:
                await v.page.clock.fast_forward("00:16")
                await asyncio.sleep(0.1)
        async with site.rooms.database.connection() as connection:
            await connection.execute("DELETE FROM unwaith.session WHERE domain = 'staff'")
        await v.page.clock.fast_forward("00:16")
        await v.page.wait_for_url("**/staff/session-ended")


async def test_the_overview_follows_the_line_by_itself(site: Sandbox, browser: Browser) -> None:
    async with visiting(site, browser, narrow=True) as v:
        await staff(v, "olwen")
        row = v.page.locator("main table").nth(1).locator("tr", has=v.page.locator("th:text-is('Accepted')"))
        before = int(await row.locator("td").first.inner_text())
        table = v.page.locator("main .unwaith-wide").nth(1)
        await table.evaluate("table => { table.scrollLeft = 40; }")
        await told(site, "followed")
        await expect(row.locator("td").first).to_have_text(str(before + 1), timeout=15_000)
        assert await table.evaluate("table => table.scrollLeft") == 40, "what somebody scrolled to stays where it is"
        await expect(v.page.locator("main [data-without-script]")).to_be_hidden()
        assert await v.page.locator("main a[href$=council]").count() == 0, "support does not pause"
        tab = await v.context.new_page()
        await tab.goto(v.url + "/staff/trace")
        await tab.locator("form[action='/staff/sign-out'] button").click()
        await v.page.wait_for_url("**/staff/session-ended", timeout=15_000)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_auditor_reads_what_operators_did(site: Sandbox, browser: Browser, language: Language) -> None:
    async with site.rooms.database.connection() as connection:
        why: dict[str, str | int | Sequence[str]] = {"reason": "incident", "note": "INC-1234"}
        leaves = [audit.leaf(did, now(), "staff:somebody", organisation=COUNCIL, detail=why) for did in DONE]
        await operations.record_act(connection, leaves)
    async with visiting(site, browser, language=language, narrow=language == "en") as v:
        seen = Inspector(v, language, "auditor-")
        await staff(v, "emrys")
        await v.go("/staff/acts")
        await seen("acts")
        text = await v.page.inner_text("main table")
        for did in DONE:
            assert words_in(language)(f"staff-did-{did.replace('.', '-')}") in text
        assert "INC-1234" in text


@pytest.mark.parametrize("language", LANGUAGES)
async def test_who_belongs_to_no_group_is_told_so(site: Sandbox, browser: Browser, language: Language) -> None:
    async with visiting(site, browser, language=language) as v:
        await staff(v, "mabli")
        await expect(v.page.locator("h1")).to_have_text(words_in(language)("staff-refused-title"))
        assert await v.faults() == []


async def asked(v: Visitor, method: str, path: str, csrf: str = "") -> Any:
    if method == "POST":
        return await v.context.request.post(v.url + path, form={"csrf": csrf}, max_redirects=0)
    return await v.context.request.get(v.url + path, max_redirects=0)


async def test_a_form_without_the_sessions_token_does_nothing(site: Sandbox, browser: Browser) -> None:
    async with visiting(site, browser) as v:
        await staff(v, "rhys")
        answer = await asked(v, "POST", f"/staff/organisations/{COUNCIL}/pause", "x")
        assert answer.status == 403
        assert not site.rooms.directory.organisations()[COUNCIL].paused


async def test_a_look_up_is_of_one_session_alone(site: Sandbox, browser: Browser) -> None:
    change = await told(site, "looked-up")
    async with visiting(site, browser) as v, visiting(site, browser) as other:
        await staff(v, "olwen")
        await v.go("/staff/trace")
        await v.page.fill("#reference", change.reference)
        await say_why(v, "incident")
        await go_on(v)
        place = v.page.url.removeprefix(v.url)
        await staff(other, "olwen")
        assert (await asked(other, "GET", place)).status == 404


async def test_every_sample_group_is_known() -> None:
    assert {group for someone in SAMPLE_STAFF for group in someone.groups} == set(GROUPS)

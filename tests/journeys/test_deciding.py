"""Held changes at the pages: who decides, what they see and when, and what the person sees of it."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from playwright.async_api import Browser, expect

from broker.intake.references import new_reference
from broker.language import Language, words_in
from broker.language.catalogue import LANGUAGES
from broker.main.embedded import Sandbox
from broker.notify import Contact
from broker.sandbox.people import SAMPLE_STAFF
from broker.store import changes, disclosures, holds, joinings, operations
from broker.store.holds import Placed
from contracts.holds import HoldOutcome, HoldReason
from tests.support.browser import Visitor, visiting
from tests.support.guest import Guest, a_guest
from tests.support.inspector import Inspector
from tests.support.said import foreign_in

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


def parts(name: str, days: int) -> dict[str, str]:
    day = (datetime.now(UTC) + timedelta(days=days)).date()
    return {f"{name}-day": str(day.day), f"{name}-month": str(day.month), f"{name}-year": str(day.year)}


async def tell(guest: Guest, person: str, postcode: str) -> str:
    """Tell a move of next week at the pages; return the address of its page."""
    await guest.sign_in(person)
    await guest.fill("/change", kind="address")
    await guest.sign_in(person, prove=True)
    await guest.fill("/move/new/postcode", postcode=postcode)
    found = re.findall(r'name="uprn"[^>]*value="(\d+)"', (await guest.get("/move/new/choose")).html)
    await guest.fill("/move/new/choose", uprn=found[1])
    await guest.fill("/move/previous", suggested="yes")
    await guest.fill("/move/date", **parts("date", 7))
    await guest.fill("/move/children", moved="no")
    await guest.fill("/move/private", private="no")
    await guest.fill("/move/contact", language="cy", by="email")
    await guest.fill("/move/tell", tell="transport-for-wales")
    sent = await guest.fill("/move/declaration")
    assert sent.location.endswith("/sent"), (sent.status, sent.location)
    return sent.location.removesuffix("/sent")


async def newest(site: Sandbox) -> UUID:
    async with site.rooms.database.connection() as connection:
        found: UUID = await connection.fetchval("SELECT id FROM change ORDER BY accepted_at DESC LIMIT 1")
    return found


async def hold(site: Sandbox, change_id: UUID) -> UUID:
    placed = Placed(id=uuid4(), reason=HoldReason.NEEDS_PERSON, until=None)
    assert await holds.place(site.rooms.database, change_id, placed, lambda _: b'{"action":"change.held"}')
    return placed.id


async def say(v: Visitor, reason: str) -> None:
    await v.page.check(f"input[name=reason][value={reason}]")
    await v.page.fill("#note", "CAS-12")


@pytest.mark.parametrize(
    ("language", "narrow", "refusing"), [("cy", True, False), ("en", False, True)], ids=["release", "refuse"]
)
async def test_a_caseworker_decides_and_the_person_sees_who_looked(
    site: Sandbox, browser: Browser, language: Language, narrow: bool, refusing: bool
) -> None:
    words = words_in(language)
    async with (
        a_guest(site.addresses.public_url, language) as citizen,
        visiting(site, browser, language=language, narrow=narrow, scripts=not refusing) as v,
    ):
        page = await tell(citizen, "sian", "SA99 9AA")
        change_id = await newest(site)
        held = await hold(site, change_id)
        shown = (await citizen.get(page)).html
        assert words("held-needs-person") in shown
        assert words("status-held") in shown
        assert words("held-needs-person") in (await citizen.get(f"{page}/sent")).html

        seen = Inspector(v, language, "deciding-")
        await v.sign_in("tegid", path="/staff/sign-in")
        await v.go("/staff/holds")
        await seen("holds")
        await v.page.locator(f"main a[href='/staff/holds/{held}']").click()
        await seen("hold")
        assert "SA99" not in await v.page.content(), "hidden until somebody says why they look"
        await v.page.locator("main form button").last.click()
        await seen("hold-wrong")
        assert await v.page.locator(".govuk-error-summary__list a").count() == 2
        await say(v, "evidence")
        await v.page.locator("main form button").last.click()
        await expect(v.page.locator("main")).to_contain_text("SA99")
        await seen("hold-shown")
        await say(v, "evidence_differs" if refusing else "evidence_agrees")
        act = "refuse" if refusing else "release"
        await v.page.locator(f"main form button[formaction$={act}]").click()
        await v.page.wait_for_url("**/staff/holds")
        assert await v.page.locator(f"main a[href='/staff/holds/{held}']").count() == 0

        [ended] = await holds.of_change(site.rooms.database, change_id)
        assert ended.outcome is (HoldOutcome.REFUSED if refusing else HoldOutcome.RELEASED)
        statuses = {row.status for row in await changes.deliveries_of(site.rooms.database, [change_id])}
        assert statuses == {"cancelled" if refusing else "waiting"}
        done, looked = await operations.acts(site.rooms.database, 2)
        assert (done["action"], looked["action"]) == (
            f"hold.{act}d" if not refusing else "hold.refused",
            "change.disclosed",
        )
        assert done["detail"]["note"] == looked["detail"]["note"] == "CAS-12"

        shown = (await citizen.get(page)).html
        assert words("looked-title") in shown
        assert foreign_in(shown, language) == []
        assert words("held-needs-person") not in shown
        assert (words("status-cancelled") in shown) is refusing
        assert (words("held-refused", at="|").partition("|")[0] in shown) is refusing
        assert words("withdrawn-cancelled", at="|").partition("|")[0] not in shown, "the person did not cancel it"


async def test_nobody_decides_without_a_look_nor_for_somebody_who_is_written_to_at_their_address(
    site: Sandbox,
) -> None:
    url = site.addresses.public_url
    async with a_guest(url) as citizen, a_guest(url) as staff:
        await tell(citizen, "gwenno", "CF99 9AA")
        change_id = await newest(site)
        held = await hold(site, change_id)
        place = f"/staff/holds/{held}"
        await staff.sign_in("tegid", prefix="/staff")
        fields = (await staff.get(place)).page.forms[-1].fields | {"reason": "evidence_agrees", "note": "CAS-1"}
        await staff.ask("POST", f"{place}/release", fields)
        [still] = await holds.of_change(site.rooms.database, change_id)
        assert still.ended_at is None, "they have not looked"

        assert (await staff.get(f"/staff/holds/{uuid4()}")).status == 404
        assert (await staff.get("/staff/holds/x")).status == 404
        objected = Placed(id=uuid4(), reason=HoldReason.OBJECTED, until=None)
        assert await holds.place(site.rooms.database, change_id, objected, lambda _: b'{"action":"change.held"}')
        assert (await staff.get(f"/staff/holds/{objected.id}")).status == 404, "that is the person's to decide"
        shown = (await staff.get("/staff/holds")).html
        assert words_in("en")("staff-holds-others", n=1) in shown

        [tegid] = [person for person in SAMPLE_STAFF if person.key == "tegid"]
        async with site.rooms.database.connection() as connection:
            notice_id, person_id = await connection.fetchrow(
                "SELECT id, person_id FROM notice WHERE change_id = $1", change_id
            )
            key = await site.rooms.vault.key_of(person_id)
            assert key is not None
            theirs = Contact(email=tegid.email.upper(), language="cy").sealed(key, notice_id)
            await connection.execute("UPDATE notice SET sealed = $2 WHERE id = $1", notice_id, theirs)
        assert words_in("en")("staff-hold-own") in (await staff.get(place)).html
        await staff.ask("POST", f"{place}/reveal", fields | {"reason": "evidence"})
        await staff.ask("POST", f"{place}/refuse", fields | {"reason": "not_the_person"})
        assert await disclosures.of_change(site.rooms.database, change_id) == []
        assert all(one.ended_at is None for one in await holds.of_change(site.rooms.database, change_id))


async def test_an_account_made_anew_is_joined_to_what_was_told_before(site: Sandbox) -> None:
    """They ask with a reference; two members of staff decide; signed in again they see their change and can cancel it."""
    url, database = site.addresses.public_url, site.rooms.database
    async with a_guest(url) as citizen, a_guest(url) as tegid, a_guest(url) as nia:
        page = await tell(citizen, "iestyn", "CF99 9AA")
        change_id = await newest(site)
        async with database.connection() as connection:
            person_id, reference = await connection.fetchrow(
                "SELECT person_id, reference FROM change WHERE id = $1", change_id
            )
            # The provider's `sub` was another then: what we know that account by is nothing anybody can sign in with.
            await connection.execute(
                "UPDATE account SET digest = $2 WHERE person_id = $1", person_id, b"an old account"
            )
        site.rooms.vault.forget(person_id)
        listed = await citizen.get("/changes")
        assert reference not in listed.html
        assert "/changes/earlier" in listed.page.links

        answers = [
            await citizen.fill("/changes/earlier", reference=said) for said in (reference.lower(), new_reference())
        ]
        assert [one.location for one in answers] == ["/changes/earlier/asked"] * 2, "whatever is found"
        wrong = await citizen.fill("/changes/earlier", reference="7K3M9-QX2TB-D")
        assert words_in("en")("earlier-fault-reference") in (await citizen.get(wrong.location)).html
        await spoken(citizen, "/changes/earlier/asked")

        await tegid.sign_in("tegid", prefix="/staff")
        await nia.sign_in("nia", prefix="/staff")
        [asked] = await joinings.waiting(database, 10)
        place = f"/staff/joinings/{asked.id}"
        await spoken(tegid, "/staff/joinings")
        assert place in (await tegid.get("/staff/joinings")).page.links
        fields = {"reason": "identity_checked", "note": "CAS-7"}
        empty = await tegid.ask("POST", f"{place}/approve", (await tegid.get(place)).page.forms[-1].fields)
        assert words_in("en")("staff-fault-note") in (await tegid.get(empty.location)).html
        for staff in (tegid, tegid, nia):
            await spoken(staff, place)
            form = (await staff.get(place)).page.forms[-1].fields
            assert (await staff.ask("POST", f"{place}/approve", form | fields)).location == place
        await spoken(nia, place)
        assert words_in("en")("staff-joining-joined") in (await nia.get(place)).html
        assert words_in("en")("staff-did-account-joined") in (await nia.get("/staff/acts")).html

        assert (await citizen.get("/changes")).location.startswith("/session-ended"), "every session of the new account"
        await citizen.sign_in("iestyn", prove=True)
        assert page in (await citizen.get("/changes")).page.links
        await citizen.fill(f"{page}/cancel")
        statuses = {row.status for row in await changes.deliveries_of(database, [change_id])}
        assert statuses == {"cancelled"}
        assert words_in("en")("earlier-both-title") in (await citizen.get("/changes/earlier")).html


async def spoken(guest: Guest, path: str) -> None:
    """Look at a page in both languages: nothing of the other stands in it."""
    for language in LANGUAGES:
        shown = await guest.get(path, {"Accept-Language": language})
        assert (shown.status, foreign_in(shown.html, language)) == (200, []), path


async def link_of(site: Sandbox, change_id: UUID) -> str:
    """Return the address in the letter about a change."""
    async with site.rooms.database.connection() as connection:
        row = await connection.fetchrow("SELECT id, person_id, sealed FROM notice WHERE change_id = $1", change_id)
    key = await site.rooms.vault.key_of(row["person_id"])
    assert key is not None
    return f"/hold/{Contact.opened(key, row['id'], row['sealed']).link}"


@pytest.mark.parametrize(("language", "narrow"), [("cy", True), ("en", False)])
async def test_a_link_in_a_letter_holds_and_can_do_nothing_else(
    site: Sandbox, browser: Browser, language: Language, narrow: bool
) -> None:
    words, person = words_in(language), {"cy": "llyr", "en": "robin"}[language]
    url = site.addresses.public_url
    async with a_guest(url, language) as citizen, visiting(site, browser, language=language, narrow=narrow) as v:
        page = await tell(citizen, person, "SA99 9AA")
        change_id = await newest(site)
        assert (await citizen.get(f"{page}/release")).status == 404, "nobody objected"
        link = await link_of(site, change_id)

        seen = Inspector(v, language, "holding-")
        await v.go(link)
        await seen("hold-ask")
        asked = await v.page.inner_text("main")
        await v.go("/hold/none-of-ours")
        assert await v.page.inner_text("main") == asked, "nor whether the link is good"
        await v.page.locator("main form button").click()
        await expect(v.page.locator("h1")).to_have_text(words("hold-unknown-title"))
        await seen("hold-unknown")
        await v.go(link)
        assert await holds.of_change(site.rooms.database, change_id) == [], "looking at it does nothing"
        for _ in range(2):
            await v.go(link)
            await v.page.locator("main form button").click()
            await expect(v.page.locator("h1")).to_have_text(words("hold-done-title"))
        await seen("hold-done")
        [objection] = await holds.of_change(site.rooms.database, change_id)
        assert (objection.reason, objection.until) == (HoldReason.OBJECTED, None)

        shown = (await citizen.get(page)).html
        assert words("held-objected") in shown
        assert words("hold-release-link") in shown
        release = await citizen.get(f"{page}/release")
        assert release.status == 200
        assert foreign_in(release.html, language) == []
        assert (await citizen.fill(f"{page}/release")).location == page
        [objection] = await holds.of_change(site.rooms.database, change_id)
        assert objection.outcome is HoldOutcome.RELEASED
        assert {row.held for row in await changes.deliveries_of(site.rooms.database, [change_id])} == {False}

        await v.go(link)
        await v.page.locator("main form button").click()
        await expect(v.page.locator("h1")).to_have_text(words("hold-too-late-title"))
        assert {row.held for row in await changes.deliveries_of(site.rooms.database, [change_id])} == {False}, "once"

        await citizen.fill(f"{page}/cancel")
        await v.go(link)
        await v.page.locator("main form button").click()
        await expect(v.page.locator("h1")).to_have_text(words("hold-too-late-title"))
        await seen("hold-too-late")


async def test_only_who_has_proven_who_they_are_says_that_it_was_them(site: Sandbox) -> None:
    url = site.addresses.public_url
    async with a_guest(url) as citizen, a_guest(url) as unproven, a_guest(url) as other:
        page = await tell(citizen, "brychan", "CF99 9AA")
        link = await link_of(site, await newest(site))
        assert (await other.ask("POST", link, {})).status == 200
        assert words_in("en")("held-objected") in (await citizen.get(page)).html
        await unproven.sign_in("brychan")
        for method, form in (
            ("GET", None),
            ("POST", {"csrf": (await unproven.get(page)).page.forms[0].fields["csrf"]}),
        ):
            answer = await unproven.ask(method, f"{page}/release", form)
            assert answer.location.startswith("/sign-in?prove=1"), method
        await other.sign_in("dafydd")
        assert (await other.get(f"{page}/release")).status == 404
        assert words_in("en")("held-objected") in (await citizen.get(page)).html


async def test_what_was_told_first_is_decided_on_first(site: Sandbox) -> None:
    """Released the other way round, organisations would be told of the older change last."""
    words = words_in("en")
    async with a_guest(site.addresses.public_url) as citizen, a_guest(site.addresses.public_url) as staff:
        await staff.sign_in("tegid", prefix="/staff")
        places, ids, pages = [], [], []
        for postcode in ("CF99 9AA", "SA99 9AA"):
            pages.append(await tell(citizen, "sian", postcode))
            ids.append(await newest(site))
            places.append(f"/staff/holds/{await hold(site, ids[-1])}")

        async def decide(place: str) -> None:
            for act, why in (("reveal", "evidence"), ("release", "evidence_agrees")):
                fields = (await staff.get(place)).page.forms[-1].fields | {"reason": why, "note": "CAS-1"}
                await staff.ask("POST", f"{place}/{act}", fields)

        async def ended() -> list[bool]:
            return [(await holds.of_change(site.rooms.database, one))[0].ended_at is not None for one in ids]

        await decide(places[1])
        shown = (await staff.get(places[1])).html
        assert words("staff-hold-earlier-link") in shown
        assert f'href="{places[0]}"' in shown
        assert await ended() == [False, False]
        await citizen.ask("POST", await link_of(site, ids[0]), {})  # and the later with it
        own = await citizen.get(f"{pages[1]}/release")
        await spoken(citizen, f"{pages[1]}/release")
        assert words("hold-release-earlier-others") in own.html, "staff's decision on the earlier comes first"
        assert pages[0] in own.page.links
        await decide(places[0])
        await decide(places[1])
        assert await ended() == [True, False]
        assert words("staff-hold-earlier-others") in (await staff.get(places[1])).html, "and then the person's word"
        assert (await citizen.fill(f"{pages[0]}/release")).location == pages[0]
        await decide(places[1])
        assert await ended() == [True, True]


async def test_of_two_changes_somebody_objected_to_the_person_lets_the_earlier_go_first(site: Sandbox) -> None:
    words = words_in("en")
    async with a_guest(site.addresses.public_url) as citizen:
        pages, ids = [], []
        for postcode in ("CF99 9AA", "SA99 9AA"):
            pages.append(await tell(citizen, "angharad", postcode))
            ids.append(await newest(site))
            await citizen.ask("POST", await link_of(site, ids[-1]), {})

        async def outcomes() -> list[HoldOutcome | None]:
            return [(await holds.of_change(site.rooms.database, one))[0].outcome for one in ids]

        assert await outcomes() == [None, None]
        older, newer = (f"{page}/release" for page in pages)
        form = (await citizen.get(older)).page.forms[-1].fields
        shown = await citizen.get(newer)
        await spoken(citizen, newer)
        assert older in shown.page.links
        assert words("hold-release-earlier") in shown.html
        assert words("hold-release-button") not in shown.html
        assert f"{pages[1]}/cancel" in shown.page.links, "to cancel it nothing must come before"
        assert (await citizen.ask("POST", newer, form)).location == newer, "whoever still has the button"
        assert await outcomes() == [None, None]

        assert (await citizen.fill(older)).location == pages[0]
        assert await outcomes() == [HoldOutcome.RELEASED, None]
        assert words("hold-release-earlier") not in (await citizen.get(newer)).html
        assert (await citizen.fill(newer)).location == pages[1]
        assert await outcomes() == [HoldOutcome.RELEASED, HoldOutcome.RELEASED]

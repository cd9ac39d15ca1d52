"""Every page there is, without a browser: who gets it, what it says in which language, and where it leads."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pytest
from starlette.requests import Request

from broker.identity.discovery import Discovery, Endpoints
from broker.identity.page_policy import (
    PAGES,
    STAFF,
    ForAnybody,
    ForPeople,
    ForProvider,
    ForStaff,
    check_pages_declared,
)
from broker.identity.policy import RouteNotDeclared
from broker.identity.refusals import KeysUnavailable
from broker.identity.staff import May, may
from broker.language import Language, words_in
from broker.language.catalogue import LANGUAGES
from broker.main.embedded import Sandbox
from broker.notify.contact import Contact
from broker.notify.notifier import confirmation
from broker.sandbox.people import SAMPLE_STAFF, sample_people
from broker.sandbox.state import SandboxState
from broker.sandbox.tokens import Names, SignIn, id_token
from broker.store.changes import PersonErased
from broker.vault import PersonGone
from broker.web import following, timeline_words
from broker.web.app import _faults
from broker.web.fault_pages import fault_page
from contracts.requests import DeliveryView, TimelineEntry
from contracts.statuses import Status
from contracts.text import Bilingual
from tests.support.guest import Answer, Guest, a_guest
from tests.support.said import foreign_in

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

COUNCIL: Final = "cardiff-council"
MOVED: Final = date.today() - timedelta(days=3)  # noqa: DTZ011  the day before a test runs is never in the future
CANNOT_BE_ASKED: Final = {"/sign-in", "/signed-in", "/static/{name}", f"{STAFF}/sign-in", f"{STAFF}/signed-in"}
"""They lead to a provider or back from it, or are no pages."""


def address_of(path: str, place: str = "x") -> str:
    """Return a page's address with something in the place of each thing it names."""
    named = {
        "number:int": "1",
        "version:int": "1",
        "agreement": "transport-for-wales.address",
        "organisation": COUNCIL,
        "status": "undelivered",
        "name": "none",
    }
    return re.sub(r"\{([a-z:]+)\}", lambda found: named.get(found[1], place), path)


async def move(guest: Guest, person: str = "sian") -> None:
    """Answer everything there is about a move, from sign-in to the page where answers are checked."""
    await guest.sign_in(person)
    await guest.fill("/change", kind="address")
    await guest.sign_in(person, prove=True)
    await guest.fill("/move/new/postcode", part="3 seagras st, abertawe")
    assert re.search(r"3 (Seagrass Street|Stryd y Morwellt)", (await guest.get("/move/new/choose")).html)
    await guest.fill("/move/new/postcode", postcode="SA99 9AA")
    uprn = await first_uprn(guest, "/move/new/choose")
    await guest.fill("/move/new/choose", uprn=uprn)
    await guest.fill("/move/previous", suggested="yes")
    await guest.fill("/move/date", **parts("date", MOVED))
    await guest.fill("/move/child", given="Eirlys", family="Pen-y-dŵr", **parts("born", date(2015, 5, 4)))
    await guest.fill("/move/children/list", more="no")
    await guest.fill("/move/private", private="no")
    await guest.fill("/move/contact", language="cy", by="none")
    await guest.fill("/move/tell", tell="transport-for-wales")


async def move_to_england(guest: Guest, person: str) -> None:
    await move(guest, person)
    typed = {"building": "7", "street": "College Green", "town": "Bristol", "postcode": "BS1 5TR"}
    await guest.fill("/move/new/type", flat="", locality="", **typed)
    await guest.fill("/move/tell")


async def first_uprn(guest: Guest, path: str) -> str:
    found = re.findall(r'name="uprn"[^>]*value="(\d+)"', (await guest.get(path)).html)
    return str(found[1])


def parts(name: str, day: date) -> dict[str, str]:
    return {f"{name}-day": str(day.day), f"{name}-month": str(day.month), f"{name}-year": str(day.year)}


# Who


async def test_a_page_that_is_not_declared_cannot_be_served() -> None:
    check_pages_declared([("GET", "/changes"), ("HEAD", "/changes"), ("POST", "/move/date")])
    for route in (("GET", "/secrets"), ("POST", "/changes"), ("GET", "/changes/{number}"), ("DELETE", "/change")):
        with pytest.raises(RouteNotDeclared, match=route[0]):
            check_pages_declared([("GET", "/"), route])


async def test_the_trust_domains_do_not_mix_in_the_table() -> None:
    for (_, path), rule in PAGES.items():
        beneath = f"{path}/".startswith(f"{STAFF}/")
        assert not (isinstance(rule, ForPeople) and beneath), path
        assert not (isinstance(rule, ForStaff) and not beneath), path


async def test_only_these_pages_are_for_anybody() -> None:
    """A change here is a change of who may see what: it must be meant."""
    assert {path for (_, path), rule in PAGES.items() if isinstance(rule, ForAnybody)} == {
        "/", "/cookies", "/accessibility", "/privacy", "/static/{name}",
        *(
            f"{prefix}/{name}"
            for prefix in ("", STAFF)
            for name in ("sign-in", "signed-in", "signed-out", "session-ended", "not-signed-in")
        ),
        "/hold/{token}",
    }  # fmt: skip
    sent = {path for (method, path), rule in PAGES.items() if isinstance(rule, ForAnybody) and method != "GET"}
    assert sent == {"/hold/{token}"}, "what a link in a letter can do"


async def test_only_these_are_for_providers() -> None:
    assert {path for path, rule in PAGES.items() if isinstance(rule, ForProvider)} == {
        ("POST", "/signed-out-there"),
        ("POST", f"{STAFF}/signed-out-there"),
    }


async def test_what_staff_need_for_each_page_is_exactly_this() -> None:
    needs: dict[May | None, set[str]] = {}
    for (method, path), rule in PAGES.items():
        if isinstance(rule, ForStaff):
            needs.setdefault(rule.needs, set()).add(f"{method} {path.removeprefix(STAFF)}")
    assert needs == {
        None: {
            "POST /sign-out",
            "GET /sign-out/everywhere",
            "POST /sign-out/everywhere",
            "GET /session/left",
            "POST /session/stay",
        },
        May.LOOK: {"GET ", "GET /live", "GET /organisations/{organisation}/deliveries/{status}"},
        May.TRACE: {
            "POST /organisations/{organisation}/deliveries/{status}",
            "GET /trace",
            "POST /trace",
            "GET /trace/{place}",
            "POST /trace/{place}",
        },
        May.PAUSE: {
            "GET /organisations/{organisation}",
            "POST /organisations/{organisation}/pause",
            "POST /organisations/{organisation}/resume",
        },
        May.REPLAY: {
            "POST /trace/{place}/replay",
            "GET /replay",
            "POST /replay",
            "GET /replay/{place}",
            "POST /replay/{place}",
            "GET /replays/{replay}",
            "GET /replays/{replay}/live",
        },
        May.DECIDE: {
            "GET /holds",
            "GET /holds/{hold}",
            "POST /holds/{hold}/reveal",
            "POST /holds/{hold}/release",
            "POST /holds/{hold}/refuse",
        },
        May.JOIN: {
            "GET /joinings",
            "GET /joinings/{joining}",
            "POST /joinings/{joining}/approve",
            "POST /joinings/{joining}/refuse",
        },
        May.READ_ACTS: {"GET /acts"},
        May.READ_REGISTER: {
            "GET /register",
            "GET /register/{organisation}",
            "GET /agreements",
            "GET /agreements/{agreement}",
            "GET /agreements/{agreement}/{version:int}",
            "GET /proposals/{proposal}",
        },
        May.PROPOSE: {
            "GET /proposals",
            "POST /proposals",
            "GET /proposals/check/{place}",
            "POST /proposals/check/{place}",
        },
        May.APPROVE: {"POST /proposals/{proposal}/approve", "POST /proposals/{proposal}/reject"},
        May.TRY: {"POST /proposals/{proposal}/try"},
        May.REVOKE: {"POST /agreements/{agreement}/{version:int}/revoke"},
    }


async def test_each_page_is_for_whom_the_policy_says(site: Sandbox) -> None:
    """Every page as every kind of caller: nobody, a citizen, each kind of staff, and bearers of the API's tokens."""
    url = site.addresses.public_url
    async with a_guest(url) as nobody, a_guest(url) as citizen:
        await citizen.sign_in("dafydd")
        await walked(nobody, None, frozenset())
        await walked(citizen, "citizen", frozenset())
        for headers in ({"authorization": "Bearer x"}, {"authorization": "Basic eDp4"}):
            answer = await nobody.get("/changes", headers)
            assert answer.location.startswith("/sign-in"), "a token opens no page"
    for member in SAMPLE_STAFF:
        async with a_guest(url) as staff:
            await staff.sign_in(member.key, prefix=STAFF)
            await walked(staff, "staff", may(member.groups))


async def walked(guest: Guest, kind: str | None, allowed: frozenset[May]) -> None:
    """Ask for every page, and compare who was let in with what the policy says."""
    csrf = await token(guest, STAFF if kind == "staff" else "/changes") if kind else "x"
    for (method, path), rule in PAGES.items():
        ends = path.endswith(("/sign-out", "/session/stay")) or (method, path[-11:]) == ("POST", "/everywhere")
        if path in CANNOT_BE_ASKED or ends:
            continue
        form = {"csrf": csrf} if method == "POST" else None
        answer = await guest.ask(method, address_of(path), form)
        match rule:
            case ForAnybody():
                here = kind == ("staff" if path.startswith(STAFF) else "citizen")
                no_link = method == "POST" and answer.status == 404  # of a letter
                assert answer.status == 200 or (here and answer.status == 303) or no_link, (kind, path)
            case ForProvider():
                assert answer.status == 400, (kind, path)
            case ForStaff(needs) if kind == "staff":
                assert (answer.status == 403) == (needs is not None and needs not in allowed), (allowed, method, path)
            case ForPeople() if kind == "citizen":
                assert answer.status in {200, 303, 404}, (kind, path)
                assert not answer.location.startswith("/sign-in?next="), (
                    kind,
                    path,
                )  # to prove who they are is another
            case _ if path.endswith(("/live", "/session/left")):
                assert answer.status == 401, (kind, path)
            case _:
                door = STAFF if isinstance(rule, ForStaff) else ""
                assert answer.location.startswith(f"{door}/sign-in?next="), (kind, method, path)


async def token(guest: Guest, path: str) -> str:
    return (await guest.get(path)).page.forms[0].fields["csrf"]


async def test_staff_who_used_no_second_factor_are_not_signed_in(
    site: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(names: Names, state: SandboxState, signed_in: SignIn, access_token: str, at: datetime) -> str:
        person = replace(signed_in.person, second_factor=False)
        return id_token(names, state, replace(signed_in, person=person), access_token, at)

    monkeypatch.setattr("broker.sandbox.provider.id_token", without)
    async with a_guest(site.addresses.public_url) as staff, a_guest(site.addresses.public_url) as citizen:
        await staff.sign_in("rhys", prefix=STAFF)
        assert (await staff.get(STAFF)).location.startswith(f"{STAFF}/sign-in?next=")
        await citizen.sign_in("dafydd")
        assert (await citizen.get("/changes")).status == 200, "citizens need none"


async def test_no_page_is_sent_to_by_a_link_alone(site: Sandbox) -> None:
    """What a link may claim is not so: signed out, session ended, not signed in."""
    async with a_guest(site.addresses.public_url) as guest:
        await guest.sign_in("dafydd")
        for path, there in (
            ("/signed-out", "/"),
            ("/not-signed-in", "/"),
            ("/session-ended?next=/changes", "/changes"),
        ):
            answer = await guest.get(path)
            assert (answer.status, answer.location) == (303, there), path
            assert "clear-site-data" not in answer.headers
        assert (await guest.get("/changes")).status == 200, "still signed in"


async def test_an_answer_out_of_turn_leads_back_to_what_comes_first(site: Sandbox) -> None:
    """Forms sent by somebody who has answered nothing yet: no fault, and nothing is skipped."""
    async with a_guest(site.addresses.public_url) as guest:
        await guest.sign_in("sian")
        csrf = await token(guest, "/changes")
        for path in ("/move/tell", "/move/declaration", "/move/children/list", "/move/new/choose", "/move/date"):
            answer = await guest.ask("POST", path, {"csrf": csrf, "remove": "9", "uprn": "1"})
            assert answer.status == 303, path
        assert (await guest.get("/move/check")).location == "/change"


async def test_the_nhs_number_is_shown_to_go_to_health_boards_and_to_nobody_else(site: Sandbox) -> None:
    [number] = [person.nhs_number for person in sample_people() if person.key == "sian"]
    async with a_guest(site.addresses.public_url) as guest:
        await move(guest)
        shown = (await guest.get("/move/tell")).html
        cards = shown.split('<div class="govuk-summary-card">')[1:]
        titles = [re.findall(r'card__title">\s*([^<]+?)\s*<', card)[0] for card in cards]
        told = [title for title, card in zip(titles, cards, strict=True) if str(number) in card]
        assert told == [title for title in titles if title.endswith("University Health Board")]
        assert len(told) == 2


@pytest.mark.parametrize("language", LANGUAGES)
async def test_who_is_not_told_of_a_move_to_england_is_said_before_and_after(site: Sandbox, language: Language) -> None:
    """The council over there, and everybody who takes it from the person alone; those who are told are not among them."""
    england = {"en": "The council of your new address, in England", "cy": "Cyngor eich cyfeiriad newydd, yn Lloegr"}
    words = words_in(language)
    async with a_guest(site.addresses.public_url, language) as guest:
        await move_to_england(guest, "caitlin")
        places = ["/move/tell", "/move/check"]
        for path in places:
            answer = await guest.get(path)
            judged(answer, language, path)
            assert england[language] in answer.html, path
            assert words("untold-before-title") in answer.html
            assert words("untold-left-out") not in answer.html
        sent = (await guest.fill("/move/declaration")).location
        for path in (sent, sent.removesuffix("/sent")):
            answer = await guest.get(path)
            judged(answer, language, path)
            assert england[language] in answer.html, path
            assert words("untold-after-title") in answer.html
            links = {link for link in answer.page.links if link.startswith("https://")}
            assert {"https://www.gov.uk/find-local-council", "https://www.gov.uk/tell-hmrc-change-of-details"} <= links
            untold = answer.html.partition(words("untold-after-title"))[2].partition("</ul>")[0]
            required = site.rooms.directory.organisations()["swansea-council"]
            assert words.of(required.name) not in untold, "nobody who is told"
            assert words("untold-left-out") in untold, "the health board, which the person left out"
        form = (await guest.get(f"{sent.removesuffix('/sent')}/cancel")).page.forms[-1]
        await guest.ask("POST", form.action, dict(form.fields))
        answer = await guest.get(sent.removesuffix("/sent"))
        assert words("untold-after-title") not in answer.html, "of a change that was taken back nobody need be told"


async def test_what_is_asked_of_a_person_names_its_purpose(site: Sandbox) -> None:
    """WCAG 2.2, 1.3.5: a browser can fill in the new address. The previous one it would fill in wrongly."""
    async with a_guest(site.addresses.public_url) as guest:
        await move(guest)
        fields = {
            which: {
                found["name"]: found.get("autocomplete")
                for tag, found in (await guest.get(f"/move/{which}/type")).page.attributes
                if tag == "input" and found.get("type") == "text"
            }
            for which in ("new", "previous")
        }
    assert fields["new"] == {
        "flat": "off",
        "building": "address-line1",
        "street": "address-line2",
        "locality": "address-level3",
        "town": "address-level2",
        "postcode": "postal-code",
    }
    assert set(fields["previous"].values()) == {"off"}


async def test_a_child_sent_twice_is_one(site: Sandbox) -> None:
    async with a_guest(site.addresses.public_url) as guest:
        await move(guest)
        for _ in range(2):
            await guest.fill("/move/child", given="Eirlys", family="Pen-y-dŵr", **parts("born", date(2015, 5, 4)))
        assert (await guest.get("/move/children/list")).html.count("Eirlys") == 2, "in the list, and on its button"


async def test_a_provider_that_is_away_keeps_nobody_from_signing_out(
    site: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_self: Discovery) -> Endpoints:
        raise KeysUnavailable

    async with a_guest(site.addresses.public_url) as guest:
        await guest.sign_in("dafydd")
        csrf = await token(guest, "/changes")
        monkeypatch.setattr(Discovery, "endpoints", away)
        answer = await guest.ask("POST", "/sign-out", {"csrf": csrf})
        assert answer.location == f"{site.addresses.public_url}/signed-out"
        assert "storage" in answer.headers["clear-site-data"]
        assert (await guest.get("/changes")).location.startswith("/sign-in")


async def test_signing_out_on_every_device_leaves_nobody_in_anywhere(site: Sandbox) -> None:
    url = site.addresses.public_url
    async with a_guest(url) as here, a_guest(url) as there, a_guest(url) as another:
        await here.sign_in("brychan")
        await there.sign_in("brychan")
        await another.sign_in("dafydd")
        form = (await here.get("/sign-out/everywhere")).page.forms[-1]
        assert (await there.get("/changes")).status == 200, "looking does nothing"
        answer = await here.ask("POST", form.action, form.fields)
        assert answer.location.startswith(f"{site.addresses.issuer}logout?id_token_hint="), "and at the provider"
        assert (await here.go(answer.location)).status == 200
        for guest in (here, there):
            assert "next=%2Fchanges" in (await guest.get("/changes")).location
        assert (await another.get("/changes")).status == 200


async def test_who_signs_out_at_the_provider_is_signed_out_here(site: Sandbox) -> None:
    url, issuer = site.addresses.public_url, site.addresses.issuer
    async with a_guest(url) as here, a_guest(url) as there, a_guest(url) as another:
        await here.sign_in("brychan", prove=True)
        await there.sign_in("brychan")
        await another.sign_in("dafydd")
        told = await another.ask("POST", f"{issuer}sign-out-everywhere", {"person": "brychan"})
        assert (told.status, told.html) == (200, "Clients told: 1\n")
        for guest in (here, there):
            assert (await guest.get("/changes")).location.startswith("/session-ended")
        assert (await another.get("/changes")).status == 200
        assert (await another.ask("POST", f"{issuer}sign-out-everywhere", {"person": "nobody"})).status == 400


async def test_changes_beyond_a_page_can_be_reached(site: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "SHOWN", 1)
    async with a_guest(site.addresses.public_url) as guest:
        for _ in range(2):
            await move(guest, "llyr")
            await guest.fill("/move/declaration")
        first = await guest.get("/changes")
        [older] = [link for link in first.page.links if "before" in link]
        assert ("/changes/2" in first.page.links, "/changes/1" in first.page.links) == (True, False)
        second = await guest.get(older)
        assert ("/changes/2" in second.page.links, "/changes/1" in second.page.links) == (False, True)
        assert "/changes" in second.page.links
        for before in ("x", "-1", "9" * 40, "²"):
            assert (await guest.get(f"/changes?before={before}")).status == 200


# What they say


def judged(answer: Answer, language: Language, path: str) -> None:
    """Find fault with a page: language, title, headings, links, what a strict policy forbids."""
    assert answer.headers["content-language"] == language, path
    assert foreign_in(answer.html, language) == [], path
    page = answer.page
    assert page.headings == 1, path
    assert page.title.endswith(words_in(language)("service-name")), path
    elements = page.attributes
    assert [found for tag, found in elements if tag == "script" and "src" not in found] == [], path
    assert [name for _, found in elements for name in found if name == "style" or name.startswith("on")] == [], path
    ids = [found["id"] for _, found in elements if "id" in found]
    assert len(ids) == len(set(ids)), path
    for tag, found in elements:
        for name in ("for", "aria-describedby", "aria-labelledby"):
            assert set(found.get(name, "").split()) <= page.ids, (path, tag, found)
    links = [*page.links, *(found["href"] for tag, found in elements if tag == "link")]
    for link in links:
        assert link.startswith(("/", "#", "https://")), (path, link)
        assert not link.startswith("#") or link[1:] in page.ids, (path, link)
        assert not link.startswith("//"), (path, link)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_is_in_its_language_and_leads_somewhere(site: Sandbox, language: Language) -> None:
    """All of the citizens' pages and the operators', as they are and with nothing filled in; no link is dead."""
    person = {"cy": "gwenno", "en": "robin"}[language]
    titles: dict[str, str] = {}
    links: set[str] = set()
    url = site.addresses.public_url
    async with a_guest(url, language) as guest, a_guest(url, language) as s, a_guest(url, language) as caseworker:
        for path in ("/", "/cookies", "/accessibility", "/privacy", "/not-signed-in", "/signed-out", "/session-ended"):
            links |= await looked_at(guest, language, path, titles)
        await move(guest, person)
        for (method, path), rule in PAGES.items():
            elsewhere = ("/live", "/session/left", "/release")  # the last is there only where somebody objected
            if isinstance(rule, ForPeople) and method == "GET" and not path.endswith(elsewhere):
                links |= await looked_at(guest, language, address_of(path), titles)
        for path in asked_pages(ForPeople):
            await sent_empty(guest, language, path)
        sent = await guest.fill("/move/declaration")
        assert sent.location == "/changes/1/sent"
        for path in ("/changes", "/changes/1", "/changes/1/following", "/changes/1/sent"):
            links |= await looked_at(guest, language, path, titles)
        await s.sign_in("rhys", prefix=STAFF)
        await caseworker.sign_in("tegid", prefix=STAFF)
        for (method, path), rule in PAGES.items():
            if isinstance(rule, ForStaff) and method == "GET" and not path.endswith(("/live", "/session/left")):
                who = caseworker if rule.needs in {May.DECIDE, May.JOIN} else s
                links |= await looked_at(who, language, address_of(path), titles)
        for path in asked_pages(ForStaff):
            await sent_empty(s, language, path)
        for link in sorted(link for link in links if link.startswith("/")):
            who = (
                caseworker
                if link.startswith((f"{STAFF}/holds", f"{STAFF}/joinings"))
                else s
                if link.startswith(STAFF)
                else guest
            )
            assert (await who.go(link)).status == 200, link
    assert len(titles) >= 38, "all that can be shown with every answer given"
    shared = {title: [one for one in titles if titles[one] == title] for title in titles.values()}
    assert [paths for paths in shared.values() if len(paths) > 1 and not one_thing(paths)] == []


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_change_is_cancelled_after_asking_once_more(site: Sandbox, language: Language) -> None:
    person, words = {"cy": "iestyn", "en": "angharad"}[language], words_in(language)
    async with a_guest(site.addresses.public_url, language) as guest:
        await move(guest, person)
        await guest.fill("/move/declaration")
        assert "/changes/1/cancel" in (await guest.get("/changes/1")).page.links
        asked = await guest.get("/changes/1/cancel")
        judged(asked, language, "/changes/1/cancel")
        assert (await guest.ask("POST", "/changes/1/cancel", {"csrf": "x"})).status == 403
        assert words("cancel-link") in (await guest.get("/changes/1")).html, "nothing was done by looking"
        for _ in range(2):
            form = asked.page.forms[-1]
            done = await guest.ask("POST", form.action, dict(form.fields))
            assert done.location == "/changes/1"
        shown = await guest.get("/changes/1")
        judged(shown, language, "/changes/1")
        assert words("cancel-link") not in shown.html
        assert words("withdrawn-cancelled", at="X").partition("X")[0] in shown.html
        assert (await guest.get("/changes/1/cancel")).location == "/changes/1"
        assert len(re.findall(r'href="/changes/\d+"', (await guest.get("/changes")).html)) == 1, "and is no change more"
    async with a_guest(site.addresses.public_url, language) as guest:
        await guest.sign_in(person)  # known again, but not who they are
        assert (await guest.get("/changes/1/cancel")).location == "/changes/1", "it is cancelled already"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_page_that_is_none_says_so_and_leads_to_none_of_a_strangers(site: Sandbox, language: Language) -> None:
    async with a_guest(site.addresses.public_url, language) as guest:
        await guest.sign_in("dafydd")
        for path in ("/nowhere", "//evil.example/x", "/%5cevil.example", "/staff/nowhere", "/changes/999", "/a%22b<"):
            answer = await guest.get(f"{guest.url}{path}")
            assert answer.status == 404, path
            judged(answer, language, path)
            assert ("/staff" in answer.page.links) == path.startswith("/staff"), "where to start anew"
        wrong = await guest.ask("POST", "/changes", {"csrf": "x"})
        assert (wrong.status, set(wrong.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


def asked_pages(kind: type) -> list[str]:
    """Return the questions of one kind of person: pages whose form is sent to themselves."""
    return [path for (method, path), rule in PAGES.items() if isinstance(rule, kind) and method == "POST"
            and ("GET", path) in PAGES and "{" not in path and path not in {"/move/tell", "/move/declaration"}
            and not path.endswith("/sign-out/everywhere")]  # fmt: skip


def one_thing(paths: list[str]) -> bool:
    """Return whether these may share a title: places whose time is over, whatever they were, or one page twice or of both domains."""
    return (
        all("/x" in path for path in paths)
        or len({path.removeprefix(STAFF).removesuffix("/following") for path in paths}) == 1
    )


async def looked_at(guest: Guest, language: Language, path: str, titles: dict[str, str]) -> set[str]:
    """Look at one page, if it is shown now, and return where it leads."""
    answer = await guest.get(path)
    if answer.status == 303:
        return set()
    assert answer.status in {200, 403, 404}, path
    judged(answer, language, path)
    titles[path] = answer.page.title
    return {link for link in answer.page.links if answer.status == 200}


async def sent_empty(guest: Guest, language: Language, path: str) -> None:
    """Send a question's form with nothing in it: what is wrong is said, in the language, and leads to its field."""
    shown = await guest.get(path)
    if shown.status != 200:
        return
    form = shown.page.forms[-1]
    answer = await guest.ask("POST", form.action, {"csrf": form.fields["csrf"]})
    assert "again=1" in answer.location, path
    again = await guest.get(answer.location)
    judged(again, language, path)
    assert again.page.title.startswith(f"{words_in(language)('error-prefix')}: "), path


@pytest.mark.parametrize("language", LANGUAGES)
async def test_faults_letters_and_every_status_speak_the_language(language: Language) -> None:
    for code in (400, 403, 404, 405, 410, 500, 503):
        judged(answered(fault_page(code, language)), language, str(code))
    letter = confirmation("id", Contact(email="sian@example.com", language=language), "7K3M9-QX2TB-D")
    assert foreign_in(f"<html lang={language}><p>{letter.subject}</p><p>{letter.body}</p>", language) == []
    words = words_in(language)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    kinds: tuple[Any, ...] = ("accepted", "published", "answered", "deferred", "withheld", "undelivered", "conflict")
    for status in Status:
        entries = [
            TimelineEntry(at=at, what=what, status=status, next_try=after) for what in kinds for after in (None, at)
        ]
        view = DeliveryView(
            organisation=COUNCIL,
            name=Bilingual(cy="Cyngor", en="Council"),
            status=status,
            not_before=at if status is Status.WAITING else None,
            reference=None,
            timeline=tuple(entries),
        )
        said = [timeline_words.status_words(status, words), timeline_words.advice_of(view, words) or ""]
        said += [" ".join(timeline_words.entry_words(entry, words)) for entry in entries]
        html = f"<html lang={language}>" + "".join(f"<p>{one}</p>" for one in said)
        assert foreign_in(html, language) == [], status


async def test_who_was_erased_is_told_so_and_not_that_a_page_is_old() -> None:
    scope = {"type": "http", "method": "GET", "path": "/changes", "query_string": b"", "headers": [(b"cookie", b"")]}
    gone: tuple[Exception, ...] = (PersonGone(), PersonErased(frozenset()))
    for fault in gone:
        response = await _faults()[type(fault)](Request(scope), fault)
        assert response.status_code == 410
        assert words_in("en")("fault-erased-title") in bytes(response.body).decode()


def answered(response: Any) -> Answer:
    headers: Mapping[str, str] = response.headers
    return Answer(response.status_code, dict(headers), response.body.decode())


async def test_a_sentence_of_the_other_language_is_found() -> None:
    """The finder finds: a whole sentence, a few words with a value in them, a name only a screen reader says."""
    for said in ("<p>Page not found</p>", "<p>sent with 3 others</p>", '<a aria-label="the other">x</a>'):
        assert foreign_in(f"<html lang=cy>{said}", "cy") != []
        assert foreign_in(f"<html lang=cy><div lang=en>{said}</div>", "cy") == []
    assert foreign_in("<html lang=en><p>Mae problem</p>", "en") != []

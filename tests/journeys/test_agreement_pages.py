"""From a proposal to an agreement in force, and to its end: two operators in a real browser, and what a person sees."""

import asyncio
import email
import json
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, expect

from adapters.conformance_http import HttpPeer, response
from broker import audit
from broker.audit.proposals import on_proposals
from broker.intake.dry_run import A_MONTH, dry_run
from broker.language import Language, words_in
from broker.language.catalogue import LANGUAGES
from broker.main.embedded import Sandbox
from broker.main.roles import secret_name
from broker.register import proposing
from broker.register.entrusting import entrusted
from broker.register.wales import councils
from broker.sandbox.apps import exchange_access
from broker.sandbox.exchange_access import AccessTokens
from broker.store import changes, operations, register
from broker.tracking import timeline
from broker.verification import StoredGazetteer
from broker.web.staff import ledger
from broker.web.timeline_words import entry_words
from contracts.agreement import Agreement
from tests.journeys.test_operator_pages import go_on, say_why, staff, told, until
from tests.support.browser import Visitor, visiting
from tests.support.guest import a_guest
from tests.support.inspector import Inspector
from tests.support.line import now
from tests.support.said import foreign_in

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
]

TRANSPORT = "transport-for-wales"


def newest(site: Sandbox) -> Agreement:
    found = [
        item
        for item in site.rooms.directory.agreements()
        if item.organisation == TRANSPORT and item.change_type == "address"
    ]
    return max(found, key=lambda item: item.version)


async def standing(site: Sandbox) -> Agreement:
    """Put a new version into force, and return it: other tests revoke the newest, and an older one never comes back."""
    before = newest(site)
    fresh = before.model_copy(update={"version": before.version + 1, "revoked": False})
    await register.put_agreement(site.rooms.database, fresh)
    await site.rooms.directory.refresh()
    return fresh


def next_version(agreement: Agreement, **update: Any) -> str:
    document = agreement.model_dump(mode="json", exclude={"revoked"}, exclude_none=True)
    signed = {"organisation": "TfW", "name": "Ifan Dychmygol", "post": "Head of Data", "signedOn": "2026-01-01"}
    document |= {"version": agreement.version + 1, "signatories": [signed], "reviewBy": "2999-01-01", **update}
    return json.dumps(document, ensure_ascii=False, indent=1)


async def paste(v: Visitor, document: str) -> None:
    await v.go("/staff/proposals")
    await v.page.fill("#document", document)
    await go_on(v)


@pytest.mark.parametrize(("language", "narrow", "scripts"), [("cy", True, False), ("en", False, True)])
async def test_a_version_is_proposed_approved_by_another_and_revoked(  # noqa: PLR0915  one journey
    site: Sandbox, browser: Browser, language: Language, narrow: bool, scripts: bool
) -> None:
    words, before = words_in(language), newest(site)
    days = 30 if language == "cy" else 40
    async with (
        visiting(site, browser, language=language, narrow=narrow, scripts=scripts) as v,
        visiting(site, browser, language=language, narrow=narrow, scripts=scripts) as other,
    ):
        seen, theirs = Inspector(v, language, "agreements-"), Inspector(other, language, "agreements-other-")
        await staff(v, "rhys")
        await staff(other, "nia")

        # What is wrong is said by field, and nothing of it is repeated
        await paste(v, next_version(before, area=[1], retentionDays="hunter2"))
        await seen("wrong")
        text = await v.page.inner_text("main")
        assert "/retentionDays" in text
        assert words("staff-problem-not_valid") in text
        assert "hunter2" not in await v.page.content()

        # Proposed by one
        await paste(v, next_version(before, retentionDays=days))
        await seen("check")
        await expect(v.page.locator("main table")).to_contain_text("retentionDays")
        await go_on(v)
        await seen("proposal")
        place = v.page.url.removeprefix(site.addresses.public_url)
        await expect(v.page.locator("main")).to_contain_text(words("staff-approved-already"))
        assert await v.page.locator("form[action$='/approve']").count() == 0
        assert newest(site) == before, "one person is not enough"

        # Approved by another
        await other.go("/staff/agreements")
        await theirs("waiting")
        await other.go(place)
        await theirs("to-approve")
        await other.page.locator("form[action$='/approve'] button").click()
        await other.page.wait_for_load_state()
        await expect(other.page.locator("main")).to_contain_text(words("staff-proposal-in_force"))
        agreed = newest(site)
        assert (agreed.version, agreed.retention_days) == (before.version + 1, days)

        # Read, and told under while the organisation takes nothing
        await v.go(f"/staff/agreements/{agreed.id}")
        await seen("versions")
        await v.go(f"/staff/agreements/{agreed.id}/{agreed.version}")
        await seen("document")
        leaf = audit.leaf("organisation.paused", now(), "test")
        await operations.pause(site.rooms.database, TRANSPORT, "maintenance", None, leaf)
        await site.rooms.directory.refresh()
        accepted = await told(site, f"revoked-{language}")

        # Revoked by one, at once: what is not sent is withheld, and the person's timeline says so
        await other.go(f"/staff/agreements/{agreed.id}")
        await go_on(other)
        assert await other.page.locator(".govuk-error-summary__list a").count() == 2
        await say_why(other, "incident")
        await go_on(other)
        await theirs("revoked")
        await expect(other.page.locator("main")).to_contain_text(words("staff-standing-revoked"))
        await operations.pause(site.rooms.database, TRANSPORT, None, None, leaf)
        async with asyncio.timeout(20):
            while True:
                views = await timeline.followed(
                    site.rooms.database, accepted.change_id, site.rooms.directory.organisations()
                )
                view = next(item for item in views if item.organisation == TRANSPORT)
                if view.status == "cancelled":
                    break
                await asyncio.sleep(0.1)
        assert words("happened-revoked") in [entry_words(entry, words)[1] for entry in view.timeline]
        [row] = [
            row
            for row in await changes.deliveries_of(site.rooms.database, [accepted.change_id])
            if row.organisation == TRANSPORT
        ]
        assert (row.agreement, row.agreement_version, row.reason) == (agreed.id, agreed.version, "revoked")
        done = [act["action"] for act in await operations.acts(site.rooms.database, 10) if "pause" not in act["action"]]
        assert "agreement.revoked" in done
        assert [name for name in done if name.startswith("proposal.")][:3] == [
            "proposal.in_force",
            "proposal.approved",
            "proposal.proposed",
        ]


@pytest.mark.parametrize("language", ["cy", "en"])
async def test_the_register_shows_who_is_connected_and_who_is_known(site: Sandbox, language: Language) -> None:
    words = words_in(language)
    async with a_guest(site.addresses.public_url, language) as guest:
        await guest.sign_in("emrys", prefix="/staff")
        page = (await guest.get("/staff/register")).html
        powys = "Cyngor Sir Powys" if language == "cy" else "Powys County Council"
        assert powys in page.split(words("staff-unconnected"), 1)[1]
        assert foreign_in(page, language) == []
        for path in ("/staff/register/cardiff-council", "/staff/agreements"):
            shown = await guest.get(path)
            assert shown.status == 200, path
            assert foreign_in(shown.html, language) == [], path
        assert "/staff/proposals" not in page, "an auditor proposes nothing"
        for path in ("/staff/register/nobody", "/staff/agreements/x", "/staff/agreements/x/1", "/staff/proposals/x"):
            assert (await guest.get(path)).status == 404, path


async def test_a_rejected_proposal_and_one_that_no_longer_fits_come_to_nothing(site: Sandbox) -> None:
    council = next(item for item in site.rooms.directory.agreements() if item.organisation == "cardiff-council")
    latest = max(
        (item for item in site.rooms.directory.agreements() if item.id == council.id), key=lambda item: item.version
    )
    url = site.addresses.public_url
    async with a_guest(url) as rhys, a_guest(url) as nia:
        await rhys.sign_in("rhys", prefix="/staff")
        await nia.sign_in("nia", prefix="/staff")
        places = []
        for days in (31, 32):
            checking = (await rhys.fill("/staff/proposals", document=next_version(latest, retentionDays=days))).location
            places.append((await rhys.fill(checking)).location)
        csrf = (await nia.get(places[0])).page.forms[-1].fields["csrf"]
        again = await rhys.ask(
            "POST", f"{places[0]}/approve", {"csrf": (await rhys.get(places[0])).page.forms[-1].fields["csrf"]}
        )
        assert (again.status, again.location) == (303, places[0]), "the same person a second time"
        await nia.fill(places[0], reason="not_lawful", note="INC-3")
        assert "Rejected" in (await nia.get(places[0])).html
        assert (await nia.ask("POST", f"{places[1]}/approve", {"csrf": csrf})).status == 303
        late = next_version(latest, retentionDays=33)
        refused = (await rhys.get((await rhys.fill("/staff/proposals", document=late)).location)).html
        assert words_in("en")("staff-problem-not_next") in refused
    known = (await register.configuration(site.rooms.database)).agreements
    assert [item.retention_days for item in known if (item.id, item.version) == (latest.id, latest.version + 1)] == [32]


async def test_a_dry_run_counts_and_names_fields_and_shows_nothing_of_anybody(site: Sandbox) -> None:
    words, url = words_in("en"), site.addresses.public_url
    for number in range(2):
        await told(site, f"counted-{number}")  # each from Cardiff to Swansea
    council = max(
        (item for item in site.rooms.directory.agreements() if item.id == "swansea-council.address"),
        key=lambda item: item.version,
    )
    rooms, at = site.rooms, now()
    leaf = ledger.tried("test", at, council, at - A_MONTH)
    gazetteer = StoredGazetteer(rooms.database)
    found = await dry_run(rooms.database, rooms.vault, gazetteer, council, at - A_MONTH, at, leaf)
    assert found.looked_at == found.told == found.by_share[1] >= 2, "all arrive there, under the second share"
    assert (found.by_share[0], found.erased, found.whole) == (0, 0, True)
    assert found.fields["change/newAddress"] == found.told
    assert "change/previousAddress" not in found.fields, "what is not permitted is not counted either"
    assert "Morwellt" not in repr(found)
    one = await dry_run(rooms.database, rooms.vault, gazetteer, council, at - A_MONTH, at, leaf, most=1)
    assert (one.looked_at, one.whole) == (1, False)
    later = await dry_run(rooms.database, rooms.vault, gazetteer, council, at + A_MONTH, at + 2 * A_MONTH, leaf)
    assert (later.looked_at, later.whole) == (0, True)
    async with a_guest(url) as rhys, a_guest(url) as olwen:
        await rhys.sign_in("rhys", prefix="/staff")
        await olwen.sign_in("olwen", prefix="/staff")
        asked = await rhys.fill("/staff/proposals", document=next_version(council, retentionDays=77))
        place = (await rhys.fill(asked.location)).location
        csrf = (await rhys.get(place)).page.forms[-1].fields["csrf"]
        counted = await rhys.ask("POST", f"{place}/try", {"csrf": csrf})
        assert words("staff-tried-looked-at") in counted.html
        assert "Morwellt" not in counted.html
        assert words("staff-try") not in (await olwen.get(place)).html
        act, *_ = await operations.acts(rooms.database, 1)
        assert (act["action"], act["agreement"]) == ("agreement.tried", f"{council.id}/{council.version + 1}")


async def test_contacts_are_written_to_about_a_change_of_endpoint_and_shown_to_operators(site: Sandbox) -> None:
    reached = site.rooms.directory.organisations()[TRANSPORT]
    document = reached.model_dump(mode="json", exclude_none=True, exclude={"paused", "draining"})
    document["adapterSettings"] |= {"endpoint": "https://hunter2.example/events"}
    outbox = site.rooms.settings.outbox
    assert outbox is not None
    async with a_guest(site.addresses.public_url) as rhys, a_guest(site.addresses.public_url) as nia:
        await rhys.sign_in("rhys", prefix="/staff")
        await nia.sign_in("nia", prefix="/staff")
        shown = (await rhys.get(f"/staff/register/{TRANSPORT}")).html
        assert [one.email for one in reached.contacts if one.email not in shown] == []
        place = (
            await rhys.fill((await rhys.fill("/staff/proposals", document=json.dumps(document))).location)
        ).location
        proposal = place.rpartition("/")[2]
        asked = await letters_about(outbox, proposal, 2)
        await nia.fill(place, reason="not_lawful", note="INC-4")
        said = await letters_about(outbox, proposal, 4)
    assert sorted(letter["To"] for letter in asked) == sorted(one.email for one in reached.contacts)
    assert "hunter2" not in "".join(letter.get_content() for letter in said)
    subjects = {letter["Subject"] for letter in said}
    assert {words_in(language)("mail-change-subject-rejected") for language in ("cy", "en")} < subjects


async def letters_about(outbox: Path, proposal: str, count: int) -> list[EmailMessage]:
    """Wait until so many letters about a proposal are there, and return them."""
    async with asyncio.timeout(30):
        while True:
            found = [
                message
                for file in outbox.glob("*.eml")
                if isinstance(message := email.message_from_bytes(file.read_bytes(), policy=default), EmailMessage)
                and proposal in message.get_content()
            ]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.1)


async def test_an_endpoint_two_people_agreed_on_is_sent_nothing_before_it_agrees_itself(site: Sandbox) -> None:
    await standing(site)
    rooms, reached = site.rooms, site.rooms.directory.organisations()[TRANSPORT]
    document = reached.model_dump(mode="json", exclude_none=True, exclude={"paused", "draining"})
    url = site.addresses.public_url
    async with HttpPeer() as peer, a_guest(url) as rhys, a_guest(url) as nia:
        agrees, peer.agrees = peer.agrees, response(200, b"")  # it is there, and does not agree
        document["adapterSettings"] |= {"endpoint": peer.url}
        document["allowedHosts"] = ["localhost"]
        await rhys.sign_in("rhys", prefix="/staff")
        await nia.sign_in("nia", prefix="/staff")
        place = (
            await rhys.fill((await rhys.fill("/staff/proposals", document=json.dumps(document))).location)
        ).location
        accepted = await told(site, "at-a-new-endpoint")
        page = await nia.get(place)
        csrf = page.page.forms[-1].fields["csrf"]
        assert (await nia.ask("POST", f"{place}/approve", {"csrf": csrf})).status == 303
        try:
            async with asyncio.timeout(30):
                while not peer.asked or await why_paused(site) != "not_activated":
                    await asyncio.sleep(0.05)
            assert peer.requests == []
            asked, peer.agrees = len(peer.asked), agrees
            leaf = audit.leaf("organisation.resumed", now(), "test")
            await operations.pause(rooms.database, TRANSPORT, None, None, leaf)
            await until(site, accepted, TRANSPORT, "received")
            assert len(peer.asked) > asked, "it was asked again before the first was sent"
            assert len(peer.requests) == 1
        finally:
            await register.put_organisation(rooms.database, reached)
            await operations.pause(
                rooms.database, TRANSPORT, None, None, audit.leaf("organisation.resumed", now(), "test")
            )
            await rooms.directory.refresh()


async def why_paused(site: Sandbox) -> str | None:
    seen = await operations.overview(site.rooms.database, 1)
    return next(item.paused_reason for item in seen.organisations if item.organisation == TRANSPORT)


@pytest.mark.parametrize("language", ["cy", "en"])
async def test_a_secret_is_approved_without_being_seen(site: Sandbox, language: Language) -> None:
    rooms, words, at = site.rooms, words_in(language), now()
    sealed = rooms.vault.sealed(secret_name(TRANSPORT, "signing-previous"), b"hunter2")
    document = entrusted(TRANSPORT, "signing-previous", sealed)
    leaves = on_proposals("command-line", at)
    waits = await proposing.propose(rooms.database, document, "command-line", at, leaves, counts=False, sealed=sealed)
    async with a_guest(site.addresses.public_url, language) as rhys, a_guest(site.addresses.public_url) as nia:
        for one, name in ((rhys, "rhys"), (nia, "nia")):
            await one.sign_in(name, prefix="/staff")
        place = f"/staff/proposals/{waits.id}"
        shown = (await rhys.get(place)).html
        assert words("staff-kind-secret") in shown
        assert words("staff-proposal-pauses") in shown
        assert "hunter2" not in shown
        assert foreign_in(shown, language) == []
        stopped = (await rhys.get(f"/staff/organisations/{TRANSPORT}")).html
        assert words("staff-pause") in stopped, "for longer than the proposal waits"
        assert words("staff-drain") not in stopped
        csrf = (await rhys.get(place)).page.forms[-1].fields["csrf"]
        assert (await rhys.ask("POST", f"{place}/approve", {"csrf": csrf})).status == 303
        await nia.fill(place, reason="document_wrong", note="INC-5")
    assert await rooms.vault.find(sealed.name) is None


@pytest.mark.parametrize("language", ["cy", "en"])
async def test_where_a_version_permits_less_the_older_is_offered_to_be_revoked(
    site: Sandbox, language: Language
) -> None:
    before, words = await standing(site), words_in(language)
    fewer = before.model_dump(mode="json")["shares"]
    fewer[0]["paths"].remove(fewer[0]["paths"][0])
    url = site.addresses.public_url
    async with a_guest(url, language) as rhys, a_guest(url, language) as nia:
        await rhys.sign_in("rhys", prefix="/staff")
        await nia.sign_in("nia", prefix="/staff")
        document = next_version(before, shares=fewer)
        place = (await rhys.fill((await rhys.fill("/staff/proposals", document=document)).location)).location
        warned = words("staff-broader", n=before.version)
        assert warned not in (await nia.get(place)).html, "not before it is in force"
        csrf = (await nia.get(place)).page.forms[-1].fields["csrf"]
        assert (await nia.ask("POST", f"{place}/approve", {"csrf": csrf})).status == 303
        shown = (await nia.get(place)).html
        assert warned in shown
        assert foreign_in(shown, language) == []
        offered = f"/staff/agreements/{before.id}?version={before.version}"
        assert f'href="{offered}#reason"' in shown
        refused = await nia.fill(offered, note="INC-6")
        assert f"version={before.version}" in refused.location, "what is wrong is said of the same version"
        again = (await nia.get(refused.location)).html
        assert warned in again
        assert f"/{before.version}/revoke" in again
        await nia.fill(offered, reason="no_longer_needed", note="INC-6")
        assert warned not in (await nia.get(f"/staff/agreements/{before.id}")).html
    known = (await register.configuration(site.rooms.database)).agreements
    revoked = {item.version: item.revoked for item in known if item.id == before.id}
    assert (revoked[before.version], revoked[before.version + 1]) == (True, False)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_whoever_decides_on_the_next_version_is_told_that_the_one_before_was_revoked(
    site: Sandbox, language: Language
) -> None:
    rooms, words, at = site.rooms, words_in(language), now()
    board = next(one for one in rooms.directory.agreements() if one.area and one.organisation != "cardiff-council")
    elsewhere = next(code for code in councils() if code not in board.area)
    before = board.model_copy(update={"id": f"gone-{language}", "version": 1, "area": (elsewhere,)})
    await register.put_agreement(rooms.database, before)
    document = Agreement.model_validate_json(next_version(before))
    waits = await proposing.propose(
        rooms.database, document, "command-line", at, on_proposals("command-line", at), counts=False
    )
    await register.revoke_agreement(rooms.database, before.id, 1, at, reason="not_lawful")
    async with a_guest(site.addresses.public_url, language) as nia:
        await nia.sign_in("nia", prefix="/staff")
        shown = (await nia.get(f"/staff/proposals/{waits.id}")).html
        assert f"{words('staff-version-n', n=1)}: " in shown
        assert foreign_in(shown, language) == []
        await nia.fill(f"/staff/proposals/{waits.id}", reason="document_wrong", note="INC-9")


async def test_software_proposes_two_people_approve_and_what_is_told_arrives_by_it(site: Sandbox) -> None:
    """The third front door: a token, a proposal, two different operators, a change, and the organisation's inbox."""
    council, url, words = "cardiff-council", site.addresses.public_url, words_in("en")
    access = exchange_access(site.state, council, token_url=f"{url}/oauth/token", receipts_url=f"{url}/v1/receipts")
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as software,
        httpx.AsyncClient(base_url=site.addresses.organisation(council), trust_env=False, timeout=30) as inbox,
        a_guest(url) as rhys,
        a_guest(url) as nia,
    ):
        software.headers.update(await AccessTokens(access, software, now).header())
        agreed = (await software.get("/v1/subscriptions")).json()["agreements"]
        [before] = [one["agreement"] for one in agreed if one["agreement"]["changeType"] == "address"]
        terms = {
            name: value
            for name, value in before.items()
            if name not in ("id", "version", "organisation", "example", "revoked")
        }
        signed = {"organisation": "Cardiff", "name": "Heulwen Enghraifft", "post": "Revenues", "signedOn": "2026-01-01"}
        [leaving] = [share for share in terms["shares"] if share["where"] == "old"]
        leaving["paths"] = ["/person/name", "/change/previousAddress"]
        terms |= {"signatories": [signed], "replaces": {"id": before["id"], "version": before["version"]}}
        asked = await software.post("/v1/subscriptions", json=terms, headers={"Idempotency-Key": "less-of-it"})
        assert (asked.status_code, asked.json()["state"]) == (202, "requested"), asked.text
        place = f"/staff/proposals/{asked.json()['id']}"

        await rhys.sign_in("rhys", prefix="/staff")
        await nia.sign_in("nia", prefix="/staff")
        shown = await rhys.get(place)
        assert words("staff-proposed-by-software") in shown.html
        for language in LANGUAGES:
            spoken = await rhys.get(place, {"Accept-Language": language})
            assert foreign_in(spoken.html, language) == []
        [form] = [one for one in shown.page.forms if one.action.endswith("/approve")]
        for _ in range(2):
            assert (await rhys.ask("POST", form.action, form.fields)).status == 303
        became = (await software.get(asked.headers["location"])).json()
        assert (became["state"], became["approvals"]) == ("requested", 1), "one person, however often"
        [form] = [one for one in (await nia.get(place)).page.forms if one.action.endswith("/approve")]
        assert (await nia.ask("POST", form.action, form.fields)).status == 303
        assert (await software.get(asked.headers["location"])).json()["state"] == "approved"

        accepted = await told(site, "by-software")
        row = await until(site, accepted, council, "applied")
        assert (row.agreement, row.agreement_version) == (before["id"], before["version"] + 1)
        data = (await inbox.get(f"/inbox/{row.id}.json")).json()["data"]
        assert set(data["change"]) == {"previousAddress"}
        assert set(data["person"]) == {"name"}

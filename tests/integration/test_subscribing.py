"""An organisation's own software proposes agreements and settings; two people decide, and nothing else counts."""

import asyncio
import json
from datetime import UTC, date, datetime
from typing import Any, get_args
from uuid import UUID, uuid4

import httpx2
import pytest
from joserfc.jwk import ECKey

from broker.audit.proposals import on_proposals
from broker.identity.organisations import ORGANISATION_SCOPES, CallingOrganisation
from broker.language import words_in
from broker.register import proposing
from broker.register.checking import Code
from broker.store import operations, proposals, register
from contracts.agreement import Agreement
from contracts.examples import AGREEMENT, ORGANISATION, SUBSCRIPTION
from contracts.organisation import Organisation, ProposalPolicy
from contracts.registration import RegisteredClient
from tests.support.api import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

OLWEN, RHYS, NIA = "staff:olwen", "staff:rhys", "staff:nia"
PLACE = "/v1/subscriptions/proposals"
ELSEWHERE = {"endpoint": "https://elsewhere.example/hunter2"}
KEY = {**ECKey.generate_key("P-256").as_dict(private=False), "use": "enc"}
"""Is a key to encrypt to, with room for what the register's own columns cannot hold."""
DEEP: dict[str, Any] = {}
for _ in range(180):
    DEEP = {"x": DEEP}


def now() -> datetime:
    return datetime.now(UTC)


class Software:
    """One organisation of the register, and its software at our door."""

    def __init__(self, api: Api, party: Organisation) -> None:
        self.api = api
        self.party = party

    def headers(self, *scopes: str, client: str | None = None) -> dict[str, str]:
        caller = CallingOrganisation(
            self.party.id, client or f"{self.party.id}-events", frozenset(scopes or ORGANISATION_SCOPES)
        )
        return {"authorization": f"Bearer {self.api.parts.organisations.issue(caller)}"}

    async def propose(self, body: Any, at: str = "", key: str | None = None, **more: Any) -> httpx2.Response:
        headers = more.pop("headers", None) or self.headers()
        return await self.api.post(
            f"/v1/subscriptions{at}", body, headers, **{"idempotency-key": key or str(uuid4())}, **more
        )

    async def agreed(self, **update: Any) -> Agreement:
        """Put a version of an agreement of its own into force."""
        own = {"id": f"{self.party.id}.tax", "organisation": self.party.id, "review_by": date(2999, 1, 1)}
        found = AGREEMENT.model_copy(update=own | update)
        await register.put_agreement(self.api.line.database, found)
        await self.api.line.directory.refresh()
        return found

    async def get(self, path: str) -> httpx2.Response:
        return await self.api.client.get(path, headers=self.headers())

    async def take_back(self, proposal: str) -> httpx2.Response:
        return await self.api.client.delete(f"{PLACE}/{proposal}", headers=self.headers())


async def software(api: Api, **update: Any) -> Software:
    """Register an organisation nobody else uses: Cardiff's council, under a name of its own."""
    party = ORGANISATION.model_copy(update={"id": f"council-{uuid4().hex[:10]}", **update})
    await register.put_organisation(api.line.database, party)
    await api.line.directory.refresh()
    return Software(api, party)


def wanted(**update: Any) -> dict[str, Any]:
    """Return a new agreement as software asks for it."""
    asked = SUBSCRIPTION.model_copy(update={"replaces": None, "review_by": date(2999, 1, 1)})
    wire: dict[str, Any] = asked.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in (wire | update).items() if value is not None}


async def approve(api: Api, proposal: str, by: str) -> bool:
    at = now()
    return await proposing.approve(api.line.database, UUID(proposal), by, at, on_proposals(by, at))


async def ledger(api: Api, organisation: str) -> list[tuple[str, str, bool]]:
    async with api.line.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT convert_from(leaf, 'UTF8')::jsonb AS leaf, by_operator FROM audit_leaf"
            " WHERE convert_from(leaf, 'UTF8')::jsonb @> $1 ORDER BY id",
            json.dumps({"organisation": organisation}),
        )
    read = [(json.loads(row["leaf"]), row["by_operator"]) for row in rows]
    return [(leaf["action"], leaf["actor"], by_operator) for leaf, by_operator in read]


def faults(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code in (400, 422), answer.text
    return {one["pointer"]: one["code"] for one in answer.json()["errors"]}


async def test_a_new_agreement_is_proposed_decided_by_two_people_and_stands(api: Api) -> None:
    cardiff = await software(api)
    answer = await cardiff.propose(wanted())
    assert answer.status_code == 202, answer.text
    asked = answer.json()
    assert asked["agreement"]["id"].startswith(f"{cardiff.party.id}-")
    assert (asked["kind"], asked["state"], asked["approvals"], asked["pauses"]) == ("agreement", "requested", 0, False)
    assert asked["proposedBy"] == f"{cardiff.party.id}-events"
    assert answer.headers["location"] == f"{PLACE}/{asked['id']}"
    assert (await cardiff.get("/v1/subscriptions")).json()["agreements"] == []

    assert not await approve(api, asked["id"], OLWEN), "who proposed is none of the two"
    with pytest.raises(proposals.ApprovedBefore):
        await approve(api, asked["id"], OLWEN)
    assert (await cardiff.get(answer.headers["location"])).json()["approvals"] == 1
    assert await approve(api, asked["id"], RHYS)
    await api.line.directory.refresh()
    became = (await cardiff.get(answer.headers["location"])).json()
    assert (became["state"], became["approvals"]) == ("approved", 2)
    assert "decidedAt" in became
    [standing] = (await cardiff.get("/v1/subscriptions")).json()["agreements"]
    assert standing["state"] == "in_force"
    assert (standing["agreement"]["organisation"], standing["agreement"]["version"]) == (cardiff.party.id, 1)
    assert standing["agreement"]["shares"] == wanted()["shares"]
    client = f"client:{cardiff.party.id}-events"
    assert await ledger(api, cardiff.party.id) == [
        ("proposal.proposed", client, False),
        ("proposal.approved", OLWEN, True),
        ("proposal.approved", RHYS, True),
        ("proposal.in_force", RHYS, True),
    ]


async def test_the_next_version_of_its_own_follows_the_newest_and_no_other(api: Api) -> None:
    cardiff, swansea = await software(api), await software(api)
    own, theirs = await cardiff.agreed(), await swansea.agreed()
    version = {"id": own.id, "version": 1}
    asked = (await cardiff.propose(wanted(replaces=version, retentionDays=30))).json()
    assert asked["agreement"] == {"id": own.id, "version": 2}
    for by in (OLWEN, RHYS):
        await approve(api, asked["id"], by)
    assert faults(await cardiff.propose(wanted(replaces=version))) == {"/replaces/version": "not_next"}
    for absent in (theirs.id, "no-such"):
        answer = await cardiff.propose(wanted(replaces={"id": absent, "version": 1}))
        assert faults(answer) == {"/replaces/id": "not_own"}, "another's is as absent as none"


async def test_refused_with_a_reason_and_taken_back(api: Api) -> None:
    cardiff = await software(api)
    refused, taken = [(await cardiff.propose(wanted())).json()["id"] for _ in range(2)]
    at = now()
    leaves = on_proposals(NIA, at, reason="not_lawful", note="the operators' own words")
    await proposing.reject(api.line.database, UUID(refused), NIA, at, "not_lawful", "the operators' own words", leaves)
    for _ in range(2):
        assert (await cardiff.take_back(taken)).status_code == 204
    decided = await cardiff.take_back(refused)
    assert (decided.status_code, decided.json()["type"].rpartition(":")[2]) == (409, "already-decided")
    with pytest.raises(proposals.NotOpen):
        await approve(api, taken, OLWEN)
    listed = (await cardiff.get(PLACE)).json()["proposals"]
    assert {one["id"]: (one["state"], one.get("reason")) for one in listed} == {
        refused: ("refused", "not_lawful"),
        taken: ("taken_back", None),
    }
    assert "own words" not in json.dumps(listed)
    assert (await ledger(api, cardiff.party.id))[-1] == (
        "proposal.taken_back", f"client:{cardiff.party.id}-events", False,
    )  # fmt: skip


async def test_where_it_is_reached_waits_for_two_and_nothing_is_sent_meanwhile(api: Api) -> None:
    cardiff = await software(api)
    asked = (await cardiff.propose({"adapterSettings": ELSEWHERE}, "/settings")).json()
    assert (asked["kind"], asked["pauses"]) == ("settings", True)

    async def reached() -> dict[str, Any]:
        await api.line.directory.refresh()
        found: dict[str, Any] = (await cardiff.get("/v1/subscriptions")).json()["settings"]
        return found

    found = await reached()
    assert (found["adapterSettings"], found["paused"]) == (cardiff.party.adapter_settings, True)
    assert (await cardiff.take_back(asked["id"])).status_code == 204
    assert not (await reached())["paused"]

    mailbox = [{"email": "new@cardiff.example", "language": "cy"}]
    both = (await cardiff.propose({"adapterSettings": ELSEWHERE, "contacts": mailbox}, "/settings")).json()
    for by in (OLWEN, RHYS):
        await approve(api, both["id"], by)
    found = await reached()
    assert (found["adapterSettings"], found["contacts"], found["paused"]) == (ELSEWHERE, mailbox, False)
    kept = (await register.configuration(api.line.database)).organisations[cardiff.party.id]
    assert kept.model_copy(update={"adapter_settings": {}, "contacts": ()}) == cardiff.party.model_copy(
        update={"adapter_settings": {}, "contacts": ()}
    ), "and nothing else of it has changed"
    async with api.line.database.connection() as connection:
        letters = await connection.fetch(
            "SELECT what, count(*) FROM contact_letter WHERE organisation = $1 GROUP BY what ORDER BY what",
            cardiff.party.id,
        )
    assert [(row["what"], row["count"]) for row in letters] == [("in_force", 2), ("proposed", 4), ("taken_back", 2)]


@pytest.mark.parametrize(
    ("at", "update", "expected"),
    [
        ("", {"organisation": "hunter2"}, {"/organisation": "not_theirs"}),
        ("", {"hunter2": "hunter2"}, {"": "extra_forbidden"}),
        ("", {"revoked": False}, {"/revoked": "not_theirs"}),
        ("", {"id": "hunter2"}, {"/id": "not_theirs"}),
        ("", {"title": None}, {"/title": "missing"}),
        ("", {"retentionDays": "hunter2"}, {"/retentionDays": "int_type"}),
        ("", {"area": [6855]}, {"/area/0": "area_other"}),
        ("", {"area": [6815, 6855]}, {"/area/1": "area_other"}),
        ("", {"changeType": "hunter2"}, {"/changeType": "type_unknown"}),
        ("", {"signatories": []}, {"/signatories": "unsigned"}),
        ("/settings", {"adapter": "sftp", "contacts": None}, {"/adapter": "not_theirs"}),
        ("/settings", {"allowedHosts": ["10.0.0.1"], "contacts": None}, {"/allowedHosts": "not_theirs"}),
        ("/settings", {"secrets": {"signing": "hunter2"}}, {"": "extra_forbidden"}),
        ("/settings", {"contacts": []}, {"/contacts": "too_short"}),
        ("/settings", {"adapterSettings": {"endpoint": "hunter2"}}, {"/adapterSettings": "adapter_wrong"}),
        (
            "/settings",
            {"adapterSettings": {"endpoint": "https://c\u0430rdiff.example/hunter2"}},
            {"/adapterSettings": "adapter_wrong"},
        ),
        ("/settings", {"adapterSettings": {**ELSEWHERE, "secret": "hunter2"}}, {"/adapterSettings": "adapter_wrong"}),
        ("/settings", {"adapterSettings": {**ELSEWHERE, "x": 10**30}}, {"/adapterSettings": "adapter_wrong"}),
        (
            "/settings",
            {"adapterSettings": {**ELSEWHERE, "encrypt_to": {"x": "\0"}}},
            {"/adapterSettings": "adapter_wrong"},
        ),
        ("/settings", {"adapterSettings": {**ELSEWHERE, "encrypt_to": DEEP}}, {"/adapterSettings": "adapter_wrong"}),
        ("/settings", {"adapterSettings": {**ELSEWHERE, "encrypt_to": KEY | {"note": "\0"}}}, {"": "not_valid"}),
        (
            "/settings",
            {"adapterSettings": {**ELSEWHERE, "encrypt_to": KEY | {"note": 10**30}}},
            {"/adapterSettings": "adapter_wrong"},
        ),
        (
            "/settings",
            {"adapterSettings": {**ELSEWHERE, "encrypt_to": KEY | {"note": "x" * 25_000}}},
            {"": "too_large"},
        ),
        ("/settings", {"contacts": None}, {"": "value_error"}),
    ],
)
async def test_what_is_not_its_own_to_propose_is_refused_by_field_and_never_repeated(
    api: Api, at: str, update: dict[str, Any], expected: dict[str, str]
) -> None:
    cardiff = await software(api)
    body = wanted(**update) if at == "" else {name: value for name, value in update.items() if value is not None}
    answer = await cardiff.propose(body, at, **{"accept-language": "cy"})
    assert expected.items() <= faults(answer).items()
    assert "hunter2" not in answer.text
    assert answer.headers["content-language"] == "cy"
    english = {
        words_in("en")(f"staff-problem-{code}", about="") for code in expected.values() if code in get_args(Code)
    }
    assert not english & {one["detail"] for one in answer.json()["errors"]}, "each in the caller's language"
    assert (await cardiff.get(PLACE)).json() == {"proposals": []}
    if at == "":
        return
    async with api.line.database.connection() as connection:
        assert not await connection.fetchval("SELECT paused_at FROM organisation WHERE id = $1", cardiff.party.id)


async def test_an_operators_own_pause_is_not_ended_by_what_software_takes_back(api: Api) -> None:
    cardiff = await software(api)
    asked = (await cardiff.propose({"adapterSettings": ELSEWHERE}, "/settings")).json()
    database, own = api.line.database, cardiff.party.id
    assert not await operations.pause(database, own, "incident", "INC-1", b"{}", draining=True), "that would be less"
    assert await operations.pause(database, own, "incident", "INC-1", b"{}")
    assert (await cardiff.take_back(asked["id"])).status_code == 204
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT paused_reason FROM organisation WHERE id = $1", own) == "incident"


async def test_a_fault_that_names_one_of_its_agreements_is_in_its_language_too(api: Api) -> None:
    cardiff = await software(api)
    own = await cardiff.agreed()
    [fault] = (await cardiff.propose(wanted(), **{"accept-language": "cy"})).json()["errors"]
    assert fault["detail"] == words_in("cy")("staff-problem-overlaps", about=own.id)


async def test_everywhere_is_beyond_an_area_but_not_for_who_answers_for_all_of_wales(api: Api) -> None:
    anywhere = [wanted()["shares"][0] | {"where": "anywhere", "role": "national"}]
    cardiff = await software(api)
    assert faults(await cardiff.propose(wanted(area=[], shares=anywhere))) == {"/shares/0/where": "area_other"}
    nobody = await software(api, codes={})
    assert faults(await nobody.propose(wanted())) == {"/area/0": "area_other"}, "known to answer for nowhere yet"
    share = AGREEMENT.shares[0].model_copy(update={"where": "anywhere", "role": "national"})
    national = await software(api, codes={})
    before = await national.agreed(area=(), shares=(share,))
    next_one = wanted(area=[], shares=anywhere, replaces={"id": before.id, "version": 1})
    answer = await national.propose(next_one)
    assert answer.status_code == 202, "operators agreed to it once"
    await register.revoke_agreement(api.line.database, before.id, 1, now())
    await approve(api, answer.json()["id"], OLWEN)
    with pytest.raises(proposals.NoLongerFits) as late:
        await approve(api, answer.json()["id"], RHYS)
    assert [fault.code for fault in late.value.faults] == ["area_other"], "and to no more than that it has not"


async def test_anothers_proposals_look_exactly_absent(api: Api) -> None:
    cardiff, swansea = await software(api), await software(api)
    asked = (await cardiff.propose(wanted())).json()["id"]
    theirs, none, garbage = [await swansea.get(f"{PLACE}/{one}") for one in (asked, uuid4(), "whatever")]
    assert theirs.status_code == none.status_code == garbage.status_code == 404
    assert theirs.content == none.content == garbage.content
    assert (await swansea.take_back(asked)).content == none.content
    assert (await swansea.get(PLACE)).json() == {"proposals": []}
    assert (await cardiff.get(f"{PLACE}/{asked}")).json()["state"] == "requested"
    at = now()
    named = AGREEMENT.model_copy(
        update={"id": "by-staff", "organisation": cardiff.party.id, "review_by": date(2999, 1, 1)}
    )
    staffs = await proposing.propose(api.line.database, named, RHYS, at, on_proposals(RHYS, at), counts=True)
    assert (await cardiff.get(f"{PLACE}/{staffs.id}")).content == none.content, "what staff propose is theirs"
    assert (await cardiff.take_back(str(staffs.id))).content == none.content


async def test_the_same_key_again_is_the_same_proposal(api: Api) -> None:
    cardiff = await software(api)
    answers = await asyncio.gather(*(cardiff.propose(wanted(), key="once") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    [asked] = {answer.json()["id"] for answer in answers}
    other = await cardiff.propose(wanted(retentionDays=30), key="once")
    assert (other.status_code, other.json()["type"].rpartition(":")[2]) == (422, "idempotency-key-reused")
    for by in (OLWEN, RHYS):
        await approve(api, asked, by)
    again = (await cardiff.propose(wanted(), key="once")).json()
    assert (again["id"], again["state"]) == (asked, "approved"), "and not refused because it overlaps with itself"
    assert len((await cardiff.get(PLACE)).json()["proposals"]) == 1
    without = await api.post("/v1/subscriptions", wanted(), cardiff.headers())
    assert without.json()["type"].rpartition(":")[2] == "idempotency-key-missing"


async def test_so_many_at_once_and_so_many_a_day_and_no_more(api: Api) -> None:
    few = await software(api, proposals=ProposalPolicy(undecided=2, a_day=3))
    answers = await asyncio.gather(*(few.propose(wanted()) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [202, 202, 429, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["type"].rpartition(":")[2] == "too-many-proposals"
    assert refused.headers["retry-after"].isdigit()
    for answer in answers:
        if answer.status_code == 202:
            await few.take_back(answer.json()["id"])
    assert [(await few.propose(wanted())).status_code for _ in range(2)] == [202, 429], "the day is not over"
    none = await software(api, proposals=ProposalPolicy(undecided=0))
    assert (await none.propose(wanted())).status_code == 429


async def test_the_scope_and_an_organisation_are_needed(api: Api) -> None:
    cardiff = await software(api)
    for scope in sorted(ORGANISATION_SCOPES - {"subscriptions:write"}):
        answer = await cardiff.propose(wanted(), headers=cardiff.headers(scope))
        assert answer.status_code == 403, scope
        assert 'scope="subscriptions:write"' in answer.headers["www-authenticate"]
    assert (await cardiff.propose(wanted(), headers=api.citizen())).status_code == 401
    gone = Software(api, cardiff.party.model_copy(update={"id": "never-registered"}))
    assert (await gone.propose(wanted())).status_code == 404
    assert (
        await gone.propose({"contacts": [{"email": "a@b.example", "language": "en"}]}, "/settings")
    ).status_code == 404
    assert (await gone.get("/v1/subscriptions")).status_code == 404


async def test_pages_of_proposals_go_on_by_their_own_link(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.api.subscribing.PAGE", 2)
    cardiff = await software(api)
    made = [(await cardiff.propose(wanted())).json()["id"] for _ in range(3)]
    first = await cardiff.get(PLACE)
    link = first.headers["link"]
    rest = await cardiff.get(link[1 : link.index(">")])
    found = [one["id"] for answer in (first, rest) for one in answer.json()["proposals"]]
    assert found == sorted(made, reverse=True)
    assert "link" not in rest.headers


def a_key() -> dict[str, Any]:
    return {**ECKey.generate_key("P-256").as_dict(private=False), "use": "sig", "alg": "ES256"}


async def keys(
    api: Api, cardiff: Software, *having: dict[str, Any], scopes: frozenset[str] = ORGANISATION_SCOPES
) -> bool:
    """Have two people agree on the keys of its software; return whether that is in force."""
    client = RegisteredClient.model_validate(
        {
            "client_id": f"{cardiff.party.id}-events",
            "organisation": cardiff.party.id,
            "jwks": {"keys": list(having)},
            "scopes": tuple(sorted(scopes)),
        }
    )
    at = now()
    asked = await proposing.propose(api.line.database, client, OLWEN, at, on_proposals(OLWEN, at), counts=True)
    return await approve(api, str(asked.id), RHYS)


async def test_what_was_proposed_under_a_key_that_is_replaced_lapses_and_its_contacts_are_told(api: Api) -> None:
    cardiff, old, new = await software(api), a_key(), a_key()
    assert await keys(api, cardiff, old)
    settings = (await cardiff.propose({"adapterSettings": ELSEWHERE}, "/settings")).json()
    agreement = (await cardiff.propose(wanted())).json()
    assert await keys(api, cardiff, old, new)
    assert (await cardiff.get(f"{PLACE}/{settings['id']}")).json()["state"] == "requested", "it still has that key"
    assert await keys(api, cardiff, new)
    for asked in (settings, agreement):
        found = (await cardiff.get(f"{PLACE}/{asked['id']}")).json()
        assert (found["state"], found["reason"], found["pauses"]) == ("refused", "key_replaced", False)
        with pytest.raises(proposals.NotOpen):
            await approve(api, asked["id"], NIA)
    assert ("proposal.lapsed", RHYS, True) in await ledger(api, cardiff.party.id)
    async with api.line.database.connection() as connection:
        assert not await connection.fetchval("SELECT paused_at FROM organisation WHERE id = $1", cardiff.party.id)
        told = await connection.fetchval(
            "SELECT count(*) FROM contact_letter WHERE proposal_id = $1 AND what = 'rejected'", UUID(settings["id"])
        )
    assert told == len(cardiff.party.contacts) > 0
    again = (await cardiff.propose({"adapterSettings": ELSEWHERE}, "/settings")).json()
    await moments_later(api, again["id"])
    assert not await approve(api, again["id"], OLWEN)
    assert await approve(api, again["id"], RHYS), "what is proposed under the key it has is decided on as ever"


async def moments_later(api: Api, proposal: str) -> None:
    """Have a proposal be made a quarter of an hour after everything in the register."""
    async with api.line.database.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # neither is ever changed otherwise
        await connection.execute(
            "UPDATE proposal SET proposed_at = now() + interval '15 minutes' WHERE id = $1", UUID(proposal)
        )


@pytest.mark.parametrize("lost", ["key", "scope"])
async def test_a_token_got_by_a_key_that_is_gone_proposes_nothing_that_can_be_approved(api: Api, lost: str) -> None:
    cardiff, old, new = await software(api), a_key(), a_key()
    assert await keys(api, cardiff, old)
    scopes = ORGANISATION_SCOPES if lost == "key" else ORGANISATION_SCOPES - {"subscriptions:write"}
    assert await keys(api, cardiff, new if lost == "key" else old, scopes=scopes)
    asked = (await cardiff.propose(wanted())).json()["id"]
    assert not await approve(api, asked, OLWEN)
    with pytest.raises(proposals.NoLongerFits) as late:
        await approve(api, asked, RHYS)
    assert [fault.code for fault in late.value.faults] == ["key_replaced"]

"""Proposals on a real database: two people, once each; versions that are kept; what is paused meanwhile."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from broker.audit.proposals import on_proposals
from broker.register import proposing, reading
from broker.register.bodies import packaged
from broker.register.reading import Document, Faulty
from broker.store import Database, operations, proposals, register
from broker.store.proposals import ApprovedBefore, NoLongerFits, NotOpen, Proposal
from broker.web.staff import ledger
from contracts.agreement import Agreement
from contracts.examples import AGREEMENT, ORGANISATION
from contracts.publishing import PUBLISHED
from contracts.registration import RegisteredClient, Registration

OLWEN, RHYS, NIA = "staff:olwen", "staff:rhys", "staff:nia"
TODAY = datetime.now(UTC).date()
WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
NEW = AGREEMENT.model_copy(update={"review_by": date(2999, 1, 1)})


def now() -> datetime:
    return datetime.now(UTC)


async def proposed(database: Database, document: Document, by: str = OLWEN, *, counts: bool = True) -> Proposal:
    at = now()
    return await proposing.propose(database, document, by, at, on_proposals(by, at), counts=counts)


async def approved(database: Database, proposal: Proposal, by: str) -> bool:
    at = now()
    return await proposing.approve(database, proposal.id, by, at, on_proposals(by, at))


async def agreements(database: Database) -> list[tuple[str, int, bool]]:
    found = (await register.configuration(database)).agreements
    return sorted((item.id, item.version, item.revoked) for item in found)


async def acts(database: Database) -> list[tuple[str, str]]:
    return [(act["action"], act["actor"]) for act in reversed(await operations.acts(database, 50))]


@pytest.fixture
async def known(database: Database) -> Database:
    await register.put_organisation(database, ORGANISATION)
    return database


async def test_two_different_people_bring_a_version_into_force(known: Database) -> None:
    proposal = await proposed(known, NEW)
    assert await agreements(known) == []
    with pytest.raises(ApprovedBefore):
        await approved(known, proposal, OLWEN)
    assert await approved(known, proposal, RHYS)
    assert await agreements(known) == [(NEW.id, 1, False)]
    with pytest.raises(NotOpen):
        await approved(known, proposal, NIA)
    kept = await proposals.find(known, proposal.id)
    assert kept is not None
    assert ([one.by for one in kept.approvals], kept.outcome, kept.ended_by) == ([OLWEN, RHYS], "in_force", RHYS)
    assert Agreement.model_validate_json(kept.document) == NEW
    assert await acts(known) == [
        ("proposal.proposed", OLWEN), ("proposal.approved", RHYS), ("proposal.in_force", RHYS),
    ]  # fmt: skip


async def test_whoever_has_not_signed_in_counts_for_nobody(known: Database) -> None:
    proposal = await proposed(known, NEW, "command-line", counts=False)
    assert not await approved(known, proposal, OLWEN)
    assert await agreements(known) == []
    assert await approved(known, proposal, RHYS)


async def test_of_people_who_approve_at_once_only_two_are_needed_and_one_counts_once(known: Database) -> None:
    proposal = await proposed(known, NEW, "command-line", counts=False)
    people = (OLWEN, OLWEN, OLWEN, RHYS, RHYS, NIA)
    found = await asyncio.gather(*(approved(known, proposal, one) for one in people), return_exceptions=True)
    assert found.count(True) == 1
    assert found.count(False) == 1
    assert {type(item) for item in found} <= {bool, ApprovedBefore, NotOpen}
    kept = await proposals.find(known, proposal.id)
    assert kept is not None
    assert len({one.by for one in kept.approvals}) == len(kept.approvals) == 2
    assert await agreements(known) == [(NEW.id, 1, False)]


async def test_of_two_that_do_not_go_together_the_second_finds_the_first_in_force(known: Database) -> None:
    one, other = await proposed(known, NEW), await proposed(known, NEW.model_copy(update={"id": "another"}))
    found = await asyncio.gather(*(approved(known, item, RHYS) for item in (one, other)), return_exceptions=True)
    assert found.count(True) == 1
    [late] = [item for item in found if isinstance(item, NoLongerFits)]
    assert [fault.code for fault in late.faults] == ["overlaps"]
    assert len(await agreements(known)) == 1
    assert [len(item.approvals) for item in await proposals.waiting(known)] == [1], "what failed left nothing behind"


async def test_a_version_proposed_against_an_older_one_must_be_proposed_anew(known: Database) -> None:
    first, same = await proposed(known, NEW), await proposed(known, NEW)
    assert await approved(known, first, RHYS)
    with pytest.raises(NoLongerFits):
        await approved(known, same, RHYS)
    second = NEW.model_copy(update={"version": 2, "retention_days": 730})
    assert await approved(known, await proposed(known, second), RHYS)
    assert await agreements(known) == [(NEW.id, 1, False), (NEW.id, 2, False)]


async def test_one_person_rejects_and_nothing_comes_of_it(known: Database) -> None:
    proposal = await proposed(known, NEW)
    at = now()
    leaves = on_proposals(RHYS, at, reason="not_lawful", note="INC-1")
    await proposing.reject(known, proposal.id, RHYS, at, "not_lawful", "INC-1", leaves)
    with pytest.raises(NotOpen):
        await approved(known, proposal, NIA)
    assert await agreements(known) == []
    assert (await acts(known))[-1] == ("proposal.rejected", RHYS)


async def test_what_cannot_be_is_not_proposed(database: Database) -> None:
    with pytest.raises(Faulty) as faulty:
        await proposed(database, NEW)
    assert [one.code for one in faulty.value.faults] == ["organisation_unknown"]
    assert await proposals.waiting(database) == []


async def test_the_schema_itself_keeps_what_was_decided(known: Database) -> None:
    """Whatever our own code does: no version is changed, and nothing comes into force by one person."""
    await register.put_agreement(known, NEW)
    proposal = await proposed(known, NEW.model_copy(update={"version": 2}))
    for statement in (
        "UPDATE agreement SET definition = '{}'",
        "UPDATE proposal SET proposed_by = 'x'",
        "DELETE FROM proposal_approval",
        "UPDATE register_version SET definition = '{}'",
        f"INSERT INTO proposal_end VALUES ('{proposal.id}', 'in_force', 'x', now(), NULL, NULL)",
    ):
        with pytest.raises((asyncpg.RestrictViolationError, asyncpg.CheckViolationError)):
            async with known.connection() as connection:
                await connection.execute(statement)


async def test_a_version_is_revoked_once_with_who_and_why(known: Database) -> None:
    await register.put_agreement(known, NEW)
    at = now()
    leaf = ledger.revoked(RHYS, at, "cardiff", NEW.id, 1, "incident", "INC-7")
    asked = {"by": RHYS, "reason": "incident", "note": "INC-7", "leaf": leaf}
    done = [await register.revoke_agreement(known, NEW.id, 1, at, **asked) for _ in range(2)]  # type: ignore[arg-type]
    assert done == [True, False]
    [found] = await register.revocations(known, NEW.id)
    assert (found.version, found.by, found.reason, found.note) == (1, RHYS, "incident", "INC-7")
    assert await acts(known) == [("agreement.revoked", RHYS)]


def elsewhere() -> Any:
    return ORGANISATION.model_copy(update={"adapter_settings": {"endpoint": "https://elsewhere.cardiff.example/"}})


def key() -> RegisteredClient:
    example = json.loads((PUBLISHED / "examples" / "registration.json").read_text())
    return Registration.model_validate_json(json.dumps(example)).clients[0]


@pytest.mark.parametrize("document", [elsewhere(), key()], ids=["endpoint", "client-key"])
async def test_delivery_is_paused_while_a_change_of_endpoint_or_key_waits(known: Database, document: Document) -> None:
    proposal = await proposed(known, document)
    assert proposal.pauses
    assert await paused(known) == operations.PAUSED_FOR
    assert await approved(known, proposal, RHYS)
    assert await paused(known) is None


async def test_a_pause_lasts_until_the_last_is_decided_and_an_operators_own_stays(known: Database) -> None:
    first, second = await proposed(known, elsewhere()), await proposed(known, key())
    at = now()
    await proposing.reject(known, first.id, RHYS, at, "document_wrong", "INC-1", on_proposals(RHYS, at))
    assert await paused(known) == operations.PAUSED_FOR
    await approved(known, second, RHYS)
    assert await paused(known) is None
    await operations.pause(known, ORGANISATION.id, "maintenance", None, b"{}")
    third = await proposed(known, elsewhere())
    await approved(known, third, RHYS)
    assert await paused(known) == "maintenance"


async def test_nobody_resumes_what_is_in_question_and_whoever_may_reject_does(known: Database) -> None:
    first = await proposed(known, elsewhere())
    assert not await operations.pause(known, ORGANISATION.id, None, None, b"{}"), "as the proposal says"
    assert await operations.pause(known, ORGANISATION.id, "incident", "INC-1", b"{}")
    assert await operations.pause(known, ORGANISATION.id, None, None, b"{}"), "the operator's own pause ends"
    assert await paused(known) == operations.PAUSED_FOR
    at = now()
    await proposing.reject(known, first.id, RHYS, at, "document_wrong", "INC-1", on_proposals(RHYS, at))
    assert await paused(known) is None


@pytest.mark.parametrize("act", ["resume", "pause"])
async def test_what_drained_before_drains_again_unless_an_operator_says_otherwise(known: Database, act: str) -> None:
    assert await operations.pause(known, ORGANISATION.id, "maintenance", None, b"{}", draining=True)
    first, second = await proposed(known, elsewhere()), await proposed(known, key())
    [seen] = (await register.configuration(known)).organisations.values()
    assert (seen.paused, seen.draining) == (True, True)
    await approved(known, first, RHYS)
    [seen] = (await register.configuration(known)).organisations.values()
    assert (seen.paused, seen.draining) == (True, True), "another still waits"
    assert await operations.pause(known, ORGANISATION.id, "incident" if act == "pause" else None, None, b"{}")
    await approved(known, second, RHYS)
    assert await paused(known) == ("incident" if act == "pause" else None)
    [seen] = (await register.configuration(known)).organisations.values()
    assert (seen.paused, seen.draining) == (act == "pause", False)


async def test_a_proposal_of_the_moment_it_is_resumed_keeps_it_paused(
    known: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await operations.pause(known, ORGANISATION.id, "incident", None, b"{}")
    resuming: list[asyncio.Task[bool]] = []

    async def meanwhile(connection: Any, leaves: Sequence[bytes], **how: bool) -> None:
        resuming.append(asyncio.create_task(operations.pause(known, ORGANISATION.id, None, None, b"{}")))
        async with asyncio.timeout(30), known.connection() as looking:
            while not resuming[0].done() and not await looking.fetchval(WAITS):
                await asyncio.sleep(0.02)
        await operations.record_act(connection, leaves, **how)

    monkeypatch.setattr(proposals, "record_act", meanwhile)
    await proposed(known, elsewhere())
    await resuming[0]
    assert await paused(known) == operations.PAUSED_FOR


async def paused(database: Database) -> str | None:
    async with database.connection() as connection:
        found: str | None = await connection.fetchval("SELECT paused_reason FROM organisation")
        return found


async def test_every_version_of_what_is_replaced_is_kept(known: Database) -> None:
    await register.put_organisation(known, ORGANISATION)  # as it is: no new version
    await approved(known, await proposed(known, elsewhere()), RHYS)
    kept = await proposals.versions(known, "organisation", ORGANISATION.id)
    assert [(one.version, one.definition["adapterSettings"]["endpoint"]) for one in kept] == [
        (2, elsewhere().adapter_settings["endpoint"]),
        (1, ORGANISATION.adapter_settings["endpoint"]),
    ]
    await register.put_client(known, register.Client(key().client_id, ORGANISATION.id, key().jwks, frozenset()))
    assert len(await proposals.versions(known, "client", key().client_id)) == 1


async def test_of_two_edits_of_one_version_the_second_is_made_anew(known: Database) -> None:
    renamed = ORGANISATION.model_copy(update={"name": NEW.title})
    first, second = await proposed(known, elsewhere()), await proposed(known, renamed)
    assert await approved(known, first, RHYS)
    with pytest.raises(NoLongerFits) as late:
        await approved(known, second, RHYS)
    assert [fault.code for fault in late.value.faults] == ["not_next"], "it would have undone the first unseen"


async def test_bodies_are_edited_and_added(known: Database) -> None:
    edited = packaged()[0].model_copy(update={"area": (6815,)})
    assert await approved(known, await proposed(known, edited), RHYS)
    assert (await register.configuration(known)).bodies == (edited,)


async def test_a_change_waits_for_the_moment_it_is_decided_not_proposed(known: Database) -> None:
    """What was right when it was proposed and is over by now does not come into force."""
    brief = NEW.model_copy(update={"valid_until": TODAY})
    proposal = await proposed(known, brief)
    late = now() + timedelta(days=2)
    with pytest.raises(NoLongerFits) as refused:
        await proposing.approve(known, proposal.id, RHYS, late, on_proposals(RHYS, late))
    codes: Sequence[str] = [fault.code for fault in refused.value.faults]
    assert codes == ["over"]


async def test_a_client_of_another_organisation_is_not_taken_over(known: Database) -> None:
    other = ORGANISATION.model_copy(update={"id": "swansea"})
    await register.put_organisation(known, other)
    theirs = key().model_copy(update={"organisation": "swansea"})
    early = await proposed(known, theirs)
    await register.put_client(known, register.Client(key().client_id, ORGANISATION.id, key().jwks, frozenset()))
    with pytest.raises(Faulty) as faulty:
        await proposed(known, theirs)
    assert [one.code for one in faulty.value.faults] == ["organisation_other"]
    with pytest.raises(NoLongerFits):
        await approved(known, early, RHYS)
    kept = await register.client(known, key().client_id)
    assert kept is not None
    assert kept.organisation == ORGANISATION.id


async def test_a_pause_outlasts_a_decision_of_the_same_moment(known: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proposal that is not committed when another is rejected must not lose its pause by that."""
    first = await proposed(known, elsewhere())
    deciding: list[asyncio.Task[None]] = []

    async def meanwhile(connection: Any, leaves: Sequence[bytes], **how: bool) -> None:
        if not deciding:
            at = now()
            leaf = on_proposals(RHYS, at)
            deciding.append(
                asyncio.create_task(proposing.reject(known, first.id, RHYS, at, "document_wrong", "", leaf))
            )
            async with asyncio.timeout(30), known.connection() as looking:
                while not deciding[0].done() and not await looking.fetchval(WAITS):
                    await asyncio.sleep(0.02)
        await operations.record_act(connection, leaves, **how)

    monkeypatch.setattr(proposals, "record_act", meanwhile)
    await proposed(known, key())
    await deciding[0]
    assert await paused(known) == operations.PAUSED_FOR


async def test_what_is_kept_may_be_larger_than_what_is_handed_in(known: Database) -> None:
    """It says its defaults too; an import that was proposed can be approved."""
    large = ORGANISATION.model_copy(
        update={
            "adapter_settings": ORGANISATION.adapter_settings,
            "allowed_hosts": tuple(f"{n}.cardiff.example" for n in range(1500)),
        }
    )
    proposal = await proposed(known, large)
    assert len(proposal.document) > reading.LARGEST
    assert await approved(known, proposal, RHYS)

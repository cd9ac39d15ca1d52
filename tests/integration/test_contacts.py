"""Whoever changes how an organisation is reached, its contacts are written to: those it had, in their languages."""

import email
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from broker.audit.proposals import on_proposals
from broker.main.letters import again
from broker.notify import FileOutbox, Letter, Notifier, Post
from broker.register import proposing
from broker.store import Database, operations, proposals, register
from contracts.delivery import Unavailable
from contracts.examples import AGREEMENT, ORGANISATION
from contracts.organisation import Contact
from contracts.statuses import Reason

OLWEN, RHYS = "staff:olwen", "staff:rhys"
WELSH, ENGLISH = (one.email for one in ORGANISATION.contacts)
ELSEWHERE = "https://elsewhere.cardiff.example/hunter2"
MOVED = ORGANISATION.model_copy(update={"adapter_settings": {"endpoint": ELSEWHERE}})
THIEF = ORGANISATION.model_copy(update={"contacts": (Contact(email="thief@elsewhere.example", language="en"),)})


@pytest.fixture
async def known(database: Database) -> Database:
    await register.put_organisation(database, ORGANISATION)
    return database


async def proposed(database: Database, document: Any) -> proposals.Proposal:
    at = datetime.now(UTC)
    return await proposing.propose(database, document, OLWEN, at, on_proposals(OLWEN, at), counts=True)


async def approved(database: Database, proposal: proposals.Proposal) -> bool:
    at = datetime.now(UTC)
    return await proposing.approve(database, proposal.id, RHYS, at, on_proposals(RHYS, at))


async def rejected(database: Database, proposal: proposals.Proposal) -> None:
    at = datetime.now(UTC)
    leaves = on_proposals(RHYS, at, reason="document_wrong", note="INC-1")
    await proposing.reject(database, proposal.id, RHYS, at, "document_wrong", "INC-1", leaves)


async def nobodys_key(_person: int) -> bytes | None:
    raise AssertionError("a contact is no person")


def notifier(database: Database, post: Post) -> Notifier:
    return Notifier(database, post, nobodys_key, again, "https://unwaith.example")


class Outbox:
    """Takes what is owed, and reads it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._folder = folder
        self._notifier = notifier(database, FileOutbox(folder))

    async def emptied(self) -> dict[str, EmailMessage]:
        """Send what is due; return it by whom it is to, and forget it."""
        while await self._notifier.round():
            pass
        found = {}
        for file in self._folder.glob("*.eml"):
            message = email.message_from_bytes(file.read_bytes(), policy=default)
            assert isinstance(message, EmailMessage)
            found[str(message["To"])] = message
            file.unlink()
        return found


@pytest.fixture
def outbox(known: Database, tmp_path: Path) -> Outbox:
    return Outbox(known, tmp_path / "outbox")


async def test_all_contacts_are_told_what_was_asked_and_what_became_of_it_without_values(
    known: Database, outbox: Outbox
) -> None:
    proposal = await proposed(known, MOVED)
    asked = await outbox.emptied()
    assert await approved(known, proposal)
    decided = await outbox.emptied()
    assert set(asked) == set(decided) == {WELSH, ENGLISH}
    assert [asked[to]["Content-Language"] for to in (WELSH, ENGLISH)] == ["cy", "en"]
    text = asked[ENGLISH].get_content()
    for part in (str(proposal.id), "Cardiff Council", "Two people must approve", "Nothing is sent to it until"):
        assert part in text
    assert "Cyngor Caerdydd" in asked[WELSH].get_content()
    assert asked[WELSH]["Subject"].startswith("Gofynnwyd am newid")
    assert "It is in force" in decided[ENGLISH].get_content()
    for letter in (*asked.values(), *decided.values()):
        whole = f"{letter['Subject']} {letter.get_content()}"
        assert [word for word in ("elsewhere", "hunter2", "http", "staff:", "@") if word in whole] == []
    back = await proposed(known, ORGANISATION)
    assert set(await outbox.emptied()) == {
        WELSH,
        ENGLISH,
    }  # one letter each at a time: they are read by whom they are to
    await rejected(known, back)
    assert "was rejected" in (await outbox.emptied())[ENGLISH]["Subject"]
    asked_again, at = await proposed(known, ORGANISATION), datetime.now(UTC)
    leaves = on_proposals("client:cardiff", at)
    await outbox.emptied()
    await proposals.take_back(
        known, asked_again.id, proposals.Approval("client:cardiff", at), lambda one: leaves(one, "taken_back")
    )
    taken_back = await outbox.emptied()
    assert "was taken back" in taken_back[ENGLISH]["Subject"]
    assert "Tynnwyd yn ôl" in taken_back[WELSH]["Subject"]
    assert await outbox.emptied() == {}


async def test_who_takes_the_place_of_the_contacts_is_told_of_to_those_who_were_there(
    known: Database, outbox: Outbox
) -> None:
    proposal = await proposed(known, THIEF)
    assert not proposal.pauses
    text = (await outbox.emptied())[ENGLISH].get_content()
    assert "who is written to" in text
    assert "Nothing is sent" not in text
    assert await approved(known, proposal)
    assert set(await outbox.emptied()) == {WELSH, ENGLISH}, "not to who is there now"
    await proposed(known, THIEF.model_copy(update={"contacts": ()}))
    assert set(await outbox.emptied()) == {"thief@elsewhere.example"}


async def test_what_changes_neither_way_nor_contacts_is_not_written_about(known: Database, outbox: Outbox) -> None:
    await proposed(known, ORGANISATION.model_copy(update={"name": AGREEMENT.title}))
    await proposed(known, AGREEMENT.model_copy(update={"review_by": datetime(2999, 1, 1, tzinfo=UTC).date()}))
    assert await outbox.emptied() == {}


async def test_letters_are_owed_with_the_act_or_not_at_all(known: Database, outbox: Outbox) -> None:
    first, second = await proposed(known, MOVED), await proposed(known, THIEF)
    assert await approved(known, first)
    await outbox.emptied()
    with pytest.raises(proposals.NoLongerFits):
        await approved(known, second)
    assert await outbox.emptied() == {}


class Away:
    async def send(self, letter: Letter) -> None:
        raise Unavailable(Reason.CONNECTION_LOST)


async def test_a_letter_waits_for_the_mail_server_and_its_address_goes_with_it(known: Database, outbox: Outbox) -> None:
    await proposed(known, MOVED)
    structlog.reset_defaults()  # a command that ran here before may have left its level
    with capture_logs() as logs:
        assert await notifier(known, Away()).round() == len(ORGANISATION.contacts)
    assert logs
    assert "@" not in repr(logs)
    assert await rows(known) == {("owed", 1, "connection_lost", True)}
    async with known.connection() as connection:
        await connection.execute("UPDATE contact_letter SET due = now()")
    assert set(await outbox.emptied()) == {WELSH, ENGLISH}
    assert await rows(known) == {("sent", 2, None, False)}
    assert "@" not in repr(await operations.acts(known, 10))


async def test_a_letter_that_is_given_up_is_an_alarm_until_a_day_after_or_the_decision(known: Database) -> None:
    async def unwritten() -> int:
        [seen] = (await operations.overview(known, 1)).organisations
        return seen.unwritten

    proposal = await proposed(known, MOVED)
    gives_up = Notifier(known, Away(), nobodys_key, lambda *_: None, "https://unwaith.example")
    structlog.reset_defaults()  # a command that ran here before may have left its level
    with capture_logs() as logs:
        assert await gives_up.round() == len(ORGANISATION.contacts)
    assert [line["log_level"] for line in logs if line["event"] == "letter.given_up"] == ["error"] * 2
    assert "@" not in repr(logs)
    assert await unwritten() == len(ORGANISATION.contacts)
    async with known.connection() as connection:
        await connection.execute("UPDATE contact_letter SET ended_at = now() - interval '2 days'")
    assert await unwritten() == len(ORGANISATION.contacts), "they have not heard of what is still undecided"
    await rejected(known, proposal)
    assert await unwritten() == 0


async def rows(database: Database) -> set[tuple[str, int, str | None, bool]]:
    async with database.connection() as connection:
        found = await connection.fetch("SELECT status, attempts, reason, email IS NOT NULL AS kept FROM contact_letter")
    return {(row["status"], row["attempts"], row["reason"], row["kept"]) for row in found}


async def test_a_contact_shows_nothing_of_its_address(known: Database) -> None:
    assert "@" not in repr(ORGANISATION.contacts)
    with pytest.raises(ValueError, match="email") as refused:
        Contact(email="hunter2 a@b.example", language="cy")
    assert "hunter2" not in str(refused.value)

"""Letters to people: owed with the change, sent with retry, saying nothing of it; over real SMTP and into files."""

import asyncio
import email
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from broker.eventlog.postgres import PostgresLog
from broker.intake import Accepted
from broker.main.letters import again
from broker.notify import Contact, FileOutbox, Notifier, Post, SmtpPost
from broker.notify.notifier import LEASE
from broker.store import Database, notices
from broker.vault import RootKeyFile
from contracts.requests import ChangeRequest
from tests.support.line import Line, a_line, a_move, now, somebody

SECRETS = ("Heol y Bŵa", "SA99", "CF99", "council", "Llŷr", "Siân", "address", "cyfeiriad", "http")
"""What a letter must never say: where to, who, or what changed; and it has no link but the one that only holds."""
LINK = re.compile(r"https://unwaith\.example/hold/[A-Za-z0-9_-]{32}")


@pytest.fixture
async def line(database: Database, tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as opened:
        yield opened


class Mailserver:
    """Enough of SMTP (RFC 5321) to take a letter, or to refuse it."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.recipient_answer = "250 ok"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(line: str) -> None:
            writer.write(line.encode() + b"\r\n")
            await writer.drain()

        await say("220 test")
        while line := (await reader.readline()).decode().strip():
            match line.split(" ")[0].split(":")[0].upper():
                case "DATA":
                    await say("354 go on")
                    raw = await reader.readuntil(b"\r\n.\r\n")
                    message = email.message_from_bytes(raw[:-5], policy=default)
                    assert isinstance(message, EmailMessage)
                    self.letters.append(message)
                    await say("250 ok")
                case "RCPT":
                    await say(self.recipient_answer)
                case "QUIT":
                    await say("221 bye")
                    break
                case _:
                    await say("250 ok")
        writer.close()


def notifier(line: Line, post: Post) -> Notifier:
    return Notifier(line.database, post, line.vault.key_of, again, "https://unwaith.example")


async def later(line: Line, by: timedelta) -> None:
    """Let time pass for what is owed: the store's clock decides, and cannot be moved."""
    async with line.database.connection() as connection:
        await connection.execute("UPDATE notice SET due = due - $1::interval", by)


async def told(line: Line, contact: Contact | None, key: str = "a-key", number: int = 1) -> Accepted:
    who, request = somebody(number), a_move()
    shown = await line.intake.preview(who, request)
    whole = ChangeRequest(type=request.type, change=request.change, preview=shown.digest)
    return await line.intake.accept(who, key, whole, contact=contact)


async def state(line: Line) -> list[tuple[str, int, str | None]]:
    async with line.database.connection() as connection:
        rows = await connection.fetch("SELECT status, attempts, reason FROM notice ORDER BY since")
    return [(row["status"], row["attempts"], row["reason"]) for row in rows]


@pytest.mark.parametrize(("language", "subject"), [("cy", "Rydym wedi derbyn"), ("en", "We have received")])
async def test_a_confirmation_says_its_reference_and_nothing_of_the_change(
    line: Line, tmp_path: Path, language: str, subject: str
) -> None:
    accepted = await told(line, Contact("sian@example.com", "cy" if language == "cy" else "en"))
    await told(line, Contact("sian@example.com", "en"))  # the same key again: the same change, the same letter
    outbox = tmp_path / "outbox"
    sender = notifier(line, FileOutbox(outbox))
    assert await sender.round() == 1
    assert await sender.round() == 0
    [file] = outbox.glob("*.eml")
    message = email.message_from_bytes(file.read_bytes(), policy=default)
    assert isinstance(message, EmailMessage)
    assert message["To"] == "sian@example.com"
    assert message["Content-Language"] == language
    assert message["Subject"].startswith(subject)
    text = message.get_content()
    assert accepted.reference in text
    assert len(LINK.findall(text)) == 1
    assert [word for word in SECRETS if word in LINK.sub("", text).replace(accepted.reference, "")] == []
    assert accepted.reference not in message["Subject"]
    assert await state(line) == [("sent", 1, None)]


async def test_who_wants_none_gets_none(line: Line, tmp_path: Path) -> None:
    await told(line, None)
    assert await notifier(line, FileOutbox(tmp_path / "outbox")).round() == 0


async def test_the_address_is_sealed(line: Line) -> None:
    await told(line, Contact("sian@example.com", "cy"))
    async with line.database.connection() as connection:
        assert b"sian@" not in await connection.fetchval("SELECT sealed FROM notice")
    assert "sian" not in repr(Contact("sian@example.com", "cy"))


async def test_a_mail_server_that_is_away_delays_the_letter_and_nothing_else(line: Line) -> None:
    mailserver = Mailserver()
    async with mailserver.listening() as port:
        pass
    away = SmtpPost(host="127.0.0.1", port=port, sender="unwaith@example.com", encrypted=False)
    accepted = await told(line, Contact("sian@example.com", "cy"))
    assert len(await line.statuses(accepted)) == 3
    assert await notifier(line, away).round() == 1
    assert await state(line) == [("owed", 1, "connection_lost")]
    await later(line, timedelta(minutes=2))
    async with mailserver.listening() as port:
        there = SmtpPost(host="127.0.0.1", port=port, sender="unwaith@example.com", encrypted=False)
        assert await notifier(line, there).round() == 1
    assert await state(line) == [("sent", 2, None)]
    assert mailserver.letters[0]["To"] == "sian@example.com"
    assert mailserver.letters[0]["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [("550 no such user", "given_up", "invalid_for_receiver"), ("451 later", "owed", "server_error")],
)
async def test_a_refusal_is_final_and_a_delay_is_not(line: Line, answer: str, status: str, reason: str) -> None:
    mailserver = Mailserver()
    mailserver.recipient_answer = answer
    await told(line, Contact("sian@example.com", "cy"))
    async with mailserver.listening() as port:
        post = SmtpPost(host="127.0.0.1", port=port, sender="unwaith@example.com", encrypted=False)
        await notifier(line, post).round()
    assert await state(line) == [(status, 1, reason)]
    assert mailserver.letters == []


async def test_without_tls_nothing_is_handed_over(line: Line) -> None:
    mailserver = Mailserver()
    await told(line, Contact("sian@example.com", "cy"))
    async with mailserver.listening() as port:
        await notifier(line, SmtpPost(host="127.0.0.1", port=port, sender="unwaith@example.com")).round()
    assert await state(line) == [("owed", 1, "tls_failed")]
    assert mailserver.letters == []


async def test_an_address_that_is_two_or_a_header_is_none(line: Line, tmp_path: Path) -> None:
    for number, address in enumerate(("a@example.com,b@example.com", "a@example.com\r\nBcc: b@example.com", "nobody")):
        await told(line, Contact(address, "en"), key=f"key-{number}", number=number)
    await notifier(line, FileOutbox(tmp_path / "outbox")).round()
    assert await state(line) == [("given_up", 1, "invalid_for_receiver")] * 3
    assert not (tmp_path / "outbox").exists()


async def test_who_is_erased_is_not_written_to(line: Line, tmp_path: Path) -> None:
    accepted = await told(line, Contact("sian@example.com", "cy"))
    async with line.database.connection() as connection:
        await connection.execute("DELETE FROM person_key WHERE person_id = $1", accepted.person.person_id)
    await notifier(line, FileOutbox(tmp_path / "outbox")).round()
    assert await state(line) == [("given_up", 1, "erased")]


async def test_a_worker_that_died_is_followed_by_another_with_the_same_letter(line: Line) -> None:
    mailserver = Mailserver()
    await told(line, Contact("sian@example.com", "cy"))

    assert len(await notices.claim(line.database, LEASE, 10)) == 1, "claimed by one that then died"
    async with mailserver.listening() as port:
        post = SmtpPost(host="127.0.0.1", port=port, sender="unwaith@example.com", encrypted=False)
        assert await notifier(line, post).round() == 0, "still claimed"
        await later(line, LEASE + timedelta(seconds=1))
        assert await notifier(line, post).round() == 1
    assert await state(line) == [("sent", 2, None)]


async def test_many_workers_send_each_letter_once(line: Line) -> None:
    mailserver = Mailserver()
    for number in range(30):
        await told(line, Contact("sian@example.com", "cy"), key=f"key-{number}")
    async with mailserver.listening() as port:
        post = SmtpPost(host="127.0.0.1", port=port, sender="unwaith@example.com", encrypted=False)
        rounds = await asyncio.gather(*(notifier(line, post).round() for _ in range(4)))
    assert sum(rounds) == 30
    assert len({letter["Message-ID"] for letter in mailserver.letters}) == len(mailserver.letters) == 30


def test_patience_ends() -> None:
    since = now()
    assert again(1, since, since) is not None
    assert again(60, since, since + timedelta(days=3)) is None


async def written_to(line: Line, folder: Path) -> dict[str, str]:
    """Send what is owed; return the letters by whom they are to."""
    sender = notifier(line, FileOutbox(folder))
    while await sender.round():
        pass
    found = {}
    for file in folder.glob("*.eml"):
        message = email.message_from_bytes(file.read_bytes(), policy=default)
        assert isinstance(message, EmailMessage)
        found[str(message["To"])] = str(message.get_content())
        file.unlink()
    return found


async def test_the_old_contact_hears_too_that_something_was_told_and_not_what(line: Line, tmp_path: Path) -> None:
    await told(line, Contact("Sian@example.com", "cy"), "first")
    await told(line, Contact("sian@example.com", "cy"), "second")
    assert set(await written_to(line, tmp_path)) == {"Sian@example.com", "sian@example.com"}, "one address"
    changed = await told(line, Contact("thief@example.com", "en"), "third")
    letters = await written_to(line, tmp_path)
    assert set(letters) == {"thief@example.com", "sian@example.com"} or set(letters) == {
        "thief@example.com",
        "Sian@example.com",
    }
    [old] = [text for to, text in letters.items() if to != "thief@example.com"]
    assert len(LINK.findall(old)) == 1
    assert LINK.findall(old) != LINK.findall(letters["thief@example.com"]), "each its own"
    assert [word for word in (*SECRETS, changed.reference, "thief") if word in LINK.sub("", old)] == []
    await told(line, Contact("thief@example.com", "en"), "fourth")
    assert set(await written_to(line, tmp_path)) == {"thief@example.com"}, "without a policy only when it changes"


async def test_asking_for_no_confirmation_keeps_nothing_from_who_is_written_to(line: Line, tmp_path: Path) -> None:
    """Whoever holds the account may not be the person: a move is always told of where anybody was written to."""
    await told(line, Contact("sian@example.com", "cy"), "first")
    await written_to(line, tmp_path)
    await told(line, None, "second")
    [(to, text)] = (await written_to(line, tmp_path)).items()
    assert to == "sian@example.com"
    assert len(LINK.findall(text)) == 1

"""Ways to send a letter: by SMTP, or into a folder for development."""

import asyncio
import os
import re
import secrets
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from pathlib import Path
from typing import Final, Protocol

from contracts.delivery import Misconfigured, Rejected, Unavailable
from contracts.statuses import Reason

DEADLINE_SECONDS: Final = 15.0
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
"""What HTML takes for an address of e-mail: no space, no line break, no second recipient."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to one person."""

    id: str
    """Repeats on a retry: it becomes the Message-ID, by which mail systems know a repeat."""
    to: str = field(repr=False)
    language: str
    subject: str
    body: str


class Post(Protocol):
    """Sends a letter, or raises what `contracts.delivery` has for failures."""

    async def send(self, letter: Letter) -> None:
        """At least once. Raises Unavailable (not now), Rejected (never), Misconfigured (an operator must act)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpPost:
    """Submission to a mail server (RFC 6409)."""

    host: str
    port: int
    sender: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    encrypted: bool = True
    """STARTTLS, with the server's certificate verified; off only for a server on this machine."""

    async def send(self, letter: Letter) -> None:
        message = written(letter, self.sender)
        await asyncio.to_thread(self._submit, message)  # smtplib blocks; it has its own deadline

    def _submit(self, message: EmailMessage) -> None:
        try:
            with smtplib.SMTP(self.host, self.port, timeout=DEADLINE_SECONDS) as server:
                if self.encrypted:
                    server.starttls(context=ssl.create_default_context())
                if self.username is not None and self.password is not None:
                    server.login(self.username, self.password)
                server.send_message(message)
        except (ssl.SSLError, smtplib.SMTPNotSupportedError):
            failure: Exception = Misconfigured(Reason.TLS_FAILED)
        except smtplib.SMTPAuthenticationError:
            failure = Misconfigured(Reason.UNAUTHORISED)
        except smtplib.SMTPRecipientsRefused as refused:
            codes = [code for code, _ in refused.recipients.values()]
            failure = _refusal(max(codes, default=0))
        except smtplib.SMTPResponseException as refused:
            failure = _refusal(refused.smtp_code)
        except (OSError, smtplib.SMTPException):
            failure = Unavailable(Reason.CONNECTION_LOST)
        else:
            return
        raise failure  # outside the handler: a server's words may repeat the address


@dataclass(frozen=True, slots=True)
class FileOutbox:
    """Letters as files, `<id>.eml`, for development and tests."""

    folder: Path
    sender: str = "unwaith@example.com"

    async def send(self, letter: Letter) -> None:
        content = written(letter, self.sender).as_bytes(policy=SMTP)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self.folder / f"{letter.id}.eml"
        fresh = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        fresh.replace(place)  # a repeat replaces its like


def written(letter: Letter, sender: str) -> EmailMessage:
    """Return the message. Raises Rejected for an address that is none."""
    if not _ADDRESS.fullmatch(letter.to):
        raise Rejected(Reason.INVALID_FOR_RECEIVER)
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = letter.to
    message["Subject"] = letter.subject
    domain = make_msgid(domain=sender.rpartition("@")[2].rstrip(">")).rpartition("@")[2].rstrip(">")
    message["Message-ID"] = f"<{letter.id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    message.set_content(letter.body, charset="utf-8", cte="base64")
    message["Content-Language"] = letter.language  # after the content, which replaces every Content header
    return message


def _refusal(code: int) -> Exception:
    permanent = 500 <= code < 600  # noqa: PLR2004  RFC 5321, section 4.2.1
    return Rejected(Reason.INVALID_FOR_RECEIVER) if permanent else Unavailable(Reason.SERVER_ERROR)

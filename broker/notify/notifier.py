"""Sends what is owed to people, and to organisations' contacts: claims what is due, tries each once, and keeps what became of it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol
from uuid import UUID

import structlog

from broker import sealing
from broker.language import Words, words_in
from broker.notify.contact import Contact
from broker.notify.contacts import about_a_change
from broker.notify.post import Letter, Post
from broker.store import Database, StoreUnavailable, letters, notices
from contracts.delivery import Misconfigured, Rejected, Unavailable
from contracts.organisation import DeliveryPolicy
from contracts.statuses import Reason

BATCH: Final = 20
"""Tried at once; all of them within the lease."""
LEASE: Final = timedelta(seconds=60)
"""What one has claimed is left to it for so long: longer than a letter takes."""
POLL_SECONDS: Final = 1.0
POLICY: Final = DeliveryPolicy(
    first_delay_seconds=5.0, longest_delay_seconds=3600.0, horizon_seconds=2 * 24 * 3600.0, unknown_limit=100
)
"""A confirmation later than two days confirms nothing."""

KeyOf = Callable[[int], Awaitable[bytes | None]]
"""A person's data key, None for somebody erased."""
Decide = Callable[[int, datetime, datetime], datetime | None]
"""(attempts, since, now) → when to try again, None to give up."""

log = structlog.get_logger()


class Due(Protocol):
    """A letter that was claimed, whoever it is to."""

    @property
    def id(self) -> UUID: ...
    @property
    def attempts(self) -> int: ...
    @property
    def since(self) -> datetime: ...
    @property
    def now(self) -> datetime: ...


class Keep(Protocol):
    """Keeps what became of an attempt. Raises StoreUnavailable."""

    async def __call__(self, *, reason: Reason | None, again: datetime | None) -> None: ...


class Notifier:
    """One worker; any number may run beside each other."""

    def __init__(
        self,
        database: Database,
        post: Post,
        key_of: KeyOf,
        decide: Decide,
        public_url: str,
    ) -> None:
        self._database = database
        self._post = post
        self._key_of = key_of
        self._decide = decide
        self._public_url = public_url

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`."""
        while not stop.is_set():
            try:
                sent = await self.round()
            except StoreUnavailable:
                sent = 0
            if not sent:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), POLL_SECONDS)

    async def round(self) -> int:
        """Try everything that is due, at most BATCH of each kind; return how many were tried. Raises StoreUnavailable."""
        database = self._database
        claimed = await notices.claim(database, LEASE, BATCH)
        owed = await letters.claim(database, LEASE, BATCH)
        async with asyncio.TaskGroup() as group:
            for notice in claimed:
                group.create_task(
                    self._try(notice, partial(self._confirmation, notice), partial(notices.tried, database, notice))
                )
            for letter in owed:
                group.create_task(
                    self._try(letter, partial(_to_contact, letter), partial(letters.tried, database, letter))
                )
        return len(claimed) + len(owed)

    async def _try(self, due: Due, write: Callable[[], Awaitable[Letter | None]], keep: Keep) -> None:
        reason: Reason | None = None
        again: datetime | None = None
        try:
            letter = await write()
            if letter is None:
                reason = Reason.ERASED
            else:
                await self._post.send(letter)
        except Rejected as refused:
            reason = refused.reason
        except (Unavailable, Misconfigured) as away:
            reason = away.reason
            again = self._decide(due.attempts, due.since, due.now)
        except StoreUnavailable:
            return  # the lease ends, and it is due again
        except Exception as fault:  # whatever it is, it must not keep the others from being sent
            log.exception("notice.failed", notice_id=str(due.id), error=type(fault).__name__)
            reason = Reason.ADAPTER_FAULT
            again = self._decide(due.attempts, due.since, due.now)
        with contextlib.suppress(StoreUnavailable):  # sent, and not kept as sent: it goes out once more
            await keep(reason=reason, again=again)
        outcome = "sent" if reason is None else "deferred" if again else "given_up"
        log.info("notice.tried", notice_id=str(due.id), outcome=outcome, reason=reason.value if reason else None)
        if isinstance(due, letters.Owed) and outcome == "given_up":
            log.error("letter.given_up", notice_id=str(due.id), reason=reason.value if reason else None)

    async def _confirmation(self, notice: notices.Claimed) -> Letter | None:
        key = await self._key_of(notice.person_id)
        if key is None:
            return None
        try:
            contact = Contact.opened(key, notice.id, notice.sealed)
        except sealing.CannotOpen:
            return None
        link = f"{self._public_url}/hold/{contact.link}" if contact.link else None
        if notice.kind == "old_contact":
            return to_old_contact(str(notice.id), contact, link)
        return confirmation(str(notice.id), contact, notice.reference, link)


async def _to_contact(owed: letters.Owed) -> Letter:
    return about_a_change(owed)


def to_old_contact(letter_id: str, contact: Contact, link: str | None) -> Letter:
    """Return what is written to where somebody was written to before: neither what changed nor a reference."""
    words = words_in(contact.language)
    parts = [words("mail-hello"), words("mail-old-contact-body"), *_holding(words, link), words("mail-goodbye")]
    body = "\n\n".join(parts)
    return Letter(letter_id, contact.email, contact.language, words("mail-old-contact-subject"), body + "\n")


def _holding(words: Words, link: str | None) -> list[str]:
    return [words("mail-hold"), link] if link else []


def confirmation(letter_id: str, contact: Contact, reference: str, link: str | None = None) -> Letter:
    """Return the confirmation of a change: that there is one, and its reference; never what changed.

    `link` can only hold the change.
    """
    words = words_in(contact.language)
    body = "\n\n".join(
        (
            words("mail-hello"),
            words("mail-confirmation-body"),
            words("mail-confirmation-reference", reference=reference),
            words("mail-confirmation-follow"),
            words("mail-confirmation-not-you"),
            *_holding(words, link),
            words("mail-goodbye"),
        )
    )
    return Letter(letter_id, contact.email, contact.language, words("mail-confirmation-subject"), body + "\n")

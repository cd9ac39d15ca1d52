"""Sends what is owed to people: claims what is due, tries each once, and keeps what became of it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from broker import sealing
from broker.language import Words, words_in
from broker.notify.contact import Contact
from broker.notify.post import Letter, Post
from broker.store import Database, StoreUnavailable, notices
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
        """Try everything that is due, at most BATCH; return how many were tried. Raises StoreUnavailable."""
        claimed = await notices.claim(self._database, LEASE, BATCH)
        async with asyncio.TaskGroup() as group:
            for notice in claimed:
                group.create_task(self._try(notice))
        return len(claimed)

    async def _try(self, notice: notices.Claimed) -> None:
        reason: Reason | None = None
        again: datetime | None = None
        try:
            letter = await self._letter(notice)
            if letter is None:
                reason = Reason.ERASED
            else:
                await self._post.send(letter)
        except Rejected as refused:
            reason = refused.reason
        except (Unavailable, Misconfigured) as away:
            reason = away.reason
            again = self._decide(notice.attempts, notice.since, notice.now)
        except StoreUnavailable:
            return  # the lease ends, and it is due again
        except Exception as fault:  # whatever it is, it must not keep the others from being sent
            log.exception("notice.failed", notice_id=str(notice.id), error=type(fault).__name__)
            reason = Reason.ADAPTER_FAULT
            again = self._decide(notice.attempts, notice.since, notice.now)
        with contextlib.suppress(StoreUnavailable):  # sent, and not kept as sent: it goes out once more
            await notices.tried(self._database, notice, reason=reason, again=again)
        outcome = "sent" if reason is None else "deferred" if again else "given_up"
        log.info("notice.tried", notice_id=str(notice.id), outcome=outcome, reason=reason.value if reason else None)

    async def _letter(self, notice: notices.Claimed) -> Letter | None:
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

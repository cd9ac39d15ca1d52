"""Letters to people put together: how they are sent, and when they are tried again."""

import secrets
from datetime import datetime

from broker.main.rooms import Rooms
from broker.notify import FileOutbox, Notifier, Post, SmtpPost
from broker.notify.notifier import POLICY
from broker.settings import Settings, SettingsRefused
from broker.tracking.retry import Again, Tried, decide
from contracts.receipts import FailureKind


def notifier(rooms: Rooms) -> Notifier:
    """Return the worker. Raises SettingsRefused where there is nothing to send with."""
    return Notifier(rooms.database, post(rooms.settings), rooms.vault.key_of, again, rooms.settings.public_url)


def post(settings: Settings) -> Post:
    """Return how letters are sent. Raises SettingsRefused."""
    if settings.outbox is not None:
        return FileOutbox(settings.outbox)
    if settings.mail is None:
        raise SettingsRefused("UNWAITH_MAIL__HOST is missing: give the mail server that takes letters to people.")
    mail = settings.mail
    return SmtpPost(
        host=mail.host,
        port=mail.port,
        sender=mail.sender,
        username=mail.username,
        password=mail.password.get_secret_value() if mail.password else None,
        encrypted=mail.encrypted,
    )


def again(attempts: int, since: datetime, now: datetime) -> datetime | None:
    """Return when to try a letter again, None to give up: the decision about deliveries, with letters' own patience."""
    jitter = secrets.SystemRandom().random()
    tried = Tried(attempts=attempts, unknowns=0, since=since)
    found = decide(FailureKind.UNAVAILABLE, tried, now, POLICY, asked=None, jitter=jitter)
    return found.due if isinstance(found, Again) else None

"""Messages to the person, in their language: owed with the change, sent with retry, and never saying what changed.

No decision about a change waits for a message: a provider that is away delays messages and nothing else.
"""

from broker.notify.contact import Contact
from broker.notify.notifier import Notifier
from broker.notify.post import FileOutbox, Letter, Post, SmtpPost

__all__ = ["Contact", "FileOutbox", "Letter", "Notifier", "Post", "SmtpPost"]

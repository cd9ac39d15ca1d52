"""Who is written to about a change: where the person wants its confirmation, and where they were written to before."""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from broker import sealing
from broker.notify import Contact
from broker.store import changes
from broker.store.holds import Known, KnownContact
from broker.vault import PersonKey
from contracts.ids import new_id


@dataclass(frozen=True, slots=True)
class Letters:
    """What is owed of letters with a change."""

    confirmation: Contact | None
    old_contact: Contact | None
    """Where they were written to before: somebody else may be reading where they are written to now."""
    contact_since: datetime | None
    """Since when they are written to where they are; None where it never was another."""
    new: bool
    """The contact is not the one that is kept."""
    changed: bool
    """And there was one."""

    def owed(self, person: PersonKey, digest: sealing.Digester, now: datetime) -> tuple[changes.OwedNotice, ...]:
        """Return the letters, sealed, each with a link of its own that can only hold the change."""
        found = []
        if self.confirmation is not None:
            found.append(_notice(person, self.confirmation, "confirmation", digest, now))
        if self.old_contact is not None:
            found.append(_notice(person, self.old_contact, "old_contact", digest, now))
        return tuple(found)

    def contact(self, person: PersonKey, now: datetime) -> changes.NewContact | None:
        """Return the contact that is to be kept, None where nothing changed."""
        if self.confirmation is None or not self.new:
            return None
        contact_id = new_id(now)
        sealed = self.confirmation.sealed(person.key, contact_id)
        return changes.NewContact(id=contact_id, sealed=sealed, changed=self.changed)


def letters_of(
    person: PersonKey, known: Known, contact: Contact | None, lasting: timedelta, *, redirects: bool
) -> Letters:
    """Return who is written to. Who was before a change of contact is too, for as long as that is a new one.

    Of what `redirects` mail or messages somebody is always written to, where anybody ever was: whoever asks for no
    confirmation may not be the person.
    """
    kept = known.contact
    if kept is None:
        return Letters(contact, None, None, new=contact is not None, changed=False)
    present = _opened(person, kept.id, kept.sealed)
    if contact is not None and (present is None or present.email.casefold() != contact.email.casefold()):
        return Letters(contact, present, known.now, new=True, changed=True)
    recent = kept.changed_at is not None and known.now < kept.changed_at + lasting
    old = _before(person, kept) if recent else None
    if contact is None and redirects:
        old = old or present
    return Letters(contact, old, kept.changed_at, new=False, changed=False)


def _before(person: PersonKey, kept: KnownContact) -> Contact | None:
    if kept.previous_id is None or kept.previous_sealed is None:
        return None
    return _opened(person, kept.previous_id, kept.previous_sealed)


def _opened(person: PersonKey, contact_id: UUID, sealed: bytes) -> Contact | None:
    try:
        return Contact.opened(person.key, contact_id, sealed)
    except sealing.CannotOpen:
        return None


def _notice(
    person: PersonKey,
    contact: Contact,
    kind: Literal["confirmation", "old_contact"],
    digest: sealing.Digester,
    now: datetime,
) -> changes.OwedNotice:
    notice_id, token = new_id(now), secrets.token_urlsafe(24)
    sealed = replace(contact, link=token).sealed(person.key, notice_id)
    return changes.OwedNotice(id=notice_id, kind=kind, sealed=sealed, link=digest(token.encode()))

"""Joining a person's new account to what they told with an earlier one, by who was verified and two operators.

A provider names an account, not a person: whoever deletes theirs and makes another has another `sub`. What stays is who
was verified. Each change therefore keeps a digest of that under its person's own key: whoever reads the store can
compare nobody with anybody, and erasing the person shreds it.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from broker import audit, sealing
from broker.intake.references import read_reference
from broker.store import Database, joinings
from broker.store.joinings import Asked, Decision
from broker.vault import Vault
from contracts.ids import new_id
from contracts.person import PersonName

APPROVE: Final = ("provider_confirmed", "identity_checked")
REFUSE: Final = ("account_still_used", "not_theirs", "told_since", "no_answer")
"""Why, from closed lists."""


@dataclass(frozen=True, slots=True)
class JoiningPolicy:
    """What an installation allows."""

    most_a_day: int = 3
    """Requests of one person in 24 hours, whatever comes of them."""


POLICY: Final = JoiningPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who asks: signed in, and verified."""

    issuer: str
    subject: str
    sessions: bytes
    """Names the account's sessions (`Sessions.account`)."""
    name: PersonName
    birth_date: date


def identity_mark(person_key: bytes, name: PersonName, birth_date: date) -> bytes:
    """Return a digest of who was verified, under their own key. Capitals and the spaces between words do not count."""
    parts = [[part.type, " ".join(part.value.casefold().split())] for part in name.name_parts]
    key = sealing.derive(person_key, b"verified identity")
    return sealing.digest(key, sealing.canonical({"name": parts, "born": birth_date.isoformat()}))


async def has_told(database: Database, vault: Vault, issuer: str, subject: str) -> bool:
    """Return whether an account has told changes of its own, and so cannot be joined. Raises StoreUnavailable."""
    person = await vault.known(issuer, subject)
    return person is not None and await joinings.has_told(database, person.person_id)


async def ask(
    database: Database, vault: Vault, who: Asking, said: str, now: datetime, policy: JoiningPolicy = POLICY
) -> bool:
    """Keep a request to join `who` to whoever told the change of the reference `said`; nothing is joined.

    Return False only if they have asked too often: what was found is told to nobody. Raises StoreUnavailable.
    """
    person = await vault.person(who.issuer, who.subject)
    reference = read_reference(said)
    found = await joinings.earlier(database, reference) if reference else None
    agrees = found is not None and found.person_id != person.person_id and await _agrees(vault, found, who)
    asked = Asked(
        id=new_id(now),
        asked_by=person.person_id,
        earlier=found.person_id if found and agrees else None,
        account=await vault.account(who.issuer, who.subject),
        sessions=who.sessions,
    )
    leaf = audit.leaf(
        "account.asked",
        now,
        audit.by_oneself(person.person_id),
        outcome="agrees" if agrees else "not_agreed",
        detail={"joining": str(asked.id)},
    )
    return await joinings.ask(database, asked, policy.most_a_day, leaf)


async def _agrees(vault: Vault, found: joinings.Earlier, who: Asking) -> bool:
    key = await vault.key_of(found.person_id)
    return key is not None and sealing.same(identity_mark(key, who.name, who.birth_date), found.verified)


async def approve(
    database: Database, vault: Vault, joining: joinings.Joining, decision: Decision, now: datetime
) -> bool:
    """Approve a request; return whether the accounts are joined by it.

    Raises joinings.NotOpen, joinings.ApprovedBefore, joinings.CannotJoin and StoreUnavailable.
    """

    def leaves(joined: bool) -> list[bytes]:
        approved = _leaf("approved", joining, decision, now)
        return [approved, _leaf("joined", joining, decision, now)] if joined else [approved]

    joined = await joinings.approve(database, joining.id, decision, leaves)
    if joined:
        vault.forget(joining.asked_by)
        vault.forget(joining.earlier)
    return joined


async def refuse(database: Database, joining: joinings.Joining, decision: Decision, now: datetime) -> None:
    """Refuse a request: nothing is joined. Raises joinings.NotOpen and StoreUnavailable."""
    await joinings.refuse(database, joining.id, decision, _leaf("refused", joining, decision, now))


def _leaf(what: str, joining: joinings.Joining, decision: Decision, now: datetime) -> bytes:
    asker = f"citizen:{joining.asked_by}"
    return audit.leaf(
        f"account.{what}",
        now,
        audit.Acting(decision.by, asker, audit.Relation.STAFF),
        detail={
            "joining": str(joining.id),
            "earlier": f"citizen:{joining.earlier}",
            "reason": decision.reason,
            "note": decision.note,
        },
    )


def joining_id(said: str) -> UUID | None:
    """Return the id of a request as an address has it, None if it is none."""
    try:
        return UUID(said)
    except ValueError:
        return None

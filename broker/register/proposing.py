"""Proposals for the register: made from documents, approved by two people, in force or not. Decision 30."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

import orjson

from adapters.registry import carries, secrets_of
from broker.register.checking import Fault, agreement_faults, newest
from broker.register.entrusting import EntrustedSecret
from broker.register.reach import beyond
from broker.register.reading import Document, Faulty, read_kept
from broker.store import Database, proposals, register
from broker.store.keys import Sealed
from broker.store.proposals import Approval, Kind, Proposal, Request
from broker.store.register import Configuration
from contracts.agreement import Agreement
from contracts.body import Body
from contracts.changes import ChangeKind, change_types
from contracts.ids import new_id
from contracts.organisation import Organisation
from contracts.registration import RegisteredClient
from contracts.times import day_in_wales

REJECT: Final = ("document_wrong", "organisation_asked", "not_lawful")
REVOKE: Final = ("organisation_asked", "not_lawful", "incident", "no_longer_needed")
"""Why, from closed lists."""

Leaves = Callable[[Proposal, str], Sequence[bytes]]
"""Makes what the ledger keeps of an act on a proposal: its name is given."""


async def propose(
    database: Database,
    document: Document,
    by: str,
    at: datetime,
    leaves: Leaves,
    *,
    counts: bool,
    beside: Sequence[Document] = (),
    sealed: Sealed | None = None,
    based_on: int | None = None,
    request: Request | None = None,
) -> Proposal:
    """Keep a proposal and return it. `counts`: who proposes has signed in, and is the first of the two who approve.

    `beside` are documents proposed together with it, so that an agreement may come with its organisation.
    `sealed` is the secret of an `EntrustedSecret`. `based_on` is the version it was made from, where that was read before.
    Raises Faulty and StoreUnavailable; with a `request` of an organisation's software proposals.KeyReused and
    proposals.TooMany too.
    """
    kind, subject = kind_of(document), subject_of(document)
    # Before what is in force: what comes into force between the two makes it late, never written against what was unseen.
    newest = await proposals.newest_version(database, kind, subject) if based_on is None else based_on
    known = await register.configuration(database)
    faults = faults_of(document, known, day_in_wales(at), beside)
    if isinstance(document, RegisteredClient):
        registered = await register.client(database, document.client_id)
        if registered is not None and registered.organisation != document.organisation:
            faults.append(Fault("/organisation", "organisation_other"))
    if faults:
        raise Faulty(faults)
    written = _written(document)
    proposal = Proposal(
        id=new_id(at),
        kind=kind,
        subject=subject,
        organisation=owner_of(document),
        based_on=newest,
        document=written,
        digest=hashlib.sha256(written).digest(),
        pauses=turns_delivery(document, known),
        proposed_by=by,
        proposed_at=at,
        approvals=(Approval(by, at),) if counts else (),
    )
    return await proposals.propose(database, proposal, leaves(proposal, "proposed"), sealed, request)


async def approve(database: Database, proposal_id: UUID, by: str, at: datetime, leaves: Leaves) -> bool:
    """Record an approval; return whether the proposal came into force by it.

    Raises proposals.NotOpen, proposals.ApprovedBefore, proposals.NoLongerFits and StoreUnavailable.
    """

    def fits(proposal: Proposal, known: Configuration, newest: int) -> Sequence[Fault]:
        try:
            document = read_kept(proposal.kind, proposal.document)
        except Faulty as faulty:  # another program proposed it, or an adapter is not installed here
            return faulty.faults
        if newest != proposal.based_on:
            return [Fault("", "not_next")]
        if proposal.outlived:
            return [Fault("", "key_replaced")]
        found = faults_of(document, known, day_in_wales(at), ())
        party = known.organisations.get(proposal.organisation or "")
        if proposal.by_software and party is not None and isinstance(document, Agreement):
            found += beyond(document, party, known, day_in_wales(at))  # what gave it its reach may be revoked by now
        return found

    def kept(proposal: Proposal, in_force: bool) -> Sequence[bytes]:
        approved = leaves(proposal, "approved")
        return [*approved, *leaves(proposal, "in_force")] if in_force else approved

    return await proposals.approve(
        database, proposal_id, Approval(by, at), fits, kept, lambda proposal: leaves(proposal, "lapsed")
    )


async def reject(
    database: Database, proposal_id: UUID, by: str, at: datetime, reason: str, note: str, leaves: Leaves
) -> None:
    """End a proposal. Raises proposals.NotOpen and StoreUnavailable."""
    await proposals.reject(
        database, proposal_id, Approval(by, at), reason, note, lambda proposal: leaves(proposal, "rejected")
    )


def faults_of(document: Document, known: Configuration, today: date, beside: Sequence[Document]) -> list[Fault]:
    """Return what keeps a document from being proposed, or from coming into force."""
    organisations = set(known.organisations) | {item.id for item in beside if isinstance(item, Organisation)}
    match document:
        case Agreement():
            return [
                *agreement_faults(document, known.agreements, organisations, today),
                *_not_carried(document, known, beside),
            ]
        case Organisation():
            return _no_longer_carried(document, known)
        case EntrustedSecret() if document.organisation in known.organisations:
            return _not_taken(document, known.organisations[document.organisation])
        case RegisteredClient() | EntrustedSecret() if document.organisation not in organisations:
            return [Fault("/organisation", "organisation_unknown")]
        case _:
            return []


def _not_carried(agreement: Agreement, known: Configuration, beside: Sequence[Document]) -> list[Fault]:
    """Return whether its organisation cannot be told of such a change by the way it is reached."""
    reached = {item.id: item for item in (*known.organisations.values(), *beside) if isinstance(item, Organisation)}
    kind, organisation = change_types().get(agreement.change_type), reached.get(agreement.organisation)
    if kind is None or organisation is None or _carries(organisation, kind):
        return []
    return [Fault("/changeType", "not_carried")]


def _no_longer_carried(organisation: Organisation, known: Configuration) -> list[Fault]:
    """Return the agreements that stand and could not be kept by the way it is to be reached."""
    standing = [one for one in known.agreements if one.organisation == organisation.id and not one.revoked]
    kinds = change_types()
    return [
        Fault("/adapter", "not_carried", one.id)
        for one in newest(standing).values()
        if one.change_type in kinds and not _carries(organisation, kinds[one.change_type])
    ]


def _carries(organisation: Organisation, kind: ChangeKind) -> bool:
    try:
        return carries(organisation.adapter, organisation.adapter_settings, kind.event_type)
    except ValueError:  # an adapter that is not installed here, or settings that are wrong
        return False


def _not_taken(secret: EntrustedSecret, organisation: Organisation) -> list[Fault]:
    """Return whether the way it is reached takes no secret of that name."""
    try:
        taken = secrets_of(organisation.adapter)
    except ValueError:  # an adapter that is not installed here
        taken = ()
    return [] if secret.name in taken else [Fault("/name", "secret_other")]


def turns_delivery(document: Document, known: Configuration) -> bool:
    """Return whether it changes where an organisation is reached, or with which key it proves itself or is sealed to.

    Of an organisation that is new nothing is turned: there is none to send to yet.
    """
    match document:
        case Organisation():
            before = known.organisations.get(document.id)
            return before is not None and _way(before) != _way(document)
        case RegisteredClient() | EntrustedSecret():
            return document.organisation in known.organisations
        case _:
            return False


def kind_of(document: Document) -> Kind:
    match document:
        case Agreement():
            return "agreement"
        case Organisation():
            return "organisation"
        case RegisteredClient():
            return "client"
        case Body():
            return "body"
        case EntrustedSecret():
            return "secret"


def subject_of(document: Document) -> str:
    match document:
        case RegisteredClient():
            return document.client_id
        case EntrustedSecret():
            return f"{document.organisation}/{document.name}"
        case _:
            return document.id


def owner_of(document: Document) -> str | None:
    match document:
        case Agreement() | RegisteredClient() | EntrustedSecret():
            return document.organisation
        case Organisation():
            return document.id
        case Body():
            return None


def _written(document: Document) -> bytes:
    """Return a document as it is kept. Raises Faulty for what JSON in the register cannot hold, deep in its settings."""
    plain = document.model_dump(mode="json", exclude=_not_kept(document), exclude_none=True)
    try:
        written = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # a number beyond 64 bits
        raise Faulty([Fault("", "not_valid")]) from None
    if b"\\u0000" in written:
        raise Faulty([Fault("", "not_valid")])
    return written


def _way(organisation: Organisation) -> tuple[object, ...]:
    return organisation.adapter, organisation.adapter_settings, organisation.allowed_hosts


def _not_kept(document: Document) -> set[str]:
    """Return what of a document is a state of the register's, not part of what is agreed."""
    match document:
        case Agreement():
            return {"revoked"}
        case Organisation():
            return {"paused", "draining"}
        case _:
            return set()

"""What an organisation's own software proposes: an agreement of its own, or how it is reached. Decision 36.

It counts for nobody: two people decide, as on what somebody else proposes. Whose it is comes from the token, and what
can be named is what is its own: anything of another organisation's is as absent as what there is not.
"""

import hashlib
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from broker.register.checking import Fault, newest
from broker.register.proposing import Leaves, propose
from broker.register.reach import beyond
from broker.register.reading import LARGEST, Faulty, check_adapter
from broker.store import Database, proposals, register
from broker.store.proposals import Approval, NotOpen, Proposal, Request
from broker.store.register import Configuration
from contracts.agreement import Agreement, Terms
from contracts.ids import new_id
from contracts.organisation import Organisation
from contracts.subscriptions import SettingsRequest, SubscriptionRequest
from contracts.times import day_in_wales

_LONGEST_NAME: Final = 48
"""Characters of an organisation's id in those of its agreements, which are 64 at most."""


class NotThere(Exception):  # noqa: N818  an answer
    """The organisation has nothing of the kind."""


class Decided(Exception):  # noqa: N818  an answer
    """It was approved or refused before, and cannot be taken back."""


def proposed_by(client_id: str) -> str:
    """Return how the register and the ledger name an organisation's software: never as one of the two people."""
    return f"{proposals.SOFTWARE}{client_id}"


async def propose_agreement(
    database: Database,
    asked: SubscriptionRequest,
    organisation: str,
    client_id: str,
    key: str,
    at: datetime,
    leaves: Leaves,
) -> Proposal:
    """Keep a new agreement of the organisation's, or a new version of one, as a proposal; the same key again is the same.

    Raises Faulty, NotThere, proposals.KeyReused, proposals.TooMany and StoreUnavailable.
    """
    known, party = await _party(database, organisation)
    request = _request(asked, party, client_id, key)
    before = await proposals.requested(database, request)
    if before is not None:
        return before
    document = _agreement(asked, party, known, at)
    faults = beyond(document, party, known, day_in_wales(at))
    if faults:
        raise Faulty(faults)
    return await propose(database, document, proposed_by(client_id), at, leaves, counts=False, request=request)


async def propose_settings(
    database: Database,
    asked: SettingsRequest,
    organisation: str,
    client_id: str,
    key: str,
    at: datetime,
    leaves: Leaves,
) -> Proposal:
    """Keep how the organisation is to be reached, or whom we write to, as a proposal; the same key again is the same.

    Raises as `propose_agreement`.
    """
    based_on = await proposals.newest_version(database, "organisation", organisation)  # before what is in force is read
    _, party = await _party(database, organisation)
    request = _request(asked, party, client_id, key)
    before = await proposals.requested(database, request)
    if before is not None:
        return before
    given = {name: getattr(asked, name) for name in asked.model_fields_set if getattr(asked, name) is not None}
    document = party.model_copy(update=given)
    check_adapter(document)
    return await propose(
        database, document, proposed_by(client_id), at, leaves, counts=False, based_on=based_on, request=request
    )


async def take_back(
    database: Database, proposal_id: UUID, organisation: str, client_id: str, at: datetime, leaves: Leaves
) -> bool:
    """End what the organisation's software proposed, unless it is decided; return False if it was taken back before.

    Raises NotThere, Decided and StoreUnavailable.
    """
    try:
        if await proposals.one_by_software(database, organisation, proposal_id) is None:
            raise NotThere
        await proposals.take_back(
            database, proposal_id, Approval(proposed_by(client_id), at), lambda one: leaves(one, "taken_back")
        )
    except NotOpen:
        ended = await proposals.one_by_software(database, organisation, proposal_id)
        if ended is not None and ended.outcome != "taken_back":
            raise Decided from None
        return False
    return True


async def _party(database: Database, organisation: str) -> tuple[Configuration, Organisation]:
    known = await register.configuration(database)
    if organisation not in known.organisations:
        raise NotThere
    return known, known.organisations[organisation]


def _request(asked: SubscriptionRequest | SettingsRequest, party: Organisation, client_id: str, key: str) -> Request:
    try:
        said = orjson.dumps(
            [type(asked).__name__, asked.model_dump(mode="json", exclude_unset=True)], option=orjson.OPT_SORT_KEYS
        )
    except orjson.JSONEncodeError:  # a number beyond 64 bits, deep in its settings
        raise Faulty([Fault("/adapterSettings", "adapter_wrong")]) from None
    if len(said) > LARGEST:  # as of what a person hands in: two people read all of it
        raise Faulty([Fault("", "too_large")])
    return Request(
        organisation=party.id,
        client_id=client_id,
        key=hashlib.sha256(key.encode()).digest(),
        body=hashlib.sha256(said).digest(),
        most=party.proposals,
    )


def _agreement(asked: SubscriptionRequest, party: Organisation, known: Configuration, at: datetime) -> Agreement:
    terms = {name: getattr(asked, name) for name in Terms.model_fields}
    if asked.replaces is None:
        # An id of our making: one that somebody chose would tell them whether another has it.
        name = f"{party.id[:_LONGEST_NAME].rstrip('-_.')}-{new_id(at).hex[-12:]}"
        return Agreement(id=name, version=1, organisation=party.id, **terms)
    before = newest(one for one in known.agreements if one.organisation == party.id).get(asked.replaces.id)
    if before is None:
        raise Faulty([Fault("/replaces/id", "not_own")])
    if before.version != asked.replaces.version:
        raise Faulty([Fault("/replaces/version", "not_next")])
    return Agreement(id=before.id, version=before.version + 1, organisation=party.id, example=before.example, **terms)

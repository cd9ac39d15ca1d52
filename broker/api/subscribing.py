"""What an organisation's software calls about its own part in the register: what is agreed, and what it proposes."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import structlog
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from broker.api.answers import READ, WRITTEN, body_of, headers, json_answer, problems
from broker.api.bodies import read_model
from broker.api.catching_up import cursor_at, read_cursor
from broker.api.guarding import organisation
from broker.api.idempotency import idempotency_key, key_parameter
from broker.api.parts import ApiParts
from broker.audit.proposals import on_proposals
from broker.identity.refusals import Absent
from broker.register import checking, subscribing
from broker.register.proposing import Leaves
from broker.store import Database, proposals
from broker.store.proposals import Proposal
from contracts.agreement import Agreement
from contracts.examples import SUBSCRIPTION, SUBSCRIPTION_SETTINGS
from contracts.organisation import Organisation
from contracts.subscriptions import (
    AgreementVersion,
    ReachedBy,
    SettingsRequest,
    Subscription,
    SubscriptionProposal,
    SubscriptionProposals,
    SubscriptionRequest,
    Subscriptions,
)
from contracts.text import Strict
from contracts.times import day_in_wales

PAGE: Final = 100
_PLACE: Final = "/v1/subscriptions/proposals"
_UUID: Final = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_ProposalId = Annotated[str, Path(description="The proposal's `id`.", json_schema_extra={"pattern": _UUID})]
_STATES: Final[dict[proposals.Outcome | None, Any]] = {
    None: "requested", "in_force": "approved", "rejected": "refused", "taken_back": "taken_back",
}  # fmt: skip
_NOT_THEIRS: Final = frozenset(
    field.alias or name for model in (Agreement, Organisation) for name, field in model.model_fields.items()
)
"""What the register has of an agreement and an organisation; where software cannot propose it, it is told so by name."""

log = structlog.get_logger()


M = TypeVar("M", bound=Strict)
_Propose = Callable[[Database, M, str, str, str, datetime, Leaves], Awaitable[Proposal]]
"""Keeps what an organisation's client asks for under an idempotency key, as a proposal."""


def routes(router: APIRouter, parts: ApiParts) -> None:
    """Add the routes."""
    key = key_parameter("Names this proposal; asking again with the same key never proposes it twice.")
    proposed: dict[int | str, dict[str, Any]] = {
        202: {
            "description": "It waits for two people to approve it; asked again, where it stands.",
            "headers": headers("Location"),
        },
        **WRITTEN,
        **problems(404, 429),
    }

    @router.get("/v1/subscriptions", response_model=Subscriptions, responses={**READ, **problems(404)})
    async def read_subscriptions(request: Request) -> Response:
        """Return what is agreed with the caller, the newest version of each, and how it is reached."""
        own, today = organisation(request).organisation, day_in_wales(parts.clock())
        party = parts.directory.organisations().get(own)
        if party is None:
            raise Absent
        newest = checking.newest(one for one in parts.directory.agreements() if one.organisation == own)
        agreed = [Subscription(agreement=one, state=checking.state(one, today)) for _, one in sorted(newest.items())]
        reached = ReachedBy(
            adapter=party.adapter, adapter_settings=party.adapter_settings, contacts=party.contacts, paused=party.paused
        )
        return json_answer(Subscriptions(agreements=tuple(agreed), settings=reached))

    @router.post(
        "/v1/subscriptions",
        status_code=202,
        response_model=SubscriptionProposal,
        responses=proposed,
        openapi_extra=body_of(SubscriptionRequest, key, example=_wire(SUBSCRIPTION)),
    )
    async def propose_subscription(request: Request) -> Response:
        """Propose a new agreement of the caller's, or the next version of one. Two people decide on it."""
        return await _kept(parts, request, SubscriptionRequest, subscribing.propose_agreement)

    @router.post(
        "/v1/subscriptions/settings",
        status_code=202,
        response_model=SubscriptionProposal,
        responses=proposed,
        openapi_extra=body_of(SettingsRequest, key, example=_wire(SUBSCRIPTION_SETTINGS)),
    )
    async def propose_settings(request: Request) -> Response:
        """Propose how the caller is reached, or which mailboxes are written to. Two people decide on it.

        Where other settings of its adapter are proposed, nothing is sent to it until that is decided.
        """
        return await _kept(parts, request, SettingsRequest, subscribing.propose_settings)

    @router.get(
        _PLACE,
        response_model=SubscriptionProposals,
        responses={200: {"description": "A page of them.", "headers": headers("Link")}, **READ},
        openapi_extra={"parameters": [_CURSOR]},
    )
    async def read_proposals(request: Request) -> Response:
        """Return what the caller's software proposed and what became of each, the newest first."""
        own, after = organisation(request).organisation, read_cursor(request.query_params.get("cursor"))
        found = await proposals.by_software(parts.database, own, after, PAGE + 1)
        return _page(found)

    @router.get(f"{_PLACE}/{{proposal_id}}", response_model=SubscriptionProposal, responses={**READ, **problems(404)})
    async def read_proposal(request: Request, proposal_id: _ProposalId) -> Response:
        """Return what became of one of the caller's proposals."""
        own = organisation(request).organisation
        found = await proposals.one_by_software(parts.database, own, _id(proposal_id))
        if found is None:
            raise Absent
        return json_answer(_view(found))

    @router.delete(
        f"{_PLACE}/{{proposal_id}}",
        status_code=204,
        response_class=Response,
        responses={204: {"description": "It never comes into force."}, **READ, **problems(404, 409)},
    )
    async def take_back_proposal(request: Request, proposal_id: _ProposalId) -> Response:
        """Take back one of the caller's proposals that is not decided; taken back again, nothing changes."""
        caller, at = organisation(request), parts.clock()
        leaves = on_proposals(subscribing.proposed_by(caller.client_id), at)
        named = _id(proposal_id)
        if await subscribing.take_back(parts.database, named, caller.organisation, caller.client_id, at, leaves):
            log.info("proposal.taken_back", organisation=caller.organisation)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _wire(example: Strict) -> Any:
    return example.model_dump(mode="json", exclude_none=True)


async def _kept(parts: ApiParts, request: Request, model: type[M], propose: _Propose[M]) -> Response:
    named, caller, at = idempotency_key(request), organisation(request), parts.clock()
    asked = await read_model(request, model, _NOT_THEIRS)
    leaves = on_proposals(subscribing.proposed_by(caller.client_id), at)
    return _proposed(await propose(parts.database, asked, caller.organisation, caller.client_id, named, at, leaves), at)


def _proposed(kept: Proposal, at: datetime) -> Response:
    if kept.proposed_at == at:  # and not a repeat of an earlier one
        log.warning("proposal.proposed", kind=kept.kind, organisation=kept.organisation)
    return json_answer(_view(kept), status=HTTPStatus.ACCEPTED, headers={"Location": f"{_PLACE}/{kept.id}"})


def _page(found: Sequence[Proposal]) -> Response:
    shown = SubscriptionProposals(proposals=tuple(map(_view, found[:PAGE])))
    more = {"Link": f'<{_PLACE}?cursor={cursor_at(found[PAGE - 1].id)}>; rel="next"'} if len(found) > PAGE else None
    return json_answer(shown, headers=more)


def _view(kept: Proposal) -> SubscriptionProposal:
    of_agreement = kept.kind == "agreement"
    return SubscriptionProposal(
        id=kept.id,
        kind="agreement" if of_agreement else "settings",
        agreement=AgreementVersion(id=kept.subject, version=kept.based_on + 1) if of_agreement else None,
        state=_STATES[kept.outcome],
        approvals=len(kept.approvals),
        pauses=kept.pauses and kept.outcome is None,
        proposed_by=kept.proposed_by.removeprefix(proposals.SOFTWARE),
        proposed_at=kept.proposed_at,
        decided_at=kept.ended_at,
        reason=kept.reason,
    )


def _id(text: str) -> UUID:
    """Return a proposal's id. What is none names nothing."""
    try:
        return UUID(text)
    except ValueError:
        raise Absent from None


_CURSOR: Final = {
    "name": "cursor",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$"},
    "description": "Where to go on, from the `next` link of the page before (RFC 8288).",
}

"""What a citizen's software calls to tell a change: find an address, preview, tell."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from broker import intake
from broker.api.answers import WRITTEN, body_of, headers, json_answer, json_bytes, problems
from broker.api.bodies import read_model
from broker.api.following import just_told, whole
from broker.api.guarding import citizen
from broker.api.idempotency import idempotency_key, key_parameter
from broker.api.parts import ApiParts
from broker.identity.citizens import Citizen
from broker.identity.refusals import Absent, Denial, Forbidden
from broker.store import changes
from broker.tracking.withdrawing import carry_out
from contracts.changes.installed import installed
from contracts.examples import CHANGES, asked
from contracts.requests import (
    AddressSearch,
    AddressSearchResult,
    ChangeRequest,
    ChangeView,
    FoundAddress,
    Preview,
    PreviewRequest,
    change_requests,
    preview_requests,
)

_SEARCH: Final = {"postalCode": "CF11 0ZZ", "language": "cy"}
_SHOWN: Final = {"preview": "eyJjYXJkaWZmIjoi4oCmIn0", "leaveOut": ["transport-for-wales"]}


def routes(router: APIRouter, parts: ApiParts) -> None:
    """Add the routes by which a change is told."""
    examples = {name: asked(name) for name in CHANGES} | {
        one.kind.name: {"type": one.kind.name, "change": one.example} for one in installed()
    }

    @router.post(
        "/v1/addresses/search",
        response_model=AddressSearchResult,
        responses=WRITTEN,
        openapi_extra=body_of(AddressSearch, postcode=_SEARCH),
    )
    async def search_addresses(request: Request) -> Response:
        """Return the addresses at a postcode, or the likeliest for a text. By POST: neither ever stands in a URL."""
        sought = await read_model(request, AddressSearch)
        if sought.text is not None:
            found = await parts.gazetteer.search(sought.text, sought.postal_code, sought.language)
        else:
            found = await parts.gazetteer.at(sought.postal_code or "", sought.language)
        result = [FoundAddress.model_validate({"address": p.address, "invented": p.invented}) for p in found]
        return json_answer(AddressSearchResult(addresses=tuple(result)))

    @router.post(
        "/v1/changes/preview",
        response_model=Preview,
        responses=WRITTEN,
        openapi_extra=body_of(PreviewRequest, **examples),
    )
    async def preview_change(request: Request) -> Response:
        """Return who would be told what, and why. Nothing is sent and nothing of the change is stored."""
        told = await read_model(request, preview_requests())
        return json_answer(await parts.intake.preview(_told(citizen(request)), told))

    @router.post(
        "/v1/changes",
        status_code=202,
        response_model=ChangeView,
        responses={
            202: {"description": "It is stored, with everything it owes.", "headers": headers("Location")},
            **WRITTEN,
            **problems(409, 429),
        },
        openapi_extra=body_of(
            ChangeRequest,
            key_parameter("Names this change; asking again with the same key never tells it twice."),
            **{name: example | _SHOWN for name, example in examples.items()},
        ),
    )
    async def tell_change(request: Request) -> Response:
        """Take a change in. Answered once it is stored with everything it owes; delivery follows by itself."""
        key = idempotency_key(request)
        told = await read_model(request, change_requests())
        accepted = await parts.intake.accept(_told(citizen(request)), key, told)
        if accepted.corrects is not None:
            await carry_out(parts.database, parts.vault, accepted.corrects, parts.clock)
        if accepted.fresh is not None:
            answer = just_told(parts, accepted.fresh)
        else:
            answer = json_bytes(await _told_before(parts, accepted))
        place = {"Location": f"/v1/changes/{accepted.reference}"}
        return Response(answer, status_code=202, media_type="application/json", headers=place)


async def _told_before(parts: ApiParts, accepted: intake.Accepted) -> ChangeView:
    found = await changes.one_of_person(parts.database, accepted.person.person_id, accepted.reference)
    if found is None:
        raise Absent
    return await whole(parts, accepted.person, found)


def _told(who: Citizen) -> intake.Told:
    if who.person is None:
        raise Forbidden(Denial.LEVEL)
    return intake.Told(who.issuer, who.subject, who.level, who.person.name, who.person.birth_date)

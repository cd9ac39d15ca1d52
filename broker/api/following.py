"""What a citizen's software calls to follow what was told."""

import base64
from collections import defaultdict
from operator import attrgetter
from uuid import UUID

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from broker import sealing
from broker.api.answers import READ, headers, json_answer, json_bytes, problems
from broker.api.guarding import citizen
from broker.api.parts import ApiParts
from broker.api.problems import NotReadable
from broker.api.queries import query_problem
from broker.identity.refusals import Absent
from broker.intake import Fresh, placing
from broker.intake.intake import opened
from broker.intake.references import read_reference
from broker.store import changes
from broker.tracking.timeline import HELD, followed, held_too, withdrawn_too
from broker.vault import PersonKey
from contracts.changes import change_types
from contracts.requests import ChangeList, ChangeSummary, ChangeView
from contracts.statuses import Status
from contracts.text import Bilingual

PAGE = 50


def routes(router: APIRouter, parts: ApiParts) -> None:
    """Add the routes by which changes are followed."""

    @router.get(
        "/v1/changes",
        response_model=ChangeList,
        responses={200: {"description": "A page of them.", "headers": headers("Link")}, **READ},
        openapi_extra={
            "parameters": [
                {
                    "name": "cursor",
                    "in": "query",
                    "required": False,
                    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{2,26}$"},
                    "description": "Where to go on, from the `next` link of the page before (RFC 8288).",
                }
            ]
        },
    )
    async def list_changes(request: Request) -> Response:
        """Return the caller's changes, newest first."""
        before = _read_cursor(request.query_params.get("cursor"))
        who = citizen(request)
        person = await parts.vault.known(who.issuer, who.subject)
        if person is None:
            return json_answer(ChangeList(changes=()))
        found = await changes.of_person(parts.database, person.person_id, before=before, limit=PAGE + 1)
        page = found[:PAGE]
        statuses: dict[UUID, dict[str, Status]] = defaultdict(dict)
        for row in await changes.deliveries_of(parts.database, [item.id for item in page]):
            statuses[row.change_id][row.organisation] = Status(row.status)
        summaries = tuple(
            ChangeSummary(
                reference=item.reference,
                type=item.type,
                accepted_at=item.accepted_at,
                deliveries=statuses[item.id],
            )
            for item in page
        )
        more = len(found) > PAGE
        link = {"Link": f'</v1/changes?cursor={_cursor(page[-1].ordinal)}>; rel="next"'} if more else None
        return json_answer(ChangeList(changes=summaries), headers=link)

    @router.get(
        "/v1/changes/{reference}",
        response_model=ChangeView,
        responses={
            200: {"description": "How far it has come.", "headers": headers("ETag")},
            304: {"description": "Nothing has changed.", "headers": headers("ETag")},
            **READ,
            **problems(404),
        },
        openapi_extra={
            "parameters": [
                {
                    "name": "If-None-Match",
                    "in": "header",
                    "required": False,
                    "schema": {"type": "string"},
                    "description": "The `ETag` of what is known already.",
                }
            ]
        },
    )
    async def follow_change(request: Request, reference: str) -> Response:
        """Return one of the caller's changes with its timeline. Another person's is the same 404 as none."""
        known = read_reference(reference)
        who = citizen(request)
        person = await parts.vault.known(who.issuer, who.subject) if known else None
        if person is None or known is None:
            raise Absent
        found = await changes.one_of_person(parts.database, person.person_id, known)
        if found is None:
            raise Absent
        seen = await whole(parts, person, found)
        model = change_types()[found.type].model.model_validate_json(orjson.dumps(seen.change))
        told = {delivery.organisation for delivery in seen.deliveries}
        not_told = (
            None
            if seen.withdrawn
            else await parts.intake.untold(found.type, model, told, placing.opened(person, found))
        )
        body = json_bytes(seen.model_copy(update={"not_told": not_told}))
        tag = f'"{sealing.digest(await parts.vault.secret("etags"), body).hex()}"'
        if tag in _tags(request):
            return Response(status_code=304, headers={"ETag": tag})
        return Response(
            body, media_type="application/json", headers={"ETag": tag, "Cache-Control": "private, no-cache"}
        )


async def whole(parts: ApiParts, person: PersonKey, found: changes.ToldBefore) -> ChangeView:
    """Return a change as its person sees it, opened with their own key."""
    organisations = parts.directory.organisations()
    seen = ChangeView(
        reference=found.reference,
        type=found.type,
        accepted_at=found.accepted_at,
        change=orjson.loads(opened(person, found.id, found.type, found.sealed)),
        deliveries=await followed(parts.database, found.id, organisations),
    )
    return await withdrawn_too(parts.database, found.id, await held_too(parts.database, found.id, seen), organisations)


def just_told(parts: ApiParts, fresh: Fresh) -> bytes:
    """Return a change as it stands in the moment it was stored, without reading it back: a `ChangeView` in JSON.

    Written out, because eight models that are made only to be written cost ten times as much. What is read back a
    moment later is the same to the byte.
    """
    told, organisations = fresh.told, parts.directory.organisations()
    deliveries = []
    for owed in sorted(told.owed, key=attrgetter("organisation")):
        organisation = organisations.get(owed.organisation)
        name = organisation.name if organisation else Bilingual(cy=owed.organisation, en=owed.organisation)
        held = bool(told.holds)
        waits = owed.not_before > told.accepted_at and not held
        status = Status.WAITING if waits or held else Status.QUEUED
        deliveries.append(
            {
                "organisation": owed.organisation,
                "name": {"cy": name.cy, "en": name.en},
                "status": status,
                **({"notBefore": owed.not_before} if waits else {}),
                **({"held": True} if held else {}),
                "timeline": [
                    {
                        "at": told.accepted_at,
                        "what": "accepted",
                        "status": status,
                        **({"reason": HELD} if held else {}),
                    }
                ],
            }
        )
    return orjson.dumps(
        {
            "reference": told.reference,
            "type": told.type,
            "acceptedAt": told.accepted_at,
            "change": orjson.Fragment(fresh.content),
            "deliveries": deliveries,
            **({"holds": _held(told)} if told.holds else {}),
        },
        option=orjson.OPT_UTC_Z,
    )


def _held(told: changes.Told) -> list[dict[str, object]]:
    return [
        {
            "reason": hold.reason,
            "since": told.accepted_at,
            **({"until": hold.until} if hold.until is not None else {}),
        }
        for hold in sorted(told.holds, key=attrgetter("reason"))
    ]


def _cursor(ordinal: int) -> str:
    return base64.urlsafe_b64encode(b"%d" % ordinal).decode().rstrip("=")


def _read_cursor(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        number = int(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        number = -1
    if not 0 <= number < 2**63 or _cursor(number) != cursor:
        raise NotReadable("malformed", [query_problem("cursor", "cursor", "is not one of ours")])
    return number


def _tags(request: Request) -> set[str]:
    """Return the entity tags of `If-None-Match`, compared weakly (RFC 9110, section 13.1.2)."""
    listed = ",".join(request.headers.getlist("if-none-match"))
    return {tag.strip().removeprefix("W/") for tag in listed.split(",")}

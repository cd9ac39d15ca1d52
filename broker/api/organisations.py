"""What an organisation's software calls: a token, a later answer, what became of a sequence."""

import re
from typing import Final
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from broker.api.answers import WRITTEN, Described, body_of, json_answer, problems
from broker.api.bodies import read_bytes, read_model
from broker.api.guarding import organisation
from broker.api.parts import ApiParts
from broker.api.problems import NotReadable
from broker.api.queries import query_problem
from broker.eventlog import Record
from broker.identity import token_endpoint
from broker.identity.refusals import Absent
from broker.store import changes
from contracts.receipts import Answer
from contracts.records import write_receipt
from contracts.requests import SubjectDeliveries, SubjectDelivery
from contracts.statuses import Status
from contracts.topics import RECEIPTS

PAGE: Final = 100
_SUBJECT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEQUENCE: Final = re.compile(r"[0-9]{1,18}")  # fits a bigint
_REFUSED: Final = {**WRITTEN, **problems(404)}


def routes(router: APIRouter, parts: ApiParts) -> None:
    """Add the organisations' routes."""

    @router.post("/oauth/token", openapi_extra=_TOKEN_BODY, responses=_TOKEN_ANSWERS)
    async def issue_token(request: Request) -> Response:
        """Return an access token for client credentials proven by a signed assertion (RFC 6749, RFC 7523)."""
        raw = await read_bytes(request, "application/x-www-form-urlencoded")
        try:
            form = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict")
        except ValueError:
            raise NotReadable("malformed") from None
        answer = await parts.token_endpoint.answer(form)
        return Response(
            orjson.dumps(answer.body()),
            status_code=answer.status,
            media_type="application/json",
            headers=dict(token_endpoint.HEADERS),
        )

    @router.get("/.well-known/jwks.json")
    async def keys(_request: Request) -> Response:
        """Return the public keys of our tokens (RFC 7517)."""
        return Response(
            orjson.dumps(parts.organisations.jwks()),
            media_type="application/jwk-set+json",
            headers={"Cache-Control": "public, max-age=300"},
        )

    @router.get("/.well-known/oauth-authorization-server")
    async def metadata(_request: Request) -> Response:
        """Return what our token endpoint can do (RFC 8414)."""
        found = parts.token_endpoint.metadata(f"{parts.public_url}/.well-known/jwks.json")
        return Response(
            orjson.dumps(found), media_type="application/json", headers={"Cache-Control": "public, max-age=300"}
        )

    @router.post("/v1/receipts", status_code=202, responses=_REFUSED, openapi_extra=body_of(Answer))
    async def answer_later(request: Request) -> Response:
        """Take an organisation's later answer for one of its deliveries; the same id again changes nothing."""
        answer = await read_model(request, Answer)
        caller = organisation(request)
        found = await changes.of_organisation(parts.database, caller.organisation, answer.delivery_id)
        if found is None:
            raise Absent
        receipt = answer.receipt(epoch=found.epoch, attempt=found.attempts, now=parts.clock())
        await parts.eventlog.append([Record(RECEIPTS.name, *write_receipt(receipt))])
        return Response(status_code=202)

    @router.get(
        "/v1/deliveries",
        response_model=SubjectDeliveries,
        responses=_REFUSED,
        openapi_extra={
            "parameters": [
                {"name": "subject", "in": "query", "required": True, "schema": {"type": "string", "maxLength": 64}},
                {"name": "after", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 0}},
            ]
        },
    )
    async def after_a_gap(request: Request) -> Response:
        """Return what became of the caller's deliveries for one subject above a sequence."""
        subject = request.query_params.get("subject", "")
        after = request.query_params.get("after", "0")
        if not _SUBJECT.fullmatch(subject):
            raise NotReadable("malformed", [query_problem("subject", "subject", "must be a subject of ours")])
        if not _SEQUENCE.fullmatch(after):
            raise NotReadable("malformed", [query_problem("after", "after", "must be a sequence")])
        rows = await changes.after_sequence(
            parts.database, organisation(request).organisation, subject, int(after), PAGE
        )
        deliveries = tuple(
            SubjectDelivery(
                id=str(row["id"]),
                sequence=row["sequence"],
                status=Status(row["status"]),
                published_at=row["published_at"],
            )
            for row in rows
        )
        return json_answer(SubjectDeliveries(deliveries=deliveries))


_TOKEN_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type", "client_assertion_type", "client_assertion"],
                    "properties": {
                        "grant_type": {"const": token_endpoint.GRANT_TYPE},
                        "client_assertion_type": {"const": token_endpoint.ASSERTION_TYPE},
                        "client_assertion": {"type": "string"},
                        "scope": {"type": "string"},
                    },
                }
            }
        },
    }
}
_TOKEN_ANSWERS: Final[Described] = {
    400: {"description": "An OAuth error (RFC 6749, section 5.2), or a problem."},
    401: {"description": "The client is not known by this assertion (RFC 6749, section 5.2)."},
    **problems(413, 415, 503),
}

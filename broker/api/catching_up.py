"""How an organisation catches up: what became of one subject's deliveries, or of everything it was ever sent."""

import base64
import re
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from broker.api.answers import READ, headers, json_answer
from broker.api.guarding import organisation
from broker.api.parts import ApiParts
from broker.api.problems import NotReadable
from broker.api.queries import query_problem
from broker.store import catching_up
from broker.store.catching_up import Sent
from contracts.requests import SubjectDeliveries, SubjectDelivery
from contracts.statuses import Status

PAGE: Final = 100
_SUBJECT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEQUENCE: Final = re.compile(r"[0-9]{1,18}")  # fits a bigint
_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{22}")


def routes(router: APIRouter, parts: ApiParts) -> None:
    """Add the route."""

    @router.get(
        "/v1/deliveries",
        response_model=SubjectDeliveries,
        responses={200: {"description": "A page of them.", "headers": headers("Link")}, **READ},
        openapi_extra={"parameters": _PARAMETERS},
    )
    async def after_a_gap(request: Request) -> Response:
        """Return what became of the caller's deliveries: for one subject above a sequence, or of all, page by page.

        A subject that is not the caller's has none. Whoever walks through all of them sees each that had its sequence
        when the walk began; what comes during the walk may come behind it.
        """
        caller = organisation(request).organisation
        subject = request.query_params.get("subject")
        after = request.query_params.get("after")
        cursor = request.query_params.get("cursor")
        if subject is not None:
            if cursor is not None:
                raise NotReadable("malformed", [query_problem("cursor", "cursor", "goes without a subject")])
            if not _SUBJECT.fullmatch(subject):
                raise NotReadable("malformed", [query_problem("subject", "subject", "must be a subject of ours")])
            if after is not None and not _SEQUENCE.fullmatch(after):
                raise NotReadable("malformed", [query_problem("after", "after", "must be a sequence")])
            return _page(await catching_up.of_subject(parts.database, caller, subject, int(after or 0), PAGE))
        if after is not None:
            raise NotReadable("malformed", [query_problem("subject", "subject", "must be given with after")])
        found = await catching_up.everything(parts.database, caller, read_cursor(cursor), PAGE + 1)
        more = f'</v1/deliveries?cursor={cursor_at(found[PAGE - 1].id)}>; rel="next"' if len(found) > PAGE else None
        return _page(found[:PAGE], more)


def _page(found: list[Sent], link: str | None = None) -> Response:
    deliveries = tuple(
        SubjectDelivery(
            id=str(item.id),
            subject=item.subject,
            sequence=item.sequence,
            status=Status(item.status),
            reason=item.reason,
            published_at=item.published_at,
        )
        for item in found
    )
    return json_answer(SubjectDeliveries(deliveries=deliveries), headers={"Link": link} if link else None)


def cursor_at(delivery_id: UUID) -> str:
    """Return the cursor behind a delivery."""
    return base64.urlsafe_b64encode(delivery_id.bytes).decode().rstrip("=")


def read_cursor(cursor: str | None) -> UUID | None:
    """Return the delivery a cursor stands behind, None at the beginning. Raises NotReadable."""
    if cursor is None:
        return None
    if _CURSOR.fullmatch(cursor):
        read = UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
        if cursor_at(read) == cursor:
            return read
    raise NotReadable("malformed", [query_problem("cursor", "cursor", "is not one of ours")])


_PARAMETERS: Final = [
    {
        "name": "subject",
        "in": "query",
        "required": False,
        "schema": {"type": "string", "pattern": f"^{_SUBJECT.pattern}$"},
        "description": "The `subject` of the events: a pseudonym, the caller's own. Without it, all deliveries are meant.",
    },
    {
        "name": "after",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
        "description": "With a subject: the last `sequence` that is known; 0 where it is left out.",
    },
    {
        "name": "cursor",
        "in": "query",
        "required": False,
        "schema": {"type": "string", "pattern": f"^{_CURSOR.pattern}$"},
        "description": "Without a subject: where to go on, from the `next` link of the page before (RFC 8288).",
    },
]

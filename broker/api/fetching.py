"""How an organisation that cannot be called comes for its deliveries: it looks, it takes, it acknowledges."""

import base64
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID, uuid5

import structlog
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from broker import audit, sealing
from broker.api.answers import READ, headers, problems
from broker.api.guarding import organisation
from broker.api.parts import ApiParts
from broker.api.problems import NotReadable
from broker.api.queries import query_problem
from broker.delivery.attempt import opened
from broker.eventlog import Record
from broker.identity.refusals import Absent
from broker.relay.relay import sealed_delivery
from broker.store import changes, mailbox
from broker.store.mailbox import Lying
from broker.vault import StoreGate
from contracts.events import BATCH_CONTENT_TYPE, CONTENT_TYPE, structured
from contracts.receipts import Answer
from contracts.records import write_receipt
from contracts.statuses import RANK, Outcome, Status
from contracts.topics import RECEIPTS

PAGE: Final = 100
"""Events of one page, where no fewer are asked for; and no more are given."""

_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{11}")
_LIMIT: Final = re.compile(r"[1-9][0-9]{0,2}")
_PLACE_BYTES: Final = 8
_UUID: Final = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_EventId = Annotated[str, Path(description="The event's `id`.", json_schema_extra={"pattern": _UUID})]

log = structlog.get_logger()


def routes(router: APIRouter, parts: ApiParts) -> None:
    """Add the routes."""
    gate = StoreGate(parts.database, parts.vault)

    @router.get(
        "/v1/events",
        response_class=Response,
        responses={200: _page_of("cloudevents-batch+json", "A page of them."), **READ},
        openapi_extra={"parameters": _PARAMETERS},
    )
    async def collect_events(request: Request) -> Response:
        """Return the caller's events that it has not acknowledged, the oldest first, as a CloudEvents batch.

        For each person they come in order and one at a time: the next is there once the one before is acknowledged, or
        answered. An event may be given more than once, and is the same each time. Without a cursor this begins at the
        oldest that is not acknowledged; with the `next` link it goes on behind what was given, and what is laid down
        later always comes behind. A page without the link was the last; one may hold fewer events than were asked for.
        """
        after = read_cursor(request.query_params.get("cursor"))
        limit = _limit(request.query_params.get("limit"))
        caller = organisation(request).organisation
        lying = await mailbox.look(parts.database, caller, after, limit)
        events = await _events(parts, gate, caller, lying) if lying else []
        more = {"Link": f'</v1/events?cursor={cursor_at(lying[-1].place)}&limit={limit}>; rel="next"'} if lying else {}
        return Response(b"[" + b",".join(events) + b"]", headers={"Content-Type": BATCH_CONTENT_TYPE} | more)

    @router.get(
        "/v1/events/{event_id}",
        response_class=Response,
        responses={200: _page_of("cloudevents+json", "The event."), **READ, **problems(404)},
    )
    async def collect_event(request: Request, event_id: _EventId) -> Response:
        """Return one of the caller's events that it has not acknowledged, as a structured CloudEvent."""
        caller = organisation(request).organisation
        found = await mailbox.find(parts.database, caller, _event_id(event_id))
        events = await _events(parts, gate, caller, [found]) if found else []
        if not events:
            raise Absent
        return Response(events[0], headers={"Content-Type": CONTENT_TYPE})

    @router.delete(
        "/v1/events/{event_id}",
        status_code=204,
        response_class=Response,
        responses={204: {"description": "It is durable that you have it."}, **READ, **problems(404)},
    )
    async def acknowledge_event(request: Request, event_id: _EventId) -> Response:
        """Acknowledge one of the caller's events that was given to it: it has it, and is given it no more.

        That it was applied, or not, is said by `POST /v1/receipts`, which acknowledges it too.
        """
        await _acknowledge(parts, organisation(request).organisation, _event_id(event_id))
        return Response(status_code=204)


async def _events(parts: ApiParts, gate: StoreGate, caller: str, lying: Sequence[Lying]) -> list[bytes]:
    """Return the events of these that may be handed out now, each as structured JSON, in their order."""
    now = parts.clock()

    def leaf(delivery_id: UUID) -> bytes:
        return audit.leaf("delivery.fetched", now, "organisation", organisation=caller, delivery_id=delivery_id)

    events: list[bytes] = []
    for item, grant in await gate.pick_up([(item.delivery_id, item.epoch) for item in lying], leaf):
        try:
            events.append(structured(opened(caller, sealed_delivery(item), grant)))
        except sealing.CannotOpen:  # delivery opened it before: this is damage done since
            log.error("event.unreadable", organisation=caller, delivery_id=str(item.delivery_id))  # noqa: TRY400  it says it all
    return events


async def _acknowledge(parts: ApiParts, caller: str, delivery_id: UUID) -> None:
    """Make the caller's receipt durable; a second one changes nothing. Raises Absent for what it was never given."""
    found = await mailbox.find(parts.database, caller, delivery_id)
    if found is None or not found.fetched:
        known = await changes.of_organisation(parts.database, caller, delivery_id)
        if known is None or RANK[Status(known.status)] < RANK[Status.RECEIVED]:
            raise Absent
        return
    answer = Answer(
        id=uuid5(delivery_id, f"acknowledged/{found.epoch}"), delivery_id=delivery_id, outcome=Outcome.RECEIVED
    )
    receipt = answer.receipt(epoch=found.epoch, attempt=1, now=parts.clock())
    await parts.eventlog.append([Record(RECEIPTS.name, *write_receipt(receipt))])


def cursor_at(place: int) -> str:
    """Return the cursor behind a place."""
    return base64.urlsafe_b64encode(place.to_bytes(_PLACE_BYTES)).decode().rstrip("=")


def read_cursor(cursor: str | None) -> int:
    """Return the place a cursor stands behind, 0 at the beginning. Raises NotReadable."""
    if cursor is None:
        return 0
    if _CURSOR.fullmatch(cursor):
        place = int.from_bytes(base64.urlsafe_b64decode(cursor + "="))
        if place < 2**63 and cursor_at(place) == cursor:
            return place
    raise NotReadable("malformed", [query_problem("cursor", "cursor", "is not one of ours")])


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE
    if not _LIMIT.fullmatch(text) or int(text) > PAGE:
        raise NotReadable("malformed", [query_problem("limit", "limit", "must be a number from 1 to 100")])
    return int(text)


def _event_id(text: str) -> UUID:
    """Return an event's id. Raises Absent: nothing is under what is none."""
    try:
        read = UUID(text)
    except ValueError:
        raise Absent from None
    if str(read) != text:
        raise Absent
    return read


def _page_of(kind: str, description: str) -> dict[str, Any]:
    event = {
        "type": "object",
        "description": "A CloudEvent 1.0.2; its schema is `event.v1`, that of its `data` is what `dataschema` names.",
        "required": ["specversion", "id", "type", "source", "subject", "time", "sequence", "data"],
    }
    whole = {"type": "array", "maxItems": PAGE, "items": event} if kind.startswith("cloudevents-batch") else event
    answer: dict[str, Any] = {"description": description, "content": {f"application/{kind}": {"schema": whole}}}
    return answer | ({"headers": headers("Link")} if whole is not event else {})


_PARAMETERS: Final = [
    {
        "name": "cursor",
        "in": "query",
        "required": False,
        "schema": {"type": "string", "pattern": f"^{_CURSOR.pattern}$"},
        "description": "Where to go on, from the `next` link of a page before (RFC 8288).",
    },
    {
        "name": "limit",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "minimum": 1, "maximum": PAGE},
        "description": f"At most so many events; {PAGE} where it is left out.",
    },
]

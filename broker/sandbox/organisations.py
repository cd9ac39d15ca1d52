"""A sample organisation's system that is reached by webhook: takes signed events and answers as it is told to.

applied not_matched must_review   200 with that outcome
later                             202 `received`; afterwards `POST /v1/receipts`
slow                              200, after its time
failing                           the status, and `Retry-After`
refusing                          422 `rejected_policy`
silent                            no answer until the caller hangs up
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from broker.sandbox.behaviours import EVERY_KIND
from broker.sandbox.clock import Clock, utc_now
from broker.sandbox.desk import LARGEST_EVENT, Desk, desk_app, refusal, until_they_leave
from broker.sandbox.events import MEDIA_TYPE, Unreadable, is_structured, read_event
from broker.sandbox.exchange_access import ExchangeAccess
from broker.sandbox.inbox import Arrival, OtherData
from broker.sandbox.later_answers import LaterAnswers
from broker.sandbox.loopback import body_of
from broker.sandbox.webhooks import NotAuthentic, agreement, verify
from contracts.organisation import Organisation
from contracts.statuses import Outcome


def organisation_app(
    *,
    organisation: Organisation,
    secret: bytes,
    inbox: Path,
    access: ExchangeAccess | None = None,
    clock: Clock = utc_now,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Starlette:
    """Return one organisation's system as an ASGI app with a lifespan, which opens its inbox at `inbox`.

    `secret` is what the exchange signs with. Without `access` it cannot answer later, and refuses to be told so.
    `transport` replaces the network for its later answers.
    """
    desk = Desk(organisation, inbox, clock, EVERY_KIND - (set() if access else {"later"}))

    @asynccontextmanager
    async def answering() -> AsyncIterator[None]:
        if access is None:
            yield
            return
        later = LaterAnswers(desk.inbox, access, clock, transport=transport)
        task = asyncio.create_task(later.run(), name=f"sandbox-answers-{organisation.id}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return desk_app(desk, [Route("/events", _Webhook(desk, secret).answer, methods=["OPTIONS", "POST"])], answering)


class _Webhook:
    """The endpoint for deliveries."""

    def __init__(self, desk: Desk, secret: bytes) -> None:
        self._desk = desk
        self._inbox = desk.inbox
        self._secret = secret

    async def answer(self, request: Request) -> Response:
        return agreement(request) if request.method == "OPTIONS" else await self.receive(request)

    async def receive(self, request: Request) -> Response:
        """Take one delivery. The answer is given after its effect is durable, and is the same for every repeat."""
        body = await body_of(request, LARGEST_EVENT)
        now = self._desk.clock()
        try:
            verify(self._secret, request.headers, body, now)
        except NotAuthentic as fault:
            self._desk.turn_away(str(fault))
            return refusal(401, str(fault))
        if not is_structured(request.headers.get("content-type", "")):
            return refusal(415, f"send {MEDIA_TYPE}, one event, in UTF-8")
        try:
            event = read_event(body)
        except Unreadable as fault:
            return refusal(422, str(fault))
        behaviour = self._desk.conduct.next()
        if behaviour.behaviour == "failing":
            headers = {"Retry-After": str(behaviour.retry_after)} if behaviour.retry_after is not None else None
            return refusal(behaviour.status, "told to fail", headers)
        if behaviour.behaviour == "refusing":
            return JSONResponse({"outcome": Outcome.REJECTED_POLICY.value}, 422)
        if behaviour.behaviour == "silent":
            await until_they_leave(request)
            return Response(status_code=503)
        due = now + timedelta(seconds=behaviour.seconds) if behaviour.behaviour == "later" else None
        answer = await self._inbox.take(
            Arrival(
                event=event,
                webhook_id=request.headers["webhook-id"],
                outcome=behaviour.outcome,
                at=now,
                answer_due=due,
            )
        )
        if behaviour.behaviour == "slow":
            await until_they_leave(request, behaviour.seconds)
        if isinstance(answer, OtherData):
            return refusal(409, "this id was used for another event")
        status = 202 if answer.outcome is Outcome.RECEIVED else 200
        return JSONResponse({"outcome": answer.outcome.value, "reference": answer.reference}, status)

"""Webhook: a CloudEvent by POST, structured or binary, signed as Standard Webhooks has it or by a detached JWS.

What the organisation's answer means:

    200 201 202 204   an answer in the body            that outcome
                      no body                          accepted: taken in, not yet applied
                      anything else in the body        accepted, with `answer_unreadable`: they took it
    400 409 413 422   an answer in the body            that outcome
    400 413 422       otherwise                        Rejected: this delivery is invalid for them
    409               otherwise                        Unknown: an attempt with this id may still be at work
    401 403           they do not know us              Misconfigured
    404 405 410       nothing takes deliveries there   Misconfigured
    3xx               redirects are not followed       Misconfigured
    408 425 429 5xx   not now, see `Retry-After`       Unavailable
    the rest          not what was agreed              Misconfigured

Where the organisation's policy has batches, several deliveries go in one POST (`application/cloudevents-batch+json`) and
the body of a 200, 400, 409, 413 or 422 is a list of such answers, each with its `deliveryId`. A delivery about which it
says nothing, or nothing that is an answer, was taken if that is a 200, with `answer_unreadable`; else it is Unknown. A
batch that is refused without a word on any is Misconfigured: one bad delivery must not have all others refused for good.

An answer in the body is `{"outcome": ..., "reference": ...}`, an `Outcome` and a `Reference`, at most 4 KiB; where it
has `deliveryId` it must be this delivery's. Free text is refused. `unknown` and `failed` are raised: tried again.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from pydantic import ConfigDict, OnErrorOmit, TypeAdapter, ValidationError, ValidationInfo, field_validator

from adapters.activation import Activation
from adapters.jwe import CONTENT_TYPE as ENCRYPTED
from adapters.jwe import encrypted, encryption_key
from adapters.retry_after import retry_after
from adapters.settings import settings_from, settings_of
from adapters.standard_webhooks import SECRETS, signature_headers, signing_keys
from contracts.adapters import AdapterContext, HttpAnswer
from contracts.credentials import CLIENT_CERTIFICATE, CLIENT_SECRET, ClientCredentials, Url
from contracts.delivery import Delivery, Failure, Misconfigured, Rejected, Unavailable, Unknown
from contracts.events import BATCH_CONTENT_TYPE, CONTENT_TYPE, binary, structured
from contracts.receipts import Receipt, Reference
from contracts.statuses import Outcome, Reason
from contracts.text import Strict

TAKEN: Final = frozenset({200, 201, 202, 204})
REFUSED: Final = frozenset({400, 413, 422})
CONFLICT: Final = 409
TELLING: Final = TAKEN | REFUSED | {CONFLICT}
"""The body of such an answer may say more than its status."""
NOT_NOW: Final = {
    408: Reason.SERVER_ERROR,
    425: Reason.SERVER_ERROR,
    429: Reason.TOO_MANY_REQUESTS,
    **dict.fromkeys(range(500, 600), Reason.SERVER_ERROR),
}
MISCONFIGURED: Final = {
    401: Reason.UNAUTHORISED,
    403: Reason.UNAUTHORISED,
    404: Reason.ENDPOINT_MISSING,
    405: Reason.ENDPOINT_MISSING,
    410: Reason.ENDPOINT_GONE,
    **dict.fromkeys(range(300, 400), Reason.REDIRECTED),
}

JWS_HEADER: Final = "x-jws-signature"
"""As UK Open Banking names it: gateways and libraries that verify detached signatures look there."""

ANSWER_LIMIT: Final = 4 * 1024
"""Bytes. Far below the cap of the way out, so that an answer cut there is never taken for a whole one."""


BATCH_ANSWER_LIMIT: Final = 60 * 1024
"""Bytes, for all answers to a batch; below the cap of the way out too."""


class WebhookSettings(Strict):
    """`adapter_settings` of an organisation reached by webhook."""

    endpoint: Url
    """URL that takes the POST. No user name, no fragment, no secret: they belong among the secrets."""
    authorization: ClientCredentials | None = None
    """How an access token is had, for an endpoint that wants one besides our signature."""
    signature: Literal["standard-webhooks", "jws"] = "standard-webhooks"
    """By the secret `signing`; or by our own key, in `x-jws-signature` (RFC 7515, appendix F; RFC 7797)."""
    encrypt_to: dict[str, Any] | None = None
    """The organisation's public key, as JWK or JWK Set (RFC 7517): then the body is a JWE, and what is signed."""
    activation: Literal["handshake", "agreed"] = "handshake"
    """Nothing is sent before the endpoint agrees to it by `OPTIONS` (`adapters.activation`); or its operators have agreed
    to it in writing, and it is not asked."""
    mode: Literal["structured", "binary"] = "structured"
    """How one event is sent (CloudEvents HTTP binding, section 3); a batch has a mode of its own."""

    @field_validator("encrypt_to")
    @classmethod
    def _can_be_encrypted_to(cls, given: dict[str, Any] | None) -> dict[str, Any] | None:
        if given is not None:
            encryption_key(given)
        return given

    @field_validator("mode")
    @classmethod
    def _covers_the_attributes(cls, mode: str, others: ValidationInfo) -> str:
        if mode == "binary" and (others.data.get("signature") == "jws" or others.data.get("encrypt_to") is not None):
            raise ValueError("must be structured: a JWS or JWE of the body alone would leave the attributes out")
        return mode


class WebhookAnswer(Strict):
    """What an organisation says in the body of its answer. Other members are ignored."""

    model_config = ConfigDict(extra="ignore")

    outcome: Outcome
    reference: Reference | None = None
    delivery_id: UUID | None = None


WEBHOOK_ANSWERS: Final = TypeAdapter(list[OnErrorOmit[WebhookAnswer]])
"""One that is none is left out: the answers of the others count."""


class Webhook:
    """Delivers to one organisation's endpoint."""

    carries: ClassVar[Collection[str] | None] = None
    secrets: ClassVar[Sequence[str]] = (*SECRETS, CLIENT_SECRET, CLIENT_CERTIFICATE)

    @staticmethod
    def check_settings(settings: Mapping[str, Any]) -> None:
        """Raises ValueError naming the setting that is wrong."""
        settings_from(settings, WebhookSettings)

    def __init__(self, context: AdapterContext) -> None:
        """Raises ValueError naming the setting or secret that is wrong."""
        settings = settings_of(context, WebhookSettings)
        self._endpoint = settings.endpoint
        self._binary = settings.mode == "binary"
        self._keys = signing_keys(context) if settings.signature == "standard-webhooks" else None
        self._encrypt_to = encryption_key(settings.encrypt_to) if settings.encrypt_to is not None else None
        self._context = context
        self._http = context.http if settings.authorization is None else context.authorized(settings.authorization)
        self._clock = context.clock
        self._activation = None
        if settings.activation == "handshake":
            self._activation = Activation(
                self._http,
                self._endpoint,
                origin=context.origin,
                rate=context.rate,
                deadline=context.deadline,
                clock=context.clock,
            )

    @property
    def rate(self) -> float | None:
        """Requests a second the endpoint has agreed to (`contracts.adapters.Paced`)."""
        return None if self._activation is None else self._activation.rate

    async def deliver(self, delivery: Delivery) -> Receipt:
        if self._binary:
            answer = await self._post(str(delivery.id), delivery.data, binary(delivery))
        else:
            answer = await self._post(str(delivery.id), structured(delivery), {"content-type": CONTENT_TYPE})
        return understood(delivery, answer, self._clock())

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        body = b"[" + b",".join(map(structured, deliveries)) + b"]"
        answer = await self._post(batch_id(deliveries), body, {"content-type": BATCH_CONTENT_TYPE})
        return understood_each(deliveries, answer, self._clock())

    async def _post(self, message_id: str, body: bytes, headers: dict[str, str]) -> HttpAnswer:
        """Send nothing to who has not agreed; encrypt where that is wished, sign what is sent, and send it."""
        if self._activation is not None:
            await self._activation.agreed()
        if self._encrypt_to is not None:
            body = encrypted(body, headers["content-type"], self._encrypt_to)
            headers = headers | {"content-type": ENCRYPTED}
        if self._keys is None:
            headers |= {"webhook-id": message_id, JWS_HEADER: await self._context.signed(body)}
        else:
            headers |= signature_headers(self._keys, message_id, int(self._clock().timestamp()), body)
        return await self._http.post(self._endpoint, headers=headers, content=body)

    async def close(self) -> None:
        await self._context.close()


def understood(delivery: Delivery, answer: HttpAnswer, now: datetime) -> Receipt:
    """Return or raise what the table at the top of this file says. Pure."""
    told = told_in(answer.body, delivery.id) if answer.status in TELLING else None
    return meant(delivery, answer, told, now, unreadable=bool(answer.body.strip()))


def meant(
    delivery: Delivery, answer: HttpAnswer, told: WebhookAnswer | None, now: datetime, *, unreadable: bool
) -> Receipt:
    """Return or raise what an answer means, of which `told` is what its body says of this delivery.

    `unreadable`: where that is nothing, it has said something all the same.
    """
    status, wait = answer.status, retry_after(answer.headers.get("retry-after"), now)
    if told is not None:
        if told.outcome is Outcome.UNKNOWN:
            raise Unknown(Reason.SERVER_ERROR)
        if told.outcome is Outcome.FAILED:
            raise Unavailable(Reason.SERVER_ERROR, retry_after=wait)
        return delivery.answered(told.outcome, now, reference=told.reference)
    if status in TAKEN:
        return delivery.answered(Outcome.ACCEPTED, now, reason=Reason.ANSWER_UNREADABLE if unreadable else None)
    if status in REFUSED:
        raise Rejected(Reason.INVALID_FOR_RECEIVER)
    if status == CONFLICT:
        raise Unknown(Reason.CONFLICTS)
    if status in NOT_NOW:
        raise Unavailable(NOT_NOW[status], retry_after=wait)
    raise Misconfigured(MISCONFIGURED.get(status, Reason.ADAPTER_FAULT))


def batch_id(deliveries: Sequence[Delivery]) -> str:
    """Return the `webhook-id` of a batch: the same for the same deliveries in the same order."""
    return "batch-" + sha256(b"".join(delivery.id.bytes for delivery in deliveries)).hexdigest()[:32]


def understood_each(deliveries: Sequence[Delivery], answer: HttpAnswer, now: datetime) -> Sequence[Receipt | Failure]:
    """Return what became of each delivery of a batch, or raise what became of all. Pure."""
    told = told_of_each(answer.body, len(deliveries)) if answer.status in TELLING else {}
    if not told and answer.status in REFUSED:
        raise Misconfigured(Reason.REFUSED_BY_POLICY)
    unreadable = bool(told or answer.body.strip())
    ended: list[Receipt | Failure] = []
    for delivery in deliveries:
        try:
            if told and delivery.id not in told and answer.status not in TAKEN:
                raise Unknown(Reason.CONFLICTS)
            ended.append(meant(delivery, answer, told.get(delivery.id), now, unreadable=unreadable))
        except Failure as failure:
            ended.append(failure)
    return ended


def told_of_each(body: bytes, count: int) -> dict[UUID, WebhookAnswer]:
    """Return the answers a list of them holds, by delivery; empty where the body is no such list."""
    if len(body) > min(ANSWER_LIMIT * count, BATCH_ANSWER_LIMIT):
        return {}
    try:
        told = WEBHOOK_ANSWERS.validate_json(body)
    except ValidationError:
        return {}
    return {one.delivery_id: one for one in told if one.delivery_id is not None}


def told_in(body: bytes, delivery_id: UUID) -> WebhookAnswer | None:
    """Return the answer a body holds, None where it holds none about this delivery."""
    if len(body) > ANSWER_LIMIT:
        return None
    try:
        told = WebhookAnswer.model_validate_json(body)
    except ValidationError:
        return None
    return told if told.delivery_id in {None, delivery_id} else None

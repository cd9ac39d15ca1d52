"""EXAMPLE: a change as JSON by POST, for systems that take that. Say here which system, and where it is documented.

What its answer means:

    200           applied: the record is changed
    202           accepted: taken in, not yet applied
    400 422       Rejected: never to be taken
    401 403       Misconfigured: they do not know us
    404 405 410   Misconfigured: nothing takes changes there
    3xx           Misconfigured: redirects are not followed
    408 429 5xx   Unavailable: not now, see `Retry-After`
    the rest      Misconfigured

The idempotency key is the header `Idempotency-Key`: the delivery's id, the same on every try.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import StringConstraints

from adapters.retry_after import retry_after
from adapters.settings import settings_from, settings_of
from contracts.adapters import AdapterContext, HttpAnswer
from contracts.delivery import Delivery, Misconfigured, Rejected, Unavailable
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason
from contracts.text import Strict

OUTCOMES = {200: Outcome.APPLIED, 202: Outcome.ACCEPTED}
REJECTED = frozenset({400, 422})
NOT_NOW = frozenset({408, 429, *range(500, 600)})
MISCONFIGURED = {
    401: Reason.UNAUTHORISED,
    403: Reason.UNAUTHORISED,
    404: Reason.ENDPOINT_MISSING,
    405: Reason.ENDPOINT_MISSING,
    410: Reason.ENDPOINT_GONE,
    **dict.fromkeys(range(300, 400), Reason.REDIRECTED),
}


class ExampleSettings(Strict):
    """`adapter_settings` of an organisation reached by this adapter. No secret belongs here."""

    endpoint: Annotated[str, StringConstraints(max_length=2000, pattern=r"^https?://[^\s/?#@]+(/[^\s#@]*)?$")]


class Example:
    """Delivers to one organisation."""

    carries: ClassVar[Collection[str] | None] = None
    """Event types of changes it can carry; None for all, as where they go on as they are. Left out: moves alone."""
    secrets: ClassVar[Sequence[str]] = ("token",)
    """Names of the secrets it may ask for; an operator keeps them with `unwaith secret ORGANISATION token`."""

    @staticmethod
    def check_settings(settings: Mapping[str, Any]) -> None:
        """Raises ValueError naming the setting that is wrong."""
        settings_from(settings, ExampleSettings)

    def __init__(self, context: AdapterContext) -> None:
        """Raises ValueError naming the setting or secret that is wrong, never its value."""
        self._endpoint = settings_of(context, ExampleSettings).endpoint
        try:
            self._token = context.secret("token").decode("ascii")
        except (KeyError, UnicodeDecodeError):
            raise ValueError("secret token: is missing or not ASCII") from None
        self._context = context

    async def deliver(self, delivery: Delivery) -> Receipt:
        headers = {
            "authorization": f"Bearer {self._token}",
            "content-type": "application/json",
            "idempotency-key": str(delivery.id),
        }
        answer = await self._context.http.post(self._endpoint, headers=headers, content=delivery.data)
        return self._understood(delivery, answer)

    async def close(self) -> None:
        await self._context.close()

    def _understood(self, delivery: Delivery, answer: HttpAnswer) -> Receipt:
        """Return or raise what the table at the top of this file says."""
        now = self._context.clock()
        if answer.status in OUTCOMES:
            return delivery.answered(OUTCOMES[answer.status], now)
        if answer.status in REJECTED:
            raise Rejected(Reason.INVALID_FOR_RECEIVER)
        if answer.status in NOT_NOW:
            raise Unavailable(Reason.SERVER_ERROR, retry_after=retry_after(answer.headers.get("retry-after"), now))
        raise Misconfigured(MISCONFIGURED.get(answer.status, Reason.ADAPTER_FAULT))

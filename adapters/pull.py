"""Pull: for organisations that cannot be called. A delivery is laid into their mailbox, and they come for it.

Nothing is sent from here, so nothing is answered here. What becomes of a delivery that lies there:

    handed out (`GET /v1/events`)              it may have arrived; nothing is said of it yet
    acknowledged (`DELETE /v1/events/{id}`)    received
    answered (`POST /v1/receipts`)             what they say
    unread for `alarm_after_hours`             an alarm; it goes on lying there
    unread until its horizon passes            undelivered, as after tries without success
    cancelled, erased or revoked meanwhile     not handed out any more

The idempotency key is the event's id. What was laid down once is not laid down again by a repeat.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field

from adapters.settings import settings_from, settings_of
from contracts.adapters import AdapterContext
from contracts.delivery import Delivery, Failure
from contracts.receipts import Receipt
from contracts.text import Strict


class PullSettings(Strict):
    """`adapter_settings` of an organisation that comes for its deliveries."""

    alarm_after_hours: Annotated[int, Field(ge=1, le=8760)] = 24
    """How long a delivery may lie unread before that is an alarm."""


class Pull:
    """Lays deliveries into one organisation's mailbox. Implements `Adapter` and `BatchAdapter`."""

    carries: ClassVar[Collection[str] | None] = None
    secrets: ClassVar[Sequence[str]] = ()

    @staticmethod
    def check_settings(settings: Mapping[str, Any]) -> None:
        """Raises ValueError naming the setting that is wrong."""
        settings_from(settings, PullSettings)

    def __init__(self, context: AdapterContext) -> None:
        """Raises ValueError naming the setting that is wrong, or that there is no mailbox to lay anything into."""
        self._alarm_after = timedelta(hours=settings_of(context, PullSettings).alarm_after_hours)
        if context.mailbox is None:
            raise ValueError("adapter pull: there is no mailbox here")
        self._mailbox = context.mailbox
        self._context = context

    async def deliver(self, delivery: Delivery) -> Receipt:
        await self._mailbox.place([delivery], self._alarm_after)
        return delivery.placed(self._context.clock())

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        await self._mailbox.place(deliveries, self._alarm_after)
        now = self._context.clock()
        return [delivery.placed(now) for delivery in deliveries]

    async def close(self) -> None:
        await self._context.close()

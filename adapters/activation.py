"""Whether an endpoint agrees to be sent to: the handshake of CloudEvents' HTTP 1.1 Web Hooks for Event Delivery, section 4.

Asked by `OPTIONS`, before the first delivery and once a day. What its answer means:

    200 201 202 204   `WebHook-Allowed-Origin` is ours, or `*`    agreed; `WebHook-Allowed-Rate` caps our rate
                      otherwise                                   Misconfigured: not_activated
    401 403           they do not know us                         Misconfigured
    404 410           nothing takes deliveries there              Misconfigured
    3xx               redirects are not followed                  Misconfigured
    408 425 429 5xx   not now, see `Retry-After` (501: not ever)  Unavailable
    the rest          it does not know the handshake              Misconfigured: not_activated

Agreeing later by a call back to us (`WebHook-Request-Callback`) is not asked for: an operator resumes the organisation
when its endpoint is ready, and then it is asked again.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from adapters.retry_after import retry_after
from contracts.adapters import HttpAnswer, HttpClient
from contracts.delivery import Failure, Misconfigured, Unavailable, Unknown
from contracts.statuses import Reason

ASKED_AGAIN: Final = timedelta(days=1)
TAKEN: Final = frozenset({200, 201, 202, 204})
NOT_NOW: Final = {
    408: Reason.SERVER_ERROR,
    425: Reason.SERVER_ERROR,
    429: Reason.TOO_MANY_REQUESTS,
    **dict.fromkeys((one for one in range(500, 600) if one != 501), Reason.SERVER_ERROR),  # noqa: PLR2004  see above
}
MISCONFIGURED: Final = {
    401: Reason.UNAUTHORISED,
    403: Reason.UNAUTHORISED,
    404: Reason.ENDPOINT_MISSING,
    410: Reason.ENDPOINT_GONE,
    **dict.fromkeys(range(300, 400), Reason.REDIRECTED),
}
_RATE: Final = re.compile(r"[1-9][0-9]{0,8}")


class Activation:
    """What one endpoint has agreed to. For one event loop."""

    def __init__(
        self,
        http: HttpClient,
        endpoint: str,
        *,
        origin: str,
        rate: float | None,
        deadline: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        """`origin` is our name in the DNS, `rate` what we would send at most, in requests a second."""
        self._http = http
        self._endpoint = endpoint
        self._origin = origin
        self._deadline = deadline.total_seconds()
        self._clock = clock
        self._asking = {"webhook-request-origin": origin}
        if rate is not None:
            self._asking["webhook-request-rate"] = str(max(1, int(rate * 60)))
        self._agreed_at: datetime | None = None
        self._turn = asyncio.Lock()
        self._asked = 0
        self._refusal: Failure | None = None
        self.rate: float | None = None
        """Requests a second the endpoint has agreed to; None where it has set no cap, or was not asked yet."""

    async def agreed(self) -> None:
        """Return once the endpoint has agreed; of all who wait, one asks. Raises Unavailable and Misconfigured."""
        if self._stands():
            return
        asked = self._asked
        try:
            async with asyncio.timeout(self._deadline), self._turn:
                if self._stands():
                    return
                if self._asked != asked and self._refusal is not None:
                    raise _again(self._refusal)  # said while we waited
                await self._ask()
        except TimeoutError:
            raise Unavailable(Reason.DEADLINE_PASSED) from None

    def _stands(self) -> bool:
        return self._agreed_at is not None and abs(self._clock() - self._agreed_at) < ASKED_AGAIN

    async def _ask(self) -> None:
        self._refusal = None
        try:
            answer = await self._http.options(self._endpoint, headers=self._asking)
            now = self._clock()
            self.rate = understood(answer, self._origin, now)
            self._agreed_at = now
        except Unknown as lost:
            self._refusal = Unavailable(lost.reason)  # asking does nothing
        except Failure as failure:
            self._refusal = failure
        finally:
            self._asked += 1
        if self._refusal is not None:
            raise self._refusal from None


def _again(refusal: Failure) -> Failure:
    """Return the same refusal, to be raised for another."""
    if isinstance(refusal, Unavailable):
        return Unavailable(refusal.reason, retry_after=refusal.retry_after)
    return Misconfigured(refusal.reason)


def understood(answer: HttpAnswer, origin: str, now: datetime) -> float | None:
    """Return the rate agreed to, in requests a second, or raise what the table at the top of this file says. Pure."""
    if answer.status in NOT_NOW:
        wait = retry_after(answer.headers.get("retry-after"), now)
        raise Unavailable(NOT_NOW[answer.status], retry_after=wait)
    allowed = answer.headers.get("webhook-allowed-origin", "").strip().lower()
    rate = answer.headers.get("webhook-allowed-rate", "*").strip()
    if answer.status not in TAKEN or allowed not in {"*", origin.lower()} or not (rate == "*" or _RATE.fullmatch(rate)):
        raise Misconfigured(MISCONFIGURED.get(answer.status, Reason.NOT_ACTIVATED))
    return None if rate == "*" else int(rate) / 60

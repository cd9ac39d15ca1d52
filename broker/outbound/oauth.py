"""Access tokens for what we call: had by client credentials, kept, renewed before they end, once for all who ask.

What the token endpoint's answer means:

    200                a bearer token              that token, for `expires_in` seconds (300 where it does not say)
                       anything else               Misconfigured: their endpoint is not one, or not for us
    400 401            temporarily_unavailable     Unavailable
                       server_error                Unavailable
    400 401 403        otherwise (invalid_client)  Misconfigured: token_refused
    404 405 410        nothing issues tokens there Misconfigured
    3xx                not followed                Misconfigured
    408 425 429 5xx    see `Retry-After`           Unavailable
    the rest           not what was agreed         Misconfigured

An answer that was lost is Unavailable too: asking for another token does no harm.
"""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol
from urllib.parse import urlencode

from contracts.adapters import HttpAnswer
from contracts.credentials import ClientCredentials
from contracts.delivery import Misconfigured, Unavailable, Unknown
from contracts.statuses import Reason

GRANT_TYPE: Final = "client_credentials"
UNSAID_SECONDS: Final = 300.0
"""How long a token is taken to be good where the answer does not say."""
LONGEST_SECONDS: Final = 24 * 3600.0
RENEWED_AT: Final = 0.8
"""Of a token's life: from then on the next is fetched beside what goes on."""
ENDS_AT: Final = 0.95
"""Of a token's life: from then on it is not sent any more, for it would end on its way."""
RENEWED_AGAIN: Final = timedelta(seconds=5)
"""After a renewal that failed, while the token is still good."""

_NOT_NOW: Final = {408, 425, 429, *range(500, 600)}
_MISCONFIGURED: Final = {
    **dict.fromkeys((400, 401, 403), Reason.TOKEN_REFUSED),
    **dict.fromkeys((404, 405, 410), Reason.ENDPOINT_MISSING),
    **dict.fromkeys(range(300, 400), Reason.REDIRECTED),
}
_THEIR_TROUBLE: Final = frozenset({"temporarily_unavailable", "server_error"})
_BEARER: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, section 2.1."""

Prove = Callable[[], Awaitable["Proof"]]
"""Makes the proof of who we are, new each time: an assertion is good once. May raise Failure."""


class Post(Protocol):
    """POST once: `GuardedClient.post`."""

    async def __call__(self, url: str, *, headers: Mapping[str, str], content: bytes) -> HttpAnswer: ...


@dataclass(frozen=True, slots=True)
class Proof:
    """What of a token request says who asks."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token, and what is to be done with it when."""

    text: str = field(repr=False)
    renewed_at: datetime
    ends_at: datetime


class Tokens:
    """The access token of one client at one authorization server. For one event loop."""

    def __init__(self, post: Post, credentials: ClientCredentials, prove: Prove, clock: Callable[[], datetime]) -> None:
        self._post = post
        self._credentials = credentials
        self._prove = prove
        self._clock = clock
        self._token: AccessToken | None = None
        self._fetching: asyncio.Task[AccessToken] | None = None

    async def token(self, seconds: float) -> str:
        """Return a token that is good now, waiting at most so long; of all who wait, one fetches.

        Raises Unavailable and Misconfigured.
        """
        now = self._clock()
        if self._token is not None and now < self._token.renewed_at:
            return self._token.text
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        if self._token is not None and now < self._token.ends_at:
            return self._token.text
        try:
            async with asyncio.timeout(seconds):
                return (await asyncio.shield(self._fetching)).text
        except TimeoutError:
            raise Unavailable(Reason.DEADLINE_PASSED) from None

    def refused(self, token: str) -> None:
        """Keep this token no longer: it was refused. Another that came meanwhile stays."""
        if self._token is not None and self._token.text == token:
            self._token = None

    def _fetched(self, fetching: asyncio.Task[AccessToken]) -> None:
        self._fetching = None
        if not fetching.cancelled() and fetching.exception() is None:
            self._token = fetching.result()
        elif self._token is not None:
            again = min(self._token.ends_at, self._clock() + RENEWED_AGAIN)
            self._token = AccessToken(self._token.text, again, self._token.ends_at)

    async def _fetch(self) -> AccessToken:
        asked = self._clock()
        proof = await self._prove()
        form = {"grant_type": GRANT_TYPE, **proof.form}
        if self._credentials.scope is not None:
            form["scope"] = self._credentials.scope
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json", **proof.headers}
        try:
            answer = await self._post(
                self._credentials.token_endpoint, headers=headers, content=urlencode(form).encode("ascii")
            )
        except Unknown as lost:
            raise Unavailable(lost.reason) from None
        return understood(answer, asked)


def understood(answer: HttpAnswer, asked: datetime) -> AccessToken:
    """Return or raise what the table at the top of this file says. Pure; `asked` is when the token was asked for."""
    said = _object(answer.body)
    if answer.status == 200:  # noqa: PLR2004  RFC 6749, section 5.1
        return _token(said, asked)
    if answer.status in _NOT_NOW or (answer.status in {400, 401} and str(said.get("error")) in _THEIR_TROUBLE):
        wait = answer.headers.get("retry-after", "")
        seconds = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 7 else None  # noqa: PLR2004
        raise Unavailable(Reason.SERVER_ERROR, retry_after=seconds)
    raise Misconfigured(_MISCONFIGURED.get(answer.status, Reason.ADAPTER_FAULT))


def _token(said: Mapping[str, object], asked: datetime) -> AccessToken:
    text, kind, seconds = said.get("access_token"), said.get("token_type"), said.get("expires_in", UNSAID_SECONDS)
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit():  # as some servers write it
        seconds = int(seconds[:9])
    if not (
        isinstance(text, str)
        and _BEARER.fullmatch(text)
        and isinstance(kind, str)
        and kind.lower() == "bearer"
        and isinstance(seconds, int | float)
        and not isinstance(seconds, bool)
        and not (isinstance(seconds, float) and math.isnan(seconds))
    ):
        raise Misconfigured(Reason.ANSWER_UNREADABLE)
    life = float(min(max(seconds, 0), LONGEST_SECONDS))
    return AccessToken(text, asked + timedelta(seconds=life * RENEWED_AT), asked + timedelta(seconds=life * ENDS_AT))


def _object(body: bytes) -> Mapping[str, object]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}

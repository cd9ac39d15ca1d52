# ruff: noqa: S101  a suite is made of assertions
"""What an adapter that uses `AdapterContext.authorized` must also pass, and an authorization server under script.

Subclass `AuthorizedConformance` besides `AdapterConformance`, in a class whose `system` has such a server too.
"""

import asyncio
import json
import traceback
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qs

from adapters.conformance import DEADLINE, SHORT_DEADLINE, Act, Mishap, Says, attempt, sample_delivery
from adapters.conformance_http import HttpPeer, response
from contracts.adapters import Adapter
from contracts.delivery import Failure, Misconfigured, Unavailable
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason

GRANTS: Final = Says(Outcome.APPLIED)
"""The act of an authorization server that gives a token."""
TRIES: Final = 5
"""Who asks just after another gave up waiting still waits for that one's answer, and shares its end."""


class TokenServer(HttpPeer):
    """Gives each who asks a token of its own, until it is told otherwise."""

    def __init__(self, *, expires_in: int | None = 300) -> None:
        super().__init__(say=self._grants)
        self.expires_in = expires_in
        self.issued: list[str] = []
        self.does(GRANTS)

    @property
    def forms(self) -> list[dict[str, str]]:
        """What was asked, oldest first."""
        return [{name: values[0] for name, values in parse_qs(one.body.decode()).items()} for one in self.requests]

    def _grants(self, _says: Says) -> bytes:
        self.issued.append(f"token-{len(self.issued) + 1}.hunter2")
        said: dict[str, str | int] = {"access_token": self.issued[-1], "token_type": "Bearer"}
        if self.expires_in is not None:
            said["expires_in"] = self.expires_in
        return response(200, json.dumps(said).encode(), ("Content-Type", "application/json"))


def refusal(status: int, error: str) -> bytes:
    """Return a token endpoint's refusal (RFC 6749, section 5.2)."""
    said = {"error": error, "error_description": "hunter2 Siân"}
    return response(status, json.dumps(said).encode(), ("Content-Type", "application/json"))


class AuthorizedConformance:
    """The promises of `AdapterContext.authorized`, as an adapter keeps them."""

    def authorized(
        self, *, deadline: timedelta = DEADLINE, expires_in: int | None = 300
    ) -> AbstractAsyncContextManager[tuple[Adapter, HttpPeer, TokenServer]]:
        """Return an adapter, the peer it delivers to, and the server it has its tokens from."""
        raise NotImplementedError

    @property
    def said_well(self) -> Act | bytes:
        """What the peer does to take a delivery."""
        return Says(Outcome.APPLIED)

    async def test_many_at_once_ask_for_one_token(self) -> None:
        async with self.authorized() as (adapter, peer, server):
            peer.does(self.said_well)
            await asyncio.gather(*(adapter.deliver(sample_delivery()) for _ in range(20)))
            assert len(server.issued) == 1
            assert _borne(peer) == {server.issued[0]}

    async def test_a_token_that_has_ended_is_not_sent(self) -> None:
        async with self.authorized(expires_in=0) as (adapter, peer, server):
            peer.does(self.said_well)
            for _ in range(3):
                await adapter.deliver(sample_delivery())
            assert len(_borne(peer)) == 3  # noqa: PLR2004  a new one for each
            assert _borne(peer) <= set(server.issued)

    async def test_a_token_that_is_refused_is_exchanged_once(self) -> None:
        async with self.authorized() as (adapter, peer, server):
            peer.does(response(401), self.said_well)
            assert isinstance(await attempt(adapter, sample_delivery()), Receipt)
            assert server.issued == [_bearer(request.headers) for request in peer.requests]
            peer.does(response(401))
            told = await attempt(adapter, sample_delivery())
            assert isinstance(told, Misconfigured)
            assert told.reason is Reason.UNAUTHORISED
            assert len(peer.requests) == 4  # noqa: PLR2004  each was asked twice
            peer.does(self.said_well)
            assert isinstance(await attempt(adapter, sample_delivery()), Receipt)

    async def test_no_token_is_given_to_us(self) -> None:
        for refused in (
            refusal(401, "invalid_client"),
            refusal(400, "invalid_client"),
            refusal(400, "unauthorized_client"),
            refusal(400, "invalid_scope"),
            response(403),
        ):
            await self._not_had([refused], (Misconfigured,), Reason.TOKEN_REFUSED)

    async def test_the_server_of_tokens_is_away(self) -> None:
        for trouble in (
            response(503),
            response(500, b"<html>"),
            response(429),
            refusal(400, "temporarily_unavailable"),
            Mishap.HANGS_UP_AFTER,
            Mishap.HANGS_UP_BEFORE,
            Mishap.GARBAGE,
        ):
            await self._not_had([trouble], (Unavailable,), None)
        await self._not_had([Mishap.NEVER_ANSWERS], (Unavailable,), Reason.DEADLINE_PASSED, deadline=SHORT_DEADLINE)

    async def test_what_is_given_is_no_token(self) -> None:
        for odd in (b"", b"<html>", b'{"access_token":7,"token_type":"Bearer"}', b'{"access_token":"a b","token_type":"Bearer"}', b'{"access_token":"a","token_type":"mac"}', b'{"access_token":"a\\r\\nx: y","token_type":"Bearer"}'):  # fmt: skip
            await self._not_had([response(200, odd)], (Misconfigured,), Reason.ANSWER_UNREADABLE)

    async def _not_had(
        self,
        does: Sequence[Act | bytes],
        kinds: tuple[type[Failure], ...],
        reason: Reason | None,
        *,
        deadline: timedelta = DEADLINE,
    ) -> None:
        """Without a token nothing is sent; once one is had again deliveries are."""
        async with self.authorized(deadline=deadline) as (adapter, peer, server):
            server.does(*does)
            peer.does(self.said_well)
            told = await attempt(adapter, sample_delivery())
            assert isinstance(told, kinds), f"{does}: {told!r}"
            assert reason is None or told.reason is reason, f"{does}: {told!r}"
            assert not peer.requests, "sent without a token"
            assert "hunter2" not in "".join(traceback.format_exception(told))
            server.does(GRANTS)
            ended = [await attempt(adapter, sample_delivery())]
            while not isinstance(ended[-1], Receipt) and len(ended) < TRIES:
                ended.append(await attempt(adapter, sample_delivery()))
            assert isinstance(ended[-1], Receipt), does


def _bearer(headers: dict[str, str]) -> str:
    return headers.get("authorization", "").removeprefix("Bearer ")


def _borne(peer: HttpPeer) -> set[str]:
    return {_bearer(request.headers) for request in peer.requests}

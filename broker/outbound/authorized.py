"""`AuthorizedClient`: the guarded way out to one organisation, with an access token of its authorization server."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from broker.outbound.client import GuardedClient
from broker.outbound.oauth import Tokens
from contracts.adapters import HttpAnswer
from contracts.delivery import Unavailable
from contracts.statuses import Reason

UNAUTHORISED: Final = 401


class AuthorizedClient:
    """Sends what `client` sends, with `Authorization: Bearer`; implements `contracts.adapters.HttpClient`.

    A 401 has done nothing (RFC 9110, section 15.5.2), so it is asked once more with a new token; a second 401 is the
    answer. Everything together takes at most `deadline`.
    """

    def __init__(self, client: GuardedClient, tokens: Tokens, deadline: timedelta) -> None:
        self._client = client
        self._tokens = tokens
        self._deadline = deadline.total_seconds()

    async def post(self, url: str, *, headers: Mapping[str, str], content: bytes) -> HttpAnswer:
        """POST; raises what `GuardedClient.post` does, and what `Tokens.token` does before anything is sent."""
        return await self._exchange("POST", url, headers, content)

    async def patch(self, url: str, *, headers: Mapping[str, str], content: bytes) -> HttpAnswer:
        return await self._exchange("PATCH", url, headers, content)

    async def options(self, url: str, *, headers: Mapping[str, str]) -> HttpAnswer:
        return await self._exchange("OPTIONS", url, headers, None)

    async def close(self) -> None:
        """Close the way out; a token that is being fetched is let go."""
        await self._client.close()

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> HttpAnswer:
        until = asyncio.get_running_loop().time() + self._deadline
        answer, token = await self._once(method, url, headers, content, until)
        if answer.status == UNAUTHORISED:
            self._tokens.refused(token)
            answer, token = await self._once(method, url, headers, content, until)
        return answer

    async def _once(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, until: float
    ) -> tuple[HttpAnswer, str]:
        clock = asyncio.get_running_loop().time
        token = await self._tokens.token(until - clock())
        if (left := until - clock()) <= 0:
            raise Unavailable(Reason.DEADLINE_PASSED)
        bearing = {**headers, "authorization": f"Bearer {token}"}
        within = timedelta(seconds=left)
        return await self._client.exchange(method, url, headers=bearing, content=content, within=within), token

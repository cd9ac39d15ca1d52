"""An organisation's own software: it signs in at the exchange and says what became of deliveries, once or again."""

from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID, uuid4

import aiohttp
import orjson
from joserfc import jwt
from joserfc.jwk import ECKey

from broker.identity.token_endpoint import ASSERTION_TYPE
from tests.faults.exchange import Exchange

_OWN: Final = "its own"


class Software:
    """One organisation at the API; use as an async context, which signs in."""

    def __init__(self, exchange: Exchange, organisation: str) -> None:
        self._exchange = exchange
        self._organisation = organisation
        self._url = f"http://127.0.0.1:{exchange.ports['api']}"
        self._token = ""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(trust_env=False)
        key = self._exchange.state.client_key(self._organisation)
        now = datetime.now(UTC)
        claims = {
            "iss": self._organisation,
            "sub": self._organisation,
            "aud": f"{self._exchange.addresses.public_url}/oauth/token",
            "jti": str(uuid4()),
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=1)).timestamp()),
        }
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key),
        }
        async with self._session.post(f"{self._url}/oauth/token", data=form) as answer:
            assert answer.status == 200, await answer.text()
            self._token = (await answer.json())["access_token"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._session.close()

    async def answer(
        self, delivery: UUID, outcome: str, answer: UUID | None = None, *, token: str | None = _OWN
    ) -> tuple[int, Any]:
        """Say what became of a delivery; return the status and the body. `answer` is the id of what is said."""
        said = {"id": str(answer or uuid4()), "deliveryId": str(delivery), "outcome": outcome}
        given = self._token if token == _OWN else token
        headers = {"Authorization": f"Bearer {given}"} if given else {}
        async with self._session.post(f"{self._url}/v1/receipts", json=said, headers=headers) as answered:
            return answered.status, await answered.json() if answered.status != 202 else None

    async def ask(self, method: str, path: str) -> tuple[int, Any]:
        """Ask for something of its own; return the status and what was read, if it is JSON."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._session.request(method, f"{self._url}{path}", headers=headers) as answered:
            body = await answered.read()
            return answered.status, orjson.loads(body) if answered.status == 200 else None

    def forged(self) -> str:
        """Return its own token, but for the key that signed it."""
        key = ECKey.generate_key("P-256")
        header, claims = (orjson.loads(urlsafe_b64decode(part + "==")) for part in self._token.split(".")[:2])
        return jwt.encode(header, claims, key)

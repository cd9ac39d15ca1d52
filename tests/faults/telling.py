"""People who tell their moves and do not give up: the same key again and again until there is an answer."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

import aiohttp
import orjson
from joserfc import jwt

from broker.sandbox.addresses import SampleAddress, sample_addresses
from tests.faults.exchange import Exchange
from tests.faults.told import Told

CARDIFF, SWANSEA = 6815, 6855
PASSING: Final = frozenset({429, 503})
"""What may be answered while something is broken. Anything else that is not the wanted answer is a fault."""
PATIENCE_SECONDS: Final = 15.0
"""Longer than any limit of the API's own: a request that takes longer hangs, which is a fault."""


class Desk:
    """Where people tell: the API over HTTP, any of `apis`. Counts what it met; use as an async context."""

    def __init__(self, exchange: Exchange, *, run: str, apis: tuple[str, ...] = ("api",)) -> None:
        """`run` is part of every person's name and every key, so that two runs on one exchange do not meet."""
        self._exchange = exchange
        self._run = run
        self._apis = apis
        self._dice = random.Random(run)
        self._tokens: dict[int, tuple[str, float]] = {}
        self.asking = 0
        """Requests that are out now."""
        self.met: Counter[str] = Counter()
        """How often each answer came: statuses, and `lost` for none."""
        self.faults: list[str] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS), connector=aiohttp.TCPConnector(limit=0)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._session.close()

    async def tell(self, person: int, number: int) -> Told:
        """Preview and tell the person's n-th move; return when it has been accepted."""
        told = await self.shown(person, number)
        await self.accepted(told)
        return told

    async def shown(self, person: int, number: int) -> Told:
        """Preview a move."""
        move = _move(person, number)
        preview = await self._until(200, person, "/v1/changes/preview", move)
        told = Told(person, number, f"{self._run}-{person}-{number}", {**move, "preview": preview["digest"]})
        told.data = {item["organisation"]: item["data"] for item in preview["recipients"]}
        return told

    async def accepted(self, told: Told) -> str:
        """Tell it with its key until it is accepted; return the reference."""
        answer = await self._until(202, told.person, "/v1/changes", told.body, told.key)
        if not told.references:
            self._exchange.told.append(told)
        told.references.add(answer["reference"])
        return str(answer["reference"])

    async def ask(
        self, person: int, path: str, body: dict[str, Any], key: str | None = None
    ) -> tuple[int | None, dict[str, Any]]:
        """POST once; return the status and the body, None for no answer at all."""
        port = self._exchange.ports[self._dice.choice(self._apis)]
        headers = {"Authorization": f"Bearer {self._token(person)}", "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        self.asking += 1
        try:
            async with self._session.post(
                f"http://127.0.0.1:{port}{path}", data=orjson.dumps(body), headers=headers
            ) as answer:
                found = (answer.status, orjson.loads(await answer.read()))
                if answer.status in PASSING and "Retry-After" not in answer.headers:
                    self.faults.append(f"{answer.status} without Retry-After")
        except TimeoutError:
            self.faults.append(f"POST {path} hung for {PATIENCE_SECONDS:.0f} s")
            return None, {}
        except (aiohttp.ClientError, ConnectionError):
            self.met["lost"] += 1
            return None, {}
        finally:
            self.asking -= 1
        self.met[str(found[0])] += 1
        return found

    async def _until(
        self, wanted: int, person: int, path: str, body: dict[str, Any], key: str | None = None
    ) -> dict[str, Any]:
        while True:
            status, answer = await self.ask(person, path, body, key)
            if status == wanted:
                return answer
            if status is not None and status not in PASSING:
                self.faults.append(f"POST {path} was answered {status}: {answer}")
                raise AssertionError(self.faults[-1])
            await asyncio.sleep(self._dice.uniform(0.05, 0.4))

    def _token(self, person: int) -> str:
        """Return an access token as the sandbox's provider issues it (RFC 9068), for somebody it has never met."""
        now = datetime.now(UTC).timestamp()
        token, good_until = self._tokens.get(person, ("", 0.0))
        if good_until > now:
            return token
        key, where = self._exchange.state.signing_key, self._exchange.addresses
        claims = {
            "iss": where.issuer,
            "sub": f"urn:example:{self._run}:{person}",
            "aud": where.audience,
            "iat": int(now),
            "exp": int(now) + 1800,
            "jti": str(uuid4()),
            "client_id": "tests",
            "scope": "changes:read changes:write",
            "vot": "P2",
            "verified_claims": {
                "verification": {"trust_framework": "uk_diatf", "assurance_level": "medium"},
                "claims": {
                    "name": [{"nameParts": [{"type": "GivenName", "value": f"Person {person}"}]}],
                    "birthdate": "1984-03-01",
                },
            },
        }
        token = jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": key.kid}, claims, key)
        self._tokens[person] = (token, now + 900)
        return token


_HOMES: Final = {
    code: [home for home in sample_addresses() if home.custodian_code == code and home.language == "en"]
    for code in (CARDIFF, SWANSEA)
}


def _move(person: int, number: int) -> dict[str, Any]:
    """Return a person's n-th move: to and fro between Cardiff and Swansea, each to another house number."""
    there, back = (_HOMES[code][person % len(_HOMES[code])] for code in (CARDIFF, SWANSEA))
    old, new = (there, back) if number % 2 else (back, there)
    change = {"previousAddress": _at(old, number), "newAddress": _at(new, number + 1), "effectiveDate": "2026-06-01"}
    return {"type": "address", "change": change}


def _at(home: SampleAddress, number: int) -> dict[str, Any]:
    return {
        "uprn": home.uprn,
        "buildingNumber": str(number),
        "streetName": home.street_name,
        "addressLocality": home.address_locality,
        "postalCode": home.postal_code,
    }

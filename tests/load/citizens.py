"""Many people telling changes at once: the load generator, a process of its own.

`python -m tests.load.citizens` reads one JSON order a line and answers each with one line. Orders:

    {"do": "mint", "state": DIR, "issuer": URL, "audience": URL, "people": N, "old": HOMES, "new": HOMES}
    {"do": "preview", "url": URL, "connections": N}                   everybody asks once; their digest is kept
        with `"recipients": M` where it is not three, and `"people": N` for the first N alone, who then tell
    {"do": "tell", "url": URL, "connections": N, "seconds": S}        as fast as answers come; or `"count": N` of them
    {"do": "steady", "url": URL, "connections": N, "seconds": S, "rate": R}   evenly spaced, whether answered or not
    {"do": "post", "url": URL, "connections": N, "seconds": S}        the same bodies to a floor, without a token
"""

import asyncio
import itertools
import math
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import orjson
import uvloop

from broker.sandbox.authorization import API_SCOPES, AuthorizationRequest
from broker.sandbox.clients import Client
from broker.sandbox.people import SamplePerson
from broker.sandbox.state import SandboxState
from broker.sandbox.tokens import Names, SignIn, api_token
from contracts.person import IdentityLevel

_CLIENT = Client(client_id="load", jwk={}, redirect_uris=(), sector="load")


class Citizens:
    """Their tokens, what they tell, and what they were shown."""

    def __init__(self) -> None:
        self._tokens: list[str] = []
        self._changes: list[dict[str, Any]] = []
        self._bodies: list[bytes] = []
        self._keys = itertools.count(time.time_ns())

    async def do(self, order: dict[str, Any]) -> dict[str, Any]:
        match order.pop("do"):
            case "mint":
                return self.mint(**order)
            case "preview":
                return await self.preview(**order)
            case "tell":
                return await self.tell(**order)
            case "steady":
                return await self.steady(**order)
            case "post":
                return await self.tell(**order, path="", status=200)
            case other:
                raise ValueError(other)

    def mint(
        self, *, state: str, issuer: str, audience: str, people: int, old: list[Any], new: list[Any]
    ) -> dict[str, Any]:
        """Sign everybody in, with the sandbox provider's own key."""
        kept, names, now = SandboxState.open(Path(state)), Names(issuer), datetime.now(UTC)
        request = AuthorizationRequest(
            client=_CLIENT,
            redirect_uri="",
            state="",
            nonce="",
            challenge="",
            scopes=API_SCOPES,
            vot="Cl.Cm",
            identity=True,
            claims=frozenset(),
            language="cy",
            resource=audience,
        )
        self._tokens = [
            api_token(names, kept, SignIn(request, _somebody(number), f"sid-{number}", now), now)
            for number in range(people)
        ]
        self._changes = [
            {
                "type": "address",
                "change": {
                    "previousAddress": old[person % len(old)],
                    "newAddress": new[person % len(new)],
                    "effectiveDate": now.date().isoformat(),
                    "tenure": "owner",
                    "household": [],
                },
                "preferredLanguage": "cy",
            }
            for person in range(people)
        ]
        return {"people": people}

    async def preview(
        self, *, url: str, connections: int, recipients: int = 3, people: int | None = None
    ) -> dict[str, Any]:
        changes = self._changes[:people]
        digests = [""] * len(changes)
        turn = iter(range(len(changes)))
        took: list[float] = []

        async def one(session: aiohttp.ClientSession) -> None:
            for person in turn:
                began = time.perf_counter()
                body = orjson.dumps(self._changes[person])
                async with session.post(
                    f"{url}/v1/changes/preview", data=body, headers=self._headers(person)
                ) as answer:
                    shown = orjson.loads(await answer.read())
                    if answer.status != 200 or len(shown["recipients"]) != recipients:
                        raise RuntimeError(f"a preview was answered {answer.status}: {str(shown)[:2000]}")
                took.append(time.perf_counter() - began)
                digests[person] = shown["digest"]

        began = time.perf_counter()
        async with _session(connections) as session:
            await asyncio.gather(*(one(session) for _ in range(connections)))
        seconds = time.perf_counter() - began
        self._bodies = [
            orjson.dumps({**change, "preview": digest}) for change, digest in zip(changes, digests, strict=True)
        ]
        return {"seconds": seconds, "took": took}

    async def tell(
        self,
        *,
        url: str,
        connections: int,
        seconds: float = math.inf,
        count: int | None = None,
        path: str = "/v1/changes",
        status: int = 202,
    ) -> dict[str, Any]:
        """Return when each answer came (seconds since the epoch) and how long it took."""
        answered: list[tuple[float, float]] = []
        refused: dict[str, int] = {}
        people = itertools.islice(itertools.cycle(range(len(self._bodies))), count)
        end = time.perf_counter() + seconds

        place = urlsplit(url + path)
        head = f"POST {place.path or '/'} HTTP/1.1\r\nhost: {place.netloc}\r\n"

        async def one() -> None:
            line = await _opened(place.hostname or "", place.port or 80)
            while (began := time.perf_counter()) < end and (person := next(people, None)) is not None:
                body = self._bodies[person]
                headers = {**self._headers(person), "content-length": str(len(body))}
                lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
                answer = await line.exchange(f"{head}{lines}\r\n".encode() + body)
                if answer == status:
                    answered.append((time.time(), time.perf_counter() - began))
                else:
                    refused[str(answer)] = refused.get(str(answer), 0) + 1
            line.close()

        await asyncio.gather(*(one() for _ in range(connections)))
        return {"answered": answered, "refused": refused}

    async def steady(self, *, url: str, connections: int, seconds: float, rate: float) -> dict[str, Any]:
        """Return, for each reference, when it was sent and when it was answered, in seconds since the epoch."""
        told: dict[str, tuple[float, float]] = {}
        people = itertools.cycle(range(len(self._bodies)))

        async def one(session: aiohttp.ClientSession, person: int) -> None:
            sent = time.time()
            async with session.post(
                f"{url}/v1/changes", data=self._bodies[person], headers=self._headers(person)
            ) as answer:
                view = orjson.loads(await answer.read())
            if answer.status == 202:
                told[view["reference"]] = (sent, time.time())

        async with _session(connections) as session, asyncio.TaskGroup() as group:
            began = time.perf_counter()
            for number in range(int(seconds * rate)):
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                group.create_task(one(session, next(people)))
        return {"told": told}

    def _headers(self, person: int) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self._tokens[person]}",
            "content-type": "application/json",
            "idempotency-key": f"k{next(self._keys)}",
        }


class _Line(asyncio.Protocol):
    """One connection that asks and waits (HTTP/1.1), and reads no more of an answer than its status and its length.

    A whole client takes as much processor time for a change as PostgreSQL does, of processors that they share.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._came = b""
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def exchange(self, request: bytes) -> int:
        """Return the status of the answer, once it is here to its last byte. Raises ConnectionError."""
        if self._transport is None:
            raise ConnectionError("not connected")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, there, rest = self._came.partition(b"\r\n\r\n")
        if not there or self._answer is None:
            return
        length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        if len(rest) < int(length):
            return
        self._came = rest[int(length) :]
        self._answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None  # who asks on it next must hear of that, and not wait for ever
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed before the answer"))


async def _opened(host: str, port: int) -> _Line:
    return (await asyncio.get_running_loop().create_connection(_Line, host, port))[1]


def _session(connections: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    )


def _somebody(number: int) -> SamplePerson:
    return SamplePerson(
        key=f"load-{number}",
        name_parts=(("GivenName", "Siân"), ("FamilyName", f"Llŷr-Gwŷdd {number}")),
        birth_date=date(1950 + number % 50, 1 + number % 12, 1 + number % 28),
        level=IdentityLevel.P2,
        uprn=1,
        lived_there_since=2020,
    )


async def main() -> None:
    citizens = Citizens()
    reader = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        sys.stdout.buffer.write(orjson.dumps(await citizens.do(orjson.loads(line))) + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main())

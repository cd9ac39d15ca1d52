"""The real API on a fresh database, in process and on a socket, with callers of each kind.

`api` is the application over an in-process client; `served` opens it on a real socket, as `broker.main` does.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import httpx2
import pytest
import pytest_asyncio
from joserfc.jwk import ECKey
from starlette.types import ASGIApp

from broker.api import ApiParts, create_app
from broker.eventlog import EventLog
from broker.eventlog.postgres import PostgresLog
from broker.identity.organisations import ORGANISATION_SCOPES, CallingOrganisation, OrganisationTokens
from broker.identity.token_endpoint import ASSERTION_TYPE, GRANT_TYPE, TokenEndpoint
from broker.main.connections import Bounds
from broker.main.listening import Listener
from broker.main.serving import serve
from broker.store import Database, register
from broker.store.embedded import EmbeddedPostgres
from broker.telemetry.metrics import new_metrics
from broker.vault import RootKeyFile
from broker.verification import StoredGazetteer
from tests.support import tokens
from tests.support.line import Line, a_line, a_move, now
from tests.support.postgres import fresh_database

JSON: Final = {"content-type": "application/json"}
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
HOST: Final = "127.0.0.1"
CLIENT_KEY: Final = ECKey.generate_key("P-256")
"""Signs the assertions of every organisation registered here."""

_numbers = itertools.count(1)


@dataclass
class Api:
    """The API, and what its callers need."""

    line: Line
    parts: ApiParts
    app: ASGIApp
    client: httpx2.AsyncClient = field(repr=False)

    def citizen(self, number: int = 1, **claims: Any) -> dict[str, str]:
        """Return the headers of a citizen: another number is another person, a claim of None is left out."""
        moment = int(now().timestamp())
        whole: dict[str, Any] = {"sub": f"urn:person:{number}", "iat": moment, "exp": moment + 3600} | claims
        return {"authorization": f"Bearer {tokens.citizen_token(**whole)}"}

    def organisation(self, name: str = "cardiff-council") -> dict[str, str]:
        """Return the headers of one of the line's organisations."""
        full = f"{name}-{self.line.prefix}"
        token = self.parts.organisations.issue(CallingOrganisation(full, full, ORGANISATION_SCOPES))
        return {"authorization": f"Bearer {token}"}

    def assertion(self, name: str = "cardiff-council", **claims: Any) -> str:
        """Return a client assertion, good once unless a claim is changed."""
        full, moment = f"{name}-{self.line.prefix}", int(now().timestamp())
        whole = {
            "iss": full,
            "sub": full,
            "aud": tokens.OUR_ISSUER,
            "iat": moment,
            "exp": moment + 60,
            "jti": f"assertion-{next(_numbers)}",
        } | claims
        return tokens.signed({"alg": "ES256", "kid": "client"}, whole, CLIENT_KEY)

    def token_form(self, **changes: Any) -> dict[str, str]:
        form = {
            "grant_type": GRANT_TYPE,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(),
        } | changes
        return {name: value for name, value in form.items() if value is not None}

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None, **more: str) -> httpx2.Response:
        """POST JSON as a citizen; `bytes` and `str` go as they are."""
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        sent = JSON | (self.citizen() if headers is None else headers) | more
        return await self.client.post(path, content=content, headers=sent)

    async def previewed(self, move: dict[str, Any] | None = None, **caller: Any) -> dict[str, Any]:
        """Return a change as it may be told: with the digest of its preview."""
        asked = a_move_on_the_wire() if move is None else move
        answer = await self.post("/v1/changes/preview", asked, **caller)
        assert answer.status_code == 200, answer.text
        return asked | {"preview": answer.json()["digest"]}

    async def tell(
        self, move: dict[str, Any] | None = None, *, key: str | None = None, **caller: Any
    ) -> httpx2.Response:
        change = await self.previewed(move, **caller)
        headers = (caller.get("headers") or self.citizen()) | {"idempotency-key": key or f"key-{next(_numbers)}"}
        return await self.post("/v1/changes", change, headers)


def a_move_on_the_wire(**changes: Any) -> dict[str, Any]:
    """Return a good move as JSON has it; `changes` are members of `newAddress`."""
    move: dict[str, Any] = a_move().model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {
        "type": "address"
    }
    move["change"]["newAddress"] |= changes
    return move


@asynccontextmanager
async def an_api(database: Database, eventlog: EventLog, root: RootKeyFile) -> AsyncIterator[Api]:
    """Give the API over a line of three organisations; the stages behind it start when asked."""
    async with a_line(database, eventlog, root) as line:
        for name in line.directory.organisations():
            await register.put_client(
                database,
                register.Client(
                    client_id=name,
                    organisation=name,
                    jwks={"keys": [tokens.published(CLIENT_KEY, "client")]},
                    scopes=frozenset({"receipts:write", "deliveries:read"}),
                ),
            )
        parts = parts_of(line)
        app = create_app(parts)
        async with client_of(app) as client:
            yield Api(line, parts, app, client)


def parts_of(line: Line) -> ApiParts:
    """Return the parts of an API over `line`, as `broker.main.api` puts them together."""
    organisations = OrganisationTokens(
        issuer=tokens.OUR_ISSUER, audience=tokens.OUR_AUDIENCE, signing_keys=[tokens.OTHER_EC], clock=now
    )
    citizens = tokens.citizen_tokens(now)

    async def well() -> bool:
        return True

    return ApiParts(
        public_url=tokens.OUR_ISSUER,
        database=line.database,
        eventlog=line.eventlog,
        vault=line.vault,
        directory=line.directory,
        gazetteer=StoredGazetteer(line.database),
        intake=line.intake,
        citizens=citizens,
        organisations=organisations,
        token_endpoint=TokenEndpoint(
            url=f"{tokens.OUR_ISSUER}/oauth/token",
            tokens=organisations,
            find_client=partial(register.client, line.database),
            remember_assertion=partial(register.remember_assertion, line.database),
            clock=now,
        ),
        checks={"store": well},
        metrics=new_metrics(),
        clock=now,
    )


def client_of(app: ASGIApp) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://api.example")


def broken(api: Api, **parts: Any) -> httpx2.AsyncClient:
    """Return a client of the same API with some of its parts replaced."""
    return client_of(create_app(replace(api.parts, **parts)))


@pytest.fixture(scope="module")
def shared_dsn(postgres: EmbeddedPostgres, _template: str) -> Iterator[str]:
    """The address of a migrated database for the tests of one file."""
    yield from fresh_database(postgres, _template)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(shared_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """One API for the tests of a file, which run in its loop: `pytestmark = pytest.mark.asyncio(loop_scope="module")`.

    Tests keep apart by telling as different citizens.
    """
    database = await Database.open(shared_dsn)
    eventlog = PostgresLog(database)
    root = RootKeyFile.open(tmp_path_factory.mktemp("api") / "root.key")
    try:
        async with an_api(database, eventlog, root) as opened:
            yield opened
    finally:
        await eventlog.close()
        await database.close()


@asynccontextmanager
async def served(app: ASGIApp, bounds: Bounds | None = None) -> AsyncIterator[int]:
    """Serve `app` on a socket of this machine, through the same door as in production; give its port."""
    stop, door = asyncio.Event(), Listener(app, HOST, 0, "api")
    running = asyncio.create_task(serve([door], stop, bounds))
    try:
        await asyncio.wait_for(door.started.wait(), 10)
        yield door.port
    finally:
        stop.set()
        await running

"""Our sign-in and our client credentials against a certified provider nobody here wrote: npm `oidc-provider`.

It runs in Node, as itself, with its own pages: code and PKCE by `private_key_jwt`, refused code replay, sign-out from
both sides, access tokens by client credentials.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2
import pytest
import pytest_asyncio
from joserfc.jwk import ECKey, RSAKey
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from broker.identity.citizens import CitizenTokens
from broker.identity.discovery import Discovery
from broker.identity.keys import IssuerKeys
from broker.identity.sessions import Sessions, citizen_rules
from broker.identity.sign_in import Begun, Provider, ProviderRules, SignInFault, SignInRefused
from broker.main.credentials import authorizing
from broker.outbound.client import GuardedClient
from broker.outbound.fetch import get_json
from broker.web import Door
from broker.web.app import create_pages
from contracts.credentials import ClientCredentials
from contracts.delivery import Misconfigured
from contracts.person import IdentityLevel
from contracts.statuses import Reason
from tests.support.api import Api, served
from tests.support.front import parts_over
from tests.support.hostile import a_way_to_providers
from tests.support.line import now
from tests.support.node import node_server
from tests.support.said import read
from tests.support.tokens import published
from tests.support.ways_out import our_keys

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLDER: Final = Path(__file__).parents[1] / "support" / "oidc"
AUDIENCE: Final = "https://unwaith.example/v1"
PASSWORD: Final = "a secret: with % and + in it, as long as theirs"
KEY: Final = RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)


@dataclass
class Certified:
    """The provider, our pages beside it, and our other ways to it."""

    issuer: str
    url: str
    door: Door
    http: GuardedClient = field(repr=False)


class Later:
    """An application that is known only after it is served: its own address stands in it."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def clients(url: str, assertion_keys: Mapping[str, Any]) -> list[dict[str, Any]]:
    machine = {
        "grant_types": ["client_credentials"], "response_types": [], "redirect_uris": [],
        "id_token_signed_response_alg": "ES256",
    }  # fmt: skip
    return [
        {
            "client_id": "unwaith-pages",
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "PS256",
            "jwks": {"keys": [published(KEY, KEY.kid)]},
            "id_token_signed_response_alg": "ES256",
            "redirect_uris": [f"{url}/signed-in"],
            "post_logout_redirect_uris": [f"{url}/signed-out"],
            "backchannel_logout_uri": f"{url}/signed-out-there",
            "backchannel_logout_session_required": True,
        },
        machine
        | {
            "client_id": "by-assertion",
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "ES256",
            "jwks": assertion_keys,
        },
        machine
        | {
            "client_id": "by%3Asecret:+&",
            "client_secret": PASSWORD,
            "token_endpoint_auth_method": "client_secret_basic",
        },
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def certified(api: Api) -> AsyncIterator[Certified]:
    ours, theirs = Later(), ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(a_way_to_providers())
        url = f"http://127.0.0.1:{await stack.enter_async_context(served(ours))}"
        settings = {
            "clients": clients(url, await our_keys("client-assertions").jwks()),
            "jwks": {"keys": [theirs.as_dict(private=True)]},
            "audience": AUDIENCE,
        }
        issuer = f"http://127.0.0.1:{stack.enter_context(node_server(FOLDER, 'provider.mjs', settings))}"

        async def fetch(place: str) -> dict[str, Any]:
            return await get_json(http, place)

        provider = Provider(
            ProviderRules(
                issuer=issuer,
                client_id="unwaith-pages",
                redirect_uri=f"{url}/signed-in",
                scopes=("openid", "email"),
            ),
            KEY,
            Discovery(issuer, fetch, now, loopback_allowed=True),
            IssuerKeys(issuer, fetch, now, loopback_allowed=True),
            None,
            http,
            now,
        )
        door = Door(
            provider=provider, sessions=Sessions(api.parts.database, b"c" * 32, citizen_rules(secure=False)), prefix=""
        )
        ours.app = create_pages(parts_over(api, url, door, None))
        yield Certified(issuer, url, door, http)


@dataclass
class Person:
    """Somebody with a browser, at our pages and at the provider's."""

    http: httpx2.AsyncClient = field(repr=False)
    at: str = ""

    async def go(self, place: str, until: str | None = None) -> httpx2.Response:
        """Follow redirects, until one leads to what begins with `until`."""
        while True:
            answer = await self.http.get(place)
            self.at = place
            if "location" not in answer.headers:
                return answer
            place = urljoin(place, answer.headers["location"])
            if until is not None and place.startswith(until):
                self.at = place
                return answer

    async def send(self, page: httpx2.Response, until: str | None = None, **fields: str) -> httpx2.Response:
        """Send the last form of a page."""
        form = read(page.text).forms[-1]
        place = urljoin(self.at, form.action)
        answer = await self.http.post(place, data={**form.fields, **fields})
        place = urljoin(place, answer.headers["location"])
        if until is not None and place.startswith(until):
            self.at = place
            return answer
        return await self.go(place, until)

    async def signs_in(self, start: str, until: str | None = None, name: str = "sian") -> httpx2.Response:
        """Sign in and agree on the provider's own pages."""
        page = await self.go(start)
        page = await self.send(page, login=name, password="any")
        return await self.send(page, until)


@pytest_asyncio.fixture(loop_scope="module")
async def person() -> AsyncIterator[Person]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield Person(http)


async def test_somebody_signs_in_at_our_pages_and_out_again_there_too(certified: Certified, person: Person) -> None:
    page = await person.signs_in(f"{certified.url}/sign-in?next=/changes")
    assert (person.at, page.status_code) == (f"{certified.url}/changes", 200)
    sessions = certified.door.sessions
    session = await sessions.open(person.http.cookies[sessions.rules.cookie])
    assert session is not None
    assert (session.who["subject"], session.who["email"]) == ("sian", "sian@example.com")
    assert session.who["level"] == IdentityLevel.P0.value, "nobody's identity was proven there"

    csrf = {"csrf": session.csrf}
    left = await person.http.post(f"{certified.url}/sign-out", data=csrf)
    assert left.headers["location"].startswith(f"{certified.issuer}/session/end?id_token_hint=")
    asks = await person.go(left.headers["location"])
    page = await person.send(asks, logout="yes")
    assert (person.at, page.status_code) == (f"{certified.url}/signed-out", 200)
    begun = await person.go(f"{certified.url}/sign-in")
    assert 'name="login"' in begun.text, "it asks who they are: signed out there as well"


async def test_who_signs_out_there_is_signed_out_here(certified: Certified, person: Person) -> None:
    """Its logout token ends our session: the other browser of the same account stays, which had another session there."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        other = Person(http)
        for one in (person, other):
            await one.signs_in(f"{certified.url}/sign-in", name="llyr")
        await person.send(await person.go(f"{certified.issuer}/session/end"), logout="yes")
        async with asyncio.timeout(20):
            while (answer := await person.http.get(f"{certified.url}/changes")).status_code == 200:
                await asyncio.sleep(0.05)
        assert "/session-ended" in answer.headers["location"]
        assert (await other.http.get(f"{certified.url}/changes")).status_code == 200


async def test_a_code_is_good_once_and_with_its_own_verifier(certified: Certified, person: Person) -> None:
    provider, back = certified.door.provider, f"{certified.url}/signed-in"

    async def answered() -> tuple[Begun, dict[str, str]]:
        start, begun = await provider.begin(prove=False, language="cy")
        if person.at:
            await person.go(start, until=back)
        else:
            await person.signs_in(start, until=back)
        return begun, dict(parse_qsl(urlsplit(person.at).query))

    fresh, query = await answered()
    with pytest.raises(SignInRefused) as refused:
        await provider.finish(Begun(state=fresh.state, nonce="another", verifier=fresh.verifier, prove=False), query)
    assert refused.value.fault is SignInFault.TOKEN
    begun, answer = await answered()
    assert answer["iss"] == certified.issuer
    with pytest.raises(SignInRefused) as refused:
        await provider.finish(begun, (await answered())[1])
    assert refused.value.fault is SignInFault.EXCHANGE, "another sign-in's code"
    found = await provider.finish(begun, answer)
    assert (found.subject, found.provider_session is None) == ("sian", False)
    with pytest.raises(SignInRefused) as refused:
        await provider.finish(begun, answer)
    assert refused.value.fault is SignInFault.EXCHANGE, "the same code again"


async def test_nobody_is_proven_where_no_identity_service_is(certified: Certified, person: Person) -> None:
    page = await person.signs_in(f"{certified.url}/sign-in?prove=1")
    assert person.at == f"{certified.url}/not-signed-in"
    assert page.status_code == 200


@pytest.mark.parametrize(
    ("method", "client"), [("private_key_jwt", "by-assertion"), ("client_secret_basic", "by%3Asecret:+&")]
)
async def test_our_access_token_is_had_and_holds(certified: Certified, method: Any, client: str) -> None:
    heard: list[str] = []

    async def system(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(Request(scope).headers["authorization"].removeprefix("Bearer "))
        await Response(status_code=204)(scope, receive, send)

    async def fetch(place: str) -> dict[str, Any]:
        return await get_json(certified.http, place)

    def asking(password: str) -> Any:
        make = authorizing(
            certified.http, lambda _: password.encode(), our_keys("client-assertions"), timedelta(seconds=5), now
        )
        return make(
            ClientCredentials(
                token_endpoint=f"{certified.issuer}/token", client_id=client, method=method, scope="changes:read"
            )
        )

    async with served(system) as port:
        for _ in range(2):
            answer = await asking(PASSWORD).post(f"http://127.0.0.1:{port}/", headers={}, content=b"")
            assert answer.status == 204
        tokens = CitizenTokens(
            audience=AUDIENCE,
            issuer=certified.issuer,
            keys=IssuerKeys(certified.issuer, fetch, now, loopback_allowed=True),
            clock=now,
        )
        caller = await tokens.verify(heard[0])
        assert (caller.client_id, caller.scopes, caller.level) == (
            client,
            frozenset({"changes:read"}),
            IdentityLevel.P0,
        )
        if method == "client_secret_basic":
            with pytest.raises(Misconfigured) as refused:
                await asking("wrong").post(f"http://127.0.0.1:{port}/", headers={}, content=b"")
            assert refused.value.reason is Reason.TOKEN_REFUSED
    assert len(heard) == 2

"""An OpenID provider that can misbehave in each way, on a socket of its own; and our side, wired as in production."""

import functools
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from broker.identity.discovery import Discovery, keys_of_did
from broker.identity.jose import base64url
from broker.identity.keys import IssuerKeys
from broker.identity.logout import LOGOUT_EVENT
from broker.identity.presets import ONE_LOGIN, IdentityService, Preset
from broker.identity.sign_in import ADDRESSES, CORE_IDENTITY, Provider, ProviderRules
from broker.outbound.client import GuardedClient, tls_context
from broker.outbound.fetch import get_json
from tests.support.api import served
from tests.support.line import now
from tests.support.tokens import NAME_PARTS, published, signed

CLIENT = "our-pages"
CLIENT_KEY = RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)
TOKEN_KEY, IDENTITY_KEY, FOREIGN_KEY = (ECKey.generate_key("P-256") for _ in range(3))
NHS_KEY = RSAKey.generate_key(2048)
SUBJECT = "urn:fdc:example:subject"

Change = Callable[[dict[str, Any]], Any]
_numbers = count(1)


@dataclass
class Hostile:
    """The provider, and how it misbehaves."""

    issuer: str = ""
    asked: dict[str, str] = field(default_factory=dict)
    id_header: dict[str, Any] = field(default_factory=dict)
    id_key: ECKey | RSAKey = field(default_factory=lambda: TOKEN_KEY)
    id_algorithm: str = "ES256"
    id_token: str | None = None
    token_status: int = 200
    userinfo_status: int = 200
    change_id: Change = lambda claims: None
    change_info: Change = lambda claims: None
    change_core: Change = lambda claims: None
    change_discovery: Change = lambda claims: None
    core_key: ECKey = field(default_factory=lambda: IDENTITY_KEY)
    core_kid: str = ""
    assertions: list[dict[str, Any]] = field(default_factory=list)
    assertion_headers: list[dict[str, Any]] = field(default_factory=list)
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Not redeemed yet, with the nonce and the challenge each was given for."""

    @property
    def did(self) -> str:
        return "did:web:" + urlsplit(self.issuer).netloc.replace(":", "%3A")

    def asked_for(self, url: str) -> dict[str, str]:
        """Take the authorization request in `url`, and return the query a browser comes back with."""
        self.asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = f"code-{next(_numbers)}"
        self.codes[code] = (self.asked["nonce"], self.asked["code_challenge"])
        return {"code": code, "state": self.asked["state"], "iss": self.issuer}

    def logout_token(self, *, head: dict[str, Any] | None = None, key: ECKey = TOKEN_KEY, **changes: Any) -> str:
        """Return a logout token, good unless something is changed; a change to None leaves the claim out."""
        moment = int(now().timestamp())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "iat": moment, "exp": moment + 120, "jti": f"logout-{next(_numbers)}",
            "sub": SUBJECT, "events": {LOGOUT_EVENT: {}},
        } | changes  # fmt: skip
        header = {"alg": "ES256", "typ": "logout+jwt", "kid": "token"} | (head or {})
        return signed(header, {name: value for name, value in claims.items() if value is not None}, key)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discovery),
                Route("/jwks", self.jwks),
                Route("/did", self.did_document),
                Route("/token", self.token, methods=["POST"]),
                Route("/userinfo", self.userinfo),
            ]
        )

    async def discovery(self, _: Request) -> Response:
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}authorize",
            "token_endpoint": f"{self.issuer}token",
            "userinfo_endpoint": f"{self.issuer}userinfo",
            "end_session_endpoint": f"{self.issuer}logout",
            "jwks_uri": f"{self.issuer}jwks",
            "authorization_response_iss_parameter_supported": True,
        }
        self.change_discovery(document)
        return JSONResponse(document)

    async def jwks(self, _: Request) -> Response:
        return JSONResponse({"keys": [published(TOKEN_KEY, "token"), published(NHS_KEY, "nhs")]})

    async def did_document(self, _: Request) -> Response:
        key = published(IDENTITY_KEY, None)
        return JSONResponse(
            {"id": self.did, "assertionMethod": [{"id": f"{self.did}#1", "type": "JsonWebKey", "publicKeyJwk": key}]}
        )

    async def token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        assertion = jwt.decode(form["client_assertion"], CLIENT_KEY, algorithms=["PS256", "RS512"])
        self.assertions.append(dict(assertion.claims))
        self.assertion_headers.append(dict(assertion.header))
        nonce, challenge = self.codes.pop(form["code"], ("", ""))
        if base64url(hashlib.sha256(form["code_verifier"].encode()).digest()) != challenge:
            return JSONResponse({"error": "invalid_grant"}, 400)
        moment = int(now().timestamp())
        claims = {
            "iss": self.issuer, "sub": SUBJECT, "aud": CLIENT, "iat": moment, "exp": moment + 120,
            "nonce": nonce, "vot": "Cl.Cm", "sid": "provider-session",
        }  # fmt: skip
        self.change_id(claims)
        header = {"alg": "ES256", "kid": "token"} | self.id_header
        id_token = self.id_token or signed(header, claims, self.id_key, algorithm=self.id_algorithm)
        answer = {"access_token": "opaque", "token_type": "Bearer", "id_token": id_token}
        return JSONResponse(answer, self.token_status)

    async def userinfo(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer opaque"
        assert request.headers["user-agent"]
        moment = int(now().timestamp())
        core = {
            "iss": f"{self.issuer}identity/", "sub": SUBJECT, "aud": CLIENT, "iat": moment, "exp": moment + 1800,
            "vot": "P2",
            "vc": {"credentialSubject": {"name": [{"nameParts": list(NAME_PARTS)}], "birthDate": [{"value": "1987-03-01"}]}},
        }  # fmt: skip
        self.change_core(core)
        header = {"alg": "ES256", "kid": self.core_kid or f"{self.did}#1"}
        said = {
            "sub": SUBJECT,
            "email": "sian@example.com",
            "email_verified": True,
            CORE_IDENTITY: signed(header, core, self.core_key),
            ADDRESSES: [
                {"streetName": "Old Street", "buildingNumber": "1", "validFrom": "2001"},
                {"streetName": "New Street", "buildingNumber": "2", "validFrom": "2016", "uprn": "10022812929"},
                {"nonsense": True},
            ],
        }
        self.change_info(said)
        return JSONResponse(said, self.userinfo_status)


class Place:
    """A port where one provider after the other can be."""

    def __init__(self) -> None:
        self.port = 0
        self._app: ASGIApp = Starlette()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def taken_by(self, provider: Hostile) -> Hostile:
        """Have `provider` answer here from now on, and nobody else."""
        provider.issuer = f"http://127.0.0.1:{self.port}/"
        self._app = provider.app()
        return provider


@asynccontextmanager
async def a_place() -> AsyncIterator[Place]:
    place = Place()
    async with served(place) as place.port:
        yield place


@functools.cache
def _tls() -> ssl.SSLContext:
    """Reading every certificate of the machine's takes longer than most tests that need none of them."""
    return tls_context()


@asynccontextmanager
async def a_way_to_providers() -> AsyncIterator[GuardedClient]:
    client = GuardedClient(tls=_tls(), deadline=timedelta(seconds=5), allowed_hosts=("127.0.0.1",))
    try:
        yield client
    finally:
        await client.close()


def ours(
    provider: Hostile,
    http: GuardedClient,
    *,
    redirect_uri: str = "http://localhost:8000/signed-in",
    facts: Preset = ONE_LOGIN,
    key: ECKey | RSAKey = CLIENT_KEY,
) -> Provider:
    """Return our side, wired as `broker.main.web` does."""

    async def fetch(url: str) -> dict[str, Any]:
        return await get_json(http, url)

    service = IdentityService(issuer=f"{provider.issuer}identity/", did=provider.did, did_url=f"{provider.issuer}did")
    rules = ProviderRules(
        issuer=provider.issuer,
        client_id=CLIENT,
        redirect_uri=redirect_uri,
        scopes=("openid", "email"),
        facts=facts,
        identity=service if facts.levels is None else None,
    )
    return Provider(
        rules,
        key,
        Discovery(provider.issuer, fetch, now, loopback_allowed=True),
        IssuerKeys(provider.issuer, fetch, now, loopback_allowed=True),
        IssuerKeys(
            service.issuer, keys_of_did(service.did, fetch), now, keys_url=service.did_url, loopback_allowed=True
        ),
        http,
        now,
    )

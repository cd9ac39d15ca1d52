"""The development OpenID provider, spoken to over HTTP as a client would: the whole flow, and every way to be refused."""

import base64
import hashlib
import html
import importlib
import json
import re
import secrets
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from adapters.told import is_nhs_number
from broker.register.wales import health_boards
from broker.sandbox import definitions, wording
from broker.sandbox.addresses import sample_addresses
from broker.sandbox.authorization import ADDRESS_CLAIM, IDENTITY_CLAIM, RETURN_CODE_CLAIM
from broker.sandbox.clients import Client
from broker.sandbox.people import sample_people
from broker.sandbox.provider import provider_app
from broker.sandbox.state import SandboxState
from contracts.person import IdentityLevel, PersonName

ISSUER = "http://127.0.0.1:8102/"
API = "https://api.unwaith.example"
WEB = "https://www.unwaith.example/callback"
LOOPBACK = "http://127.0.0.1/callback"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
Keys = dict[str, ECKey | RSAKey]
Clients = dict[str, Client]
VERIFIER = secrets.token_urlsafe(48)


class SetClock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Party:
    """One client and what it needs to call the provider."""

    def __init__(self, http: httpx.AsyncClient, client: Client, key: ECKey | RSAKey, clock: SetClock) -> None:
        self.http = http
        self.client = client
        self.key = key
        self.clock = clock

    def parameters(self, **changed: str | None) -> dict[str, str]:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
        asked: dict[str, str | None] = {
            "client_id": self.client.client_id,
            "redirect_uri": self.client.redirect_uris[0],
            "response_type": "code",
            "scope": "openid changes:read changes:write",
            "state": "a state & more=1%",
            "nonce": "nonce-1",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "vtr": '["Cl.Cm.P2"]',
            "claims": json.dumps({"userinfo": {IDENTITY_CLAIM: None, ADDRESS_CLAIM: None, RETURN_CODE_CLAIM: None}}),
        }
        return {name: value for name, value in (asked | changed).items() if value is not None}

    async def ask(self, **changed: str | None) -> httpx.Response:
        return await self.http.get("/authorize", params=self.parameters(**changed))

    async def choose(self, page: httpx.Response, person: str, answer: str = "sign-in") -> httpx.Response:
        assert page.status_code == 200, page.text
        ticket = re.search(r'name="ticket" value="([^"]+)"', page.text)
        assert ticket
        form = {"ticket": html.unescape(ticket[1]), "person": person, "answer": answer}
        return await self.http.post("/choose", data=form)

    async def code(self, person: str = "sian", **changed: str | None) -> str:
        back = returned(await self.choose(await self.ask(**changed), person))
        return back["code"]

    def assertion(self, *, header: dict[str, Any] | None = None, key: Any = None, **changed: Any) -> str:
        now = int(self.clock().timestamp())
        claims = {
            "iss": self.client.client_id,
            "sub": self.client.client_id,
            "aud": f"{ISSUER}token",
            "jti": secrets.token_hex(8),
            "iat": now,
            "exp": now + 300,
        } | changed
        kept = {name: value for name, value in claims.items() if value is not None}
        algorithm = "PS256" if isinstance(self.key, RSAKey) else "ES256"
        whole = {"alg": algorithm, "kid": self.key.kid} | (header or {})
        return jwt.encode(whole, kept, key or self.key, algorithms=[whole["alg"]])

    async def redeem(self, code: str, /, **changed: str | None) -> httpx.Response:
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uris[0],
            "code_verifier": VERIFIER,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(),
        }
        return await self.http.post(
            "/token", data={name: value for name, value in (form | changed).items() if value is not None}
        )

    async def tokens(self, person: str = "sian", **changed: str | None) -> dict[str, Any]:
        answer = await self.redeem(await self.code(person, **changed))
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def userinfo(self, access_token: str) -> httpx.Response:
        return await self.http.get("/userinfo", headers={"Authorization": f"Bearer {access_token}"})


def returned(response: httpx.Response) -> dict[str, str]:
    """What a redirect to the client carries."""
    assert response.status_code == 303, response.text
    return dict(parse_qsl(urlsplit(response.headers["location"]).query))


async def opened(token: str, http: httpx.AsyncClient) -> jwt.Token:
    keys = KeySet.import_key_set((await http.get("/.well-known/jwks.json")).json())
    return jwt.decode(token, keys, algorithms=["ES256"])


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> SandboxState:
    return SandboxState.open(tmp_path_factory.mktemp("sandbox"))


@pytest.fixture(scope="session")
def keys(state: SandboxState) -> Keys:
    """The clients' private keys, once: reading an RSA key checks it, which takes its time."""
    return {"web": state.client_key("web", "RSA"), "demo": state.client_key("demo"), "other": state.client_key("other")}


@pytest.fixture(scope="session")
def registered(keys: Keys) -> Clients:
    def client(name: str, redirect_uri: str, sector: str, **more: Any) -> Client:
        public = keys[name].as_dict(private=False)
        return Client(client_id=name, jwk=public, redirect_uris=(redirect_uri,), sector=sector, **more)

    signed_out = ("https://www.unwaith.example/signed-out",)
    return {
        "web": client("web", WEB, "unwaith", post_logout_redirect_uris=signed_out),
        "demo": client("demo", LOOPBACK, "unwaith", any_loopback_port=True),
        "other": client("other", "https://other.example/back", "other"),
    }


@pytest.fixture
async def http(state: SandboxState, registered: Clients, clock: SetClock) -> AsyncIterator[httpx.AsyncClient]:
    app = provider_app(issuer=ISSUER, state=state, clients=list(registered.values()), api_audience=API, clock=clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ISSUER) as client:
        yield client


@pytest.fixture
def web(http: httpx.AsyncClient, keys: Keys, registered: Clients, clock: SetClock) -> Party:
    return Party(http, registered["web"], keys["web"], clock)


@pytest.fixture
def demo(http: httpx.AsyncClient, keys: Keys, registered: Clients, clock: SetClock) -> Party:
    return Party(http, registered["demo"], keys["demo"], clock)


@pytest.fixture
def other(http: httpx.AsyncClient, keys: Keys, registered: Clients, clock: SetClock) -> Party:
    return Party(http, registered["other"], keys["other"], clock)


# --- the whole flow ---------------------------------------------------------------------------------------------


async def test_discovery_is_shaped_like_one_login(http: httpx.AsyncClient) -> None:
    found = (await http.get("/.well-known/openid-configuration")).json()
    assert found["issuer"] == ISSUER
    assert found["issuer"].endswith("/")
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert "none" not in found["id_token_signing_alg_values_supported"]
    assert found["authorization_response_iss_parameter_supported"] is True
    for name in ("jwks_uri", "authorization_endpoint", "userinfo_endpoint", "end_session_endpoint"):
        assert (await http.get(urlsplit(found[name]).path)).status_code != 404, name
    assert (await http.get(urlsplit(found["token_endpoint"]).path)).status_code == 405


async def test_a_person_signs_in_and_the_api_token_is_rfc_9068(web: Party, http: httpx.AsyncClient) -> None:
    back = returned(await web.choose(await web.ask(), "llyr"))
    assert back["iss"] == ISSUER
    assert back["state"] == web.parameters()["state"]
    tokens = (await web.redeem(back["code"])).json()
    assert tokens["token_type"] == "Bearer"

    access = await opened(tokens["access_token"], http)
    assert access.header["typ"] == "at+jwt"
    now = int(web.clock().timestamp())
    claims = access.claims
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "aud": API,
        "sub": claims["sub"],
        "client_id": "web",
        "iat": now,
        "exp": now + 1800,
        "auth_time": now,
        "scope": "changes:read changes:write",
        "vot": "P2",
        "verified_claims": {
            "verification": {"trust_framework": "uk_diatf", "assurance_level": "medium"},
            "claims": {
                "name": [
                    {
                        "nameParts": [
                            {"type": "GivenName", "value": "Llŷr"},
                            {"type": "GivenName", "value": "Siôn"},
                            {"type": "FamilyName", "value": "Tŷ-gwyn"},
                        ]
                    }
                ],
                "birthdate": "1991-11-23",
            },
        },
    }

    identity = await opened(tokens["id_token"], http)
    assert identity.header["typ"] == "JWT"
    half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert identity.claims["at_hash"] == base64.urlsafe_b64encode(half).rstrip(b"=").decode()
    assert identity.claims["sub"] == claims["sub"]
    assert identity.claims["aud"] == "web"
    assert identity.claims["nonce"] == "nonce-1"
    assert identity.claims["vot"] == "Cl.Cm"  # never P2: only coreIdentityJWT proves that
    assert identity.claims["sid"]


async def test_core_identity_is_the_identity_services_own(web: Party, http: httpx.AsyncClient) -> None:
    tokens = await web.tokens("gwenno")
    told = (await web.userinfo(tokens["access_token"])).json()
    did = (await http.get("/.well-known/did.json")).json()
    token = told[IDENTITY_CLAIM]
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    [method] = [method for method in did["assertionMethod"] if method["id"] == header["kid"]]
    assert method["id"].startswith("did:web:127.0.0.1%3A8102#")
    proof = jwt.decode(token, ECKey.import_key(method["publicKeyJwk"]), algorithms=["ES256"])
    subject = (await opened(tokens["id_token"], http)).claims["sub"]
    assert proof.claims["sub"] == subject == told["sub"]
    assert proof.claims["aud"] == "web"
    assert proof.claims["vot"] == "P2"
    assert proof.claims["iss"] not in {ISSUER, ISSUER.rstrip("/")}
    assert proof.claims["vc"]["credentialSubject"]["birthDate"] == [{"value": "1978-06-14"}]
    published = (await http.get("/.well-known/jwks.json")).json()["keys"]
    assert method["publicKeyJwk"]["x"] not in {key["x"] for key in published}
    assert not any("d" in key for key in [*published, method["publicKeyJwk"]])
    [address] = told[ADDRESS_CLAIM]
    assert address["uprn"] == 900000000005
    assert address["validFrom"] == "2008"
    assert RETURN_CODE_CLAIM not in told


async def test_the_address_claim_has_lost_its_diacritics(web: Party) -> None:
    home = next(row for row in sample_addresses() if row.uprn == 900000000023)
    assert home.building_name == "Tŷ Newydd"
    told = (await web.userinfo((await web.tokens("brychan"))["access_token"])).json()
    assert told[ADDRESS_CLAIM][0]["buildingName"] == "Ty Newydd"


async def test_without_resource_or_api_scope_the_access_token_is_opaque(web: Party, clock: SetClock) -> None:
    tokens = await web.tokens(scope="openid email")
    assert "." not in tokens["access_token"]
    assert tokens["expires_in"] == 180
    told = (await web.userinfo(tokens["access_token"])).json()
    assert told["email"].endswith("@example.com")
    clock.forward(181)
    late = await web.userinfo(tokens["access_token"])
    assert late.status_code == 401
    assert 'error="invalid_token"' in late.headers["www-authenticate"]


async def test_the_nhs_number_comes_with_the_profile_of_who_proved_their_identity(web: Party) -> None:
    tokens = await web.tokens(scope="openid profile")
    [sian] = [person for person in sample_people() if person.key == "sian"]
    assert (await web.userinfo(tokens["access_token"])).json()["nhs_number"] == sian.nhs_number
    others: list[dict[str, Any]] = [
        await web.tokens(scope="openid"),
        await web.tokens(scope="openid profile", vtr='["Cl.Cm"]'),
        await web.tokens("dafydd", scope="openid profile"),
    ]
    for other in others:
        assert "nhs_number" not in (await web.userinfo(other["access_token"])).json()


async def test_resource_alone_asks_for_the_api_token(web: Party, http: httpx.AsyncClient) -> None:
    claims = (await opened((await web.tokens(scope="openid", resource=API))["access_token"], http)).claims
    assert claims["aud"] == API
    assert "scope" not in claims


async def test_only_cl_cm_without_p2_even_if_the_person_has_it(web: Party, http: httpx.AsyncClient) -> None:
    tokens = await web.tokens(vtr='["Cl.Cm"]')
    claims = (await opened(tokens["access_token"], http)).claims
    assert claims["vot"] == "Cl.Cm"
    assert "verified_claims" not in claims
    assert set((await web.userinfo(tokens["access_token"])).json()) == {"sub"}


async def test_a_person_whose_identity_is_not_proved(web: Party, http: httpx.AsyncClient) -> None:
    tokens = await web.tokens("dafydd")
    claims = (await opened(tokens["access_token"], http)).claims
    assert claims["vot"] == "Cl.Cm"
    assert "verified_claims" not in claims
    told = (await web.userinfo(tokens["access_token"])).json()
    assert set(told) == {"sub", RETURN_CODE_CLAIM}
    refused = returned(await web.choose(await web.ask(claims=None), "dafydd"))
    assert refused["error"] == "access_denied"
    assert refused["iss"] == ISSUER


async def test_subjects_are_pairwise_by_sector(web: Party, demo: Party, other: Party, http: httpx.AsyncClient) -> None:
    async def subject(who: Party, person: str) -> str:
        return str((await opened((await who.tokens(person))["id_token"], http)).claims["sub"])

    same = {await subject(web, "sian"), await subject(demo, "sian")}
    assert len(same) == 1
    assert await subject(other, "sian") not in same
    assert await subject(web, "robin") not in same


async def test_preferred_language_travels_with_the_api_token(web: Party, http: httpx.AsyncClient) -> None:
    assert (await opened((await web.tokens("gwenno"))["access_token"], http)).claims["locale"] == "cy"
    assert "locale" not in (await opened((await web.tokens("sian"))["access_token"], http)).claims


async def test_cancelling_goes_back_with_access_denied(web: Party) -> None:
    back = returned(await web.choose(await web.ask(), "sian", "cancel"))
    assert (back["error"], back["state"], back["iss"]) == ("access_denied", web.parameters()["state"], ISSUER)


async def test_authlib_goes_the_whole_way(demo: Party, http: httpx.AsyncClient) -> None:
    with warnings.catch_warnings():
        # Authlib says at import that it would rather have httpx2; `deprecate` puts its own filter first, so it goes first
        importlib.import_module("authlib.deprecate")
        warnings.filterwarnings("ignore", message="The httpx module is deprecated")
        from authlib.integrations.httpx_client import AsyncOAuth2Client
        from authlib.oauth2.rfc7523 import PrivateKeyJWT, private_key_jwt_sign
    library: Any = importlib.import_module("httpx2" if find_spec("httpx2") else "httpx")

    class ShortLived(PrivateKeyJWT):  # type: ignore[misc]  # Authlib has no types
        """Authlib's own lives an hour and, given claims, repeats its jti."""

        def sign(self, auth: Any, token_endpoint: str) -> Any:
            return private_key_jwt_sign(
                auth.client_secret,
                client_id=auth.client_id,
                token_endpoint=token_endpoint,
                alg="ES256",
                header={"kid": demo.key.kid},
                expires_in=240,
            )

    listening_on = "http://127.0.0.1:49152/callback"
    app = http._transport.app  # type: ignore[attr-defined]  # the transport is the fixture's own
    async with AsyncOAuth2Client(
        client_id="demo",
        client_secret=demo.key,
        token_endpoint_auth_method="private_key_jwt",
        redirect_uri=listening_on,
        scope="openid changes:write",
        code_challenge_method="S256",
        transport=library.ASGITransport(app=app),
        base_url=ISSUER,
    ) as client:
        client.register_client_auth_method(ShortLived(f"{ISSUER}token"))
        url, state = client.create_authorization_url(
            f"{ISSUER}authorize", code_verifier=VERIFIER, nonce="n", vtr='["Cl.Cm.P2"]', resource=API
        )
        answer = await demo.choose(await http.get(url), "iestyn")
        assert answer.headers["location"].startswith(f"{listening_on}?")
        tokens = await client.fetch_token(
            f"{ISSUER}token",
            authorization_response=answer.headers["location"],
            state=state,
            code_verifier=VERIFIER,
        )
        assert (await opened(tokens["access_token"], http)).claims["scope"] == "changes:write"
        told = (await client.get(f"{ISSUER}userinfo")).json()
        assert told["sub"] == (await opened(tokens["id_token"], http)).claims["sub"]


async def test_signing_out_ends_the_session(web: Party, http: httpx.AsyncClient, clock: SetClock) -> None:
    tokens, elsewhere = await web.tokens(), await web.tokens()
    clock.forward(170)  # the ID token has expired, and still names the session
    target = web.client.post_logout_redirect_uris[0]
    asked = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": target, "state": "s 1"}
    done = await http.get("/logout", params=asked)
    assert done.headers["location"] == f"{target}?state=s+1"
    assert (await web.userinfo(tokens["access_token"])).status_code == 401
    assert (await web.userinfo(elsewhere["access_token"])).status_code == 200


@pytest.mark.parametrize("hint", ["", "nonsense", "access_token", "foreign"])
async def test_signing_out_needs_an_id_token_of_ours(web: Party, http: httpx.AsyncClient, hint: str) -> None:
    tokens = await web.tokens()
    forged = jwt.encode({"alg": "ES256"}, {"iss": ISSUER, "aud": "web", "sid": "x"}, ECKey.generate_key("P-256"))
    hints = {"access_token": tokens["access_token"], "foreign": forged}
    answer = await http.get("/logout", params={"id_token_hint": hints.get(hint, hint)})
    assert answer.status_code == 400
    assert (await web.userinfo(tokens["access_token"])).status_code == 200


async def test_signing_out_does_not_redirect_anywhere_else(web: Party, http: httpx.AsyncClient) -> None:
    asked = {"id_token_hint": (await web.tokens())["id_token"], "post_logout_redirect_uri": "https://evil.example/"}
    assert (await http.get("/logout", params=asked)).status_code == 400


# --- the authorization request ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"state": None}, "invalid_request"),
        ({"state": ""}, "invalid_request"),
        ({"nonce": None}, "invalid_request"),
        ({"nonce": "ŵ"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": "changes:read"}, "invalid_scope"),
        ({"scope": "openid admin"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"vtr": "Cl.Cm"}, "invalid_request"),
        ({"vtr": "[]"}, "invalid_request"),
        ({"vtr": '["Cl.P2"]'}, "invalid_request"),
        ({"vtr": '["Cl.Cm.P9"]'}, "invalid_request"),
        ({"vtr": '["Cl.Cm.P0.P2"]'}, "invalid_request"),
        ({"claims": "{"}, "invalid_request"),
        ({"claims": '{"userinfo": []}'}, "invalid_request"),
        ({"claims": '{"userinfo": {"salary": null}}'}, "invalid_request"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"resource": f"{API}/"}, "invalid_target"),
        ({"request": "e30"}, "request_not_supported"),
        ({"request_uri": "urn:x"}, "request_uri_not_supported"),
        ({"prompt": "none"}, "login_required"),
    ],
)
async def test_a_wrong_request_is_refused_at_the_client(web: Party, changed: dict[str, Any], error: str) -> None:
    answer = await web.ask(**changed)
    assert answer.headers["location"].startswith(f"{WEB}?")
    back = returned(answer)
    assert back["error"] == error
    assert back["iss"] == ISSUER
    assert "code" not in back
    assert back.get("state", "") == (changed["state"] or "" if "state" in changed else web.parameters()["state"])


async def test_a_parameter_given_twice_is_refused(web: Party, http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/authorize?{urlencode(web.parameters())}&scope=openid")
    assert returned(answer)["error"] == "invalid_request"


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://evil.example/callback",
        f"{WEB}/",
        f"{WEB}?x=1",
        f"{WEB}#here",
        WEB.upper(),
        "https://www.unwaith.example:8443/callback",
        "https://www.unwaith.example@evil.example/callback",
        "",
    ],
)
async def test_a_foreign_redirect_uri_is_never_followed(web: Party, redirect_uri: str) -> None:
    answer = await web.ask(redirect_uri=redirect_uri)
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_an_unknown_client_gets_a_page(web: Party) -> None:
    assert (await web.ask(client_id="nobody")).status_code == 400


@pytest.mark.parametrize(
    ("redirect_uri", "known"),
    [
        ("http://127.0.0.1:49152/callback", True),
        ("http://127.0.0.1/callback", True),
        ("http://localhost:49152/callback", False),
        ("https://127.0.0.1:49152/callback", False),
        ("http://127.0.0.1:49152/callback/other", False),
        ("http://127.0.0.1:49152/callback?x=1", False),
        ("http://127.0.0.1:49152@evil.example/callback", False),
        ("http://user@127.0.0.1:49152/callback", False),
        ("http://127.0.0.1:99999/callback", False),
        ("http://127.0.0.1:0x50/callback", False),
        ("http://127.0.0.1.evil.example:80/callback", False),
        ("http://127.0.0.1:80\n/callback", False),
        ("http://[::1/callback", False),
    ],
)
def test_the_demo_client_may_listen_on_any_loopback_port(registered: Clients, redirect_uri: str, known: bool) -> None:
    assert registered["demo"].may_return_to(redirect_uri) is known


def test_only_plain_http_to_this_machine_may_change_its_port(keys: Keys) -> None:
    public = keys["demo"].as_dict(private=False)
    for registered_at in ("https://127.0.0.1:1/back", "http://client.example:1/back"):
        client = Client(client_id="x", jwk=public, redirect_uris=(registered_at,), sector="x", any_loopback_port=True)
        assert client.may_return_to(registered_at)
        assert not client.may_return_to(registered_at.replace(":1/", ":2/"))


# --- the page ---------------------------------------------------------------------------------------------------


async def test_the_page_is_bilingual_and_has_no_script(web: Party, http: httpx.AsyncClient) -> None:
    english, welsh = await web.ask(ui_locales="en-GB"), await web.ask(ui_locales="fr cy en")
    assert '<html lang="en">' in english.text
    assert '<html lang="cy">' in welsh.text
    assert html.escape(wording.WELSH.invented) in welsh.text
    for page in (english, welsh):
        assert "<script" not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        # a browser holds the redirect after the form to this, too
        assert "form-action 'self' https://www.unwaith.example;" in policy
        assert page.headers["cache-control"] == "no-store"
        assert len(re.findall(r'name="person"', page.text)) == len(sample_people())
        for person in sample_people():
            assert html.escape(person.name) in page.text
    switch = re.search(r'<a href="([^"]+)" lang="en"', welsh.text)
    assert switch
    assert '<html lang="en">' in (await http.get(html.unescape(switch[1]))).text


async def test_the_choice_works_once_and_not_from_elsewhere(web: Party, http: httpx.AsyncClient) -> None:
    page = await web.ask()
    ticket = re.findall(r'name="ticket" value="([^"]+)"', page.text)[0]
    form = {"ticket": ticket, "person": "sian", "answer": "sign-in"}
    foreign = await http.post("/choose", data=form, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 400
    assert (await http.post("/choose", data=form | {"person": "nobody"})).status_code == 400
    own = await http.post("/choose", data=form, headers={"Origin": ISSUER.rstrip("/")})
    assert "code" in returned(own)
    assert (await http.post("/choose", data=form)).status_code == 400


async def test_the_choice_waits_ten_minutes(web: Party, clock: SetClock) -> None:
    page = await web.ask()
    clock.forward(601)
    assert (await web.choose(page, "sian")).status_code == 400


async def test_markup_in_a_request_stays_text(web: Party) -> None:
    page = await web.ask(state='"><script>alert(1)</script>')
    assert "<script" not in page.text


# --- the token endpoint -----------------------------------------------------------------------------------------


async def test_a_wrong_verifier_gets_nothing_and_spends_the_code(web: Party) -> None:
    code = await web.code()
    for verifier in ("x" * 43, None):
        answer = await web.redeem(code, code_verifier=verifier)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await web.redeem(code)).json()["error"] == "invalid_grant"


async def test_a_replayed_code_revokes_the_tokens_it_gave(web: Party) -> None:
    code = await web.code()
    tokens, others = (await web.redeem(code)).json(), await web.tokens()
    assert (await web.userinfo(tokens["access_token"])).status_code == 200
    assert (await web.redeem(code)).json()["error"] == "invalid_grant"
    assert (await web.userinfo(tokens["access_token"])).status_code == 401
    assert (await web.userinfo(others["access_token"])).status_code == 200


async def test_a_late_replay_still_revokes(web: Party, clock: SetClock) -> None:
    code = await web.code()
    tokens = (await web.redeem(code)).json()
    clock.forward(1500)
    await web.redeem(code)
    assert (await web.userinfo(tokens["access_token"])).status_code == 401


async def test_a_code_lives_a_minute(web: Party, clock: SetClock) -> None:
    early, late = await web.code(), await web.code()
    clock.forward(59)
    assert (await web.redeem(early)).status_code == 200
    clock.forward(1)
    assert (await web.redeem(late)).json()["error"] == "invalid_grant"


async def test_a_code_is_its_clients_alone(web: Party, other: Party) -> None:
    code = await web.code()
    assert (await other.redeem(code, redirect_uri=WEB)).json()["error"] == "invalid_grant"
    assert (await web.redeem(code)).status_code == 200  # a stranger's attempt does not spoil it


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"redirect_uri": f"{WEB}/"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"code": "unknown"}, "invalid_grant"),
        ({"code": None}, "invalid_grant"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
    ],
)
async def test_a_wrong_token_request(web: Party, changed: dict[str, Any], error: str) -> None:
    answer = await web.redeem(await web.code(), **changed)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.headers["cache-control"] == "no-store"


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "aud of another": {"aud": "https://elsewhere.example/token"},
    "aud with a suffix": {"aud": f"{ISSUER}token/"},
    "aud among others": {"aud": [f"{ISSUER}token", "https://elsewhere.example"]},
    "aud empty": {"aud": []},
    "aud missing": {"aud": None},
    "sub of another": {"sub": "demo"},
    "sub missing": {"sub": None},
    "iss unknown": {"iss": "nobody"},
    "iss of another": {"iss": "demo", "sub": "demo"},
    "iss not text": {"iss": ["web"]},
    "jti missing": {"jti": None},
    "jti empty": {"jti": ""},
    "exp missing": {"exp": None},
    "exp as text": {"exp": "9999999999"},
    "exp as truth": {"exp": True},
    "iat as truth": {"iat": True},
    "exp infinite": {"exp": float("inf")},
}


@pytest.mark.parametrize("wrong", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
async def test_a_wrong_assertion_is_no_client(web: Party, wrong: dict[str, Any]) -> None:
    answer = await web.redeem(await web.code(), client_assertion=web.assertion(**wrong))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("name", "seconds", "good"),
    [
        ("exp", 300, True),
        ("exp", 301, False),
        ("exp", 0, False),
        ("iat", 10, True),
        ("iat", 12, False),
        ("nbf", 12, False),
    ],
)
async def test_the_times_of_an_assertion(web: Party, name: str, seconds: int, good: bool) -> None:
    web.clock.now = web.clock.now.replace(microsecond=0)
    moment = int(web.clock().timestamp()) + seconds
    answer = await web.redeem(await web.code(), client_assertion=web.assertion(header=None, **{name: moment}))
    assert answer.status_code == (200 if good else 401)


@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}token", [ISSUER]])
@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
async def test_the_ways_to_authenticate(web: Party, audience: Any, algorithm: str) -> None:
    assertion = web.assertion(header={"alg": algorithm}, aud=audience)
    assert (await web.redeem(await web.code(), client_assertion=assertion)).status_code == 200


async def test_an_assertion_works_once(web: Party, other: Party) -> None:
    assertion = web.assertion(jti="once")
    assert (await web.redeem(await web.code(), client_assertion=assertion)).status_code == 200
    again = web.assertion(jti="once")
    assert (await web.redeem(await web.code(), client_assertion=again)).json()["error"] == "invalid_client"
    # another client's identifiers are its own
    theirs = other.assertion(jti="once")
    assert (await other.redeem(await other.code(), client_assertion=theirs)).status_code == 200


def unsigned(party: Party) -> str:
    header, payload, _ = party.assertion().split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    assert header != none
    return f"{none}.{payload}."


def signed_with_the_public_key(party: Party) -> str:
    """HS256 over the public key as a secret: the classic confusion of algorithms."""
    pem = party.key.as_pem(private=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library warns of this very misuse
        secret = OctKey.import_key(base64.b64encode(pem))
        return party.assertion(header={"alg": "HS256"}, key=secret)


def by_another_key(party: Party) -> str:
    return party.assertion(key=RSAKey.generate_key(2048))


def with_its_own_key(party: Party) -> str:
    own = RSAKey.generate_key(2048)
    return party.assertion(header={"jwk": own.as_dict(private=False)}, key=own)


def with_a_key_beside_a_good_signature(party: Party) -> str:
    return party.assertion(header={"x5u": "https://evil.example/key"})


def critical(party: Party) -> str:
    return party.assertion(header={"crit": ["b64"], "b64": True})


def of_another_kid(party: Party) -> str:
    return party.assertion(header={"kid": "../../etc/passwd"})


def stripped(party: Party) -> str:
    return party.assertion().rpartition(".")[0] + "."


def nonsense(_party: Party) -> str:
    return "not.a.jŵt"


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        signed_with_the_public_key,
        by_another_key,
        with_its_own_key,
        with_a_key_beside_a_good_signature,
        critical,
        of_another_kid,
        stripped,
        nonsense,
    ],
)
async def test_a_forged_assertion_is_no_client(web: Party, forge: Any) -> None:
    answer = await web.redeem(await web.code(), client_assertion=forge(web))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    "changed",
    [
        {"client_assertion": None},
        {"client_assertion_type": None},
        {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
        {"client_secret": "guess"},
        {"client_id": "demo"},
    ],
)
async def test_there_is_one_way_to_authenticate(web: Party, changed: dict[str, Any]) -> None:
    answer = await web.redeem(await web.code(), **changed)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_form_field_given_twice_is_refused(web: Party, http: httpx.AsyncClient) -> None:
    body = urlencode([("grant_type", "authorization_code"), ("code", "a"), ("code", "b")])
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await http.post("/token", content=body, headers=headers)).json()["error"] == "invalid_request"


@pytest.mark.parametrize("header", [None, "Basic d2ViOng=", "Bearer", "Bearer unknown"])
async def test_userinfo_needs_a_token_of_ours(http: httpx.AsyncClient, header: str | None) -> None:
    answer = await http.get("/userinfo", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


# --- the guard --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8102", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8102", 200),
        ("[::1]", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost:80:80", 403),
        ("localhost:", 403),
        ("", 403),
        ("10.0.0.1", 403),
        ("::1", 403),
    ],
)
async def test_only_this_machine_is_answered(http: httpx.AsyncClient, host: str, status: int) -> None:
    answer = await http.get("/.well-known/openid-configuration", headers={"Host": host})
    assert answer.status_code == status


async def test_two_hosts_are_none(http: httpx.AsyncClient) -> None:
    answer = await http.get("/livez", headers=[("Host", "127.0.0.1"), ("Host", "evil.example")])
    assert answer.status_code == 403


async def test_a_user_agent_is_needed_as_at_one_login(web: Party, http: httpx.AsyncClient) -> None:
    answer = await http.get("/authorize", params=web.parameters(), headers={"User-Agent": ""})
    assert answer.status_code == 403


async def test_a_large_form_is_not_read(http: httpx.AsyncClient) -> None:
    assert (await http.post("/token", data={"code": "x" * 70_000})).status_code == 413


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:8102", "http://127.0.0.1:8102/op/", "127.0.0.1:8102/"])
def test_an_issuer_must_end_in_its_only_slash(state: SandboxState, issuer: str) -> None:
    with pytest.raises(ValueError, match="issuer"):
        provider_app(issuer=issuer, state=state, clients=[], api_audience=API)


# --- what is kept, and the sample data --------------------------------------------------------------------------


def test_keys_and_secrets_survive_a_restart_and_are_private(tmp_path: Path) -> None:
    place = tmp_path / "sandbox"
    first = SandboxState.open(place)
    secret, key = first.webhook_secret("cardiff-council"), first.client_key("demo")
    second = SandboxState.open(place)
    assert second.signing_key.thumbprint() == first.signing_key.thumbprint()
    assert second.identity_key.thumbprint() == first.identity_key.thumbprint()
    assert second.signing_key.thumbprint() != second.identity_key.thumbprint()
    assert second.pairwise_salt == first.pairwise_salt
    assert second.webhook_secret("cardiff-council") == secret
    assert second.webhook_secret("swansea-council") != secret
    assert second.client_key("demo").thumbprint() == key.thumbprint()
    assert {file.stat().st_mode & 0o777 for file in place.iterdir()} == {0o600}
    assert place.stat().st_mode & 0o777 == 0o700
    (place / "provider.jwk").chmod(0o640)
    with pytest.raises(PermissionError, match="chmod 600"):
        SandboxState.open(place)


async def test_a_token_holds_over_a_restart(web: Party, state: SandboxState) -> None:
    token = (await web.tokens())["access_token"]
    again = SandboxState.open(state.directory)
    app = provider_app(issuer=ISSUER, state=again, clients=[], api_audience=API)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ISSUER) as fresh:
        assert (await opened(token, fresh)).claims["aud"] == API


def test_the_sample_people_are_as_various_as_real_ones() -> None:
    people = sample_people()
    assert len(people) >= 8
    assert set("ŵŷâô") <= set("".join(person.name.lower() for person in people))
    assert any(len(person.name_parts) == 1 for person in people)
    assert any(person.level is IdentityLevel.P0 for person in people)
    assert any(person.preferred_language == "cy" for person in people)
    homes = {row.uprn: row for row in sample_addresses()}
    assert {homes[person.uprn].custodian_code for person in people} >= {6815, 6855}
    assert len({person.nhs_number for person in people}) == len(people)
    for person in people:
        assert person.nhs_number
        assert person.nhs_number.startswith("999"), "of the range that is never given out"
        assert is_nhs_number(person.nhs_number)
        PersonName.model_validate_json(json.dumps(person.vocabulary_name()[0]))


def test_every_sample_address_has_both_languages_and_is_invented() -> None:
    rows = sample_addresses()
    assert len(rows) == 60
    english, welsh = ([row for row in rows if row.language == language] for language in ("en", "cy"))
    assert [row.uprn for row in english] == [row.uprn for row in welsh]
    assert len({row.uprn for row in english}) == len(english)
    for row in rows:
        assert row.address().uprn == row.uprn
        assert row.uprn > 900_000_000_000
        assert re.fullmatch(r"[A-Z]{2}99 9[ABDEFGHJLNPQRSTUWXYZ]{2}", row.postal_code)
    assert {row.custodian_code for row in rows} >= {6815, 6855, 6820}


def test_sample_organisations_and_agreements_belong_together() -> None:
    served = dict.fromkeys(definitions.ORGANISATION_IDS, "http://127.0.0.1:8111")
    organisations = definitions.sample_organisations(served)
    agreements = {agreement.organisation: agreement for agreement in definitions.agreements_on_moves()}
    every = definitions.every_organisation(
        dict.fromkeys(definitions.EVERY_ID, "http://127.0.0.1:8111"),
        dict.fromkeys(definitions.WITH_DOORS, 8112),
        host_key="ssh-ed25519 AAAA",
    )
    assert [organisation.id for organisation in every] == list(agreements)
    assert {organisation.id: organisation.adapter for organisation in every} == definitions.REACHED_BY
    assert tuple(organisation.id for organisation in organisations) == definitions.ORGANISATION_IDS
    assert {organisation.adapter for organisation in organisations} == {"webhook"}
    assert organisations[0].adapter_settings["endpoint"] == "http://127.0.0.1:8111/events"
    leaving = {name: agreements[name].shares[0] for name in ("cardiff-council", "swansea-council")}
    assert "/change/newAddress" in leaving["cardiff-council"].paths
    assert "/change/newAddress" not in leaving["swansea-council"].paths
    assert agreements["transport-for-wales"].required is False
    may_have_numbers = {
        organisation
        for organisation, agreement in agreements.items()
        for share in agreement.shares
        if {"/person", "/person/identifiers"} & set(share.paths)
    }
    assert may_have_numbers == {organisation.id for organisation in every if organisation.sector == "health-board"}


def test_the_health_boards_are_real_ones_by_name_code_and_area() -> None:
    served = dict.fromkeys(definitions.EVERY_ID, "http://127.0.0.1:8111")
    doors = dict.fromkeys(definitions.WITH_DOORS, 8112)
    areas = {agreement.organisation: agreement.area for agreement in definitions.agreements_on_moves()}
    checked = []
    for organisation in definitions.every_organisation(served, doors, host_key="ssh-ed25519 AAAA"):
        board = health_boards().get(organisation.codes.get("gss", ""))
        if board is not None:
            checked.append(organisation.id)
            assert (organisation.name, organisation.codes["ods"]) == (board.name, board.ods)
            assert set(areas[organisation.id]) == set(board.area)
    assert checked == [definitions.CARDIFF_AND_VALE, definitions.SWANSEA_BAY]


def test_unsourced_welsh_is_listed_for_review() -> None:
    review = Path("docs/welsh-to-review.md").read_text(encoding="utf-8")
    words = [getattr(wording.WELSH, name) for name in wording.Wording.__slots__]
    for agreement in definitions.sample_agreements():
        words += [agreement.title.cy, agreement.purpose.cy, *(share.because.cy for share in agreement.shares)]
    missing = [word for word in words if word not in wording.SOURCED and f"| {word} |" not in review]
    assert missing == []

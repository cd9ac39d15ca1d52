"""The project's list of OAuth bad inputs, row by row, from outside: tokens at the API, browsers at the pages.

Rows 1 to 11 give 401, rows 12 and 13 give 403 or 404, rows 14 to 21 leave nobody signed in. What each part of the
code says to each variant stands in `tests/unit/test_identity_*.py` and `test_sign_in.py`; here is that the whole does
it. The provider is `tests.support.hostile`.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from broker.identity.jose import base64url
from broker.identity.organisations import ORGANISATION_SCOPES
from broker.identity.page_policy import PAGES, STAFF
from broker.identity.sign_in import CORE_IDENTITY
from tests.support import tokens
from tests.support.api import FORM, Api, broken
from tests.support.front import CITIZEN_COOKIE, URL, Browser, Front, a_front
from tests.support.hostile import CLIENT, FOREIGN_KEY, SUBJECT, TOKEN_KEY, Hostile
from tests.support.line import now

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROW = Callable[[Front], Awaitable[None]]
ROWS: Final[dict[int, ROW]] = {}
THEIRS: Final = tokens.OTHER_EC
"""Signs organisations' tokens in these tests; `tokens.EC` signs citizens'."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(api: Api) -> AsyncIterator[Front]:
    async with a_front(api) as opened:
        yield opened


def row(number: int) -> Callable[[ROW], ROW]:
    def kept(test: ROW) -> ROW:
        assert number not in ROWS, number
        ROWS[number] = test
        return test

    return kept


# Tokens at the API


def claims_of(front: Front, domain: str, **changes: Any) -> dict[str, Any]:
    moment = int(now().timestamp())
    times = {"iat": moment, "exp": moment + 300}
    if domain == "citizen":
        return tokens.citizen_claims(**times | changes)
    name = f"cardiff-council-{front.api.line.prefix}"
    whole = {
        "iss": tokens.OUR_ISSUER, "sub": name, "aud": tokens.OUR_AUDIENCE, "jti": str(uuid4()), "client_id": name,
        "scope": " ".join(sorted(ORGANISATION_SCOPES)), "organisation": name, **times,
    } | changes  # fmt: skip
    return {claim: value for claim, value in whole.items() if value is not None}


def token_of(front: Front, domain: str, *, head: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
    """Return a token of one domain, good unless something is changed."""
    good, name = (tokens.EC, "ec") if domain == "citizen" else (THEIRS, THEIRS.thumbprint())
    header = tokens.header(**{"kid": name} | (head or {}))
    return tokens.signed(header, claims_of(front, domain, **claims), key or good)


ASKED: Final = {"citizen": "/v1/changes", "organisation": "/v1/deliveries?subject=a"}


async def asks(front: Front, domain: str, token: str) -> httpx2.Response:
    return await front.api.client.get(ASKED[domain], headers={"authorization": f"Bearer {token}"})


async def refused(front: Front, domain: str, token: str) -> None:
    """Require 401 `invalid_token` in the form of RFC 6750, and that a good token is taken at the same place."""
    answer = await asks(front, domain, token)
    assert answer.status_code == 401, answer.text
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert token not in answer.text
    assert (await asks(front, domain, token_of(front, domain))).status_code == 200


async def each_refused(front: Front, **changes: Any) -> None:
    for domain in ASKED:
        await refused(front, domain, token_of(front, domain, **changes))


@row(1)
async def no_algorithm(front: Front) -> None:
    for domain in ASKED:
        for spelling in ("none", "None", "NONE", "nOnE"):
            text = token_of(front, domain, head={"alg": spelling})
            await refused(front, domain, text)
            await refused(front, domain, text.rpartition(".")[0] + ".")


@row(2)
async def hmac_with_the_public_key(front: Front) -> None:
    for domain, key in (("citizen", tokens.EC), ("organisation", THEIRS)):
        for secret in (key.as_pem(private=False), json.dumps(key.as_dict(private=False)).encode()):
            text = token_of(front, domain, head={"alg": "HS256"}).rpartition(".")[0]
            await refused(
                front, domain, f"{text}.{base64url(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"
            )


@row(3)
async def another_key_under_the_same_name(front: Front) -> None:
    await each_refused(front, key=FOREIGN_KEY)


@row(4)
async def another_issuer(front: Front) -> None:
    for domain, issuer in (("citizen", tokens.ISSUER), ("organisation", tokens.OUR_ISSUER)):
        for wrong in (
            issuer.rstrip("/") if issuer.endswith("/") else f"{issuer}/",
            issuer.upper(),
            "https://evil.example/",
        ):
            await refused(front, domain, token_of(front, domain, iss=wrong))


@row(5)
async def another_audience(front: Front) -> None:
    for domain, audience in (("citizen", tokens.AUDIENCE), ("organisation", tokens.OUR_AUDIENCE)):
        wrongs: tuple[Any, ...] = (
            "",
            [],
            f"{audience}/",
            f"{audience}.evil.example",
            audience[:-1],
            "https://evil.example",
        )
        for wrong in wrongs:
            await refused(front, domain, token_of(front, domain, aud=wrong))


@row(6)
async def expired_or_no_time_at_all(front: Front) -> None:
    moment = int(now().timestamp())
    await each_refused(front, exp=moment - 11, iat=moment - 300)
    for domain in ASKED:
        for raw in ('"9999999999"', "true", "1e400", "-1", "null", "NaN"):
            payload = json.dumps(claims_of(front, domain, exp="@")).replace('"@"', raw).encode()
            key, name = (tokens.EC, "ec") if domain == "citizen" else (THEIRS, THEIRS.thumbprint())
            await refused(front, domain, tokens.signed(tokens.header(kid=name), payload, key))


@row(7)
async def not_valid_yet(front: Front) -> None:
    ahead = int(now().timestamp()) + 60
    await each_refused(front, nbf=ahead)
    await each_refused(front, iat=ahead)


@row(8)
async def an_id_token_or_no_type(front: Front) -> None:
    for typ in (None, "JWT", "id_token+jwt", "logout+jwt"):
        await each_refused(front, head={"typ": typ})


@row(9)
async def injection_and_a_flood_of_key_names(front: Front) -> None:
    for name in ("../../../dev/null", "ec' OR '1'='1", "ec\x00", "ec\r\nSet-Cookie: a=b", "", "e" * 200):
        await each_refused(front, head={"kid": name})
    source = tokens.issuer()
    citizens = tokens.citizen_tokens(now, source)
    async with broken(front.api, citizens=citizens) as client:
        flood = (
            client.get(
                "/v1/changes", headers={"authorization": f"Bearer {token_of(front, 'citizen', head={'kid': f'k{n}'})}"}
            )
            for n in range(50)
        )
        assert {answer.status_code for answer in await asyncio.gather(*flood)} == {401}
    assert source.fetched == [tokens.DISCOVERY, tokens.JWKS], "one fetch for all of them"


@row(10)
async def a_header_that_brings_a_key(front: Front) -> None:
    for more in (
        {"jku": tokens.JWKS},
        {"jwk": tokens.published(tokens.EC, "ec")},
        {"x5u": "https://evil.example/c"},
        {"x5c": ["MIIB"]},
    ):
        await each_refused(front, head=more)


@row(11)
async def critical_oversized_or_stripped(front: Front) -> None:
    await each_refused(front, head={"crit": ["made-up"]})
    await each_refused(front, padding="x" * 9000)
    for domain in ASKED:
        text = token_of(front, domain).rpartition(".")[0]
        for stripped in (text, f"{text}.", f"{text}.{base64url(bytes(64))}"):
            await refused(front, domain, stripped)


@row(12)
async def without_the_scope(front: Front) -> None:
    for domain, scope in (("citizen", "changes:write"), ("organisation", "receipts:write")):
        answer = await asks(front, domain, token_of(front, domain, scope=scope))
        assert answer.status_code == 403
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@row(13)
async def what_is_another_organisations(front: Front) -> None:
    api = front.api
    told = await api.tell(headers=api.citizen(513))
    assert told.status_code == 202, told.text
    async with api.line.database.connection() as connection:
        delivery = await connection.fetchval(
            "SELECT d.id FROM delivery d JOIN change c ON c.id = d.change_id WHERE c.reference = $1 AND d.organisation = $2",
            told.json()["reference"],
            f"cardiff-council-{api.line.prefix}",
        )
    answers = []
    for named in (str(delivery), str(uuid4())):
        body = {"id": str(uuid4()), "deliveryId": named, "outcome": "applied"}
        answers.append(await api.post("/v1/receipts", body, api.organisation("swansea-council")))
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content, "there, and another's, is as not there"


# Coming back from the provider


async def nobody_is_in(
    front: Front, misbehave: Callable[[Hostile], None], *, prove: bool = False, **answer: str | None
) -> None:
    """Require that nobody is signed in when the provider misbehaves so, and somebody is when it does not."""
    hostile = front.citizens
    behaviour = ("change_id", "change_info", "change_core", "core_kid", "core_key")
    kept = {name: getattr(hostile, name) for name in behaviour}
    try:
        async with front.browser() as browser:
            query = await browser.begins(prove=prove)
            misbehave(hostile)
            told: dict[str, str | None] = {**query, **answer}
            back = await browser.comes_back({name: value for name, value in told.items() if value is not None})
            assert back.headers.get("location") == "/not-signed-in", back.text
            assert CITIZEN_COOKIE not in browser.http.cookies
            assert not await browser.is_in()
    finally:
        for name, value in kept.items():
            setattr(hostile, name, value)
    async with front.browser() as browser:
        await browser.signs_in(prove=prove)
        assert await browser.is_in(), "as it should be"


def nothing(_: Hostile) -> None:
    return None


def id_token(**changes: Any) -> Callable[[Hostile], None]:
    """A change of the ID token's claims; None leaves one out."""

    def how(hostile: Hostile) -> None:
        hostile.change_id = lambda claims: _changed(claims, changes)

    return how


def _changed(claims: dict[str, Any], changes: dict[str, Any]) -> None:
    claims.update(changes)
    for name in [name for name, value in changes.items() if value is None]:
        del claims[name]


def core(**changes: Any) -> Callable[[Hostile], None]:
    def how(hostile: Hostile) -> None:
        hostile.change_core = lambda claims: _changed(claims, changes)

    return how


def info(**changes: Any) -> Callable[[Hostile], None]:
    def how(hostile: Hostile) -> None:
        hostile.change_info = lambda claims: _changed(claims, changes)

    return how


@row(14)
async def an_answer_of_another_issuer(front: Front) -> None:
    asked = len(front.citizens.assertions)
    for wrong in ("https://elsewhere.example/", front.citizens.issuer.rstrip("/"), None):
        await nobody_is_in(front, nothing, iss=wrong)
    assert len(front.citizens.assertions) == asked + 3, "its code went to no token endpoint: only the good ones did"


@row(15)
async def discovery_of_another_issuer(front: Front) -> None:
    async with a_front(front.api) as fresh:
        for wrong in ("https://elsewhere.example/", fresh.citizens.issuer.rstrip("/")):
            fresh.citizens.change_discovery = lambda document, wrong=wrong: document.update(issuer=wrong)  # type: ignore[misc]  # mypy knows no lambda with a default here
            async with fresh.browser() as browser:
                answer = await browser.http.get("/sign-in")
                assert answer.status_code == 503, "nobody is sent there"
                assert not await browser.is_in()
        fresh.citizens.change_discovery = lambda _: None
        async with fresh.browser() as browser:
            await browser.signs_in()
            assert await browser.is_in()


@row(16)
async def a_state_that_is_missing_foreign_or_replayed(front: Front) -> None:
    for state in (None, "", "x" * 43, "x" * 5000, "é"):
        await nobody_is_in(front, nothing, state=state)
    async with front.browser() as mine, front.browser() as theirs:
        their_query = await theirs.begins()
        await mine.begins()
        back = await mine.comes_back(their_query)  # login CSRF: into their account, by their answer
        assert back.headers["location"] == "/not-signed-in"
        assert not await mine.is_in()
    async with front.browser() as browser:
        query = await browser.begins()
        await browser.comes_back(query)
        name = browser.http.cookies[CITIZEN_COOKIE]
        assert (await browser.comes_back(query)).headers["location"] == "/", "a reload, not a second sign-in"
        assert browser.http.cookies[CITIZEN_COOKIE] == name
        del browser.http.cookies[CITIZEN_COOKIE]
        assert (await browser.comes_back(query)).headers["location"] == "/not-signed-in"
        assert not await browser.is_in()


@row(17)
async def a_nonce_that_is_wrong_absent_or_not_ascii(front: Front) -> None:
    for nonce in ("another", None, "ŵ", "", 7, ["a"]):
        await nobody_is_in(front, id_token(nonce=nonce))


@row(18)
async def a_code_replayed_or_injected(front: Front) -> None:
    async with front.browser() as victim, front.browser() as attacker:
        stolen = await victim.begins()
        own = await attacker.begins()
        injected = await attacker.comes_back(own | {"code": stolen["code"]})
        assert injected.headers["location"] == "/not-signed-in", "PKCE: the verifier is another code's"
        assert not await attacker.is_in()
    async with front.browser() as first, front.browser() as second:
        query = await first.begins()
        await first.comes_back(query)
        assert await first.is_in()
        replayed = await second.begins()
        assert (await second.comes_back(replayed | {"code": query["code"]})).headers["location"] == "/not-signed-in"
        assert not await second.is_in()


@row(19)
async def for_another_audience_with_our_name_beside(front: Front) -> None:
    for changes in (
        {"aud": "other", "azp": CLIENT},
        {"aud": [CLIENT, "other"]},
        {"aud": [CLIENT, "other"], "azp": CLIENT},
        {"aud": CLIENT, "azp": "other"},
    ):
        await nobody_is_in(front, id_token(**changes))


@row(20)
async def too_low_a_vector_or_userinfo_of_another(front: Front) -> None:
    for vot in ("Cl", "P2", "", None, ["Cl.Cm"]):
        await nobody_is_in(front, id_token(vot=vot))
    await nobody_is_in(front, info(sub="urn:other"))


@row(21)
async def an_identity_that_is_not_stated(front: Front) -> None:
    for how in (
        info(**{CORE_IDENTITY: None}), core(vot="P1"), core(vot=None), core(sub="urn:other"), core(aud="other"),
        core(iss="https://elsewhere.example/"), lambda hostile: setattr(hostile, "core_kid", "did:web:evil.example#1"),
        lambda hostile: setattr(hostile, "core_key", FOREIGN_KEY),
    ):  # fmt: skip
        await nobody_is_in(front, how, prove=True)


# Around a session


@row(22)
async def somewhere_else_to_go_afterwards(front: Front) -> None:
    for going in (
        "//evil.example", "/\\evil.example", "https:evil.example", "https://evil.example", "%2f%2fevil.example",
        "/%2fevil.example", "/\r\nLocation: https://evil.example", "/changes\n", "javascript:alert(1)", "/a?b=//evil",
        "\\\\evil.example", "///evil.example", "/./evil", "/changes#@evil.example",
    ):  # fmt: skip
        async with front.browser() as browser:
            back = await browser.comes_back(await browser.begins(going=going))
            assert back.headers["location"] == "/", going
            answer = await browser.http.get("/session-ended", params={"next": going})
            assert answer.headers["location"] == "/", going
    async with front.browser() as browser:
        assert (await browser.comes_back(await browser.begins(going="/changes"))).headers["location"] == "/changes"


@row(23)
async def a_session_name_from_before_or_after(front: Front) -> None:
    async with front.browser() as browser:
        planted = "planted-by-somebody-else"
        browser.http.cookies.set(CITIZEN_COOKIE, planted, domain=urlsplit(URL).hostname or "", path="/")
        await browser.signs_in()
        first = browser.http.cookies[CITIZEN_COOKIE]
        assert first != planted
        await browser.signs_in(prove=True)
        second = browser.http.cookies[CITIZEN_COOKIE]
        assert second != first, "a new name at the step up"
        await browser.http.post("/sign-out", data={"csrf": await browser.token()})
        for name in (planted, first, second):
            async with front.browser() as thief:
                thief.http.cookies.set(CITIZEN_COOKIE, name, domain=urlsplit(URL).hostname or "", path="/")
                assert not await thief.is_in()


async def says(browser: Browser, word: str) -> int:
    answer = await browser.http.post("/signed-out-there", data={"logout_token": word})
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code


@row(24)
async def logout_tokens_and_assertions_that_are_not_good_once(front: Front) -> None:
    async with front.browser() as browser, front.browser() as provider:
        await browser.signs_in()
        for word in (
            front.citizens.logout_token(nonce="n"),
            front.citizens.logout_token(events=None),
            front.citizens.logout_token(events={}),
            front.citizens.logout_token(sub=None),
            front.citizens.logout_token(aud="other"),
            front.citizens.logout_token(key=FOREIGN_KEY),
            front.citizens.logout_token(head={"typ": "JWT"}),
            front.staff.logout_token(),
            tokens.signed({"alg": "ES256", "kid": "token"}, {"sub": SUBJECT}, TOKEN_KEY),
            "",
        ):
            assert await says(provider, word) == 400
        assert await browser.is_in()
        good = front.citizens.logout_token()
        assert await says(provider, good) == 200
        assert not await browser.is_in()
        await browser.signs_in()
        assert await says(provider, good) == 400, "its jti comes twice"
        assert await browser.is_in()
    api = front.api
    assertion = api.token_form()
    asked = [await api.client.post("/oauth/token", data=assertion, headers=FORM) for _ in range(2)]
    assert [answer.status_code for answer in asked] == [200, 401]
    long = api.token_form(client_assertion=api.assertion(exp=int(now().timestamp()) + 3600))
    answer = await api.client.post("/oauth/token", data=long, headers=FORM)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@row(25)
async def the_wrong_domain_the_wrong_method_and_the_wrong_origin(front: Front) -> None:
    bearers = [
        {"authorization": f"Bearer {token_of(front, domain, scope='changes:read changes:write')}"} for domain in ASKED
    ]
    async with front.browser() as citizen:
        await citizen.signs_in(prove=True)
        for headers in ({}, *bearers):
            answer = await citizen.http.get(STAFF, headers=headers)
            assert answer.headers["location"].startswith(f"{STAFF}/sign-in")
        csrf = await citizen.token()
        for foreign in (
            {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": f"{URL}.evil.example"},
            {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "none"},
        ):  # fmt: skip
            for path in ("/sign-out", "/sign-out/everywhere", "/session/stay", "/change"):
                answer = await citizen.http.post(path, data={"csrf": csrf}, headers=foreign)
                assert answer.status_code == 403, (path, foreign)
        for form in ({"csrf": ""}, {"csrf": "x" * 43}, {"other": "x"}):
            assert (await citizen.http.post("/sign-out", data=form)).status_code == 403
        assert await citizen.is_in()
        for method, path in PAGES:
            if method == "POST" and ("GET", path) not in PAGES and "{" not in path:
                assert (await citizen.http.get(path)).status_code == 405, "nothing is done by following a link"
        csrf = await citizen.token()
        own = {"origin": URL, "sec-fetch-site": "same-origin"}
        assert (await citizen.http.post("/session/stay", data={"csrf": csrf}, headers=own)).status_code == 303


@pytest.mark.parametrize("number", sorted(ROWS), ids=lambda number: f"row_{number:02}_{ROWS[number].__name__}")
async def test_row(front: Front, number: int) -> None:
    await ROWS[number](front)


async def test_no_row_is_absent() -> None:
    assert sorted(ROWS) == list(range(1, 26))

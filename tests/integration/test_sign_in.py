"""Signing in against a provider that can misbehave in each way: a real HTTP server, real signatures."""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import time_machine

from broker.identity.jose import base64url
from broker.identity.presets import NHS_LOGIN, ONE_LOGIN, PLAIN, IdentityService, Preset
from broker.identity.refusals import InvalidToken, KeysUnavailable, TokenFault
from broker.identity.sessions import Sessions, citizen_rules, staff_rules
from broker.identity.sign_in import (
    CORE_IDENTITY,
    Begun,
    ProviderAway,
    SecondFactor,
    SignedIn,
    SignInFault,
    SignInRefused,
)
from broker.main.web import client_key, provider_rules
from broker.outbound.client import GuardedClient
from broker.settings import SignInServer
from broker.store import Database
from contracts.person import IdentityLevel
from tests.support.hostile import (
    CLIENT,
    CLIENT_KEY,
    FOREIGN_KEY,
    NHS_KEY,
    SUBJECT,
    TOKEN_KEY,
    Change,
    Hostile,
    Place,
    a_place,
    a_way_to_providers,
    ours,
)
from tests.support.line import now
from tests.support.tokens import NAME_PARTS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Place]:
    async with a_place() as place:
        yield place


@pytest.fixture
def hostile(place: Place) -> Hostile:
    """A provider of its own for each test, where the one before was."""
    return place.taken_by(Hostile())


@pytest_asyncio.fixture(loop_scope="module")
async def database(dsn: str) -> AsyncIterator[Database]:
    opened = await Database.open(dsn)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="module")
async def http() -> AsyncIterator[GuardedClient]:
    async with a_way_to_providers() as client:
        yield client


async def signing_in(
    provider: Hostile,
    http: GuardedClient,
    *,
    prove: bool = True,
    answer: dict[str, str | None] | None = None,
    facts: Preset = ONE_LOGIN,
) -> SignedIn:
    """Sign in; `answer` changes the query the browser comes back with."""
    door = ours(provider, http, facts=facts)
    url, begun = await door.begin(prove=prove, language="cy")
    query: dict[str, str | None] = {**provider.asked_for(url), **(answer or {})}
    kept = Begun.read(begun.state, json.loads(json.dumps(begun.kept())))
    return await door.finish(kept, {name: value for name, value in query.items() if value is not None})


async def test_somebody_signs_in_and_steps_up(hostile: Hostile, http: GuardedClient) -> None:
    found = await signing_in(hostile, http)
    assert (found.subject, found.level) == (SUBJECT, IdentityLevel.P2)
    assert found.person is not None
    assert found.person.name.name_parts[0].value == "Siân"
    assert [(home.street_name, home.uprn) for home in found.homes] == [
        ("New Street", 10022812929),
        ("Old Street", None),
    ]
    assert "Siân" not in repr(found)
    assert hostile.asked["vtr"] == '["Cl.Cm.P2"]'
    assert hostile.asked["ui_locales"] == "cy"
    assert hostile.asked["code_challenge_method"] == "S256"
    [assertion] = hostile.assertions
    assert assertion["aud"] == f"{hostile.issuer}token"
    assert 0 < assertion["exp"] - assertion["iat"] <= 300


async def test_returning_proves_nothing_of_the_identity(hostile: Hostile, http: GuardedClient) -> None:
    found = await signing_in(hostile, http, prove=False)
    assert (found.level, found.person, found.homes) == (IdentityLevel.P0, None, ())
    await signing_in(hostile, http, prove=False)
    first, second = hostile.assertions
    assert first["jti"] != second["jti"]


@pytest.mark.parametrize(
    ("said", "taken"),
    [("9990001014", "9990001014"), (9990001014, None), ("999 000 1014", None), ("٩٩٩٠٠٠١٠١٤", None), (None, None)],
)
async def test_an_nhs_number_is_taken_only_as_ten_digits_and_only_with_the_identity(
    hostile: Hostile, http: GuardedClient, said: object, taken: str | None
) -> None:
    hostile.change_info = lambda info: info.update(nhs_number=said)
    found = await signing_in(hostile, http)
    assert found.nhs_number == taken
    assert "9990001014" not in repr(found)
    assert (await signing_in(hostile, http, prove=False)).nhs_number is None


@pytest.mark.parametrize(
    ("said", "proven"),
    [
        ({"amr": ["pwd", "mfa"]}, True),
        ({"amr": ["pwd"]}, False),
        ({"amr": "mfa"}, False),
        ({"amr": [["mfa"], 1]}, False),
        ({"acr": "phr"}, True),
        ({"acr": "0"}, False),
        ({"acr": ["phr"]}, False),
        ({}, False),
    ],
)
async def test_staff_need_a_second_factor_that_their_id_token_proves(
    hostile: Hostile, http: GuardedClient, said: dict[str, Any], proven: bool
) -> None:
    hostile.change_id = lambda claims: claims.update(said)
    door = ours(hostile, http)
    factor = SecondFactor(amr=frozenset({"mfa", "hwk"}), acr=frozenset({"phr"}))
    door.rules = replace(door.rules, second_factor=factor)
    url, begun = await door.begin(prove=False, language="en")
    answer = hostile.asked_for(url)
    assert hostile.asked["acr_values"] == "phr"
    if proven:
        assert (await door.finish(begun, answer)).subject == SUBJECT
        return
    with pytest.raises(SignInRefused) as refused:
        await door.finish(begun, answer)
    assert refused.value.fault is SignInFault.SECOND_FACTOR


async def test_an_id_token_never_shows_a_level(hostile: Hostile, http: GuardedClient) -> None:
    hostile.change_id = lambda claims: claims.update(vot="P2.Cl.Cm")
    assert (await signing_in(hostile, http, prove=False)).level is IdentityLevel.P0


def _set(**values: Any) -> Change:
    return lambda claims: claims.update(values)


def _drop(name: str) -> Change:
    return lambda claims: claims.pop(name)


@pytest.mark.parametrize(
    "change",
    [
        _set(iss="https://elsewhere.example/"),
        lambda claims: claims.update(iss=claims["iss"].rstrip("/")),
        _set(aud="other"),
        _set(aud="other", azp=CLIENT),
        _set(aud=[CLIENT, "other"], azp=CLIENT),
        _set(aud=[]),
        _set(aud=f"{CLIENT}-x"),
        _set(azp="other"),
        _set(nonce="another"),
        _set(nonce="ŵ"),
        _set(nonce=["a"]),
        _drop("nonce"),
        _set(exp=1),
        _set(exp="9999999999"),
        _drop("exp"),
        _drop("iat"),
        _set(iat=9_999_999_999),
        _set(nbf=9_999_999_999),
        _set(sub=""),
        _drop("sub"),
        _set(vot="Cl"),
        _set(vot="P2"),
        _drop("vot"),
        _set(at_hash="another"),
    ],
)
async def test_an_id_token_that_does_not_hold(hostile: Hostile, http: GuardedClient, change: Change) -> None:
    hostile.change_id = change
    with pytest.raises(SignInRefused) as refused:
        await signing_in(hostile, http)
    assert refused.value.fault is SignInFault.TOKEN


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"kid": "other"},
        {"jku": "https://x.example"},
        {"crit": ["x"]},
        {"typ": "at+jwt"},
    ],
)
async def test_an_id_token_with_a_strange_header(hostile: Hostile, http: GuardedClient, header: dict[str, Any]) -> None:
    hostile.id_header = header
    with pytest.raises(SignInRefused, match="ID token"):
        await signing_in(hostile, http)


async def test_an_id_token_signed_by_another(hostile: Hostile, http: GuardedClient) -> None:
    hostile.id_key = FOREIGN_KEY
    with pytest.raises(SignInRefused, match="SIGNATURE"):
        await signing_in(hostile, http)


async def test_userinfo_about_somebody_else(hostile: Hostile, http: GuardedClient) -> None:
    hostile.change_info = _set(sub="urn:other")
    with pytest.raises(SignInRefused) as refused:
        await signing_in(hostile, http)
    assert refused.value.fault is SignInFault.SUBJECT


@pytest.mark.parametrize(
    "change",
    [
        _set(vot="P1"),
        _drop("vot"),
        _set(sub="urn:other"),
        _set(aud="other"),
        _set(iss="https://elsewhere.example/"),
        _set(exp=1),
        _set(vc={}),
        _set(vc={"credentialSubject": {"name": [], "birthDate": [{"value": "1987-03-01"}]}}),
        _set(vc={"credentialSubject": {"name": [{"nameParts": list(NAME_PARTS)}], "birthDate": [{"value": "1987"}]}}),
    ],
)
async def test_a_statement_about_the_identity_that_does_not_hold(
    hostile: Hostile, http: GuardedClient, change: Change
) -> None:
    hostile.change_core = change
    with pytest.raises(SignInRefused) as refused:
        await signing_in(hostile, http)
    assert refused.value.fault is SignInFault.IDENTITY


async def test_a_statement_by_a_foreign_did_or_key(hostile: Hostile, http: GuardedClient) -> None:
    for kid in ("did:web:evil.example#1", "token", f"{hostile.did}#2"):
        hostile.core_kid = kid
        with pytest.raises(SignInRefused, match="identity"):
            await signing_in(hostile, http)
    hostile.core_kid, hostile.core_key = "", FOREIGN_KEY
    with pytest.raises(SignInRefused, match="SIGNATURE"):
        await signing_in(hostile, http)
    hostile.core_key = TOKEN_KEY  # the provider's own key is not its identity service's
    with pytest.raises(SignInRefused, match="SIGNATURE"):
        await signing_in(hostile, http)


async def test_no_statement_is_no_identity(hostile: Hostile, http: GuardedClient) -> None:
    hostile.change_info = _drop(CORE_IDENTITY)
    with pytest.raises(SignInRefused) as refused:
        await signing_in(hostile, http)
    assert refused.value.fault is SignInFault.NOT_PROVEN


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ({"iss": "https://elsewhere.example/"}, SignInFault.ISSUER),
        ({"iss": None}, SignInFault.ISSUER),
        ({"code": None}, SignInFault.CODE),
        ({"code": None, "error": "access_denied"}, SignInFault.NOT_PROVEN),
        ({"code": None, "error": "server_error"}, SignInFault.DENIED),
        ({"error": "access_denied", "iss": "https://elsewhere.example/"}, SignInFault.ISSUER),
    ],
)
async def test_an_answer_that_cannot_be_taken(
    hostile: Hostile, http: GuardedClient, answer: dict[str, str | None], fault: SignInFault
) -> None:
    with pytest.raises(SignInRefused) as refused:
        await signing_in(hostile, http, answer=answer)
    assert refused.value.fault is fault
    assert hostile.assertions == [], "nothing was sent to the token endpoint"


async def test_a_provider_that_fails(hostile: Hostile, http: GuardedClient) -> None:
    hostile.token_status = 400
    with pytest.raises(SignInRefused) as refused:
        await signing_in(hostile, http)
    assert refused.value.fault is SignInFault.EXCHANGE
    hostile.token_status = 503
    with pytest.raises(ProviderAway):
        await signing_in(hostile, http)
    hostile.token_status, hostile.userinfo_status = 200, 500
    with pytest.raises(ProviderAway):
        await signing_in(hostile, http)
    hostile.userinfo_status, hostile.id_token = 200, "x" * 9000
    with pytest.raises(SignInRefused, match="OVERSIZED"):
        await signing_in(hostile, http)


@pytest.mark.parametrize(
    "change",
    [
        _set(issuer="https://elsewhere.example/"),
        lambda document: document.update(issuer=document["issuer"].rstrip("/")),
        _set(token_endpoint="http://elsewhere.example/token"),
        _drop("authorization_endpoint"),
    ],
)
async def test_discovery_of_another(hostile: Hostile, http: GuardedClient, change: Change) -> None:
    hostile.change_discovery = change
    with pytest.raises(KeysUnavailable):
        await signing_in(hostile, http)


# NHS login ------------------------------------------------------------------------------------------------------


def as_nhs_login(provider: Hostile, vot: str, **said: Any) -> None:
    """Have the provider answer as NHS login's interface specification says it does."""
    provider.id_key, provider.id_algorithm, provider.id_header = NHS_KEY, "RS512", {"alg": "RS512", "kid": "nhs"}
    provider.change_id = lambda claims: claims.update(vot=vot)
    known = {"given_name": "Siân", "family_name": "Llŷr-Ŵyn", "birthdate": "1987-03-01", "nhs_number": "9990001014"}

    def info(claims: dict[str, Any]) -> None:
        del claims[CORE_IDENTITY]
        claims.update(known | said)

    provider.change_info = info


async def test_nhs_login_proves_who_somebody_is_by_p9(hostile: Hostile, http: GuardedClient) -> None:
    as_nhs_login(hostile, "P9.Cp.Cd")
    found = await signing_in(hostile, http, facts=NHS_LOGIN)
    assert hostile.asked["vtr"] == '["P9.Cp.Cd", "P9.Cp.Ck", "P9.Cm"]'
    assert "claims" not in hostile.asked
    assert (found.level, found.nhs_number) == (IdentityLevel.P2, "9990001014")
    assert found.person is not None
    assert [(part.type, part.value) for part in found.person.name.name_parts] == [
        ("GivenName", "Siân"),
        ("FamilyName", "Llŷr-Ŵyn"),
    ]
    as_nhs_login(hostile, "P9.Cm")
    assert (await signing_in(hostile, http, facts=NHS_LOGIN)).level is IdentityLevel.P2


@pytest.mark.parametrize(
    ("facts", "hashing", "size"), [(ONE_LOGIN, hashlib.sha256, 16), (NHS_LOGIN, hashlib.sha512, 32)]
)
async def test_the_access_token_belongs_to_the_id_token(
    hostile: Hostile, http: GuardedClient, facts: Preset, hashing: Any, size: int
) -> None:
    vot = "Cl.Cm" if facts is ONE_LOGIN else "P5.Cp.Cd"
    if facts is NHS_LOGIN:
        as_nhs_login(hostile, vot)
    whole = hashing(b"opaque").digest()
    hostile.change_id = lambda claims: claims.update(vot=vot, at_hash=base64url(whole[:size]))
    assert (await signing_in(hostile, http, prove=False, facts=facts)).subject == SUBJECT
    hostile.change_id = lambda claims: claims.update(vot=vot, at_hash=base64url(whole[: size - 1]))
    with pytest.raises(SignInRefused, match="at_hash"):
        await signing_in(hostile, http, prove=False, facts=facts)


async def test_a_key_from_a_pem_file_signs_without_a_name(
    hostile: Hostile, http: GuardedClient, tmp_path: Path
) -> None:
    file = tmp_path / "one-login.pem"
    file.write_bytes(CLIENT_KEY.as_pem(private=True))
    door = ours(hostile, http, key=client_key(file))
    url, begun = await door.begin(prove=False, language="cy")
    assert (await door.finish(begun, hostile.asked_for(url))).subject == SUBJECT
    [header] = hostile.assertion_headers
    assert header == {"alg": "PS256", "typ": "JWT"}


@pytest.mark.parametrize(
    ("vot", "level"), [("P5.Cp.Cd", "P1"), ("P9.Cp.Cd", "P1"), ("P0.Cp.Cd", "P0"), ("P2.Cp.Cd", "P0")]
)
async def test_coming_back_by_nhs_login_proves_p1_at_most(
    hostile: Hostile, http: GuardedClient, vot: str, level: str
) -> None:
    as_nhs_login(hostile, vot)
    found = await signing_in(hostile, http, prove=False, facts=NHS_LOGIN)
    assert (found.level, found.person, found.nhs_number) == (IdentityLevel(level), None, None)
    assert hostile.asked["vtr"] == '["P5.Cp.Cd", "P5.Cp.Ck", "P5.Cm"]'


@pytest.mark.parametrize(
    ("vot", "said", "fault"),
    [
        ("P5.Cp.Cd", {}, SignInFault.NOT_PROVEN),
        ("P0.Cp.Cd", {}, SignInFault.NOT_PROVEN),
        ("P9.P5.Cp.Cd", {}, SignInFault.NOT_PROVEN),
        ("Cp.Cd", {}, SignInFault.NOT_PROVEN),
        ("P9.Cp", {}, SignInFault.TOKEN),
        ("P9", {}, SignInFault.TOKEN),
        ("P9.Cp.Cd", {"birthdate": "1987"}, SignInFault.IDENTITY),
        ("P9.Cp.Cd", {"birthdate": None}, SignInFault.IDENTITY),
        ("P9.Cp.Cd", {"given_name": None}, SignInFault.IDENTITY),
        ("P9.Cp.Cd", {"family_name": ["a"]}, SignInFault.IDENTITY),
        ("P9.Cp.Cd", {"sub": "other"}, SignInFault.SUBJECT),
    ],
)
async def test_nhs_login_does_not_prove_who_somebody_is(
    hostile: Hostile, http: GuardedClient, vot: str, said: dict[str, Any], fault: SignInFault
) -> None:
    as_nhs_login(hostile, vot, **said)
    with pytest.raises(SignInRefused) as refused:
        await signing_in(hostile, http, facts=NHS_LOGIN)
    assert refused.value.fault is fault


async def test_each_provider_signs_as_its_own_documents_say_and_no_other_way(
    hostile: Hostile, http: GuardedClient
) -> None:
    with pytest.raises(SignInRefused, match="ALGORITHM"):
        await signing_in(hostile, http, facts=NHS_LOGIN)
    as_nhs_login(hostile, "P9.Cp.Cd")
    with pytest.raises(SignInRefused, match="ALGORITHM"):
        await signing_in(hostile, http)


async def test_what_settings_name_is_known_and_what_they_say_wins(tmp_path: Path) -> None:
    def server(**more: Any) -> SignInServer:
        return SignInServer.model_validate(
            {"issuer": "https://p.example/", "client_id": "us", "client_key_file": tmp_path} | more
        )

    back = "https://unwaith.example/signed-in"
    one_login = provider_rules(server(issuer="https://oidc.account.gov.uk/", preset="gov-uk-one-login"), back)
    assert one_login.identity == IdentityService(
        issuer="https://identity.account.gov.uk/",
        did="did:web:identity.account.gov.uk",
        did_url="https://identity.account.gov.uk/.well-known/did.json",
    )
    assert one_login.scopes == ("openid", "email")
    trial = provider_rules(server(issuer="https://oidc.integration.account.gov.uk/", preset="gov-uk-one-login"), back)
    assert trial.identity is not None
    assert trial.identity.did == "did:web:identity.integration.account.gov.uk"
    nhs = provider_rules(server(preset="nhs-login"), back)
    assert nhs.scopes == ("openid", "email", "basic_demographics", "profile_extended")
    assert nhs.identity is None
    assert provider_rules(server(preset="nhs-login", scopes="openid profile"), back).scopes == ("openid", "profile")
    plain = provider_rules(server(), back)
    assert (plain.facts, plain.identity, plain.scopes) == (PLAIN, None, ("openid", "email"))


# Sessions -------------------------------------------------------------------------------------------------------


async def test_a_sign_in_is_taken_once_by_the_browser_that_began_it(database: Database) -> None:
    sessions = Sessions(database, b"s" * 32, citizen_rules(secure=True))
    await sessions.begin_sign_in("state", "browser", {"nonce": "n"})
    assert await sessions.take_sign_in("state", "another browser") is None
    assert await sessions.take_sign_in("another state", "browser") is None
    staff = Sessions(database, b"s" * 32, staff_rules(secure=True))
    assert await staff.take_sign_in("state", "browser") is None
    assert await sessions.take_sign_in("state", "browser") == {"nonce": "n"}
    assert await sessions.take_sign_in("state", "browser") is None


async def test_a_session_is_sealed_and_ends(database: Database) -> None:
    sessions = Sessions(database, b"s" * 32, citizen_rules(secure=True))
    staff = Sessions(database, b"t" * 32, staff_rules(secure=True))
    made = await sessions.start({"person": "Siân"}, account=("i", "s"), provider_session="sid")
    assert await staff.open(made.name) is None, "trust domains do not mix"
    found = await sessions.open(made.name)
    assert found is not None
    assert found.who == {"person": "Siân"}
    async with database.connection() as connection:
        row = dict(await connection.fetchrow("SELECT * FROM session"))
    assert made.name.encode() not in b"".join(value for value in row.values() if isinstance(value, bytes))
    assert "Siân".encode() not in row["sealed"]
    for later, there in ((29, True), (29, True), (29, True), (28, True), (6, False)):
        await pass_time(database, later)
        assert (await sessions.open(made.name) is not None) is there, later
    again = await sessions.start({}, account=("i", "s"), provider_session=None)
    await pass_time(database, 29)
    assert await sessions.open(again.name, touch=False) is not None
    await pass_time(database, 2)
    assert await sessions.open(again.name) is None, "looking without touching does not prolong it"
    for name in (None, "", "x" * 10_000, "\x00"):
        assert await sessions.open(name) is None


async def test_a_sign_in_that_took_too_long_is_none(database: Database) -> None:
    sessions = Sessions(database, b"s" * 32, citizen_rules(secure=True))
    await sessions.begin_sign_in("state", "browser", {})
    await pass_time(database, 21)
    assert await sessions.take_sign_in("state", "browser") is None
    await sessions.sweep()
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM sign_in") == 0


async def test_whose_clock_is_off_ends_no_session_and_keeps_none(database: Database) -> None:
    """The store's clock alone tells (decision 9): many processes serve pages."""
    sessions = Sessions(database, b"s" * 32, citizen_rules(secure=True))
    made = await sessions.start({}, account=("i", "s"), provider_session=None)
    with time_machine.travel(now() + timedelta(hours=1)):
        found = await sessions.open(made.name)
        assert found is not None
        assert 1790 < sessions.seconds_left(found) <= 1800
    await pass_time(database, 31)
    with time_machine.travel(now() - timedelta(hours=1)):
        assert await sessions.open(made.name) is None


async def test_a_step_up_prolongs_nothing(database: Database) -> None:
    sessions = Sessions(database, b"s" * 32, citizen_rules(secure=True))
    first = await sessions.start({}, account=("i", "s"), provider_session=None)
    first = await sessions.change(first, lambda data: data.update(a=1))
    await pass_time(database, 20)
    before = await sessions.open(first.name)
    assert before is not None
    second = await sessions.start({}, account=("i", "s"), provider_session=None, replaces=before)
    assert second.ends_at == before.ends_at
    assert second.data == {"a": 1}
    assert await sessions.open(first.name) is None


async def pass_time(database: Database, minutes: int) -> None:
    """Let so many minutes pass for every session and sign-in."""
    async with database.connection() as connection:
        passed = timedelta(minutes=minutes)
        await connection.execute("UPDATE session SET seen_at = seen_at - $1::interval, ends_at = ends_at - $1", passed)
        await connection.execute("UPDATE sign_in SET until = until - $1::interval", passed)


async def test_two_tabs_lose_nothing(database: Database) -> None:
    sessions = Sessions(database, b"s" * 32, citizen_rules(secure=True))
    one = await sessions.start({}, account=("i", "s"), provider_session=None)
    await sessions.change(one, lambda data: data.update(a=1))
    two = await sessions.change(one, lambda data: data.update(b=2))
    assert two.data == {"a": 1, "b": 2}
    await sessions.end(one)
    await sessions.change(one, lambda data: data.update(c=3))
    assert await sessions.open(one.name) is None, "a change revives nothing"
    three = await sessions.start({}, account=("i", "s"), provider_session=None)
    four = await sessions.start({}, account=("i", "other"), provider_session=None)
    assert await sessions.end_all("i", "s") == 1
    assert await sessions.open(three.name) is None
    assert await sessions.open(four.name) is not None


async def test_cookies_of_domains_differ_and_are_bound_to_the_host_under_tls() -> None:
    names = [
        rules.cookie for secure in (True, False) for rules in (citizen_rules(secure=secure), staff_rules(secure=secure))
    ]
    assert len(set(names)) == 4
    assert all(name.startswith("__Host-") for name in names[:2])


# Sign-out at the provider (OpenID Connect Back-Channel Logout 1.0) ------------------------------------------------


async def test_a_logout_token_names_an_account_a_session_or_both(hostile: Hostile, http: GuardedClient) -> None:
    door = ours(hostile, http)
    both = await door.logged_out(hostile.logout_token(sid="there"))
    assert (both.issuer, both.subject, both.provider_session) == (hostile.issuer, SUBJECT, "there")
    assert SUBJECT not in repr(both)
    assert (await door.logged_out(hostile.logout_token(sub=None, sid="there"))).subject is None
    assert (await door.logged_out(hostile.logout_token(aud=[CLIENT]))).provider_session is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"iss": "https://elsewhere.example/"}, TokenFault.ISSUER),
        ({"aud": "other"}, TokenFault.AUDIENCE),
        ({"aud": [CLIENT, "other"]}, TokenFault.AUDIENCE),
        ({"aud": None}, TokenFault.AUDIENCE),
        ({"exp": 1}, TokenFault.EXPIRED),
        ({"exp": None}, TokenFault.CLAIMS),
        ({"exp": 9_999_999_999}, TokenFault.LIFETIME),
        ({"iat": 9_999_999_999}, TokenFault.NOT_YET),
        ({"iat": None}, TokenFault.CLAIMS),
        ({"nonce": "n"}, TokenFault.CLAIMS),
        ({"nonce": ""}, TokenFault.CLAIMS),
        ({"events": None}, TokenFault.CLAIMS),
        ({"events": {}}, TokenFault.CLAIMS),
        ({"events": {"https://example.org/other": {}}}, TokenFault.CLAIMS),
        ({"events": ["http://schemas.openid.net/event/backchannel-logout"]}, TokenFault.CLAIMS),
        ({"events": {"http://schemas.openid.net/event/backchannel-logout": None}}, TokenFault.CLAIMS),
        ({"jti": None}, TokenFault.CLAIMS),
        ({"sub": None}, TokenFault.CLAIMS),
        ({"sub": ["a"]}, TokenFault.CLAIMS),
        ({"sid": ""}, TokenFault.CLAIMS),
        ({"head": {"typ": "JWT"}}, TokenFault.TYPE),
        ({"head": {"typ": "at+jwt"}}, TokenFault.TYPE),
        ({"head": {"alg": "none"}}, TokenFault.ALGORITHM),
        ({"head": {"kid": "other"}}, TokenFault.UNKNOWN_KEY),
        ({"key": FOREIGN_KEY}, TokenFault.SIGNATURE),
    ],
)
async def test_a_logout_token_that_does_not_hold(
    hostile: Hostile, http: GuardedClient, changes: dict[str, Any], fault: TokenFault
) -> None:
    with pytest.raises(InvalidToken) as refused:
        await ours(hostile, http).logged_out(hostile.logout_token(**changes))
    assert refused.value.fault is fault


async def test_what_a_provider_says_has_ended_has_ended_and_nothing_else(
    database: Database, hostile: Hostile, http: GuardedClient
) -> None:
    door = ours(hostile, http)
    sessions = Sessions(database, b"s" * 32, citizen_rules(secure=True))
    staff = Sessions(database, b"t" * 32, staff_rules(secure=True))
    mine = (hostile.issuer, SUBJECT)
    here = await sessions.start({}, account=mine, provider_session="here")
    there = await sessions.start({}, account=mine, provider_session="there")
    anothers = await sessions.start({}, account=(hostile.issuer, "other"), provider_session="there")
    of_staff = await staff.start({}, account=mine, provider_session="there")

    async def open_now() -> list[bool]:
        asked = ((sessions, here), (sessions, there), (sessions, anothers), (staff, of_staff))
        return [await domain.open(one.name) is not None for domain, one in asked]

    assert await sessions.end_at_word(await door.logged_out(hostile.logout_token(sid="nobody's"))) == 0
    said = await door.logged_out(hostile.logout_token(sid="there"))
    assert await sessions.end_at_word(said) == 1
    assert await open_now() == [True, False, True, True]
    assert await sessions.end_at_word(said) is None, "a word is good once"
    assert await staff.end_at_word(said) is not None, "in each domain"
    again = await sessions.start({}, account=mine, provider_session="there")
    assert await sessions.end_at_word(await door.logged_out(hostile.logout_token(sub=None, sid="here"))) == 1
    assert await open_now() == [False, False, True, False]
    assert await sessions.end_at_word(await door.logged_out(hostile.logout_token())) == 1, "every one of the account"
    assert await sessions.open(again.name) is None
    assert await sessions.open(anothers.name) is not None

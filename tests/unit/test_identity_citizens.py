"""A citizen's token proves who is calling, or nothing. Rows are those of the project's list of OAuth bad inputs."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from broker.identity.citizens import Citizen, CitizenTokens
from broker.identity.jose import base64url
from broker.identity.policy import ForCitizens, require
from broker.identity.refusals import Denial, Forbidden, InvalidToken, KeysUnavailable, TokenFault, challenge
from broker.identity.remembered import Remembered
from contracts.person import IdentityLevel
from tests.support.tokens import (
    AUDIENCE,
    EC,
    ISSUER,
    JWKS,
    OKP,
    OTHER_EC,
    RSA,
    START,
    Clock,
    citizen_claims,
    citizen_token,
    citizen_tokens,
    header,
    issuer,
    published,
    signed,
    verified_claims,
    without,
)

NOW = START.timestamp()


async def fault_of(token: str, tokens: CitizenTokens | None = None) -> TokenFault:
    with pytest.raises(InvalidToken) as refused:
        await (tokens or citizen_tokens(Clock())).verify(token)
    return refused.value.fault


async def citizen_of(token: str) -> Citizen:
    return await citizen_tokens(Clock()).verify(token)


# What a good token says


async def test_a_good_token_names_the_caller() -> None:
    citizen = await citizen_of(citizen_token())
    assert (citizen.issuer, citizen.client_id) == (ISSUER, "front-end")
    assert citizen.subject == "urn:example:subject-of-sian"
    assert citizen.scopes == {"changes:read", "changes:write"}
    assert citizen.level is IdentityLevel.P2
    assert citizen.person is not None
    assert citizen.person.birth_date == date(1987, 3, 1)
    assert [part.value for part in citizen.person.name.name_parts] == ["Siân", "Llŷr-Ŵyn"]


@pytest.mark.parametrize(
    ("algorithm", "key", "key_id"),
    [("ES256", EC, "ec"), ("EdDSA", OKP, "okp"), ("RS256", RSA, "rsa"), ("PS256", RSA, "rsa")],
)
async def test_each_algorithm_on_the_list_is_taken(algorithm: str, key: Any, key_id: str) -> None:
    token = signed(header(alg=algorithm, kid=key_id), citizen_claims(), key, algorithm=algorithm)
    assert (await citizen_of(token)).client_id == "front-end"


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "AT+JWT"])
async def test_the_type_may_be_spelt_as_a_media_type(typ: str) -> None:
    assert await citizen_of(citizen_token(head=header(typ=typ)))


async def test_one_of_several_audiences_is_enough() -> None:
    assert await citizen_of(citizen_token(aud=["https://another.example", AUDIENCE]))


async def test_a_second_inside_the_leeway_is_still_good() -> None:
    assert await citizen_of(citizen_token(exp=NOW - 9.5, iat=NOW - 600))
    assert await citizen_of(citizen_token(iat=NOW + 10, nbf=NOW + 10))


@pytest.mark.parametrize(
    ("vot", "claims", "level"),
    [
        ("P2", verified_claims(), IdentityLevel.P2),
        ("Cl.Cm.P2", verified_claims(), IdentityLevel.P2),
        ("Cl.Cm.P2", None, IdentityLevel.P1),
        ("P2", verified_claims(name=None) | {"claims": {"birthdate": "1987-03-01"}}, IdentityLevel.P1),
        ("P1", verified_claims(), IdentityLevel.P1),
        ("Cl.Cm", verified_claims(), IdentityLevel.P0),
        (None, verified_claims(), IdentityLevel.P0),
        ("P9", verified_claims(), IdentityLevel.P0),
        ("P2.P0", verified_claims(), IdentityLevel.P0),
        ("P3", verified_claims(), IdentityLevel.P2),
        ("P2", verified_claims() | {"verification": {"trust_framework": "uk_tfida"}}, IdentityLevel.P0),
        (
            "P2",
            verified_claims() | {"verification": {"trust_framework": "uk_tfida", "assurance_level": "low"}},
            IdentityLevel.P1,
        ),
    ],
)
async def test_the_level_is_the_lower_of_what_is_said_and_what_is_shown(
    vot: str | None, claims: dict[str, Any] | None, level: IdentityLevel
) -> None:
    assert (await citizen_of(citizen_token(vot=vot, verified_claims=claims))).level is level


async def test_a_name_that_has_ended_is_passed_over() -> None:
    former = {"nameParts": [{"type": "FamilyName", "value": "Prys"}], "validUntil": "2019-05-04"}
    current = {"nameParts": [{"type": "FamilyName", "value": "Rhys", "validFrom": "2019-05-04"}]}
    citizen = await citizen_of(citizen_token(verified_claims=verified_claims(name=[former, current])))
    assert citizen.person is not None
    assert [part.value for part in citizen.person.name.name_parts] == ["Rhys"]


@pytest.mark.parametrize(
    "claims",
    [
        "a text",
        [verified_claims()],
        {"claims": {}},
        verified_claims() | {"verification": {"assurance_level": "medium"}},
        verified_claims() | {"verification": {"trust_framework": "uk_tfida", "assurance_level": ["medium"]}},
        verified_claims(name="Siân Llŷr"),
        verified_claims(name=[]),
        verified_claims(name=[{"nameParts": []}]),
        verified_claims(name=[{"nameParts": [{"type": "Nickname", "value": "Siân"}]}]),
        verified_claims(name=[{"nameParts": [{"type": "GivenName", "value": "Si\u202ean"}]}]),
        verified_claims(name=[{"nameParts": [{"type": "GivenName", "value": "\ud800"}]}]),
        verified_claims(birthdate="1987"),
        verified_claims(birthdate="19870301"),
        verified_claims(birthdate="1987-02-30"),
        verified_claims(birthdate="2026-03-03"),
        verified_claims(birthdate=19870301),
    ],
)
async def test_verified_claims_that_cannot_be_read_prove_nothing(claims: Any) -> None:
    assert await fault_of(citizen_token(verified_claims=claims)) is TokenFault.PERSON


# What a bad one does: rows 1 to 11


@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "nOnE", "", None, 0, ["ES256"]])
async def test_row_01_no_algorithm(spelling: Any) -> None:
    unsigned = signed(header(alg=spelling), citizen_claims(), EC).rpartition(".")[0] + "."
    assert await fault_of(unsigned) is TokenFault.ALGORITHM


async def test_row_02_hmac_with_the_public_key() -> None:
    for secret in (EC.as_pem(private=False), json.dumps(published(EC, "ec")).encode()):
        head = base64url(json.dumps(header(alg="HS256")).encode())
        text = f"{head}.{base64url(json.dumps(citizen_claims()).encode())}"
        mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
        assert await fault_of(f"{text}.{base64url(mac)}") is TokenFault.ALGORITHM


async def test_row_03_another_key_under_the_same_name() -> None:
    assert await fault_of(citizen_token(key=OTHER_EC)) is TokenFault.SIGNATURE


async def test_row_03_a_good_key_under_an_algorithm_that_is_not_its_own() -> None:
    token = signed(header(alg="RS256", kid="ec"), citizen_claims(), RSA, algorithm="RS256")
    assert await fault_of(token) is TokenFault.UNKNOWN_KEY


@pytest.mark.parametrize(
    "value", [ISSUER.rstrip("/"), ISSUER + "/", ISSUER.upper(), "https://evil.example/", [ISSUER], 1]
)
async def test_row_04_another_issuer(value: Any) -> None:
    assert await fault_of(citizen_token(iss=value)) is TokenFault.ISSUER


@pytest.mark.parametrize(
    "value",
    [
        "",
        [],
        AUDIENCE + "/",
        AUDIENCE + ".evil.example",
        AUDIENCE[:-1],
        [AUDIENCE + "x"],
        [AUDIENCE, 1],
        {AUDIENCE: 1},
        1,
    ],
)
async def test_row_05_another_audience(value: Any) -> None:
    assert await fault_of(citizen_token(aud=value)) is TokenFault.AUDIENCE


@pytest.mark.parametrize("expires", [NOW - 10, NOW - 10.5, NOW - 3600, 0])
async def test_row_06_expired(expires: float) -> None:
    assert await fault_of(citizen_token(exp=expires, iat=0)) is TokenFault.EXPIRED


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "raw",
    ['"1800000000"', "true", "1e400", "-1", "-1e400", "null", "[1800000000]", "{}", "1" + "0" * 300, "253402300800"],
)
async def test_row_06_a_time_that_is_no_number(name: str, raw: str) -> None:
    payload = json.dumps(citizen_claims() | {name: "@"}).replace('"@"', raw).encode()
    assert await fault_of(signed(header(), payload, EC)) is TokenFault.CLAIMS


@pytest.mark.parametrize("raw", ["NaN", "Infinity", "-Infinity"])
async def test_row_06_a_time_that_is_not_json(raw: str) -> None:
    payload = json.dumps(citizen_claims(exp="@")).replace('"@"', raw).encode()
    assert await fault_of(signed(header(), payload, EC)) is TokenFault.MALFORMED


@pytest.mark.parametrize("name", ["nbf", "iat"])
async def test_row_07_not_valid_yet(name: str) -> None:
    ahead: dict[str, Any] = {name: NOW + 10.5}
    assert await fault_of(citizen_token(**ahead)) is TokenFault.NOT_YET


@pytest.mark.parametrize("typ", ["JWT", "jwt", "id_token+jwt", "logout+jwt", "at+jwt ", "", None, 7, ["at+jwt"]])
async def test_row_08_an_id_token_or_no_type(typ: Any) -> None:
    assert await fault_of(citizen_token(head=header(typ=typ))) is TokenFault.TYPE


@pytest.mark.parametrize(
    "key_id",
    [
        "",
        "../../../dev/null",
        "ec' OR '1'='1",
        "ec\x00",
        "ec\n",
        "ec\r\nSet-Cookie: a=b",
        "%65c",
        "é",
        "e" * 129,
        1,
        ["ec"],
        {},
    ],
)
async def test_row_09_injection_in_the_key_id(key_id: Any) -> None:
    source = issuer()
    tokens = citizen_tokens(Clock(), source)
    assert await fault_of(citizen_token(head=header(kid=key_id)), tokens) is TokenFault.KEY_ID
    assert source.fetched == []


async def test_row_09_no_key_id() -> None:
    assert await fault_of(citizen_token(head=header(kid=None))) is TokenFault.KEY_ID


async def test_row_09_a_flood_of_unknown_key_ids_fetches_once_in_each_cooldown() -> None:
    source, clock = issuer(), Clock()
    tokens = citizen_tokens(clock, source)
    await tokens.verify(citizen_token())
    clock.forward(seconds=10)
    source.fetched.clear()
    flood = (tokens.verify(citizen_token(head=header(kid=f"unknown-{number}"))) for number in range(300))
    results = await asyncio.gather(*flood, return_exceptions=True)
    assert {str(result) for result in results} == {TokenFault.UNKNOWN_KEY.value}
    assert source.fetched == [JWKS]
    assert await tokens.verify(citizen_token())


@pytest.mark.parametrize(
    "more",
    [
        {"jku": JWKS},
        {"jwk": published(EC, "ec")},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": ["MIIB"]},
        {"jku": None},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"b64": True},
        {"enc": "A256GCM"},
        {"made-up": 1},
    ],
)
async def test_row_10_a_header_that_brings_a_key_even_beside_a_good_one(more: dict[str, Any]) -> None:
    assert await fault_of(signed(header() | more, citizen_claims(), EC)) is TokenFault.HEADER


@pytest.mark.parametrize("critical", [["made-up"], ["exp"], ["b64"], [], "exp"])
async def test_row_11_critical_headers(critical: Any) -> None:
    assert await fault_of(signed(header() | {"crit": critical, "exp": 1}, citizen_claims(), EC)) is TokenFault.HEADER


async def test_row_11_oversized() -> None:
    assert await fault_of(citizen_token(padding="x" * 8192)) is TokenFault.OVERSIZED
    assert await citizen_of(citizen_token(padding="x" * 5000))


async def test_row_11_stripped_signature() -> None:
    token = citizen_token()
    text = token.rpartition(".")[0]
    assert await fault_of(text + ".") is TokenFault.SIGNATURE
    assert await fault_of(text) is TokenFault.MALFORMED
    assert await fault_of(text.partition(".")[0]) is TokenFault.MALFORMED
    assert await fault_of(f"{text}.{base64url(bytes(64))}") is TokenFault.SIGNATURE
    assert await fault_of(f"{text}.{base64url(bytes(63))}") is TokenFault.SIGNATURE


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a.b.c.d", "é.é.é", "\ud800", "\x00", " " * 100, "e30.e30.e30=", "e30.e30.e3 0"],
)
async def test_row_11_what_is_no_token_at_all(token: str) -> None:
    assert await fault_of(token) in {TokenFault.MALFORMED, TokenFault.ALGORITHM}


async def test_a_second_spelling_of_the_same_bytes_is_another_token() -> None:
    token = citizen_token()  # the last character of 64 bytes in base64url carries four spare bits
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = token[:-1] + alphabet[alphabet.index(token[-1]) + 1]
    assert await fault_of(twin) is TokenFault.MALFORMED
    assert await fault_of(token + "==") is TokenFault.MALFORMED


async def test_a_repeated_claim_is_refused() -> None:
    payload = json.dumps(citizen_claims()).encode()
    twice = payload[:-1] + b', "sub": "somebody-else"}'
    assert await fault_of(signed(header(), twice, EC)) is TokenFault.MALFORMED


@pytest.mark.parametrize(
    "payload",
    [b"[]", b"null", b"{", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"\xff", b'{"a":' + b"[" * 5000, b"1" * 6000],
)
async def test_a_payload_that_is_no_json_object(payload: bytes) -> None:
    assert await fault_of(signed(header(), payload, EC)) is TokenFault.MALFORMED


@pytest.mark.parametrize("name", ["sub", "client_id", "iat", "jti", "exp"])
async def test_each_required_claim_is_required(name: str) -> None:
    assert await fault_of(signed(header(), without(citizen_claims(), [name]), EC)) is TokenFault.CLAIMS


@pytest.mark.parametrize("name", ["iss", "aud"])
async def test_issuer_and_audience_are_required(name: str) -> None:
    fault = await fault_of(signed(header(), without(citizen_claims(), [name]), EC))
    assert fault in {TokenFault.ISSUER, TokenFault.AUDIENCE}


@pytest.mark.parametrize("name", ["sub", "client_id", "jti"])
@pytest.mark.parametrize("value", ["", " ", "a b", "a\nb", "é", "\ud800", "x" * 256, 7, True, ["a"], {}])
async def test_identifiers_are_printable_text(name: str, value: Any) -> None:
    assert await fault_of(citizen_token(**{name: value})) is TokenFault.CLAIMS


@pytest.mark.parametrize(
    "value", [["changes:read"], 7, "a  b", " a", 'a"b', "a\\b", " ".join("abc" for _ in range(65))]
)
async def test_scopes_are_a_list_of_scope_tokens(value: Any) -> None:
    assert await fault_of(citizen_token(scope=value)) is TokenFault.CLAIMS


# Row 12


async def test_row_12_without_the_scope_it_is_forbidden() -> None:
    citizen = await citizen_of(citizen_token(scope="changes:read"))
    with pytest.raises(Forbidden) as refused:
        require(ForCitizens("changes:write"), citizen)
    assert refused.value.denial is Denial.SCOPE
    assert 'error="insufficient_scope"' in challenge(refused.value)
    assert 'scope="changes:write"' in challenge(refused.value)
    assert (await citizen_of(citizen_token(scope=None))).scopes == frozenset()


# What stays in memory, and what never shows


async def test_a_token_is_verified_once_a_minute_and_never_beyond_its_end() -> None:
    source, clock = issuer(), Clock()
    tokens = citizen_tokens(clock, source)
    long, short = citizen_token(), citizen_token(exp=NOW + 30)
    first = await tokens.verify(long)
    await tokens.verify(short)
    source.publish()  # the issuer withdraws its keys
    source.fetched.clear()
    clock.forward(seconds=29)
    assert await tokens.verify(long) is first
    assert await tokens.verify(short)
    clock.forward(seconds=15)  # the short one has been over for 14 seconds
    assert await fault_of(short, tokens) is TokenFault.EXPIRED
    clock.forward(minutes=10)
    assert await fault_of(long, tokens) is TokenFault.UNKNOWN_KEY


async def test_a_withdrawn_key_is_believed_for_a_minute_at_most() -> None:
    source, clock = issuer(), Clock()
    tokens = citizen_tokens(clock, source)
    token = citizen_token(exp=NOW + 6000)
    await tokens.verify(token)
    clock.forward(minutes=9, seconds=59)
    await tokens.verify(token)  # remembered until a minute from now, beyond the keys' ten minutes
    source.publish()
    clock.forward(seconds=59)
    assert await tokens.verify(token)
    clock.forward(seconds=1)
    assert await fault_of(token, tokens) is TokenFault.UNKNOWN_KEY


def test_the_memory_is_bounded_and_forgets_the_longest_unused() -> None:
    remembered: Remembered[str] = Remembered(size=3)
    later = Clock()
    later.forward(hours=1)
    for name in ("a", "b", "c"):
        remembered.remember(name, name, expires=later.now, now=START)
    assert remembered.recall("a", START) == "a"
    remembered.remember("d", "d", expires=later.now, now=START)
    assert len(remembered) == 3
    assert [remembered.recall(name, START) for name in "abcd"] == ["a", None, "c", "d"]
    remembered.remember("e", "e", expires=START, now=START)
    assert remembered.recall("e", START) is None


def test_whom_nobody_asks_for_again_does_not_stay() -> None:
    remembered: Remembered[str] = Remembered()
    later = Clock()
    later.forward(minutes=1)
    for name in ("a", "b", "c"):
        remembered.remember(name, name, expires=later.now, now=START)
    later.forward(hours=1)
    remembered.remember("d", "d", expires=later.now, now=START)
    assert len(remembered) == 4
    remembered.remember("e", "e", expires=later.now, now=START.replace(minute=1))
    assert len(remembered) == 1


async def test_no_keys_is_not_the_token_s_fault() -> None:
    source = issuer()
    source.documents.clear()
    with pytest.raises(KeysUnavailable):
        await citizen_tokens(Clock(), source).verify(citizen_token())


async def test_nothing_personal_and_nothing_of_the_token_shows() -> None:
    citizen = await citizen_of(citizen_token())
    for secret in ("Siân", "Llŷr", "1987", "subject-of"):
        assert secret not in repr(citizen)
        assert secret not in repr(citizen.person)
    with pytest.raises(InvalidToken) as refused:
        await citizen_of(citizen_token(verified_claims=verified_claims(birthdate="canary-1987")))
    assert str(refused.value) == TokenFault.PERSON.value
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_the_challenge_follows_rfc_6750() -> None:
    assert challenge(InvalidToken(TokenFault.MISSING)) == "Bearer"
    for fault in set(TokenFault) - {TokenFault.MISSING}:
        said = challenge(InvalidToken(fault))
        assert said == f'Bearer error="invalid_token", error_description="{fault.value}"'
        assert said.isascii()
        assert said.count('"') == 4


# Whatever is changed, nothing is proven and nothing else goes wrong


@pytest.fixture(scope="module")
def verify() -> Iterator[Any]:
    tokens = citizen_tokens(Clock())
    with asyncio.Runner() as runner:

        def verify(token: str) -> Citizen | None:
            try:
                return runner.run(tokens.verify(token))
            except InvalidToken:
                return None

        yield verify


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
GOOD = [
    signed(header(alg=algorithm, kid=key_id), citizen_claims(), key, algorithm=algorithm)
    for algorithm, key, key_id in (("ES256", EC, "ec"), ("EdDSA", OKP, "okp"), ("PS256", RSA, "rsa"))
]


def sign(head: Any, claims: Any) -> str:
    return signed(head, claims, OKP, algorithm="EdDSA")


@given(token=st.sampled_from(GOOD), at=st.floats(0, 1), cut=st.integers(0, 4), put=st.text(max_size=4))
@settings(max_examples=400, deadline=None)
def test_no_change_of_its_characters_verifies(verify: Any, token: str, at: float, cut: int, put: str) -> None:
    place = int(at * len(token))
    changed = token[:place] + put + token[place + cut :]
    assume(changed != token)
    assert verify(changed) is None


@given(
    one=st.sampled_from(GOOD), other=st.sampled_from(GOOD), name=st.sampled_from(sorted(citizen_claims())), value=JSON
)
@settings(max_examples=200, deadline=None)
def test_no_other_claims_fit_under_a_signature(verify: Any, one: str, other: str, name: str, value: Any) -> None:
    head, _, signature = one.split(".")
    payload = base64url(json.dumps(citizen_claims() | {name: value}).encode())
    assert verify(f"{head}.{payload}.{signature}") is None or citizen_claims().get(name) == value
    assert one == other or verify(f"{head}.{other.split('.')[1]}.{other.split('.')[2]}") is None


@given(name=st.sampled_from(["iss", "aud", "exp", "iat", "nbf"]), value=JSON)
@settings(max_examples=200, deadline=None)
def test_no_other_issuer_audience_or_time_verifies_even_when_signed(verify: Any, name: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    assume(not (number and name in {"iat", "nbf"}))  # a number there may be a time in the past
    assume(not (number and value > NOW - 10))
    assert verify(sign(header(alg="EdDSA", kid="okp"), citizen_claims() | {name: value})) is None


@given(changes=st.dictionaries(st.sampled_from([*citizen_claims(), "nbf", "other"]), JSON, max_size=3))
@settings(max_examples=300, deadline=None)
def test_whatever_is_signed_is_either_read_or_refused(verify: Any, changes: dict[str, Any]) -> None:
    citizen = verify(sign(header(alg="EdDSA", kid="okp"), citizen_claims() | changes))
    assert citizen is None or citizen.issuer == ISSUER


@given(
    name=st.sampled_from(["alg", "typ", "kid", "jku", "jwk", "crit", "x5c"]) | st.text(max_size=6),
    value=JSON,
)
@settings(max_examples=300, deadline=None)
def test_no_other_header_verifies_even_when_signed(verify: Any, name: str, value: Any) -> None:
    good = header(alg="EdDSA", kid="okp")
    assume(name not in {"x5t", "x5t#S256"})
    assume(name not in good or good[name] != value)
    assert verify(sign(good | {name: value}, citizen_claims())) is None


@given(head=JSON, payload=JSON | st.binary(max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_other_token_verifies(verify: Any, head: Any, payload: Any) -> None:
    assert verify(sign(head, payload)) is None
    assert verify(sign(header(alg="EdDSA", kid="okp"), payload)) is None

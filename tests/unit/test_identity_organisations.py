"""Organisations: a token for a signed assertion, once per assertion, and never mixed up with a citizen's."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet

from broker.identity.organisations import CallingOrganisation, OrganisationTokens, signing_key_from_jwk
from broker.identity.policy import check_apart, require_own
from broker.identity.refusals import Absent, InvalidToken, TokenFault
from broker.identity.token_endpoint import (
    ASSERTION_TYPE,
    HEADERS,
    Issued,
    NotIssued,
    OAuthError,
    TokenEndpoint,
)
from broker.store import StoreUnavailable
from broker.store.register import Client
from tests.support.tokens import (
    AUDIENCE,
    EC,
    ISSUER,
    OKP,
    OTHER_EC,
    OUR_AUDIENCE,
    OUR_ISSUER,
    RSA,
    START,
    Clock,
    Issuer,
    citizen_token,
    citizen_tokens,
    header,
    published,
    signed,
)

URL = "https://unwaith.example/oauth/token"
NOW = int(START.timestamp())
SIGNING = ECKey.generate_key("P-256")
CARDIFF = Client(
    organisation="cardiff-council",
    client_id="cardiff",
    jwks={"keys": [published(EC, "c1"), published(OKP, "c2"), published(RSA, "c3")]},
    scopes=frozenset({"deliveries:read", "receipts:write"}),
)
SWANSEA = Client(
    organisation="swansea-council",
    client_id="swansea",
    jwks={"keys": [published(OTHER_EC, "s1")]},
    scopes=frozenset({"receipts:write", "changes:write"}),
)
CALLER = CallingOrganisation("cardiff-council", "cardiff", frozenset({"receipts:write"}))


class Register:
    """The clients and the used `jti`s, as the store keeps them."""

    def __init__(self) -> None:
        self.clients = {client.client_id: client for client in (CARDIFF, SWANSEA)}
        self.used: dict[tuple[str, bytes], datetime] = {}
        self.down = False

    async def find(self, client_id: str) -> Client | None:
        return self.clients.get(client_id)

    async def remember(self, client_id: str, jti: bytes, until: datetime) -> bool:
        if self.down:
            raise StoreUnavailable
        return self.used.setdefault((client_id, jti), until) is until


class Exchange:
    """Our side, wired as it is in production, on a clock that a test moves."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.register = Register()
        self.tokens = OrganisationTokens(
            issuer=OUR_ISSUER, audience=OUR_AUDIENCE, signing_keys=[SIGNING], clock=self.clock
        )
        self.endpoint = TokenEndpoint(
            url=URL,
            tokens=self.tokens,
            find_client=self.register.find,
            remember_assertion=self.register.remember,
            clock=self.clock,
        )

    async def ask(self, text: str, **fields: str) -> Issued | NotIssued:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": text,
        } | fields
        return await self.endpoint.answer(form.items())


def assertion_claims(**changes: Any) -> dict[str, Any]:
    claims = {"iss": "cardiff", "sub": "cardiff", "aud": URL, "jti": "once", "iat": NOW, "exp": NOW + 300} | changes
    return {name: value for name, value in claims.items() if value is not None}


def assertion(*, head: dict[str, Any] | None = None, key: Any = EC, algorithm: str = "ES256", **changes: Any) -> str:
    good = {"alg": algorithm, "kid": {"ES256": "c1", "EdDSA": "c2"}.get(algorithm, "c3")}
    return signed(good if head is None else head, assertion_claims(**changes), key, algorithm=algorithm)


def refused(answer: Issued | NotIssued) -> OAuthError:
    assert isinstance(answer, NotIssued)
    return answer.error


def issued(answer: Issued | NotIssued) -> Issued:
    assert isinstance(answer, Issued), answer
    return answer


# A token for an assertion


async def test_a_signed_assertion_gets_a_token_that_names_the_organisation() -> None:
    ours = Exchange()
    answer = issued(await ours.ask(assertion(), scope="receipts:write"))
    assert answer.status is HTTPStatus.OK
    body = answer.body()
    token = body.pop("access_token")
    assert body == {"token_type": "Bearer", "expires_in": 300, "scope": "receipts:write"}
    assert ours.tokens.verify(token) == CALLER
    assert token not in repr(answer)
    assert HEADERS["Cache-Control"] == "no-store"


async def test_the_token_is_an_rfc_9068_token_that_others_can_verify() -> None:
    ours = Exchange()
    token = issued(await ours.ask(assertion())).body()["access_token"]
    jwks: Any = ours.tokens.jwks()
    read = jwt.decode(token, KeySet.import_key_set(jwks), algorithms=["ES256"])
    assert read.header == {"alg": "ES256", "typ": "at+jwt", "kid": SIGNING.thumbprint()}
    jti = read.claims.pop("jti")
    assert len(jti) >= 22  # 128 bits
    assert read.claims == {
        "iss": OUR_ISSUER,
        "sub": "cardiff",
        "aud": OUR_AUDIENCE,
        "iat": NOW,
        "exp": NOW + 300,
        "client_id": "cardiff",
        "scope": "deliveries:read receipts:write",
        "organisation": "cardiff-council",
    }


@pytest.mark.parametrize(("algorithm", "key"), [("ES256", EC), ("EdDSA", OKP), ("RS256", RSA), ("PS256", RSA)])
async def test_each_algorithm_on_the_list_is_taken(algorithm: str, key: Any) -> None:
    assert issued(await Exchange().ask(assertion(algorithm=algorithm, key=key)))


@pytest.mark.parametrize(
    "more", [{"typ": "JWT"}, {"typ": "client-authentication+jwt"}, {"kid": None}], ids=["JWT", "own type", "no kid"]
)
async def test_an_assertion_may_name_its_type_and_need_not_name_its_key(more: dict[str, Any]) -> None:
    head = {name: value for name, value in ({"alg": "ES256", "kid": "c1"} | more).items() if value}
    assert issued(await Exchange().ask(assertion(head=head)))


@pytest.mark.parametrize("audience", [URL, OUR_ISSUER, [URL]])
async def test_the_audience_is_the_endpoint_or_the_issuer(audience: Any) -> None:
    assert issued(await Exchange().ask(assertion(aud=audience)))


async def test_joserfc_s_own_assertion_is_taken() -> None:
    token = jwt.encode({"alg": "ES256", "kid": "c1"}, assertion_claims(), EC, algorithms=["ES256"])
    assert issued(await Exchange().ask(token))


# Assertions that prove nothing


async def test_row_24_a_reused_jti_is_refused_for_as_long_as_the_assertion_could_be_used() -> None:
    ours = Exchange()
    text = assertion()
    assert issued(await ours.ask(text))
    assert refused(await ours.ask(text)) is OAuthError.INVALID_CLIENT
    assert refused(await ours.ask(assertion(exp=NOW + 200))) is OAuthError.INVALID_CLIENT
    assert ours.register.used == {
        ("cardiff", hashlib.sha256(b"once").digest()): datetime.fromtimestamp(NOW + 310, START.tzinfo)
    }
    assert issued(await ours.ask(assertion(jti="twice")))
    swansea = signed(
        {"alg": "ES256", "kid": "s1"}, assertion_claims(iss="swansea", sub="swansea", jti="once"), OTHER_EC
    )
    assert issued(await ours.ask(swansea))  # one client cannot use up another's names


async def test_row_24_the_same_assertion_many_times_at_once_gets_one_token() -> None:
    ours = Exchange()
    answers = await asyncio.gather(*(ours.ask(assertion()) for _ in range(20)))
    assert sum(isinstance(answer, Issued) for answer in answers) == 1


@pytest.mark.parametrize("expires", [NOW + 311, NOW + 3600, 253402300799])
async def test_row_24_an_over_long_exp_is_refused(expires: int) -> None:
    ours = Exchange()
    assert refused(await ours.ask(assertion(exp=expires))) is OAuthError.INVALID_CLIENT
    assert ours.register.used == {}


async def test_an_assertion_whose_jti_cannot_be_remembered_gets_nothing() -> None:
    ours = Exchange()
    ours.register.down = True
    with pytest.raises(StoreUnavailable):
        await ours.ask(assertion())


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "swansea"},
        {"iss": None},
        {"sub": None},
        {"sub": "swansea"},
        {"sub": "nobody", "iss": "nobody"},
        {"sub": "", "iss": ""},
        {"sub": ["cardiff"]},
        {"aud": None},
        {"aud": ""},
        {"aud": []},
        {"aud": [URL, "https://another.example/token"]},
        {"aud": URL + "/"},
        {"aud": OUR_ISSUER + "/"},
        {"aud": OUR_AUDIENCE},
        {"aud": [[URL]]},
        {"exp": None},
        {"exp": NOW - 10},
        {"exp": str(NOW + 60)},
        {"exp": True},
        {"iat": NOW + 11},
        {"nbf": NOW + 11},
        {"iat": "now"},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 256},
        {"jti": "a\nb"},
    ],
)
async def test_an_assertion_with_wrong_claims_is_refused_and_uses_up_nothing(changes: dict[str, Any]) -> None:
    ours = Exchange()
    answer = await ours.ask(assertion(**changes))
    assert refused(answer) is OAuthError.INVALID_CLIENT
    assert answer.status is HTTPStatus.UNAUTHORIZED
    assert ours.register.used == {}


@pytest.mark.parametrize(
    "head",
    [
        {"alg": "none", "kid": "c1"},
        {"alg": "HS256", "kid": "c1"},
        {"alg": "ES256", "kid": "c2"},
        {"alg": "ES256", "kid": "unknown"},
        {"alg": "ES256", "kid": "../c1"},
        {"alg": "ES256", "kid": "c1", "typ": "at+jwt"},
        {"alg": "ES256", "kid": "c1", "typ": ""},
        {"alg": "ES256", "kid": "c1", "jwk": published(EC, "c1")},
        {"alg": "ES256", "kid": "c1", "jku": "https://evil.example/jwks"},
        {"alg": "ES256", "kid": "c1", "x5c": []},
        {"alg": "ES256", "kid": "c1", "crit": ["exp"]},
    ],
)
async def test_an_assertion_with_a_wrong_header_is_refused(head: dict[str, Any]) -> None:
    assert refused(await Exchange().ask(assertion(head=head))) is OAuthError.INVALID_CLIENT


async def test_row_13_an_organisation_cannot_sign_for_another() -> None:
    ours = Exchange()
    for head in ({"alg": "ES256", "kid": "c1"}, {"alg": "ES256", "kid": "s1"}, {"alg": "ES256"}):
        assert refused(await ours.ask(assertion(head=head, key=OTHER_EC))) is OAuthError.INVALID_CLIENT
    assert refused(await ours.ask(assertion(), client_id="swansea")) is OAuthError.INVALID_CLIENT


async def test_an_unknown_client_looks_like_a_wrong_key() -> None:
    unknown = await Exchange().ask(assertion(iss="nobody", sub="nobody"))
    wrong_key = await Exchange().ask(assertion(key=OTHER_EC))
    assert unknown == wrong_key


async def test_a_register_that_answers_with_another_client_gets_nothing() -> None:
    ours = Exchange()
    ours.register.clients["cardiff"] = SWANSEA
    text = signed({"alg": "ES256", "kid": "s1"}, assertion_claims(), OTHER_EC)
    assert refused(await ours.ask(text)) is OAuthError.INVALID_CLIENT


async def test_a_client_without_readable_keys_gets_nothing() -> None:
    ours = Exchange()
    ours.register.clients["cardiff"] = Client("cardiff", "cardiff-council", {}, CARDIFF.scopes)
    assert refused(await ours.ask(assertion())) is OAuthError.INVALID_CLIENT


# Requests that are wrong (RFC 6749, section 5.2)


@pytest.mark.parametrize(
    ("fields", "error", "status"),
    [
        ({"grant_type": ""}, OAuthError.INVALID_REQUEST, 400),
        ({"grant_type": "authorization_code"}, OAuthError.UNSUPPORTED_GRANT_TYPE, 400),
        ({"client_secret": "s"}, OAuthError.INVALID_REQUEST, 400),
        ({"client_assertion_type": "x"}, OAuthError.INVALID_CLIENT, 401),
        ({"client_assertion": ""}, OAuthError.INVALID_CLIENT, 401),
        ({"client_assertion": "a.b.c"}, OAuthError.INVALID_CLIENT, 401),
        ({"client_assertion": "\ud800" * 9000}, OAuthError.INVALID_CLIENT, 401),
        ({"scope": "subscriptions:write"}, OAuthError.INVALID_SCOPE, 400),
        ({"scope": "receipts:write subscriptions:write"}, OAuthError.INVALID_SCOPE, 400),
        ({"scope": "changes:write"}, OAuthError.INVALID_SCOPE, 400),
        ({"scope": " "}, OAuthError.INVALID_SCOPE, 400),
        ({"scope": "receipts:write  deliveries:read"}, OAuthError.INVALID_SCOPE, 400),
        ({"scope": 'canary"\\'}, OAuthError.INVALID_SCOPE, 400),
    ],
)
async def test_each_wrong_request_has_its_error(fields: dict[str, str], error: OAuthError, status: int) -> None:
    answer = await Exchange().ask(**{"text": assertion()} | fields)
    assert refused(answer) is error
    assert answer.status == status
    assert answer.body()["error"] == error.value
    assert set(answer.body()) == {"error", "error_description"}
    said = answer.body()["error_description"]
    assert said.isascii()
    assert not set(said) & set('"\\\n')
    assert "canary" not in said


async def test_a_repeated_parameter_is_refused() -> None:
    form = [("grant_type", "client_credentials"), ("scope", "a"), ("scope", "a")]
    assert refused(await Exchange().endpoint.answer(form)) is OAuthError.INVALID_REQUEST


async def test_a_citizen_s_scope_is_never_given_even_if_the_register_says_so() -> None:
    text = signed({"alg": "ES256", "kid": "s1"}, assertion_claims(iss="swansea", sub="swansea"), OTHER_EC)
    assert issued(await Exchange().ask(text)).caller.scopes == {"receipts:write"}
    text = signed({"alg": "ES256", "kid": "s1"}, assertion_claims(iss="swansea", sub="swansea"), OTHER_EC)
    assert refused(await Exchange().ask(text, scope="changes:write")) is OAuthError.INVALID_SCOPE


def test_the_metadata_follows_rfc_8414() -> None:
    said = Exchange().endpoint.metadata("https://unwaith.example/.well-known/jwks.json")
    assert (said["issuer"], said["token_endpoint"]) == (OUR_ISSUER, URL)
    assert said["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert "none" not in said["token_endpoint_auth_signing_alg_values_supported"]
    assert json.dumps(said)


# Our own tokens, verified


def our_claims(**changes: Any) -> dict[str, Any]:
    claims = {
        "iss": OUR_ISSUER,
        "sub": "cardiff",
        "aud": OUR_AUDIENCE,
        "iat": NOW,
        "exp": NOW + 300,
        "jti": "a-token-of-its-own",
        "client_id": "cardiff",
        "scope": "receipts:write",
        "organisation": "cardiff-council",
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def our_token(*, head: dict[str, Any] | None = None, key: Any = SIGNING, **changes: Any) -> str:
    return signed(head or header(kid=SIGNING.thumbprint()), our_claims(**changes), key)


def fault_of(token: str, ours: Exchange | None = None) -> TokenFault:
    with pytest.raises(InvalidToken) as wrong:
        (ours or Exchange()).tokens.verify(token)
    return wrong.value.fault


def test_a_token_of_ours_verifies_until_it_ends() -> None:
    ours = Exchange()
    token = ours.tokens.issue(CALLER)
    assert ours.tokens.verify(token) == CALLER
    ours.clock.forward(seconds=309)
    assert ours.tokens.verify(token) == CALLER
    ours.clock.forward(seconds=1)
    assert fault_of(token, ours) is TokenFault.EXPIRED


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"iss": OUR_ISSUER + "/"}, TokenFault.ISSUER),
        ({"aud": OUR_AUDIENCE + "/"}, TokenFault.AUDIENCE),
        ({"aud": []}, TokenFault.AUDIENCE),
        ({"exp": NOW - 10}, TokenFault.EXPIRED),
        ({"exp": "1"}, TokenFault.CLAIMS),
        ({"exp": NOW + 301}, TokenFault.LIFETIME),
        ({"iat": NOW + 11}, TokenFault.NOT_YET),
        ({"iat": None}, TokenFault.CLAIMS),
        ({"jti": None}, TokenFault.CLAIMS),
        ({"sub": "swansea"}, TokenFault.CLAIMS),
        ({"organisation": None}, TokenFault.CLAIMS),
        ({"organisation": ["cardiff-council"]}, TokenFault.CLAIMS),
        ({"scope": "receipts:write changes:write"}, TokenFault.CLAIMS),
    ],
)
def test_a_token_of_ours_with_wrong_claims_is_refused(changes: dict[str, Any], fault: TokenFault) -> None:
    assert fault_of(our_token(**changes)) is fault


@pytest.mark.parametrize(
    ("head", "key", "fault"),
    [
        ({"alg": "none"}, SIGNING, TokenFault.ALGORITHM),
        ({"alg": "RS256"}, SIGNING, TokenFault.ALGORITHM),
        ({"typ": "JWT"}, SIGNING, TokenFault.TYPE),
        ({"typ": None}, SIGNING, TokenFault.TYPE),
        ({"kid": None}, SIGNING, TokenFault.KEY_ID),
        ({"kid": "ec"}, SIGNING, TokenFault.UNKNOWN_KEY),
        ({}, EC, TokenFault.SIGNATURE),
        ({"jwk": published(SIGNING, "k")}, SIGNING, TokenFault.HEADER),
    ],
)
def test_a_token_with_a_wrong_header_or_key_is_refused(head: dict[str, Any], key: Any, fault: TokenFault) -> None:
    assert fault_of(our_token(head=header(**{"kid": SIGNING.thumbprint()} | head), key=key)) is fault


def test_keys_rotate_without_a_gap() -> None:
    new = ECKey.generate_key("P-256")
    clock = Clock()

    def tokens(*keys: ECKey) -> OrganisationTokens:
        return OrganisationTokens(issuer=OUR_ISSUER, audience=OUR_AUDIENCE, signing_keys=keys, clock=clock)

    old_token, new_token = tokens(SIGNING).issue(CALLER), tokens(new, SIGNING).issue(CALLER)
    for both in (tokens(SIGNING, new), tokens(new, SIGNING)):
        assert both.verify(old_token) == both.verify(new_token) == CALLER
        assert len(both.jwks()["keys"]) == 2
    assert jws.extract_compact(new_token.encode()).headers()["kid"] == new.thumbprint()
    with pytest.raises(InvalidToken):
        tokens(new).verify(old_token)


def test_the_published_keys_are_public_and_named_by_their_thumbprint() -> None:
    [key] = Exchange().tokens.jwks()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert key["kid"] == SIGNING.thumbprint()
    assert (key["use"], key["alg"]) == ("sig", "ES256")


@pytest.mark.parametrize(
    "keys", [[], [ECKey.generate_key("P-384")], [SIGNING, ECKey.generate_key("P-256", private=False)]]
)
def test_only_private_p_256_keys_sign(keys: list[ECKey]) -> None:
    with pytest.raises(ValueError, match="P-256"):
        OrganisationTokens(issuer=OUR_ISSUER, audience=OUR_AUDIENCE, signing_keys=keys, clock=Clock())


def test_a_signing_key_is_read_from_its_jwk_and_never_shown() -> None:
    assert signing_key_from_jwk(json.dumps(SIGNING.as_dict(private=True))).thumbprint() == SIGNING.thumbprint()
    for wrong in (
        "canary",
        "{}",
        json.dumps(published(EC, "k")),
        json.dumps({"kty": "EC", "crv": "P-256", "d": "canary"}),
    ):
        with pytest.raises(ValueError, match="signing key") as refusal:
            signing_key_from_jwk(wrong)
        assert "canary" not in str(refusal.value)


# Trust domains


async def test_a_citizen_s_token_is_no_organisation_s_and_the_other_way_round() -> None:
    ours = Exchange()
    assert fault_of(citizen_token(), ours) is TokenFault.UNKNOWN_KEY
    with pytest.raises(InvalidToken):
        await citizen_tokens(ours.clock).verify(ours.tokens.issue(CALLER))


async def test_a_shared_key_would_still_not_mix_the_domains() -> None:
    ours = Exchange()
    ours.tokens = OrganisationTokens(issuer=OUR_ISSUER, audience=OUR_AUDIENCE, signing_keys=[EC], clock=ours.clock)
    kid = EC.thumbprint()
    citizens = citizen_tokens(ours.clock, Issuer(published(EC, kid)))
    assert fault_of(citizen_token(head=header(kid=kid)), ours) is TokenFault.ISSUER
    with pytest.raises(InvalidToken) as wrong:
        await citizens.verify(ours.tokens.issue(CALLER))
    assert wrong.value.fault is TokenFault.ISSUER
    assert fault_of(citizen_token(head=header(kid=kid), iss=OUR_ISSUER), ours) is TokenFault.AUDIENCE
    both = citizen_token(head=header(kid=kid), iss=OUR_ISSUER, aud=[AUDIENCE, OUR_AUDIENCE], exp=NOW + 300)
    assert fault_of(both, ours) is TokenFault.CLAIMS  # no organisation in it


async def test_an_access_token_is_no_assertion() -> None:
    ours = Exchange()
    assert refused(await ours.ask(ours.tokens.issue(CALLER))) is OAuthError.INVALID_CLIENT
    assert refused(await ours.ask(citizen_token())) is OAuthError.INVALID_CLIENT
    assert fault_of(assertion(), ours) is TokenFault.TYPE


def test_domains_with_one_issuer_or_one_audience_are_refused_at_the_start() -> None:
    ours, citizens = Exchange(), citizen_tokens(Clock())
    check_apart(citizens, ours.tokens)
    for issuer, audience in ((ISSUER, OUR_AUDIENCE), (OUR_ISSUER, AUDIENCE)):
        mixed = OrganisationTokens(issuer=issuer, audience=audience, signing_keys=[SIGNING], clock=Clock())
        with pytest.raises(ValueError, match="different"):
            check_apart(citizens, mixed)


async def test_row_13_what_is_another_organisation_s_looks_like_nothing() -> None:
    ours = Exchange()
    caller = ours.tokens.verify(issued(await ours.ask(assertion())).access_token)
    require_own(caller, "cardiff-council")
    said = []
    for owner in ("swansea-council", None, ""):
        with pytest.raises(Absent) as absent:
            require_own(caller, owner)
        said.append(str(absent.value))
    assert len(set(said)) == 1


# Whatever is changed, nothing is issued and nothing else goes wrong


@pytest.fixture(scope="module")
def ask() -> Iterator[Any]:
    with asyncio.Runner() as runner:

        def ask(text: str) -> Issued | NotIssued:
            ours = Exchange()
            answer = runner.run(ours.ask(text))
            assert isinstance(answer, Issued) == bool(ours.register.used)
            return answer

        yield ask


JSON = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.text(), max_size=2)
)


@given(at=st.floats(0, 1), cut=st.integers(0, 4), put=st.text(max_size=4))
@settings(max_examples=200, deadline=None)
def test_no_change_of_an_assertion_s_characters_is_taken(ask: Any, at: float, cut: int, put: str) -> None:
    text = assertion()
    place = int(at * len(text))
    changed = text[:place] + put + text[place + cut :]
    assume(changed != text)
    assert refused(ask(changed)) is OAuthError.INVALID_CLIENT


@given(name=st.sampled_from(["iss", "sub", "aud", "exp", "jti", "iat", "nbf", "other"]), value=JSON)
@settings(max_examples=200, deadline=None)
def test_whatever_a_client_signs_is_answered(ask: Any, name: str, value: Any) -> None:
    answer = ask(assertion(key=OKP, algorithm="EdDSA", **{name: value}))
    if isinstance(answer, Issued):
        assert answer.caller.organisation == "cardiff-council"
        assert name not in {"iss", "sub", "aud"} or value == assertion_claims()[name]

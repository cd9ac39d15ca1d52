"""An issuer's keys: only the usable ones, and never more fetches than the cooldown allows, whoever asks for what."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey

from broker.identity.jose import ALGORITHMS, base64url, json_object, signature_holds, unbase64url
from broker.identity.keys import MOST_KEYS, IssuerKeys, Keys, trustworthy
from broker.identity.refusals import KeysUnavailable
from tests.support.tokens import DISCOVERY, EC, ISSUER, JWKS, OKP, OTHER_EC, RSA, Clock, Issuer, issuer, published


def found(jwk: object, algorithm: str) -> bool:
    return Keys({"keys": [jwk]}).find("k", algorithm) is not None


# Which keys are usable


@pytest.mark.parametrize(
    ("key", "suits"), [(EC, {"ES256"}), (OKP, {"EdDSA"}), (RSA, {"RS256", "PS256"})], ids=["EC", "OKP", "RSA"]
)
def test_a_key_serves_only_the_algorithms_of_its_type(key: Any, suits: set[str]) -> None:
    assert {name for name in ALGORITHMS if found(published(key, "k"), name)} == suits


def test_only_asymmetric_algorithms_are_taken() -> None:
    assert set(ALGORITHMS) == {"RS256", "PS256", "ES256", "EdDSA"}


@pytest.mark.parametrize(
    "more", [{"use": "sig"}, {"key_ops": ["verify"]}, {"key_ops": ["sign", "verify"]}, {"alg": "ES256"}, {"x5c": 7}]
)
def test_a_key_declared_for_verification_is_usable(more: dict[str, Any]) -> None:
    assert found(published(EC, "k") | more, "ES256")


@pytest.mark.parametrize(
    "more",
    [
        {"use": "enc"},
        {"use": 1},
        {"use": None},
        {"key_ops": ["sign"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"alg": "ES384"},
        {"alg": ["ES256"]},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"crv": ["P-256"]},
        {"kty": "oct"},
        {"kty": "RSA"},
        {"kty": {}},
        {"kid": 7},
        {"x": "not base64!"},
        {"x": 7},
        {"x": base64url(bytes(32))},
        {"d": base64url(bytes(32))},
    ],
)
def test_a_key_for_anything_else_or_unreadable_is_passed_over(more: dict[str, Any]) -> None:
    assert not found(published(EC, "k") | more, "ES256")


def test_a_published_private_key_is_anybody_s() -> None:
    assert not found(EC.as_dict(private=True) | {"kid": "k"}, "ES256")


def test_keys_we_do_not_take_are_passed_over_and_cost_no_others() -> None:
    odd: list[Any] = [
        OctKey.generate_key(256).as_dict(private=True) | {"kid": "oct"},
        published(ECKey.generate_key("P-521"), "p521"),
        published(OKPKey.generate_key("X25519"), "x"),
        published(OKPKey.generate_key("Ed448"), "ed448"),
        {"kty": "AKP", "kid": "post-quantum"},
        None,
        "text",
        [],
    ]
    keys = Keys({"keys": [*odd, published(EC, "ec")]})
    assert len(keys) == 1
    assert keys.find("ec", "ES256")


@pytest.mark.parametrize(
    "changes",
    [
        {"n": base64url(b"\xff" * 128)},  # 1,024 bits
        {"n": base64url(b"\xff" * 513)},
        {"n": base64url(b"\x00" * 256)},
        {"n": ""},
        {"e": base64url(b"\x01" + bytes(254) + b"\x01")},  # a verification would take for ever
        {"e": base64url(b"\x01")},
        {"e": ""},
        {"n": 65537},
    ],
)
def test_a_weak_or_costly_rsa_key_is_passed_over(changes: dict[str, Any]) -> None:
    assert not found(published(RSA, "k") | changes, "RS256")


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": [{}] * (MOST_KEYS + 1)}])
def test_what_is_no_key_set_is_an_error(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="JWK Set"):
        Keys(document)


def test_a_name_for_two_keys_is_a_name_for_none() -> None:
    keys = Keys({"keys": [published(EC, "k"), published(OTHER_EC, "k"), published(OKP, "k")]})
    assert keys.find("k", "ES256") is None
    assert keys.find("k", "EdDSA")


def test_without_a_name_the_only_key_for_the_algorithm_is_meant() -> None:
    assert Keys({"keys": [published(EC, "a"), published(OKP, "b")]}).find(None, "ES256")
    assert Keys({"keys": [published(EC, None)]}).find(None, "ES256")
    assert Keys({"keys": [published(EC, "a"), published(OTHER_EC, "b")]}).find(None, "ES256") is None
    assert Keys({"keys": [published(EC, None)]}).find("any", "ES256") is None


# Base64url, JSON and published signatures


@pytest.mark.parametrize("text", ["=", "AA==", "A", "AB", "+/", "A A", "AA\n", "é", "\ud800"])
def test_base64url_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        unbase64url(text)


@pytest.mark.parametrize(
    "raw", [b'{"a":1,"a":2}', b'{"a":{"b":1,"b":1}}', b'{"a":NaN}', b"[]", b"", b"\xff", b"[" * 9000]
)
def test_json_is_one_object_without_repeats(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not one JSON object"):
        json_object(raw)


def test_the_signature_of_rfc_7515_a_3_verifies() -> None:
    key = ECKey.import_key(
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }
    )
    text = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    signature = unbase64url("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")
    assert signature_holds("ES256", text, signature, key)
    assert not signature_holds("ES256", text + b"A", signature, key)


def test_the_signature_of_rfc_8037_a_4_verifies() -> None:
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    text = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    signature = unbase64url("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
    assert signature_holds("EdDSA", text, signature, key)


# Where keys may come from


@pytest.mark.parametrize(
    "url", ["https://a.example", "https://a.example:8443/path/", "http://127.0.0.1:8080", "http://[::1]/"]
)
def test_https_is_trusted_and_loopback_where_it_is_allowed(url: str) -> None:
    assert trustworthy(url, loopback_allowed=True) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example",
        "http://127.0.0.1.a.example",
        "http://localhost.a.example",
        "http://10.0.0.1",
        "ftp://localhost",
        "file:///etc/passwd",
        "//a.example",
        "a.example",
        "",
        "https://",
        "https://user@a.example",
        "https://:pw@a.example",
        "https://a.example#x",
        "https://a.example#",
        "https://a.example/\n",
        "https://a.exam ple",
        "https://a.exämple",
        "https://[::1",
        None,
        7,
    ],
)
def test_no_other_url_is_trusted(url: object) -> None:
    with pytest.raises(ValueError, match="URL"):
        trustworthy(url, loopback_allowed=True)


def test_loopback_is_refused_where_it_is_not_allowed() -> None:
    for url in ("http://127.0.0.1", "http://localhost:8080/"):
        with pytest.raises(ValueError, match="https"):
            IssuerKeys(url, Issuer().fetch, Clock())
        IssuerKeys(url, Issuer().fetch, Clock(), loopback_allowed=True)


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": ISSUER.rstrip("/"), "jwks_uri": JWKS},
        {"issuer": ISSUER + "/", "jwks_uri": JWKS},
        {"issuer": ISSUER.upper(), "jwks_uri": JWKS},
        {"issuer": "https://evil.example/", "jwks_uri": JWKS},
        {"issuer": [ISSUER], "jwks_uri": JWKS},
        {"jwks_uri": JWKS},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": "http://keys.example/jwks.json"},
        {"issuer": ISSUER, "jwks_uri": "http://127.0.0.1/jwks.json"},
        {"issuer": ISSUER, "jwks_uri": ["https://keys.example/jwks.json"]},
    ],
)
async def test_discovery_that_names_another_issuer_or_an_unsafe_place_gives_no_keys(
    discovery: Mapping[str, Any],
) -> None:
    source = issuer()
    source.documents[DISCOVERY] = discovery
    with pytest.raises(KeysUnavailable):
        await IssuerKeys(ISSUER, source.fetch, Clock()).find("ec", "ES256")
    assert source.fetched == [DISCOVERY]


async def test_a_given_place_of_the_keys_stands_for_discovery() -> None:
    source, clock = issuer(), Clock()
    keys = IssuerKeys(ISSUER, source.fetch, clock, keys_url=JWKS)
    assert await keys.find("ec", "ES256")
    source.documents.pop(JWKS)
    for minutes in (11, 1):
        clock.forward(minutes=minutes)
        assert await keys.find("ec", "ES256")
    assert source.fetched == [JWKS, JWKS, JWKS]
    with pytest.raises(ValueError, match="https"):
        IssuerKeys(ISSUER, source.fetch, clock, keys_url="http://keys.example/jwks.json")


async def test_discovery_may_stand_elsewhere() -> None:
    source = issuer()
    elsewhere = "https://sign-in.example/.well-known/oauth-authorization-server"
    source.documents[elsewhere] = source.documents.pop(DISCOVERY)
    keys = IssuerKeys(ISSUER, source.fetch, Clock(), discovery_url=elsewhere)
    assert await keys.find("ec", "ES256")
    assert source.fetched == [elsewhere, JWKS]


# How often they are fetched


async def test_keys_are_fetched_once_and_kept() -> None:
    source, clock = issuer(), Clock()
    keys = IssuerKeys(ISSUER, source.fetch, clock)
    assert source.fetched == []
    for _ in range(5):
        assert await keys.find("ec", "ES256")
        clock.forward(minutes=1)
    assert source.fetched == [DISCOVERY, JWKS]


async def test_aged_keys_are_fetched_again_and_a_withdrawn_one_is_gone() -> None:
    source, clock = issuer(), Clock()
    keys = IssuerKeys(ISSUER, source.fetch, clock)
    assert await keys.find("ec", "ES256")
    source.publish(published(OTHER_EC, "new"))
    clock.forward(minutes=10)
    assert await keys.find("ec", "ES256") is None
    assert await keys.find("new", "ES256")
    assert source.fetched == [DISCOVERY, JWKS, JWKS]


async def test_a_new_key_is_found_before_the_old_ones_age() -> None:
    source, clock = issuer(), Clock()
    keys = IssuerKeys(ISSUER, source.fetch, clock)
    await keys.find("ec", "ES256")
    source.publish(published(EC, "ec"), published(OTHER_EC, "new"))
    clock.forward(seconds=10)
    assert await keys.find("new", "ES256")


async def test_unknown_names_start_one_refresh_in_each_cooldown() -> None:
    source, clock = issuer(), Clock()
    keys = IssuerKeys(ISSUER, source.fetch, clock, cooldown=timedelta(seconds=10))
    await keys.find("ec", "ES256")
    source.fetched.clear()
    for second in range(60):
        for number in range(20):
            assert await keys.find(f"unknown-{second}-{number}", "ES256") is None
        clock.forward(seconds=1)
    assert len(source.fetched) == 5


async def test_an_issuer_that_fails_is_not_asked_more_often() -> None:
    source, clock = issuer(), Clock()
    source.documents.clear()
    keys = IssuerKeys(ISSUER, source.fetch, clock, cooldown=timedelta(seconds=10))
    for _ in range(30):
        with pytest.raises(KeysUnavailable):
            await keys.find("ec", "ES256")
        clock.forward(seconds=1)
    assert len(source.fetched) == 3


class Slow(Issuer):
    """An issuer that answers when it is let."""

    def __init__(self, *jwks: Mapping[str, Any]) -> None:
        super().__init__(*jwks)
        self.let = asyncio.Event()

    async def fetch(self, url: str) -> Mapping[str, Any]:
        document = await super().fetch(url)
        await self.let.wait()
        return document


async def test_callers_at_once_share_one_fetch_and_one_leaving_spoils_nothing() -> None:
    source = Slow(published(EC, "ec"))
    keys = IssuerKeys(ISSUER, source.fetch, Clock())
    callers = [asyncio.create_task(keys.find("ec", "ES256")) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    callers[0].cancel()
    await asyncio.sleep(0)
    source.let.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(isinstance(result, ECKey) for result in results[1:])
    assert source.fetched == [DISCOVERY, JWKS]


async def test_an_issuer_that_never_answers_is_given_up() -> None:
    source = Slow(published(EC, "ec"))
    keys = IssuerKeys(ISSUER, source.fetch, Clock(), deadline=timedelta(milliseconds=20))
    with pytest.raises(KeysUnavailable):
        await keys.find("ec", "ES256")


# What an outage of the issuer does


async def test_old_keys_serve_through_an_outage_but_not_for_ever() -> None:
    source, clock = issuer(), Clock()
    keys = IssuerKeys(ISSUER, source.fetch, clock, usable_for=timedelta(hours=24))
    await keys.find("ec", "ES256")
    source.documents.clear()
    clock.forward(hours=23, minutes=59)
    assert await keys.find("ec", "ES256")
    assert await keys.find("unknown", "ES256") is None
    clock.forward(minutes=1)
    with pytest.raises(KeysUnavailable):
        await keys.find("ec", "ES256")
    source.documents.update(issuer().documents)
    clock.forward(seconds=10)
    assert await keys.find("ec", "ES256")


async def test_a_document_that_is_no_key_set_leaves_the_old_keys_in_use() -> None:
    source, clock = issuer(), Clock()
    keys = IssuerKeys(ISSUER, source.fetch, clock)
    await keys.find("ec", "ES256")
    source.documents[JWKS] = {"error": "maintenance"}
    clock.forward(minutes=11)
    assert await keys.find("ec", "ES256")


async def test_an_empty_key_set_withdraws_every_key() -> None:
    source, clock = issuer(), Clock()
    keys = IssuerKeys(ISSUER, source.fetch, clock)
    await keys.find("ec", "ES256")
    source.publish()
    clock.forward(minutes=11)
    assert await keys.find("ec", "ES256") is None


async def test_keys_that_moved_are_found_again_by_discovery() -> None:
    source, clock = issuer(), Clock()
    keys = IssuerKeys(ISSUER, source.fetch, clock)
    await keys.find("ec", "ES256")
    moved = "https://keys.example/moved.json"
    source.documents[moved] = source.documents.pop(JWKS)
    source.documents[DISCOVERY] = {"issuer": ISSUER, "jwks_uri": moved}
    for minutes in (11, 1):
        clock.forward(minutes=minutes)
        assert await keys.find("ec", "ES256")
    assert source.fetched[-2:] == [DISCOVERY, moved]

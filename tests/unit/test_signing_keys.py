"""Our signing keys: what is published when, who signs when, and what a receiver makes of a signature."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet

from broker.store import StoreUnavailable
from broker.vault.signing import AHEAD, KEPT, PUBLISHED_SECONDS, READ_AGAIN, KeysOfOurs, Rotation, RotationUnderWay
from tests.support.ways_out import KeptInMemory, our_keys

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
CONTENT = '{"data":{"name":"Siân Llŷr"}}'.encode()

ANY_HEADER = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)
"""Headers that are not critical and not known are passed over, as RFC 7515, section 4, has it."""


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class Away(KeptInMemory):
    away = False

    async def find(self, name: str) -> bytes | None:
        if self.away:
            raise StoreUnavailable
        return await super().find(name)


def key_set(published: dict[str, Any]) -> KeySet:
    return KeySet.import_key_set(published)  # type: ignore[arg-type]  # as JSON has it


def header_of(signature: str) -> dict[str, Any]:
    made: dict[str, Any] = jws.extract_compact(signature.encode(), CONTENT).headers()
    return made


async def test_a_library_verifies_a_detached_signature_over_the_bytes_as_they_are() -> None:
    keys = our_keys("message-signatures")
    signature = await keys.sign_detached(CONTENT, {"aud": "swansea", "iat": 1})
    protected, content, _ = signature.split(".")
    assert content == ""
    assert protected
    known = key_set(await keys.jwks())
    verified = jws.deserialize_compact(signature, known, registry=ANY_HEADER, payload=CONTENT)
    assert {name: verified.headers()[name] for name in ("alg", "b64", "crit", "aud", "iat")} == {
        "alg": "ES256",
        "b64": False,
        "crit": ["b64"],
        "aud": "swansea",
        "iat": 1,
    }
    with pytest.raises(BadSignatureError):
        jws.deserialize_compact(signature, known, registry=ANY_HEADER, payload=CONTENT + b" ")


async def test_nothing_private_is_published_and_each_purpose_has_keys_of_its_own() -> None:
    published = {
        purpose: (await our_keys(purpose).jwks())["keys"] for purpose in ("client-assertions", "message-signatures")
    }
    assert {key["kty"] for key in published["client-assertions"]} == {"EC", "RSA"}
    assert [key["alg"] for key in published["message-signatures"]] == ["ES256"]
    for keys in published.values():
        assert not {"d", "p", "q", "dp", "dq", "qi"} & {name for key in keys for name in key}
    names = [key["kid"] for keys in published.values() for key in keys]
    assert len(set(names)) == len(names)
    with pytest.raises(ValueError, match="RS512 does not sign message-signatures"):
        await our_keys("message-signatures").sign_jwt({}, "RS512")


async def test_a_new_key_is_known_everywhere_before_it_signs_and_the_old_one_for_a_while_after() -> None:
    clock, kept = Clock(), KeptInMemory()
    ours, elsewhere = (our_keys("message-signatures", clock, kept) for _ in range(2))
    first = header_of(await elsewhere.sign_detached(CONTENT, {}))["kid"]
    after = await ours.rotate(leaf=b"{}")
    [second] = after.sets[-1].names()
    assert {key["kid"] for key in (await ours.jwks())["keys"]} == {first, second}
    assert header_of(await ours.sign_detached(CONTENT, {}))["kid"] == first
    with pytest.raises(RotationUnderWay):
        await ours.rotate(leaf=b"{}")
    clock.now += AHEAD - timedelta(seconds=1)
    assert header_of(await ours.sign_detached(CONTENT, {}))["kid"] == first
    clock.now += timedelta(seconds=1)
    for one in (ours, elsewhere):
        assert header_of(await one.sign_detached(CONTENT, {}))["kid"] == second
        assert {key["kid"] for key in (await one.jwks())["keys"]} == {first, second}
    clock.now += KEPT
    assert {key["kid"] for key in (await elsewhere.jwks())["keys"]} == {second}
    third = (await ours.rotate(leaf=b"{}")).sets
    assert third[0].names() == [second], "what nobody needs to know is no longer kept"
    assert timedelta(seconds=PUBLISHED_SECONDS) + READ_AGAIN < AHEAD


async def test_a_key_that_was_stolen_is_withdrawn_at_once() -> None:
    clock, kept = Clock(), KeptInMemory()
    ours, elsewhere = (our_keys("message-signatures", clock, kept) for _ in range(2))
    first = header_of(await elsewhere.sign_detached(CONTENT, {}))["kid"]
    await ours.rotate(leaf=b"{}")
    [newest] = (await ours.rotate(leaf=b"{}", compromised=True)).sets
    clock.now += READ_AGAIN
    for one in (ours, elsewhere):
        signed = header_of(await one.sign_detached(CONTENT, {}))["kid"]
        assert [key["kid"] for key in (await one.jwks())["keys"]] == [signed] == newest.names()
        assert signed != first


async def test_of_two_who_rotate_at_once_one_is_told() -> None:
    clock, kept = Clock(), KeptInMemory()
    await our_keys("message-signatures", clock, kept).jwks()
    ended = await asyncio.gather(
        *(our_keys("message-signatures", clock, kept).rotate(leaf=b"{}") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(one, Rotation) for one in ended) == 1
    assert sum(isinstance(one, RotationUnderWay) for one in ended) == 4


async def test_of_all_who_make_the_first_all_have_the_same() -> None:
    kept = KeptInMemory()
    made = await asyncio.gather(*(our_keys("message-signatures", Clock(), kept).jwks() for _ in range(5)))
    assert all(one == made[0] for one in made)


async def test_while_the_store_is_away_what_is_known_goes_on() -> None:
    clock, kept = Clock(), Away()
    keys = our_keys("message-signatures", clock, kept)
    kept.away = True
    with pytest.raises(StoreUnavailable):
        await keys.jwks()
    kept.away = False
    published = await keys.jwks()
    kept.away = True
    clock.now += timedelta(days=1)
    assert await keys.jwks() == published
    assert await keys.sign_detached(CONTENT, {})


async def test_a_jwt_is_one_others_read() -> None:
    keys = our_keys("client-assertions")
    for algorithm in ("ES256", "PS256", "RS512"):
        token = await keys.sign_jwt({"iss": "ŵ"}, algorithm)
        assert jwt.decode(token, key_set(await keys.jwks()), algorithms=[algorithm]).claims == {"iss": "ŵ"}


def sets(*starts: float) -> Rotation:
    return Rotation(tuple(KeysOfOurs(START + timedelta(hours=hours), {}) for hours in starts))


@pytest.mark.parametrize(
    ("starts", "signs", "published"),
    [
        ((0,), 0, (0,)),
        ((-1000, -500, -1), -1, (-500, -1)),
        ((-1000, -1, 1), -1, (-1000, -1, 1)),
        ((-1000, -168, -100), -100, (-168, -100)),
        ((2,), 2, (2,)),  # a clock that went back
    ],
)
def test_who_signs_and_who_is_published(starts: Sequence[float], signs: float, published: Sequence[float]) -> None:
    rotation = sets(*starts)
    assert rotation.signing(START).signs_from == START + timedelta(hours=signs)
    assert [one.signs_from for one in rotation.published(START)] == [START + timedelta(hours=one) for one in published]


def test_what_is_kept_is_sealed_json_of_private_keys_and_never_shown() -> None:
    kept = KeptInMemory()

    async def made() -> Rotation:
        return await our_keys("message-signatures", Clock(), kept).rotation()

    rotation = asyncio.run(made())
    private = json.loads(kept.kept["signing-keys:message-signatures"])[0]["keys"]["EC"]["d"]
    assert private not in repr(rotation)

"""Sealing: opens with the right key in the right place only. HKDF against the library's own."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import example, given
from hypothesis import strategies as st

from broker import sealing
from contracts import events
from contracts.person import IdentityLevel

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
DELIVERY = UUID(int=1)


@given(st.binary(min_size=1, max_size=64), st.binary(max_size=40), st.binary(max_size=40), st.integers(1, 64))
def test_derivation_is_hkdf(key: bytes, info: bytes, salt: bytes, length: int) -> None:
    expected = HKDF(algorithm=SHA256(), length=length, salt=salt or None, info=info).derive(key)
    assert sealing.derive(key, info, salt, length) == expected


@given(st.binary(max_size=2000))
def test_what_is_sealed_opens_to_the_same_bytes(data: bytes) -> None:
    keys = sealing.delivery_key(KEY, DELIVERY)
    sealed, digest = sealing.seal_delivery(keys, DELIVERY, data)
    assert sealing.open_delivery(keys, DELIVERY, sealed, digest) == data
    assert sealing.DeliveryKey.unpacked(keys.packed()) == keys


def test_it_opens_nowhere_else() -> None:
    keys = sealing.delivery_key(KEY, DELIVERY)
    sealed, digest = sealing.seal_delivery(keys, DELIVERY, b"data")
    wrong = [
        (sealing.delivery_key(OTHER, DELIVERY), DELIVERY, sealed, digest),
        (sealing.delivery_key(KEY, UUID(int=2)), DELIVERY, sealed, digest),
        (keys, UUID(int=2), sealed, digest),
        (keys, DELIVERY, sealed[:-1] + bytes([sealed[-1] ^ 1]), digest),
        (keys, DELIVERY, sealed[:5], digest),
        (keys, DELIVERY, b"", digest),
        (keys, DELIVERY, sealed, bytes(16)),
    ]
    for case in wrong:
        with pytest.raises(sealing.CannotOpen):
            sealing.open_delivery(*case)


def test_a_digest_knows_where_its_parts_end() -> None:
    assert sealing.digest(KEY, b"ab", b"c") != sealing.digest(KEY, b"a", b"bc")
    assert sealing.digest(KEY, b"abc") != sealing.digest(OTHER, b"abc")


@given(st.binary(max_size=100), st.lists(st.binary(max_size=100)))
def test_a_digester_gives_the_digest_of_its_key(key: bytes, parts: list[bytes]) -> None:
    digest = sealing.Digester(key)
    assert digest(*parts) == digest(*parts) == sealing.digest(key, *parts)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.characters(categories=["Cs"])


@given(
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner),
    )
)
@example({"uprn": 10**30, "street": "Heol y B\u0175a \x00\x7f\u2028"})
@example({"a": [{"b": float("nan")}]})
@example(IdentityLevel.P2)
@example(DELIVERY)
def test_canonical_json_is_the_contract_s_whoever_writes_it(value: Any) -> None:
    def written(by: Callable[[Any], bytes]) -> bytes | type[Exception]:
        try:
            return by(value)
        except (TypeError, ValueError) as refused:
            return type(refused)

    assert written(sealing.canonical) == written(events.canonical)


def test_keys_do_not_show_themselves() -> None:
    assert "\\x" not in repr(sealing.delivery_key(KEY, DELIVERY))

"""What the webhook adapter sends, judged by others' libraries: our JWS, JWE for the organisation, each CloudEvents mode."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from joserfc import jwe, jws
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey

from adapters.conformance import DEADLINE, WELSH, AdapterConformance, Arrival, Standing, sample_delivery
from adapters.conformance_http import HttpPeer, HttpRequest
from adapters.conformance_tls import tls_of
from adapters.jwe import encrypted, encryption_key
from adapters.registry import check
from contracts.adapters import Adapter
from contracts.events import structured
from tests.conformance.test_webhook import webhook_and_peer
from tests.support.ways_out import our_keys

THEIRS = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()))
THEIR_OTHER = OKPKey.import_key(x25519.X25519PrivateKey.generate())
ANY_HEADER = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)


def public(key: ECKey | OKPKey, **more: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), **more}


def opened(body: bytes, key: ECKey | OKPKey = THEIRS) -> tuple[dict[str, Any], bytes]:
    """Return a JWE's header and content, as the organisation reads them."""
    read = jwe.decrypt_compact(body, key, algorithms=["ECDH-ES+A256KW", "A256GCM"])
    assert read.plaintext is not None
    return dict(read.headers()), read.plaintext


async def verified(request: HttpRequest) -> dict[str, Any]:
    """Return the header of a request's JWS. Raises BadSignatureError."""
    keys = KeySet.import_key_set(await our_keys("message-signatures").jwks())  # type: ignore[arg-type]  # as JSON has it
    signature = request.headers["x-jws-signature"]
    return jws.deserialize_compact(signature, keys, registry=ANY_HEADER, payload=request.body).headers()


class OpeningPeer(HttpPeer):
    """What arrived, as the organisation reads it once it has opened it."""

    @property
    def arrivals(self) -> Sequence[Arrival]:
        return [replace(arrival, content=opened(arrival.content)[1]) for arrival in super().arrivals]


class TestSignedAndEncrypted(AdapterConformance):
    """The whole suite again, with our JWS and encrypted for the organisation."""

    @asynccontextmanager
    async def system(
        self, *, deadline: timedelta = DEADLINE, standing: Standing = Standing.PRESENT
    ) -> AsyncIterator[tuple[Adapter, HttpPeer]]:
        parts = webhook_and_peer(
            deadline=deadline,
            peer=OpeningPeer(tls=tls_of(standing)),
            secrets={},
            signature="jws",
            encryptTo=public(THEIRS),
        )
        async with parts as (adapter, peer):
            if standing is Standing.ABSENT:
                peer.leave()
            yield adapter, peer


async def test_our_signature_is_over_what_is_sent_for_whom_and_when() -> None:
    began = datetime.now(UTC).timestamp()
    async with webhook_and_peer(signature="jws", secrets={}) as (adapter, peer):
        delivery = sample_delivery()
        await adapter.deliver(delivery)
        await adapter.deliver_many([delivery, sample_delivery()])
    for request in peer.requests:
        header = await verified(request)
        assert header["aud"] == "swansea", "what one organisation is sent proves nothing to another"
        assert began - 1 <= header["iat"] <= datetime.now(UTC).timestamp()
        assert request.headers["webhook-id"]
        assert "webhook-signature" not in request.headers
        with pytest.raises(BadSignatureError):
            await verified(replace(request, body=request.body + b" "))
    assert peer.requests[0].body == structured(delivery)


async def test_only_the_organisation_reads_it_and_the_signature_is_over_the_ciphertext() -> None:
    delivery = sample_delivery()
    async with webhook_and_peer(signature="jws", secrets={}, encryptTo=public(THEIRS)) as (adapter, peer):
        await adapter.deliver(delivery)
        await adapter.deliver(delivery)
        await adapter.deliver_many([delivery])
    for request in peer.requests:
        assert request.headers["content-type"] == "application/jose"
        await verified(request)
        assert not any(word.encode() in request.body for word in ("Siân", "swansea", delivery.subject))
        with pytest.raises(JoseError):
            opened(request.body, ECKey.import_key(ec.generate_private_key(ec.SECP256R1())))
    header, content = opened(peer.requests[0].body)
    assert content == structured(delivery) == opened(peer.requests[1].body)[1]
    assert peer.requests[0].body != peer.requests[1].body
    assert (header["alg"], header["enc"], header["cty"]) == ("ECDH-ES+A256KW", "A256GCM", "cloudevents+json")
    assert header["kid"] == THEIRS.thumbprint()
    header, content = opened(peer.requests[2].body)
    assert header["cty"] == "cloudevents-batch+json"
    assert [event["id"] for event in json.loads(content)] == [str(delivery.id)]


def test_of_several_keys_the_first_that_fits_is_used() -> None:
    signing = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()))
    keys = {"keys": [public(signing, use="sig"), public(THEIR_OTHER, kid="new"), public(THEIRS, kid="old")]}
    header, content = opened(encrypted(WELSH, "application/json", encryption_key(keys)), THEIR_OTHER)
    assert (content, header["kid"], header["cty"]) == (WELSH, "new", "json")


@pytest.mark.parametrize(
    ("settings", "says_what"),
    [
        ({"encryptTo": {}}, "encryptTo: .*no key to encrypt to"),
        ({"encryptTo": {"keys": "hunter2"}}, "encryptTo: .*JWK Set"),
        ({"encryptTo": {"keys": []}}, "encryptTo: .*no key to encrypt to"),
        ({"encryptTo": THEIRS.as_dict(private=True)}, "encryptTo: .*no private one"),
        ({"encryptTo": {"kty": "EC", "crv": "P-256", "x": "hunter2", "y": "hunter2"}}, "encryptTo: .*cannot be read"),
        ({"encryptTo": public(THEIRS, use="sig")}, "encryptTo: .*no key to encrypt to"),
        ({"encryptTo": {"kty": "RSA", "n": "hunter2", "e": "AQAB"}}, "encryptTo: .*no key to encrypt to"),
        ({"signature": "hunter2"}, "adapter setting signature"),
        ({"mode": "batched"}, "adapter setting mode"),
        ({"mode": "binary", "signature": "jws"}, "adapter setting mode: .*must be structured"),
        ({"mode": "binary", "encryptTo": public(THEIRS)}, "adapter setting mode: .*must be structured"),
    ],
)
def test_what_cannot_be_is_named(settings: dict[str, Any], says_what: str) -> None:
    with pytest.raises(ValueError, match=says_what) as raised:
        check("webhook", {"endpoint": "https://council.example/", **settings})
    assert "hunter2" not in str(raised.value)


async def test_binary_mode_is_read_by_the_cloudevents_library() -> None:
    delivery = sample_delivery()
    delivery = replace(delivery, dataschema='urn:ŵ "x" 100%')
    async with webhook_and_peer(mode="binary") as (adapter, peer):
        await adapter.deliver(delivery)
    request = peer.requests[0]
    assert request.body == delivery.data
    event = from_http_event(HTTPMessage(headers=request.headers, body=request.body))
    assert event.get_specversion() == "1.0"
    assert event.get_id() == str(delivery.id) == request.headers["webhook-id"]
    assert (event.get_type(), event.get_source(), event.get_subject()) == (
        delivery.type,
        delivery.source,
        delivery.subject,
    )
    assert event.get_dataschema() == delivery.dataschema
    assert event.get_time() == delivery.time
    assert event.get_datacontenttype() == "application/json"
    assert event.get_extension("sequence") == "000000000001"
    assert event.get_extension("traceparent") == delivery.traceparent
    assert event.get_extension("origin") == delivery.origin
    assert event.get_data() == json.loads(WELSH)

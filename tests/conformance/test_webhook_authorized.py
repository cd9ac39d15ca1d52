"""The webhook adapter with access tokens of the organisation's authorization server, and who we say we are there."""

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import trustme
from joserfc import jwt
from joserfc.jwk import KeySet

from adapters.conformance import DEADLINE, attempt, sample_delivery
from adapters.conformance_http import HttpPeer
from adapters.conformance_oauth import AuthorizedConformance, TokenServer
from adapters.conformance_tls import CertificateConformance
from adapters.webhook import Webhook
from broker.outbound.client import tls_context
from contracts.adapters import Adapter
from contracts.receipts import Receipt
from tests.conformance.test_webhook import SECRET, webhook_and_peer
from tests.support.ways_out import context, our_keys


@asynccontextmanager
async def authorized_webhook(
    *,
    deadline: timedelta = DEADLINE,
    expires_in: int | None = 300,
    secrets: dict[str, str] | None = None,
    **credentials: Any,
) -> AsyncIterator[tuple[Webhook, HttpPeer, TokenServer]]:
    async with TokenServer(expires_in=expires_in) as server:
        named = {"tokenEndpoint": server.url, "clientId": "unwaith-test", **credentials}
        ours = {"signing": SECRET, **(secrets or {})}
        async with webhook_and_peer(deadline=deadline, secrets=ours, authorization=named) as (adapter, peer):
            yield adapter, peer, server


class TestWebhookAuthorized(AuthorizedConformance):
    @asynccontextmanager
    async def authorized(
        self, *, deadline: timedelta = DEADLINE, expires_in: int | None = 300
    ) -> AsyncIterator[tuple[Adapter, HttpPeer, TokenServer]]:
        async with authorized_webhook(deadline=deadline, expires_in=expires_in) as parts:
            yield parts


class TestWebhookCertified(CertificateConformance):
    @asynccontextmanager
    async def certified(
        self, *, tls: ssl.SSLContext, trusts: trustme.CA, certificate: str | None
    ) -> AsyncIterator[tuple[Adapter, HttpPeer]]:
        rules = tls_context()
        trusts.configure_trust(rules)
        secrets = {"signing": SECRET, **({"client-certificate": certificate} if certificate else {})}
        async with webhook_and_peer(tls=tls, secrets=secrets, trusts=rules) as parts:
            yield parts


@pytest.mark.parametrize("algorithm", ["ES256", "PS256", "RS512"])
async def test_our_assertion_is_verified_by_our_published_keys_and_is_new_each_time(algorithm: str) -> None:
    async with authorized_webhook(expires_in=0, algorithm=algorithm, scope="a b") as (adapter, _, server):
        for _ in range(3):
            await adapter.deliver(sample_delivery())
    keys = KeySet.import_key_set(await our_keys("client-assertions").jwks())  # type: ignore[arg-type]  # as JSON has it
    seen = set()
    for form in server.forms:
        assert form["grant_type"] == "client_credentials"
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert form["scope"] == "a b"
        assertion = jwt.decode(form["client_assertion"], keys, algorithms=[algorithm])
        assert assertion.claims["iss"] == assertion.claims["sub"] == form["client_id"] == "unwaith-test"
        assert assertion.claims["aud"] == server.url
        assert 0 < assertion.claims["exp"] - assertion.claims["iat"] <= 300
        seen.add(assertion.claims["jti"])
    assert len(seen) == len(server.forms) >= 3


async def test_the_audience_is_what_is_agreed() -> None:
    async with authorized_webhook(audience="https://issuer.example/") as (adapter, _, server):
        await adapter.deliver(sample_delivery())
    keys = KeySet.import_key_set(await our_keys("client-assertions").jwks())  # type: ignore[arg-type]  # as JSON has it
    assertion = jwt.decode(server.forms[0]["client_assertion"], keys, algorithms=["ES256"])
    assert assertion.claims["aud"] == "https://issuer.example/"


async def test_a_client_secret_goes_in_the_header_alone() -> None:
    secret = "a:b ŵ/+%"
    parts = authorized_webhook(
        secrets={"client-secret": secret}, method="client_secret_basic", clientId="us@wales:1", scope="x"
    )
    async with parts as (adapter, _, server):
        assert isinstance(await attempt(adapter, sample_delivery()), Receipt)
    request = server.requests[0]
    pair = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
    assert pair == "us%40wales%3A1:a%3Ab+%C5%B5%2F%2B%25"  # RFC 6749, section 2.3.1
    assert server.forms == [{"grant_type": "client_credentials", "scope": "x"}]


@pytest.mark.parametrize(
    ("credentials", "says_what"),
    [
        ({"clientId": "x"}, "adapter setting authorization.tokenEndpoint"),
        ({"tokenEndpoint": "https://u:hunter2@h/", "clientId": "x"}, "adapter setting authorization.tokenEndpoint"),
        ({"tokenEndpoint": "https://h/", "clientId": "x", "method": "hunter2"}, "adapter setting authorization.method"),
        ({"tokenEndpoint": "https://h/", "clientId": "x", "algorithm": "none"}, "authorization.algorithm"),
        ({"tokenEndpoint": "https://h/", "clientId": "x", "method": "client_secret_basic"}, "secret client-secret: is"),
    ],
)
async def test_what_is_wrong_is_named(credentials: dict[str, Any], says_what: str) -> None:
    wrong = context({"endpoint": "https://h/", "authorization": credentials}, {"signing": SECRET})
    with pytest.raises(ValueError, match=says_what) as raised:
        Webhook(wrong)
    assert "hunter2" not in str(raised.value).replace("'private_key_jwt' or", "")
    await wrong.close()

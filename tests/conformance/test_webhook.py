"""The webhook adapter on the real way out, against a scripted organisation, judged by others' libraries."""

import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema_rs
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks import WebhookVerificationError

from adapters.conformance import (
    DEADLINE,
    TAKEN_BACK,
    WELSH,
    AdapterConformance,
    Standing,
    attempt,
    sample_delivery,
    sample_withdrawal,
)
from adapters.conformance_http import HttpPeer, response
from adapters.conformance_tls import tls_of
from adapters.registry import ADAPTERS, adapter_for
from adapters.webhook import ANSWER_LIMIT, Webhook
from contracts.adapters import Adapter
from contracts.delivery import Delivery, Failure, Misconfigured, Rejected, Unavailable, Unknown
from contracts.events import CONTENT_TYPE, canonical, structured
from contracts.publishing import schemas
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason
from tests.support.ways_out import context
from tests.support.welsh import people

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PREVIOUS = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@asynccontextmanager
async def webhook_and_peer(
    *,
    deadline: timedelta = DEADLINE,
    tls: ssl.SSLContext | None = None,
    peer: HttpPeer | None = None,
    secrets: dict[str, str] | None = None,
    trusts: ssl.SSLContext | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[Webhook, HttpPeer]]:
    async with peer or HttpPeer(tls=tls) as serving:
        named = {"signing": SECRET} if secrets is None else secrets
        adapter = adapter_for(
            "webhook", context({"endpoint": serving.url, **settings}, named, deadline=deadline, tls=trusts)
        )
        assert isinstance(adapter, Webhook)
        try:
            yield adapter, serving
        finally:
            await adapter.close()


class TestWebhook(AdapterConformance):
    @asynccontextmanager
    async def system(
        self, *, deadline: timedelta = DEADLINE, standing: Standing = Standing.PRESENT
    ) -> AsyncIterator[tuple[Adapter, HttpPeer]]:
        async with webhook_and_peer(deadline=deadline, tls=tls_of(standing)) as (adapter, peer):
            if standing is Standing.ABSENT:
                peer.leave()
            yield adapter, peer


async def test_the_published_library_verifies_our_signature() -> None:
    async with webhook_and_peer() as (adapter, peer):
        await adapter.deliver(sample_delivery())
    request = peer.requests[0]
    assert StandardWebhook(SECRET).verify(request.body, request.headers)["specversion"] == "1.0"
    with pytest.raises(WebhookVerificationError):
        StandardWebhook(SECRET).verify(request.body + b" ", request.headers)
    with pytest.raises(WebhookVerificationError):
        StandardWebhook(SECRET).verify(request.body, request.headers | {"webhook-id": str(uuid4())})


async def test_while_secrets_change_over_both_verify() -> None:
    async with webhook_and_peer(secrets={"signing": SECRET, "signing-previous": PREVIOUS}) as (adapter, peer):
        await adapter.deliver(sample_delivery())
    request = peer.requests[0]
    for secret in (SECRET, PREVIOUS):
        StandardWebhook(secret).verify(request.body, request.headers)


async def test_the_cloudevents_library_reads_our_event() -> None:
    delivery = sample_delivery()
    async with webhook_and_peer() as (adapter, peer):
        await adapter.deliver(delivery)
    request = peer.requests[0]
    event = from_http_event(HTTPMessage(headers=request.headers, body=request.body))
    assert event.get_specversion() == "1.0"
    assert event.get_id() == str(delivery.id) == request.headers["webhook-id"]
    assert event.get_type() == delivery.type
    assert event.get_source() == delivery.source
    assert event.get_subject() == delivery.subject
    assert event.get_dataschema() == delivery.dataschema
    assert event.get_time() == delivery.time
    assert event.get_extension("sequence") == "000000000001"
    assert event.get_extension("traceparent") == delivery.traceparent
    assert event.get_data() == json.loads(WELSH)


APPLIED = b'{"outcome":"applied","reference":"CT-117"}'

Check = Callable[[Receipt | Failure], bool]


def accepted(reason: Reason | None = None) -> Check:
    return lambda told: isinstance(told, Receipt) and (told.outcome, told.reason) == (Outcome.ACCEPTED, reason)


def says(outcome: Outcome, reference: str | None = None) -> Check:
    return lambda told: isinstance(told, Receipt) and (told.outcome, told.reference) == (outcome, reference)


def failed(kind: type[Failure], reason: Reason) -> Check:
    return lambda told: type(told) is kind and told.reason is reason


@pytest.mark.parametrize(
    ("status", "body", "check"),
    [
        (200, b"", accepted()),
        (200, b" \r\n", accepted()),
        (202, b"", accepted()),
        (204, b"", accepted()),
        (200, APPLIED, says(Outcome.APPLIED, "CT-117")),
        (201, APPLIED, says(Outcome.APPLIED, "CT-117")),
        (202, APPLIED, says(Outcome.APPLIED, "CT-117")),
        (200, b'{"outcome":"applied","more":{"of":"theirs"}}', says(Outcome.APPLIED)),
        (200, APPLIED + b" " * ANSWER_LIMIT, accepted(Reason.ANSWER_UNREADABLE)),
        (200, b'{"outcome":"Applied"}', accepted(Reason.ANSWER_UNREADABLE)),
        (200, b'{"outcome":"applied","reference":"Mrs Jones, 3 High St"}', accepted(Reason.ANSWER_UNREADABLE)),
        (200, b'{"outcome":"applied","reference":7}', accepted(Reason.ANSWER_UNREADABLE)),
        (200, b'{"outcome":["applied"]}', accepted(Reason.ANSWER_UNREADABLE)),
        (200, b'{"outcome":"applied"', accepted(Reason.ANSWER_UNREADABLE)),
        (200, b"\xef\xbb\xbf" + APPLIED, accepted(Reason.ANSWER_UNREADABLE)),
        (200, b'{"outcome":"applied","reference":"\xff"}', accepted(Reason.ANSWER_UNREADABLE)),
        (200, b"[" * 4000, accepted(Reason.ANSWER_UNREADABLE)),
        (200, b"<html>OK</html>", accepted(Reason.ANSWER_UNREADABLE)),
        (
            200,
            b'{"outcome":"applied","deliveryId":"00000000-0000-4000-8000-000000000000"}',
            accepted(Reason.ANSWER_UNREADABLE),
        ),
        (400, b"", failed(Rejected, Reason.INVALID_FOR_RECEIVER)),
        (413, b"", failed(Rejected, Reason.INVALID_FOR_RECEIVER)),
        (422, b"no", failed(Rejected, Reason.INVALID_FOR_RECEIVER)),
        (422, b'{"outcome":"rejected_policy"}', says(Outcome.REJECTED_POLICY)),
        (409, b"", failed(Unknown, Reason.CONFLICTS)),
        (409, b'{"outcome":"superseded"}', says(Outcome.SUPERSEDED)),
        (401, APPLIED, failed(Misconfigured, Reason.UNAUTHORISED)),
        (403, b"", failed(Misconfigured, Reason.UNAUTHORISED)),
        (404, b"", failed(Misconfigured, Reason.ENDPOINT_MISSING)),
        (405, b"", failed(Misconfigured, Reason.ENDPOINT_MISSING)),
        (410, b"", failed(Misconfigured, Reason.ENDPOINT_GONE)),
        (301, b"", failed(Misconfigured, Reason.REDIRECTED)),
        (304, b"", failed(Misconfigured, Reason.REDIRECTED)),
        (415, b"", failed(Misconfigured, Reason.ADAPTER_FAULT)),
        (207, APPLIED, failed(Misconfigured, Reason.ADAPTER_FAULT)),
        (408, b"", failed(Unavailable, Reason.SERVER_ERROR)),
        (425, b"", failed(Unavailable, Reason.SERVER_ERROR)),
        (429, b"", failed(Unavailable, Reason.TOO_MANY_REQUESTS)),
        (500, APPLIED, failed(Unavailable, Reason.SERVER_ERROR)),
        (599, b"", failed(Unavailable, Reason.SERVER_ERROR)),
        (999, b"", failed(Misconfigured, Reason.ADAPTER_FAULT)),
    ],
)
async def test_the_table_of_answers(status: int, body: bytes, check: Check) -> None:
    async with webhook_and_peer() as (adapter, peer):
        peer.does(response(status, body))
        told = await attempt(adapter, sample_delivery())
        assert check(told), repr(told)


@pytest.mark.parametrize(
    ("settings", "secrets", "says_what"),
    [
        ({}, {"signing": SECRET}, "adapter setting endpoint"),
        ({"endpoint": 7}, {"signing": SECRET}, "adapter setting endpoint"),
        ({"endpoint": "ftp://host/x"}, {"signing": SECRET}, "adapter setting endpoint"),
        ({"endpoint": "https://user:hunter2@host/x"}, {"signing": SECRET}, "adapter setting endpoint"),
        ({"endpoint": "https://host/x#hunter2"}, {"signing": SECRET}, "adapter setting endpoint"),
        ({"endpoint": "https://host/x", "hunter2": 1}, {"signing": SECRET}, "adapter setting hunter2"),
        ({"endpoint": "https://host/x"}, {}, "secret signing: is missing"),
        ({"endpoint": "https://host/x"}, {"signing": "aHVudGVyMg=="}, "secret signing: must be"),
        ({"endpoint": "https://host/x"}, {"signing": "whsec_hunter2"}, "secret signing: must be"),
        (
            {"endpoint": "https://host/x"},
            {"signing": SECRET, "signing-previous": "whsec_aHVudGVyMg=="},
            "secret signing-previous: must be",
        ),
    ],
)
async def test_wrong_settings_are_named_without_their_value(
    settings: dict[str, Any], secrets: dict[str, str], says_what: str
) -> None:
    wrong = context(settings, secrets)
    with pytest.raises(ValueError, match=says_what) as raised:
        Webhook(wrong)
    assert "=hunter2" not in str(raised.value)
    assert "whsec_h" not in str(raised.value)
    await wrong.close()


async def test_an_unknown_adapter_names_the_known_ones() -> None:
    unused = context({})
    with pytest.raises(ValueError, match=r"must be one of .*webhook"):
        adapter_for("pigeon", unused)
    await unused.close()


def test_every_adapter_has_a_conformance_test() -> None:
    import pathlib

    here = pathlib.Path(__file__).parent
    for name in ADAPTERS.keys() - {"pull"}:  # which calls nobody: the suite's peer would never be called
        suite = here / f"test_{name.replace('-', '_')}.py"
        assert "(AdapterConformance)" in suite.read_text(), f"{suite.name} must subclass the suite"


def batch_answers(*said: tuple[Delivery, str]) -> bytes:
    return json.dumps([{"deliveryId": str(delivery.id), "outcome": outcome} for delivery, outcome in said]).encode()


async def test_a_batch_is_one_signed_request_that_the_cloudevents_library_reads() -> None:
    deliveries = [sample_delivery() for _ in range(3)]
    async with webhook_and_peer() as (adapter, peer):
        peer.does(response(200, batch_answers(*((one, "applied") for one in reversed(deliveries)))))
        ended = await adapter.deliver_many(deliveries)
        again = await adapter.deliver_many(deliveries)
    assert [one.delivery_id for one in ended if isinstance(one, Receipt)] == [one.id for one in deliveries]
    assert len(again) == 3
    first, second = peer.requests
    assert first.headers["content-type"].startswith("application/cloudevents-batch+json")
    assert [event["id"] for event in json.loads(first.body)] == [str(one.id) for one in deliveries]
    assert StandardWebhook(SECRET).verify(first.body, first.headers)
    assert first.headers["webhook-id"] == second.headers["webhook-id"], "the same batch again has the same key"


@pytest.mark.parametrize(
    ("status", "answers", "expected"),
    [
        (200, ("applied", "rejected_invalid"), ("applied", "rejected_invalid")),
        (200, ("unknown", "failed"), (Unknown, Unavailable)),
        (200, ("applied", None), ("applied", "accepted")),
        (200, None, ("accepted", "accepted")),
        (202, b"", ("accepted", "accepted")),
        (200, b'{"outcome":"applied"}', ("accepted", "accepted")),  # of which?
        (422, ("applied", "rejected_invalid"), ("applied", "rejected_invalid")),
        (422, ("applied", None), ("applied", Unknown)),
        (409, b"", (Unknown, Unknown)),
        (503, ("applied", "applied"), (Unavailable, Unavailable)),
        (401, b"", (Misconfigured, Misconfigured)),
    ],
)
async def test_each_of_a_batch_has_its_own_answer(
    status: int, answers: tuple[str | None, ...] | bytes | None, expected: tuple[str | type[Failure], ...]
) -> None:
    deliveries = [sample_delivery(), sample_delivery()]
    if isinstance(answers, tuple):
        body = batch_answers(*((one, said) for one, said in zip(deliveries, answers, strict=True) if said is not None))
    else:
        body = answers if answers is not None else b"<html>OK</html>"
    async with webhook_and_peer() as (adapter, peer):
        peer.does(response(status, body))
        ended = await adapter.deliver_many(deliveries)
    assert [one.outcome if isinstance(one, Receipt) else type(one) for one in ended] == list(expected)


@pytest.mark.parametrize(
    "wrong",
    [{"reference": "Siân, SA1 0ZZ"}, {"outcome": "iawn"}, {"reference": 7}, {"reference": "x" * 65}],
)
async def test_an_answer_of_a_batch_that_is_none_leaves_the_others_theirs(wrong: dict[str, Any]) -> None:
    deliveries = [sample_delivery() for _ in range(3)]
    said: list[Any] = [{"deliveryId": str(one.id), "outcome": "applied", "reference": "CT-1"} for one in deliveries]
    said[1] |= wrong
    for status, second in ((200, "accepted"), (422, Unknown)):
        async with webhook_and_peer() as (adapter, peer):
            peer.does(response(status, json.dumps([*said, None, "?"]).encode()))
            ended = await adapter.deliver_many(deliveries)
        found = [one.outcome.value if isinstance(one, Receipt) and one.outcome else type(one) for one in ended]
        assert found == ["applied", second, "applied"]
        assert [one.reference for one in ended[::2] if isinstance(one, Receipt)] == ["CT-1"] * 2


@pytest.mark.parametrize("body", [b"", b"[]", b'{"outcome":"rejected_invalid"}', b"no"])
async def test_a_batch_refused_without_a_word_on_any_rejects_nobody_for_good(body: bytes) -> None:
    async with webhook_and_peer() as (adapter, peer):
        peer.does(response(400, body))
        with pytest.raises(Misconfigured):
            await adapter.deliver_many([sample_delivery(), sample_delivery()])


# Golden events: what any organisation gets that is sent, or comes for, CloudEvents

GOLDEN = Path(__file__).parent / "golden"
GOLDENS = {
    "address-arriving": sample_delivery(delivery_id=TAKEN_BACK),
    "address-leaving": sample_delivery(
        delivery_id=TAKEN_BACK,
        data=canonical(
            json.loads(WELSH)
            | {"change": {"previousAddress": json.loads(WELSH)["change"]["previousAddress"]}, "roles": ["leaving"]}
        ),
    ),
    "change-withdrawn": sample_withdrawal(WELSH),
}


@pytest.mark.parametrize("name", GOLDENS)
async def test_golden_events(name: str) -> None:
    delivery = GOLDENS[name]
    async with webhook_and_peer() as (adapter, peer):
        await adapter.deliver(delivery)
    request = peer.requests[0]
    assert request.body.decode() + "\n" == (GOLDEN / f"event-{name}.json").read_text(encoding="utf-8")
    event = from_http_event(HTTPMessage(headers=request.headers, body=request.body))
    assert (event.get_id(), event.get_type()) == (str(delivery.id), delivery.type)
    judges = schemas()
    jsonschema_rs.validator_for(judges["event.v1"], validate_formats=True).validate(json.loads(request.body))
    kind = "change-withdrawn.v1" if name == "change-withdrawn" else "address-changed.v1"
    jsonschema_rs.validator_for(judges[kind], validate_formats=True).validate(event.get_data())


async def test_ten_thousand_people_are_sent_in_batches_and_come_back_identical() -> None:
    told = list(people(10_000))
    deliveries = [sample_delivery(data=canonical(data)) for data in told]
    async with webhook_and_peer() as (adapter, peer):
        for first in range(0, len(deliveries), 500):
            await adapter.deliver_many(deliveries[first : first + 500])
        bodies = [request.body for request in peer.requests]
    assert [event["data"] for body in bodies for event in json.loads(body)] == told
    for delivery in deliveries[::1000]:
        read = from_http_event(HTTPMessage(headers={"content-type": CONTENT_TYPE}, body=structured(delivery)))
        assert read.get_data() == json.loads(delivery.data)

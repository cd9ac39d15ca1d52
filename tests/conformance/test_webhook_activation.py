"""Nothing is delivered to an endpoint that has not agreed, by the webhook adapter on the real way out."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from adapters.activation import ASKED_AGAIN, Activation, understood
from adapters.conformance import attempt, sample_delivery
from adapters.conformance_http import HttpPeer, response
from adapters.registry import adapter_for
from broker.delivery.adapting import HeldAdapter
from contracts.adapters import Adapter, HttpAnswer
from contracts.delivery import Failure, Misconfigured, Unavailable
from contracts.examples import ORGANISATION
from contracts.organisation import Organisation
from contracts.receipts import Receipt
from contracts.statuses import Reason
from tests.conformance.test_webhook import SECRET, webhook_and_peer
from tests.support.ways_out import context

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


def agreeing(*headers: tuple[str, str], status: int = 200) -> bytes:
    return response(status, b"", *headers)


async def test_an_endpoint_is_asked_once_before_the_first_of_many_and_told_who_asks() -> None:
    async with HttpPeer() as peer:
        peer.agrees = agreeing(("WebHook-Allowed-Origin", "Unwaith.Example"), ("WebHook-Allowed-Rate", "120"))

        async def make(_: Organisation) -> Adapter:
            return adapter_for("webhook", context({"endpoint": peer.url}, {"signing": SECRET}, rate=10.0))

        held = HeldAdapter(make)
        assert held.rate() is None
        made = await held.taken(ORGANISATION, b"")
        assert held.rate() is None, "it has not said yet"
        ended = await asyncio.gather(*(attempt(made.adapter, sample_delivery()) for _ in range(20)))
        assert held.rate() == 2.0
        held.back(made)
        await held.close()
    assert all(isinstance(one, Receipt) for one in ended)
    assert len(peer.asked) == 1
    asked = peer.asked[0]
    assert asked.path == peer.requests[0].path
    assert asked.headers["webhook-request-origin"] == "unwaith.example"
    assert asked.headers["webhook-request-rate"] == "600"


@pytest.mark.parametrize(
    ("agrees", "kind", "reason"),
    [
        (agreeing(), Misconfigured, Reason.NOT_ACTIVATED),
        (agreeing(("WebHook-Allowed-Origin", "another.example")), Misconfigured, Reason.NOT_ACTIVATED),
        (agreeing(("WebHook-Allowed-Origin", "")), Misconfigured, Reason.NOT_ACTIVATED),
        (agreeing(("WebHook-Allowed-Origin", "*"), status=405), Misconfigured, Reason.NOT_ACTIVATED),
        (agreeing(("WebHook-Allowed-Origin", "*"), status=501), Misconfigured, Reason.NOT_ACTIVATED),
        (agreeing(("WebHook-Allowed-Origin", "*"), ("WebHook-Allowed-Rate", "0")), Misconfigured, Reason.NOT_ACTIVATED),
        (agreeing(status=401), Misconfigured, Reason.UNAUTHORISED),
        (agreeing(status=404), Misconfigured, Reason.ENDPOINT_MISSING),
        (agreeing(status=307), Misconfigured, Reason.REDIRECTED),
        (agreeing(status=503), Unavailable, Reason.SERVER_ERROR),
        (agreeing(("Retry-After", "60"), status=429), Unavailable, Reason.TOO_MANY_REQUESTS),
        (b"SSH-2.0-no-http\r\n\r\n", Unavailable, Reason.ANSWER_UNREADABLE),
    ],
)
async def test_who_does_not_agree_is_sent_nothing(agrees: bytes, kind: type[Failure], reason: Reason) -> None:
    async with webhook_and_peer() as (adapter, peer):
        agreed, peer.agrees = peer.agrees, agrees
        deliveries = [sample_delivery() for _ in range(5)]
        ended = await asyncio.gather(*(attempt(adapter, one) for one in deliveries))
        assert {type(one) for one in ended} == {kind}
        assert {one.reason for one in ended} == {reason}
        with pytest.raises(kind):
            await adapter.deliver_many(deliveries)
        assert not peer.requests
        peer.agrees = agreed
        assert isinstance(await attempt(adapter, deliveries[0]), Receipt), "nothing that was refused is kept"


async def test_of_many_who_wait_one_asks_for_all() -> None:
    async with webhook_and_peer() as (adapter, peer):
        peer.agrees = agreeing()
        await asyncio.gather(*(attempt(adapter, sample_delivery()) for _ in range(50)))
        assert len(peer.asked) == 1


async def test_it_is_asked_again_after_a_day_and_what_was_agreed_may_end() -> None:
    now = [NOW]
    async with HttpPeer() as peer:
        reaching = context({})
        activation = Activation(
            reaching.http,
            peer.url,
            origin="unwaith.example",
            rate=None,
            deadline=timedelta(seconds=10),
            clock=lambda: now[0],
        )
        for _ in range(3):
            await activation.agreed()
        assert len(peer.asked) == 1
        assert "webhook-request-rate" not in peer.asked[0].headers
        peer.agrees = agreeing()
        now[0] += ASKED_AGAIN - timedelta(seconds=1)
        await activation.agreed()
        now[0] += timedelta(seconds=1)
        with pytest.raises(Misconfigured):
            await activation.agreed()
        await reaching.close()


async def test_who_has_agreed_in_writing_is_not_asked() -> None:
    async with webhook_and_peer(activation="agreed") as (adapter, peer):
        peer.agrees = agreeing(status=405)
        assert isinstance(await attempt(adapter, sample_delivery()), Receipt)
        assert not peer.asked
        assert adapter.rate is None


def told(status: int, **headers: str) -> float | Failure | None:
    try:
        return understood(HttpAnswer(status, headers, b""), "unwaith.example", NOW)
    except Failure as failure:
        return failure


@pytest.mark.parametrize(
    ("said", "agreed"), [("*", None), ("1", 1 / 60), (" 600 ", 10.0), ("999999999", 999999999 / 60)]
)
def test_the_rate_is_so_many_a_minute(said: str, agreed: float | None) -> None:
    assert told(204, **{"webhook-allowed-origin": "*", "webhook-allowed-rate": said}) == agreed


@pytest.mark.parametrize("said", ["", "0", "-1", "1.5", "1e9", "٣", "9999999999", "60;q=1"])
def test_a_rate_that_is_none_is_no_agreement(said: str) -> None:
    failure = told(200, **{"webhook-allowed-origin": "*", "webhook-allowed-rate": said})
    assert isinstance(failure, Misconfigured)
    assert failure.reason is Reason.NOT_ACTIVATED

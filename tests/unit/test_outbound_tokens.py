"""Access tokens: when one is had anew, and who waits for it. The clock is the test's."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from broker.outbound.oauth import Proof, Tokens, understood
from contracts.adapters import HttpAnswer
from contracts.credentials import ClientCredentials
from contracts.delivery import Failure, Misconfigured, Unavailable
from contracts.statuses import Reason

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
CREDENTIALS = ClientCredentials(token_endpoint="https://as.example/token", client_id="us")


class Endpoint:
    """A token endpoint whose answers wait until they are let go."""

    def __init__(self) -> None:
        self.now = START
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()
        self.fails: Failure | None = None

    async def post(self, url: str, *, headers: Mapping[str, str], content: bytes) -> HttpAnswer:
        self.asked += 1
        mine = self.asked
        await self.open.wait()
        if self.fails is not None:
            raise self.fails
        return HttpAnswer(
            200, {}, json.dumps({"access_token": f"t{mine}", "token_type": "bearer", "expires_in": 100}).encode()
        )

    def tokens(self) -> Tokens:
        async def prove() -> Proof:
            return Proof()

        return Tokens(self.post, CREDENTIALS, prove, lambda: self.now)


async def until_asked(endpoint: Endpoint, times: int) -> None:
    async with asyncio.timeout(10):
        while endpoint.asked < times:
            await asyncio.sleep(0)


async def test_one_asks_for_all_and_who_gives_up_takes_it_from_nobody() -> None:
    endpoint = Endpoint()
    tokens = endpoint.tokens()
    endpoint.open.clear()
    waiting = [asyncio.create_task(tokens.token(10)) for _ in range(100)]
    await until_asked(endpoint, 1)
    waiting[0].cancel()
    endpoint.open.set()
    had = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(had[0], asyncio.CancelledError)
    assert had[1:] == ["t1"] * 99
    assert endpoint.asked == 1


async def test_it_is_renewed_beside_what_goes_on_and_never_sent_after_its_end() -> None:
    endpoint = Endpoint()
    tokens = endpoint.tokens()
    assert await tokens.token(10) == "t1"
    endpoint.now = START + timedelta(seconds=79)
    assert await tokens.token(10) == "t1"
    assert endpoint.asked == 1
    endpoint.open.clear()
    endpoint.now = START + timedelta(seconds=81)
    assert await tokens.token(10) == "t1", "it is good still, and nobody waits"
    await until_asked(endpoint, 2)
    endpoint.now = START + timedelta(seconds=96)
    late = asyncio.create_task(tokens.token(10))
    await asyncio.sleep(0)
    assert not late.done(), "too near its end to be sent"
    endpoint.open.set()
    assert await late == "t2"
    assert endpoint.asked == 2


async def test_an_outage_of_the_endpoint_is_not_noticed_while_the_token_is_good() -> None:
    endpoint = Endpoint()
    tokens = endpoint.tokens()
    await tokens.token(10)
    endpoint.fails = Unavailable(Reason.CONNECTION_REFUSED)
    endpoint.now = START + timedelta(seconds=81)
    for _ in range(5):
        assert await tokens.token(10) == "t1"
        await until_asked(endpoint, 2)
        await asyncio.sleep(0)
    assert endpoint.asked == 2, "not asked again at once"
    endpoint.now = START + timedelta(seconds=90)
    assert await tokens.token(10) == "t1"
    await until_asked(endpoint, 3)
    await asyncio.sleep(0)
    endpoint.now = START + timedelta(seconds=96)
    with pytest.raises(Unavailable):
        await tokens.token(10)


async def test_only_the_token_that_was_refused_is_let_go() -> None:
    endpoint = Endpoint()
    tokens = endpoint.tokens()
    first = await tokens.token(10)
    tokens.refused(first)
    assert await tokens.token(10) == "t2"
    tokens.refused(first)  # by one that was sent before
    assert await tokens.token(10) == "t2"
    assert endpoint.asked == 2


async def test_who_waits_too_long_has_sent_nothing() -> None:
    endpoint = Endpoint()
    endpoint.open.clear()
    tokens = endpoint.tokens()
    with pytest.raises(Unavailable) as raised:
        await tokens.token(0.01)
    assert raised.value.reason is Reason.DEADLINE_PASSED
    endpoint.open.set()
    assert await tokens.token(10) == "t1", "what was asked for is had by the next"


def told(status: int, body: bytes = b"", **headers: str) -> str | Failure:
    try:
        return understood(HttpAnswer(status, headers, body), START).text
    except Failure as failure:
        return failure


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (400, b'{"error":"invalid_client"}', Misconfigured, Reason.TOKEN_REFUSED),
        (401, b"", Misconfigured, Reason.TOKEN_REFUSED),
        (401, b'{"error":["temporarily_unavailable"]}', Misconfigured, Reason.TOKEN_REFUSED),
        (400, b'{"error":"server_error"}', Unavailable, Reason.SERVER_ERROR),
        (404, b"", Misconfigured, Reason.ENDPOINT_MISSING),
        (302, b"", Misconfigured, Reason.REDIRECTED),
        (201, b'{"access_token":"t","token_type":"Bearer"}', Misconfigured, Reason.ADAPTER_FAULT),
        (200, b'["access_token"]', Misconfigured, Reason.ANSWER_UNREADABLE),
        (200, b'{"access_token":"t","token_type":"Bearer","expires_in":true}', Misconfigured, Reason.ANSWER_UNREADABLE),
        (200, b"[" * 100_000, Misconfigured, Reason.ANSWER_UNREADABLE),
    ],
)
def test_the_table_of_answers(status: int, body: bytes, kind: type[Failure], reason: Reason) -> None:
    failure = told(status, body)
    assert type(failure) is kind
    assert failure.reason is reason


@pytest.mark.parametrize(
    "seconds", ["3600", '"3600"', "1e9", pytest.param("1" * 400, id="endless"), "-5", "0.5", "NaN"]
)
def test_how_long_it_is_good_is_bounded(seconds: str) -> None:
    body = b'{"access_token":"t","token_type":"Bearer","expires_in":%s}' % seconds.encode()
    if seconds == "NaN":
        assert isinstance(told(200, body), Misconfigured)
        return
    token = understood(HttpAnswer(200, {}, body), START)
    assert START <= token.renewed_at <= token.ends_at <= START + timedelta(days=1)
    assert "'t'" not in repr(token)


def test_a_busy_endpoint_says_when() -> None:
    failure = told(503, b"", **{"retry-after": "120"})
    assert isinstance(failure, Unavailable)
    assert failure.retry_after == 120

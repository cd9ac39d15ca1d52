"""The sample organisations' systems over HTTP: signatures, one effect an id, order, behaviours, and what survives."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from joserfc import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from adapters.standard_webhooks import signature_headers
from broker.sandbox.apps import exchange_access, sandbox_apps
from broker.sandbox.definitions import sample_organisations
from broker.sandbox.exchange_access import ExchangeAccess
from broker.sandbox.organisations import organisation_app
from broker.sandbox.state import SandboxState
from contracts.delivery import Delivery
from contracts.events import CONTENT_TYPE, canonical, structured
from contracts.receipts import Answer
from contracts.statuses import Outcome

HERE = "http://127.0.0.1:8111"
SECRET = b"a secret of thirty-two bytes....."
CARDIFF, *_ = sample_organisations(dict.fromkeys(("cardiff-council", "swansea-council", "transport-for-wales"), HERE))
TOLD = {"person": {"name": {"nameParts": [{"type": "FamilyName", "value": "Pen-y-dŵr <b>"}]}}, "roles": ["arriving"]}


class SetClock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def delivery(
    sequence: int = 1, *, subject: str = "person-1", data: Any = None, identifier: UUID | None = None
) -> Delivery:
    return Delivery(
        id=identifier or uuid4(),
        organisation="cardiff-council",
        epoch=0,
        attempt=1,
        sequence=sequence,
        type="wales.unwaith.address-changed.v1",
        source="https://unwaith.example",
        subject=subject,
        time=datetime(2026, 9, 1, tzinfo=UTC),
        dataschema="urn:wales:unwaith:schema:address-changed.v1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        origin="origin-1",
        data=canonical(data or TOLD),
    )


class System:
    """One running sample organisation and a signing caller."""

    def __init__(self, http: httpx.AsyncClient, clock: SetClock) -> None:
        self.http = http
        self.clock = clock

    async def send(self, told: Delivery, **changed: str | None) -> httpx.Response:
        return await self.post(structured(told), str(told.id), **changed)

    async def post(self, body: bytes, identifier: str = "any", **changed: str | None) -> httpx.Response:
        signed = signature_headers([SECRET], identifier, int(self.clock().timestamp()), body)
        headers: dict[str, str | None] = {"content-type": CONTENT_TYPE} | signed  # type: ignore[assignment]
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        kept = {name: value for name, value in headers.items() if value is not None}
        return await self.http.post("/events", content=body, headers=kept)

    async def tell(self, **behaviour: Any) -> httpx.Response:
        return await self.http.post("/sandbox/behaviour", json=behaviour)

    async def inbox(self) -> dict[str, Any]:
        told: dict[str, Any] = (await self.http.get("/inbox.json")).json()
        return told

    async def events(self) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = (await self.inbox())["events"]
        return told

    async def totals(self) -> dict[str, int]:
        told: dict[str, int] = (await self.inbox())["totals"]
        return told


@asynccontextmanager
async def running(
    inbox: Path,
    clock: SetClock,
    access: ExchangeAccess | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[System]:
    app = organisation_app(
        organisation=CARDIFF, secret=SECRET, inbox=inbox, access=access, clock=clock, transport=transport
    )
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as http,
    ):
        yield System(http, clock)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    return tmp_path / "inbox.sqlite3"


@pytest.fixture
async def system(inbox: Path, clock: SetClock) -> AsyncIterator[System]:
    async with running(inbox, clock) as running_system:
        yield running_system


# --- taking an event --------------------------------------------------------------------------------------------


async def test_an_event_is_applied_once_and_answered_the_same_again(system: System) -> None:
    told = delivery()
    answers = [await system.send(told) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert {answer.text for answer in answers} == {'{"outcome":"applied","reference":"CDF-000001"}'}
    [event] = await system.events()
    assert (event["id"], event["subject"], event["sequence"]) == (str(told.id), "person-1", 1)
    assert event["receipts"] == 3
    totals = await system.totals()
    assert (totals["events"], totals["effects"], totals["receipts"]) == (1, 1, 3)
    assert totals["orderViolations"] == totals["dataViolations"] == totals["webhookIdViolations"] == 0
    assert "Pen-y-dŵr" not in (await system.http.get("/inbox.json")).text
    assert (await system.http.get(f"/inbox/{told.id}.json")).json()["data"] == TOLD
    assert (await system.http.get(f"/inbox/{uuid4()}.json")).status_code == 404


async def test_the_digest_is_of_the_bytes_that_were_frozen(system: System) -> None:
    import hashlib

    told = delivery(data={"change": {"household": [], "ŵ": "â", "n": 900000000001}})
    await system.send(told)
    assert (await system.events())[0]["digest"] == hashlib.sha256(told.data).hexdigest()


async def test_a_repeat_sent_at_the_same_moment_has_one_effect(system: System) -> None:
    told = delivery()
    answers = await asyncio.gather(*(system.send(told) for _ in range(20)))
    assert {answer.text for answer in answers} == {'{"outcome":"applied","reference":"CDF-000001"}'}
    assert (await system.totals())["effects"] == 1


@pytest.mark.parametrize("changed", ["data", "sequence", "subject"])
async def test_the_same_id_for_something_else_is_a_violation(system: System, changed: str) -> None:
    first = delivery()
    other: dict[str, Any] = {"data": {"person": {}}, "sequence": 2, "subject": "person-2"}
    await system.send(first)
    answer = await system.send(delivery(**{changed: other[changed]}, identifier=first.id))
    assert answer.status_code == 409
    totals = await system.totals()
    assert (totals["dataViolations"], totals["effects"], totals["receipts"]) == (1, 1, 1)


async def test_an_older_sequence_is_ignored_and_counted(system: System) -> None:
    for sequence in (1, 5):  # a gap is no violation: a delivery may have been withheld for good
        assert (await system.send(delivery(sequence))).json()["outcome"] == "applied"
    late = delivery(3)
    for _ in range(2):
        answer = await system.send(late)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "superseded")
    assert (await system.send(delivery(5))).json()["outcome"] == "superseded"
    assert (await system.send(delivery(3, subject="person-2"))).json()["outcome"] == "applied"
    totals = await system.totals()
    assert (totals["orderViolations"], totals["effects"]) == (2, 3)


async def test_a_webhook_id_that_is_not_the_events_is_counted(system: System) -> None:
    told = delivery()
    assert (await system.post(structured(told), str(uuid4()))).status_code == 200
    assert (await system.totals())["webhookIdViolations"] == 1


# --- signatures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook_id": None},
        {"webhook_timestamp": None},
        {"webhook_signature": None},
        {"webhook_signature": ""},
        {"webhook_signature": "v1,"},
        {"webhook_signature": "v1,AAAA"},
        {"webhook_signature": "v1,not base64!"},
        {"webhook_signature": "v1a,AAAA v2,AAAA"},
        {"webhook_id": "another"},
        {"webhook_timestamp": "1700000000"},
        {"webhook_timestamp": "now"},
        {"webhook_timestamp": "-1"},
        {"webhook_timestamp": "1e9"},
        {"webhook_signature": "v1,AAAA " * 600},
    ],
)
async def test_an_unsigned_event_is_turned_away(system: System, changed: dict[str, str | None]) -> None:
    assert (await system.send(delivery(), **changed)).status_code == 401
    totals = await system.totals()
    assert (totals["events"], totals["turnedAway"]) == (0, 1)


async def test_a_changed_body_is_turned_away(system: System) -> None:
    told = delivery()
    signed = signature_headers([SECRET], str(told.id), int(system.clock().timestamp()), structured(told))
    changed = structured(told).replace(b"person-1", b"person-2")
    answer = await system.post(changed, str(told.id), webhook_signature=signed["webhook-signature"])
    assert answer.status_code == 401


async def test_another_organisations_secret_does_not_sign(system: System) -> None:
    told = delivery()
    foreign = signature_headers([SECRET[::-1]], str(told.id), int(system.clock().timestamp()), structured(told))
    assert (await system.send(told, webhook_signature=foreign["webhook-signature"])).status_code == 401


@pytest.mark.parametrize(("seconds", "status"), [(-299, 200), (299, 200), (-302, 401), (302, 401)])
async def test_a_signature_holds_five_minutes_either_way(system: System, seconds: int, status: int) -> None:
    told = delivery()
    moment = system.clock() + timedelta(seconds=seconds)
    headers = signature_headers([SECRET], str(told.id), int(moment.timestamp()), structured(told))
    answer = await system.send(told, **{name.replace("-", "_"): value for name, value in headers.items()})
    assert answer.status_code == status


async def test_one_good_signature_of_two_is_enough(system: System) -> None:
    told = delivery()
    moment = int(system.clock().timestamp())
    both = signature_headers([b"the new secret", SECRET], str(told.id), moment, structured(told))
    assert (await system.send(told, webhook_signature=both["webhook-signature"])).status_code == 200


async def test_the_reference_implementation_signs_what_we_take(system: System) -> None:
    from standardwebhooks import Webhook

    told = delivery()
    body = structured(told)
    moment = system.clock().replace(microsecond=0)
    signature = Webhook(SECRET).sign(str(told.id), moment, body.decode())
    answer = await system.send(told, webhook_signature=signature, webhook_timestamp=str(int(moment.timestamp())))
    assert answer.status_code == 200


# --- what is no event -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/cloudevents-batch+json", "application/cloudevents+json; charset=utf-16", None],
)
async def test_only_the_structured_mode_is_taken(system: System, content_type: str | None) -> None:
    assert (await system.send(delivery(), content_type=content_type)).status_code == 415


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents+json", 'Application/CloudEvents+JSON;charset="UTF-8"']
)
async def test_the_media_type_may_be_written_otherwise(system: System, content_type: str) -> None:
    assert (await system.send(delivery(), content_type=content_type)).status_code == 200


def altered(**changed: Any) -> bytes:
    event = json.loads(structured(delivery())) | changed
    return json.dumps({name: value for name, value in event.items() if value is not None}).encode()


NO_EVENTS = (
    b"",
    b"[]",
    b"{",
    b"\xff",
    altered(specversion="0.3"),
    altered(id="one"),
    altered(subject=None),
    altered(sequence=1),
    altered(sequence="1"),
    altered(sequence="00000000000٣"),
    altered(data=None),
    altered(data=[]),
    altered(data={"a": 1.5}),
    altered(data={"a": float("nan")}),
    altered(datacontenttype="text/plain"),
    altered(time="yesterday"),
    altered(time=0),
)


@pytest.mark.parametrize("body", NO_EVENTS, ids=range(len(NO_EVENTS)))  # each worker makes other ids
async def test_what_is_no_event_is_refused_without_echo(system: System, body: bytes) -> None:
    answer = await system.post(body)
    assert answer.status_code == 422
    assert "Pen-y-d" not in answer.text
    assert (await system.totals())["events"] == 0


async def test_a_large_event_is_not_read(system: System) -> None:
    assert (await system.post(b"x" * 1_100_000)).status_code == 413


# --- behaviours -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["not_matched", "must_review"])
async def test_answers_as_told_until_told_otherwise(system: System, kind: str) -> None:
    assert (await system.tell(behaviour=kind)).status_code == 200
    first = delivery()
    assert (await system.send(first)).json()["outcome"] == kind
    assert (await system.totals())["effects"] == 0
    await system.tell(behaviour="applied")
    assert (await system.send(first)).json()["outcome"] == kind  # the same id, the same answer
    assert (await system.send(delivery(2))).json()["outcome"] == "applied"


async def test_failing_for_so_many_requests_takes_nothing_in(system: System) -> None:
    await system.tell(behaviour="failing", status=503, times=2, retryAfter=7)
    told = delivery()
    for _ in range(2):
        answer = await system.send(told)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
        assert await system.events() == []
    assert (await system.send(told)).status_code == 200
    assert (await system.events())[0]["receipts"] == 1


async def test_failing_with_a_code_until_told_otherwise(system: System) -> None:
    await system.tell(behaviour="failing", status=410)
    assert [(await system.send(delivery())).status_code for _ in range(3)] == [410] * 3
    assert (await system.http.get("/sandbox/behaviour")).json()["behaviour"] == "failing"
    await system.tell()
    assert (await system.send(delivery())).status_code == 200


async def test_slow_has_its_effect_before_its_answer(system: System) -> None:
    await system.tell(behaviour="slow", seconds=60)
    told = delivery()
    waiting = asyncio.create_task(system.send(told))
    await until(lambda: effects_of(system, 1))
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await system.tell(behaviour="applied")
    assert (await system.send(told)).json()["outcome"] == "applied"
    assert (await system.totals())["effects"] == 1


async def test_refusing_takes_nothing_in_and_says_so_for_good(system: System) -> None:
    await system.tell(behaviour="refusing", times=1)
    told = delivery()
    answer = await system.send(told)
    assert (answer.status_code, answer.json()) == (422, {"outcome": "rejected_policy"})
    assert await system.events() == []
    assert (await system.send(told)).status_code == 200


async def test_silent_takes_nothing_in_and_never_answers(system: System) -> None:
    await system.tell(behaviour="silent", times=1)
    waiting = asyncio.create_task(system.send(delivery()))

    async def counted() -> bool:
        return bool((await system.http.get("/sandbox/behaviour")).json()["behaviour"] == "applied")

    await until(counted)
    assert not waiting.done()
    assert await system.events() == []
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.parametrize(
    "told",
    [{"behaviour": "explode"}, {"seconds": -1}, {"status": 200}, {"times": 0}, {"unknown": 1}, {"seconds": "1"}],
)
async def test_a_wrong_behaviour_is_refused(system: System, told: dict[str, Any]) -> None:
    assert (await system.tell(**told)).status_code == 422
    assert (await system.http.get("/sandbox/behaviour")).json()["behaviour"] == "applied"


async def test_a_page_elsewhere_cannot_tell_behaviour(system: System) -> None:
    form = {"behaviour": "failing"}
    assert (await system.http.post("/sandbox/behaviour", data=form)).status_code == 415
    foreign = await system.http.post("/sandbox/behaviour", json=form, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 415
    assert (await system.send(delivery())).status_code == 200


async def test_later_needs_access_to_the_exchange(system: System) -> None:
    assert (await system.tell(behaviour="later")).status_code == 409


# --- answering later --------------------------------------------------------------------------------------------


class Exchange:
    """The exchange's side of a later answer, strict about how it is asked."""

    def __init__(self, key: Any) -> None:
        self.key = key
        self.answers: list[Answer] = []
        self.assertions: set[str] = set()
        self.asked = 0
        self.refuse = [503, 401]
        """Statuses given before the first answer is taken."""
        routes = [
            Route("/oauth/token", self.token, methods=["POST"]),
            Route("/v1/receipts", self.receive, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes)

    async def token(self, request: Request) -> Response:
        form = dict(httpx.QueryParams((await request.body()).decode()))
        assert form["grant_type"] == "client_credentials"
        assertion = jwt.decode(form["client_assertion"], self.key, algorithms=["ES256"]).claims
        assert assertion["iss"] == assertion["sub"] == "cardiff-council"
        assert assertion["aud"] == "http://127.0.0.1:8100/oauth/token"
        assert 0 < assertion["exp"] - assertion["iat"] <= 300
        assert assertion["jti"] not in self.assertions
        self.assertions.add(assertion["jti"])
        return JSONResponse({"access_token": f"token-{len(self.assertions)}", "expires_in": 300})

    async def receive(self, request: Request) -> Response:
        self.asked += 1
        assert request.headers["authorization"] == f"Bearer token-{len(self.assertions)}"
        answer = Answer.model_validate_json(await request.body())
        if self.refuse:
            return Response(status_code=self.refuse.pop(0))
        self.answers.append(answer)
        return JSONResponse({}, 202)


@pytest.fixture
def state(tmp_path: Path) -> SandboxState:
    return SandboxState.open(tmp_path / "sandbox")


@pytest.fixture
def access(state: SandboxState) -> ExchangeAccess:
    base = "http://127.0.0.1:8100"
    return exchange_access(
        state, "cardiff-council", token_url=f"{base}/oauth/token", receipts_url=f"{base}/v1/receipts"
    )


@pytest.fixture
def exchange(state: SandboxState) -> Exchange:
    return Exchange(state.client_key("cardiff-council"))


async def effects_of(system: System, number: int) -> bool:
    return (await system.totals())["effects"] == number


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.01)


async def test_received_now_and_applied_later_over_a_restart(
    inbox: Path, clock: SetClock, access: ExchangeAccess, exchange: Exchange
) -> None:
    told = delivery()
    way = httpx.ASGITransport(exchange.app)
    async with running(inbox, clock, access, way) as system:
        assert (await system.tell(behaviour="later", seconds=5)).status_code == 200
        answer = await system.send(told)
        assert (answer.status_code, answer.json()) == (202, {"outcome": "received", "reference": "CDF-000001"})
        assert (await system.send(told)).status_code == 202
        assert exchange.asked == 0
    async with running(inbox, clock, access, way) as system:
        for asked in (1, 2, 3):  # 503, then 401, then taken
            clock.now += timedelta(seconds=10)
            await until(lambda asked=asked: reached(exchange, asked))  # type: ignore[misc]
        await until(lambda: answered(system))
    [given] = exchange.answers
    assert (given.delivery_id, given.outcome, given.reference) == (told.id, Outcome.APPLIED, "CDF-000001")
    assert len(exchange.assertions) == 2  # a refused token is not used again, a good one is


async def test_a_later_answer_refused_for_good_is_not_repeated(
    inbox: Path, clock: SetClock, access: ExchangeAccess, exchange: Exchange
) -> None:
    exchange.refuse = [404]
    async with running(inbox, clock, access, httpx.ASGITransport(exchange.app)) as system:
        await system.tell(behaviour="later", seconds=0)
        await system.send(delivery())
        await until(lambda: reached(exchange, 1))
        clock.now += timedelta(hours=1)
        await system.send(delivery(2))
        await until(lambda: reached(exchange, 2))
        await until(lambda: answered(system, 1))
        assert exchange.asked == 2
        assert (await system.events())[0]["answeredLater"] is False


async def reached(exchange: Exchange, asked: int) -> bool:
    return exchange.asked >= asked


async def answered(system: System, index: int = 0) -> bool:
    return (await system.events())[index]["answeredLater"] is True


# --- what survives, how fast, and the page ----------------------------------------------------------------------


async def test_the_inbox_survives_a_restart(inbox: Path, clock: SetClock) -> None:
    first, second = delivery(1), delivery(2)
    async with running(inbox, clock) as system:
        await system.send(first)
        answer = await system.send(second)
        before = await system.events()
    assert {file.stat().st_mode & 0o077 for file in inbox.parent.glob("inbox.sqlite3*")} == {0}
    async with running(inbox, clock) as system:
        assert await system.events() == before
        assert (await system.send(second)).text == answer.text
        assert (await system.send(delivery(1))).json()["outcome"] == "superseded"
        assert (await system.send(delivery(3))).json()["reference"] == "CDF-000004"


async def test_an_answer_is_given_only_after_its_effect_is_on_disk(inbox: Path, clock: SetClock) -> None:
    """Another reader of the file sees the event the moment the answer is there."""
    import sqlite3

    async with running(inbox, clock) as system:
        for sequence in range(1, 21):
            await system.send(delivery(sequence))
            reader = sqlite3.connect(f"file:{inbox}?mode=ro", uri=True)
            assert reader.execute("SELECT count(*) FROM events").fetchone() == (sequence,)
            reader.close()


async def test_thousands_at_once_each_have_one_effect_in_order(inbox: Path, clock: SetClock) -> None:
    async with running(inbox, clock) as system:

        async def person(number: int) -> None:
            for sequence in range(1, 11):
                assert (await system.send(delivery(sequence, subject=f"person-{number}"))).status_code == 200

        await asyncio.gather(*(person(number) for number in range(200)))
        totals = await system.totals()
        assert (totals["events"], totals["effects"], totals["orderViolations"]) == (2000, 2000, 0)
        references = [event["reference"] for event in await system.events()]
        assert len(set(references)) == 2000


async def test_a_closed_inbox_says_so(inbox: Path, clock: SetClock) -> None:
    app = organisation_app(organisation=CARDIFF, secret=SECRET, inbox=inbox, clock=clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as http:
        answer = await System(http, clock).send(delivery())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def inside(system: System) -> Any:
    """The inbox behind a running system."""
    app: Any = system.http._transport.app  # type: ignore[attr-defined]  # the transport is the fixture's own
    return next(route for route in app.routes if route.path == "/events").endpoint.__self__._inbox


async def test_a_write_that_fails_leaves_no_trace(inbox: Path, clock: SetClock) -> None:
    async with running(inbox, clock) as system:
        trigger = "CREATE TRIGGER fault BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'fault'); END"
        await inside(system)._read(lambda file: file.execute(trigger))
        told = delivery()
        assert (await system.send(told)).status_code == 503
        await inside(system)._read(lambda file: file.execute("DROP TRIGGER fault"))
        # its place in the person's order was not taken either
        assert (await system.send(told)).json()["outcome"] == "applied"
        assert (await system.totals())["orderViolations"] == 0


async def test_a_full_disk_loses_nothing_that_was_answered(inbox: Path, clock: SetClock) -> None:
    async with running(inbox, clock) as system:
        assert (await system.send(delivery(1))).status_code == 200
        kept = inside(system)
        pages = await kept._read(lambda file: file.execute("PRAGMA page_count").fetchone()[0])
        await kept._read(lambda file: file.execute(f"PRAGMA max_page_count = {pages}"))
        told = [delivery(1, subject=f"mover-{number}", data={"x": "y" * 4000}) for number in range(9)]
        answers = [await system.send(one) for one in told]
        assert answers[-1].status_code == 503
        assert (await system.totals())["events"] == 1 + sum(answer.status_code == 200 for answer in answers)
        await kept._read(lambda file: file.execute("PRAGMA max_page_count = 1073741823"))
        for one in told:  # what was refused left no trace, so it is new and in order
            assert (await system.send(one)).json()["outcome"] == "applied"
        assert (await system.totals())["orderViolations"] == 0


async def test_the_page_shows_what_came_in_as_text(system: System) -> None:
    for sequence in range(1, 31):
        await system.send(delivery(sequence))
    page = await system.http.get("/")
    assert "Cardiff Council" in page.text
    assert "Cyngor Caerdydd" in page.text
    assert "Pen-y-dŵr &lt;b&gt;" in page.text
    assert "<b>" not in page.text
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.text.index("CDF-000030") < page.text.index("CDF-000006")
    assert "CDF-000005" not in page.text
    older = await system.http.get("/?before=6")
    assert "CDF-000005" in older.text
    assert "CDF-000006" not in older.text
    assert '<a href="/?before=6">' in page.text
    assert (await system.http.get("/?before=abc")).status_code == 200


@pytest.mark.parametrize("path", ["/", "/inbox.json", "/livez"])
async def test_only_this_machine_is_answered(system: System, path: str) -> None:
    assert (await system.http.get(path)).status_code == 200
    assert (await system.http.get(path, headers={"Host": "evil.example"})).status_code == 403


async def test_everything_the_sandbox_serves(state: SandboxState) -> None:
    apps = sandbox_apps(
        state,
        issuer="http://127.0.0.1:8102/",
        clients=[],
        api_audience="https://api.unwaith.example",
        organisations=sample_organisations(
            dict.fromkeys(("cardiff-council", "swansea-council", "transport-for-wales"), HERE)
        ),
    )
    assert [name for name, _ in apps] == ["provider", "cardiff-council", "swansea-council", "transport-for-wales"]
    async with AsyncExitStack() as stack:
        for _, app in apps:
            await stack.enter_async_context(app.router.lifespan_context(app))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as http:
                assert (await http.get("/livez")).text == "ok\n"
                assert (await http.get("/")).status_code == 200


async def test_it_agrees_to_be_sent_to_by_who_asks_and_names_itself(system: System) -> None:
    asked = {"webhook-request-origin": "unwaith.example", "webhook-request-rate": "60"}
    agreed = await system.http.options("/events", headers=asked)
    assert agreed.status_code == 200
    assert agreed.headers["webhook-allowed-origin"] == "unwaith.example"
    assert agreed.headers["webhook-allowed-rate"] == "*"
    nameless = await system.http.options("/events")
    assert nameless.status_code == 400
    assert "webhook-allowed-origin" not in nameless.headers

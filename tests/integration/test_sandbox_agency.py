"""The sample agency comes to the real API for its deliveries, and to one that answers oddly."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from adapters.conformance import sample_delivery
from broker.sandbox import agency
from broker.sandbox.agency import agency_app
from broker.sandbox.clock import utc_now
from broker.sandbox.definitions import EVERY_ID, NATURAL_RESOURCES, WITH_DOORS, every_organisation
from broker.sandbox.exchange_access import ExchangeAccess
from broker.store import register
from contracts.events import structured
from tests.support import tokens
from tests.support.api import CLIENT_KEY, Api, a_move_on_the_wire
from tests.support.line import organisation

pytestmark = pytest.mark.asyncio(loop_scope="module")

HERE: Final = "http://127.0.0.1:8111"
PULLING: Final = "transport-for-wales"
"""Of the line's three, the one that comes for its deliveries here."""
*_, AGENCY = every_organisation(dict.fromkeys(EVERY_ID, HERE), dict.fromkeys(WITH_DOORS, 9), host_key="")


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def pulled(api: Api) -> None:
    name = f"{PULLING}-{api.line.prefix}"
    settings = organisation(name).model_copy(update={"adapter": "pull", "adapter_settings": {}})
    await register.put_organisation(api.line.database, settings)
    async with asyncio.timeout(30):
        while api.line.directory.organisations()[name].adapter != "pull":
            await asyncio.sleep(0.02)
    api.line.start()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agency, "COMES_EVERY_SECONDS", 0.02)


def access_to(api: Api) -> ExchangeAccess:
    return ExchangeAccess(
        token_url=f"{tokens.OUR_ISSUER}/oauth/token",
        receipts_url=f"{tokens.OUR_ISSUER}/v1/receipts",
        events_url=f"{tokens.OUR_ISSUER}/v1/events",
        client_id=f"{PULLING}-{api.line.prefix}",
        key=ECKey.import_key(CLIENT_KEY.as_dict(private=True) | {"kid": "client"}),
    )


@asynccontextmanager
async def running(inbox: Path, access: ExchangeAccess, exchange: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Run the agency against an exchange that is an app; give its own pages."""
    way = httpx.ASGITransport(exchange)
    app = agency_app(organisation=AGENCY, inbox=inbox, access=access, transport=way)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as pages,
    ):
        yield pages


async def listing(pages: httpx.AsyncClient) -> dict[str, Any]:
    told: dict[str, Any] = (await pages.get("/inbox.json")).json()
    return told


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():
            await asyncio.sleep(0.05)


async def tell(api: Api, number: int) -> Callable[[], Awaitable[dict[str, Any]]]:
    """Tell a move as this citizen; return what gives how far the agency's part of it has come."""
    told = await api.tell(a_move_on_the_wire(), headers=api.citizen(number))
    assert told.status_code == 202, told.text

    async def part() -> dict[str, Any]:
        answer = await api.client.get(told.headers["location"], headers=api.citizen(number))
        found: dict[str, Any] = next(
            one for one in answer.json()["deliveries"] if one["organisation"].startswith(PULLING)
        )
        return found

    return part


async def reaches(part: Callable[[], Awaitable[dict[str, Any]]], status: str) -> None:
    async def there() -> bool:
        return bool((await part())["status"] == status)

    await until(there)


ENDS: Final = {
    "applied": "applied",
    "not_matched": "not_matched",
    "must_review": "needs_review",
    "refusing": "rejected",
    "later": "applied",
    "slow": "applied",
}


async def test_it_comes_keeps_acknowledges_and_answers_as_told(api: Api, tmp_path: Path) -> None:
    assert AGENCY.id == NATURAL_RESOURCES
    async with running(tmp_path / "inbox.sqlite3", access_to(api), api.app) as pages:
        for number, (behaviour, ended) in enumerate(ENDS.items(), start=1):
            told = {"behaviour": behaviour, "seconds": 0.1, "times": 1}
            assert (await pages.post("/sandbox/behaviour", json=told)).status_code == 200
            part = await tell(api, number)
            await reaches(part, ended)
            assert (await part())["reference"] == f"CNC-{number:06d}"
        seen = await listing(pages)
        assert seen["totals"]["events"] == len(ENDS)
        assert "<strong>pull</strong>" in (await pages.get("/")).text


async def test_what_it_does_not_come_for_waits_for_it(api: Api, tmp_path: Path) -> None:
    async with running(tmp_path / "inbox.sqlite3", access_to(api), api.app) as pages:
        for number, behaviour in enumerate(("failing", "silent"), start=20):
            await pages.post("/sandbox/behaviour", json={"behaviour": behaviour})
            part = await tell(api, number)

            async def lies_there(part: Callable[[], Awaitable[dict[str, Any]]] = part) -> bool:
                return bool((await part())["timeline"][-1].get("reason") == "placed")

            await until(lies_there)
            assert (await part())["status"] == "published"
            assert (await listing(pages))["totals"]["events"] == number - 20
            await pages.post("/sandbox/behaviour", json={"behaviour": "applied"})
            await reaches(part, "applied")


async def test_a_restart_goes_on_where_it_was(api: Api, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox.sqlite3"
    async with running(inbox, access_to(api), api.app):
        await reaches(await tell(api, 30), "applied")
    part = await tell(api, 30)
    async with running(inbox, access_to(api), api.app) as pages:
        await reaches(part, "applied")
        events = (await listing(pages))["events"]
        assert [event["sequence"] for event in events] == [1, 2]
        assert len({event["subject"] for event in events}) == 1


class Odd:
    """An exchange that gives these answers to `GET /v1/events` in turn, the last for all that follow."""

    def __init__(self, *answers: Response) -> None:
        self.answers = list(answers)
        self.tokens = 0
        self.acknowledged: list[str] = []
        self.asked = 0
        self.app = Starlette(
            routes=[
                Route("/oauth/token", self.token, methods=["POST"]),
                Route("/v1/events", self.events),
                Route("/v1/events/{event_id}", self.acknowledge, methods=["DELETE"]),
                Route("/v1/receipts", self.receipts, methods=["POST"]),
            ]
        )

    async def token(self, _request: Request) -> Response:
        self.tokens += 1
        return JSONResponse({"access_token": f"token-{self.tokens}", "expires_in": 300})

    async def events(self, _request: Request) -> Response:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def acknowledge(self, request: Request) -> Response:
        self.acknowledged.append(request.path_params["event_id"])
        return Response(status_code=204)

    async def receipts(self, _request: Request) -> Response:
        return JSONResponse({}, 202)


async def test_an_exchange_that_answers_oddly_is_asked_again(api: Api, tmp_path: Path) -> None:
    told = sample_delivery()
    good = json.loads(structured(told))
    odd = Odd(
        Response(status_code=503),
        Response(status_code=401),
        Response(b"\xff"),
        JSONResponse(7),
        JSONResponse({"a": "b"}),
        JSONResponse([1, None, [], {"specversion": "1.0"}, good | {"data": None}]),
        JSONResponse([], headers={"Link": '<http://[>; rel="next"'}),
        JSONResponse([good, good], headers={"Link": '</v1/events?cursor=x>; rel="next"'}),
        JSONResponse([good | {"data": {"other": "data"}}]),
        JSONResponse([]),
    )
    access = replace(access_to(api), token_url="http://odd.example/oauth/token")
    access = replace(access, events_url="http://odd.example/v1/events", receipts_url="http://odd.example/v1/receipts")
    async with running(tmp_path / "inbox.sqlite3", access, odd.app) as pages:

        async def all_given() -> bool:
            return odd.asked > 10

        await until(all_given)
        seen = await listing(pages)
    assert [event["id"] for event in seen["events"]] == [str(told.id)]
    assert (seen["events"][0]["receipts"], seen["totals"]["turnedAway"]) == (2, 7)
    assert odd.acknowledged == [str(told.id)] * 2
    assert odd.tokens >= 2, "one that was refused is used no more"


async def test_it_must_be_told_where_to_come(api: Api, tmp_path: Path) -> None:
    access = replace(access_to(api), events_url=None)
    with pytest.raises(ValueError, match="events_url"):
        agency_app(organisation=AGENCY, inbox=tmp_path / "inbox.sqlite3", access=access, clock=utc_now)

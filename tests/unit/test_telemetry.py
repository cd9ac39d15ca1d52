"""Metrics, health and request timing."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from broker.telemetry.health import health_app, readiness
from broker.telemetry.metrics import Metrics, new_metrics
from broker.telemetry.requests import RequestTiming


async def _yes() -> bool:
    return True


async def _no() -> bool:
    return False


async def _broken() -> bool:
    raise ConnectionError("postgresql://user:secret@host")


async def _silent() -> bool:
    await asyncio.Event().wait()
    return True


def _client(app: object) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]  # any ASGI app
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.fixture
async def timed() -> AsyncIterator[tuple[httpx.AsyncClient, Metrics]]:
    async def one(_request: Request) -> Response:
        return PlainTextResponse("one")

    async def fails(_request: Request) -> Response:
        raise RuntimeError

    metrics = new_metrics()
    routes = [
        Route("/v1/changes/{reference}", one, methods=["GET"]),
        Mount("/inner", routes=[Route("/fails", fails)]),
    ]
    async with _client(RequestTiming(Starlette(routes=routes), metrics)) as client:
        yield client, metrics


def test_two_sets_do_not_share_anything() -> None:
    one, other = new_metrics(), new_metrics()
    one.changes_accepted.labels("address").inc()
    assert one.registry.get_sample_value("unwaith_changes_accepted_total", {"type": "address"}) == 1
    assert other.registry.get_sample_value("unwaith_changes_accepted_total", {"type": "address"}) is None


def test_every_metric_is_ours_by_name_and_said_once() -> None:
    names = [family.name for family in new_metrics().registry.collect()]
    assert len(names) == len(set(names)) == len(Metrics.__dataclass_fields__) - 1
    assert all(name.startswith("unwaith_") for name in names)


async def test_alive_and_ready() -> None:
    async with _client(health_app({"database": _yes, "log": _yes}, new_metrics())) as client:
        assert (await client.get("/livez")).json() == {"alive": True}
        ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, "checks": {"database": True, "log": True}}
    assert ready.headers["cache-control"] == "no-store"


async def test_unready_names_the_part_and_nothing_else() -> None:
    checks = {"database": _broken, "log": _yes, "gate": _no}
    async with _client(health_app(checks, new_metrics())) as client:
        unready = await client.get("/readyz")
        assert (await client.get("/livez")).status_code == 200
    assert unready.status_code == 503
    assert unready.json()["checks"] == {"database": False, "log": True, "gate": False}
    assert "secret" not in unready.text


async def test_a_part_that_does_not_answer_is_not_ready() -> None:
    assert await readiness({"log": _silent, "gate": _yes}, patience_seconds=0.01) == {"log": False, "gate": True}


async def test_metrics_are_served() -> None:
    metrics = new_metrics()
    metrics.relay_published.labels("cardiff").inc(3)
    async with _client(health_app({}, metrics)) as client:
        page = await client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'unwaith_relay_published_total{organisation="cardiff"} 3.0' in page.text


async def test_a_request_is_timed_under_its_template(timed: tuple[httpx.AsyncClient, Metrics]) -> None:
    client, metrics = timed
    await client.get("/v1/changes/ABCD-1234?name=Angharad")
    text = metrics.rendered().decode()
    assert 'method="GET",route="/v1/changes/{reference}",status="200"' in text
    assert "ABCD" not in text
    assert "Angharad" not in text


async def test_strangers_and_failures_make_no_series_of_their_own(timed: tuple[httpx.AsyncClient, Metrics]) -> None:
    client, metrics = timed
    for path in ("/CF10-2AB", "/wp-login", "/v1"):
        await client.get(path)
    await client.request("ANGHARAD", "/nowhere")
    await client.get("/inner/fails")
    text = metrics.rendered().decode()
    assert 'method="GET",route="unknown",status="404"} 3.0' in text
    assert 'method="OTHER"' in text
    assert 'status="500"' in text
    assert "ANGHARAD" not in text
    assert "CF10" not in text

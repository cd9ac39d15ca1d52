"""An organisation that cannot be called comes for its deliveries: nothing missed, in order, and nothing taken back."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from cloudevents.core.v1.event import CloudEvent

from adapters.conformance import sample_delivery
from broker.api.fetching import cursor_at
from broker.store import changes, mailbox, operations, register
from broker.store.mailbox import StoreMailbox
from broker.telemetry.metrics import new_metrics
from broker.tracking import watching, withdrawing
from tests.support.api import Api, a_move_on_the_wire
from tests.support.line import now, organisation

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNCIL = "swansea-council"
OTHER = "cardiff-council"


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def pulled(api: Api) -> AsyncIterator[None]:
    """Have one council come for its deliveries, and the whole line running."""
    name = f"{COUNCIL}-{api.line.prefix}"
    settings = organisation(name).model_copy(update={"adapter": "pull", "adapter_settings": {}})
    await register.put_organisation(api.line.database, settings)
    await eventually(lambda: api.line.directory.organisations()[name].adapter == "pull")
    api.line.start()
    stop = asyncio.Event()
    back = asyncio.create_task(withdrawing.attend(api.line.database, api.line.vault, now, stop))
    yield
    stop.set()
    await back


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def emptied(api: Api) -> AsyncIterator[None]:
    """Leave nothing to the next test."""
    yield
    await empty(api)


async def eventually(holds: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


async def page(api: Api, path: str = "/v1/events", name: str = COUNCIL) -> tuple[list[dict[str, Any]], str | None]:
    """Return the events of one page, and the link to the next."""
    answer = await api.client.get(path, headers=api.organisation(name))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/cloudevents-batch+json; charset=utf-8"
    return answer.json(), answer.links["next"]["url"] if answer.links else None


async def walk(api: Api, path: str = "/v1/events") -> list[dict[str, Any]]:
    """Return all there is now, page by page."""
    found, following = await page(api, path)
    while following is not None:
        more, following = await page(api, following)
        found += more
    return found


async def lying(api: Api, wanted: int) -> list[dict[str, Any]]:
    """Wait until so many lie there; return them."""
    async with asyncio.timeout(30):
        while len(found := await walk(api)) != wanted:
            await asyncio.sleep(0.05)
    return found


async def acknowledge(api: Api, event_id: str, name: str = COUNCIL) -> int:
    answer = await api.client.delete(f"/v1/events/{event_id}", headers=api.organisation(name))
    return answer.status_code


async def tell(api: Api, number: int, house: str = "1") -> httpx2.Response:
    told = await api.tell(a_move_on_the_wire(buildingNumber=house), headers=api.citizen(number))
    assert told.status_code == 202, told.text
    return told


async def status(api: Api, told: httpx2.Response, number: int) -> dict[str, Any]:
    """Return how far the council's part of a change has come."""
    answer = await api.client.get(told.headers["location"], headers=api.citizen(number))
    found: dict[str, Any] = next(one for one in answer.json()["deliveries"] if one["organisation"].startswith(COUNCIL))
    return found


async def until(api: Api, told: httpx2.Response, number: int, wanted: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while (found := await status(api, told, number))["status"] != wanted:
            await asyncio.sleep(0.05)
    return found


async def eventually_lies(api: Api, told: httpx2.Response, number: int) -> None:
    """Wait until the person can see that it is ready to be collected."""
    async with asyncio.timeout(30):
        while (await status(api, told, number))["timeline"][-1].get("reason") != "placed":
            await asyncio.sleep(0.05)


async def empty(api: Api) -> None:
    """Acknowledge all there is, and what comes after it, until nobody is owed anything."""
    async with asyncio.timeout(30):
        while found := await walk(api):
            for event in found:
                await acknowledge(api, event["id"])
            await asyncio.sleep(0.05)


async def test_what_lies_there_is_fetched_acknowledged_and_only_then_received(api: Api) -> None:
    told = await tell(api, 1)
    (event,) = await lying(api, 1)
    attributes = {name: value for name, value in event.items() if name != "data"}
    CloudEvent(attributes | {"time": now()}, event["data"])  # the SDK refuses what is no CloudEvent
    assert event["data"]["change"]["newAddress"]["streetName"] == "Heol y Bŵa"
    assert event["sequence"] == "000000000001"
    await eventually_lies(api, told, 1)

    one = await api.client.get(f"/v1/events/{event['id']}", headers=api.organisation(COUNCIL))
    assert one.status_code == 200
    assert one.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert one.json() == event, "the same each time"
    assert (await status(api, told, 1))["status"] == "published", "handed out is not received"

    assert await acknowledge(api, event["id"]) == 204
    seen = await until(api, told, 1, "received")
    assert await lying(api, 0) == []
    assert await acknowledge(api, event["id"]) == 204, "a second acknowledgement changes nothing"
    gone = await api.client.get(f"/v1/events/{event['id']}", headers=api.organisation(COUNCIL))
    assert gone.status_code == 404
    answer = {"id": str(uuid4()), "deliveryId": event["id"], "outcome": "applied", "reference": "CT-1"}
    assert (await api.post("/v1/receipts", answer, api.organisation(COUNCIL))).status_code == 202
    seen = await until(api, told, 1, "applied")
    assert [entry["what"] for entry in seen["timeline"]].count("conflict") == 0


async def test_for_one_person_the_next_lies_there_once_the_one_before_is_acknowledged_or_answered(api: Api) -> None:
    told = [await tell(api, 2, str(house)) for house in (1, 2, 3)]
    (first,) = await lying(api, 1)
    assert first["data"]["change"]["newAddress"]["buildingNumber"] == "1"
    await acknowledge(api, first["id"])
    await until(api, told[0], 2, "received")
    (second,) = await lying(api, 1)
    answer = {"id": str(uuid4()), "deliveryId": second["id"], "outcome": "not_matched"}
    assert (await api.post("/v1/receipts", answer, api.organisation(COUNCIL))).status_code == 202
    await until(api, told[1], 2, "not_matched")
    (third,) = await lying(api, 1)
    assert [one["sequence"] for one in (first, second, third)] == [f"{n:012d}" for n in (1, 2, 3)]
    assert len({one["subject"] for one in (first, second, third)}) == 1


async def test_a_walk_by_pages_gives_each_once_and_what_comes_later_comes_behind(api: Api) -> None:
    for number in range(10, 15):
        await tell(api, number)
    found = await lying(api, 5)
    begun, following = await page(api, "/v1/events?limit=2")
    assert begun == found[:2]
    await tell(api, 15)
    await lying(api, 6)
    assert following is not None
    rest = await walk(api, following)
    assert [one["id"] for one in begun + rest[:-1]] == [one["id"] for one in found]
    assert len(rest) == 4
    assert await walk(api) == begun + rest, "without a cursor, from the beginning"
    assert (await page(api, f"/v1/events?cursor={cursor_at(2**63 - 1)}")) == ([], None)


async def test_nobody_sees_or_acknowledges_what_is_anothers(api: Api) -> None:
    told = await tell(api, 20)
    (event,) = await lying(api, 1)
    assert await page(api, name=OTHER) == ([], None)
    for path in (
        f"/v1/events/{event['id']}",
        f"/v1/events/{uuid4()}",
        "/v1/events/x",
        f"/v1/events/{event['id'].upper()}",
    ):
        asked = await api.client.get(path, headers=api.organisation(OTHER))
        deleted = await api.client.delete(path, headers=api.organisation(OTHER))
        assert (asked.status_code, deleted.status_code) == (404, 404)
        assert asked.json()["type"] == deleted.json()["type"]
    assert (await status(api, told, 20))["status"] == "published"
    for headers in ({}, api.citizen()):
        assert (await api.client.get("/v1/events", headers=headers)).status_code in {401, 403}


async def test_what_was_never_handed_out_cannot_be_acknowledged(api: Api) -> None:
    told = await tell(api, 21)
    await eventually_lies(api, told, 21)
    sent = await api.client.get("/v1/deliveries", headers=api.organisation(COUNCIL))
    (waiting,) = [one["id"] for one in sent.json()["deliveries"] if one["status"] == "published"]
    assert await acknowledge(api, waiting) == 404
    await lying(api, 1)
    assert await acknowledge(api, waiting) == 204
    await until(api, told, 21, "received")


async def cancel(api: Api, told: httpx2.Response, number: int) -> None:
    path = f"{told.headers['location']}/cancellation"
    answer = await api.client.post(path, headers=api.citizen(number))
    assert answer.status_code in {200, 202}, answer.text


async def test_what_was_cancelled_before_anybody_came_is_not_handed_out_and_nobody_hears_of_it(api: Api) -> None:
    told = await tell(api, 30)
    await eventually_lies(api, told, 30)
    await cancel(api, told, 30)
    assert await walk(api) == []
    await until(api, told, 30, "cancelled")
    assert await walk(api) == [], "there is nothing to take back"


async def test_what_was_handed_out_before_it_was_cancelled_is_taken_back(api: Api) -> None:
    told = await tell(api, 31)
    (event,) = await lying(api, 1)
    await cancel(api, told, 31)
    await until(api, told, 31, "cancelled")
    (back,) = await lying(api, 1)
    assert back["type"] == "wales.unwaith.change-withdrawn.v1"
    assert back["data"]["withdraws"]["id"] == event["id"]
    assert back["sequence"] == "000000000002"


@asynccontextmanager
async def altered(api: Api, do: str, undo: str, *values: Any) -> AsyncIterator[None]:
    async with api.line.database.connection() as connection:
        await connection.execute(do, *values)
    try:
        yield
    finally:
        async with api.line.database.connection() as connection:
            await connection.execute(undo, *values)


async def test_a_pause_and_an_erasure_hold_at_pick_up_too(api: Api) -> None:
    told = await tell(api, 32)
    (event,) = await lying(api, 1)
    name = f"{COUNCIL}-{api.line.prefix}"
    async with altered(
        api,
        "UPDATE organisation SET paused_at = now(), paused_reason = 'given_up' WHERE id = $1",
        "UPDATE organisation SET paused_at = NULL, paused_reason = NULL WHERE id = $1",
        name,
    ):
        assert await walk(api) == []
        alone = await api.client.get(f"/v1/events/{event['id']}", headers=api.organisation(COUNCIL))
        assert alone.status_code == 404
    assert await walk(api) == [event]
    async with api.line.database.connection() as connection:
        person = "SELECT person_id FROM delivery WHERE id = $1"
        await connection.execute(f"UPDATE person SET erased_at = now() WHERE id = ({person})", UUID(event["id"]))
        await connection.execute(f"DELETE FROM person_key WHERE person_id = ({person})", UUID(event["id"]))
    assert await walk(api) == []
    async with asyncio.timeout(30):  # the look had the gate asked at once: its lane is not held up for hours
        while True:
            async with api.line.database.connection() as connection:
                found = await connection.fetchrow(
                    "SELECT status, reason FROM delivery WHERE id = $1", UUID(event["id"])
                )
            if tuple(found) == ("cancelled", "erased"):
                break
            await asyncio.sleep(0.05)
    del told


async def test_unread_for_too_long_is_an_alarm_and_read_it_is_none(api: Api) -> None:
    told = await tell(api, 33)
    await eventually_lies(api, told, 33)
    name = f"{COUNCIL}-{api.line.prefix}"

    async def seen() -> tuple[int, float]:
        overview = await operations.overview(api.line.database, 1)
        metrics = new_metrics()
        watching.note(metrics, overview)
        (mine,) = [item for item in overview.organisations if item.organisation == name]
        assert mine.comes_for_it
        return mine.unread, metrics.registry.get_sample_value("unwaith_unread", {"organisation": name}) or 0.0

    assert await seen() == (0, 0.0)
    async with api.line.database.connection() as connection:
        await connection.execute("UPDATE mailbox SET alarm_at = now()")
    assert await seen() == (1, 1.0)
    wrong = "1 deliveries that their organisation has not come for in too long"
    assert wrong in (await changes.books(api.line.database)).faults(), "which is what the doctor says"
    await empty(api)
    await until(api, told, 33, "received")
    await mailbox.clear(api.line.database)
    async with api.line.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM mailbox WHERE organisation = $1", name) == 0


async def test_several_take_out_what_is_done_and_none_waits_for_another(api: Api) -> None:
    told = await tell(api, 34)
    (event,) = await lying(api, 1)
    await acknowledge(api, event["id"])
    await until(api, told, 34, "received")
    mine, there = UUID(event["id"]), "SELECT count(*) FROM mailbox WHERE delivery_id = $1"
    async with api.line.database.transaction() as other:
        await other.execute("SELECT FROM mailbox WHERE delivery_id = $1 FOR UPDATE", mine)
        async with asyncio.timeout(30):
            await mailbox.clear(api.line.database)
        assert await other.fetchval(there, mine) == 1
    await mailbox.clear(api.line.database)
    async with api.line.database.connection() as connection:
        assert await connection.fetchval(there, mine) == 0


async def test_however_many_lay_things_down_at_once_a_reader_who_goes_on_misses_nothing(api: Api) -> None:
    told = [await tell(api, number) for number in range(60, 90)]
    await asyncio.gather(*(eventually_lies(api, one, number) for one, number in zip(told, range(60, 90), strict=True)))
    name = f"{COUNCIL}-{api.line.prefix}"
    async with api.line.database.connection() as connection:
        found = await connection.fetch(  # theirs alone: what was acknowledged may still wait to be taken out
            """
            SELECT delivery_id FROM mailbox JOIN delivery ON id = delivery_id JOIN change ON change.id = change_id
            WHERE change.reference = ANY($1) ORDER BY random()
            """,
            [one.json()["reference"] for one in told],
        )
        ids = [row["delivery_id"] for row in found]
        assert len(ids) == len(told)
        await connection.execute("DELETE FROM mailbox")
    laying = [StoreMailbox(api.line.database, name) for _ in range(6)]
    met: list[UUID] = []

    async def read() -> None:
        after = 0
        while len(met) < len(ids):
            for one in await mailbox.look(api.line.database, name, after, 3):
                met.append(one.delivery_id)
                after = one.place
            await asyncio.sleep(0)

    async def lay(writer: StoreMailbox, mine: list[UUID]) -> None:
        for delivery_id in mine:
            await writer.place([sample_delivery(delivery_id=delivery_id)], timedelta(hours=1))
            await writer.place(
                [sample_delivery(delivery_id=delivery_id)], timedelta(hours=1)
            )  # a repeat, which changes nothing

    async with asyncio.timeout(60):
        await asyncio.gather(read(), *(lay(writer, ids[n::6]) for n, writer in enumerate(laying)))
    assert sorted(met) == sorted(ids)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("cursor=", "/cursor"),
        ("cursor=AAAAAAAAAA", "/cursor"),
        ("cursor=AAAAAAAAAAB", "/cursor"),
        ("cursor=%C5%B5AAAAAAAAAA", "/cursor"),
        ("cursor=__________8", "/cursor"),
        ("limit=0", "/limit"),
        ("limit=101", "/limit"),
        ("limit=-1", "/limit"),
        ("limit=1e1", "/limit"),
        ("limit=%D9%A1", "/limit"),
        ("limit=", "/limit"),
        ("limit=1&limit=2", "/limit"),
        ("offset=1", ""),
    ],
)
async def test_a_bad_cursor_or_limit_is_named_and_not_repeated(api: Api, query: str, pointer: str) -> None:
    answer = await api.client.get(f"/v1/events?{query}", headers=api.organisation(COUNCIL))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert json.dumps(query.partition("=")[2]) not in answer.text or not query.partition("=")[2]

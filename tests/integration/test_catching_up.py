"""An organisation walks through everything it was ever sent, and sees nothing of anybody else's."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.api import catching_up
from broker.api.catching_up import cursor_at, read_cursor
from tests.support.api import Api, a_move_on_the_wire


async def walk(api: Api, name: str, path: str = "/v1/deliveries") -> list[dict[str, Any]]:
    """Return everything, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        answer = await api.client.get(path, headers=api.organisation(name))
        assert answer.status_code == 200, answer.text
        found += answer.json()["deliveries"]
        if "next" not in answer.links:
            return found
        path = answer.links["next"]["url"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_walk_meets_each_delivery_once_with_what_became_of_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await walk(api, "cardiff-council") == [], "nothing was sent yet"
    for number, house in ((1, "1"), (1, "2"), (2, "1"), (3, "1"), (4, "1")):
        told = await api.tell(a_move_on_the_wire(buildingNumber=house), headers=api.citizen(number))
        assert told.status_code == 202
    assert await walk(api, "cardiff-council") == [], "what is not numbered may still never be sent"
    api.line.start()
    names = {name: f"{name}-{api.line.prefix}" for name in ("cardiff-council", "swansea-council")}
    monkeypatch.setattr(catching_up, "PAGE", 2)
    async with asyncio.timeout(30):
        while len(found := await walk(api, "cardiff-council")) < 5 or {item["status"] for item in found} != {"applied"}:
            await asyncio.sleep(0.05)
    arrived = api.line.systems.of(names["cardiff-council"])
    assert sorted((item["id"], item["subject"], item["sequence"]) for item in found) == sorted(
        (str(item.id), item.subject, item.sequence) for item in arrived
    )
    assert {"id", "subject", "sequence", "status", "publishedAt"} == set(found[0])
    others = await walk(api, "swansea-council")
    assert {item["id"] for item in others}.isdisjoint(item["id"] for item in found)
    assert {item["subject"] for item in others}.isdisjoint(item["subject"] for item in found)
    behind = f"/v1/deliveries?cursor={cursor_at(arrived[0].id)}"
    assert {item["id"] for item in await walk(api, "swansea-council", behind)} <= {item["id"] for item in others}, (
        "another's place in the walk leads into one's own"
    )
    assert await walk(api, "cardiff-council", f"/v1/deliveries?cursor={cursor_at(UUID(int=2**128 - 1))}") == [], (
        "behind the last"
    )


@given(st.uuids())
def test_a_cursor_is_read_back(delivery_id: Any) -> None:
    assert read_cursor(cursor_at(delivery_id)) == delivery_id

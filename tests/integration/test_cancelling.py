"""A citizen's software cancels and corrects: what it is answered, and what is not to be had."""

import asyncio
from typing import Any

import pytest

from broker.tracking import withdrawing
from tests.support.api import Api, a_move_on_the_wire
from tests.support.line import now

pytestmark = pytest.mark.asyncio(loop_scope="module")


def path_of(told: Any, act: str = "") -> str:
    return f"/v1/changes/{told.json()['reference']}{act}"


def statuses(view: Any) -> set[str]:
    return {item["status"] for item in view["deliveries"]}


async def cancel(api: Api, told: Any, caller: dict[str, str]) -> Any:
    return await api.client.post(path_of(told, "/cancellation"), headers=caller)


async def test_a_change_is_cancelled_once_and_shows_it(api: Api) -> None:
    caller = api.citizen(1)
    told = await api.tell(headers=caller)
    for _ in range(2):
        answer = await cancel(api, told, caller)
        assert answer.status_code == 202, answer.text
        assert statuses(answer.json()) == {"cancelled"}
        assert set(answer.json()["withdrawn"]) == {"at", "takenBack"}
    seen = await api.client.get(path_of(told), headers=caller)
    assert seen.json() == answer.json()
    [entry] = [item for item in seen.json()["deliveries"][0]["timeline"] if item["what"] == "withheld"]
    assert (entry["status"], entry["reason"]) == ("cancelled", "cancelled")
    listed = (await api.client.get("/v1/changes", headers=caller)).json()["changes"]
    assert [item["reference"] for item in listed] == [told.json()["reference"]], "taking back is no change of theirs"


async def test_it_is_cancelled_by_whom_it_is_and_by_nobody_less_well_known(api: Api) -> None:
    told = await api.tell(headers=api.citizen(2))
    stranger, none = (
        await cancel(api, told, api.citizen(3)),
        await api.client.post("/v1/changes/00000-00000-0/cancellation", headers=api.citizen(2)),
    )
    assert (stranger.status_code, none.status_code) == (404, 404)
    assert stranger.content == none.content
    assert (await cancel(api, told, api.citizen(2, vot="P1"))).status_code == 403
    assert (await cancel(api, told, api.organisation())).status_code == 401
    assert (await cancel(api, told, {})).status_code == 401
    assert statuses((await api.client.get(path_of(told), headers=api.citizen(2))).json()) == {"queued"}


async def test_a_correction_shows_on_both_and_is_made_once(api: Api) -> None:
    caller = api.citizen(4)
    first = await api.tell(headers=caller)
    wrong = a_move_on_the_wire(buildingNumber="31") | {"corrects": first.json()["reference"]}
    second = await api.tell(wrong, key="correction", headers=caller)
    assert second.status_code == 202, second.text
    again = await api.tell(wrong | {"corrects": second.json()["reference"]}, key="another", headers=caller)
    assert again.status_code == 202
    shown = (await api.client.get(path_of(second), headers=caller)).json()
    assert (shown["corrects"], shown["withdrawn"]["correctedBy"]) == (
        first.json()["reference"],
        again.json()["reference"],
    )
    assert statuses((await api.client.get(path_of(first), headers=caller)).json()) == {"superseded"}
    for reference in (first.json()["reference"], "00000-00000-0"):
        refused = await api.post("/v1/changes/preview", wrong | {"corrects": reference}, caller)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/corrects"
    malformed = await api.post("/v1/changes/preview", wrong | {"corrects": "Siân"}, caller)
    assert (malformed.status_code, malformed.json()["errors"][0]["pointer"]) == (422, "/corrects")
    theirs = await api.post("/v1/changes/preview", wrong | {"corrects": again.json()["reference"]}, api.citizen(5))
    assert theirs.status_code == 422


async def test_what_is_under_way_shows_as_stopping_and_then_as_what_became_of_it(api: Api) -> None:
    line, caller = api.line, api.citizen(6)
    told = await api.tell(a_move_on_the_wire(buildingNumber="61"), headers=caller)
    while await line.relay().step():
        pass
    answer = (await cancel(api, told, caller)).json()
    assert {item.get("stopping") for item in answer["deliveries"]} == {True}
    assert statuses(answer) == {"published"}
    stop = asyncio.Event()
    attending = asyncio.create_task(withdrawing.attend(line.database, line.vault, now, stop))
    line.start()
    async with asyncio.timeout(30):
        while statuses(seen := (await api.client.get(path_of(told), headers=caller)).json()) != {"cancelled"}:
            await asyncio.sleep(0.02)
    assert all("stopping" not in item for item in seen["deliveries"])

    sent = await api.tell(a_move_on_the_wire(buildingNumber="62"), headers=caller)
    async with asyncio.timeout(30):
        while statuses((await api.client.get(path_of(sent), headers=caller)).json()) != {"applied"}:
            await asyncio.sleep(0.02)
        seen = (await cancel(api, sent, caller)).json()
        while statuses({"deliveries": seen["withdrawn"]["takenBack"]}) != {"applied"}:
            await asyncio.sleep(0.02)
            seen = (await api.client.get(path_of(sent), headers=caller)).json()
    assert statuses(seen) == {"applied"}
    assert len(seen["withdrawn"]["takenBack"]) == 3
    stop.set()
    await attending

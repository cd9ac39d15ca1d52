"""What a citizen's software is answered about holds, repeats, and too many changes in a day."""

import orjson
import pytest

from broker.intake import Intake
from broker.telemetry.metrics import new_metrics
from broker.verification import HoldPolicy, StoredGazetteer
from tests.support.api import JSON, Api, a_move_on_the_wire, broken
from tests.support.line import now

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_is_held_says_so_and_a_repeat_leads_to_it(api: Api) -> None:
    line = api.line
    strict = Intake(
        line.database,
        line.vault,
        line.directory,
        StoredGazetteer(line.database),
        line.intake._writer,
        new_metrics(),
        now,
        HoldPolicy(most_a_day=2),
    )
    async with broken(api, intake=strict) as client:

        async def tell(key: str, house: str) -> tuple[int, dict[str, str], bytes]:
            move = a_move_on_the_wire(buildingNumber=house)
            shown = await client.post("/v1/changes/preview", json=move, headers=api.citizen(1))
            assert shown.status_code == 200, shown.text
            whole = move | {"preview": shown.json()["digest"]}
            headers = JSON | api.citizen(1) | {"idempotency-key": key}
            answer = await client.post("/v1/changes", json=whole, headers=headers)
            return answer.status_code, dict(answer.headers), answer.content

        status, headers, body = await tell("first", "1")
        assert status == 202
        place = headers["location"]
        seen = await client.get(place, headers=api.citizen(1))
        known = seen.json()
        known.pop("notTold", None)  # the preview said it
        assert known == orjson.loads(body), "what is answered is what is read back"
        [hold] = seen.json()["holds"]
        assert (hold["reason"], set(hold)) == ("new_account", {"reason", "since", "until"})
        for item in seen.json()["deliveries"]:
            assert (item["status"], item["held"], item["timeline"][0]["reason"]) == ("waiting", True, "held")
            assert "notBefore" not in item

        status, headers, body = await tell("second", "1")
        assert (status, headers["location"]) == (409, place)
        assert b"problem:already-told" in body
        status, headers, _ = await tell("first", "1")
        assert (status, headers["location"]) == (202, place), "the same key is the same change"

        assert (await tell("third", "2"))[0] == 202
        status, headers, body = await tell("fourth", "3")
        assert (status, b"problem:too-many-changes" in body) == (429, True)
        assert int(headers["retry-after"]) > 0

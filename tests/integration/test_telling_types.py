"""Changes that are no move, through the API: who is shown, what is marked, what is told, and what waits for somebody."""

from datetime import UTC, datetime
from typing import Any

import pytest

from broker.register.bodies import packaged
from broker.store import register
from contracts.changes import CHANGE_TYPES
from contracts.examples import PERSON, asked
from contracts.holds import HoldReason
from tests.support.api import Api
from tests.support.line import NEW_UPRN, SWANSEA, agreement
from tests.support.tokens import NAME_PARTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATHS = {
    "contact": ("/person/name", "/change/newContact", "/change/effectiveDate"),
    "language": ("/person/name", "/change"),
    "name": ("/person/name", "/change"),
    "bereavement": ("/change",),
}


def told_today(name: str) -> dict[str, Any]:
    """Return the example of a type as somebody who lives in Swansea tells it now."""
    wire = asked(name)
    wire["change"]["homeAddress"] = {"uprn": NEW_UPRN, "addressCountry": "GB"}
    if "effectiveDate" in wire["change"]:
        wire["change"]["effectiveDate"] = datetime.now(UTC).date().isoformat()
    wire["change"].get("newContact", {}).pop("verifiedAt", None)
    if name == "name":
        wire["change"]["previousName"] = {"nameParts": list(NAME_PARTS)}
    if name == "bereavement":
        wire["change"] |= {
            "deathDate": "2026-01",
            "registration": {"reference": "A1", "registeredAt": "2026-02-01T09:00:00Z"},
        }
    return wire


async def agreed(api: Api, name: str, **more: Any) -> str:
    """Have Swansea's council agree to be told of a type; return its id."""
    line = api.line
    council = f"swansea-council-{line.prefix}"
    item = agreement(council, "home", area=(SWANSEA,), paths=PATHS[name], change_type=name, **more)
    await register.put_agreement(line.database, item.model_copy(update={"id": f"{council}-{name}"}))
    await line.directory.refresh()
    return council


async def test_the_council_at_home_is_told_what_was_agreed_and_the_person_sees_what_needs_care(api: Api) -> None:
    council = await agreed(api, "contact")
    wire = told_today("contact")
    shown = (await api.post("/v1/changes/preview", wire, api.citizen(70))).json()
    [one] = shown["recipients"]
    assert one["organisation"] == council
    assert one["data"]["change"] == {name: wire["change"][name] for name in ("newContact", "effectiveDate")}
    assert one["data"]["roles"] == ["resident"]
    assert one["sensitive"] == {"/change/newContact": "confidential"}
    told = await api.tell(wire, headers=api.citizen(70))
    assert told.status_code == 202, told.text
    view = told.json()
    assert (view["type"], [one["organisation"] for one in view["deliveries"]]) == ("contact", [council])
    followed = await api.client.get(f"/v1/changes/{view['reference']}", headers=api.citizen(70))
    assert followed.json()["change"] == wire["change"]
    listed = await api.client.get("/v1/changes", headers=api.citizen(70))
    assert [one["type"] for one in listed.json()["changes"]] == ["contact"]


async def test_a_format_is_told_to_nobody_who_did_not_name_it(api: Api) -> None:
    await agreed(api, "language")
    shown = (await api.post("/v1/changes/preview", told_today("language"), api.citizen(71))).json()
    [one] = shown["recipients"]
    assert "newLanguage" in one["data"]["change"]
    assert not {"newFormats", "previousFormats"} & set(one["data"]["change"])


async def test_where_home_is_not_known_nobody_is_told_and_the_person_hears_it(api: Api) -> None:
    await agreed(api, "contact")
    abroad = told_today("contact")
    abroad["change"]["homeAddress"] = {"addressLocality": "Trelew", "addressCountry": "AR"}
    answer = await api.post("/v1/changes/preview", abroad, api.citizen(72))
    assert answer.json()["type"].endswith(":nobody-to-tell")


@pytest.mark.parametrize(
    ("name", "reason"), [("name", HoldReason.NEEDS_PERSON), ("bereavement", HoldReason.AWAITS_REGISTRAR)]
)
async def test_what_must_be_confirmed_is_held_until_it_is(api: Api, name: str, reason: HoldReason) -> None:
    await agreed(api, name)
    told = await api.tell(told_today(name), headers=api.citizen(73))
    assert told.status_code == 202, told.text
    view = told.json()
    [hold] = view["holds"]
    assert (hold["reason"], set(hold)) == (reason, {"reason", "since"})
    assert {(one["status"], one["held"]) for one in view["deliveries"]} == {("waiting", True)}


async def test_a_change_of_somebody_elses_name_is_refused_and_says_where(api: Api) -> None:
    await agreed(api, "name")
    answer = await api.post("/v1/changes/preview", asked("name"), headers=api.citizen(74))
    assert answer.status_code == 422
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [("/change/previousName", "not_yours")]
    assert all(part.value not in answer.text for part in PERSON.name.name_parts)


async def test_every_type_that_must_be_confirmed_is_tried_here() -> None:
    assert {name for name, kind in CHANGE_TYPES.items() if kind.confirmation} == {"name", "bereavement"}


async def test_who_is_not_told_is_named_as_the_register_has_them_now(api: Api) -> None:
    await agreed(api, "contact")
    board = next(body for body in packaged() if body.sector == "health-board" and SWANSEA in body.area)

    async def boards_named() -> list[str]:
        shown = (await api.post("/v1/changes/preview", told_today("contact"), api.citizen(74))).json()
        return [one["who"]["cy"] for one in shown["notTold"] if one["id"] == board.id]

    assert await boards_named() == [board.name.cy]
    renamed = board.model_copy(update={"name": board.name.model_copy(update={"cy": "Bwrdd Iechyd Newydd"})})
    await register.put_body(api.line.database, renamed)
    await api.line.directory.refresh()
    assert await boards_named() == ["Bwrdd Iechyd Newydd"]

"""A registrar confirms a death: what was told of it goes on its way, or a person looks at it."""

from typing import Any

import pytest

from broker.identity.organisations import CallingOrganisation
from broker.store import changes, holds, register
from broker.tracking import holding
from contracts.examples import asked
from contracts.holds import HoldReason
from tests.support.api import Api
from tests.support.line import NEW_UPRN, SWANSEA, agreement, now

pytestmark = pytest.mark.asyncio(loop_scope="module")


def a_death(reference: str, on: str) -> dict[str, Any]:
    wire = asked("bereavement")
    wire["change"] |= {
        "homeAddress": {"uprn": NEW_UPRN, "addressCountry": "GB"},
        "deathDate": on,
        "registration": {"reference": reference, "registeredAt": "2026-02-10T09:00:00Z"},
    }
    return wire


async def told(api: Api, number: int, reference: str, on: str) -> dict[str, Any]:
    line = api.line
    council = f"swansea-council-{line.prefix}"
    item = agreement(council, "home", area=(SWANSEA,), paths=("/change",), change_type="bereavement")
    await register.put_agreement(line.database, item.model_copy(update={"id": f"{council}-deaths"}))
    await line.directory.refresh()
    answer = await api.tell(a_death(reference, on), headers=api.citizen(number))
    assert answer.status_code == 202, answer.text
    view: dict[str, Any] = answer.json()
    return view


async def confirm(api: Api, reference: str, day: str) -> None:
    said = {"registrationReference": reference, "deathDate": day}
    answer = await api.post("/v1/confirmations", said, api.organisation())
    assert (answer.status_code, answer.content) == (202, b""), "whether anybody told of it is not said"
    await holding.weigh(api.line.database, now)


async def standing(api: Api, number: int, view: dict[str, Any]) -> tuple[str, bool, set[str]]:
    """Return the reason of its hold, whether it is over, and where the deliveries stand."""
    seen = (await api.client.get(f"/v1/changes/{view['reference']}", headers=api.citizen(number))).json()
    [hold] = seen["holds"]
    return hold["reason"], "endedAt" in hold, {one["status"] for one in seen["deliveries"]}


async def test_what_agrees_goes_and_what_does_not_needs_a_person(api: Api) -> None:
    agrees = await told(api, 1, "CDF 0412/2026", "2026-02-03")
    month = await told(api, 2, "CDF 0413/2026", "2026-02")
    differs = await told(api, 3, "CDF 0414/2026", "2026-02-03")
    other = await told(api, 4, "CDF 0415/2026", "2026-02-03")
    await confirm(api, "cdf-0412-2026", "2026-02-03")
    await confirm(api, "CDF 0413/2026", "2026-02-28")
    await confirm(api, "CDF 0414/2026", "2026-02-04")
    assert await standing(api, 1, agrees) == (HoldReason.AWAITS_REGISTRAR, True, {"queued"})
    assert await standing(api, 2, month) == (HoldReason.AWAITS_REGISTRAR, True, {"queued"})
    assert await standing(api, 3, differs) == (HoldReason.REGISTRAR_DIFFERS, False, {"waiting"})
    assert await standing(api, 4, other) == (HoldReason.AWAITS_REGISTRAR, False, {"waiting"})
    await confirm(api, "CDF 0414/2026", "2026-02-03")
    assert await standing(api, 3, differs) == (HoldReason.REGISTRAR_DIFFERS, False, {"waiting"}), "a person looks now"


async def test_what_was_confirmed_before_it_is_told_does_not_wait(api: Api) -> None:
    await confirm(api, "SWA 7/2026", "2026-01-31")
    view = await told(api, 5, "SWA 7/2026", "2026-01-31")
    assert view["holds"][0]["reason"] == HoldReason.AWAITS_REGISTRAR
    await holding.weigh(api.line.database, now)
    assert await standing(api, 5, view) == (HoldReason.AWAITS_REGISTRAR, True, {"queued"})


async def test_neither_the_number_nor_the_day_is_kept(api: Api) -> None:
    await confirm(api, "PRIVATE 99/2026", "2026-01-30")
    async with api.line.database.connection() as connection:
        kept = str([dict(row) for row in await connection.fetch("SELECT * FROM confirmation")])
        leaves = str([row["leaf"] for row in await connection.fetch("SELECT leaf FROM audit_leaf")])
    for text in (kept, leaves):
        assert "PRIVATE" not in text
        assert "2026-01-30" not in text


async def test_only_a_registrar_confirms(api: Api) -> None:
    full = f"cardiff-council-{api.line.prefix}"
    token = api.parts.organisations.issue(CallingOrganisation(full, full, frozenset({"receipts:write"})))
    said = {"registrationReference": "CDF 1", "deathDate": "2026-01-01"}
    callers = {403: {"authorization": f"Bearer {token}"}, 401: {}}
    for status, caller in callers.items():
        assert (await api.post("/v1/confirmations", said, caller)).status_code == status
    assert (await api.post("/v1/confirmations", said, api.citizen(1))).status_code == 401


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"registrationReference": ""}, "/registrationReference"),
        ({"registrationReference": "CDF\u202e1"}, "/registrationReference"),
        ({"registrationReference": 7}, "/registrationReference"),
        ({"deathDate": "2026-02"}, "/deathDate"),
        ({"deathDate": "2026-02-30"}, "/deathDate"),
        ({"deathDate": None}, "/deathDate"),
        ({"changeReference": "X"}, ""),
    ],
)
async def test_what_cannot_be_read_is_answered_by_its_field_and_never_repeated(
    api: Api, wrong: dict[str, Any], pointer: str
) -> None:
    said = {"registrationReference": "CANARY 1", "deathDate": "2026-01-01"} | wrong
    answer = await api.post("/v1/confirmations", said, api.organisation())
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert "CANARY" not in answer.text


async def test_a_correction_waits_for_what_it_says_itself(api: Api) -> None:
    wrong = await told(api, 6, "NPT 5/2026", "2026-02-01")
    right = await api.tell(
        a_death("NPT 5/2026", "2026-02-02") | {"corrects": wrong["reference"]}, headers=api.citizen(6)
    )
    assert right.status_code == 202, right.text
    await confirm(api, "NPT 5/2026", "2026-02-02")
    assert await standing(api, 6, right.json()) == (HoldReason.AWAITS_REGISTRAR, True, {"queued"})
    assert (await changes.books(api.line.database)).changes_without_delivery == 0
    assert await holds.over(api.line.database, 10) == []


async def test_a_correction_of_what_differs_can_differ_too(api: Api) -> None:
    """A person looks at it already: nothing breaks, and what a registrar says now waits until they have."""
    wrong = await told(api, 7, "NPT 6/2026", "2026-02-01")
    await confirm(api, "NPT 6/2026", "2026-02-03")
    corrected = a_death("NPT 6/2026", "2026-02-02") | {"corrects": wrong["reference"]}
    still = (await api.tell(corrected, headers=api.citizen(7))).json()
    assert await holding.weigh(api.line.database, now) == 0
    async with api.line.database.connection() as connection:
        [change_id] = await connection.fetchrow("SELECT id FROM change WHERE reference = $1", still["reference"])
    kept = {hold.reason: hold for hold in await holds.of_change(api.line.database, change_id)}
    assert set(kept) == {HoldReason.AWAITS_REGISTRAR, HoldReason.REGISTRAR_DIFFERS}
    await holds.release(api.line.database, kept[HoldReason.REGISTRAR_DIFFERS].id, "staff:1", "evidence_agrees", b"{}")
    await holding.weigh(api.line.database, now)
    reasons = [hold.reason for hold in await holds.of_change(api.line.database, change_id) if hold.ended_at is None]
    assert reasons == [HoldReason.REGISTRAR_DIFFERS]

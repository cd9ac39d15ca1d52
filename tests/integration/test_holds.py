"""A change that is held: not claimed, not lost, and on its way when nothing holds it any more."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest

from broker import intake
from broker.eventlog.postgres import PostgresLog
from broker.intake import Accepted, AlreadyTold, Intake, TooMany
from broker.store import Database, changes, disclosures, holds, operations
from broker.store.holds import HoldRow, Placed
from broker.store.migrate import VERSIONS
from broker.store.replays import Asked
from broker.telemetry.metrics import new_metrics
from broker.tracking import holding, replay
from broker.tracking.giving_up import give_up
from broker.tracking.timeline import followed
from broker.tracking.withdrawing import carry_out
from broker.vault import RootKeyFile
from broker.verification import HoldPolicy, StoredGazetteer
from contracts.delivery import Delivery, Unavailable
from contracts.holds import DecidedBy, HoldOutcome, HoldReason
from contracts.receipts import Receipt
from contracts.statuses import Reason, Status
from tests.support.line import Line, a_line, a_move, applied, applies, named, now, somebody

POLICY = HoldPolicy(most_a_day=3)


@pytest.fixture
async def line(database: Database, tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as opened:
        yield opened


def strict(line: Line, policy: HoldPolicy = POLICY) -> Line:
    """Have a line ask what production asks."""
    gazetteer = StoredGazetteer(line.database)
    line.intake = Intake(
        line.database, line.vault, line.directory, gazetteer, line.intake._writer, new_metrics(), now, policy
    )
    return line


async def known_for(line: Line, days: float) -> None:
    """Have everybody been known for so long."""
    async with line.database.connection() as connection:
        await connection.execute("UPDATE person SET created_at = now() - $1::interval", timedelta(days=days))


async def held(line: Line, accepted: Accepted) -> dict[HoldReason, HoldRow]:
    return {hold.reason: hold for hold in await holds.of_change(line.database, accepted.change_id)}


async def release(line: Line, hold: HoldRow) -> bool:
    return await holds.release(line.database, hold.id, "staff:1", "evidence_seen", b'{"action":"hold.released"}')


async def place(line: Line, accepted: Accepted, reason: HoldReason = HoldReason.OBJECTED) -> bool:
    hold = Placed(id=uuid4(), reason=reason, until=None)
    return bool(await holds.place(line.database, accepted.change_id, hold, lambda _: b'{"action":"change.held"}'))


async def leaves(line: Line) -> list[str]:
    async with line.database.connection() as connection:
        return [orjson.loads(row["leaf"])["action"] for row in await connection.fetch("SELECT leaf FROM audit_leaf")]


def all_of(line: Line, status: str) -> dict[str, str]:
    return named(line, cardiff_council=status, swansea_council=status, transport_for_wales=status)


async def quiet(line: Line) -> None:
    """Wait until the relay has looked at every lane and found nothing to send."""
    looked = "SELECT NOT EXISTS (SELECT FROM lane WHERE due < 'infinity')"
    async with asyncio.timeout(30), line.database.connection() as connection:
        while not await connection.fetchval(looked):
            await asyncio.sleep(0.02)


async def test_a_new_account_waits_and_goes_when_its_time_is_over(line: Line) -> None:
    strict(line).start()
    accepted = await line.tell(somebody(), a_move())
    await quiet(line)
    assert await line.statuses(accepted) == all_of(line, "waiting")
    assert line.systems.arrived == []
    [hold] = (await held(line, accepted)).values()
    assert (hold.reason, hold.ended_at) == (HoldReason.NEW_ACCOUNT, None)
    assert (await changes.books(line.database)).faults() == []
    seen = await operations.overview(line.database, 10)
    assert all(item.oldest is None for item in seen.organisations), "what is held is not late"

    assert await holding.let_lapse(line.database, now) == 0, "not before its time"
    async with line.database.connection() as connection:
        await connection.execute("UPDATE hold SET until = now()")
    assert await holding.let_lapse(line.database, now) == 1
    await line.until(accepted, applied(line))
    [hold] = (await held(line, accepted)).values()
    assert (hold.outcome, hold.decided_by, hold.why) == (HoldOutcome.RELEASED, "tracking", "time_over")
    assert "hold.released" in await leaves(line)
    assert (await changes.books(line.database)).faults() == []


async def test_a_held_change_does_not_hold_up_what_comes_after_it(line: Line) -> None:
    first = await line.tell(somebody(), a_move(1))
    assert await place(line, first, HoldReason.NEEDS_PERSON)
    second = await line.tell(somebody(), a_move(2))
    line.start()
    await line.until(second, applied(line))
    assert await line.statuses(first) == all_of(line, "queued")
    [hold] = (await held(line, first)).values()
    assert await release(line, hold)
    await line.until(first, applied(line))
    of_swansea = line.systems.of(f"swansea-council-{line.prefix}")
    assert [item.sequence for item in of_swansea] == [1, 2], "numbered as they went, not as they were told"


async def test_what_was_told_first_goes_first_whoever_decides_on_either(line: Line) -> None:
    swansea = f"swansea-council-{line.prefix}"
    first = await line.tell(somebody(), a_move(1))
    assert await place(line, first, HoldReason.NEEDS_PERSON)
    second = await line.tell(somebody(), a_move(2))
    assert await place(line, second, HoldReason.OBJECTED)
    [theirs], [its_person] = (await held(line, first)).values(), (await held(line, second)).values()
    earlier = await holds.earlier_held(line.database, its_person.id)
    assert earlier is not None
    assert (earlier.hold_id, earlier.reason, earlier.ordinal) == (theirs.id, HoldReason.NEEDS_PERSON, 1)
    assert not await release(line, its_person), "the person's word of the later is no decision on the earlier"
    assert await release(line, theirs)
    assert await holds.earlier_held(line.database, its_person.id) is None
    assert await release(line, its_person)
    line.start()
    await line.until(second, applied(line))
    await line.until(first, applied(line))
    houses = [orjson.loads(item.data)["change"]["newAddress"]["buildingNumber"] for item in line.systems.of(swansea)]
    assert houses == ["1", "2"]


async def test_what_waits_for_its_time_waits_for_what_was_told_first_too(line: Line) -> None:
    first = await line.tell(somebody(), a_move(1))
    assert await place(line, first, HoldReason.NEEDS_PERSON)
    second = await line.tell(somebody(), a_move(2))
    over = Placed(id=uuid4(), reason=HoldReason.NEW_ACCOUNT, until=now() - timedelta(hours=1))
    assert await holds.place(line.database, second.change_id, over, lambda _: b"{}")
    assert await holding.let_lapse(line.database, now) == 0, "nor is it looked at again and again"
    assert await release(line, (await held(line, first))[HoldReason.NEEDS_PERSON])
    assert await holding.let_lapse(line.database, now) == 1
    line.start()
    await line.until(second, applied(line))


async def test_what_is_over_and_may_not_end_yet_keeps_nothing_from_ending(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "AT_ONCE", 1)
    told = [await line.tell(somebody(), a_move(house)) for house in (1, 2)]
    assert await place(line, told[0])
    async with line.database.connection() as connection:
        for days, one in enumerate(told, 1):  # the later change's is over for longer
            until = now() - timedelta(days=days)
            await connection.execute("UPDATE hold SET until = $2 WHERE change_id = $1", one.change_id, until)
    assert [await holding.let_lapse(line.database, now) for _ in range(3)] == [1, 1, 0]


async def test_an_objection_holds_what_would_be_sent_after_it(line: Line) -> None:
    first, second = [await line.tell(somebody(), a_move(house)) for house in (1, 2)]
    anothers = await line.tell(somebody(2, "Arall"), a_move(3))
    assert await place(line, first)
    assert [set(await held(line, one)) for one in (first, second, anothers)] == [
        {HoldReason.OBJECTED}, {HoldReason.OBJECTED}, set()
    ]  # fmt: skip
    assert (await leaves(line)).count("change.held") == 2
    for one in (first, second):
        assert await release(line, (await held(line, one))[HoldReason.OBJECTED])
    assert await place(line, first)
    assert (await held(line, second))[HoldReason.OBJECTED].ended_at, "its person has said that it was them"


async def test_two_reasons_hold_and_the_last_to_go_lets_it_go(line: Line) -> None:
    strict(line)
    accepted = await line.tell(somebody(), a_move())
    assert await place(line, accepted)
    assert not await place(line, accepted), "for one reason once"
    line.start()
    found = await held(line, accepted)
    assert set(found) == {HoldReason.NEW_ACCOUNT, HoldReason.OBJECTED}
    assert await release(line, found[HoldReason.NEW_ACCOUNT])
    assert not await release(line, found[HoldReason.NEW_ACCOUNT])
    await quiet(line)
    assert await line.statuses(accepted) == all_of(line, "waiting")
    assert await release(line, found[HoldReason.OBJECTED])
    await line.until(accepted, applied(line))
    assert (await leaves(line)).count("hold.released") == 2


async def test_a_future_day_is_kept_through_a_hold(line: Line) -> None:
    strict(line)
    ahead = (now() + timedelta(days=30)).date()
    accepted = await line.tell(somebody(), a_move(on=ahead))
    [hold] = (await held(line, accepted)).values()
    [before, *_] = await changes.deliveries_of(line.database, [accepted.change_id])
    assert before.held
    assert await release(line, hold)
    [after, *_] = await changes.deliveries_of(line.database, [accepted.change_id])
    assert (after.status, after.held, after.due) == ("waiting", False, before.due)
    assert (await changes.books(line.database)).faults() == []


async def test_what_is_not_in_the_log_is_held_later_and_what_is_goes_on(line: Line) -> None:
    swansea = f"swansea-council-{line.prefix}"
    away = True

    async def comes_back(delivery: Delivery, seen: int) -> Receipt:
        if away:
            raise Unavailable(Reason.CONNECTION_REFUSED)
        return await applies(delivery, seen)

    line.systems.behaviour[swansea] = comes_back
    first = await line.tell(somebody(), a_move(1))
    second = await line.tell(somebody(), a_move(2))
    line.start()
    await line.until(
        second, named(line, cardiff_council="applied", swansea_council="queued", transport_for_wales="applied")
    )
    assert await place(line, first)
    assert await place(line, second)
    away = False
    await line.until(first, applied(line))
    await quiet(line)
    assert (await line.statuses(second))[swansea] == "queued"
    assert len({item.id for item in line.systems.of(swansea)}) == 1
    assert (await changes.books(line.database)).faults() == []
    assert await release(line, (await held(line, second))[HoldReason.OBJECTED])
    await line.until(second, applied(line))
    assert (await changes.books(line.database)).faults() == []


async def test_a_held_change_is_cancelled_and_no_hold_is_left(line: Line) -> None:
    strict(line)
    accepted = await line.tell(somebody(), a_move())
    found = await changes.one_of_person(line.database, accepted.person.person_id, accepted.reference)
    assert found is not None
    assert await intake.cancel(line.database, accepted.person, found, now())
    await carry_out(line.database, line.vault, accepted.change_id, now)
    assert await line.statuses(accepted) == all_of(line, "cancelled")
    [hold] = (await held(line, accepted)).values()
    assert hold.outcome is HoldOutcome.WITHDRAWN
    assert not await release(line, hold)
    assert not await place(line, accepted), "what is withdrawn needs no hold"
    assert (await changes.books(line.database)).faults() == []


async def test_correcting_what_is_held_gets_rid_of_no_hold(line: Line) -> None:
    first = await line.tell(somebody(), a_move(1))
    assert await place(line, first)
    correction = a_move(2).model_copy(update={"corrects": first.reference})
    second = await line.tell(somebody(), correction)
    assert set(await held(line, second)) == {HoldReason.OBJECTED}
    line.start()
    await quiet(line)
    assert await line.statuses(second) == all_of(line, "waiting")
    assert "change.held" in await leaves(line)
    third = await line.tell(somebody(), a_move(3))
    assert set(await held(line, third)) == {HoldReason.OBJECTED}, "nor does telling another"


async def test_the_same_told_again_is_told_nobody_twice(line: Line) -> None:
    strict(line)
    without = (f"transport-for-wales-{line.prefix}",)
    first = await line.tell(somebody(), a_move(), key="first", leave_out=without)
    again = await line.tell(somebody(), a_move(), key="first", leave_out=without)
    assert again.change_id == first.change_id, "the same key is no repeat"
    with pytest.raises(AlreadyTold) as known:
        await line.tell(somebody(), a_move(), leave_out=without)
    assert known.value.reference == first.reference
    second = await line.tell(somebody(), a_move())
    assert set(await line.statuses(second)) == set(without), "whom it is news to"
    await line.tell(somebody(2), a_move())  # another person's is no repeat


async def test_moving_back_and_trying_again_are_no_repeats(line: Line) -> None:
    strict(line)
    first = await line.tell(somebody(), a_move(1))
    await line.tell(somebody(), a_move(2))
    back = await line.tell(somebody(), a_move(1))
    assert len(await line.statuses(back)) == len(await line.statuses(first)) == 3


async def test_so_many_a_day_and_the_next_is_refused_but_known_keys_are_answered(line: Line) -> None:
    strict(line, HoldPolicy(most_a_day=2, repeats=False))
    first = await line.tell(somebody(), a_move(1), key="first")
    await line.tell(somebody(), a_move(2))
    with pytest.raises(TooMany):
        await line.tell(somebody(), a_move(3))
    assert (await line.tell(somebody(), a_move(1), key="first")).reference == first.reference
    async with line.database.connection() as connection:
        await connection.execute(
            "UPDATE change SET accepted_at = accepted_at - interval '24 hours' WHERE id = $1", first.change_id
        )
    await line.tell(somebody(), a_move(3))


async def test_its_person_sees_that_it_is_held_and_not_for_when(line: Line) -> None:
    strict(line)
    accepted = await line.tell(somebody(), a_move())
    for view in await followed(line.database, accepted.change_id, line.directory.organisations()):
        assert (view.status, view.not_before) == (Status.WAITING, None)
        assert [entry.status for entry in view.timeline] == [Status.WAITING]


async def test_whoever_decides_finds_theirs_behind_any_number_that_wait_for_others(line: Line) -> None:
    for number in range(1, 4):
        assert await place(line, await line.tell(somebody(number), a_move()))
    ours = await line.tell(somebody(4), a_move())
    assert await place(line, ours, HoldReason.NEEDS_PERSON)
    found = await holds.undecided(line.database, DecidedBy.STAFF, 2)
    assert [hold.change_id for hold in found] == [ours.change_id]
    assert await holds.undecided_by_others(line.database, DecidedBy.STAFF) == 3


async def test_what_is_refused_was_not_withdrawn_by_its_person(line: Line) -> None:
    accepted = await line.tell(somebody(), a_move())
    assert await place(line, accepted, HoldReason.NEEDS_PERSON)
    assert await place(line, accepted)
    hold = (await held(line, accepted))[HoldReason.NEEDS_PERSON]
    detail = {"reason": "evidence_missing", "note": "CAS-1"}
    assert await intake.refuse(line.database, accepted.person, accepted.change_id, hold, "staff:1", detail, now())
    ended = (await held(line, accepted)).values()
    assert {(one.outcome, one.decided_by) for one in ended} == {(HoldOutcome.REFUSED, "staff:1")}


async def test_holds_of_one_moment_lapse_in_the_order_of_their_changes(line: Line) -> None:
    """Else what was told first could be sent last, and be taken for what holds."""
    strict(line, HoldPolicy())
    told = [await line.tell(somebody(), a_move(number)) for number in (1, 2, 3)]
    async with line.database.connection() as connection:
        for one in reversed(told):  # so that they lie the other way round
            await connection.execute("UPDATE hold SET until = '2026-01-01' WHERE change_id = $1", one.change_id)
    for one in told:
        assert [hold.change_id for hold in await holds.over(line.database, 10)] == [one.change_id]
        assert await holding.let_lapse(line.database, now) == 1
    assert await holding.let_lapse(line.database, now) == 0


async def test_what_one_is_shown_another_is_not_and_nobody_for_ever(line: Line) -> None:
    accepted = await line.tell(somebody(), a_move())
    for who, lasts in (("staff:1", timedelta(minutes=15)), ("staff:2", timedelta(0))):
        leaf = b'{"action":"change.disclosed"}'
        await disclosures.disclose(line.database, accepted.change_id, who, "evidence", lasts, leaf)
    other = await line.tell(somebody(), a_move(2))
    seen = {
        (who, change_id): await disclosures.open_to(line.database, change_id, who) is not None
        for who in ("staff:1", "staff:2", "staff:3")
        for change_id in (accepted.change_id, other.change_id)
    }
    assert [place for place, shown in seen.items() if shown] == [("staff:1", accepted.change_id)]
    assert [one.actor for one in await disclosures.of_change(line.database, accepted.change_id)] == [
        "staff:1",
        "staff:2",
    ]
    assert (await leaves(line)).count("change.disclosed") == 2


async def test_what_is_told_after_a_hold_is_over_and_before_it_ends_does_not_go_first(line: Line) -> None:
    """Who ends holds may be away for a while: organisations would take the older address for the one that holds."""
    strict(line)
    first = await line.tell(somebody(), a_move(1))
    await known_for(line, 2)
    async with line.database.connection() as connection:
        await connection.execute("UPDATE hold SET until = now() - interval '1 minute'")
    second = await line.tell(somebody(), a_move(2))
    assert set(await held(line, second)) == {HoldReason.NEW_ACCOUNT}
    assert [await holding.let_lapse(line.database, now) for _ in range(3)] == [1, 1, 0]
    line.start()
    await line.until(second, applied(line))
    await line.until(first, applied(line))
    of_swansea = line.systems.of(f"swansea-council-{line.prefix}")
    ids = [row.id for told in (first, second) for row in await changes.deliveries_of(line.database, [told.change_id])]
    assert [item.id for item in of_swansea] == [one for one in ids if one in {item.id for item in of_swansea}]
    third = await line.tell(somebody(), a_move(3))
    assert await held(line, third) == {}


@pytest.mark.parametrize("held_first", [True, False])
async def test_what_is_given_up_and_replayed_is_held_as_its_change_is(line: Line, held_first: bool) -> None:
    """Whichever came first; it is neither sent while it is held, nor forgotten when it is released before."""
    accepted = await line.tell(somebody(), a_move())
    [row] = [
        row
        for row in await changes.deliveries_of(line.database, [accepted.change_id])
        if row.organisation.startswith("cardiff-council")
    ]
    if held_first:
        assert await place(line, accepted)
    await give_up(line.database, row.id, reason="operator", note="", actor="operator:1", now=now())
    if not held_first:
        assert await place(line, accepted)
    line.start()
    [hold] = (await held(line, accepted)).values()
    if held_first:
        assert await release(line, hold)
    await replayed_by_operator(line, row.id, row.organisation)
    if not held_first:
        await quiet(line)
        assert line.systems.of(row.organisation) == []
        assert await release(line, hold)
    await line.until(accepted, applied(line))


async def replayed_by_operator(line: Line, delivery_id: UUID, organisation: str) -> None:
    asked = Asked(organisation=organisation, delivery_id=delivery_id)
    await replay.ask(line.database, asked, reason="repaired", note="", actor="operator:1", expected=1, now=now())
    await replay.carry_on(line.database, now())


async def test_what_was_replayed_while_it_was_held_has_its_whole_horizon_afterwards(line: Line) -> None:
    accepted = await line.tell(somebody(), a_move())
    row = (await changes.deliveries_of(line.database, [accepted.change_id]))[0]
    assert await place(line, accepted)
    await give_up(line.database, row.id, reason="operator", note="", actor="operator:1", now=now())
    await replayed_by_operator(line, row.id, row.organisation)
    async with line.database.connection() as connection:  # long ago
        await connection.execute("UPDATE delivery SET replayed_at = now() - interval '1 year' WHERE id = $1", row.id)

    async def refuses_once(delivery: Delivery, attempt: int) -> Receipt:
        if attempt == 1:
            raise Unavailable(Reason.CONNECTION_REFUSED)
        return await applies(delivery, attempt)

    line.systems.behaviour[row.organisation] = refuses_once
    line.start()
    [hold] = (await held(line, accepted)).values()
    assert await release(line, hold)
    await line.until(accepted, applied(line))
    async with line.database.connection() as connection:
        slowest = await connection.fetchval("SELECT max(code::int) FROM line_minute WHERE event = 'took'")
    assert slowest < 40, "half octaves of a millisecond: a quarter of an hour, and not the year it was held"


async def test_holds_of_somebody_who_was_erased_end_and_nobody_is_asked_to_decide_on_them(line: Line) -> None:
    gone, stays = await line.tell(somebody(), a_move(1)), await line.tell(somebody(2, "Arall"), a_move(2))
    for accepted in (gone, stays):
        assert await place(line, accepted, HoldReason.NEEDS_PERSON)
    async with line.database.connection() as connection:
        await connection.execute("DELETE FROM person_key WHERE person_id = $1", gone.person.person_id)
        await connection.execute("UPDATE person SET erased_at = now() WHERE id = $1", gone.person.person_id)
    [left] = await holds.undecided(line.database, DecidedBy.STAFF, 10)
    assert left.change_id == stays.change_id
    assert await holding.let_lapse(line.database, now) == 1
    line.vault.forget(gone.person.person_id)
    line.start()
    await line.until(gone, all_of(line, "cancelled"))
    assert line.systems.arrived == []
    assert (await changes.books(line.database)).faults() == []


@pytest.mark.parametrize("replayed", [True, False])
async def test_what_an_earlier_program_left_held_is_released_by_the_next(line: Line, replayed: bool) -> None:
    """That one released a change, and not what was given up of it."""
    accepted = await line.tell(somebody(), a_move())
    row = (await changes.deliveries_of(line.database, [accepted.change_id]))[0]
    assert await place(line, accepted)
    await give_up(line.database, row.id, reason="operator", note="", actor="operator:1", now=now())
    [hold] = (await held(line, accepted)).values()
    assert await release(line, hold)
    await left_as(line, row.id, "due = 'infinity', held_due = due")
    if replayed:
        await replayed_by_operator(line, row.id, row.organisation)
    line.start()
    await quiet(line)
    await upgraded(line)
    if not replayed:
        await replayed_by_operator(line, row.id, row.organisation)
    await line.until(accepted, applied(line))
    assert (await changes.books(line.database)).faults() == []


async def test_what_an_earlier_program_left_to_be_sent_though_its_change_is_held_is_held(line: Line) -> None:
    accepted = await line.tell(somebody(), a_move())
    row = (await changes.deliveries_of(line.database, [accepted.change_id]))[0]
    assert await place(line, accepted)
    await give_up(line.database, row.id, reason="operator", note="", actor="operator:1", now=now())
    await left_as(line, row.id, "due = held_due, held_due = NULL")
    await upgraded(line)
    await replayed_by_operator(line, row.id, row.organisation)
    line.start()
    await quiet(line)
    assert line.systems.arrived == []
    [hold] = (await held(line, accepted)).values()
    assert await release(line, hold)
    await line.until(accepted, applied(line))


async def left_as(line: Line, delivery_id: UUID, as_it_was: str) -> None:
    async with line.database.connection() as connection:
        await connection.execute(f"UPDATE delivery SET {as_it_was} WHERE id = $1", delivery_id)


async def upgraded(line: Line) -> None:
    """Run what brings those deliveries to what holds now."""
    sql = (VERSIONS / "0026_held_though_given_up.sql").read_text(encoding="utf-8")
    async with line.database.transaction() as connection:
        await connection.execute(sql)

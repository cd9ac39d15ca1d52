"""Cancelling and correcting, at every moment of a delivery's way: what is stopped, and who is told that it is taken back."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from structlog.testing import capture_logs

from broker import intake
from broker.eventlog import Received, Record
from broker.eventlog.postgres import PostgresLog
from broker.intake import Accepted, NotAcceptable
from broker.store import Database, changes, register, withdrawals
from broker.store.replays import Asked
from broker.tracking import replay, withdrawing
from broker.tracking.withdrawing import carry_out
from broker.vault import RootKeyFile, StoreGate
from contracts.changes.address import AddressChange
from contracts.delivery import Delivery, Unavailable, Unknown
from contracts.grants import Grant, Withheld
from contracts.organisation import DeliveryPolicy
from contracts.receipts import FailureKind, Receipt, ReceiptKind, withheld
from contracts.records import write_receipt
from contracts.requests import ChangeRequest, PreviewRequest
from contracts.statuses import Outcome, Reason
from contracts.topics import RECEIPTS
from tests.support.line import (
    AGREEMENTS,
    Line,
    a_line,
    a_move,
    applied,
    applies,
    named,
    now,
    organisation,
    receipted,
    somebody,
)

WITHDRAWN = "wales.unwaith.change-withdrawn.v1"


@pytest.fixture
async def line(database: Database, tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as opened:
        yield opened


@pytest.fixture
async def attended(line: Line) -> AsyncIterator[Line]:
    """A line with the whole of tracking."""
    stop = asyncio.Event()
    attending = asyncio.create_task(withdrawing.attend(line.database, line.vault, now, stop))
    yield line
    stop.set()
    await attending


async def cancel(line: Line, accepted: Accepted) -> bool:
    """Cancel as the API does."""
    found = await changes.one_of_person(line.database, accepted.person.person_id, accepted.reference)
    assert found is not None
    done = await intake.cancel(line.database, accepted.person, found, now())
    await carry_out(line.database, line.vault, accepted.change_id, now)
    return done


def correcting(accepted: Accepted, request: PreviewRequest) -> PreviewRequest:
    return request.model_copy(update={"corrects": accepted.reference})


async def correct(
    line: Line, accepted: Accepted, request: PreviewRequest, *, key: str = "again", **more: Any
) -> Accepted:
    who = somebody()
    asked = correcting(accepted, request)
    shown = await line.intake.preview(who, asked)
    whole = ChangeRequest(type=asked.type, change=asked.change, preview=shown.digest, corrects=asked.corrects, **more)
    done = await line.intake.accept(who, key, whole)
    if done.corrects is not None:
        await carry_out(line.database, line.vault, done.corrects, now)
    return done


async def taken_back(line: Line, accepted: Accepted) -> dict[str, str]:
    """Return the statuses of what takes a change back."""
    withdrawn, _ = await withdrawals.of_change(line.database, accepted.change_id)
    assert withdrawn is not None
    return {
        row.organisation: row.status for row in await changes.deliveries_of(line.database, [withdrawn.taken_back_by])
    }


async def until_taken_back(line: Line, accepted: Accepted, wanted: dict[str, str]) -> None:
    async with asyncio.timeout(30):
        while (found := await taken_back(line, accepted)) != wanted:
            await asyncio.sleep(0.02)
    assert found == wanted


def all_of(line: Line, status: str) -> dict[str, str]:
    return named(line, cardiff_council=status, swansea_council=status, transport_for_wales=status)


async def ids_of(line: Line, accepted: Accepted) -> dict[str, UUID]:
    return {row.organisation: row.id for row in await changes.deliveries_of(line.database, [accepted.change_id])}


async def balanced(line: Line) -> bool:
    return (await changes.books(line.database)).faults() == []


# Before it is sent


async def test_what_is_not_sent_is_stopped_at_once_and_nobody_is_told_anything(attended: Line) -> None:
    line = attended
    accepted = await line.tell(somebody(), a_move())
    assert await cancel(line, accepted)
    assert await line.statuses(accepted) == all_of(line, "cancelled")
    assert await taken_back(line, accepted) == {}
    assert not await cancel(line, accepted), "once is enough"
    line.start()
    following = await line.tell(somebody(), a_move(8))
    await line.until(following, applied(line))
    assert {item.sequence for item in line.systems.arrived} == {1}, "what was never sent took no place in the order"
    assert {item.id for item in line.systems.arrived} == set((await ids_of(line, following)).values())
    assert await balanced(line)


async def test_a_future_one_is_stopped_before_its_day(attended: Line) -> None:
    line = attended
    line.start()
    accepted = await line.tell(somebody(), a_move(on=(now() + timedelta(days=9)).date()))
    assert await line.statuses(accepted) == all_of(line, "waiting")
    await cancel(line, accepted)
    assert await line.statuses(accepted) == all_of(line, "cancelled")
    following = await line.tell(somebody(), a_move(8))
    await line.until(following, applied(line))
    assert await balanced(line)


async def test_the_day_begins_when_it_begins_in_wales(line: Line) -> None:
    this = now().date()
    days = [
        next(day for year in (this.year, this.year + 1) if (day := date(year, month, 15)) > this) for month in (1, 7)
    ]
    for number, (day, before) in enumerate(zip(days, (timedelta(0), timedelta(hours=1)), strict=True)):
        accepted = await line.tell(somebody(number, f"Tŷ{number}"), a_move(on=day))
        rows = await changes.deliveries_of(line.database, [accepted.change_id])
        assert {row.due for row in rows} == {datetime(day.year, day.month, day.day, tzinfo=UTC) - before}


async def test_what_is_in_the_log_is_stopped_at_the_gate(attended: Line) -> None:
    line = attended
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    await cancel(line, accepted)
    assert await line.statuses(accepted) == all_of(line, "published"), "it may be on its way: it shows as stopping"
    ids = await ids_of(line, accepted)
    gate = StoreGate(line.database, line.vault)
    assert (
        await gate.grant([(key, 0) for key in ids.values()], timedelta(seconds=1)) == [Withheld(Reason.CANCELLED)] * 3
    )
    line.start()
    await line.until(accepted, all_of(line, "cancelled"))
    assert line.systems.arrived == []
    following = await line.tell(somebody(), a_move(8))
    await line.until(following, applied(line))
    assert await taken_back(line, accepted) == {}
    assert await balanced(line)


async def test_what_waits_for_another_try_is_stopped_without_one(attended: Line) -> None:
    line = attended
    swansea = f"swansea-council-{line.prefix}"
    slow = DeliveryPolicy(first_delay_seconds=500.0)
    await register.put_organisation(line.database, organisation(swansea, slow))
    await line.directory.refresh()

    async def busy(_delivery: Delivery, _seen: int) -> Receipt:
        raise Unavailable(Reason.TOO_MANY_REQUESTS)

    line.systems.behaviour[swansea] = busy
    line.start()
    accepted = await line.tell(somebody(), a_move())
    waits = named(line, cardiff_council="applied", swansea_council="published", transport_for_wales="applied")
    await line.until(accepted, waits)
    async with asyncio.timeout(20), line.database.connection() as connection:
        while await connection.fetchval("SELECT in_flight FROM lane WHERE organisation = $1", swansea):
            await asyncio.sleep(0.02)
    await cancel(line, accepted)
    assert (await line.statuses(accepted))[swansea] == "cancelled", "refused is not received"
    back = named(line, cardiff_council="applied", transport_for_wales="applied")
    await until_taken_back(line, accepted, back)
    assert await balanced(line)


# After it is sent


async def test_who_was_sent_it_is_told_that_it_is_taken_back_and_nothing_new(attended: Line) -> None:
    line = attended
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(accepted, applied(line))
    told = {item.organisation: item for item in line.systems.arrived}
    await cancel(line, accepted)
    await until_taken_back(line, accepted, applied(line))
    assert await line.statuses(accepted) == applied(line), "what the organisations said stays said"
    back = [item for item in line.systems.arrived if item.type == WITHDRAWN]
    assert {item.organisation for item in back} == set(told)
    for item in back:
        first, data = orjson.loads(told[item.organisation].data), orjson.loads(item.data)
        assert data.pop("withdraws") == {
            "id": str(told[item.organisation].id),
            "type": told[item.organisation].type,
            "sequence": "000000000001",
            "change": first["change"],
        }, "what it was sent, and nothing else"
        assert data == {"person": first["person"], "roles": first["roles"]}
        assert (item.subject, item.sequence, item.origin) == (
            told[item.organisation].subject,
            2,
            told[item.organisation].origin,
        )
    assert await balanced(line)


async def test_the_organisations_fact_wins_over_a_cancellation_and_is_taken_back(attended: Line) -> None:
    """It was in the log when it was cancelled; the gate withheld it; and the organisation has it all the same."""
    line = attended
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    await cancel(line, accepted)
    line.start()
    await line.until(accepted, all_of(line, "cancelled"))
    swansea = f"swansea-council-{line.prefix}"
    late = Receipt(
        id=uuid4(),
        delivery_id=(await ids_of(line, accepted))[swansea],
        epoch=0,
        attempt=1,
        kind=ReceiptKind.ANSWERED,
        outcome=Outcome.APPLIED,
        at=now(),
    )
    await line.eventlog.append([Record(RECEIPTS.name, *write_receipt(late))])
    await until_taken_back(line, accepted, named(line, swansea_council="applied"))
    assert (await line.statuses(accepted))[swansea] == "applied"
    assert await balanced(line)


async def test_a_cancellation_while_it_is_being_sent_waits_for_the_answer(attended: Line) -> None:
    line = attended
    swansea = f"swansea-council-{line.prefix}"
    sending, answer = asyncio.Event(), asyncio.Event()

    async def slowly(delivery: Delivery, seen: int) -> Receipt:
        if delivery.type != WITHDRAWN:
            sending.set()
            await asyncio.wait_for(answer.wait(), 30)
        return await applies(delivery, seen)

    line.systems.behaviour[swansea] = slowly
    patient = DeliveryPolicy(deadline_seconds=8.0)
    await register.put_organisation(line.database, organisation(swansea, patient))
    await line.directory.refresh()
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await asyncio.wait_for(sending.wait(), 30)
    others = named(line, cardiff_council="applied", swansea_council="published", transport_for_wales="applied")
    await line.until(accepted, others)  # what the gate is asked for after the cancellation is withheld, not taken back
    await cancel(line, accepted)
    assert (await line.statuses(accepted))[swansea] == "published"
    answer.set()
    await until_taken_back(line, accepted, applied(line))
    assert await balanced(line)


async def test_what_may_have_arrived_is_stopped_and_taken_back(attended: Line) -> None:
    line = attended
    swansea = f"swansea-council-{line.prefix}"
    slow = DeliveryPolicy(first_delay_seconds=500.0)
    await register.put_organisation(line.database, organisation(swansea, slow))
    await line.directory.refresh()

    async def lost(delivery: Delivery, seen: int) -> Receipt:
        if delivery.type != WITHDRAWN:
            raise Unknown(Reason.CONNECTION_LOST)
        return await applies(delivery, seen)

    line.systems.behaviour[swansea] = lost
    line.start()
    accepted = await line.tell(somebody(), a_move())
    async with asyncio.timeout(20), line.database.connection() as connection:
        while not await connection.fetchval("SELECT unknowns FROM delivery WHERE organisation = $1", swansea):
            await asyncio.sleep(0.02)
    await cancel(line, accepted)
    assert (await line.statuses(accepted))[swansea] == "cancelled"
    await until_taken_back(line, accepted, applied(line))
    assert await balanced(line)


async def test_an_attempt_nobody_spoke_of_is_taken_back(attended: Line) -> None:
    """A worker had leave to send and died; the copy read again is withheld: whether it arrived nobody can know."""
    line = attended
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    swansea = f"swansea-council-{line.prefix}"
    gate = StoreGate(line.database, line.vault)
    await gate.grant([((await ids_of(line, accepted))[swansea], 0)], timedelta(seconds=-2))  # over at once
    await cancel(line, accepted)
    line.start()
    await line.until(accepted, all_of(line, "cancelled"))
    await until_taken_back(line, accepted, named(line, swansea_council="applied"))
    assert [item.type for item in line.systems.arrived] == [WITHDRAWN]
    assert await balanced(line)


async def stopped_unsent(line: Line, accepted: Accepted, delivery_id: UUID) -> None:
    """Cancel what waits in its lane for another try: it ends there, and nothing is heard of it any more."""
    await cancel(line, accepted)
    [row] = [
        item for item in await changes.deliveries_of(line.database, [accepted.change_id]) if item.id == delivery_id
    ]
    assert row.status == "cancelled"


def deferred(delivery_id: UUID, grant: Grant, failure: FailureKind, reason: Reason, epoch: int = 0) -> Received:
    receipt = Receipt(
        id=uuid4(),
        delivery_id=delivery_id,
        epoch=epoch,
        attempt=grant.attempt,
        kind=ReceiptKind.DEFERRED,
        failure=failure,
        reason=reason,
        granted_until=grant.valid_until,
        not_before=now() + timedelta(hours=1),
        at=now(),
    )
    return receipted(receipt)


async def folded(line: Line, receipt: Received) -> None:
    await line.tracker().fold_all([receipt])


async def test_an_attempt_nobody_spoke_of_is_not_forgotten_over_a_later_one_that_failed(line: Line) -> None:
    """A worker died while it was sending; the next was refused the connection; then the person cancels."""
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    swansea = f"swansea-council-{line.prefix}"
    delivery_id = (await ids_of(line, accepted))[swansea]
    gate = StoreGate(line.database, line.vault)
    await gate.grant([(delivery_id, 0)], timedelta(seconds=-2))  # over at once
    [grant] = await gate.grant([(delivery_id, 0)], timedelta(seconds=1))
    assert isinstance(grant, Grant)
    await folded(line, deferred(delivery_id, grant, FailureKind.UNAVAILABLE, Reason.CONNECTION_REFUSED))
    await stopped_unsent(line, accepted, delivery_id)
    assert await taken_back(line, accepted) == named(line, swansea_council="queued")


async def test_what_may_have_arrived_before_a_replay_is_taken_back(line: Line) -> None:
    swansea = f"swansea-council-{line.prefix}"
    once = DeliveryPolicy(unknown_limit=1)
    await register.put_organisation(line.database, organisation(swansea, once))
    await line.directory.refresh()
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    delivery_id = (await ids_of(line, accepted))[swansea]
    [grant] = await StoreGate(line.database, line.vault).grant([(delivery_id, 0)], timedelta(seconds=1))
    assert isinstance(grant, Grant)
    await folded(line, deferred(delivery_id, grant, FailureKind.UNKNOWN, Reason.CONNECTION_LOST))
    assert (await line.statuses(accepted))[swansea] == "undelivered"
    asked = Asked(organisation=swansea, delivery_id=delivery_id)
    await replay.ask(line.database, asked, reason="repaired", note="", actor="o", expected=1, now=now())
    await replay.carry_on(line.database, now())
    assert (await line.statuses(accepted))[swansea] == "queued"
    await stopped_unsent(line, accepted, delivery_id)
    assert await taken_back(line, accepted) == named(line, swansea_council="queued")


async def test_an_attempt_cut_short_at_a_shutdown_may_have_arrived(line: Line) -> None:
    swansea = f"swansea-council-{line.prefix}"
    sending = asyncio.Event()

    async def never(_delivery: Delivery, _seen: int) -> Receipt:
        sending.set()
        await asyncio.Event().wait()
        raise AssertionError

    line.systems.behaviour[swansea] = never
    await register.put_organisation(line.database, organisation(swansea, DeliveryPolicy(deadline_seconds=60.0)))
    await line.directory.refresh()
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    delivery_id = (await ids_of(line, accepted))[swansea]
    stop = asyncio.Event()
    pool = asyncio.create_task(line.pool().run(stop))
    await asyncio.wait_for(sending.wait(), 30)
    stop.set()
    await pool
    line.start(line.tracker())
    async with asyncio.timeout(20), line.database.connection() as connection:
        while await connection.fetchval("SELECT in_flight FROM lane WHERE organisation = $1", swansea):
            await asyncio.sleep(0.02)
        await connection.execute("UPDATE lane SET granted_until = now() WHERE granted_until IS NOT NULL")
    await stopped_unsent(line, accepted, delivery_id)
    assert swansea in await taken_back(line, accepted)


async def test_cancelled_at_any_moment_whoever_applied_it_is_told_and_nobody_else(attended: Line) -> None:
    line = attended
    line.start(line.relay(), line.relay(), line.pool(), line.tracker(), line.tracker())
    told = []
    for number in range(24):
        accepted = await line.tell(somebody(number, f"Tŷ{number}"), a_move())
        told.append(accepted)
        await asyncio.sleep(0.004 * (number % 6))
        await cancel(line, accepted)
    async with asyncio.timeout(60):
        while True:
            async with line.database.connection() as connection:
                if not await connection.fetchval(  # at one moment: what is looked at is owed something the next
                    "SELECT EXISTS (SELECT FROM delivery WHERE status IN ('waiting', 'queued', 'published'))"
                    " OR EXISTS (SELECT FROM withdrawal WHERE look_at IS NOT NULL)"
                ):
                    break
            await asyncio.sleep(0.05)
    has = {item.id for item in line.systems.arrived if item.type != WITHDRAWN}
    back = [UUID(orjson.loads(item.data)["withdraws"]["id"]) for item in line.systems.arrived if item.type == WITHDRAWN]
    assert sorted(back) == sorted(has), "each once, and exactly those"
    for accepted in told:
        ids = await ids_of(line, accepted)
        assert {key: status == "applied" for key, status in (await line.statuses(accepted)).items()} == {
            key: delivery_id in has for key, delivery_id in ids.items()
        }
    assert await balanced(line)


async def test_a_fault_holds_up_no_other_and_is_said_aloud(line: Line) -> None:
    first, second = await line.tell(somebody(1), a_move()), await line.tell(somebody(2, "Arall"), a_move())
    for accepted in (first, second):
        await line.relay().step()
        [swansea] = [key for name, key in (await ids_of(line, accepted)).items() if name.startswith("swansea")]
        late = Receipt(
            id=uuid4(),
            delivery_id=swansea,
            epoch=0,
            attempt=1,
            kind=ReceiptKind.ANSWERED,
            outcome=Outcome.APPLIED,
            at=now(),
        )
        await folded(line, receipted(late))
    async with line.database.connection() as connection:
        await connection.execute(
            "UPDATE delivery_content SET sealed = 'damaged' WHERE delivery_id IN (SELECT id FROM delivery WHERE change_id = $1)",
            first.change_id,
        )
    with capture_logs() as logged:
        await cancel(line, first)
        await cancel(line, second)
    assert [item["change_id"] for item in logged if item["event"] == "withdrawal.failed"] == [str(first.change_id)]
    assert await taken_back(line, first) == {}
    assert await taken_back(line, second) == named(line, swansea_council="queued")
    async with line.database.connection() as connection:
        waits = await connection.fetchval(
            "SELECT look_at > now() FROM withdrawal WHERE change_id = $1", first.change_id
        )
    assert waits, "it is tried again"


# Correcting


async def test_a_correction_replaces_what_is_not_sent(attended: Line) -> None:
    line = attended
    first = await line.tell(somebody(), a_move(7))
    second = await correct(line, first, a_move(9))
    assert await line.statuses(first) == all_of(line, "superseded")
    line.start()
    await line.until(second, applied(line))
    assert len(line.systems.arrived) == 3
    assert all(b'"9"' in item.data for item in line.systems.of(f"swansea-council-{line.prefix}"))
    assert await taken_back(line, first) == {}
    assert await balanced(line)


async def test_a_correction_names_what_it_corrects_to_each_in_their_own_words(attended: Line) -> None:
    line = attended
    line.start()
    first = await line.tell(somebody(), a_move(7))
    await line.until(first, applied(line))
    ids = await ids_of(line, first)
    shown = await line.intake.preview(somebody(), correcting(first, a_move(9)))
    assert {item.organisation: item.data["corrects"]["id"] for item in shown.recipients} == {
        key: str(value) for key, value in ids.items()
    }
    second = await correct(line, first, a_move(9), leave_out=(f"transport-for-wales-{line.prefix}",))
    await line.until(second, named(line, cardiff_council="applied", swansea_council="applied"))
    await until_taken_back(line, first, named(line, transport_for_wales="applied"))
    for name in ("cardiff-council", "swansea-council"):
        _, later = line.systems.of(f"{name}-{line.prefix}")
        assert orjson.loads(later.data)["corrects"] == {"id": str(ids[f"{name}-{line.prefix}"])}
        assert later.type != WITHDRAWN
    assert await balanced(line)

    again = await line.intake.accept(
        somebody(),
        "again",
        ChangeRequest(
            type="address",
            change=a_move(9).change,
            preview=(await line.intake.preview(somebody(), a_move(9))).digest,
            corrects=first.reference,
            leave_out=(f"transport-for-wales-{line.prefix}",),
        ).model_copy(update={"preview": shown.digest}),
    )
    assert again.change_id == second.change_id, "asked again with the same key, it is the same change"


async def test_cancelling_a_correction_that_was_not_sent_takes_back_what_it_replaced(attended: Line) -> None:
    line = attended
    line.start()
    first = await line.tell(somebody(), a_move(7))
    await line.until(first, applied(line))
    await line.close()
    second = await correct(line, first, a_move(9))
    assert await taken_back(line, first) == {}, "the correction tells them"
    await cancel(line, second)
    assert await line.statuses(second) == all_of(line, "cancelled")
    async with asyncio.timeout(20):
        while len(await taken_back(line, first)) < 3:
            await asyncio.sleep(0.02)
    assert await taken_back(line, second) == {}
    assert await balanced(line)


async def test_nothing_is_corrected_twice_nor_somebody_elses_nor_a_taking_back(line: Line) -> None:
    first = await line.tell(somebody(), a_move(7))
    foreign = await line.tell(somebody(2, "Arall"), a_move(7))
    second = await correct(line, first, a_move(9))
    withdrawn, _ = await withdrawals.of_change(line.database, first.change_id)
    assert withdrawn is not None
    async with line.database.connection() as connection:
        own = await connection.fetchval("SELECT reference FROM change WHERE id = $1", withdrawn.taken_back_by)
    for reference, code in (
        (first.reference, "withdrawn"),  # and so no circle can close: what is corrected corrects nothing any more
        (foreign.reference, "not_yours"),
        (own, "not_yours"),
        ("00000-00000-0", "not_yours"),
    ):
        with pytest.raises(NotAcceptable) as refused:
            await line.intake.preview(somebody(), a_move(11).model_copy(update={"corrects": reference}))
        assert [(fault.pointer, fault.code) for fault in refused.value.errors] == [("/corrects", code)]
    assert await changes.one_of_person(line.database, first.person.person_id, own) is None
    third = await correct(line, second, a_move(11), key="third")
    assert (await withdrawals.of_change(line.database, second.change_id))[0] is not None
    assert (await withdrawals.of_change(line.database, third.change_id)) == (None, second.reference)


async def test_of_two_corrections_at_once_one_is_taken(line: Line) -> None:
    first = await line.tell(somebody(), a_move(7))
    asked = [correcting(first, a_move(house)) for house in (8, 9, 10, 11)]
    shown = [await line.intake.preview(somebody(), item) for item in asked]

    async def tell(place: int) -> Accepted:
        whole = ChangeRequest(
            type="address", change=asked[place].change, preview=shown[place].digest, corrects=first.reference
        )
        return await line.intake.accept(somebody(), f"key-{place}", whole)

    done = await asyncio.gather(*(tell(place) for place in range(4)), return_exceptions=True)
    assert sum(isinstance(item, Accepted) for item in done) == 1
    assert sum(isinstance(item, NotAcceptable) for item in done) == 3
    async with line.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM change WHERE type = 'address'") == 2


# Only the newest


async def test_to_who_wants_only_the_newest_an_older_one_is_superseded(attended: Line) -> None:
    line = attended
    swansea = await wanting_the_newest(line)
    told = [await line.tell(somebody(), a_move(house)) for house in (1, 2, 3)]
    future = await line.tell(somebody(), a_move(4, on=(now() + timedelta(days=9)).date()))
    line.start()
    older = named(line, cardiff_council="applied", swansea_council="superseded", transport_for_wales="applied")
    for accepted in told[:2]:
        await line.until(accepted, older)
    await line.until(told[2], applied(line))
    assert [item.sequence for item in line.systems.of(swansea)] == [3], "a future one overtakes nobody before its day"
    assert await line.statuses(future) == all_of(line, "waiting")
    assert await balanced(line)


def staying(house: int, **members: Any) -> PreviewRequest:
    """A move with other members than the plain one: temporary, or with children."""
    move = a_move(house)
    assert move.change is not None
    change = AddressChange.model_validate(move.change.model_dump() | members)
    return move.model_copy(update={"change": change})


CHILD = {"name": {"name_parts": ({"type": "GivenName", "value": "Mali"},)}, "birth_date": date(2020, 3, 1)}


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {"moveKind": "temporary"}),
        ({"moveKind": "temporary"}, {}),
        ({"household": (CHILD,)}, {}),
    ],
    ids=["a stay does not replace a home", "nor a home a stay", "nor a move alone one with children"],
)
async def test_who_wants_only_the_newest_is_told_all_that_it_does_not_say(
    line: Line, first: dict[str, Any], then: dict[str, Any]
) -> None:
    swansea = await wanting_the_newest(line)
    told = [await line.tell(somebody(), staying(1, **first)), await line.tell(somebody(), staying(2, **then))]
    line.start()
    for accepted in told:
        await line.until(accepted, applied(line))
    assert [item.sequence for item in line.systems.of(swansea)] == [1, 2]
    assert await balanced(line)


async def test_what_was_superseded_comes_back_though_a_stay_was_told_since(attended: Line) -> None:
    line = attended
    swansea = await wanting_the_newest(line)
    home = await line.tell(somebody(), a_move(1))
    await line.relay().step()
    newer = await line.tell(somebody(), a_move(2))
    stay = await line.tell(somebody(), staying(3, moveKind="temporary"))
    await folded(line, await superseded(line, home, swansea))
    await cancel(line, newer)
    line.start()
    await line.until(home, applied(line))
    await line.until(stay, applied(line))
    assert [item.sequence for item in line.systems.of(swansea)] == [1, 2], "the home first, in its place"


def replace_agreement(agreement: Any, **updates: Any) -> Any:
    return agreement.model_copy(update=updates)


async def wanting_the_newest(line: Line) -> str:
    """Have Swansea want only the newest; return its id."""
    swansea = f"swansea-council-{line.prefix}"
    newest = next(item for item in AGREEMENTS if item.organisation == "swansea-council")
    await register.put_agreement(
        line.database,
        replace_agreement(newest, organisation=swansea, id=f"{newest.id}-{line.prefix}", version=2, latest_only=True),
    )
    await line.directory.refresh()
    return swansea


async def superseded(line: Line, accepted: Accepted, swansea: str) -> Received:
    """Have the gate refuse it for a newer one; return the worker's word of that."""
    delivery_id = (await ids_of(line, accepted))[swansea]
    gate = StoreGate(line.database, line.vault)
    assert await gate.grant([(delivery_id, 0)], timedelta(seconds=5)) == [Withheld(Reason.SUPERSEDED)]
    return receipted(withheld(delivery_id, 0, Reason.SUPERSEDED, now()))


@pytest.mark.parametrize("told_first", [True, False], ids=["then cancelled", "cancelled before the worker's word"])
async def test_who_wants_only_the_newest_has_the_older_one_when_the_newer_is_taken_back_unsent(
    line: Line, told_first: bool
) -> None:
    swansea = await wanting_the_newest(line)
    older = await line.tell(somebody(), a_move(1))
    await line.relay().step()
    newer = await line.tell(somebody(), a_move(2))
    word = await superseded(line, older, swansea)
    if told_first:
        await folded(line, word)
        assert (await line.statuses(older))[swansea] == "superseded"
        await cancel(line, newer)
    else:
        await cancel(line, newer)
        await folded(line, word)
    assert (await line.statuses(older))[swansea] == "queued", "again, and for another reason to be told aloud"
    assert await balanced(line)
    line.start()
    await line.until(older, applied(line))
    assert [(item.sequence, item.epoch) for item in line.systems.of(swansea)] == [(1, 1)]
    async with line.database.connection() as connection:
        leaves = await connection.fetchval(
            "SELECT count(*) FROM audit_leaf WHERE convert_from(leaf, 'UTF8')::json->>'action' = 'delivery.revived'"
        )
    assert leaves == 1


async def test_an_older_one_that_may_have_arrived_comes_back_too(line: Line) -> None:
    """One try of it ended in silence; the newer one was taken back before the worker's word that it superseded."""
    swansea = await wanting_the_newest(line)
    older = await line.tell(somebody(), a_move(1))
    await line.relay().step()
    async with line.database.connection() as connection:
        await connection.execute("UPDATE delivery SET unknowns = 1 WHERE id = $1", (await ids_of(line, older))[swansea])
    newer = await line.tell(somebody(), a_move(2))
    word = await superseded(line, older, swansea)
    await cancel(line, newer)
    await folded(line, word)
    assert (await line.statuses(older))[swansea] == "queued"
    line.start()
    await line.until(older, applied(line))
    assert await balanced(line)


async def test_the_last_of_several_superseded_comes_back_and_no_other(attended: Line) -> None:
    line = attended
    swansea = await wanting_the_newest(line)
    first = await line.tell(somebody(), a_move(1))
    await line.relay().step()
    second = await line.tell(somebody(), a_move(2))
    await folded(line, await superseded(line, first, swansea))
    await line.relay().step()
    third = await line.tell(somebody(), a_move(3))
    await folded(line, await superseded(line, second, swansea))
    await cancel(line, second)
    assert (await line.statuses(first))[swansea] == "superseded", "the third stands for it"
    await cancel(line, third)
    line.start()
    await line.until(first, applied(line))
    assert [item.sequence for item in line.systems.of(swansea)] == [1]
    assert await balanced(line)


async def test_what_could_only_come_too_late_is_given_up_aloud(line: Line) -> None:
    """Something of another kind went first: the older one would now be ignored, as its sequence is the lower."""
    swansea = await wanting_the_newest(line)
    older = await line.tell(somebody(), a_move(1))
    await line.relay().step()
    newer = await line.tell(somebody(), a_move(2))
    await folded(line, await superseded(line, older, swansea))
    async with line.database.connection() as connection:
        await connection.execute(  # as if another kind of change had been sent between the two
            "UPDATE lane SET occupant = $2 WHERE organisation = $1", swansea, (await ids_of(line, newer))[swansea]
        )
        await connection.execute("UPDATE delivery SET sequence = 2, unknowns = 1 WHERE change_id = $1", newer.change_id)
        await connection.execute("UPDATE change SET type = 'name' WHERE id = $1", newer.change_id)
    newest = await line.tell(somebody(), a_move(3))
    with capture_logs() as logged:
        await cancel(line, newest)
    assert [item["reason"] for item in logged if item["event"] == "delivery.undelivered"] == ["superseded"]
    assert (await line.statuses(older))[swansea] == "undelivered"


async def test_what_takes_back_is_sent_though_more_was_told_before_it_was_owed(line: Line) -> None:
    """A withdrawal has its place among the changes from when it is asked for; it is owed only once somebody has looked."""
    line.start()
    accepted = await line.tell(somebody(), a_move(1))
    await line.until(accepted, applied(line))
    found = await changes.one_of_person(line.database, accepted.person.person_id, accepted.reference)
    assert found is not None
    assert await intake.cancel(line.database, accepted.person, found, now())
    later = await line.tell(somebody(), a_move(2))
    await carry_out(line.database, line.vault, accepted.change_id, now)
    assert await balanced(line)
    await line.until(later, applied(line))
    await until_taken_back(line, accepted, applied(line))
    assert await balanced(line)

"""Giving up by hand, and replays of a set, at a rate, ended before their end, or carried on after a crash."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from broker import intake
from broker.cli import replaying as commands
from broker.eventlog.postgres import PostgresLog
from broker.intake import Accepted
from broker.store import Database, changes, lanes, operations, replays
from broker.store.replays import Asked
from broker.tracking import replay as replaying
from broker.tracking.giving_up import GivenUp, give_up
from broker.tracking.replay import Refusal
from broker.vault import RootKeyFile, StoreGate
from contracts.grants import Grant, Withheld
from contracts.statuses import Reason
from tests.support.line import Line, a_line, a_move, applied, named, now, somebody


@pytest.fixture
async def line(database: Database, tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as opened:
        yield opened


def at_cardiff(line: Line) -> str:
    return f"cardiff-council-{line.prefix}"


async def cardiffs(line: Line, accepted: Accepted) -> UUID:
    rows = await changes.deliveries_of(line.database, [accepted.change_id])
    return next(row.id for row in rows if row.organisation == at_cardiff(line))


async def given_up(line: Line, delivery_id: UUID) -> GivenUp:
    return await give_up(
        line.database, delivery_id, reason="organisation_asked", note="INC-1", actor="staff:test", now=now()
    )


async def some_given_up(line: Line, count: int) -> list[UUID]:
    """Tell as different people, and give up what Cardiff is owed before anything is sent."""
    ids = []
    for number in range(count):
        accepted = await line.tell(somebody(number, f"Tŷ{number}"), a_move())
        ids.append(await cardiffs(line, accepted))
        assert await given_up(line, ids[-1]) is GivenUp.DONE
    return ids


async def ask(line: Line, asked: Asked, per_minute: int | None = None) -> UUID:
    return await replaying.ask(
        line.database,
        asked,
        reason="repaired",
        note="INC-1",
        actor="staff:test",
        expected=0,
        now=now(),
        per_minute=per_minute,
    )


async def found(line: Line, key: UUID) -> replays.Replay:
    replay = await replays.find(line.database, key)
    assert replay is not None
    return replay


# Giving up


async def test_what_is_given_up_is_said_aloud_and_its_lane_goes_on(line: Line) -> None:
    first = await line.tell(somebody(), a_move(1))
    await line.relay().step()
    second = await line.tell(somebody(), a_move(2))
    cardiff = await cardiffs(line, first)
    with capture_logs() as logged:
        assert await given_up(line, cardiff) is GivenUp.DONE
    assert [item["reason"] for item in logged if item["event"] == "delivery.undelivered"] == ["given_up"]
    assert await given_up(line, cardiff) is GivenUp.NOT_OPEN, "once"
    assert await given_up(line, uuid4()) is GivenUp.NOT_OPEN
    [act] = await operations.acts(line.database, 10)
    assert (act["action"], act["actor"], act["delivery"]) == ("delivery.given_up", "staff:test", str(cardiff))
    assert (act["detail"]["reason"], act["detail"]["note"]) == ("organisation_asked", "INC-1")
    [receipt] = await changes.receipts_of(line.database, [cardiff])
    assert (receipt.status, receipt.reason, receipt.effect) == ("undelivered", "given_up", "raised")
    line.start()
    await line.until(second, applied(line))
    await line.until(
        first, named(line, cardiff_council="undelivered", swansea_council="applied", transport_for_wales="applied")
    )
    assert [item.sequence for item in line.systems.of(at_cardiff(line))] == [2], "the copy in the log was withheld"
    assert (await changes.books(line.database)).faults() == []


async def test_what_is_being_sent_this_moment_is_not_given_up(line: Line) -> None:
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    cardiff = await cardiffs(line, accepted)
    gate = StoreGate(line.database, line.vault)
    assert isinstance((await gate.grant([(cardiff, 0)], timedelta(seconds=30)))[0], Grant)
    assert await given_up(line, cardiff) is GivenUp.BEING_SENT
    async with line.database.connection() as connection:
        await connection.execute("UPDATE lane SET granted_until = now()")
    assert await given_up(line, cardiff) is GivenUp.DONE
    assert await gate.grant([(cardiff, 0)], timedelta(seconds=1)) == [Withheld(Reason.ALREADY_RECEIVED)]
    async with line.database.connection() as connection:
        assert await connection.fetchval("SELECT unknowns FROM delivery WHERE id = $1", cardiff) == 1, "it may have it"


async def test_what_never_had_a_number_and_is_replayed_goes_before_what_was_told_later(line: Line) -> None:
    """When the second is told its lane owes nothing, and looks at nothing before it from then; the replay changes that."""
    first = await line.tell(somebody(), a_move(1))
    cardiff = await cardiffs(line, first)
    assert await given_up(line, cardiff) is GivenUp.DONE
    second = await line.tell(somebody(), a_move(2))
    await ask(line, Asked(organisation=at_cardiff(line), delivery_id=cardiff))
    while await replaying.carry_on(line.database, now()):
        pass
    assert (await changes.books(line.database)).faults() == []
    line.start()
    await line.until(first, applied(line))
    await line.until(second, applied(line))
    rows = [await changes.deliveries_of(line.database, [one.change_id]) for one in (first, second)]
    assert [[row.sequence for row in of if row.organisation == at_cardiff(line)] for of in rows] == [[1], [2]]
    assert (await changes.books(line.database)).faults() == []


async def test_what_a_lane_does_not_look_back_to_and_numbers_given_twice_are_counted(line: Line) -> None:
    await line.tell(somebody(), a_move(1))
    second = await line.tell(somebody(), a_move(2))
    async with line.database.connection() as connection:  # nothing of ours does this
        await connection.execute("UPDATE lane SET owed_from = 2 WHERE organisation = $1", at_cardiff(line))
        [fault] = (await changes.books(line.database)).faults()
        assert fault == "1 lanes that point astray"
        await connection.execute("UPDATE lane SET owed_from = 1 WHERE organisation = $1", at_cardiff(line))
        line.start()
        await line.until(second, applied(line))
        assert (await changes.books(line.database)).faults() == []
        await connection.execute("UPDATE delivery SET sequence = 1 WHERE organisation = $1", at_cardiff(line))
    [fault] = (await changes.books(line.database)).faults()
    assert fault == "1 lanes with a gap in their sequence, or a number twice"


async def test_what_its_lane_has_forgotten_is_counted_and_can_be_brought_back_as_the_books_say(line: Line) -> None:
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    cardiff = await cardiffs(line, accepted)
    assert (await changes.books(line.database)).faults() == []
    async with line.database.connection() as connection:  # nothing of ours does this
        await connection.execute(
            "UPDATE lane SET occupant = NULL, in_flight = false, due = NULL WHERE organisation = $1", at_cardiff(line)
        )
    [fault] = (await changes.books(line.database)).faults()
    assert fault.startswith("1 numbered deliveries that no lane holds")
    assert str(cardiff) in fault
    assert "unwaith give-up" in fault
    assert await given_up(line, cardiff) is GivenUp.DONE
    await ask(line, Asked(organisation=at_cardiff(line), delivery_id=cardiff))
    while await replaying.carry_on(line.database, now()):
        pass
    line.start()
    await line.until(accepted, applied(line))
    assert (await changes.books(line.database)).faults() == []


async def test_what_was_never_due_is_replayed_in_its_place_unless_it_was_overtaken(line: Line) -> None:
    first = await line.tell(somebody(), a_move(1))
    second = await line.tell(somebody(), a_move(2))
    early, late = await cardiffs(line, first), await cardiffs(line, second)
    assert await given_up(line, early) is GivenUp.DONE
    assert await given_up(line, late) is GivenUp.DONE
    both = Asked(organisation=at_cardiff(line), delivery_ids=(early, late))
    assert (await replaying.preview(line.database, both)).replayed == 2
    await ask(line, Asked(organisation=at_cardiff(line), delivery_ids=(late,)))
    while await replaying.carry_on(line.database, now()):
        pass
    line.start()
    await line.until(second, applied(line))
    shown = await replaying.preview(line.database, both)
    assert shown.refused == {Refusal.OVERTAKEN: 1, Refusal.MOVED_ON: 1}
    assert [item.sequence for item in line.systems.of(at_cardiff(line))] == [1]
    assert (await changes.books(line.database)).faults() == []


# Replays


async def test_a_set_is_replayed_to_one_organisation_alone(line: Line) -> None:
    ids = await some_given_up(line, 5)
    elsewhere = Asked(organisation=f"swansea-council-{line.prefix}", delivery_ids=tuple(sorted(ids)))
    assert (await replaying.preview(line.database, elsewhere)).statuses == {}
    key = await ask(line, elsewhere)
    while await replaying.carry_on(line.database, now()):
        pass
    assert (await found(line, key)).replayed == 0, "another's deliveries are not looked at"

    chosen = Asked(organisation=at_cardiff(line), delivery_ids=tuple(sorted(ids[:4])))
    key = await ask(line, chosen)
    assert await replaying.carry_on(line.database, now(), limit=3) == key
    assert (await found(line, key)).replayed == 3, "a crash here loses nothing: whoever comes goes on after these"
    while await replaying.carry_on(line.database, now(), limit=3):
        pass
    done = await found(line, key)
    assert (done.replayed, done.refused, done.ended_at is None) == (4, {}, False)
    line.start()
    async with asyncio.timeout(30):
        while len(line.systems.of(at_cardiff(line))) < 4:
            await asyncio.sleep(0.02)
    assert {item.id for item in line.systems.of(at_cardiff(line))} == set(ids[:4])


async def test_of_one_lane_one_is_replayed_at_a_time_and_none_is_forgotten(line: Line) -> None:
    """Numbered, and given up before the log had them: neither was published, so neither is overtaken."""
    ids = []
    for house in (1, 2):
        accepted = await line.tell(somebody(), a_move(house))
        ids.append(await cardiffs(line, accepted))
        await lanes.claim(
            line.database, [at_cardiff(line)], limit=1, credit=9, lease=timedelta(0), leaf=lambda _: b"{}"
        )
        assert await given_up(line, ids[-1]) is GivenUp.DONE
    both = Asked(organisation=at_cardiff(line), delivery_ids=tuple(ids))
    for asked in (both, Asked(organisation=at_cardiff(line), delivery_id=ids[1])):
        key = await ask(line, asked)
        while await replaying.carry_on(line.database, now()):
            pass
        assert (await found(line, key)).refused == {Refusal.OVERTAKEN: 1}
    assert {row.id: row.status for row in await every(line, ids)} == dict(
        zip(ids, ("queued", "undelivered"), strict=True)
    )
    line.start()
    async with asyncio.timeout(30):
        while [row.status for row in await every(line, ids[:1])] != ["applied"]:
            await asyncio.sleep(0.02)
    await ask(line, both)
    while await replaying.carry_on(line.database, now()):
        pass
    async with asyncio.timeout(30):
        while {row.status for row in await every(line, ids)} != {"applied"}:
            await asyncio.sleep(0.02)
    assert [item.id for item in line.systems.of(at_cardiff(line))] == ids


async def test_a_rate_is_kept_and_other_replays_do_not_wait_for_it(line: Line) -> None:
    ids = await some_given_up(line, 4)
    slow = await ask(line, Asked(organisation=at_cardiff(line), delivery_ids=tuple(sorted(ids[:3]))), per_minute=1)
    assert await replaying.carry_on(line.database, now()) == slow
    quick = await ask(line, Asked(organisation=at_cardiff(line), delivery_ids=(ids[3],)))
    while await replaying.carry_on(line.database, now()):
        pass
    assert (await found(line, slow)).replayed == 1, "the next is due in a minute"
    assert (await found(line, quick)).replayed == 1
    async with line.database.connection() as connection:
        wait = await connection.fetchval("SELECT next_at - now() FROM replay WHERE id = $1", slow)
        assert timedelta(seconds=30) < wait <= timedelta(minutes=1)
        await connection.execute("UPDATE replay SET next_at = now()")
    assert await replaying.carry_on(line.database, now()) == slow
    assert (await found(line, slow)).replayed == 2


async def test_a_replay_is_cancelled_where_it_is(line: Line) -> None:
    ids = await some_given_up(line, 3)
    everything = Asked(organisation=at_cardiff(line), since=now() - timedelta(hours=1), upto=now() + timedelta(hours=1))
    key = await ask(line, everything)
    assert await replaying.carry_on(line.database, now(), limit=1) == key
    assert await replaying.cancel(line.database, key, reason="incident", note="INC-2", actor="staff:test", now=now())
    assert not await replaying.cancel(line.database, key, reason="incident", note="", actor="staff:test", now=now())
    assert await replaying.carry_on(line.database, now()) is None
    done = await found(line, key)
    assert (done.replayed, done.cancelled_at is None) == (1, False)
    statuses = [row.status for row in await every(line, ids)]
    assert sorted(statuses) == ["queued", "undelivered", "undelivered"]
    assert (await operations.acts(line.database, 1))[0]["action"] == "replay.cancelled"
    assert [item.id for item in await replays.latest(line.database, 5)] == [key]


async def every(line: Line, ids: list[UUID]) -> list[changes.DeliveryRow]:
    async with line.database.connection() as connection:
        rows = await connection.fetch("SELECT DISTINCT change_id FROM delivery WHERE id = ANY($1)", ids)
    told = await changes.deliveries_of(line.database, [row["change_id"] for row in rows])
    return [row for row in told if row.id in ids]


async def test_what_was_cancelled_is_not_replayed(line: Line) -> None:
    accepted = await line.tell(somebody(), a_move())
    cardiff = await cardiffs(line, accepted)
    assert await given_up(line, cardiff) is GivenUp.DONE
    told = await changes.one_of_person(line.database, accepted.person.person_id, accepted.reference)
    assert told is not None
    assert await intake.cancel(line.database, accepted.person, told, now())
    shown = await replaying.preview(line.database, Asked(organisation=at_cardiff(line), delivery_id=cardiff))
    assert shown.refused == {Refusal.WITHDRAWN: 1}


async def test_from_the_command_line(
    line: Line, dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("ENVIRONMENT", "test"), ("DATABASE_DSN", dsn), ("LOG", "postgres")):
        monkeypatch.setenv(f"UNWAITH_{name}", value)
    accepted = await line.tell(somebody(), a_move())
    cardiff = await cardiffs(line, accepted)
    assert await commands.give_up(cardiff, reason="operator", note="INC-3") == 0
    assert await commands.give_up(cardiff, reason="operator", note="INC-3") == 1
    assert "Nothing changed" in capsys.readouterr().err
    asked = commands.what(at_cardiff(line), [str(cardiff)], None, None)
    assert await commands.replay(asked, reason="repaired", note="INC-3", sure=True, per_minute=600) == 0
    assert await commands.show() == 0
    assert "finished" in capsys.readouterr().out
    assert await commands.cancel(uuid4(), reason="operator", note="") == 1
    line.start()
    await line.until(accepted, applied(line))

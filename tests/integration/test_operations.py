"""What operators see and do, on a real PostgreSQL: counts that are right, replays that keep the order, acts on record."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from broker import audit
from broker.cli.replaying import check_why, what
from broker.cli.replaying import replay as replay_from_shell
from broker.eventlog.postgres import PostgresLog
from broker.intake import Accepted
from broker.store import Database, changes, operations, register, replays
from broker.tracking import replay as replaying
from broker.tracking.replay import Refusal
from broker.vault import RootKeyFile
from contracts.delivery import Delivery, Unavailable, Unknown
from contracts.organisation import BreakerPolicy, DeliveryPolicy
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason
from tests.support.line import Line, a_line, a_move, applied, named, now, organisation, somebody

COUNCIL = "cardiff-council"


@pytest.fixture
async def line(database: Database, tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as opened:
        yield opened


async def refuses(_delivery: Delivery, _seen: int) -> Receipt:
    raise Unavailable(Reason.SERVER_ERROR)


async def give_up_soon(line: Line, name: str) -> str:
    """Have an organisation's deliveries given up at the first failure; return its id."""
    key = f"{name}-{line.prefix}"
    never = BreakerPolicy(consecutive=1000, share=1.0, of_last=1000)  # each is tried, and so given up
    policy = DeliveryPolicy(first_delay_seconds=1e-6, longest_delay_seconds=1e-6, horizon_seconds=1e-6, breaker=never)
    await register.put_organisation(line.database, organisation(key, policy))
    await line.directory.refresh()
    line.systems.behaviour[key] = refuses
    return key


async def delivery_at(line: Line, accepted: Accepted, name: str) -> changes.DeliveryRow:
    rows = await changes.deliveries_of(line.database, [accepted.change_id])
    return next(row for row in rows if row.organisation == name)


async def replay_all(line: Line, asked: replays.Asked) -> replays.Replay:
    key = await replaying.ask(
        line.database, asked, reason="repaired", note="INC-1", actor="staff:test", expected=0, now=now()
    )
    while await replaying.carry_on(line.database, now(), limit=2):
        pass
    found = await replays.find(line.database, key)
    assert found is not None
    assert found.ended_at is not None
    return found


def everything(name: str) -> replays.Asked:
    return replays.Asked(organisation=name, since=now() - timedelta(hours=1), upto=now() + timedelta(seconds=1))


# Counts


async def test_counts_equal_a_full_count_after_a_random_run(line: Line) -> None:
    dice = random.Random(4)
    outcomes = [Outcome.APPLIED, Outcome.RECEIVED, Outcome.NOT_MATCHED, Outcome.ALREADY_CURRENT, Outcome.MUST_REVIEW]

    async def whatever(delivery: Delivery, seen: int) -> Receipt:
        if seen < 3 and dice.random() < 0.3:
            raise dice.choice([Unavailable(Reason.SERVER_ERROR), Unknown(Reason.CONNECTION_LOST)])
        return delivery.answered(dice.choice(outcomes), now())

    for name in ("cardiff-council", "swansea-council"):
        key = f"{name}-{line.prefix}"
        line.systems.behaviour[key] = whatever
        patient = line.directory.organisations()[key]
        policy = patient.policy.model_copy(update={"retry_share": 0.9})  # that none waits for leave to be tried again
        await register.put_organisation(line.database, patient.model_copy(update={"policy": policy}))
    away = await give_up_soon(line, "transport-for-wales")
    line.start(line.relay(), line.relay(), line.pool(), line.tracker(), line.tracker())
    told = await asyncio.gather(
        *(line.tell(somebody(n % 7, f"Tŷ{n % 7}"), a_move(house=n + 1)) for n in range(40)),
        line.tell(somebody(99, "Yfory"), a_move(house=1, on=(now() + timedelta(days=3)).date())),
    )
    for _ in range(3):
        await replay_all(line, everything(away))
        await operations.tidy(line.database, timedelta(hours=1), timedelta(minutes=-5))
    async with asyncio.timeout(60):
        while any(
            row.status in ("queued", "published")
            for row in await changes.deliveries_of(line.database, [item.change_id for item in told])
        ):
            await asyncio.sleep(0.05)
    await line.close()

    books = await changes.books(line.database)
    assert books.faults() == []
    seen = await operations.overview(line.database, 30)
    assert {item.organisation: item.by_status for item in seen.organisations} == books.by_status
    assert all(item.balanced for item in seen.organisations)
    assert sum(item.accepted for item in seen.organisations) == 41 * 3
    happened = {
        event: sum(item.n for item in seen.happened if item.event == event) for event in ("accepted", "published")
    }
    assert happened["accepted"] == 41 * 3
    assert happened["published"] == sum(
        row.published_at is not None
        for row in await changes.deliveries_of(line.database, [item.change_id for item in told])
    )
    failures = {item.code for item in seen.happened if item.event in ("deferred", "undelivered")}
    assert "server_error" in failures


async def test_what_is_owed_is_as_old_as_when_it_was_first_to_be_sent_and_is_forgotten_once_taken_in(
    line: Line,
) -> None:
    accepted = await line.tell(somebody(), a_move())
    seen = await operations.overview(line.database, 30)
    row = await delivery_at(line, accepted, f"cardiff-council-{line.prefix}")
    for item in seen.organisations:
        assert item.oldest is not None
        assert timedelta(0) <= row.due - item.oldest < timedelta(seconds=10)
        assert (item.in_flight, item.between_tries) == (0, 0)
    line.start()
    await line.until(accepted, applied(line))
    seen = await operations.overview(line.database, 30)
    assert [item.oldest for item in seen.organisations] == [None, None, None]
    await operations.tidy(line.database, timedelta(hours=1), timedelta(minutes=-5))
    async with line.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM delivery_owed") == 0
    assert (await changes.books(line.database)).faults() == []


async def test_a_receipt_of_no_delivery_is_refused(database: Database) -> None:
    async with database.connection() as connection:
        for effect in ("raised", "noted"):
            with pytest.raises(asyncpg.NotNullViolationError):
                await connection.execute(
                    "INSERT INTO receipt (id, delivery_id, epoch, attempt, kind, at, effect, status)"
                    " VALUES ($1, $2, 0, 1, 'answered', now(), $3, 'applied')",
                    uuid4(),
                    uuid4(),
                    effect,
                )


async def test_a_delivery_that_disappears_shows(line: Line) -> None:
    accepted = await line.tell(somebody(), a_move())
    async with line.database.connection() as connection:
        await connection.execute("DELETE FROM delivery_content")
        await connection.execute(
            "DELETE FROM delivery WHERE change_id = $1 AND organisation LIKE 'swansea%'", accepted.change_id
        )
    seen = await operations.overview(line.database, 30)
    assert [item.organisation.partition("-")[0] for item in seen.organisations if not item.balanced] == ["swansea"]


async def test_a_retrying_lane_is_counted_with_its_next_try(line: Line) -> None:
    line.systems.behaviour[f"cardiff-council-{line.prefix}"] = refuses
    slow = DeliveryPolicy(first_delay_seconds=500.0)
    await register.put_organisation(line.database, organisation(f"cardiff-council-{line.prefix}", slow))
    await line.directory.refresh()
    line.start()
    await line.tell(somebody(), a_move())
    async with asyncio.timeout(20):
        while True:
            seen = {item.organisation: item for item in (await operations.overview(line.database, 30)).organisations}
            found = seen[f"cardiff-council-{line.prefix}"]
            if found.between_tries:
                break
            await asyncio.sleep(0.02)
    assert found.next_try is not None
    assert (found.between_tries, found.in_flight) == (1, 0)


# Replay


async def test_a_replay_sends_the_same_again_under_the_next_epoch(line: Line) -> None:
    away = await give_up_soon(line, "cardiff-council")
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(
        accepted, named(line, cardiff_council="undelivered", swansea_council="applied", transport_for_wales="applied")
    )
    shown = await replaying.preview(line.database, everything(away))
    assert (shown.replayed, shown.refused) == (1, {})
    assert shown.first == shown.last is not None

    del line.systems.behaviour[away]
    done = await replay_all(line, everything(away))
    assert (done.replayed, done.refused) == (1, {})
    await line.until(accepted, applied(line))
    first, *_, last = line.systems.of(away)
    assert (last.id, last.data, last.sequence) == (first.id, first.data, first.sequence)
    assert last.epoch == first.epoch + 1
    assert (await changes.books(line.database)).faults() == []

    again = await replaying.preview(line.database, everything(away))
    assert (again.replayed, again.refused) == (0, {Refusal.MOVED_ON: 1})


async def test_a_replay_is_refused_once_a_later_change_was_published(line: Line) -> None:
    away = await give_up_soon(line, "cardiff-council")
    line.start()
    undelivered = named(line, cardiff_council="undelivered", swansea_council="applied", transport_for_wales="applied")
    first = await line.tell(somebody(), a_move(house=1))
    await line.until(first, undelivered)
    other = await line.tell(somebody(2, "Arall"), a_move(house=1))
    await line.until(other, undelivered)
    second = await line.tell(somebody(), a_move(house=2))
    await line.until(second, undelivered)
    arrived = len(line.systems.of(away))

    del line.systems.behaviour[away]
    shown = await replaying.preview(line.database, everything(away))
    assert (shown.replayed, shown.refused) == (2, {Refusal.OVERTAKEN: 1})
    done = await replay_all(line, everything(away))
    assert (done.replayed, done.refused) == (2, {"overtaken": 1})
    await line.until(second, applied(line))
    await line.until(other, applied(line))
    assert await line.statuses(first) == undelivered
    later = line.systems.of(away)[arrived:]
    assert sorted(item.sequence for item in later) == [1, 2], "of the first person the later change alone"

    one = replays.Asked(organisation=away, delivery_id=(await delivery_at(line, first, away)).id)
    assert (await replay_all(line, one)).refused == {"overtaken": 1}


async def test_a_replay_goes_before_what_waits_in_its_lane(line: Line) -> None:
    away = await give_up_soon(line, "cardiff-council")
    line.start()
    first = await line.tell(somebody(), a_move(house=1))
    await line.until(
        first, named(line, cardiff_council="undelivered", swansea_council="applied", transport_for_wales="applied")
    )
    leaf = audit.leaf("organisation.paused", now(), "staff:test", organisation=away)
    assert await operations.pause(line.database, away, "incident", "INC-1", leaf)
    await line.directory.refresh()
    second = await line.tell(somebody(), a_move(house=2))
    await replay_all(line, everything(away))
    del line.systems.behaviour[away]
    arrived = len(line.systems.of(away))
    assert await operations.pause(line.database, away, None, None, leaf)
    await line.until(first, applied(line))
    await line.until(second, applied(line))
    assert [item.sequence for item in line.systems.of(away)[arrived:]] == [1, 2]


async def test_nothing_revoked_is_replayed(line: Line) -> None:
    away = await give_up_soon(line, "cardiff-council")
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(
        accepted, named(line, cardiff_council="undelivered", swansea_council="applied", transport_for_wales="applied")
    )
    await register.revoke_agreement(line.database, f"cardiff-council-moves-{line.prefix}", 1, now())
    assert (await replay_all(line, everything(away))).refused == {"revoked": 1}


async def test_many_step_through_one_replay_and_each_delivery_is_replayed_once(line: Line) -> None:
    away = await give_up_soon(line, "cardiff-council")
    line.start()
    told = [await line.tell(somebody(n, f"Tŷ{n}"), a_move()) for n in range(12)]
    gone = named(line, cardiff_council="undelivered", swansea_council="applied", transport_for_wales="applied")
    for accepted in told:
        await line.until(accepted, gone)
    del line.systems.behaviour[away]
    key = await replaying.ask(
        line.database, everything(away), reason="repaired", note="", actor="staff:test", expected=12, now=now()
    )

    async def step_through() -> None:
        while (found := await replays.find(line.database, key)) is not None and found.ended_at is None:
            await replaying.carry_on(line.database, now(), limit=1)

    await asyncio.gather(*(step_through() for _ in range(4)))
    found = await replays.find(line.database, key)
    assert found is not None
    assert (found.replayed, found.refused) == (12, {})
    for accepted in told:
        await line.until(accepted, applied(line))
        row = await delivery_at(line, accepted, away)
        async with line.database.connection() as connection:
            assert await connection.fetchval("SELECT epoch FROM delivery WHERE id = $1", row.id) == 1


# Acts


async def test_a_pause_holds_and_is_on_record_with_who_and_why(line: Line) -> None:
    away = f"cardiff-council-{line.prefix}"
    leaf = audit.leaf(
        "organisation.paused",
        now(),
        "staff:olwen",
        organisation=away,
        detail={"reason": "maintenance", "note": "CHG-7"},
    )
    assert await operations.pause(line.database, away, "maintenance", "CHG-7", leaf)
    assert not await operations.pause(line.database, away, "maintenance", "CHG-7", leaf), "it is paused already"
    await line.directory.refresh()
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(
        accepted, named(line, cardiff_council="queued", swansea_council="applied", transport_for_wales="applied")
    )
    assert line.systems.of(away) == []
    seen = {item.organisation: item for item in (await operations.overview(line.database, 30)).organisations}[away]
    assert (seen.paused_reason, seen.paused_note) == ("maintenance", "CHG-7")
    assert seen.paused_at is not None
    resumed = audit.leaf("organisation.resumed", now(), "staff:olwen", organisation=away)
    assert await operations.pause(line.database, away, None, None, resumed)
    await line.until(accepted, applied(line))
    acts = await operations.acts(line.database, 100)
    assert [act["action"] for act in acts] == ["organisation.resumed", "organisation.paused"], "once each"
    assert acts[1]["actor"] == "staff:olwen"
    assert acts[1]["detail"] == {"note": "CHG-7", "reason": "maintenance"}


async def test_a_replay_leaves_who_asked_and_what_was_sent_again_on_record(line: Line) -> None:
    away = await give_up_soon(line, "cardiff-council")
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(
        accepted, named(line, cardiff_council="undelivered", swansea_council="applied", transport_for_wales="applied")
    )
    done = await replay_all(line, everything(away))
    sent, asked = await operations.acts(line.database, 100)
    assert (asked["action"], asked["actor"], asked["detail"]["replay"]) == ("replay.asked", "staff:test", str(done.id))
    assert (sent["action"], sent["delivery"]) == (
        "delivery.replayed",
        str((await delivery_at(line, accepted, away)).id),
    )
    assert sent["detail"]["epoch"] == 1


async def test_a_change_is_traced_without_anything_personal_and_every_look_is_on_record(line: Line) -> None:
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(accepted, applied(line))
    looked: list[UUID | None] = []

    def leaf(found: UUID | None) -> bytes:
        looked.append(found)
        return audit.leaf(
            "change.traced", now(), "staff:olwen", change_id=found, outcome="shown" if found else "absent"
        )

    found = await operations.look_up(line.database, accepted.reference, leaf)
    assert found == accepted.change_id
    assert await operations.look_up(line.database, "00000-00000-0", leaf) is None
    assert [act.get("change") for act in await operations.acts(line.database, 100)] == [None, str(accepted.change_id)]
    traced = await operations.trace(line.database, accepted.change_id)
    assert traced is not None
    assert [len(item.receipts) for item in traced.deliveries] == [1, 1, 1]
    assert "Llŷr-Gwŷdd" not in str(traced)
    assert await operations.trace(line.database, uuid4()) is None


# From the command line


async def test_the_command_line_shows_confirms_and_replays(
    line: Line, dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNWAITH_ENVIRONMENT", "test")
    monkeypatch.setenv("UNWAITH_DATABASE_DSN", dsn)
    monkeypatch.setenv("UNWAITH_LOG", "postgres")
    away = await give_up_soon(line, "cardiff-council")
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(
        accepted, named(line, cardiff_council="undelivered", swansea_council="applied", transport_for_wales="applied")
    )
    del line.systems.behaviour[away]
    asked = what(away, (), now() - timedelta(hours=1), None)
    assert await replay_from_shell(asked, reason="repaired", note="INC-1", sure=False) == 1, "nobody confirmed"
    assert await line.statuses(accepted) != applied(line)
    assert await replay_from_shell(asked, reason="repaired", note="INC-1", sure=True) == 0
    await line.until(accepted, applied(line))
    assert "1 deliveries are sent again" in capsys.readouterr().err
    assert {act["actor"] for act in await operations.acts(line.database, 100)} == {"command-line"}
    assert await replay_from_shell(asked, reason="repaired", note="INC-1", sure=True) == 1, "there is nothing left"


@pytest.mark.parametrize(
    ("reason", "note"), [("because Siân asked", ""), ("repaired", "Siân Jones"), ("repaired", "inc-1")]
)
def test_no_name_gets_into_the_ledger_from_the_command_line(reason: str, note: str) -> None:
    with pytest.raises(ValueError, match=r"reasons are|code of a ticket"):
        check_why(reason, note)


def test_what_to_replay_is_one_delivery_or_a_range() -> None:
    for wrong in (((), None, None), ([str(uuid4())], now(), None), ((), now(), now() - timedelta(hours=1))):
        with pytest.raises(ValueError, match="--"):
            what(COUNCIL, *wrong)
    ids = sorted((uuid4(), uuid4()))
    assert what(COUNCIL, [str(ids[1]), str(ids[0]), str(ids[1])], None, None).delivery_ids == tuple(ids)
    with pytest.raises(ValueError, match="UUID"):
        what(COUNCIL, ["Siân"], None, None)
    assert what(COUNCIL, (), now().replace(tzinfo=None) - timedelta(hours=1), None).upto is not None

"""What becomes of deliveries besides an attempt: records set aside, pauses that cost no time, books that are watched."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from structlog.testing import capture_logs

from broker.cli import quarantine
from broker.eventlog.postgres import PostgresLog
from broker.store import Database, StoreUnavailable, changes, operations, proposals, register
from broker.store.receipts import folding
from broker.telemetry.metrics import new_metrics
from broker.tracking.entries import settled, standing_of
from broker.tracking.tracker import Tracker, TrackerSettings
from broker.tracking.watching import watch
from broker.vault import RootKeyFile
from contracts.delivery import Delivery, Misconfigured, Unavailable
from contracts.organisation import DeliveryPolicy
from contracts.receipts import Quarantined, Receipt, ReceiptKind
from contracts.statuses import Outcome, Reason, Status
from contracts.topics import RECEIPTS, deliveries_topic
from tests.support.line import Line, a_line, a_move, applied, named, now, organisation, receipted, somebody


@pytest.fixture
async def line(database: Database, tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as opened:
        yield opened


def set_aside(topic: str, delivery_id: UUID | None) -> Quarantined:
    return Quarantined(topic=topic, partition=0, offset=7, reason=Reason.UNDECODABLE, at=now(), delivery_id=delivery_id)


async def ask(line: Line, query: str, *values: Any) -> Any:
    async with line.database.connection() as connection:
        return await connection.fetchval(query, *values)


async def a_published_one(line: Line) -> tuple[changes.DeliveryRow, str]:
    """Tell a move, publish it, and return what Cardiff is owed, with Cardiff's id."""
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    cardiff = f"cardiff-council-{line.prefix}"
    rows = await changes.deliveries_of(line.database, [accepted.change_id])
    return next(row for row in rows if row.organisation == cardiff), cardiff


async def status_of(line: Line, delivery: changes.DeliveryRow) -> str:
    [row] = [row for row in await changes.deliveries_of(line.database, [delivery.change_id]) if row.id == delivery.id]
    return row.status


# Records that were set aside


async def test_a_record_set_aside_ends_its_delivery_aloud(line: Line) -> None:
    row, cardiff = await a_published_one(line)
    read = receipted(set_aside(deliveries_topic(cardiff), row.id))
    with capture_logs() as logged:
        await line.tracker().fold_all([read])
        await line.tracker().fold_all([read])
    assert await status_of(line, row) == "undelivered"
    assert await ask(line, "SELECT reason FROM delivery WHERE id = $1", row.id) == "undecodable"
    alarms = [item for item in logged if item["event"] == "delivery.undelivered"]
    assert [(item["log_level"], item["reason"]) for item in alarms] == [("error", "undecodable")], "once"
    [kept] = await operations.quarantined(line.database, 10)
    assert (kept.topic, kept.offset, kept.delivery_id) == (deliveries_topic(cardiff), 7, row.id)
    [receipt] = await changes.receipts_of(line.database, [row.id])
    assert (receipt.kind, receipt.status, receipt.effect) == ("undelivered", "undelivered", "raised")
    assert [fault for fault in (await changes.books(line.database)).faults() if "quarantine" not in fault] == []


async def test_a_damaged_copy_of_what_is_not_under_way_ends_nothing(line: Line) -> None:
    row, cardiff = await a_published_one(line)
    failed = Receipt(
        id=uuid4(),
        delivery_id=row.id,
        epoch=0,
        attempt=1,
        kind=ReceiptKind.ANSWERED,
        outcome=Outcome.FAILED,
        at=now(),
    )
    await line.tracker().fold_all([receipted(failed)])
    await line.tracker().fold_all([receipted(set_aside(deliveries_topic(cardiff), row.id), 1)])
    assert await status_of(line, row) == "published"
    assert len(await operations.quarantined(line.database, 10)) == 1


async def test_receipts_that_cannot_be_read_or_are_about_nothing_are_kept_and_counted(
    line: Line, dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = new_metrics()
    tracker = Tracker(line.database, line.eventlog, line.directory.organisations, TrackerSettings(), metrics, now)
    stranger = Receipt(
        id=uuid4(),
        delivery_id=uuid4(),
        epoch=0,
        attempt=1,
        kind=ReceiptKind.ANSWERED,
        outcome=Outcome.APPLIED,
        at=now(),
    )
    await tracker.fold_all(
        [receipted(b"\xff", 3), receipted(stranger, 4), receipted(set_aside("unwaith.x", uuid4()), 5)]
    )
    found = {(item.offset, item.reason, item.delivery_id) for item in await operations.quarantined(line.database, 10)}
    assert (3, "undecodable", None) in found
    assert (4, "unknown_delivery", stranger.delivery_id) in found
    assert len(found) == 3
    for reason, count in (("undecodable", 1), ("unknown_delivery", 1)):  # the third was counted by its worker
        assert metrics.registry.get_sample_value("unwaith_quarantined_total", {"reason": reason}) == count

    monkeypatch.setenv("UNWAITH_ENVIRONMENT", "test")
    monkeypatch.setenv("UNWAITH_DATABASE_DSN", dsn)
    monkeypatch.setenv("UNWAITH_LOG", "postgres")
    capsys.readouterr()
    assert await quarantine.show(as_json=True) == 1
    assert {item["offset"] for item in orjson.loads(capsys.readouterr().out)} == {3, 4, 7}
    assert await quarantine.examine(RECEIPTS.name, 0, 3, "Siân Jones") == 1, "no name gets into the ledger"
    for offset in (3, 4):
        assert await quarantine.examine(RECEIPTS.name, 0, offset, "INC-7") == 0
    assert await quarantine.examine(RECEIPTS.name, 0, 3, "INC-7") == 1, "it was looked at already"
    assert (await operations.overview(line.database, 1)).quarantined == {"undecodable": 1}
    assert [act["detail"]["offset"] for act in await operations.acts(line.database, 10)] == [4, 3]


# Pauses


async def test_time_in_which_nothing_may_be_sent_makes_nothing_undelivered(line: Line) -> None:
    row, cardiff = await a_published_one(line)
    async with line.database.connection() as connection:
        await connection.execute(
            "UPDATE delivery SET due = now() - interval '30 days', published_at = now() - interval '30 days' WHERE id = $1",
            row.id,
        )
        await connection.execute(  # two pauses that left it six days in all, and one before it was published
            "INSERT INTO pause SELECT $1, now() - began, now() - ended FROM (VALUES"
            " (interval '28 days', interval '20 days'), (interval '19 days', interval '3 days'),"
            " (interval '90 days', interval '31 days')) AS p(began, ended)",
            cardiff,
        )
    attempts = 0

    async def fails() -> str:
        nonlocal attempts
        attempts += 1
        failed = Receipt(
            id=uuid4(),
            delivery_id=row.id,
            epoch=0,
            attempt=attempts,
            kind=ReceiptKind.ANSWERED,
            outcome=Outcome.FAILED,
            at=now(),
        )
        await line.tracker().fold_all([receipted(failed, attempts)])
        return await status_of(line, row)

    assert await fails() == "published"
    async with line.database.connection() as connection:
        await connection.execute("UPDATE pause SET ended_at = ended_at - interval '2 days'")
    assert await fails() == "undelivered"


async def test_a_pause_that_lasts_counts_up_to_now(line: Line) -> None:
    row, cardiff = await a_published_one(line)
    assert await operations.pause(line.database, cardiff, "incident", None, b"{}")
    async with line.database.connection() as connection:
        await connection.execute(
            "UPDATE delivery SET due = now() - interval '30 days', published_at = now() - interval '30 days' WHERE id = $1",
            row.id,
        )
        await connection.execute("UPDATE pause SET began_at = now() - interval '29 days'")
    failed = Receipt(
        id=uuid4(), delivery_id=row.id, epoch=0, attempt=1, kind=ReceiptKind.ANSWERED, outcome=Outcome.FAILED, at=now()
    )
    await line.tracker().fold_all([receipted(failed)])
    assert await status_of(line, row) == "published"
    assert await operations.pause(line.database, cardiff, None, None, b"{}")
    assert await ask(line, "SELECT count(*) FROM pause WHERE ended_at IS NOT NULL") == 1


async def test_a_wrong_clock_of_a_worker_shifts_nothing_an_organisation_asked_for(line: Line) -> None:
    row, _ = await a_published_one(line)
    theirs = now() + timedelta(hours=9)
    busy = Receipt.model_validate(
        {
            "id": uuid4(),
            "delivery_id": row.id,
            "epoch": 0,
            "attempt": 1,
            "kind": ReceiptKind.DEFERRED,
            "failure": "unavailable",
            "reason": Reason.TOO_MANY_REQUESTS,
            "not_before": theirs + timedelta(minutes=10),
            "at": theirs,
        },
        strict=False,
    )
    await line.tracker().fold_all([receipted(busy)])
    waits = await ask(line, "SELECT due - now() FROM lane WHERE occupant = $1", row.id)
    assert timedelta(minutes=9) < waits <= timedelta(minutes=10)


async def test_what_is_not_where_it_was_read_is_not_written_over(line: Line) -> None:
    """Its lane's lock forbids it. If it happened all the same, nothing of that batch would be written, and be tried again."""
    row, _ = await a_published_one(line)
    with pytest.raises(StoreUnavailable):  # noqa: PT012  what fails is the transaction as a whole
        async with folding(line.database, [], [row.id]) as transaction:
            touched = transaction.touched[row.id]
            answered = replace(standing_of(touched), status=Status.APPLIED, occupies=False, in_flight=False, due=None)
            await transaction.write([settled(touched, answered, attempt_ended=False)], [])
            await transaction.write([settled(touched, answered, attempt_ended=False)], [])
    assert await status_of(line, row) == "published"


async def test_our_own_pause_is_in_the_ledger(line: Line) -> None:
    cardiff = f"cardiff-council-{line.prefix}"

    async def shut(_delivery: Delivery, _seen: int) -> Receipt:
        raise Misconfigured(Reason.TLS_FAILED)

    line.systems.behaviour[cardiff] = shut
    line.start()
    await line.tell(somebody(), a_move())
    async with asyncio.timeout(20):
        while not line.directory.organisations()[cardiff].paused:
            await asyncio.sleep(0.02)
    leaves = await ask(
        line, "SELECT array_agg(leaf) FROM audit_leaf WHERE convert_from(leaf, 'UTF8') LIKE '%organisation.paused%'"
    )
    [leaf] = map(orjson.loads, leaves)
    assert (leaf["actor"], leaf["organisation"], leaf["detail"]) == ("tracking", cardiff, {"reason": "tls_failed"})


async def test_draining_sends_what_is_in_the_log_and_nothing_more(line: Line) -> None:
    cardiff = f"cardiff-council-{line.prefix}"
    first = await line.tell(somebody(1), a_move())
    await line.relay().step()
    assert await operations.pause(line.database, cardiff, "maintenance", None, b"{}", draining=True)
    second = await line.tell(somebody(2, "Arall"), a_move())
    await line.directory.refresh()
    line.start()
    await line.until(first, applied(line))
    held = named(line, cardiff_council="queued", swansea_council="applied", transport_for_wales="applied")
    await line.until(second, held)

    assert not await operations.pause(line.database, cardiff, "maintenance", None, b"{}", draining=True)
    assert await operations.pause(line.database, cardiff, "incident", None, b"{}"), "it may be paused wholly"
    assert not await operations.pause(line.database, cardiff, "maintenance", None, b"{}", draining=True), "and not back"
    assert await operations.pause(line.database, cardiff, None, None, b"{}")
    await line.until(second, applied(line))
    assert await ask(line, "SELECT count(*) FROM pause WHERE organisation = $1", cardiff) == 1


async def test_draining_waits_while_it_is_in_question_where_to_and_goes_on_after(line: Line) -> None:
    cardiff = f"cardiff-council-{line.prefix}"
    first = await line.tell(somebody(1), a_move())
    await line.relay().step()
    assert await operations.pause(line.database, cardiff, "maintenance", "M-1", b"{}", draining=True)
    began = await ask(line, "SELECT paused_at FROM organisation WHERE id = $1", cardiff)
    document, by = b"{}", proposals.Approval("staff:olwen", now())
    elsewhere = proposals.Proposal(
        id=uuid4(),
        kind="organisation",
        subject=cardiff,
        organisation=cardiff,
        based_on=1,
        document=document,
        digest=sha256(document).digest(),
        pauses=True,
        proposed_by=by.by,
        proposed_at=by.at,
    )
    await proposals.propose(line.database, elsewhere, [b"{}"])
    await line.directory.refresh()
    line.start()
    await line.until(first, applied(line) | named(line, cardiff_council="published"))
    second = await line.tell(somebody(2, "Arall"), a_move())
    await line.until(second, applied(line) | named(line, cardiff_council="queued"))
    assert line.systems.of(cardiff) == [], "not even what was in the log already"

    await proposals.reject(line.database, elsewhere.id, by, "document_wrong", "", lambda _: [b"{}"])
    await line.until(first, applied(line))
    [drains] = [
        one for one in (await operations.overview(line.database, 1)).organisations if one.organisation == cardiff
    ]
    assert (drains.draining, drains.paused_reason, drains.paused_note) == (True, "maintenance", "M-1")
    assert drains.paused_at == began, "one pause, as long as it lasted"
    assert (await line.statuses(second))[cardiff] == "queued", "and nothing new"
    assert await operations.pause(line.database, cardiff, None, None, b"{}")
    await line.until(second, applied(line))


async def test_what_changes_nothing_is_no_new_configuration(line: Line) -> None:
    cardiff = f"cardiff-council-{line.prefix}"
    before = await register.version(line.database)
    await register.put_organisation(line.database, organisation(cardiff))
    assert not await register.revoke_agreement(line.database, "no-such", 1, now())
    assert not await operations.pause(line.database, cardiff, None, None, b"{}")
    assert await register.version(line.database) == before
    await register.put_organisation(line.database, organisation(cardiff, DeliveryPolicy(concurrency=3)))
    assert await register.version(line.database) == before + 1
    assert await operations.pause(line.database, cardiff, "incident", None, b"{}")
    assert await register.version(line.database) == before + 2


# What is measured, and watched


async def test_the_first_answer_is_timed_once(line: Line) -> None:
    metrics = new_metrics()
    tracker = Tracker(line.database, line.eventlog, line.directory.organisations, TrackerSettings(), metrics, now)
    row, cardiff = await a_published_one(line)
    for number, outcome in enumerate((Outcome.RECEIVED, Outcome.APPLIED)):
        said = Receipt(
            id=uuid4(), delivery_id=row.id, epoch=0, attempt=1, kind=ReceiptKind.ANSWERED, outcome=outcome, at=now()
        )
        await tracker.fold_all([receipted(said, number)])
    assert metrics.registry.get_sample_value("unwaith_answer_seconds_count", {"organisation": cardiff}) == 1


async def test_the_books_are_watched_and_what_disappears_is_an_alarm(line: Line) -> None:
    async def refuses(_delivery: Delivery, _seen: int) -> Receipt:
        raise Unavailable(Reason.SERVER_ERROR)

    cardiff = f"cardiff-council-{line.prefix}"
    line.systems.behaviour[cardiff] = refuses
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(
        accepted, named(line, cardiff_council="published", swansea_council="applied", transport_for_wales="applied")
    )
    metrics, stop = new_metrics(), asyncio.Event()
    value = metrics.registry.get_sample_value

    async def until(name: str, wanted: float, **labels: str) -> None:
        async with asyncio.timeout(20):
            while value(name, {"organisation": cardiff, **labels}) != wanted:
                await asyncio.sleep(0.01)

    with capture_logs() as logged:
        watching = asyncio.create_task(watch(line.database, metrics, stop, every=0.01))
        await until("unwaith_owed", 1, status="published")
        await until("unwaith_unbalanced", 0)
        assert (value("unwaith_oldest_undelivered_age_seconds", {"organisation": cardiff}) or 0) > 0
        async with line.database.connection() as connection:
            await connection.execute(
                "DELETE FROM delivery_count WHERE organisation = $1 AND tally = 'published'", cardiff
            )
        await until("unwaith_unbalanced", 1)
        await until("unwaith_owed", 0, status="published")
        async with line.database.connection() as connection:
            await connection.execute("INSERT INTO delivery_count VALUES ($1, 'published', 0, 1)", cardiff)
        await until("unwaith_unbalanced", 0)
        stop.set()
        await watching
    said = [(item["organisation"], item["count"]) for item in logged if item["event"] == "books.unbalanced"]
    assert said == [(cardiff, 1)], "once, although it was looked at many times"

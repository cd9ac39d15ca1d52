"""A change all the way, in one process, on both logs: as it should go, and as it is disturbed."""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import orjson
import pytest
from structlog.testing import capture_logs

from broker.eventlog import EventLog, LogUnavailable, Received, Record
from broker.eventlog.cluster import Cluster
from broker.eventlog.kafka import KafkaLog
from broker.eventlog.postgres import PostgresLog
from broker.intake import Accepted, KeyReused, NobodyToTell, NotAcceptable, PreviewChanged
from broker.sealing import CannotOpen
from broker.store import Database, StoreUnavailable, changes, lanes, operations, register
from broker.store.embedded import EmbeddedPostgres
from broker.store.migrate import migrate
from broker.store.replays import Asked
from broker.tracking import replay
from broker.tracking.giving_up import GivenUp, give_up
from broker.vault import RootKeyFile, StoreGate, Vault
from contracts.delivery import Delivery, Misconfigured, Rejected, Unavailable, Unknown
from contracts.grants import Grant, Withheld
from contracts.receipts import FailureKind, Receipt, ReceiptKind
from contracts.records import write_receipt
from contracts.requests import ChangeRequest
from contracts.statuses import Outcome, Reason
from contracts.topics import RECEIPTS, deliveries_topic
from tests.support.line import ALL, Line, a_line, a_move, applied, applies, named, now, receipted, somebody


@pytest.fixture
def root(tmp_path: Path) -> RootKeyFile:
    return RootKeyFile.open(tmp_path / "root.key")


@pytest.fixture
async def line(database: Database, eventlog: EventLog, root: RootKeyFile) -> AsyncIterator[Line]:
    async with a_line(database, eventlog, root) as opened:
        yield opened


@pytest.fixture
async def plain_line(database: Database, root: RootKeyFile) -> AsyncIterator[Line]:
    """For what does not depend on the log: the PostgreSQL one."""
    async with a_line(database, PostgresLog(database), root) as opened:
        yield opened


async def test_a_move_reaches_everybody_it_concerns(line: Line) -> None:
    line.start()
    who, request = somebody(), a_move()
    preview = await line.intake.preview(who, request)
    accepted = await line.tell(who, request)
    await line.until(accepted, applied(line))

    assert len(line.systems.arrived) == 3
    for recipient in preview.recipients:
        [delivery] = line.systems.of(recipient.organisation)
        assert orjson.loads(delivery.data) == recipient.data, "what was previewed is what arrived"
        assert delivery.sequence == 1
        assert delivery.type == "wales.unwaith.address-changed.v1"
    subjects = {delivery.subject for delivery in line.systems.arrived}
    traces = {delivery.traceparent for delivery in line.systems.arrived}
    origins = {delivery.origin for delivery in line.systems.arrived}
    assert len(subjects) == len(traces) == len(origins) == 3, "recipients cannot join their records"
    assert (await changes.books(line.database)).faults() == []


async def test_one_persons_changes_arrive_in_order_although_one_is_refused_for_a_while(line: Line) -> None:
    async def falters(delivery: Delivery, seen: int) -> Receipt:
        if delivery.sequence == 2 and seen <= 3:
            raise Unavailable(Reason.SERVER_ERROR)
        return await applies(delivery, seen)

    swansea = f"swansea-council-{line.prefix}"
    line.systems.behaviour[swansea] = falters
    told = [await line.tell(somebody(), a_move(house)) for house in range(1, 6)]
    line.start()
    for accepted in told:
        await line.until(accepted, applied(line))

    assert [item.sequence for item in line.systems.of(swansea)] == [1, 2, 2, 2, 2, 3, 4, 5]
    assert len({item.data for item in line.systems.of(swansea) if item.sequence == 2}) == 1, "same bytes every time"
    assert len({item.id for item in line.systems.of(swansea) if item.sequence == 2}) == 1, "same key every time"


async def test_two_relays_two_workers_and_two_trackers_at_once(line: Line) -> None:
    people, each = 20, 4
    line.start(line.relay(), line.relay(), line.pool(), line.pool(), line.tracker(), line.tracker())
    told = []
    for house in range(1, each + 1):
        told += await asyncio.gather(*(line.tell(somebody(n), a_move(house)) for n in range(people)))
    for accepted in told:
        await line.until(accepted, applied(line))

    assert len(line.systems.arrived) == people * each * 3, "nobody was told anything twice"
    order: dict[tuple[str, str], list[int]] = defaultdict(list)
    for delivery in line.systems.arrived:
        order[delivery.organisation, delivery.subject].append(delivery.sequence)
    assert len(order) == people * 3
    assert all(sequences == list(range(1, each + 1)) for sequences in order.values())
    assert (await changes.books(line.database)).faults() == []


class Forgetful:
    """A log that takes no receipts for a while: what a worker's death between the yes and the receipt looks like."""

    def __init__(self, eventlog: EventLog) -> None:
        self._log = eventlog
        self.refusing = asyncio.Event()
        self.consumer = eventlog.consumer
        self.ensure = eventlog.ensure
        self.ready = eventlog.ready
        self.close = eventlog.close

    async def append(self, records: list[Record]) -> None:
        if records[0].topic == RECEIPTS.name and not self.refusing.is_set():
            self.refusing.set()
            await asyncio.sleep(3600)
        await self._log.append(records)


async def test_a_worker_that_dies_after_the_yes_and_before_the_receipt(line: Line) -> None:
    forgetful = Forgetful(line.eventlog)
    keeps, line.eventlog = line.eventlog, forgetful  # type: ignore[assignment]
    dying = asyncio.create_task(line.pool().run(asyncio.Event()))
    line.eventlog = keeps
    line.start(line.relay(), line.tracker())
    accepted = await line.tell(somebody(), a_move())
    await forgetful.refusing.wait()
    while len(line.systems.arrived) < 3:
        await asyncio.sleep(0.02)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)

    line.start(line.pool())
    await line.until(accepted, applied(line))
    for name in ALL:
        arrived = line.systems.of(f"{name}-{line.prefix}")
        assert len(arrived) >= 2, "it was sent again"
        assert len({(item.id, item.data, item.sequence) for item in arrived}) == 1, "as the very same delivery"


async def test_everything_stops_and_starts_again_in_the_middle(database: Database, root: RootKeyFile) -> None:
    eventlog = PostgresLog(database)
    async with a_line(database, eventlog, root) as first:
        told = [await first.tell(somebody(n), a_move()) for n in range(10)]
        await first.relay().step()
    async with a_line(database, PostgresLog(database), root) as second:
        second.systems = first.systems
        second.start()
        for accepted in told:
            await second.until(accepted, applied(first))
    assert len(first.systems.arrived) == 30


async def test_the_organisation_says_no_for_good(plain_line: Line) -> None:
    async def refuses(_delivery: Delivery, _seen: int) -> Receipt:
        raise Rejected(Reason.INVALID_FOR_RECEIVER)

    line = plain_line
    line.systems.behaviour[f"cardiff-council-{line.prefix}"] = refuses
    line.start()
    first = await line.tell(somebody(), a_move(1))
    await line.until(
        first, named(line, cardiff_council="rejected", swansea_council="applied", transport_for_wales="applied")
    )
    assert len(line.systems.of(f"cardiff-council-{line.prefix}")) == 1, "a permanent refusal is not tried again"


async def test_unknown_is_tried_five_times_and_then_given_up_aloud(plain_line: Line) -> None:
    async def silent(_delivery: Delivery, _seen: int) -> Receipt:
        raise Unknown(Reason.CONNECTION_LOST)

    line = plain_line
    line.systems.behaviour[f"cardiff-council-{line.prefix}"] = silent
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(
        accepted, named(line, cardiff_council="undelivered", swansea_council="applied", transport_for_wales="applied")
    )
    assert len(line.systems.of(f"cardiff-council-{line.prefix}")) == 5
    again = await line.tell(somebody(), a_move(8))
    line.systems.behaviour.clear()
    await line.until(again, applied(line))  # the lane is free for what comes next


async def test_misconfigured_pauses_the_organisation_and_is_no_attempt(plain_line: Line) -> None:
    line = plain_line
    cardiff = f"cardiff-council-{line.prefix}"

    async def shut(_delivery: Delivery, _seen: int) -> Receipt:
        raise Misconfigured(Reason.UNAUTHORISED)

    line.systems.behaviour[cardiff] = shut
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(
        accepted, named(line, cardiff_council="published", swansea_council="applied", transport_for_wales="applied")
    )
    while not line.directory.organisations()[cardiff].paused:
        await asyncio.sleep(0.02)
    [row] = [
        row for row in await changes.deliveries_of(line.database, [accepted.change_id]) if row.organisation == cardiff
    ]
    assert row.attempts == 0
    line.systems.behaviour.clear()
    assert await operations.pause(line.database, cardiff, None, None, b"{}")
    await line.until(accepted, applied(line))


async def test_a_pause_holds_everything_and_a_resume_keeps_the_order(line: Line) -> None:
    swansea = f"swansea-council-{line.prefix}"
    await operations.pause(line.database, swansea, "operator", None, b"{}")
    await line.directory.refresh()
    line.start()
    told = [await line.tell(somebody(), a_move(house)) for house in (1, 2, 3)]
    waiting = named(line, cardiff_council="applied", swansea_council="queued", transport_for_wales="applied")
    for accepted in told:
        await line.until(accepted, waiting)
    assert line.systems.of(swansea) == []
    await operations.pause(line.database, swansea, None, None, b"{}")
    for accepted in told:
        await line.until(accepted, applied(line))
    assert [item.sequence for item in line.systems.of(swansea)] == [1, 2, 3]


async def test_a_revoked_agreement_withholds_what_is_not_sent(plain_line: Line) -> None:
    line = plain_line
    accepted = await line.tell(somebody(), a_move())
    assert await register.revoke_agreement(line.database, f"swansea-council-moves-{line.prefix}", 1, now())
    line.start()
    await line.until(
        accepted, named(line, cardiff_council="applied", swansea_council="cancelled", transport_for_wales="applied")
    )
    assert line.systems.of(f"swansea-council-{line.prefix}") == []


async def test_a_revocation_between_the_log_and_the_gate_still_withholds(plain_line: Line) -> None:
    line = plain_line
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    assert await register.revoke_agreement(line.database, f"swansea-council-moves-{line.prefix}", 1, now())
    line.start()
    await line.until(
        accepted, named(line, cardiff_council="applied", swansea_council="cancelled", transport_for_wales="applied")
    )
    assert line.systems.of(f"swansea-council-{line.prefix}") == []


async def test_a_future_move_waits_for_its_day_without_holding_the_lane(plain_line: Line) -> None:
    line = plain_line
    line.start()
    later = await line.tell(somebody(), a_move(1, on=(now() + timedelta(days=30)).date()))
    sooner = await line.tell(somebody(), a_move(2))
    await line.until(sooner, applied(line))
    assert await line.statuses(later) == {f"{name}-{line.prefix}": "waiting" for name in ALL}
    # its day comes
    async with line.database.connection() as connection:
        await connection.execute("UPDATE delivery SET due = now() WHERE change_id = $1", later.change_id)
        await connection.execute("UPDATE lane SET due = now()")
    await line.until(later, applied(line))


async def test_a_delivery_never_answered_is_published_again(plain_line: Line) -> None:
    """A lost topic is repaired from the store: nobody has to notice."""
    line = plain_line
    line.relay_settings = replace(line.relay_settings, again_after=timedelta(milliseconds=200))
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    async with line.database.connection() as connection:
        await connection.execute("TRUNCATE log_record")  # what was published is gone
    line.start()
    await line.until(accepted, applied(line))


async def test_the_same_key_is_one_change_however_often_and_however_many_ask(plain_line: Line) -> None:
    line = plain_line
    who, request, key = somebody(), a_move(), secrets.token_hex(8)
    answers = await asyncio.gather(*(line.tell(who, request, key=key) for _ in range(20)))
    assert len({answer.reference for answer in answers}) == 1
    async with line.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM change") == 1
        assert await connection.fetchval("SELECT count(*) FROM delivery") == 3
        assert await connection.fetchval("SELECT last_ordinal FROM person") == 1
    with pytest.raises(KeyReused):
        await line.tell(who, a_move(99), key=key)
    other = await line.tell(somebody(2), request, key=key)
    assert other.reference != answers[0].reference, "another person's key is another key"


async def test_a_repeat_is_answered_although_the_agreement_has_gone(plain_line: Line) -> None:
    line = plain_line
    who, request, key = somebody(), a_move(), secrets.token_hex(8)
    first = await line.tell(who, request, key=key)
    shown = await line.intake.preview(who, request)
    for name in ALL:
        await register.revoke_agreement(line.database, f"{name}-moves-{line.prefix}", 1, now())
    await line.directory.refresh()
    whole = ChangeRequest(type="address", change=request.change, preview=shown.digest)
    again = await line.intake.accept(who, key, whole)
    assert again.reference == first.reference
    with pytest.raises(NobodyToTell):
        await line.intake.accept(who, "a new key", whole)


async def test_nobody_absent_from_the_preview_is_ever_told(plain_line: Line) -> None:
    line = plain_line
    who, request = somebody(), a_move()
    cardiff = f"cardiff-council-{line.prefix}"
    seen = line.directory.agreements()
    await register.revoke_agreement(line.database, f"cardiff-council-moves-{line.prefix}", 1, now())
    await line.directory.refresh()
    shown = await line.intake.preview(who, request)
    assert cardiff not in {item.organisation for item in shown.recipients}
    [former] = [item for item in seen if item.organisation == cardiff]
    await register.put_agreement(line.database, former.model_copy(update={"version": 2}))
    await line.directory.refresh()
    with pytest.raises(PreviewChanged) as changed:
        await line.intake.accept(who, "key", ChangeRequest(type="address", change=request.change, preview=shown.digest))
    assert cardiff in {item.organisation for item in changed.value.preview.recipients}


async def test_a_preview_is_good_for_one_person_and_one_content(plain_line: Line) -> None:
    line = plain_line
    shown = await line.intake.preview(somebody(1), a_move(1))
    for who, request in ((somebody(2), a_move(1)), (somebody(1), a_move(2))):
        with pytest.raises(PreviewChanged):
            await line.intake.accept(
                who, "key", ChangeRequest(type="address", change=request.change, preview=shown.digest)
            )


async def test_what_the_law_leaves_open_can_be_left_out_and_nothing_else(plain_line: Line) -> None:
    line = plain_line
    travel, cardiff = f"transport-for-wales-{line.prefix}", f"cardiff-council-{line.prefix}"
    accepted = await line.tell(somebody(), a_move(), leave_out=(travel,))
    assert travel not in await line.statuses(accepted)
    for unwanted in (cardiff, "nobody-of-that-name"):
        with pytest.raises(NotAcceptable) as refused:
            await line.tell(somebody(), a_move(2), leave_out=(unwanted,))
        assert refused.value.errors[0].pointer == "/leaveOut/0"


async def test_the_gate_grants_a_lane_once_at_a_time(plain_line: Line) -> None:
    line = plain_line
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    gate = StoreGate(line.database, line.vault)
    ids = [row.id for row in await changes.deliveries_of(line.database, [accepted.change_id])]
    asked = [(key, 0) for key in ids]
    racing = await asyncio.gather(*(gate.grant(asked, timedelta(seconds=5)) for _ in range(8)))
    for place in range(3):
        verdicts = [answer[place] for answer in racing]
        assert sum(isinstance(verdict, Grant) for verdict in verdicts) == 1
        assert all(verdict.reason is Reason.GRANTED_ELSEWHERE for verdict in verdicts if isinstance(verdict, Withheld))
    [stale] = await gate.grant([(ids[0], 1)], timedelta(seconds=5))
    assert isinstance(stale, Withheld)
    assert stale.reason is Reason.STALE_EPOCH


async def test_only_the_right_root_key_opens_the_vault(database: Database, root: RootKeyFile, tmp_path: Path) -> None:
    await Vault.open(database, root)
    with pytest.raises(CannotOpen):
        await Vault.open(database, RootKeyFile.open(tmp_path / "another.key"))


async def test_kafka_is_down_for_a_while(database: Database, root: RootKeyFile, request: pytest.FixtureRequest) -> None:
    """Changes are accepted meanwhile, and drained in order afterwards, without a restart."""
    broker = request.getfixturevalue("own_broker")
    eventlog = KafkaLog(Cluster(bootstrap=broker.bootstrap, replication_factor=1, min_insync=1), append_seconds=2.0)
    try:
        async with a_line(database, eventlog, root) as line:
            line.start()
            before = await line.tell(somebody(), a_move(1))
            await line.until(before, applied(line))
            await asyncio.to_thread(broker.kill)
            meanwhile = [await line.tell(somebody(), a_move(house)) for house in (2, 3, 4)]
            with pytest.raises(LogUnavailable):
                await eventlog.append([Record(deliveries_topic(f"{ALL[0]}-{line.prefix}"), b"key", b"value")])
            await asyncio.to_thread(broker.restart)
            for accepted in meanwhile:
                await line.until(accepted, applied(line), seconds=60)
            for name in ALL:
                first_seen = dict.fromkeys(item.sequence for item in line.systems.of(f"{name}-{line.prefix}"))
                assert list(first_seen) == [1, 2, 3, 4]
    finally:
        await eventlog.close()


async def test_a_receipt_for_what_is_not_known_changes_nothing(line: Line) -> None:
    stranger = Receipt.model_validate(
        {
            "id": UUID(int=1),
            "delivery_id": UUID(int=2),
            "epoch": 0,
            "attempt": 1,
            "kind": "answered",
            "outcome": Outcome.APPLIED,
            "at": datetime.now(UTC),
        },
        strict=False,
    )
    await line.eventlog.ensure({RECEIPTS.name: RECEIPTS.partitions})
    await line.eventlog.append([Record(RECEIPTS.name, *write_receipt(stranger))])
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(accepted, applied(line))


async def test_postgresql_is_down_for_a_while(tmp_path: Path, root: RootKeyFile) -> None:
    """Nobody is told yes meanwhile; afterwards everything goes on, with the same objects and without a restart."""
    server = EmbeddedPostgres(tmp_path / "postgres")
    server.start()
    try:
        await migrate(server.dsn)
        database = await Database.open(server.dsn)
        async with a_line(database, PostgresLog(database), root) as line:
            line.start()
            before = await line.tell(somebody(), a_move(1))
            await line.until(before, applied(line))
            server.kill()
            for _ in range(3):
                with pytest.raises(StoreUnavailable):
                    await line.tell(somebody(), a_move(2), key="asked while it was down")
            server.start()
            async with asyncio.timeout(30):
                while (after := await _told(line, key="asked while it was down")) is None:
                    await asyncio.sleep(0.05)  # a connection that died with the server may be found dead only when used
            await line.until(after, applied(line))
            assert len({item.id for item in line.systems.arrived}) == 6
        await database.close()
    finally:
        server.stop()


async def _told(line: Line, key: str) -> Accepted | None:
    """Tell the second move, as somebody does who was asked to come back."""
    try:
        return await line.tell(somebody(), a_move(2), key=key)
    except StoreUnavailable:
        return None


async def test_two_references_that_meet_are_told_apart(plain_line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    line = plain_line
    first = await line.tell(somebody(1), a_move())
    monkeypatch.setattr("broker.intake.intake.new_reference", lambda: first.reference)
    second = await line.tell(somebody(2), a_move())
    assert second.reference != first.reference
    held = await changes.one_of_person(line.database, second.person.person_id, second.reference)
    assert held is not None, "the reference that is answered is the one that is stored"
    assert held.id == second.change_id


async def test_a_relay_that_died_at_its_credit_does_not_block_the_organisation(plain_line: Line) -> None:
    line = plain_line
    line.relay_settings = replace(line.relay_settings, credit=2, lease=timedelta(milliseconds=100))
    told = [await line.tell(somebody(n), a_move()) for n in range(4)]
    await _claim(line, 2)  # and dies
    await asyncio.sleep(0.2)
    line.start()
    for accepted in told:
        await line.until(accepted, applied(line))


async def _claim(line: Line, credit: int) -> int:
    claimed = await lanes.claim(
        line.database,
        list(line.directory.organisations()),
        limit=500,
        credit=credit,
        lease=timedelta(milliseconds=100),
        leaf=lambda _: b"{}",
    )
    return len(claimed)


async def test_what_ends_between_a_claims_look_and_its_lock_is_left_alone(plain_line: Line) -> None:
    """The claim saw it owed; by the time it has its row, that was cancelled."""
    line = plain_line
    accepted = await line.tell(somebody(), a_move())
    ended, *others = await changes.deliveries_of(line.database, [accepted.change_id])
    async with line.database.transaction() as ending:
        await ending.execute("UPDATE delivery SET status = 'cancelled' WHERE id = $1", ended.id)
        claiming = asyncio.create_task(_claim(line, 9))
        async with asyncio.timeout(30):
            while not await ending.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
                await asyncio.sleep(0.01)
    assert await claiming == len(others)
    async with line.database.connection() as connection:
        left = "SELECT occupant, last_sequence, due FROM lane WHERE organisation = $1"
        assert tuple(await connection.fetchrow(left, ended.organisation)) == (None, 0, None)


async def test_what_is_owed_again_between_a_claims_look_and_its_lock_keeps_its_order(
    plain_line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier one is replayed when the claim has looked at what is owed and not yet locked the lane."""
    line = plain_line
    council = f"cardiff-council-{line.prefix}"
    told = [await line.tell(somebody(), a_move(house)) for house in (1, 2)]
    rows = await changes.deliveries_of(line.database, [one.change_id for one in told])
    [earlier] = [row.id for row in rows if (row.change_id, row.organisation) == (told[0].change_id, council)]
    given_up = await give_up(line.database, earlier, reason="asked", note="INC-1", actor="staff:test", now=now())
    assert given_up is GivenUp.DONE
    looks = "FROM unnest($1::text[]) AS o(id)"
    waits = "FROM (SELECT id FROM pg_advisory_xact_lock(7) CROSS JOIN unnest($1::text[]) AS o(id)) AS o"
    assert looks in lanes._CLAIM
    monkeypatch.setattr(lanes, "_CLAIM", lanes._CLAIM.replace(looks, waits, 1))
    async with line.database.transaction() as holding:
        await holding.execute("SELECT pg_advisory_xact_lock(7)")
        claiming = asyncio.create_task(_claim(line, 9))
        async with asyncio.timeout(30):
            while not await holding.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
                await asyncio.sleep(0.01)
        await replay.ask(
            line.database,
            Asked(organisation=council, delivery_ids=(earlier,)),
            reason="asked",
            note="INC-1",
            actor="staff:test",
            expected=1,
            now=now(),
        )
        while await replay.carry_on(line.database, now()):
            pass
    await claiming
    await _claim(line, 9)
    async with line.database.connection() as connection:
        first = "SELECT id FROM delivery WHERE organisation = $1 AND sequence = 1"
        assert await connection.fetchval(first, council) == earlier


async def test_a_fold_that_waited_for_its_lane_reads_what_stands_then(plain_line: Line) -> None:
    """Two trackers in a hand-over: the later one must see what the earlier decided, or a status would fall."""
    line = plain_line
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    rows = await changes.deliveries_of(line.database, [accepted.change_id])
    first, second = line.tracker(), line.tracker()
    async with line.database.transaction() as holding:
        await holding.execute("SELECT FROM lane FOR UPDATE")
        waiting = [
            asyncio.create_task(first.fold_all([_received(row.id, Outcome.APPLIED, place)]))
            for place, row in enumerate(rows)
        ]
        await asyncio.sleep(0.2)
        waiting += [
            asyncio.create_task(second.fold_all([_received(row.id, Outcome.RECEIVED, 10 + place)]))
            for place, row in enumerate(rows)
        ]
        await asyncio.sleep(0.2)
    await asyncio.gather(*waiting)
    assert await line.statuses(accepted) == applied(line)


def _received(delivery_id: UUID, outcome: Outcome, offset: int) -> Received:
    receipt = Receipt(
        id=uuid4(), delivery_id=delivery_id, epoch=0, attempt=1, kind=ReceiptKind.ANSWERED, outcome=outcome, at=now()
    )
    return receipted(receipt, offset)


async def test_what_an_organisation_asked_for_outlives_a_second_reading(plain_line: Line) -> None:
    """Its 429 with an hour was folded, the worker died before its commit, and the record is read again."""
    line = plain_line
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    row = (await changes.deliveries_of(line.database, [accepted.change_id]))[0]
    later = now() + timedelta(hours=1)
    deferred = Receipt(
        id=uuid4(),
        delivery_id=row.id,
        epoch=0,
        attempt=1,
        kind=ReceiptKind.DEFERRED,
        failure=FailureKind.UNAVAILABLE,
        reason=Reason.TOO_MANY_REQUESTS,
        not_before=later,
        at=now(),
    )
    await line.tracker().fold_all([receipted(deferred)])
    [verdict] = await StoreGate(line.database, line.vault).grant([(row.id, 0)], timedelta(seconds=5))
    assert isinstance(verdict, Withheld)
    assert verdict.reason is Reason.NOT_DUE
    async with line.database.connection() as connection:
        due = await connection.fetchval("SELECT due FROM lane WHERE occupant = $1", row.id)
    assert abs(due - later) < timedelta(seconds=30)  # counted from when the receipt was folded


async def test_a_later_failed_does_not_end_the_grant_of_an_attempt_under_way(plain_line: Line) -> None:
    line = plain_line
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    row = (await changes.deliveries_of(line.database, [accepted.change_id]))[0]
    [grant] = await StoreGate(line.database, line.vault).grant([(row.id, 0)], timedelta(seconds=60))
    assert isinstance(grant, Grant)
    await line.tracker().fold_all([_received(row.id, Outcome.FAILED, 0)])
    async with line.database.connection() as connection:
        lane = await connection.fetchrow("SELECT due, granted_until FROM lane WHERE occupant = $1", row.id)
    assert lane["granted_until"] is not None
    assert lane["due"] >= lane["granted_until"], "it is not tried again beside the attempt under way"


async def test_a_late_receipt_gives_back_its_own_grant_and_not_a_later_one(plain_line: Line) -> None:
    """A worker was held up with its receipt until its grant had run out and another attempt had begun."""
    line = plain_line
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    row = (await changes.deliveries_of(line.database, [accepted.change_id]))[0]
    gate, asked, valid = StoreGate(line.database, line.vault), [(row.id, 0)], timedelta(seconds=60)
    [former] = await gate.grant(asked, valid)
    async with line.database.connection() as connection:  # its time passes
        await connection.execute("UPDATE lane SET granted_until = now() WHERE occupant = $1", row.id)
    [present] = await gate.grant(asked, valid)
    assert isinstance(former, Grant)
    assert isinstance(present, Grant)

    async def stopped(grant: Grant, offset: int) -> Mapping[str, Any]:
        receipt = Receipt(
            id=uuid4(),
            delivery_id=row.id,
            epoch=0,
            attempt=0,
            kind=ReceiptKind.DEFERRED,
            failure=FailureKind.STOPPED,
            reason=Reason.STOPPING,
            granted_until=grant.valid_until,
            at=now(),
        )
        await line.tracker().fold_all([receipted(receipt, offset)])
        async with line.database.connection() as connection:
            found: Mapping[str, Any] = await connection.fetchrow(
                "SELECT due, granted_until, now() AS now FROM lane WHERE occupant = $1", row.id
            )
            return found

    lane = await stopped(former, 0)
    assert lane["granted_until"] == present.valid_until
    assert lane["due"] >= present.valid_until, "nothing is sent beside the attempt under way"
    lane = await stopped(present, 1)
    assert lane["granted_until"] is None
    assert lane["due"] <= lane["now"], "its own end gives the lane back at once"


async def test_an_attempt_that_ended_is_not_counted_again_by_what_withholds_the_next(plain_line: Line) -> None:
    """Both receipts are folded at once: the failure of the one attempt, and that its person was erased since."""
    line = plain_line
    accepted = await line.tell(somebody(), a_move())
    await line.relay().step()
    row = (await changes.deliveries_of(line.database, [accepted.change_id]))[0]
    [grant] = await StoreGate(line.database, line.vault).grant([(row.id, 0)], timedelta(seconds=60))
    assert isinstance(grant, Grant)
    failed = Receipt(
        id=uuid4(),
        delivery_id=row.id,
        epoch=0,
        attempt=1,
        kind=ReceiptKind.DEFERRED,
        failure=FailureKind.UNKNOWN,
        reason=Reason.CONNECTION_LOST,
        granted_until=grant.valid_until,
        at=now(),
    )
    erased = Receipt(
        id=uuid4(), delivery_id=row.id, epoch=0, attempt=0, kind=ReceiptKind.WITHHELD, reason=Reason.ERASED, at=now()
    )
    await line.tracker().fold_all([receipted(failed), receipted(erased, 1)])
    [found] = [one for one in await changes.deliveries_of(line.database, [accepted.change_id]) if one.id == row.id]
    assert (found.status, found.attempts) == ("cancelled", 1)


async def test_one_definition_that_cannot_be_read_stops_nobody_else(plain_line: Line) -> None:
    line = plain_line
    async with line.database.connection() as connection:
        await connection.execute(
            "UPDATE organisation SET definition = definition || '{\"fromTheFuture\": 1}' WHERE id LIKE 'cardiff%'"
        )
    await line.directory.refresh()
    assert {name.rsplit("-", 1)[0] for name in line.directory.organisations()} == set(ALL) - {"cardiff-council"}


class Closed:
    """A log whose topic of one organisation takes nothing for a while, as one without a leader."""

    def __init__(self, eventlog: EventLog, topic: str) -> None:
        self._log = eventlog
        self._topic = topic
        self.refusing = True
        self.refused = 0
        self.consumer = eventlog.consumer
        self.ready = eventlog.ready
        self.close = eventlog.close
        self.ensure = eventlog.ensure

    async def append(self, records: list[Record]) -> None:
        if self.refusing and any(record.topic == self._topic for record in records):
            self.refused += 1
            raise LogUnavailable("no leader")
        await self._log.append(records)


async def test_a_topic_that_takes_nothing_holds_up_its_own_organisation_alone(plain_line: Line) -> None:
    line = plain_line
    swansea = f"swansea-council-{line.prefix}"
    closed = Closed(line.eventlog, deliveries_topic(swansea))
    keeps, line.eventlog = line.eventlog, closed  # type: ignore[assignment]
    relay = line.relay()
    line.eventlog = keeps
    line.start(relay, line.pool(), line.tracker())
    told = [await line.tell(somebody(number), a_move()) for number in range(8)]
    for accepted in told:
        await line.until(
            accepted, named(line, cardiff_council="applied", swansea_council="queued", transport_for_wales="applied")
        )
    while closed.refused < 2:
        await asyncio.sleep(0.02)
    closed.refusing = False
    for accepted in told:
        await line.until(accepted, applied(line))
    assert len(line.systems.of(swansea)) == 8


async def test_a_fault_of_ours_in_mid_attempt_is_counted_and_ends(plain_line: Line) -> None:
    """An adapter refuses with a reason that is none, so that no receipt can be made of it."""
    line = plain_line
    swansea = f"swansea-council-{line.prefix}"

    async def refuses(_delivery: Delivery, _seen: int) -> Receipt:
        raise Rejected(cast(Reason, "words of its own"))

    line.systems.behaviour[swansea] = refuses
    accepted = await line.tell(somebody(), a_move())
    line.start()
    await line.until(
        accepted, named(line, cardiff_council="applied", swansea_council="undelivered", transport_for_wales="applied")
    )
    assert [item.attempt for item in line.systems.of(swansea)] == [1, 2, 3, 4, 5]


async def test_an_organisation_that_only_another_version_can_read_costs_nobody_else_anything(plain_line: Line) -> None:
    line = plain_line
    swansea = f"swansea-council-{line.prefix}"
    async with line.database.connection() as connection:  # as it was allowed before
        await connection.execute(
            "UPDATE organisation SET definition = jsonb_set(definition, '{policy,concurrency}', '2') WHERE id = $1",
            swansea,
        )
    with capture_logs() as logged:
        await line.directory.refresh()
    [said] = [item for item in logged if item["event"] == "definition.unreadable"]
    assert (said["kind"], said["organisation"]) == ("Organisation", swansea)
    line.start()
    accepted = await line.tell(somebody(), a_move())
    await line.until(accepted, named(line, cardiff_council="applied", transport_for_wales="applied"))

"""Rows 15 to 21 of the fault matrix: organisations that misbehave, answers that were forged, clocks that are wrong.

One of three organisations is reached through an `Endpoint` that does what a row asks; the two others stay as they are.
What goes through the log itself, and what many workers share, is shown on Kafka; the rest on PostgreSQL's log.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import pytest
import trustme

from contracts.topics import deliveries_topic
from tests.faults import organisation as ways
from tests.faults.exchange import OUTSIDERS, SHORT, Exchange, free_port
from tests.faults.ledger import inbox, unbalanced
from tests.faults.organisation import Endpoint
from tests.faults.scene import BAD, OTHERS, SAID, Scene
from tests.faults.software import Software
from tests.faults.telling import Desk
from tests.support.faketime import wrong_by

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("organisations")]

EVERYBODY: Final = (OUTSIDERS, "api", "relay-1", "deliver-1", "track-1")
GROWTH: Final = 30_000
"""KB that a worker may grow by, whatever an organisation answers: less than what any huge answer here comes to."""


@pytest.fixture
def log() -> str:
    return "postgres"


@pytest.fixture
async def scene(log: str, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    """Give everybody at work, with one process a role; the books are closed afterwards."""
    exchange: Exchange = request.getfixturevalue(f"on_{log}")
    real = f"{exchange.addresses.organisation(BAD)}/events"
    async with Endpoint(free_port(), real) as bad, Desk(exchange, run=request.node.name) as desk:
        opened = Scene(exchange, desk, bad)
        before = Counter(exchange.alarms())
        await opened.reached_at(bad.url)
        await exchange.start(*EVERYBODY)
        yield opened
        await opened.all_well()
        assert await unbalanced(exchange) == []
        assert desk.faults == []
        assert Counter(exchange.alarms(opened.expected)) - before == Counter()


async def test_15_whatever_it_answers_has_an_end(scene: Scene) -> None:
    """Cut off, a byte a second, 100 MB, a bomb: each ends and is named, in bounded memory, and delays nobody else."""
    await scene.tell(range(12))
    await scene.exchange.until_settled()
    before = _resident(scene.exchange.process("deliver-1").pid, "VmRSS")
    earlier = len(scene.bad.ids())
    meant = {
        ways.resets: ("unknown", "connection_lost"),
        ways.drips: ("unknown", "deadline_passed"),
        ways.answers_without_end: (None, "answer_unreadable"),
        ways.answers_with_a_bomb: (None, "answer_unreadable"),
        ways.answers(200, b"x" * 70_000, Server="y" * 200_000): ("unknown", "answer_unreadable"),
        ways.answers(500, b"<html>" * 20_000): ("unavailable", "server_error"),
    }
    scene.bad.choose = ways.each_its_own(*meant)
    await scene.tell(range(12), 2)
    await scene.until_others_have_all()
    await scene.until_each_was_tried(12)
    ids = scene.bad.ids()[earlier:]
    assert len(ids) == 12, "each was to come while it misbehaved"
    for place, identifier in enumerate(ids):
        said = {(row["failure"], row["reason"]) for row in await scene.fetch(SAID, [identifier])}
        assert said == {list(meant.values())[place % len(meant)]}
    assert scene.bad.poured < ways.HUGE / 4
    assert _resident(scene.exchange.process("deliver-1").pid, "VmHWM") - before < GROWTH
    async with Software(scene.exchange, BAD) as software:  # what it took in and said unreadably, it says again
        for row in await scene.fetch("SELECT id FROM delivery WHERE status = 'received'"):
            assert (await software.answer(row["id"], "applied"))[0] == 202


async def test_15_refusing_is_no_more_than_waiting(scene: Scene) -> None:
    await scene.bad.shut()
    await scene.tell(range(4))
    await scene.until_others_have_all()
    said = await scene.fetch(SAID, await scene.until_each_was_tried(4))
    assert {(row["failure"], row["reason"]) for row in said} == {("unavailable", "connection_refused")}
    assert scene.bad.arrived == []
    await scene.bad.open()


async def test_15_sending_us_elsewhere_or_bad_tls_pauses_it(scene: Scene, tmp_path: Path) -> None:
    """A redirect is not followed, a certificate of nobody we know is not spoken to: a person must look."""
    scene.expected |= {"organisation.paused"}
    paused = "SELECT 1 FROM organisation WHERE id = $1 AND paused_reason = $2"
    async with Endpoint(free_port(), "") as elsewhere:
        scene.bad.choose = lambda _: ways.answers(307, Location=elsewhere.url)
        await scene.tell(range(4))
        await scene.until(1, paused, BAD, "redirected")
        await scene.until_others_have_all()
        assert elsewhere.arrived == []
        elsewhere.choose = scene.bad.choose = lambda _: ways.well
        await elsewhere.shut()
        served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(served)
        await elsewhere.open(served)
        heard = len(scene.bad.arrived)
        await scene.reached_at(elsewhere.url.replace("http:", "https:"))
        await scene.resume()
        await scene.until(1, paused, BAD, "tls_failed")
        assert elsewhere.arrived == []
        assert len(scene.bad.arrived) == heard
    await scene.reached_at(scene.bad.url)
    await scene.resume()


async def test_16_its_answer_is_lost(scene: Scene) -> None:
    """It has done what it was asked and nobody heard: the same key and the same bytes again, and one effect."""
    scene.bad.choose = ways.at_first(1, ways.loses_its_answer)
    await scene.tell(range(8))
    await scene.exchange.until_settled()
    assert len(scene.bad.ids()) == 8
    for identifier in scene.bad.ids():
        first, *again = scene.bad.times(identifier)
        assert again
        assert {one.body for one in again} == {first.body}
    effects = {effect.id: effect for effect in inbox(scene.exchange, BAD).effects}
    assert all(effects[identifier].arrivals >= 2 for identifier in scene.bad.ids())


async def test_17_it_says_when_to_come_again(scene: Scene) -> None:
    """In seconds or by date: no sooner, however far that is up to a day; nonsense is no wish at all."""
    hour, day, ours = timedelta(hours=1), timedelta(days=1), timedelta(seconds=SHORT.longest_delay_seconds)
    moment = datetime.now(UTC).replace(microsecond=0) + hour
    asked = {
        ways.answers(429, Retry_After="2"): (timedelta(seconds=2), timedelta(seconds=2)),
        ways.answers(503, Retry_After=format_datetime(moment, usegmt=True)): (timedelta(minutes=50), hour),
        ways.answers(503, Retry_After="999999999999"): (day, day),
        ways.answers(429, Retry_After="Fri, 31 Dec 9999 23:59:59 GMT"): (day, day),
        ways.answers(503, Retry_After="-5"): (timedelta(), ours),
        ways.answers(503, Retry_After="soon"): (timedelta(), ours),
    }
    scene.bad.choose = ways.each_its_own(*asked)
    await scene.tell(range(len(asked)))
    owed = await scene.until_each_was_tried(len(asked))
    choices = dict(zip(scene.bad.ids(), asked.values(), strict=True))
    for identifier, (least, most) in choices.items():
        first = (await scene.fetch(SAID, [identifier]))[0]
        assert least <= first["wait"] <= most, first
    scene.bad.choose = lambda _: ways.well
    far = [identifier for identifier, (least, _) in choices.items() if least > timedelta(minutes=1)]
    await scene.until(3, "SELECT 1 FROM delivery WHERE id::text = ANY($1) AND status = 'applied'", owed)
    assert all(len(scene.bad.times(identifier)) == 1 for identifier in far), "not before its time"
    first, again = scene.bad.times(next(iter(choices)))[:2]
    assert again.at - first.at >= timedelta(seconds=2)
    await scene.fetch("UPDATE lane SET due = now() WHERE occupant::text = ANY($1)", far)  # a day later


async def test_18_it_is_away_and_comes_back(scene: Scene) -> None:
    """Three days of it pass in `tests/simulation/test_outages.py`; here its door is shut until five probes have failed.

    No storm: what was under way when the breaker opened, then one for each probe.
    """
    await scene.bad.shut()
    await scene.tell(range(30))
    await scene.tell(range(30), 2)
    await scene.until_others_have_all()
    await scene.until(1, "SELECT 1 FROM breaker WHERE organisation = $1 AND probes >= 5", BAD)
    tried = [row for row in await scene.fetch(SAID, await scene.owed()) if row["failure"] == "unavailable"]
    probes = (await scene.fetch("SELECT probes FROM breaker WHERE organisation = $1", BAD))[0]["probes"]
    assert 5 <= len(tried) <= SHORT.breaker.consecutive + SHORT.concurrency + probes + 1
    later = {str(row["id"]) for row in await scene.fetch("SELECT id FROM delivery WHERE ordinal > 1")}
    assert later.isdisjoint(row["id"] for row in tried), "only the first of each lane is tried"
    await scene.bad.open()
    await scene.exchange.until_settled()
    assert len(scene.bad.ids()) == 60


@pytest.mark.parametrize("log", ["kafka"])
async def test_19_one_poison_record_among_a_thousand(scene: Scene) -> None:
    """One delivery is refused with 500 for ever, and rubbish lies in the log: only that person's lane waits."""
    scene.expected |= {"record.quarantined"}
    refuses = ways.answers(500)
    scene.bad.choose = lambda one: refuses if one.subject == scene.bad.arrived[0].subject else ways.well
    for number in (1, 2, 3):
        await scene.desk.tell(0, number)
    await scene.until(1, SAID, await scene.owed())
    poison = scene.bad.arrived[0]
    await scene.litter(20)
    await scene.tell(range(1, 330))
    open_still = "SELECT 1 FROM delivery WHERE status IN ('waiting', 'queued', 'published')"

    async def only_that_lane() -> bool:
        return len(await scene.fetch(open_still)) == 3

    await scene.exchange.until(only_that_lane, "all but the poisoned lane is applied")
    assert {one.id for one in scene.bad.arrived if one.subject == poison.subject} == {poison.id}
    await scene.until(20, "SELECT 1 FROM quarantine WHERE topic = $1", deliveries_topic(BAD))
    await scene.until(SHORT.breaker.consecutive, SAID, [poison.id])
    await scene.desk.tell(400, 1)  # who comes when nothing but the poison has been seen for a while
    await scene.exchange.until(only_that_lane, "whoever comes later is not held up")
    await scene.look_at_quarantine()


async def test_20_receipts_are_repeated_reordered_forged_and_of_another(scene: Scene) -> None:
    """A status only rises; what is not theirs is as if it were not there; what counted has its leaf (the ledger)."""
    scene.expected |= {"receipt.conflicted"}
    scene.bad.choose = lambda _: ways.takes_it_in_silence
    await scene.tell(range(5))
    await scene.until(5, "SELECT 1 FROM delivery WHERE organisation = $1 AND status = 'received'", BAD)
    repeated, late, contrary, raised, forged = map(UUID, scene.bad.ids())
    before = await scene.exchange.value("SELECT count(*) FROM receipt")
    async with Software(scene.exchange, BAD) as theirs, Software(scene.exchange, OTHERS[0]) as another:
        answer = uuid4()
        said = await asyncio.gather(*(theirs.answer(repeated, "applied", answer) for _ in range(10)))
        assert {status for status, _ in said} == {202}
        for delivery, outcomes in (
            (late, ("applied", "received")),
            (contrary, ("applied", "rejected_policy")),
            (raised, ("must_review", "rejected_policy", "applied")),
        ):
            for outcome in outcomes:
                assert (await theirs.answer(delivery, outcome))[0] == 202
        refused = [await another.answer(forged, "rejected_policy"), await another.answer(uuid4(), "rejected_policy")]
        assert [status for status, _ in refused] == [404, 404]
        assert refused[0][1] == refused[1][1], "another's delivery looks like none"
        leaves = await scene.fetch("SELECT convert_from(leaf, 'UTF8')::jsonb AS leaf FROM audit_leaf")
        kept = [row["leaf"] for row in leaves if '"answers.refused"' in row["leaf"]]
        assert len(kept) == 2, "both are in the ledger"
        for token in (None, "nonsense", theirs.forged()):
            assert (await theirs.answer(forged, "rejected_policy", token=token))[0] == 401
        await scene.until(before + 8, "SELECT 1 FROM receipt")
        status = "SELECT id, status FROM delivery WHERE id = ANY($1)"
        found = {row["id"]: row["status"] for row in await scene.fetch(status, [*map(UUID, scene.bad.ids())])}
        assert found.pop(forged) == "received"
        assert set(found.values()) == {"applied"}
        effects = "SELECT delivery_id, effect FROM receipt WHERE delivery_id = ANY($1)"
        counted = Counter((row["delivery_id"], row["effect"]) for row in await scene.fetch(effects, list(found)))
        assert counted[repeated, "raised"] == 2, "received, then applied once"
        assert counted[contrary, "conflict"] == 1
        assert counted[late, "noted"] == 1
        assert (await theirs.answer(forged, "applied"))[0] == 202


@pytest.mark.parametrize("log", ["kafka"])
async def test_21_clocks_are_an_hour_wrong(scene: Scene) -> None:
    """The relay's is ahead, the tracker's behind, one worker's ahead and one's behind: nobody notices."""
    exchange = scene.exchange
    for name in ("relay-1", "deliver-1", "track-1"):
        exchange.process(name).kill()
    wrong = {"relay-3": 3600, "deliver-3": 3600, "deliver-4": -3600, "track-3": -3600}
    for name, seconds in wrong.items():
        exchange.process(name).environment |= wrong_by(seconds)
    await exchange.start(*wrong)
    try:
        scene.bad.choose = ways.at_first(1, ways.answers(503, Retry_After="1"))
        await scene.tell(range(10))
        await scene.tell(range(10), 2)
        await exchange.until_settled()
        assert len(scene.bad.ids()) == 20
        assert len(scene.bad.arrived) <= 2 * 2 * 20, "a storm"
        said = [row for row in await scene.fetch(SAID, scene.bad.ids()) if row["failure"] == "unavailable"]
        assert {row["wait"] for row in said} == {timedelta(seconds=1)}, "by the store's clock"
    finally:
        for name in wrong:
            exchange.process(name).kill()


def _resident(pid: int, name: str) -> int:
    """Return a process's resident memory in KB: `VmRSS` now, `VmHWM` at its peak."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [found] = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found)

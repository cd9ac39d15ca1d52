"""The store's twin does what the store does: one history on both, compared as it goes.

PostgreSQL's `now()` is put on the simulation's clock, so that even times must be equal. Hypothesis makes the histories.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.store import Database, StoreUnavailable
from broker.tracking.entries import entry_of, settled, standing_of
from broker.tracking.fold import fold
from contracts.breaker import Phase
from contracts.holds import HoldReason
from contracts.organisation import DeliveryPolicy
from contracts.receipts import FailureKind, Receipt, ReceiptKind, withheld
from contracts.statuses import Outcome, Reason
from tests.simulation.both import LEASE, PEOPLE, PLACES, VALID, on_a_clock
from tests.simulation.both_held import BothHeld
from tests.simulation.loop import EPOCH
from tests.simulation.twins import TWINS


def receipt(both: BothHeld, place: int, said: int, offset: int) -> Receipt | None:
    """Return some receipt about some delivery; the same `offset` again is the same receipt."""
    if (one := both.some(place)) is None:
        return None
    row = both.tables.deliveries[one]
    granted = [until for whose, until in both.granted if whose == one]
    shape: dict[str, Any] = (
        {"kind": ReceiptKind.ANSWERED, "outcome": list(Outcome)[said % len(Outcome)], "attempt": row.attempts + 1},
        {"kind": ReceiptKind.DEFERRED, "failure": list(FailureKind)[said % 4], "reason": Reason.SERVER_ERROR,
         "attempt": row.attempts + 1, "granted_until": granted[said % len(granted)] if granted else None},
        {"kind": ReceiptKind.WITHHELD, "attempt": 0, "reason": (Reason.ERASED, Reason.PAUSED, Reason.GRANTED_ELSEWHERE,
         Reason.SUPERSEDED, Reason.CANCELLED, Reason.ALREADY_RECEIVED)[said // 8 % 6], "not_before": both.now + timedelta(seconds=said)},
        {"kind": ReceiptKind.UNDELIVERED, "attempt": 0, "reason": Reason.UNKNOWN_LIMIT},
    )[(0, 1, 1, 1, 2, 1, 1, 3)[said % 8]]  # fmt: skip
    return Receipt(
        id=UUID(int=10**9 + offset),
        delivery_id=row.owed.id,
        epoch=max(0, row.epoch - (said % 7 == 0)),
        at=both.now,
        **shape,
    )


NUMBER = st.integers(0, 60)
HELD_FOR = st.lists(
    st.sampled_from((HoldReason.NEW_ACCOUNT, HoldReason.NEEDS_PERSON, HoldReason.AWAITS_REGISTRAR)),
    min_size=1, max_size=2, unique=True,
)  # fmt: skip
ACTS = st.one_of(
    st.tuples(st.just("tell"), st.sampled_from(PEOPLE), st.sampled_from(([PLACES[0]], list(PLACES))), st.sampled_from((0.0, 0.0, 40.0))),
    st.tuples(st.just("claim"), st.sampled_from((1, 500)), st.sampled_from((2, 8192))),
    st.tuples(st.just("claim"), st.just(500), st.just(8192)),
    st.tuples(st.just("close"), st.sampled_from((1, 2, 1000)), st.sampled_from((0.0, 0.0, 2.0))),
    st.tuples(st.just("gate"), NUMBER, st.just(0)),
    st.tuples(st.just("mark"), NUMBER),
    st.tuples(st.just("gate"), NUMBER, st.sampled_from((0, 0, 0, 1))),
    st.tuples(st.just("fold"), NUMBER, NUMBER, NUMBER, st.booleans()),
    st.tuples(st.just("replay"), NUMBER),
    st.tuples(st.just("tell_held"), st.sampled_from(PEOPLE), st.sampled_from(([PLACES[0]], list(PLACES))), st.sampled_from((0.0, 40.0)), HELD_FOR),
    st.tuples(st.just("hold"), NUMBER, st.sampled_from((HoldReason.OBJECTED, HoldReason.NEW_ACCOUNT))),
    st.tuples(st.just("release"), NUMBER),
    st.tuples(st.just("lapse")),
    st.tuples(st.just("lay"), NUMBER, st.sampled_from((0, 0, 0, -1, 1))),
    st.tuples(st.just("lay"), NUMBER, st.just(0)),
    st.tuples(st.just("come"), st.sampled_from((0, 0, 2)), st.sampled_from((1, 100))),
    st.tuples(st.just("come"), st.just(0), st.just(100)),
    st.tuples(st.just("clear")),
    st.tuples(st.just("cancel"), NUMBER),
    st.tuples(st.just("correct"), NUMBER, st.sampled_from(([PLACES[1]], list(PLACES)))),
    st.tuples(st.just("take_back"), NUMBER),
    st.tuples(st.just("move"), st.sampled_from(PLACES), st.sampled_from(list(Phase)), st.sampled_from((0.5, 20.0)), st.sampled_from((1, 1, 2))),
    st.tuples(st.just("miss"), st.sampled_from((5.0, 60.0))),
    st.tuples(st.just("pause"), st.sampled_from(PLACES), st.sampled_from((None, "operator")), st.booleans()),
    st.tuples(st.just("tick"), st.sampled_from((0.5, 3.0, 15.0, 45.0, 90_000.0))),
)  # fmt: skip
RARE = st.one_of(
    st.tuples(st.just("refuse"), NUMBER),
    st.tuples(st.just("confirm"), st.sampled_from((0, 1))),
    st.tuples(st.just("collect"), NUMBER, st.booleans(), st.sampled_from((None, "connection_refused"))),
    st.tuples(st.just("revoke"), st.sampled_from(PLACES)),
    st.tuples(st.just("erase"), st.sampled_from(PEOPLE)),
)
HISTORIES = st.lists(st.one_of(*[ACTS] * 12, RARE), min_size=40, max_size=80)


BEGINNING = [*(("tell", person, list(PLACES), 0.0) for person in PEOPLE[:3]), ("claim", 500, 8192)]
"""So that every act has something to be done to."""


async def live(both: BothHeld, history: list[tuple[Any, ...]]) -> None:
    """Live through a history, and compare what is stored every few acts."""
    for number, (name, *given_to) in enumerate(history, 1):
        await both.tick(0.001)  # so that no two lanes fall due in one moment, and which is first is told
        if name == "fold":
            place, said, offset, aside = given_to
            found = [
                one
                for one in (receipt(both, place, said, offset), receipt(both, place + 1, said + 3, offset + 1))
                if one
            ]
            await both.fold(found, aside and said > 50)
        elif name == "claim" and _tied(both):
            await both.claim(500, 8192)
        else:
            await getattr(both, name)(*given_to)
        if number % 6 == 0 or number == len(history):
            await both.look()
            await both.compare()


def _tied(both: BothHeld) -> bool:
    """Whether two lanes of a place fell due in one moment: PostgreSQL may then begin with either."""
    dues = [(key[1], lane.due) for key, lane in both.tables.lanes.items() if lane.due is not None]
    return len(dues) != len(set(dues))


async def emptied(both: BothHeld) -> None:
    """Begin again on an empty store."""
    async with both.real.connection() as connection:
        await connection.execute(
            "TRUNCATE person, account, person_key, organisation, agreement, change, change_key, withdrawal, lane, pseudonym, delivery,"
            " delivery_content, receipt, breaker, quarantine, hold, confirmation, mailbox, mailbox_end, collection, replay, batch_row, audit_leaf, pause, key_generation RESTART IDENTITY CASCADE"
        )
        await connection.execute("UPDATE simulated.clock SET at = $1", EPOCH)
    await both.begin()


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as opened:
        yield opened


def test_any_history_is_the_same_on_both(dsn: str, runner: asyncio.Runner) -> None:
    opening = on_a_clock(dsn)
    real = runner.run(opening.__aenter__())
    acts, found = 0, list[int]()

    @settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(HISTORIES)
    def both_agree(history: list[tuple[Any, ...]]) -> None:
        async def lived() -> None:
            both = BothHeld(real)
            await emptied(both)
            await live(both, [*BEGINNING, *history])
            found.append(both.late)

        nonlocal acts
        acts += len(history)
        runner.run(lived())

    try:
        both_agree()
    finally:
        runner.run(opening.__aexit__(None, None, None))
    print(f"{acts} acts compared, {sum(found)} found past their horizon")  # noqa: T201  said with -s


@pytest.mark.parametrize(("original", "twin"), TWINS, ids=[twin.__name__ for _, twin in TWINS])
def test_each_twin_is_called_as_the_store_is(original: Callable[..., Any], twin: Callable[..., Any]) -> None:
    def shape(of: Callable[..., Any]) -> list[tuple[str, object, object]]:
        return [(one.name, one.kind, one.default) for one in inspect.signature(of).parameters.values()]

    assert shape(twin) == shape(original)


async def test_what_is_locked_is_waited_for_or_passed_over_by_both(dsn: str) -> None:
    """A fold holds one lane: a claim passes it over, and a grant waits for it and is then decided anew on what it made."""
    async with on_a_clock(dsn) as real:
        both = BothHeld(real)
        await emptied(both)
        for person in PEOPLE[:2]:
            await both.tell(person, ["council"], 0.0)
            await both.tick(1.0)
        held = UUID(int=1000)

        async def contended(of: Any, database: Database) -> object:
            async with of.folding(database, [], [held]):
                first = await of.claim(database, ["council"], limit=9, credit=9, lease=LEASE, leaf=lambda _: b"{}")
            second = await of.claim(database, ["council"], limit=9, credit=9, lease=LEASE, leaf=lambda _: b"{}")
            seen: list[Any] = []

            def seeing(rows: Any) -> dict[UUID, datetime]:
                seen.append(rows[held].status)
                return {one: row.now + VALID for one, row in rows.items() if row.in_flight}

            done = asyncio.Event()

            async def asks() -> None:
                await of.at_the_gate(database, [held], seeing)
                done.set()

            async with of.folding(database, [], [held]) as transaction:
                asking = asyncio.create_task(asks())
                await asyncio.sleep(0.1)
                waited = not done.is_set()
                answered = Receipt(
                    id=UUID(int=1), delivery_id=held, epoch=0, attempt=1, kind=ReceiptKind.ANSWERED,
                    outcome=Outcome.APPLIED, at=self_now,
                )  # fmt: skip
                touched = transaction.touched[held]
                folded = fold(standing_of(touched), answered, DeliveryPolicy(), transaction.now, 0.5)
                await transaction.write(
                    [settled(touched, folded.standing, attempt_ended=False)], [entry_of(answered, folded, touched)]
                )
            await asking
            return [one.delivery_id for one in first], [one.delivery_id for one in second], waited, seen

        self_now = both.now
        first, second, waited, seen = cast("Any", await both.both(contended))
        assert (first, second, waited) == ([UUID(int=2000)], [held], True)
        assert seen == ["queued", "applied"]
        await both.compare()


async def test_a_transaction_that_failed_leaves_nothing_in_either(dsn: str) -> None:
    async with on_a_clock(dsn) as real:
        both = BothHeld(real)
        await emptied(both)
        await both.tell(1, ["council"], 0.0)

        async def failing(of: Any, database: Database) -> object:
            with pytest.raises(StoreUnavailable):  # noqa: PT012  what fails is the transaction as a whole
                async with of.folding(database, [], [UUID(int=1000)]) as transaction:
                    await transaction.pause("council", "unauthorised", b"{}")
                    raise StoreUnavailable
            return await of.version(database)

        await both.both(failing)
        await both.compare()
        await both.claim(9, 9)
        await both.compare()


async def test_what_lies_is_handed_out_again_until_it_is_answered_by_both(dsn: str) -> None:
    async with on_a_clock(dsn) as real:
        both = BothHeld(real)
        await emptied(both)
        for person in PEOPLE[:3]:
            await both.tell(person, ["council"], 0.0)
            await both.tick(1.0)
        await both.claim(9, 9)
        await both.lay(0, 0)
        lies = sorted(both.tables.deliveries)
        await both.erase(PEOPLE[2])
        for _ in range(2):
            await both.come(0, 100)
            await both.compare()
        assert [both.tables.deliveries[one].unknowns for one in lies] == [1, 1, 0], "the gate withheld who was erased"
        await both.lay(0, 1)
        assert both.tables.lying("council") == [], "of another epoch, it is not what is owed"
        said = Receipt(
            id=UUID(int=1), delivery_id=lies[0], epoch=0, attempt=1, kind=ReceiptKind.ANSWERED,
            outcome=Outcome.RECEIVED, at=both.now,
        )  # fmt: skip
        await both.fold([said], False)
        await both.clear()
        assert sorted(both.tables.mailboxes.letters) == lies[1:]
        await both.compare()


@pytest.mark.parametrize("sent_meanwhile", [False, True])
async def test_what_was_superseded_and_left_alone_is_the_same_on_both(dsn: str, sent_meanwhile: bool) -> None:
    """The library wants only the newest; that is cancelled unsent, and perhaps something else went meanwhile."""
    async with on_a_clock(dsn) as real:
        both = BothHeld(real)
        await emptied(both)
        for _ in range(2):
            await both.tell(1, ["library"], 0.0)
            await both.tick(1.0)
            if not both.claimed:
                await both.claim(9, 9)
        first, second = sorted(both.tables.deliveries)
        said = withheld(first, 0, Reason.SUPERSEDED, both.now).model_copy(update={"id": UUID(int=9)})
        await both.fold([said], False)
        assert both.tables.deliveries[first].status == "superseded", "the second stands for it"
        if sent_meanwhile:
            await both.claim(9, 9)
            lost = {"kind": ReceiptKind.DEFERRED, "failure": FailureKind.UNKNOWN, "attempt": 1}
            await both.fold([said.model_copy(update={"id": UUID(int=8), "delivery_id": second, **lost})], False)
            await both.tell(1, ["library"], 0.0)
        await both.cancel(1)
        await both.take_back(0)
        stands = both.tables.deliveries[first]
        assert (stands.status, stands.epoch) == (("superseded", 0) if sent_meanwhile else ("queued", 1))
        await both.claim(9, 9)
        await both.compare()

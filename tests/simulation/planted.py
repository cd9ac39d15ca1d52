"""Faults put into the real code on purpose: the simulation must find each of them.

Each is a small change of one real function, or of a statement's twin, in force inside its context.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from unittest.mock import patch

from broker.api import fetching
from broker.delivery import attempt, line, pool
from broker.delivery.offsets import Offsets
from broker.eventlog import Partition, Received
from broker.identity.refusals import Absent
from broker.relay import relay
from broker.store import batches
from broker.store.changes import Told
from broker.store.mailbox import Lying
from broker.tracking import fold, tracker, withdrawing
from broker.vault import gate
from contracts.batches import batch_name
from contracts.delivery import Delivery
from contracts.organisation import BatchPolicy, Organisation
from contracts.receipts import FailureKind, Quarantined, Receipt
from contracts.statuses import Reason, Status
from tests.simulation.held import Holds
from tests.simulation.organisations import Mood
from tests.simulation.tables import Row, Tables
from tests.simulation.world import Setting


@contextmanager
def overtakes_on_retry() -> Iterator[None]:
    """What is to be tried again lets the next of its lane go first."""
    real = fold._deferred

    def leaves(*given: Any, **named: Any) -> fold.Folded:
        folded = real(*given, **named)
        return replace(folded, standing=replace(folded.standing, occupies=False, in_flight=False, due=None))

    with patch.object(fold, "_deferred", leaves):
        yield


@contextmanager
def commits_before_the_receipt() -> Iterator[None]:
    """A record counts as done as soon as its outcome is known, whether or not that is durable."""
    real = pool.Pool._finish

    def done_at_once(self: pool.Pool, received: Received, receipt: Receipt | Quarantined) -> None:
        self._offsets.done(received)
        real(self, received, receipt)

    with patch.object(pool.Pool, "_finish", done_at_once):
        yield


@contextmanager
def drops_on_rebalance() -> Iterator[None]:
    """What waits when a partition goes is let go, and counts as done when it comes back."""
    real = Offsets.took

    def let_go(self: Offsets, partition: Partition) -> None:
        self._open[partition] = {}

    def took(self: Offsets, record: Received) -> None:
        if not self.began_anew(record):
            real(self, record)

    with patch.object(Offsets, "forget", let_go), patch.object(Offsets, "took", took):
        yield


@contextmanager
def counts_cancelled_as_failed() -> Iterator[None]:
    """An attempt cut short by our own end counts as one that failed."""
    real = line.Line._not_tried

    def failed(self: line.Line, item: Any, grant: Any, failure: FailureKind, reason: Reason) -> Receipt:
        receipt = real(self, item, grant, failure, reason)
        return receipt.model_copy(update={"failure": FailureKind.UNKNOWN, "attempt": grant.attempt})

    with patch.object(line.Line, "_not_tried", failed):
        yield


@contextmanager
def lowers_a_status() -> Iterator[None]:
    """The last answer counts, whatever was answered before."""
    real = fold._answered

    def forgets(standing: fold.Standing, receipt: Receipt, status: Status) -> fold.Folded:
        return real(replace(standing, status=Status.PUBLISHED), receipt, status)

    with patch.object(fold, "_answered", forgets):
        yield


@contextmanager
def grants_twice() -> Iterator[None]:
    """The gate forgets that it has granted."""
    real = gate.decide

    def forgetful(row: Any, *given: Any) -> Any:
        return real(replace(row, granted_until=None), *given)

    with patch.object(gate, "decide", forgetful):
        yield


@contextmanager
def sends_at_any_hour() -> Iterator[None]:
    """Delivery windows are not looked at."""
    with patch.object(line, "is_open", lambda *_: True), patch.object(relay, "is_open", lambda *_: True):
        yield


@contextmanager
def puts_two_of_a_lane_into_a_batch() -> Iterator[None]:
    """A batch holds one of its deliveries twice."""
    real = attempt.attempt_many

    async def doubled(adapter: Any, deliveries: Sequence[Delivery], *given: Any) -> list[Receipt]:
        return (await real(adapter, [*deliveries, deliveries[0]], *given))[:-1]

    with patch.object(line, "attempt_many", doubled):
        yield


@contextmanager
def loses_what_was_superseded() -> Iterator[None]:
    """What a newer one has superseded stays so, though the newer is then cancelled unsent."""

    async def nothing(*_: Any) -> None:
        return None

    with patch.object(tracker, "bring_back", nothing), patch.object(withdrawing, "bring_back", nothing):
        yield


@contextmanager
def supersedes_what_is_not_said_again() -> Iterator[None]:
    """A newer one of the same type and agreement supersedes an older, whether it says all that the older did or not."""
    with patch.object(Row, "kind", property(lambda row: (row.owed.agreement, row.type))):
        yield


@contextmanager
def takes_nothing_back() -> Iterator[None]:
    """Who has a change that was cancelled is told nothing."""
    with patch.object(withdrawing, "may_have", lambda _: False):
        yield


@contextmanager
def takes_back_from_everybody() -> Iterator[None]:
    """Who never had a change is told that it is taken back."""
    with patch.object(withdrawing, "may_have", lambda _: True):
        yield


@contextmanager
def sends_what_is_held() -> Iterator[None]:
    """What is held is due all the same."""
    real = Tables.accept

    def at_once(self: Tables, told: Told, now: datetime) -> None:
        real(self, told, now)
        for row in self.of_change(told.id):
            row.due = row.held_due or row.due
            self.lanes[row.lane].due = now

    with patch.object(Tables, "accept", at_once):
        yield


@contextmanager
def lets_go_at_the_first_of_two_holds() -> Iterator[None]:
    """What holds a change besides the hold that has ended is not looked at."""
    with patch.object(Holds, "open_of", lambda *_: []):
        yield


@contextmanager
def looks_at_what_it_lets_go_alone() -> Iterator[None]:
    """Whoever ends a hold does not see that something told before it waits for somebody else."""
    with patch.object(Tables, "earlier_held", lambda *_: []):
        yield


@contextmanager
def names_a_file_after_its_first_row() -> Iterator[None]:
    """Two files that begin alike have one name."""
    with patch.object(batches, "batch_name", lambda rows: batch_name(rows[:1])):
        yield


@contextmanager
def sends_what_is_left_of_a_file() -> Iterator[None]:
    """A file of which something is withheld goes out without it."""
    real = line.Line._opened

    def any_number(self: line.Line, granted: Sequence[Any], *, most: int | None) -> Any:
        loose = [(replace(item, sealed=replace(item.sealed, place=None)), grant) for item, grant in granted]
        return real(self, loose, most=most)

    with patch.object(line.Line, "_opened", any_number):
        yield


@contextmanager
def takes_reading_for_acknowledging() -> Iterator[None]:
    """What an organisation has come for is taken out of its mailbox."""
    real = fetching._events

    async def once(parts: Any, gate: Any, caller: str, lying: Sequence[Lying]) -> list[bytes]:
        events = await real(parts, gate, caller, lying)
        for one in lying:
            with suppress(Absent):
                await fetching._acknowledge(parts, caller, one.delivery_id)
        return events

    with patch.object(fetching, "_events", once):
        yield


@contextmanager
def hands_out_what_was_taken_back() -> Iterator[None]:
    """What lies in a mailbox is no longer asked about."""
    with patch.object(gate, "decide_pick_up", gate._settled):
        yield


@dataclass(frozen=True, slots=True)
class Planted:
    """A fault, and the kind of disturbance it takes to show."""

    fault: Callable[[], AbstractContextManager[None]]
    favouring: str = ""
    mood: Mood | None = None
    bent: Callable[[Setting], Setting] = lambda setting: setting
    """What a run begins with, for a fault that few beginnings show."""


def all_shut(setting: Setting) -> Setting:
    """Have nobody's hours come."""
    return replace(setting, organisations=[_with(one, windows=("00:00-00:01",)) for one in setting.organisations])


def all_in_batches(setting: Setting) -> Setting:
    """Have everybody take batches."""
    return replace(setting, organisations=[_with(one, batch=BatchPolicy(size=5)) for one in setting.organisations])


def all_in_files(setting: Setting) -> Setting:
    """Have everybody take files, and many people tell."""
    files = BatchPolicy(size=5, closes=("18:00",))
    return replace(setting, organisations=[_with(one, batch=files) for one in setting.organisations], people=10)


def all_come(setting: Setting) -> Setting:
    """Have everybody come for what is theirs."""
    coming = [one.model_copy(update={"adapter": "pull"}) for one in setting.organisations]
    return replace(setting, organisations=coming, roles={**setting.roles, "api": 1})


def much_is_held(setting: Setting) -> Setting:
    """Have changes be held."""
    return replace(setting, holds=True)


def all_want_the_newest(setting: Setting) -> Setting:
    """Have everybody want only the newest, and few people tell much."""
    return replace(setting, latest_only=frozenset(one.id for one in setting.organisations), people=3)


def some_only_stay(setting: Setting) -> Setting:
    """Have everybody want only the newest, of two kinds."""
    return replace(all_want_the_newest(setting), stays=2)


def _with(settings: Organisation, **policy: object) -> Organisation:
    return settings.model_copy(update={"policy": settings.policy.model_copy(update=policy)})


FAULTS: Final = (
    Planted(overtakes_on_retry),
    Planted(commits_before_the_receipt, "unsettle"),
    Planted(drops_on_rebalance, "rebalance", {"hangs": 1, "applies": 1}),
    Planted(counts_cancelled_as_failed, "end", {"hangs": 1, "dawdles": 1}),
    Planted(lowers_a_status, "", {"takes_in": 1, "answers_twice": 1}),
    Planted(grants_twice),
    Planted(sends_at_any_hour, bent=all_shut),
    Planted(puts_two_of_a_lane_into_a_batch, bent=all_in_batches),
    Planted(loses_what_was_superseded, "cancel", {"is_away": 3, "applies": 1}, all_want_the_newest),
    Planted(supersedes_what_is_not_said_again, "", {"is_away": 3, "applies": 1}, some_only_stay),
    Planted(takes_nothing_back, "cancel", {"applies": 1}),
    Planted(takes_back_from_everybody, "cancel", {"is_away": 1}),
    Planted(sends_what_is_held, bent=much_is_held),
    Planted(lets_go_at_the_first_of_two_holds, "decide", bent=much_is_held),
    Planted(looks_at_what_it_lets_go_alone, "decide", bent=much_is_held),
    Planted(names_a_file_after_its_first_row, "cancel", bent=all_in_files),
    Planted(sends_what_is_left_of_a_file, "cancel", bent=all_in_files),
    Planted(takes_reading_for_acknowledging, bent=all_come),
    Planted(hands_out_what_was_taken_back, "cancel", bent=all_come),
)

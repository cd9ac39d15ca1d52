"""Faults put into the real code on purpose: the simulation must find each of them.

Each is a small change of one real function, in force inside its context.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from unittest.mock import patch

from broker.delivery import line, pool
from broker.delivery.offsets import Offsets
from broker.eventlog import Partition, Received
from broker.tracking import fold
from broker.vault import gate
from contracts.receipts import FailureKind, Quarantined, Receipt
from contracts.statuses import Reason, Status
from tests.simulation.organisations import Mood


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
        self._offsets.done(received.partition, received.offset)
        real(self, received, receipt)

    with patch.object(pool.Pool, "_finish", done_at_once):
        yield


@contextmanager
def drops_on_rebalance() -> Iterator[None]:
    """What waits when a partition goes is let go, and counts as done when it comes back."""

    def let_go(self: Offsets, partition: Partition) -> None:
        self._open[partition] = set()

    with patch.object(Offsets, "forget", let_go):
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


@dataclass(frozen=True, slots=True)
class Planted:
    """A fault, and the kind of disturbance it takes to show."""

    fault: Callable[[], AbstractContextManager[None]]
    favouring: str = ""
    mood: Mood | None = None


FAULTS: Final = (
    Planted(overtakes_on_retry),
    Planted(commits_before_the_receipt, "unsettle"),
    Planted(drops_on_rebalance, "rebalance", {"hangs": 1, "applies": 1}),
    Planted(counts_cancelled_as_failed, "end", {"hangs": 1, "dawdles": 1}),
    Planted(lowers_a_status, "", {"takes_in": 1, "answers_twice": 1}),
    Planted(grants_twice),
)

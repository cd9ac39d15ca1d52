"""The breaker: when an organisation's system fails, it is left alone, looked at now and then, and taken up slowly.

Only decisions: what was seen, what stands and what time it is go in, what stands next comes out. Nothing here waits,
sends or stores; `broker.delivery.line` acts on it, and `Breakers` shares it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from contracts.breaker import Breaker, Phase
from contracts.organisation import BreakerPolicy
from contracts.receipts import FailureKind, Receipt, ReceiptKind

PROBE_MARGIN: Final = timedelta(seconds=5)
"""A probe that has not been told of for so long after its deadline is lost, with the worker that made it."""
RELAPSE: Final = 3
"""So many failures in a row open a breaker that has only just been taken up again."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What one worker has seen of an organisation since its breaker last changed."""

    in_a_row: int = 0
    """Failures since the last success."""
    count: int = 0
    """Outcomes kept, at most the policy's `of_last`."""
    bits: int = 0
    """Of those, the newest lowest: 1 for a failure."""


def failed(receipt: Receipt) -> bool | None:
    """Return whether a receipt tells of a failing system; None where it tells nothing: our own doing, or a person's.

    A refusal is an answer: whoever refuses is there.
    """
    if receipt.kind in (ReceiptKind.ANSWERED, ReceiptKind.PLACED):
        return False
    if receipt.kind is ReceiptKind.DEFERRED and receipt.failure in (FailureKind.UNAVAILABLE, FailureKind.UNKNOWN):
        return True
    return None


def noted(tally: Tally, *, failure: bool, policy: BreakerPolicy) -> Tally:
    """Return the tally with one more outcome."""
    kept = (1 << policy.of_last) - 1
    return Tally(
        in_a_row=tally.in_a_row + 1 if failure else 0,
        count=min(tally.count + 1, policy.of_last),
        bits=(tally.bits << 1 | failure) & kept,
    )


def tripped(breaker: Breaker, tally: Tally, policy: BreakerPolicy) -> bool:
    """Return whether what was seen opens the breaker. One that is open stays so until a probe succeeds."""
    match breaker.phase:
        case Phase.CLOSED:
            enough = tally.count >= policy.of_last and tally.bits.bit_count() >= policy.share * policy.of_last
            return enough or tally.in_a_row >= policy.consecutive
        case Phase.RAMPING:
            return tally.in_a_row >= min(RELAPSE, policy.consecutive)
        case _:
            return False


def opened(breaker: Breaker, now: datetime, policy: BreakerPolicy, *, asked: timedelta = timedelta()) -> Breaker:
    """Return the breaker opened: anew with the shortest interval, after a failed probe or a relapse with the next.

    `asked`: how long the organisation asked us to wait (`Retry-After`), a floor up to the longest interval.
    """
    probes = 0 if breaker.phase is Phase.CLOSED else breaker.probes + 1
    longest = timedelta(seconds=policy.longest_probe_seconds)
    wait = min(timedelta(seconds=policy.first_probe_seconds * 2.0 ** min(probes, 32)), longest)
    return _moved(breaker, Phase.OPEN, now, until=now + max(wait, min(asked, longest)), probes=probes)


def probing(breaker: Breaker, now: datetime, deadline: timedelta) -> Breaker | None:
    """Return the breaker with the probe taken, None where none is due: too early, or somebody else has it."""
    if breaker.phase not in (Phase.OPEN, Phase.PROBING) or (breaker.until is not None and now < breaker.until):
        return None
    return _moved(breaker, Phase.PROBING, now, until=now + deadline + PROBE_MARGIN, probes=breaker.probes)


def probed(
    breaker: Breaker, now: datetime, policy: BreakerPolicy, *, failure: bool, asked: timedelta = timedelta()
) -> Breaker:
    """Return the breaker after the outcome of a probe."""
    if failure:
        return opened(breaker, now, policy, asked=asked)
    return _moved(
        breaker, Phase.RAMPING, now, until=now + timedelta(seconds=policy.ramp_seconds), probes=breaker.probes
    )


def recovered(breaker: Breaker, now: datetime) -> Breaker | None:
    """Return the breaker closed where its ramp is over, None where it is not."""
    if breaker.phase is not Phase.RAMPING or (breaker.until is not None and now < breaker.until):
        return None
    return _moved(breaker, Phase.CLOSED, now, until=None, probes=0)


def allowed(breaker: Breaker, now: datetime, slots: int) -> int:
    """Return how many of `slots` attempts of all workers together may be under way at once, probes apart.

    On the ramp from one to all, each in its time the same factor more.
    """
    match breaker.phase:
        case Phase.CLOSED:
            return slots
        case Phase.RAMPING if breaker.since is not None and breaker.until is not None:
            whole = (breaker.until - breaker.since).total_seconds()
            gone = min(max((now - breaker.since).total_seconds(), 0.0), whole)
            return max(1, min(slots, round(slots ** (gone / whole)))) if whole else slots
        case _:
            return 0


def _moved(breaker: Breaker, phase: Phase, now: datetime, *, until: datetime | None, probes: int) -> Breaker:
    return replace(breaker, phase=phase, since=now, until=until, probes=probes, version=breaker.version + 1)

"""Replay: an operator has what was given up sent again. What may be is decided here, on values.

A replay keeps id, bytes and sequence and takes the next epoch (design, "Lanes" 5). The gate looks at the delivery anew
before it is sent, as always.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid4

import structlog

from broker import audit
from broker.store import Database, StoreUnavailable, operations, replays
from broker.store.replays import Asked, Candidate, Replay
from contracts.statuses import Status

STEP: Final = 200
"""Deliveries replayed in one transaction."""
MOST: Final = 100_000
"""Deliveries one replay may look at: what is more is asked for in shorter ranges."""
TIDY_SECONDS: Final = 30.0
KEPT: Final = timedelta(hours=2)
"""How long the minutes of the line are kept; the page shows half an hour."""

log = structlog.get_logger()


class Refusal(StrEnum):
    """Why a delivery is not replayed."""

    MOVED_ON = "moved_on"
    """It is not undelivered (any more): an answer came, or it was replayed already."""
    OVERTAKEN = "overtaken"
    """A later change of the same person was published to the organisation: this one would undo it."""
    REVOKED = "revoked"
    WITHDRAWN = "withdrawn"
    """Its person cancelled or corrected the change."""
    ERASED = "erased"


def decide(candidate: Candidate) -> Refusal | None:
    """Return why a candidate is refused, None if it may be replayed. The order is that of what weighs most."""
    if candidate.erased:
        return Refusal.ERASED
    if candidate.status != Status.UNDELIVERED:
        return Refusal.MOVED_ON
    if candidate.withdrawn:
        return Refusal.WITHDRAWN
    if candidate.revoked:
        return Refusal.REVOKED
    if candidate.overtaken:
        return Refusal.OVERTAKEN
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a replay would do."""

    replayed: int
    refused: dict[Refusal, int]
    statuses: dict[Status, int]
    """Where the deliveries looked at stand now."""
    first: datetime | None
    """When the first of those to be replayed became undelivered."""
    last: datetime | None
    too_many: bool
    """There are more than `MOST`: nothing may be replayed by this range."""


def summed_up(found: Sequence[tuple[datetime | None, Candidate]], most: int = MOST) -> Preview:
    """Return the preview of what was found, all of it one organisation's."""
    fell = {candidate.delivery_id: at for at, candidate in found}
    judged = replays.decided((candidate for _, candidate in found), decide)
    replayed = [candidate for candidate, refusal in judged if refusal is None]
    refused = Counter(refusal for _, refusal in judged if refusal is not None)
    moments = [at for one in replayed if (at := fell[one.delivery_id]) is not None]
    return Preview(
        replayed=len(replayed),
        refused=dict(refused),
        statuses=dict(Counter(Status(candidate.status) for _, candidate in found)),
        first=min(moments, default=None),
        last=max(moments, default=None),
        too_many=len(found) > most,
    )


async def preview(database: Database, asked: Asked) -> Preview:
    """Return what a replay would do if it were asked for now. Raises StoreUnavailable."""
    return summed_up(await replays.preview(database, asked, MOST + 1))


async def ask(
    database: Database,
    asked: Asked,
    *,
    reason: str,
    note: str,
    actor: str,
    expected: int,
    now: datetime,
    per_minute: int | None = None,
) -> UUID:
    """Ask for a replay, recorded with who asked and why; return its id. A tracker carries it out.

    At most `per_minute` deliveries are sent again each minute, where that is given.

    Raises StoreUnavailable.
    """
    replay = Replay(
        id=uuid4(),
        asked=asked,
        reason=reason,
        note=note,
        actor=actor,
        asked_at=now,
        expected=expected,
        replayed=0,
        refused={},
        ended_at=None,
        per_minute=per_minute,
    )
    span = {} if asked.since is None or asked.upto is None else {
        "since": asked.since.isoformat(), "upto": asked.upto.isoformat(),
    }  # fmt: skip
    leaf = audit.leaf(
        "replay.asked",
        now,
        actor,
        organisation=asked.organisation,
        delivery_id=asked.delivery_id,
        detail={"reason": reason, "note": note, "replay": str(replay.id), "expected": expected, **span},
    )
    await replays.ask(database, replay, leaf)
    log.info("replay.asked", organisation=asked.organisation, reason=reason, count=expected)
    return replay.id


async def cancel(database: Database, replay_id: UUID, *, reason: str, note: str, actor: str, now: datetime) -> bool:
    """End a replay where it is; False if it has ended, or there is none. Raises StoreUnavailable."""
    leaf = audit.leaf("replay.cancelled", now, actor, detail={"reason": reason, "note": note, "replay": str(replay_id)})
    return await replays.cancel(database, replay_id, leaf)


async def carry_on(database: Database, now: datetime, limit: int = STEP) -> UUID | None:
    """Carry one replay on by a step; return its id, None if none is under way. Raises StoreUnavailable."""

    def leaf(replay: Replay, candidate: Candidate) -> bytes:
        return audit.leaf(
            "delivery.replayed",
            now,
            replay.actor,
            organisation=candidate.organisation,
            delivery_id=candidate.delivery_id,
            detail={
                "epoch": candidate.epoch + 1,
                "reason": replay.reason,
                "note": replay.note,
                "replay": str(replay.id),
            },
        )

    return await replays.step(database, limit, decide, leaf)


async def attend(database: Database, clock: Callable[[], datetime], stop: asyncio.Event) -> None:
    """Carry out replays as they are asked for, and keep the running counts small, until `stop`."""
    loop = asyncio.get_running_loop()
    tidied = float("-inf")
    while not stop.is_set():
        moved = None
        try:
            moved = await carry_on(database, clock())
            if loop.time() - tidied > TIDY_SECONDS:
                await operations.tidy(database, KEPT)
                tidied = loop.time()
        except StoreUnavailable as away:
            log.warning("replay.waiting", error=type(away).__name__)
        if moved is None:
            try:
                async with asyncio.timeout(1.0):
                    await stop.wait()
            except TimeoutError:
                pass

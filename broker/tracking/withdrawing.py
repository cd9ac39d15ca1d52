"""Taking a change back: what is not sent is stopped, and who was sent it is told that it is taken back.

Asked for by intake; carried out here, delivery by delivery, as it turns out what became of each. The gate lets nothing
of a withdrawn change through from the moment it was asked for, so nothing here need hurry.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
import structlog

from broker import audit, sealing
from broker.store import Database, StoreUnavailable, withdrawals
from broker.store.receipts import Entry, Settled
from broker.store.withdrawals import OwedBack, Sent
from broker.tracking.entries import entry_of, settled, standing_of
from broker.tracking.fold import Standing, stopped
from broker.tracking.superseding import bring_back
from broker.vault import Vault
from contracts.changes import event_kinds
from contracts.events import SEQUENCE_DIGITS, canonical
from contracts.ids import new_id
from contracts.receipts import withheld
from contracts.statuses import OCCUPIES_LANE_BELOW, RANK, Reason, Status

AT_ONCE: Final = 50
EVERY_SECONDS: Final = 0.5
FAULT_SECONDS: Final = 60.0
"""How soon one that could not be carried out for a fault of ours is tried again."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done about one delivery of a withdrawn change."""

    stop: bool = False
    """It is not under way: it ends here."""
    take_back: bool = False
    """The organisation has it, or may have it."""
    wait_until: datetime | None = None
    """Somebody may be sending it until then; what is in the log is waited for without a time."""


def decide(standing: Standing, sent: Sent, granted_until: datetime | None, now: datetime) -> Verdict:
    """Return what is to be done. What the organisation may have is taken back unless a corrected change replaces it."""
    is_open = RANK[standing.status] < OCCUPIES_LANE_BELOW
    if is_open and standing.in_flight:
        return Verdict()
    if is_open and standing.granted and granted_until is not None and granted_until > now:
        return Verdict(wait_until=granted_until)
    wanted = not sent.taken_back and not sent.replaced
    return Verdict(stop=is_open, take_back=wanted and may_have(standing))


def may_have(standing: Standing) -> bool:
    """Return whether the organisation was sent a delivery, as far as anybody can know."""
    said = RANK[standing.status] >= RANK[Status.RECEIVED]
    said_superseded = standing.status is Status.SUPERSEDED and standing.reason is not Reason.SUPERSEDED  # which is ours
    return said or said_superseded or standing.unknowns > 0 or standing.granted


async def carry_out(database: Database, vault: Vault, change_id: UUID, clock: Callable[[], datetime]) -> None:
    """Look at every delivery of a withdrawn change and do what is due. Any number may; one at a time does.

    A fault of ours is logged, and it is tried again later: it stays asked for. Raises StoreUnavailable.
    """
    try:
        await _look(database, vault, change_id, clock)
    except StoreUnavailable:
        raise
    except Exception as fault:  # one that cannot be carried out must not hold up the others
        log.exception("withdrawal.failed", change_id=str(change_id), error=type(fault).__name__)
        await withdrawals.later(database, change_id, FAULT_SECONDS)


async def _look(database: Database, vault: Vault, change_id: UUID, clock: Callable[[], datetime]) -> None:
    async with withdrawals.looking(database, change_id) as look:
        if look is None:
            return
        reason = Reason.SUPERSEDED if look.corrected else Reason.CANCELLED
        moved: list[Settled] = []
        entries: list[Entry] = []
        owed: list[OwedBack] = []
        told: list[str] = []
        again: list[datetime] = []
        for touched in look.folding.touched.values():
            standing, sent = standing_of(touched), look.sent[touched.id]
            verdict = decide(standing, sent, touched.granted_until, look.folding.now)
            if verdict.wait_until is not None:
                again.append(verdict.wait_until)
            if verdict.stop:
                receipt = withheld(touched.id, touched.epoch, reason, look.folding.now)
                folded = stopped(standing, receipt)
                if folded is not None:
                    moved.append(settled(touched, folded.standing, attempt_ended=True))
                    entries.append(entry_of(receipt, folded, touched, actor="tracking"))
            if verdict.take_back and look.key is not None:
                owed.append(_owed_back(vault, look.key, sent, clock()))
                told.append(f"{touched.organisation} {touched.agreement}/{touched.agreement_version}")
        await look.folding.write(moved, entries)
        await bring_back(look.folding, moved)
        if owed:
            leaf = audit.leaf(
                "change.taken_back",
                look.folding.now,
                "tracking",
                change_id=look.taken_back_by,
                detail={"withdraws": str(change_id), "told": told},
            )
            await look.take_back(owed, leaf)
        await look.looked(min(again, default=None))
    for entry in entries:
        log.info("delivery.stopped", delivery_id=str(entry.delivery_id), reason=entry.reason)
    if owed:
        log.info("change.taken_back", change_id=str(change_id), count=len(owed))


def _owed_back(vault: Vault, key: tuple[int, int, bytes], sent: Sent, now: datetime) -> OwedBack:
    """Return what takes a delivery back: that one's id, and what it told; nothing the receiver has not."""
    person_key = vault.unwrap_person(*key)
    was = orjson.loads(
        sealing.open_delivery(sealing.delivery_key(person_key, sent.id), sent.id, sent.sealed, sent.digest)
    )
    data: dict[str, Any] = {
        **{name: was[name] for name in ("person", "roles") if name in was},
        "withdraws": {
            "id": str(sent.id),
            "type": event_kinds()[sent.event].event_type,
            "sequence": f"{sent.sequence or 0:0{SEQUENCE_DIGITS}d}",
            **{name: was[name] for name in ("change",) if name in was},
        },
    }
    delivery_id = new_id(now)
    sealed, digest = sealing.seal_delivery(sealing.delivery_key(person_key, delivery_id), delivery_id, canonical(data))
    return OwedBack(id=delivery_id, takes_back=sent.id, digest=digest, sealed=sealed)


async def attend(database: Database, vault: Vault, clock: Callable[[], datetime], stop: asyncio.Event) -> None:
    """Carry out withdrawals as their deliveries move, until `stop`."""
    while not stop.is_set():
        waiting: list[UUID] = []
        try:
            waiting = await withdrawals.due(database, AT_ONCE)
            for change_id in waiting:
                await carry_out(database, vault, change_id, clock)
        except StoreUnavailable as away:
            log.warning("withdrawals.waiting", error=type(away).__name__)
            waiting = []
        if not waiting:
            try:
                async with asyncio.timeout(EVERY_SECONDS):
                    await stop.wait()
            except TimeoutError:
                pass


__all__ = ["Verdict", "attend", "carry_out", "decide", "may_have"]

"""What a person sees of their change: how far each organisation's delivery has come, and what happened on the way."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, Literal
from uuid import UUID

from broker.store import Database, changes, holds, withdrawals
from broker.store.changes import DeliveryRow, ReceiptRow
from contracts.holds import HoldView
from contracts.organisation import Organisation
from contracts.receipts import ReceiptKind
from contracts.requests import ChangeView, DeliveryView, TimelineEntry, Withdrawn
from contracts.statuses import OCCUPIES_LANE_BELOW, RANK, Status
from contracts.text import Bilingual

_WHAT: dict[str, Literal["answered", "deferred", "withheld", "undelivered"]] = {
    ReceiptKind.ANSWERED.value: "answered",
    ReceiptKind.DEFERRED.value: "deferred",
    ReceiptKind.WITHHELD.value: "withheld",
    ReceiptKind.UNDELIVERED.value: "undelivered",
    ReceiptKind.PLACED.value: "undelivered",  # having lain there until its horizon passed
}
PLACED: Final = "placed"
"""The reason of a `published` entry: it is not sent, but lies where the organisation comes for it."""
HELD: Final = "held"
"""The reason of an `accepted` entry: something held it from the beginning."""


async def followed(
    database: Database, change_id: UUID, organisations: Mapping[str, Organisation]
) -> tuple[DeliveryView, ...]:
    """Return every delivery of a change as its person sees it. Raises StoreUnavailable."""
    deliveries = await changes.deliveries_of(database, [change_id])
    receipts: dict[UUID, list[ReceiptRow]] = defaultdict(list)
    for receipt in await changes.receipts_of(database, [row.id for row in deliveries]):
        receipts[receipt.delivery_id].append(receipt)
    placed = {hold.placed_at for hold in await holds.of_change(database, change_id)}
    seen = tuple(view(row, receipts[row.id], organisations, held=row.accepted_at in placed) for row in deliveries)
    withdrawn, _ = await withdrawals.of_change(database, change_id)
    return seen if withdrawn is None else stopping(seen)


def view(
    delivery: DeliveryRow,
    receipts: Sequence[ReceiptRow],
    organisations: Mapping[str, Organisation],
    *,
    held: bool = False,
) -> DeliveryView:
    """Return one delivery as its person sees it. Receipts that changed nothing are left out; conflicts are shown.

    `held` says that its change was held when it was accepted.
    """
    organisation = organisations.get(delivery.organisation)
    name = organisation.name if organisation else Bilingual(cy=delivery.organisation, en=delivery.organisation)
    status = Status(delivery.status)
    begins = Status.WAITING if held or delivery.due > delivery.accepted_at else Status.QUEUED
    entries = [TimelineEntry(at=delivery.accepted_at, what="accepted", status=begins, reason=HELD if held else None)]
    if delivery.published_at is not None:
        entries.append(TimelineEntry(at=delivery.published_at, what="published", status=Status.PUBLISHED))
    for receipt in receipts:
        if receipt.effect != "noted" and not (entries[-1].reason == PLACED and _lies(receipt)):  # said once is enough
            entries.append(_entry(receipt))
    stopping = delivery.revoked and RANK[status] < OCCUPIES_LANE_BELOW
    return DeliveryView(
        organisation=delivery.organisation,
        name=name,
        status=status,
        not_before=delivery.due if status is Status.WAITING and not (delivery.held or stopping) else None,
        stopping=stopping or None,
        held=delivery.held or None,
        reference=delivery.reference,
        timeline=tuple(entries),
    )


async def held_too(database: Database, change_id: UUID, seen: ChangeView) -> ChangeView:
    """Return a change's view with everything that holds or held it. Raises StoreUnavailable."""
    found = await holds.of_change(database, change_id)
    return seen.model_copy(update={"holds": tuple(map(held_view, found))}) if found else seen


def held_view(hold: holds.HoldRow) -> HoldView:
    """Return a hold as the person whose change it is sees it."""
    return HoldView(
        reason=hold.reason, since=hold.placed_at, until=hold.until, ended_at=hold.ended_at, outcome=hold.outcome
    )


async def withdrawn_too(
    database: Database, change_id: UUID, seen: ChangeView, organisations: Mapping[str, Organisation]
) -> ChangeView:
    """Return a change's view with what it replaces, and what became of taking it back. Raises StoreUnavailable."""
    withdrawn, corrects = await withdrawals.of_change(database, change_id)
    if withdrawn is None:
        return seen if corrects is None else seen.model_copy(update={"corrects": corrects})
    back = await followed(database, withdrawn.taken_back_by, organisations)
    told = Withdrawn(at=withdrawn.asked_at, corrected_by=withdrawn.corrected_by, taken_back=back)
    return seen.model_copy(update={"corrects": corrects, "withdrawn": told, "deliveries": stopping(seen.deliveries)})


def stopping(seen: Sequence[DeliveryView]) -> tuple[DeliveryView, ...]:
    """Return the deliveries of a withdrawn change: those still open are being stopped."""
    return tuple(
        item.model_copy(update={"stopping": True}) if RANK[item.status] < OCCUPIES_LANE_BELOW else item for item in seen
    )


def _lies(receipt: ReceiptRow) -> bool:
    """Return whether a receipt says that a delivery lies where its organisation comes for it."""
    return receipt.kind == ReceiptKind.PLACED.value and receipt.status == Status.PUBLISHED.value


def _entry(receipt: ReceiptRow) -> TimelineEntry:
    status = Status(receipt.status)
    if _lies(receipt):
        return TimelineEntry(at=receipt.at, what="published", status=status, reason=PLACED)
    what = "conflict" if receipt.effect == "conflict" else _WHAT[receipt.kind]
    return TimelineEntry(
        at=receipt.at,
        what="undelivered" if status is Status.UNDELIVERED and what == "deferred" else what,
        status=status,
        outcome=receipt.outcome,
        reason=receipt.reason,
        reference=receipt.reference,
        next_try=receipt.next_due,
    )

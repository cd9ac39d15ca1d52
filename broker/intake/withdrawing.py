"""Cancelling a change, and replacing it by a corrected one. Recorded here; what is due because of it is tracking's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from broker import audit, sealing
from broker.intake.references import new_reference, read_reference
from broker.intake.refusals import NotAcceptable
from broker.routing import Recipient
from broker.store import Database, changes, withdrawals
from broker.store.holds import HoldRow
from broker.store.withdrawals import Correctable, TakingBack
from broker.vault import PersonKey
from contracts.events import canonical
from contracts.holds import HoldReason
from contracts.ids import new_id
from contracts.problems import FieldProblem


async def cancel(database: Database, person: PersonKey, change: changes.ToldBefore, now: datetime) -> bool:
    """Withdraw a person's change: the gate lets nothing of it through any more. False if it was withdrawn before.

    Raises StoreUnavailable.
    """
    back = _taking_back(person, "change.cancelled", change.id, now)
    return await withdrawals.cancel(database, person.person_id, change.id, back)


async def refuse(
    database: Database,
    person: PersonKey,
    change_id: UUID,
    hold: HoldRow,
    actor: str,
    detail: Mapping[str, str],
    now: datetime,
) -> bool:
    """Withdraw somebody's held change because whoever decides on it refused it; False if there is nothing to refuse.

    `detail` has the `reason`, a code, and stands in the ledger. Raises StoreUnavailable.
    """
    back = _taking_back(person, "hold.refused", change_id, now, actor=actor, hold=hold.reason.value, **detail)
    return await withdrawals.refuse(database, person.person_id, change_id, back, hold.id, actor, detail["reason"])


async def correctable(database: Database, person: PersonKey, said: str, change_type: str) -> Correctable:
    """Return the change a new one is to replace.

    Raises NotAcceptable unless it is the person's, of the same type, and neither cancelled nor replaced: so a chain of
    corrections never forks and never closes. Raises StoreUnavailable.
    """
    reference = read_reference(said)
    found = await withdrawals.correctable(database, person.person_id, reference) if reference else None
    if found is None:
        raise _wrong("not_yours", "is not one of your changes")
    if found.type != change_type:
        raise _wrong("other_type", "is a change of another type")
    if found.withdrawn:
        raise _wrong("withdrawn", "was cancelled or replaced already")
    return found


def naming(recipients: Sequence[Recipient], corrected: Correctable) -> list[Recipient]:
    """Return recipients with the delivery of theirs that is replaced, for those that were owed one."""
    return [
        replace(item, data={**item.data, "corrects": {"id": str(corrected.deliveries[item.organisation])}})
        if item.organisation in corrected.deliveries
        else item
        for item in recipients
    ]


async def replace_by(
    database: Database, person: PersonKey, told: changes.Told, corrected: Correctable, now: datetime
) -> datetime | None:
    """Store a change and withdraw the one it replaces, at once or not at all; return when, None if its key is known.

    Raises NotAcceptable where somebody was faster, PersonErased and StoreUnavailable.
    """
    back = _taking_back(person, "change.corrected", corrected.change_id, now, by=str(told.id))

    def held(reasons: Sequence[HoldReason]) -> bytes:
        detail: dict[str, str | int | Sequence[str]] = {
            "reasons": [reason.value for reason in reasons],
            "as": str(corrected.change_id),
        }
        return audit.leaf("change.held", now, audit.by_oneself(person.person_id), change_id=told.id, detail=detail)

    try:
        return await withdrawals.correct(database, told, corrected.change_id, back, held)
    except withdrawals.WithdrawnAlready:
        raise _wrong("withdrawn", "was cancelled or replaced already") from None


def _taking_back(
    person: PersonKey, action: str, change_id: UUID, now: datetime, *, actor: str = "", **detail: str
) -> TakingBack:
    """Return the change that takes one back. Its reference is nobody's but ours: it shows with the one it takes back."""
    back = new_id(now)
    content = canonical({"withdraws": str(change_id)})
    return TakingBack(
        id=back,
        reference=new_reference(),
        generation=person.generation,
        sealed=sealing.seal(sealing.record_key(person.key, back), content, b"withdrawal|v1|" + back.bytes),
        leaf=audit.leaf(
            action, now, actor or audit.by_oneself(person.person_id), change_id=change_id, detail={**detail}
        ),
    )


def _wrong(code: str, detail: str) -> NotAcceptable:
    return NotAcceptable([FieldProblem(pointer="/corrects", code=code, detail=detail)])

"""The gate: asked right before sending, it gives the key to one delivery or says why it is withheld."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final
from uuid import UUID

from broker import sealing
from broker.store import Database, StoreUnavailable, lanes, mailbox
from broker.store.together import Gathered
from broker.vault.keys import Vault
from contracts.grants import Asked, GateUnavailable, Grant, NotKnown, Verdict, Withheld
from contracts.statuses import OCCUPIES_LANE_BELOW, RANK, Reason, Status

MARGIN: Final = timedelta(seconds=2)
"""A grant outlives the attempt's own deadline by this, for the clocks and the way back."""

_Question = tuple[UUID, int, timedelta]
"""What is asked for (delivery, epoch), and for how long."""


def decide(row: lanes.AtTheGate, epoch: int, now: datetime) -> Withheld | None:
    """Return why a delivery is withheld, or None if it may be sent. The order is that of what weighs most."""
    if (settled := _settled(row, epoch)) is not None:
        return settled
    if row.granted_until is not None and row.granted_until > now:
        return Withheld(Reason.GRANTED_ELSEWHERE, row.granted_until)
    if not row.in_flight:
        return Withheld(Reason.NOT_DUE)  # a copy read again: its attempt is over, and the next is the relay's to begin
    return _taken_back(row) or (Withheld(Reason.PAUSED) if row.paused else None)


def decide_pick_up(row: lanes.AtTheGate, epoch: int) -> Withheld | None:
    """Return why a delivery that lies in a mailbox is withheld, or None if it may be handed out. It may be so again."""
    return _settled(row, epoch) or _taken_back(row) or (Withheld(Reason.PAUSED) if row.paused else None)


def _settled(row: lanes.AtTheGate, epoch: int) -> Withheld | None:
    """Return why nothing about its way can let a delivery through any more."""
    if row.erased:
        return Withheld(Reason.ERASED)
    if epoch != row.epoch:
        return Withheld(Reason.STALE_EPOCH)
    status = Status(row.status)
    if status is Status.CANCELLED:
        return Withheld(Reason.CANCELLED)
    if RANK[status] >= OCCUPIES_LANE_BELOW or not row.occupies:
        return Withheld(Reason.ALREADY_RECEIVED)
    return Withheld(Reason.REVOKED) if row.revoked else None


def _taken_back(row: lanes.AtTheGate) -> Withheld | None:
    """Return why the person, or a newer change of theirs, keeps a delivery from being sent."""
    if row.withdrawn and not row.corrected:
        return Withheld(Reason.CANCELLED)
    return Withheld(Reason.SUPERSEDED) if row.withdrawn or row.overtaken else None


class StoreGate:
    """The gate over our own store."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._gathered: Gathered[Sequence[_Question], list[Verdict]] = Gathered(self._grant)

    async def grant(self, asked: Sequence[Asked], valid: timedelta) -> list[Verdict]:
        """Answer for each (delivery, epoch), in the order asked; a grant holds `valid` and a margin.

        What several ask at once is one question to the store; the same lane asked twice in it is granted once.
        Raises GateUnavailable.
        """
        return await self._gathered.answer([(delivery_id, epoch, valid) for delivery_id, epoch in asked])

    async def _grant(self, questions: Sequence[Sequence[_Question]]) -> list[list[Verdict]]:
        asked = [one for question in questions for one in question]
        verdicts: dict[int, Verdict] = {}

        def weigh(rows: Mapping[UUID, lanes.AtTheGate]) -> Mapping[UUID, datetime]:
            granted: dict[UUID, datetime] = {}
            for place, (delivery_id, epoch, valid) in enumerate(asked):
                row = rows.get(delivery_id)
                if row is None:
                    verdicts.setdefault(place, NotKnown())  # or weighed before
                    continue
                verdicts[place] = verdict = self._weighed(row, epoch, valid, granted)
                if isinstance(verdict, Grant):
                    granted[delivery_id] = verdict.valid_until
            return granted

        try:
            await lanes.at_the_gate(self._database, [delivery_id for delivery_id, _, _ in asked], weigh)
        except StoreUnavailable:
            raise GateUnavailable from None
        told = iter([verdicts[place] for place in range(len(asked))])
        return [list(islice(told, len(question))) for question in questions]

    def _weighed(self, row: lanes.AtTheGate, epoch: int, valid: timedelta, granted: Mapping[UUID, datetime]) -> Verdict:
        """Return the verdict on one delivery, given what else of the same call is granted."""
        until = row.now + valid + MARGIN
        if row.delivery_id in granted:
            return Withheld(Reason.GRANTED_ELSEWHERE, until)
        withheld = decide(row, epoch, row.now)
        if withheld is not None:
            return withheld
        key = self._person_key(row)
        if key is None:
            return NotKnown()  # no tombstone and no key: not an erasure
        return Grant(row.attempts + 1, until, sealing.delivery_key(key, row.delivery_id).packed())

    async def pick_up(
        self, lying: Sequence[Asked], leaf: Callable[[UUID], bytes]
    ) -> list[tuple[lanes.Numbered, Grant]]:
        """Return what of a mailbox may be handed out now, in the order asked, each with the key that opens it.

        What may never be again is ended by the line at once. `leaf` goes to the ledger when one is first handed out.
        Raises StoreUnavailable.
        """
        grants: dict[UUID, Grant] = {}

        def weigh(rows: Mapping[UUID, lanes.AtTheGate]) -> mailbox.PickedUp:
            ended: list[UUID] = []
            for delivery_id, epoch in lying:
                row = rows.get(delivery_id)
                if row is None:
                    continue
                if (withheld := decide_pick_up(row, epoch)) is not None:
                    if withheld.reason is not Reason.PAUSED:
                        ended.append(delivery_id)
                elif (key := self._person_key(row)) is not None:
                    packed = sealing.delivery_key(key, delivery_id).packed()
                    grants[delivery_id] = Grant(row.attempts + 1, row.now, packed)
            return mailbox.PickedUp(grants.keys(), ended)

        handed = await mailbox.hand_out(self._database, [delivery_id for delivery_id, _ in lying], weigh, leaf)
        return [(handed[delivery_id], grants[delivery_id]) for delivery_id, _ in lying if delivery_id in handed]

    def _person_key(self, row: lanes.AtTheGate) -> bytes | None:
        if row.wrapped is None or row.kek_generation is None:
            return None
        try:
            return self._vault.unwrap_person(row.person_id, row.kek_generation, row.wrapped)
        except sealing.CannotOpen:
            return None

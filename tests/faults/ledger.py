"""What must hold afterwards: between what people were answered, what the store holds and what organisations did."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import orjson

from broker.sandbox.definitions import ORGANISATION_IDS
from broker.store import changes
from contracts.statuses import RANK, Status
from tests.faults.exchange import Exchange
from tests.faults.told import Told


@dataclass(frozen=True, slots=True)
class Effect:
    """One event in an organisation's inbox."""

    position: int
    id: str
    subject: str
    sequence: int
    outcome: str
    data: dict[str, Any]
    arrivals: int
    """How often it came; each time with the same bytes, or there is a violation."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """Everything one organisation was told. Read from its file, not by asking it."""

    organisation: str
    effects: tuple[Effect, ...]
    violations: tuple[tuple[str, str], ...]
    """(kind, event id): other data under the same id, out of order, a wrong `webhook-id`."""

    @property
    def repeats(self) -> int:
        return sum(effect.arrivals - 1 for effect in self.effects)


def inbox(exchange: Exchange, organisation: str) -> Inbox:
    file = sqlite3.connect(f"file:{exchange.state.inbox_path(organisation)}?mode=ro", uri=True)
    try:
        events = file.execute(
            "SELECT position, id, subject, sequence, outcome, data, receipts FROM events ORDER BY position"
        ).fetchall()
        violations = file.execute("SELECT kind, event_id FROM violations").fetchall()
    finally:
        file.close()
    effects = tuple(
        Effect(position, event, subject, sequence, outcome, orjson.loads(data), arrivals)
        for position, event, subject, sequence, outcome, data, arrivals in events
    )
    return Inbox(organisation, effects, tuple((kind, event) for kind, event in violations))


def inboxes(exchange: Exchange) -> list[Inbox]:
    return [inbox(exchange, name) for name in ORGANISATION_IDS]


_DELIVERIES: Final = """
SELECT d.id::text, d.organisation, d.status, d.sequence, d.ordinal, c.reference, l.subject, d.person_id
FROM delivery d JOIN change c ON c.id = d.change_id
JOIN lane l ON (l.person_id, l.organisation) = (d.person_id, d.organisation)
"""


async def unbalanced(exchange: Exchange, came: Sequence[Inbox] = ()) -> list[str]:
    """Return, in words, everything that does not hold for what was told on this exchange; all must have settled.

    `came`: what organisations have that came for it; the others' inboxes are read.
    """
    told = exchange.told
    async with exchange.session() as session:
        deliveries = [dict(row) for row in await session.fetch(_DELIVERIES)]
        stored = [dict(row) for row in await session.fetch("SELECT person_id, ordinal, reference FROM change")]
        receipts = await session.fetch("SELECT delivery_id::text, status FROM receipt")
        leaves = [orjson.loads(row["leaf"]) for row in await session.fetch("SELECT leaf FROM audit_leaf")]
    async with exchange.database() as database:
        books = await changes.books(database)
    coming = {box.organisation for box in came}
    boxes = [*came, *(box for box in inboxes(exchange) if box.organisation not in coming)]
    return [
        *books.faults(),
        *_answers(told, stored),
        *_order_of_changes(told, stored),
        *_statuses(told, deliveries, books),
        *_effects(told, deliveries, boxes),
        *_in_order(deliveries, boxes),
        *_only_rose(receipts, deliveries),
        *_audited(leaves, len(stored), deliveries, len(receipts)),
    ]


def _answers(told: Sequence[Told], stored: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Every 202 names one change, every change was told once."""
    for item in told:
        if len(item.references) != 1:
            yield f"{item.key} was answered with {sorted(item.references)}"
    answered = {reference for item in told for reference in item.references}
    kept = {row["reference"] for row in stored}
    if answered - kept:
        yield f"{len(answered - kept)} changes were accepted and are not stored"
    if kept - answered:
        yield f"{len(kept - answered)} changes are stored that nobody was told of"
    if len(stored) != len(told):
        yield f"{len(told)} changes were told, {len(stored)} are stored"


def _order_of_changes(told: Sequence[Told], stored: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A person's changes are numbered densely, in the order they were told."""
    ordinal = {row["reference"]: row["ordinal"] for row in stored}
    for item in told:
        for reference in item.references:
            if ordinal.get(reference) != item.number:
                yield f"{item.key} is number {ordinal.get(reference)} of its person, told as number {item.number}"


def _statuses(told: Sequence[Told], deliveries: Sequence[dict[str, Any]], books: changes.Books) -> Iterator[str]:
    """Conservation: what is owed is in exactly one state, here always `applied`."""
    owed = sum(len(item.data) for item in told)
    summed = sum(sum(by_status.values()) for by_status in books.by_status.values())
    if not owed == len(deliveries) == summed:
        yield f"{owed} deliveries were promised, {len(deliveries)} are stored, the books say {summed}"
    for row in deliveries:
        if row["status"] != Status.APPLIED.value:
            yield f"delivery {row['id']} to {row['organisation']} ended {row['status']}"


def _effects(told: Sequence[Told], deliveries: Sequence[dict[str, Any]], found: Sequence[Inbox]) -> Iterator[str]:
    """Exactly one effect for each delivery, with the bytes that were previewed."""
    promised = {reference: item for item in told for reference in item.references}
    owed = {(row["organisation"], row["id"]): row for row in deliveries}
    for box in found:
        for kind, event in box.violations:
            yield f"{box.organisation} saw a violation of {kind} at {event}"
        for effect in box.effects:
            row = owed.pop((box.organisation, effect.id), None)
            if row is None:
                yield f"{box.organisation} was told {effect.id}, which nobody owed it"
                continue
            if (effect.subject, effect.sequence, effect.outcome) != (row["subject"], row["sequence"], "applied"):
                yield f"{box.organisation} took {effect.id} for another person, place or purpose"
            item = promised.get(row["reference"])
            if item is not None and effect.data != item.data[box.organisation]:
                yield f"{box.organisation} was told something else in {effect.id} than was previewed"
    for organisation, delivery in owed:
        yield f"{organisation} was never told {delivery}"


def _in_order(deliveries: Sequence[dict[str, Any]], found: Sequence[Inbox]) -> Iterator[str]:
    """Every organisation heard each person's changes one after the other, without a gap, in the order they were told."""
    for box in found:
        order: dict[str, list[int]] = defaultdict(list)
        for effect in box.effects:
            order[effect.subject].append(effect.sequence)
        for subject, sequences in order.items():
            if sequences != list(range(1, len(sequences) + 1)):
                yield f"{box.organisation} was told of {subject} in the order {sequences}"
    lanes: dict[tuple[int, str], list[tuple[int, int]]] = defaultdict(list)
    for row in deliveries:
        lanes[row["person_id"], row["organisation"]].append((row["ordinal"], row["sequence"] or 0))
    for (person, organisation), pairs in lanes.items():
        if any(earlier[1] >= later[1] for earlier, later in pairwise(sorted(pairs))):
            yield f"the lane of person {person} at {organisation} was numbered out of order: {sorted(pairs)}"


def _only_rose(receipts: Sequence[Any], deliveries: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A status never fell: none ended below what a receipt had once made of it."""
    ended = {row["id"]: Status(row["status"]) for row in deliveries}
    for row in receipts:
        if RANK[ended[row["delivery_id"]]] < RANK[Status(row["status"])]:
            yield f"{row['delivery_id']} was once {row['status']} and ended {ended[row['delivery_id']]}"


def _audited(
    leaves: Sequence[dict[str, Any]], stored: int, deliveries: Sequence[dict[str, Any]], receipts: int
) -> Iterator[str]:
    """Every acceptance, publication and outcome has its leaf."""
    acceptances = sum(leaf["action"] == "change.accepted" for leaf in leaves)
    published = {leaf["delivery"] for leaf in leaves if leaf["action"] == "delivery.published"}
    if acceptances != stored:
        yield f"{stored} changes are stored, {acceptances} acceptances have a leaf"
    if missing := {row["id"] for row in deliveries} - published:
        yield f"{len(missing)} deliveries were published without a leaf"
    outcomes = sum("effect" in leaf.get("detail", {}) for leaf in leaves)
    if outcomes != receipts:
        yield f"{receipts} receipts were folded, {outcomes} have a leaf"

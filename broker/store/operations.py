"""What operators look at: the line in numbers, one change step by step, and what operators themselves did.

Numbers come from counts kept as things happen (`0004_operations.sql`), never from counting deliveries.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from broker.store.changes import DeliveryRow, ReceiptRow
from broker.store.database import Connection, Database
from broker.store.pausing import IN_QUESTION, TURNS

PAUSED_FOR: Final = "change_proposed"
"""Why an organisation is paused while a change of where or under which key it is sent to waits for a decision."""
MOST_IN_FLIGHT: Final = 10_000
MOST_BETWEEN_TRIES: Final = 10_000
MOST_UNREAD: Final = 10_000
"""Lanes, and what lies in a mailbox, are counted up to here; beyond, there are more than an operator needs to know exactly."""
MANY_FAILURES: Final = 3
"""So many rounds of fetching answers that failed are no accident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One organisation's part of the line."""

    organisation: str
    accepted: int
    """Deliveries ever owed, counted once each when they were accepted."""
    by_status: dict[str, int]
    oldest: datetime | None
    """When the oldest delivery that is due and not taken in was first to be sent, to ten seconds; None if none is owed."""
    in_flight: int
    """Claimed or published without a receipt, at most `MOST_IN_FLIGHT`."""
    between_tries: int
    """Lanes whose delivery waits for its next try, at most `MOST_BETWEEN_TRIES`."""
    next_try: datetime | None
    paused_at: datetime | None
    paused_reason: str | None
    paused_note: str | None
    draining: bool
    """Paused so that what is in the log already is still sent."""
    in_question: bool
    """A change of its endpoint or key waits for a decision: nothing is sent, whatever an operator does."""
    breaker: str
    """Its phase (`contracts.breaker`)."""
    breaker_until: datetime | None
    """The next probe; while one is under way, when it counts as lost; while it is taken up again, when that is done."""
    comes_for_it: bool
    """Something lies in its mailbox: what it owes an answer for waits for it, not for us."""
    silent: bool
    """Nothing has come by the time agreed, of an organisation whose answers are fetched."""
    uncollected: bool
    """Its answers could not be fetched, `MANY_FAILURES` times in a row or more."""
    unwritten: int
    """Letters to its contacts that were given up: in the last day, or about a change that is still undecided."""
    unread: int
    """Deliveries that have lain there for too long, at most `MOST_UNREAD`."""

    @property
    def missing(self) -> int:
        """Accepted less the sum of all statuses; 0 is balanced."""
        return self.accepted - sum(self.by_status.values())

    @property
    def balanced(self) -> bool:
        return self.missing == 0


@dataclass(frozen=True, slots=True)
class Happened:
    """How often something happened within one minute."""

    minute: datetime
    organisation: str
    event: str
    code: str
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The line as of one moment."""

    at: datetime
    organisations: tuple[Counted, ...]
    """By id."""
    happened: tuple[Happened, ...]
    """By minute, the oldest first."""
    quarantined: dict[str, int]
    """Records set aside that nobody has looked at, by reason."""


_ORGANISATIONS: Final = f"""
SELECT o.id AS organisation, o.paused_at, o.paused_reason, o.paused_note, o.draining,
       {IN_QUESTION} AS in_question, owed.oldest, flying.n AS in_flight,
       parked.n AS between_tries, parked.next_try, EXISTS (SELECT FROM mailbox WHERE organisation = o.id) AS comes_for_it,
       coalesce(c.silent, false) AS silent, coalesce(c.failures >= $4, false) AS uncollected,
       unread.n AS unread, unwritten.n AS unwritten, coalesce(b.phase, 'closed') AS breaker, b.until AS breaker_until
FROM organisation o
LEFT JOIN breaker b ON b.organisation = o.id
LEFT JOIN collection c ON c.organisation = o.id
LEFT JOIN LATERAL (
    SELECT since AS oldest FROM delivery_owed WHERE organisation = o.id AND since <= now()
    GROUP BY since HAVING sum(n) > 0 ORDER BY since LIMIT 1
) owed ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM (SELECT FROM lane WHERE organisation = o.id AND in_flight LIMIT $1) counted
) flying
CROSS JOIN LATERAL (
    SELECT count(*) AS n, min(due) AS next_try FROM (
        SELECT due FROM lane WHERE organisation = o.id AND occupant IS NOT NULL AND NOT in_flight AND due IS NOT NULL
        ORDER BY due LIMIT $2) counted
) parked
CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM (
        SELECT FROM mailbox m JOIN delivery d ON d.id = m.delivery_id
        WHERE m.organisation = o.id AND m.alarm_at <= now() AND d.status IN ('waiting', 'queued', 'published')
        LIMIT $3) counted
) unread
CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM contact_letter l
    WHERE l.organisation = o.id AND l.status = 'given_up' AND (l.ended_at > now() - interval '1 day'
          OR NOT EXISTS (SELECT FROM proposal_end e WHERE e.proposal_id = l.proposal_id))
) unwritten
ORDER BY o.id
"""  # noqa: S608  a constant of ours


async def overview(database: Database, minutes: int) -> Overview:
    """Return the line in numbers, in one snapshot, with what happened in the last `minutes`. Raises StoreUnavailable."""
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        at = await connection.fetchval("SELECT now()")
        organisations = await connection.fetch(
            _ORGANISATIONS, MOST_IN_FLIGHT, MOST_BETWEEN_TRIES, MOST_UNREAD, MANY_FAILURES
        )
        counts = await connection.fetch(
            "SELECT organisation, tally, sum(n)::bigint AS n FROM delivery_count GROUP BY 1, 2"
        )
        happened = await connection.fetch(
            """
            SELECT minute, organisation, event, code, sum(n)::bigint AS n FROM line_minute
            WHERE minute > date_trunc('minute', now()) - $1::interval GROUP BY 1, 2, 3, 4 ORDER BY 1
            """,
            timedelta(minutes=minutes),
        )
        quarantined = await connection.fetch(
            "SELECT reason, count(*) AS n FROM quarantine WHERE examined_at IS NULL GROUP BY 1 ORDER BY 1"
        )
    tallies: dict[str, dict[str, int]] = {}
    for row in counts:
        tallies.setdefault(row["organisation"], {})[row["tally"]] = row["n"]
    return Overview(
        at=at,
        organisations=tuple(_counted(row, tallies.get(row["organisation"], {})) for row in organisations),
        happened=tuple(Happened(**row) for row in happened),
        quarantined={row["reason"]: row["n"] for row in quarantined},
    )


def _counted(row: Any, tallies: dict[str, int]) -> Counted:
    return Counted(
        **row,
        accepted=tallies.get("accepted", 0),
        by_status={tally: n for tally, n in tallies.items() if tally != "accepted" and n},
    )


_TIDY_OWED: Final = """
WITH nothing AS (
    SELECT organisation, since FROM delivery_owed WHERE since < now() - $1::interval GROUP BY 1, 2 HAVING sum(n) = 0
), locked AS MATERIALIZED (
    SELECT o.organisation, o.since, o.slot, o.n FROM delivery_owed o JOIN nothing USING (organisation, since)
    ORDER BY o.organisation, o.since, o.slot FOR UPDATE OF o SKIP LOCKED
), settled AS (
    SELECT organisation, since FROM locked GROUP BY 1, 2 HAVING sum(n) = 0
)
DELETE FROM delivery_owed o USING locked l JOIN settled USING (organisation, since)
WHERE (o.organisation, o.since, o.slot) = (l.organisation, l.since, l.slot)
"""
"""Only rows that are locked and that, as locked, together are nothing: whatever else is added, no sum changes."""


async def tidy(database: Database, keep: timedelta, settled: timedelta = timedelta(minutes=1)) -> None:
    """Drop minutes older than `keep`, and what was first to be sent `settled` ago and is no longer owed.

    Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        await connection.execute("DELETE FROM line_minute WHERE minute < now() - $1::interval", keep)
        await connection.execute(_TIDY_OWED, settled)


# One change, step by step ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedDelivery:
    """One delivery and its receipts, the oldest first."""

    delivery: DeliveryRow
    epoch: int
    replayed_at: datetime | None
    next_try: datetime | None
    in_flight: bool
    receipts: tuple[ReceiptRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """One change without anything personal: neither who told it nor what was told is read."""

    id: UUID
    reference: str
    type: str
    accepted_at: datetime
    deliveries: tuple[TracedDelivery, ...]


async def look_up(database: Database, reference: str, leaf: Callable[[UUID | None], bytes]) -> UUID | None:
    """Return the id of the change with this reference, and write down in the same transaction that it was looked up.

    `leaf` is given the id, None where there is no such change. Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        found: UUID | None = await connection.fetchval("SELECT id FROM change WHERE reference = $1", reference)
        await record_act(connection, [leaf(found)])
    return found


async def trace(database: Database, change_id: UUID) -> Traced | None:
    """Return what became of a change. Raises StoreUnavailable."""
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        change = await connection.fetchrow(
            "SELECT id, reference, type, accepted_at FROM change WHERE id = $1", change_id
        )
        if change is None:
            return None
        deliveries = await connection.fetch(
            """
            SELECT d.id, d.change_id, d.organisation, d.agreement, d.agreement_version, d.status, d.sequence, d.attempts,
                   coalesce(d.held_due, d.due) AS due,
                   d.held_due IS NOT NULL AND d.status IN ('waiting', 'queued') AS held,
                   d.accepted_at, d.published_at, d.answered_at, d.reason, d.reference, d.epoch, d.replayed_at,
                   CASE WHEN l.occupant = d.id AND NOT l.in_flight THEN l.due END AS next_try,
                   l.occupant IS NOT DISTINCT FROM d.id AND l.in_flight AS in_flight
            FROM delivery d JOIN lane l USING (person_id, organisation) WHERE d.change_id = $1 ORDER BY d.organisation
            """,
            change_id,
        )
        receipts = await connection.fetch(
            """
            SELECT delivery_id, kind, outcome, reason, attempt, reference, at, effect, status, next_due
            FROM receipt WHERE delivery_id = ANY($1) ORDER BY folded_at, at
            """,
            [row["id"] for row in deliveries],
        )
    told = [ReceiptRow(**row) for row in receipts]
    extra = ("epoch", "replayed_at", "next_try", "in_flight")
    return Traced(
        **change,
        deliveries=tuple(
            TracedDelivery(
                delivery=DeliveryRow(**{key: value for key, value in row.items() if key not in extra}),
                **{key: row[key] for key in extra},
                receipts=tuple(item for item in told if item.delivery_id == row["id"]),
            )
            for row in deliveries
        ),
    )


# Acts --------------------------------------------------------------------------------------------------------------


async def record_act(connection: Connection, leaves: Sequence[bytes], *, by_operator: bool = True) -> None:
    """Write leaves of an operator's acts, or of somebody else's, in the transaction of the act."""
    await connection.execute(
        "INSERT INTO audit_leaf (leaf, by_operator) SELECT unnest($1::bytea[]), $2", list(leaves), by_operator
    )


async def pause(
    database: Database, organisation: str, reason: str | None, note: str | None, leaf: bytes, *, draining: bool = False
) -> bool:
    """Pause an organisation for a reason, or resume it (None), and write `leaf`; return whether that changed anything.

    What is written at the gate holds at once; relays and workers hear of it by notice, and poll every second anyway.
    `draining` lets what is in the log already be sent; an organisation that drains can still be paused wholly, not the
    other way round. One that is paused for a proposal is paused for the operator's own reason: what was proposed may be
    taken back by whoever proposed it, and that would end the other pause. Resumed while one is undecided it stays paused
    for that alone: nothing is sent while it is in question where to. Where nothing changed no leaf is written.
    Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        stays = reason
        if reason is None:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", TURNS)
            in_question = f"SELECT {IN_QUESTION} FROM organisation o WHERE o.id = $1"  # noqa: S608  a constant of ours
            if await connection.fetchval(in_question, organisation):
                stays = PAUSED_FOR
        done = await connection.execute(
            """
            UPDATE organisation SET paused_reason = $2, paused_note = $3, draining = $4,
                                    paused_at = CASE WHEN $2::text IS NOT NULL THEN coalesce(paused_at, now()) END
            WHERE id = $1 AND CASE WHEN $6 THEN paused_at IS NOT NULL AND paused_reason IS DISTINCT FROM $2
                                   ELSE paused_at IS NULL OR (NOT $4 AND (draining OR paused_reason = $5)) END
            """,
            organisation,
            stays,
            note if reason is not None else None,
            draining and reason is not None,
            PAUSED_FOR,
            reason is None,
        )
        changed = bool(done == "UPDATE 1")
        if changed:
            await record_act(connection, [leaf])
            await connection.execute("SELECT pg_notify('unwaith_due', '')")
    return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A record that was set aside, by its position in the log."""

    topic: str
    partition: int
    offset: int
    reason: str
    at: datetime
    delivery_id: UUID | None


async def quarantined(database: Database, limit: int) -> list[Quarantine]:
    """Return the records nobody has looked at yet, the oldest first. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            'SELECT topic, partition, record_offset AS "offset", reason, at, delivery_id FROM quarantine'
            " WHERE examined_at IS NULL ORDER BY at, topic, partition, record_offset LIMIT $1",
            limit,
        )
    return [Quarantine(**row) for row in rows]


async def examined(database: Database, topic: str, partition: int, offset: int, note: str, leaf: bytes) -> bool:
    """Write down that somebody has looked at a record, with `leaf`; False if it is none, or was looked at before.

    Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        done = await connection.execute(
            "UPDATE quarantine SET examined_at = now(), examined_note = $4"
            " WHERE topic = $1 AND partition = $2 AND record_offset = $3 AND examined_at IS NULL",
            topic,
            partition,
            offset,
            note,
        )
        changed = bool(done == "UPDATE 1")
        if changed:
            await record_act(connection, [leaf])
    return changed


async def acts(database: Database, limit: int) -> list[dict[str, Any]]:
    """Return the operators' last acts as the ledger has them, the newest first. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT leaf FROM audit_leaf WHERE by_operator ORDER BY id DESC LIMIT $1", limit)
    return [orjson.loads(row["leaf"]) for row in rows]

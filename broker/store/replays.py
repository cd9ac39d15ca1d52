"""Replays: what an operator asked to be sent again, and the steps in which that is done."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from broker.store.database import Connection, Database
from broker.store.operations import record_act


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A delivery that may be replayed, with everything that is decided on."""

    delivery_id: UUID
    person_id: int
    organisation: str
    status: str
    epoch: int
    sequence: int | None
    overtaken: bool
    """A higher sequence of its lane was published, or is about to be."""
    revoked: bool
    erased: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to replay: one delivery, or those of an organisation that became undelivered in [since, upto)."""

    organisation: str
    delivery_id: UUID | None = None
    since: datetime | None = None
    upto: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """An act of replaying, and how far it has come."""

    id: UUID
    asked: Asked
    reason: str
    note: str
    actor: str
    asked_at: datetime
    expected: int
    replayed: int
    refused: dict[str, int]
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a replay."""

    replay: Replay
    candidates: tuple[Candidate, ...]


_DECIDED_ON: Final = """
SELECT d.id AS delivery_id, d.person_id, d.organisation, d.status, d.epoch, d.sequence,
       EXISTS (SELECT FROM delivery later WHERE later.person_id = d.person_id AND later.organisation = d.organisation
               AND later.sequence > d.sequence AND (later.published_at IS NOT NULL OR later.id = l.occupant)) AS overtaken,
       a.revoked_at IS NOT NULL AS revoked, p.erased_at IS NOT NULL AS erased
FROM delivery d
JOIN lane l USING (person_id, organisation)
JOIN agreement a ON a.id = d.agreement AND a.version = d.agreement_version
JOIN person p ON p.id = d.person_id
"""

_WITHIN: Final = """
SELECT r.at, r.id, r.delivery_id FROM receipt r JOIN delivery d ON d.id = r.delivery_id
WHERE r.status = 'undelivered' AND r.effect = 'raised' AND d.organisation = $1 AND r.at >= $2 AND r.at < $3
"""

_PREVIEW_ONE: Final = f"""
SELECT candidate.*, d.answered_at AS at FROM ({_DECIDED_ON} WHERE d.id = $1 AND d.organisation = $2) candidate
JOIN delivery d ON d.id = candidate.delivery_id
"""  # noqa: S608  constants of ours
_PREVIEW_RANGE: Final = f"""
SELECT candidate.*, fell.at FROM (SELECT delivery_id, max(at) AS at FROM ({_WITHIN} LIMIT $4) r GROUP BY 1) fell
JOIN ({_DECIDED_ON}) candidate USING (delivery_id)
"""  # noqa: S608  constants of ours


async def preview(database: Database, asked: Asked, limit: int) -> list[tuple[datetime | None, Candidate]]:
    """Return what a replay would look at, at most `limit`, each with when it became undelivered (the last time).

    Deliveries that have moved on since are among them: they will be left alone. Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        if asked.delivery_id is not None:
            rows = await connection.fetch(
                _PREVIEW_ONE,
                asked.delivery_id,
                asked.organisation,
            )
        else:
            rows = await connection.fetch(
                _PREVIEW_RANGE,
                asked.organisation,
                asked.since,
                asked.upto,
                limit,
            )
    return [(row["at"], Candidate(**{key: row[key] for key in Candidate.__slots__})) for row in rows]


async def ask(database: Database, replay: Replay, leaf: bytes) -> None:
    """Write down a replay, to be carried out, with its leaf. Raises StoreUnavailable."""
    async with database.transaction() as connection:
        await connection.execute(
            """
            INSERT INTO replay (id, organisation, delivery_id, since, upto, reason, note, actor, asked_at, expected)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            """,
            replay.id,
            replay.asked.organisation,
            replay.asked.delivery_id,
            replay.asked.since,
            replay.asked.upto,
            replay.reason,
            replay.note,
            replay.actor,
            replay.asked_at,
            replay.expected,
        )
        await record_act(connection, [leaf])


Decide = Callable[[Candidate], str | None]
"""Why a candidate is refused; None to replay it."""


async def step(
    database: Database, limit: int, decide: Decide, leaf: Callable[[Replay, Candidate], bytes]
) -> UUID | None:
    """Carry one replay on by at most `limit` deliveries, in one transaction; return its id, None if none is under way.

    Any number may call this at once: a replay is carried on by one of them at a time. Lanes are locked in their order,
    so what `decide` sees cannot change before it is written. Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        row = await connection.fetchrow(
            "SELECT * FROM replay WHERE ended_at IS NULL ORDER BY asked_at LIMIT 1 FOR UPDATE SKIP LOCKED"
        )
        if row is None:
            return None
        replay = _replay(row)
        page = await _page(connection, row, limit)
        candidates = await _locked(connection, [item["delivery_id"] for item in page])
        refused = dict(replay.refused)
        chosen = []
        for candidate in candidates:
            refusal = decide(candidate)
            if refusal is None:
                chosen.append(candidate)
            else:
                refused[str(refusal)] = refused.get(str(refusal), 0) + 1
        if chosen:
            await _reopen(connection, chosen)
            await record_act(connection, [leaf(replay, candidate) for candidate in chosen])
            await connection.execute("SELECT pg_notify('unwaith_due', '')")
        over = replay.asked.delivery_id is not None or len(page) < limit
        await connection.execute(
            """
            UPDATE replay SET replayed = replayed + $2, refused = $3::jsonb, after_at = coalesce($4, after_at),
                              after_id = coalesce($5, after_id), ended_at = CASE WHEN $6 THEN now() END
            WHERE id = $1
            """,
            replay.id,
            len(chosen),
            orjson.dumps(refused).decode(),
            page[-1]["at"] if page else None,
            page[-1]["id"] if page else None,
            over,
        )
    return replay.id


async def _page(connection: Connection, row: Any, limit: int) -> list[Mapping[str, Any]]:
    """Return the next (at, id, delivery_id) of a replay."""
    if row["delivery_id"] is not None:
        return [{"at": None, "id": None, "delivery_id": row["delivery_id"]}]
    found: list[Mapping[str, Any]] = await connection.fetch(
        f"{_WITHIN} AND ($4::timestamptz IS NULL OR (r.at, r.id) > ($4, $5)) ORDER BY r.at, r.id LIMIT $6",
        row["organisation"],
        row["since"],
        row["upto"],
        row["after_at"],
        row["after_id"],
        limit,
    )
    return found


async def _locked(connection: Connection, delivery_ids: Sequence[UUID]) -> list[Candidate]:
    await connection.execute(
        """
        SELECT FROM lane JOIN delivery d USING (person_id, organisation) WHERE d.id = ANY($1)
        ORDER BY lane.person_id, lane.organisation FOR UPDATE OF lane
        """,
        list(delivery_ids),
    )
    rows = await connection.fetch(f"{_DECIDED_ON} WHERE d.id = ANY($1)", list(delivery_ids))
    return [Candidate(**row) for row in rows]


async def _reopen(connection: Connection, chosen: Sequence[Candidate]) -> None:
    """Owe these again under the next epoch: the same id, bytes and sequence, first in their lanes."""
    await connection.execute(
        """
        WITH chosen AS (
            SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS c(delivery_id, person_id, organisation)
        ), lanes AS (
            UPDATE lane SET occupant = c.delivery_id, in_flight = false, claim = claim + 1, due = now(),
                            granted_until = NULL
            FROM chosen c WHERE lane.person_id = c.person_id AND lane.organisation = c.organisation
        )
        UPDATE delivery d SET status = 'queued', epoch = epoch + 1, attempts = 0, unknowns = 0, reason = NULL,
                              answered_at = NULL, replayed_at = now()
        FROM chosen c WHERE d.id = c.delivery_id
        """,
        [item.delivery_id for item in chosen],
        [item.person_id for item in chosen],
        [item.organisation for item in chosen],
    )


async def find(database: Database, replay_id: UUID) -> Replay | None:
    """Return a replay as it stands. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM replay WHERE id = $1", replay_id)
    return _replay(row) if row else None


def _replay(row: Any) -> Replay:
    return Replay(
        id=row["id"],
        asked=Asked(
            organisation=row["organisation"], delivery_id=row["delivery_id"], since=row["since"], upto=row["upto"]
        ),
        reason=row["reason"],
        note=row["note"],
        actor=row["actor"],
        asked_at=row["asked_at"],
        expected=row["expected"],
        replayed=row["replayed"],
        refused=orjson.loads(row["refused"]),
        ended_at=row["ended_at"],
    )

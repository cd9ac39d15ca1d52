"""Replays: what an operator asked to be sent again, and the steps in which that is done."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeVar
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
    """A later one of its lane was published, or is about to be; or its lane has another to be sent first."""
    revoked: bool
    erased: bool
    withdrawn: bool
    """Its change was cancelled or corrected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to replay: one delivery, some, or those of an organisation that became undelivered in [since, upto)."""

    organisation: str
    delivery_id: UUID | None = None
    delivery_ids: tuple[UUID, ...] = ()
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
    per_minute: int | None = None
    """At most so many deliveries are replayed each minute; None for as fast as it goes."""
    cancelled_at: datetime | None = None
    """An operator ended it there."""


_DECIDED_ON: Final = """
SELECT d.id AS delivery_id, d.person_id, d.organisation, d.status, d.epoch, d.sequence,
       EXISTS (SELECT FROM delivery later WHERE later.person_id = d.person_id AND later.organisation = d.organisation
               AND CASE WHEN d.sequence IS NULL THEN later.ordinal > d.ordinal AND later.sequence IS NOT NULL
                        ELSE later.sequence > d.sequence AND later.published_at IS NOT NULL END)
           OR (d.sequence IS NOT NULL AND l.occupant <> d.id) IS TRUE AS overtaken,
       a.revoked_at IS NOT NULL AS revoked, p.erased_at IS NOT NULL AS erased,
       EXISTS (SELECT FROM withdrawal w WHERE w.change_id = d.change_id) AS withdrawn
FROM delivery d
JOIN lane l USING (person_id, organisation)
JOIN agreement a ON a.id = d.agreement AND a.version = d.agreement_version
JOIN person p ON p.id = d.person_id
"""

_WITHIN: Final = """
SELECT r.at, r.id, r.delivery_id FROM receipt r JOIN delivery d ON d.id = r.delivery_id
WHERE r.status = 'undelivered' AND r.effect = 'raised' AND d.organisation = $1 AND r.at >= $2 AND r.at < $3
"""

_PREVIEW_NAMED: Final = f"""
SELECT candidate.*, d.answered_at AS at FROM ({_DECIDED_ON} WHERE d.id = ANY($1) AND d.organisation = $2) candidate
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
        if asked.since is None:
            named = [asked.delivery_id] if asked.delivery_id is not None else list(asked.delivery_ids)
            rows = await connection.fetch(_PREVIEW_NAMED, named, asked.organisation)
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
            INSERT INTO replay (id, organisation, delivery_id, since, upto, reason, note, actor, asked_at, expected,
                                delivery_ids, per_minute)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
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
            sorted(replay.asked.delivery_ids) or None,
            replay.per_minute,
        )
        await record_act(connection, [leaf])


Refusal = TypeVar("Refusal", bound=str)
Decide = Callable[[Candidate], Refusal | None]
"""Why a candidate is refused; None to replay it."""


def decided(candidates: Iterable[Candidate], decide: Decide[Refusal]) -> list[tuple[Candidate, Refusal | None]]:
    """Return what is decided on each of one organisation's candidates, when they are replayed together.

    Of one lane one that has its sequence is replayed, the lowest: it holds the lane, and what follows there is for
    another replay.
    """
    held: set[int] = set()
    found: list[tuple[Candidate, Refusal | None]] = []
    for candidate in sorted(candidates, key=lambda one: one.sequence or 0):
        refusal = decide(replace(candidate, overtaken=candidate.overtaken or candidate.person_id in held))
        found.append((candidate, refusal))
        if refusal is None and candidate.sequence is not None:
            held.add(candidate.person_id)
    return found


async def step(
    database: Database, limit: int, decide: Decide[str], leaf: Callable[[Replay, Candidate], bytes]
) -> UUID | None:
    """Carry one replay on by at most `limit` deliveries, in one transaction; return its id, None if none is under way.

    Any number may call this at once: a replay is carried on by one of them at a time. Lanes are locked in their order,
    so what `decide` sees cannot change before it is written. Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        row = await connection.fetchrow(
            "SELECT * FROM replay WHERE ended_at IS NULL AND (next_at IS NULL OR next_at <= now())"
            " ORDER BY asked_at LIMIT 1 FOR UPDATE SKIP LOCKED"
        )
        if row is None:
            return None
        replay = _replay(row)
        if replay.per_minute is not None:
            limit = min(limit, max(1, replay.per_minute // 60))  # steps of a second, or of one delivery
        page = await _page(connection, row, limit)
        candidates = await _locked(connection, replay.asked.organisation, [item["delivery_id"] for item in page])
        refused = dict(replay.refused)
        chosen: list[Candidate] = []
        for candidate, refusal in decided(candidates, decide):
            if refusal is None:
                chosen.append(candidate)
            else:
                refused[str(refusal)] = refused.get(str(refusal), 0) + 1
        if chosen:
            await _reopen(connection, chosen)
            await record_act(connection, [leaf(replay, candidate) for candidate in chosen])
            await connection.execute("SELECT pg_notify('unwaith_due', '')")
        over = replay.asked.delivery_id is not None or len(page) < limit
        waits = 60 * len(chosen) / replay.per_minute if replay.per_minute else 0.0
        await connection.execute(
            """
            UPDATE replay SET replayed = replayed + $2, refused = $3::jsonb, after_at = coalesce($4, after_at),
                              after_id = coalesce($5, after_id), ended_at = CASE WHEN $6 THEN now() END,
                              next_at = now() + $7 * interval '1 second'
            WHERE id = $1
            """,
            replay.id,
            len(chosen),
            orjson.dumps(refused).decode(),
            page[-1]["at"] if page else None,
            page[-1]["id"] if page else None,
            over,
            waits,
        )
    return replay.id


async def _page(connection: Connection, row: Any, limit: int) -> list[Mapping[str, Any]]:
    """Return the next (at, id, delivery_id) of a replay."""
    if row["delivery_id"] is not None:
        return [{"at": None, "id": None, "delivery_id": row["delivery_id"]}]
    if row["delivery_ids"] is not None:
        left = [item for item in row["delivery_ids"] if row["after_id"] is None or item > row["after_id"]]
        return [{"at": None, "id": item, "delivery_id": item} for item in left[:limit]]
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


async def _locked(connection: Connection, organisation: str, delivery_ids: Sequence[UUID]) -> list[Candidate]:
    await connection.execute(
        """
        SELECT FROM lane JOIN delivery d USING (person_id, organisation) WHERE d.id = ANY($1)
        ORDER BY lane.person_id, lane.organisation FOR UPDATE OF lane
        """,
        list(delivery_ids),
    )
    rows = await connection.fetch(
        f"{_DECIDED_ON} WHERE d.id = ANY($1) AND d.organisation = $2", list(delivery_ids), organisation
    )
    return [Candidate(**row) for row in rows]


async def _reopen(connection: Connection, chosen: Sequence[Candidate]) -> None:
    """Owe these again under the next epoch: the same id, bytes and sequence, first in their lanes.

    What was tried is forgotten, but not that one may have arrived: what is withdrawn then must still be taken back.
    """
    await connection.execute(
        """
        WITH chosen AS (
            SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::boolean[])
                AS c(delivery_id, person_id, organisation, numbered)
        ), lanes AS (
            UPDATE lane SET occupant = c.delivery_id, in_flight = false, claim = claim + 1, due = now(),
                            granted_until = NULL
            FROM chosen c WHERE lane.person_id = c.person_id AND lane.organisation = c.organisation AND c.numbered
        ), waiting AS (
            UPDATE lane SET due = CASE WHEN lane.occupant IS NULL THEN least(lane.due, now()) ELSE lane.due END,
                            owed_from = least(lane.owed_from, first.ordinal)
            FROM (SELECT c.person_id, c.organisation, min(d.ordinal) AS ordinal
                  FROM chosen c JOIN delivery d ON d.id = c.delivery_id WHERE NOT c.numbered GROUP BY 1, 2) first
            WHERE lane.person_id = first.person_id AND lane.organisation = first.organisation
        )
        UPDATE delivery d SET status = 'queued', epoch = epoch + 1, attempts = 0, unknowns = least(unknowns, 1),
                              reason = NULL, answered_at = NULL, replayed_at = now()
        FROM chosen c WHERE d.id = c.delivery_id
        """,
        [item.delivery_id for item in chosen],
        [item.person_id for item in chosen],
        [item.organisation for item in chosen],
        [item.sequence is not None for item in chosen],
    )


async def cancel(database: Database, replay_id: UUID, leaf: bytes) -> bool:
    """End a replay where it is, with `leaf`; False if it has ended. What was replayed stays so. Raises StoreUnavailable."""
    async with database.transaction() as connection:
        done = await connection.execute(
            "UPDATE replay SET ended_at = now(), cancelled_at = now() WHERE id = $1 AND ended_at IS NULL", replay_id
        )
        changed = bool(done == "UPDATE 1")
        if changed:
            await record_act(connection, [leaf])
    return changed


async def latest(database: Database, limit: int) -> list[Replay]:
    """Return the last replays that were asked for, the newest first. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM replay ORDER BY asked_at DESC LIMIT $1", limit)
    return [_replay(row) for row in rows]


async def find(database: Database, replay_id: UUID) -> Replay | None:
    """Return a replay as it stands. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM replay WHERE id = $1", replay_id)
    return _replay(row) if row else None


def _replay(row: Any) -> Replay:
    return Replay(
        id=row["id"],
        asked=Asked(
            organisation=row["organisation"],
            delivery_id=row["delivery_id"],
            delivery_ids=tuple(row["delivery_ids"] or ()),
            since=row["since"],
            upto=row["upto"],
        ),
        reason=row["reason"],
        note=row["note"],
        actor=row["actor"],
        asked_at=row["asked_at"],
        expected=row["expected"],
        replayed=row["replayed"],
        refused=orjson.loads(row["refused"]),
        ended_at=row["ended_at"],
        per_minute=row["per_minute"],
        cancelled_at=row["cancelled_at"],
    )

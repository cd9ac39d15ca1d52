"""The event log in PostgreSQL: its statements. What they promise together is told in `broker.eventlog.postgres`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from broker.store.database import Connection, Database

CHANNEL: Final = "unwaith_log"
"""Notified once a batch, with the families of its topics, and with nothing when a group's members change."""

_MEMBERS: Final = 0x4D00_0000
_OWNERS: Final = 0x4F00_0000
"""Classes of session locks, the group's id added: (members, topic) is shared by a topic's members, (owners, partition)
is held by the one that owns it."""


@dataclass(frozen=True, slots=True)
class LogTopic:
    """A topic with its partitions' ids, in the order of their numbers."""

    id: int
    name: str
    family: str
    partition_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LogRow:
    """A record with its place. `place` counts from 0 within its partition's share of one batch when appending."""

    partition_id: int
    place: int
    key: bytes
    headers: bytes
    value: bytes = field(repr=False)


async def add_topics(database: Database, topics: Sequence[tuple[str, str, int]]) -> None:
    """Create the topics (name, family, partitions) that do not exist; the others stay as they are.

    Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        await connection.execute(
            """
            INSERT INTO log_topic (name, family, partitions)
            SELECT * FROM unnest($1::text[], $2::text[], $3::int[]) AS t(name, family, partitions) ORDER BY name
            ON CONFLICT (name) DO NOTHING
            """,
            *(list(column) for column in zip(*topics, strict=True)),
        )
        await connection.execute(
            """
            INSERT INTO log_partition (topic_id, number)
            SELECT t.id, n FROM log_topic t CROSS JOIN LATERAL generate_series(0, t.partitions - 1) AS n
            WHERE t.name = ANY($1) ORDER BY t.id, n
            ON CONFLICT (topic_id, number) DO NOTHING
            """,
            [name for name, *_ in topics],
        )


async def topics(connection: Connection, names: Sequence[str]) -> dict[str, LogTopic]:
    """Return those of the topics that exist."""
    rows = await connection.fetch(
        """
        SELECT t.id, t.name, t.family, array_agg(p.id ORDER BY p.number) AS partition_ids
        FROM log_topic t JOIN log_partition p ON p.topic_id = t.id WHERE t.name = ANY($1) GROUP BY t.id
        """,
        list(names),
    )
    return {row["name"]: LogTopic(row["id"], row["name"], row["family"], tuple(row["partition_ids"])) for row in rows}


async def tend(database: Database, family: str, today: date, keep_days: int) -> None:
    """Make room for a family's records of today, and drop the days past their retention. Raises StoreUnavailable."""
    async with database.transaction() as connection:
        await connection.execute("SELECT log_tend($1, $2, $3)", family, today, keep_days)


_APPEND: Final = """
WITH locked AS MATERIALIZED (   -- in order, and as they stand under their locks
    SELECT p.id, p.next AS base, appended.count, appended.family
    FROM log_partition p JOIN unnest($1::int[], $2::int[], $3::text[]) AS appended(id, count, family) USING (id)
    ORDER BY p.id FOR NO KEY UPDATE OF p
), moved AS (
    UPDATE log_partition p SET next = locked.base + locked.count FROM locked WHERE p.id = locked.id
)
INSERT INTO log_record (family, day, partition_id, position, key, headers, value)
SELECT locked.family, $4, locked.id, locked.base + r.place, r.key, r.headers, r.value
FROM unnest($5::int[], $6::int[], $7::bytea[], $8::bytea[], $9::bytea[]) AS r(partition_id, place, key, headers, value)
JOIN locked ON locked.id = r.partition_id CROSS JOIN (SELECT pg_notify($10, $11)) AS told
"""


async def append(database: Database, day: date, families: Mapping[int, str], rows: Sequence[LogRow]) -> None:
    """Append rows in one transaction; `families` names each partition's. Raises StoreUnavailable.

    The partitions' rows are locked first, in order, so that batches never wait for each other in a ring; the lock is
    held until the commit, so that offsets become visible without gaps and a reader may poll by them.
    """
    counts = dict.fromkeys(sorted(families), 0)
    for row in rows:
        counts[row.partition_id] += 1
    async with database.connection() as connection:
        await connection.execute(
            _APPEND,
            list(counts),
            list(counts.values()),
            [families[partition] for partition in counts],
            day,
            [row.partition_id for row in rows],
            [row.place for row in rows],
            [row.key for row in rows],
            [row.headers for row in rows],
            [row.value for row in rows],
            CHANNEL,
            ",".join(sorted(set(families.values()))),
        )


async def read(connection: Connection, positions: Mapping[int, int], limit: int) -> list[LogRow]:
    """Return up to `limit` records from these positions on (by partition id, in this order), in partition order.

    `place` is the record's offset.
    """
    rows = await connection.fetch(
        """
        SELECT wanted.id, r.position, r.key, r.headers, r.value
        FROM unnest($1::int[], $2::bigint[]) WITH ORDINALITY AS wanted(id, at, rank)
        JOIN log_partition p ON p.id = wanted.id AND p.next > wanted.at
        CROSS JOIN LATERAL (
            SELECT position, key, headers, value FROM log_record
            WHERE partition_id = wanted.id AND position >= wanted.at ORDER BY position LIMIT $3
        ) AS r
        ORDER BY wanted.rank, r.position LIMIT $3
        """,
        list(positions),
        list(positions.values()),
        limit,
    )
    return [LogRow(*row) for row in rows]


async def join(connection: Connection, group: str, topic_ids: Sequence[int]) -> int:
    """Become a member of a group on some more topics, for as long as the connection lives; return the group's id."""
    await connection.execute("INSERT INTO log_group (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", group)
    group_id: int = await connection.fetchval("SELECT id FROM log_group WHERE name = $1", group)
    await connection.execute(
        "SELECT pg_advisory_lock_shared($1, t) FROM unnest($2::int[]) AS t", _MEMBERS + group_id, list(topic_ids)
    )
    await connection.execute("SELECT pg_notify($1, '')", CHANNEL)
    return group_id


async def leave(connection: Connection, group_id: int, topic_ids: Sequence[int]) -> None:
    """Be no member on some topics any more, and tell the others; other topics of the connection stay."""
    await connection.execute(
        "SELECT pg_advisory_unlock_shared($1, t), pg_notify($3, '') FROM unnest($2::int[]) AS t",
        _MEMBERS + group_id,
        list(topic_ids),
        CHANNEL,
    )


async def members(connection: Connection, group_id: int) -> dict[int, list[int]]:
    """Return each topic's members now, by the process numbers of their sessions, in order."""
    rows = await connection.fetch(
        """
        SELECT objid::bigint AS topic_id, array_agg(pid ORDER BY pid) AS pids FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 2 AND mode = 'ShareLock' AND granted AND classid::bigint = $1
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        GROUP BY objid
        """,
        _MEMBERS + group_id,
    )
    return {row["topic_id"]: row["pids"] for row in rows}


async def own(connection: Connection, group_id: int, partition_ids: Sequence[int]) -> dict[int, int]:
    """Take the partitions that nobody owns; return them with the offset to begin at, read after they were taken."""
    taken = await connection.fetch(
        "SELECT id FROM unnest($2::int[]) AS id WHERE pg_try_advisory_lock($1, id)",
        _OWNERS + group_id,
        list(partition_ids),
    )
    rows = await connection.fetch(
        """
        SELECT id, coalesce(c.upto, 0) AS upto FROM unnest($2::int[]) AS id
        LEFT JOIN log_commit c ON c.group_id = $1 AND c.partition_id = id
        """,
        group_id,
        [row["id"] for row in taken],
    )
    return {row["id"]: row["upto"] for row in rows}


async def disown(connection: Connection, group_id: int, partition_ids: Sequence[int]) -> None:
    """Let others take partitions, and tell them."""
    await connection.execute(
        "SELECT pg_advisory_unlock($1, id), pg_notify($3, '') FROM unnest($2::int[]) AS id",
        _OWNERS + group_id,
        list(partition_ids),
        CHANNEL,
    )


async def commit(connection: Connection, group_id: int, upto: Mapping[int, int]) -> None:
    """Record how far the group has come in partitions which **this session** owns; others are left alone.

    The lock is looked up where it lives, in the server: a session that lost it cannot commit. Nothing is taken back.
    """
    await connection.execute(
        """
        INSERT INTO log_commit (group_id, partition_id, upto)
        SELECT $1, done.id, done.upto FROM unnest($2::int[], $3::bigint[]) AS done(id, upto)
        WHERE EXISTS (
            SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND mode = 'ExclusiveLock' AND granted
               AND pid = pg_backend_pid() AND classid::bigint = $4 AND objid::bigint = done.id
        )
        ORDER BY done.id
        ON CONFLICT (group_id, partition_id) DO UPDATE SET upto = excluded.upto WHERE log_commit.upto < excluded.upto
        """,
        group_id,
        list(upto),
        list(upto.values()),
        _OWNERS + group_id,
    )

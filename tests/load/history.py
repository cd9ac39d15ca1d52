"""A store as it stands after a million changes were told and their three million deliveries applied.

Written by a few statements a portion instead of through the exchange, with the same rows everywhere: changes, keys,
deliveries with their content, receipts, audit leaves, and lanes that have come so far.
"""

import time
from typing import Any

_PEOPLE = """
CREATE TEMP TABLE told_before AS
SELECT p.id AS person_id, p.last_ordinal + n AS ordinal, uuidv7(-(interval '400 days' * (1 - n / $1::float8))) AS change_id,
       now() - interval '400 days' * (1 - n / $1::float8) AS at
FROM person p CROSS JOIN generate_series(1, $1::int) AS n
WHERE p.id BETWEEN $2 AND $3 AND EXISTS (SELECT FROM lane WHERE lane.person_id = p.id) ORDER BY n, p.id
"""

_OWED = """
CREATE TEMP TABLE owed_before AS
SELECT uuidv7(at - now()) AS id, t.*, l.organisation, l.subject, a.id AS agreement, a.version AS agreement_version,
       l.last_sequence + row_number() OVER (PARTITION BY l.person_id, l.organisation ORDER BY t.ordinal) AS sequence
FROM told_before t JOIN lane l USING (person_id) JOIN agreement a ON a.organisation = l.organisation
WHERE a.definition ->> 'changeType' = 'address'
"""

_WRITE = (
    """
    INSERT INTO change_key (person_id, key, change_id, fingerprint)
    SELECT person_id, uuid_send(gen_random_uuid()), change_id, uuid_send(gen_random_uuid()) FROM told_before
    """,
    """
    INSERT INTO change (id, person_id, ordinal, reference, type, generation, sealed, accepted_at, verified)
    SELECT change_id, person_id, ordinal, 'H' || person_id || '-' || ordinal, 'address', 1,
           decode(repeat('5a', 560), 'hex'), at, uuid_send(gen_random_uuid()) FROM told_before
    """,
    """
    INSERT INTO delivery (id, change_id, person_id, organisation, ordinal, agreement, agreement_version, status,
                          sequence, attempts, due, accepted_at, published_at, answered_at)
    SELECT id, change_id, person_id, organisation, ordinal, agreement, agreement_version, 'applied', sequence, 1, at, at,
           at, at FROM owed_before
    """,
    """
    INSERT INTO delivery_content (delivery_id, generation, origin, digest, sealed)
    SELECT id, 1, encode(uuid_send(id), 'base64'), uuid_send(gen_random_uuid()), decode(repeat('a5', 560), 'hex')
    FROM owed_before
    """,
    """
    INSERT INTO receipt (id, delivery_id, epoch, attempt, kind, outcome, at, folded_at, effect, status)
    SELECT uuidv7(at - now()), id, 0, 1, 'answered', 'applied', at, at, 'raised', 'applied' FROM owed_before
    """,
    "INSERT INTO audit_leaf (leaf) SELECT decode(repeat('6c', 420), 'hex') FROM told_before",
    "INSERT INTO audit_leaf (leaf) SELECT decode(repeat('6c', 210), 'hex') FROM owed_before, generate_series(1, 2)",
    """
    UPDATE lane SET last_sequence = o.sequence
    FROM (SELECT person_id, organisation, max(sequence) AS sequence FROM owed_before GROUP BY 1, 2) o
    WHERE lane.person_id = o.person_id AND lane.organisation = o.organisation
    """,
    """
    UPDATE person SET last_ordinal = t.ordinal
    FROM (SELECT person_id, max(ordinal) AS ordinal FROM told_before GROUP BY 1) t WHERE person.id = t.person_id
    """,
)


async def fill(connection: Any, changes: int) -> tuple[int, int, float]:
    """Add at least `changes` changes of the people there are; return (changes, deliveries, seconds it took).

    The people are those who have told something before; nothing may run beside it.
    """
    began = time.perf_counter()
    people = [row["id"] for row in await connection.fetch("SELECT DISTINCT person_id AS id FROM lane ORDER BY 1")]
    each = -(-changes // len(people))
    portion = max(1, 100_000 // each)
    told = owed = 0
    await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
    await connection.execute("SET statement_timeout = 0; SET work_mem = '128MB'")
    for start in range(0, len(people), portion):
        last = people[min(start + portion, len(people)) - 1]
        async with connection.transaction():
            told += _count(await connection.execute(_PEOPLE, each, people[start], last))
            owed += _count(await connection.execute(_OWED))
            for statement in _WRITE:
                await connection.execute(statement)
            await connection.execute("DROP TABLE told_before, owed_before")
    await connection.execute("RESET ALL; SET statement_timeout = 0")
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")
    return told, owed, time.perf_counter() - began


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])

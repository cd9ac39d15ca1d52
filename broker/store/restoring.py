"""After the store was restored to an earlier moment: what it gave out since then, and forgot, it never gives out again.

That is each lane's sequence, people's numbers, from which their pseudonyms at organisations are made, and places in
mailboxes, which organisations keep as cursors. All go on from the second of the restoration, since 1970: above whatever
was given out before it, and by however many restorations of the same backup. Nothing has to know what was lost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.store.database import Connection, Database
from broker.store.operations import record_act

JUMP: Final = 1_000_000
"""Lanes go on by no less than this. It counts only where numbers are ahead of the clock already."""
FINER: Final = 1_000
"""People and places in mailboxes go on from so many times the number of lanes: each is given out faster than one a second,
and slower than this."""


class Running(Exception):  # noqa: N818  says what holds
    """Processes of the exchange are connected to the store, and may be giving out numbers that were given out before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was done, for the ledger and for whoever restored it."""

    at: datetime
    known_until: datetime | None
    """When the newest change that the store still knows was accepted; None where it knows none."""
    sequence_from: int
    lanes: int
    again: int
    """Lanes whose delivery may be in the log, or not any more: it is owed again, under the same number."""
    sessions: int
    """Ended, since the store has forgotten who signed out."""


async def go_on(database: Database, leaf: Callable[[Restored], bytes]) -> Restored:
    """Have everything go on from numbers that were never given out, and write `leaf`.

    Raises Running where others are connected, and StoreUnavailable.
    """
    async with database.transaction() as connection:
        # What is not locked whole, and before anything else, would be locked in another order than lanes are.
        await connection.execute("LOCK TABLE lane, mailbox_end IN ACCESS EXCLUSIVE MODE")
        if await connection.fetchval(_OTHERS):
            raise Running
        start: int = await connection.fetchval(_START, JUMP)
        await connection.execute("INSERT INTO restoration (sequence_from) VALUES ($1)", start)
        lanes, again = await connection.fetchrow(_LANES, start)
        # Of a lane that was forgotten whole its organisation knows numbers too.
        await connection.execute(f"ALTER TABLE lane ALTER COLUMN last_sequence SET DEFAULT {start:d}")
        await connection.execute("UPDATE mailbox_end SET place = greatest(place, $1)", start * FINER)
        await connection.execute(_PEOPLE, start * FINER)
        restored = Restored(
            at=await connection.fetchval("SELECT now()"),
            known_until=await connection.fetchval("SELECT accepted_at FROM change ORDER BY id DESC LIMIT 1"),
            sequence_from=start,
            lanes=lanes,
            again=again,
            sessions=await _end_sessions(connection),
        )
        await record_act(connection, [leaf(restored)])
    return restored


_OTHERS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = current_setting('application_name') AND pid <> pg_backend_pid()
"""

_START: Final = """
SELECT greatest(extract(epoch FROM now())::bigint, coalesce(max(last_sequence), 0) + $1::bigint) FROM lane
"""

_LANES: Final = """
WITH moved AS (
    UPDATE lane SET last_sequence = $1, due = CASE WHEN in_flight THEN now() ELSE due END RETURNING in_flight
)
SELECT count(*), count(*) FILTER (WHERE in_flight) FROM moved
"""

_PEOPLE: Final = """
SELECT setval(pg_get_serial_sequence('person', 'id'), greatest($1::bigint, (SELECT coalesce(max(id), 0) FROM person)))
"""


async def _end_sessions(connection: Connection) -> int:
    ended: int = await connection.fetchval("WITH ended AS (DELETE FROM session RETURNING 1) SELECT count(*) FROM ended")
    return ended

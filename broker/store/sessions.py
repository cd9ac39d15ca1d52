"""Sessions and sign-ins under way, as rows: digests to find them by, ciphertext for what they hold.

When one began and whether it has ended is told by the store's clock alone (decision 9): any number of processes serve
pages, and one whose clock is off must neither keep a session open nor end one early.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from broker.store.database import Database

MOST_SWEPT: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One session, as of `now`."""

    version: int
    sealed: bytes = field(repr=False)
    seen_at: datetime
    ends_at: datetime
    now: datetime
    """The store's clock as it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRow:
    """A sign-in somebody begins."""

    state: bytes
    domain: str
    browser: bytes
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A session to be added."""

    digest: bytes
    domain: str
    account: bytes
    provider_session: bytes | None
    sealed: bytes = field(repr=False)
    absolute: timedelta
    """How long it may last, whatever happens."""
    ends_at: datetime | None
    """When it ends instead: a session that replaces another lasts no longer than that one."""


_READ: Final = "version, sealed, seen_at, ends_at, clock_timestamp() AS now"


async def add(database: Database, session: Added, *, replaces: bytes | None = None) -> SessionRow:
    """Add a session, ending the one it replaces in the same transaction. Raises StoreUnavailable."""
    async with database.transaction() as connection:
        if replaces is not None:
            await connection.execute("DELETE FROM session WHERE digest = $1 AND domain = $2", replaces, session.domain)
        row = await connection.fetchrow(
            f"""
            INSERT INTO session (digest, domain, account, provider_session, sealed, created_at, seen_at, ends_at)
            VALUES ($1, $2, $3, $4, $5, now(), now(), coalesce($7, now() + $6)) RETURNING {_READ}
            """,  # noqa: S608  ours
            session.digest,
            session.domain,
            session.account,
            session.provider_session,
            session.sealed,
            session.absolute,
            session.ends_at,
        )
    return SessionRow(**row)


async def find(database: Database, domain: str, digest: bytes) -> SessionRow | None:
    """Return a session whatever its age. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            f"SELECT {_READ} FROM session WHERE digest = $1 AND domain = $2",  # noqa: S608  ours
            digest,
            domain,
        )
    return SessionRow(**row) if row else None


async def touch(database: Database, digest: bytes) -> None:
    """Note that a session is in use. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute("UPDATE session SET seen_at = greatest(seen_at, now()) WHERE digest = $1", digest)


async def replace(database: Database, digest: bytes, version: int, sealed: bytes) -> SessionRow | None:
    """Keep new content if the session is still at `version`, and return it; None if it was not. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            f"""
            UPDATE session SET sealed = $3, version = version + 1, seen_at = greatest(seen_at, now())
            WHERE digest = $1 AND version = $2 RETURNING {_READ}
            """,  # noqa: S608  ours
            digest,
            version,
            sealed,
        )
    return SessionRow(**row) if row else None


async def remove(database: Database, domain: str, digest: bytes) -> None:
    """End a session. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute("DELETE FROM session WHERE digest = $1 AND domain = $2", digest, domain)


async def remove_of_account(database: Database, domain: str, account: bytes) -> int:
    """End every session of an account; return how many. Raises StoreUnavailable."""
    async with database.connection() as connection:
        done = await connection.execute("DELETE FROM session WHERE domain = $1 AND account = $2", domain, account)
    return int(str(done).rpartition(" ")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A provider's word that somebody signed out there, good once."""

    jti: bytes
    until: datetime


async def end_at_word(
    database: Database, domain: str, word: Word, *, account: bytes | None, provider_session: bytes | None
) -> int | None:
    """End the sessions that fit all that is given, which must be something, and return how many.

    None if the word was given before: then nothing is done. Raises StoreUnavailable.
    """
    if account is None and provider_session is None:
        raise ValueError("nobody is named")
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM logout_word WHERE until < now() - interval '1 minute'")
        fresh = await connection.execute(
            "INSERT INTO logout_word (domain, jti, until) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            domain,
            word.jti,
            word.until,
        )
        if fresh != "INSERT 0 1":
            return None
        done = await connection.execute(
            """
            DELETE FROM session WHERE domain = $1
            AND ($2::bytea IS NULL OR account = $2) AND ($3::bytea IS NULL OR provider_session = $3)
            """,
            domain,
            account,
            provider_session,
        )
    return int(str(done).rpartition(" ")[2])


async def begin_sign_in(database: Database, row: SignInRow, life: timedelta) -> None:
    """Remember a sign-in for so long, until its answer comes. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO sign_in (state, domain, browser, sealed, until) VALUES ($1, $2, $3, $4, now() + $5)",
            row.state,
            row.domain,
            row.browser,
            row.sealed,
            life,
        )


async def take_sign_in(database: Database, domain: str, state: bytes, browser: bytes) -> SignInRow | None:
    """Return a sign-in to the browser that began it, and forget it: a second answer finds none.

    Another browser's is left for its owner; one whose time is over is none. Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        row = await connection.fetchrow(
            """
            DELETE FROM sign_in WHERE state = $1 AND domain = $2 AND browser = $3 AND until > now()
            RETURNING state, domain, browser, sealed
            """,
            state,
            domain,
            browser,
        )
    return SignInRow(**row) if row else None


async def sweep(database: Database, domain: str, idle: timedelta) -> None:
    """Remove what has ended, so that an expired session keeps nothing. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute(
            """
            DELETE FROM session WHERE digest IN (
                SELECT digest FROM session WHERE domain = $1 AND (seen_at < now() - $2::interval OR ends_at < now())
                LIMIT $3 FOR UPDATE SKIP LOCKED)
            """,
            domain,
            idle,
            MOST_SWEPT,
        )
        await connection.execute(
            """
            DELETE FROM sign_in WHERE state IN (
                SELECT state FROM sign_in WHERE domain = $1 AND until < now() LIMIT $2 FOR UPDATE SKIP LOCKED)
            """,
            domain,
            MOST_SWEPT,
        )

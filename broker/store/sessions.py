"""Sessions and sign-ins under way, as rows: digests to find them by, ciphertext for what they hold."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from broker.store.database import Database

MOST_SWEPT: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One session."""

    digest: bytes
    domain: str
    account: bytes
    provider_session: bytes | None
    version: int
    sealed: bytes = field(repr=False)
    created_at: datetime
    seen_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRow:
    """A sign-in somebody began."""

    state: bytes
    domain: str
    browser: bytes
    sealed: bytes = field(repr=False)
    until: datetime


_COLUMNS: Final = "digest, domain, account, provider_session, version, sealed, created_at, seen_at, ends_at"


async def add(database: Database, row: SessionRow, *, replaces: bytes | None = None) -> None:
    """Add a session, ending the one it replaces in the same transaction. Raises StoreUnavailable."""
    async with database.transaction() as connection:
        if replaces is not None:
            await connection.execute("DELETE FROM session WHERE digest = $1 AND domain = $2", replaces, row.domain)
        await connection.execute(
            f"INSERT INTO session ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",  # noqa: S608  ours
            row.digest,
            row.domain,
            row.account,
            row.provider_session,
            row.version,
            row.sealed,
            row.created_at,
            row.seen_at,
            row.ends_at,
        )


async def find(database: Database, domain: str, digest: bytes) -> SessionRow | None:
    """Return a session whatever its age. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            f"SELECT {_COLUMNS} FROM session WHERE digest = $1 AND domain = $2",  # noqa: S608  ours
            digest,
            domain,
        )
    return SessionRow(**row) if row else None


async def touch(database: Database, digest: bytes, now: datetime) -> None:
    """Note that a session is in use. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute("UPDATE session SET seen_at = greatest(seen_at, $2) WHERE digest = $1", digest, now)


async def replace(database: Database, digest: bytes, version: int, sealed: bytes, now: datetime) -> bool:
    """Keep new content if the session is still at `version`; return whether it was. Raises StoreUnavailable."""
    async with database.connection() as connection:
        done = await connection.execute(
            """
            UPDATE session SET sealed = $3, version = version + 1, seen_at = greatest(seen_at, $4)
            WHERE digest = $1 AND version = $2
            """,
            digest,
            version,
            sealed,
            now,
        )
    return bool(done == "UPDATE 1")


async def remove(database: Database, domain: str, digest: bytes) -> None:
    """End a session. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute("DELETE FROM session WHERE digest = $1 AND domain = $2", digest, domain)


async def remove_of_account(database: Database, domain: str, account: bytes) -> int:
    """End every session of an account; return how many. Raises StoreUnavailable."""
    async with database.connection() as connection:
        done = await connection.execute("DELETE FROM session WHERE domain = $1 AND account = $2", domain, account)
    return int(str(done).rpartition(" ")[2])


async def begin_sign_in(database: Database, row: SignInRow) -> None:
    """Remember a sign-in until its answer comes. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO sign_in (state, domain, browser, sealed, until) VALUES ($1, $2, $3, $4, $5)",
            row.state,
            row.domain,
            row.browser,
            row.sealed,
            row.until,
        )


async def take_sign_in(database: Database, domain: str, state: bytes, browser: bytes) -> SignInRow | None:
    """Return a sign-in to the browser that began it, and forget it: a second answer finds none.

    Another browser's is left for its owner. Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        row = await connection.fetchrow(
            """
            DELETE FROM sign_in WHERE state = $1 AND domain = $2 AND browser = $3
            RETURNING state, domain, browser, sealed, until
            """,
            state,
            domain,
            browser,
        )
    return SignInRow(**row) if row else None


async def sweep(database: Database, domain: str, idle: timedelta, now: datetime) -> None:
    """Remove what has ended, so that an expired session keeps nothing. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute(
            """
            DELETE FROM session WHERE digest IN (
                SELECT digest FROM session WHERE domain = $1 AND (seen_at < $2 OR ends_at < $3)
                LIMIT $4 FOR UPDATE SKIP LOCKED)
            """,
            domain,
            now - idle,
            now,
            MOST_SWEPT,
        )
        await connection.execute(
            """
            DELETE FROM sign_in WHERE state IN (
                SELECT state FROM sign_in WHERE domain = $1 AND until < $2 LIMIT $3 FOR UPDATE SKIP LOCKED)
            """,
            domain,
            now,
            MOST_SWEPT,
        )

"""Wrapped keys as the store holds them: never one in clear."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from broker.store.database import Database
from broker.store.operations import record_act


@dataclass(frozen=True, slots=True)
class WrappedPersonKey:
    """A person's data key, wrapped."""

    person_id: int
    generation: int
    kek_generation: int
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as it is kept: under which name, of which generation's key, and its wrapped bytes."""

    name: str
    generation: int
    wrapped: bytes = field(repr=False)


async def generations(database: Database) -> dict[int, bytes]:
    """Return every wrapped key-encryption key by generation. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT generation, wrapped FROM key_generation ORDER BY generation")
    return {row["generation"]: row["wrapped"] for row in rows}


async def add_generation(database: Database, generation: int, wrapped: bytes) -> None:
    """Keep a new generation; one that is there already stays as it is. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO key_generation (generation, wrapped) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            generation,
            wrapped,
        )


async def secret(database: Database, name: str) -> tuple[int, bytes] | None:
    """Return a secret's generation and wrapped bytes. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT generation, wrapped FROM secret WHERE name = $1", name)
    return (row["generation"], row["wrapped"]) if row else None


async def add_secret(database: Database, name: str, generation: int, wrapped: bytes) -> bool:
    """Keep a secret; one of that name already there stays as it is. Return whether none was. Raises StoreUnavailable."""
    async with database.connection() as connection:
        done = await connection.execute(
            "INSERT INTO secret (name, generation, wrapped) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            name,
            generation,
            wrapped,
        )
    return bool(done == "INSERT 0 1")


async def exchange_secret(
    database: Database, name: str, was: bytes, generation: int, wrapped: bytes, leaves: Sequence[bytes]
) -> bool:
    """Keep a secret in place of the one whose wrapped bytes are `was`, with `leaves`; return whether that was there.

    Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        done = await connection.execute(
            "UPDATE secret SET generation = $3, wrapped = $4 WHERE name = $1 AND wrapped = $2",
            name,
            was,
            generation,
            wrapped,
        )
        exchanged = bool(done == "UPDATE 1")
        if exchanged:
            await record_act(connection, leaves)
    return exchanged


async def put_secret(database: Database, name: str, generation: int, wrapped: bytes) -> None:
    """Keep a secret in place of an earlier one of that name. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO secret (name, generation, wrapped) VALUES ($1, $2, $3) ON CONFLICT (name)"
            " DO UPDATE SET generation = excluded.generation, wrapped = excluded.wrapped",
            name,
            generation,
            wrapped,
        )


async def person_keys(database: Database, accounts: Sequence[bytes]) -> dict[bytes, WrappedPersonKey]:
    """Return the key of the person each account belongs to; new accounts and erased persons are left out.

    Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT a.digest, k.person_id, k.generation, k.kek_generation, k.wrapped
            FROM account a JOIN person_key k USING (person_id) WHERE a.digest = ANY($1)
            """,
            accounts,
        )
    return {
        row["digest"]: WrappedPersonKey(row["person_id"], row["generation"], row["kek_generation"], row["wrapped"])
        for row in rows
    }


async def key_of_person(database: Database, person_id: int) -> WrappedPersonKey | None:
    """Return a person's key, None for somebody erased. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT person_id, generation, kek_generation, wrapped FROM person_key WHERE person_id = $1", person_id
        )
    return WrappedPersonKey(**row) if row else None


async def add_person(database: Database, account: bytes) -> int:
    """Make a person for a new account and return their id, or the id of the one it belongs to already.

    Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 7))", account)
        known: int | None = await connection.fetchval("SELECT person_id FROM account WHERE digest = $1", account)
        if known is not None:
            return known
        made: int = await connection.fetchval("INSERT INTO person DEFAULT VALUES RETURNING id")
        await connection.execute("INSERT INTO account (digest, person_id) VALUES ($1, $2)", account, made)
        return made


async def add_person_key(database: Database, person_id: int, kek_generation: int, wrapped: bytes) -> None:
    """Commit a person's data key, before anything is sealed with it. One that is there already stays.

    An erased person gets none. Raises StoreUnavailable.
    """
    async with database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO person_key (person_id, kek_generation, wrapped)
            SELECT id, $2, $3 FROM person WHERE id = $1 AND erased_at IS NULL ON CONFLICT DO NOTHING
            """,
            person_id,
            kek_generation,
            wrapped,
        )

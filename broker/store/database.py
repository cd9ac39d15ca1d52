"""The connection pool, and the one place where driver errors become `StoreUnavailable`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Self

import asyncpg

Connection = Any
"""An asyncpg connection on loan; asyncpg ships no types."""

_PASSING: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the pool meets when it resets a connection that was cut in mid-statement
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # shutdown, crash recovery, cancelled by timeout
    asyncpg.exceptions.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.exceptions.LockNotAvailableError,
    asyncpg.exceptions.TransactionRollbackError,  # deadlock, serialization
    asyncpg.exceptions.InvalidCachedStatementError,  # a day's table was just made for the log: ask again
    asyncpg.exceptions.PostgresSystemError,
    asyncpg.exceptions.InternalServerError,
)
"""Faults of the moment. A statement that is wrong in itself is not among them and stays an error of ours."""


class StoreUnavailable(Exception):  # noqa: N818  it tells the caller what holds
    """PostgreSQL did not answer, or gave up: whether the transaction took effect is unknown until asked again."""


@contextmanager
def faults_told() -> Iterator[None]:
    """Turn the driver's faults of the moment into StoreUnavailable, for work on a connection of one's own."""
    try:
        yield
    except _PASSING as fault:
        raise StoreUnavailable(type(fault).__name__) from None


async def _as_it_is(_connection: Connection) -> None:
    """Return a connection to the pool without asking the server to forget the session: one round trip less a loan.

    asyncpg rolls back what was left open all the same. There is nothing else to forget, because whoever borrows a
    connection sets nothing but with `SET LOCAL`; session locks and listeners live on connections of their own.
    """


async def _bounded(connection: Connection) -> None:
    """Have the server end any transaction of this connection that lasts too long, whatever its client is doing.

    A process stopped between two messages of one statement is neither idle nor executing: no other limit of
    PostgreSQL's applies to it, and the lanes it had locked would stay locked until it goes on. PostgreSQL 17 and newer.
    """
    if connection.get_server_version().major >= 17:  # noqa: PLR2004  the first to know it
        await connection.execute(
            "SELECT set_config('transaction_timeout', current_setting('idle_in_transaction_session_timeout'), false)"
        )


class Database:
    """A pool. Time limits hold on connecting, on every statement and on every lock, so nothing hangs."""

    def __init__(self, pool: Any, dsn: str, settings: Mapping[str, str], command_seconds: float) -> None:
        self._pool = pool
        self._dsn = dsn
        self._settings = settings
        self._command_seconds = command_seconds

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        size: int = 8,
        statement_seconds: float = 10.0,
        lock_seconds: float = 5.0,
        transaction_seconds: float = 15.0,
    ) -> Self:
        """Connect lazily: an absent server is StoreUnavailable on first use, not here."""
        settings = {
            "application_name": "unwaith",
            "jit": "off",
            # Our statements take arrays and find rows by their keys: what they are given never asks for another plan,
            # and planning six tables anew for each small batch took longer than running it.
            "plan_cache_mode": "force_generic_plan",
            "lock_timeout": str(int(lock_seconds * 1000)),
            "statement_timeout": str(int(statement_seconds * 1000)),
            "idle_in_transaction_session_timeout": str(int(transaction_seconds * 1000)),
            "search_path": "unwaith,public",
            "timezone": "UTC",
        }
        command_seconds = statement_seconds + 2.0
        pool = asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=size,
            timeout=5.0,
            command_timeout=command_seconds,
            max_inactive_connection_lifetime=60.0,
            init=_bounded,
            reset=_as_it_is,
            server_settings=settings,
        )
        await pool
        return cls(pool, dsn, settings, command_seconds)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection; each statement commits by itself. Raises StoreUnavailable."""
        try:
            async with self._pool.acquire(timeout=5.0) as connection:
                yield connection
        except _PASSING as fault:
            raise StoreUnavailable(type(fault).__name__) from None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside one transaction, committed on leaving. Raises StoreUnavailable."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def connect(self) -> Connection:
        """Open a connection outside the pool, with the same time limits: its session locks live as long as it does.

        The caller closes it, and wraps its use in `faults_told`. Raises StoreUnavailable.
        """
        with faults_told():
            connection = await asyncpg.connect(
                self._dsn, timeout=5.0, command_timeout=self._command_seconds, server_settings=dict(self._settings)
            )
            await _bounded(connection)
            return connection

    async def listen(self, channel: str, heard: Callable[[str], None]) -> Awaitable[None]:
        """Call `heard(payload)` for every NOTIFY on `channel`. Returns an awaitable that ends when the connection is lost.

        A notice only hastens: whoever listens also polls. Raises StoreUnavailable.
        """
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            connection = await asyncpg.connect(
                self._dsn, timeout=5.0, server_settings={"application_name": "unwaith-listen"}
            )
            await connection.add_listener(channel, lambda _c, _p, _ch, payload: heard(str(payload)))
        except _PASSING as fault:
            raise StoreUnavailable(type(fault).__name__) from None

        def ended(*_: object) -> None:
            if not lost.done():
                lost.set_result(None)

        connection.add_termination_listener(ended)

        async def until_lost() -> None:
            try:
                await lost
            finally:
                if not connection.is_closed():
                    connection.terminate()

        return until_lost()

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._pool.close(), 5.0)
        except TimeoutError:
            self._pool.terminate()

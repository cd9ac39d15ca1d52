"""The rooms every role shares, opened from settings."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import structlog

from broker.eventlog import EventLog
from broker.eventlog.cluster import Cluster
from broker.eventlog.kafka import KafkaLog
from broker.eventlog.postgres import PostgresLog
from broker.language import check_kinds
from broker.register import Directory
from broker.settings import Settings, SettingsRefused
from broker.store import Database, StoreUnavailable, register
from broker.telemetry.health import Check
from broker.telemetry.metrics import Metrics, new_metrics
from broker.vault import RootKey, Vault

T = TypeVar("T")

log = structlog.get_logger()


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What every role shares."""

    settings: Settings
    database: Database
    vault: Vault
    directory: Directory
    eventlog: EventLog
    metrics: Metrics

    def checks(self, *, with_log: bool) -> dict[str, Check]:
        """Return what must be there to be of use. The API needs the store alone: it accepts while the log is away."""

        async def store() -> bool:
            await register.version(self.database)
            return True

        return {"store": store, "log": self.eventlog.ready} if with_log else {"store": store}


@asynccontextmanager
async def open_rooms(
    settings: Settings, dsn: str, root: RootKey, metrics: Metrics | None = None
) -> AsyncIterator[Rooms]:
    """Open what every role shares, waiting for the store if it is not there yet.

    `metrics` may be what the logs of this process count into already. Raises SettingsRefused for an installed change
    type that is not whole.
    """
    try:
        check_kinds()
    except ValueError as wrong:
        raise SettingsRefused(f"{wrong}. Put it right, or uninstall its package.") from None
    metrics = metrics or new_metrics()
    database = await Database.open(dsn, size=16)
    eventlog = open_log(settings, database)
    try:
        vault = await when_there(lambda: Vault.open(database, root))
        directory = Directory(database)
        await when_there(directory.refresh)
        yield Rooms(
            settings=settings,
            database=database,
            vault=vault,
            directory=directory,
            eventlog=eventlog,
            metrics=metrics,
        )
    finally:
        await eventlog.close()
        await database.close()


async def when_there(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the store answers."""
    pause = 0.1
    while True:
        try:
            return await ask()
        except StoreUnavailable:
            log.warning("store.waiting", seconds=pause)
            await asyncio.sleep(pause)
            pause = min(5.0, pause * 2)


def open_log(settings: Settings, database: Database) -> EventLog:
    """Return the log the settings name."""
    if settings.log == "postgres":
        return PostgresLog(database)
    kafka = settings.kafka
    return KafkaLog(
        Cluster(
            bootstrap=kafka.bootstrap,
            security_protocol=kafka.security_protocol,
            mechanism=kafka.sasl_mechanism,
            username=kafka.username,
            password=kafka.password.get_secret_value() if kafka.password else None,
            ca_file=kafka.ca_file,
            client_certificate=kafka.cert_file,
            client_key=kafka.key_file,
            replication_factor=kafka.replication_factor,
            min_insync=max(1, kafka.replication_factor - 1),
        ),
        session_seconds=kafka.session_seconds,
    )

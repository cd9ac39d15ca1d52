"""A whole exchange as it runs in production: every role a process of its own, a PostgreSQL and a log of its own.

Only the policies are shorter than real ones, so that what was cut off is tried again soon.
"""

import asyncio
import itertools
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Container, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeVar
from urllib.parse import parse_qs, urlsplit

import aiohttp
import asyncpg

from broker.main.embedded import HOST, Addresses, organisations_at
from broker.main.samples import register_parties, sample_places
from broker.sandbox.definitions import ORGANISATION_IDS
from broker.sandbox.state import SandboxState
from broker.store import Database, changes, register
from broker.store.embedded import EmbeddedPostgres
from broker.store.migrate import migrate
from broker.vault import RootKeyFile, Vault
from contracts.organisation import BreakerPolicy, DeliveryPolicy
from deploy.kafka.kafka import Broker
from tests.faults.processes import PATIENCE, Process
from tests.faults.told import Told

T = TypeVar("T")
LogKind = Literal["postgres", "kafka"]

LEASE_SECONDS: Final = 2.0
SESSION_SECONDS: Final = 2.0
SHORT: Final = DeliveryPolicy(
    first_delay_seconds=0.05,
    longest_delay_seconds=0.2,
    deadline_seconds=1.0,
    unknown_limit=100,
    concurrency=16,
    retry_share=0.9,
    breaker=BreakerPolicy(first_probe_seconds=0.2, longest_probe_seconds=0.5, ramp_seconds=0.5),
)
"""`unknown_limit` is out of reach: an organisation that is killed again and again must not end a delivery."""

AWAY: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asking PostgreSQL meets while it is being killed."""

OUTSIDERS: Final = "outsiders"
WORKERS: Final = ("relay-1", "relay-2", "deliver-1", "deliver-2", "track-1", "track-2")
EVERYBODY: Final = ("api", *WORKERS)
APIS: Final = ("api", "api-2")


class Exchange:
    """Servers that run, and processes that may be started. Not tied to an event loop."""

    def __init__(self, log: LogKind, folder: Path) -> None:
        self.log: LogKind = log
        self.folder = folder
        self.postgres = EmbeddedPostgres(folder / "postgres")
        self.broker = Broker(folder / "kafka", port=free_port()) if log == "kafka" else None
        self.state = SandboxState.open(folder / "outsiders")
        ports = [free_port() for _ in range(2 + len(ORGANISATION_IDS))]
        self.addresses = Addresses(
            ports[0], ports[1], dict(zip(ORGANISATION_IDS, ports[2:], strict=True)), metrics=0, staff_provider=0
        )
        self.processes: dict[str, Process] = {}
        self.ports: dict[str, int] = {"api": self.addresses.api}
        """Where each API listens."""
        self.told: list[Told] = []
        """Everything that was ever accepted here."""
        # Linux ends a server with the thread that started it, so one thread keeps both for as long as they are needed.
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="servers")

    @classmethod
    @contextmanager
    def on(cls, log: LogKind, folder: Path) -> "Iterator[Exchange]":
        """Run the servers and the outsiders; no role yet. Raises PartMissing where Kafka cannot run."""
        folder.chmod(0o755)  # PostgreSQL may run as another account
        exchange = cls(log, folder)
        try:
            exchange._keeper.submit(exchange._begin).result()
            yield exchange
        finally:
            for process in exchange.processes.values():
                process.kill()
            exchange._keeper.submit(exchange._end).result()
            exchange._keeper.shutdown()

    # -- processes -----------------------------------------------------------------------------------------------

    def process(self, name: str, **more: str) -> Process:
        """Return the process of that name: a role and, for more than one, a number. `more` are settings of its own."""
        if name not in self.processes:
            self.processes[name] = self._outsiders() if name == OUTSIDERS else self._role(name, more)
        return self.processes[name]

    async def start(self, *names: str, failpoints: Mapping[str, str] | None = None) -> None:
        """Start processes that do not run, and wait until each answers or has died where it was armed to."""
        begun = [self.process(name) for name in dict.fromkeys(names) if not self.process(name).running]
        for process in begun:
            process.start((failpoints or {}).get(process.name, ""))
        await asyncio.gather(*(process.until_alive() for process in begun))

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[None]:
        """Start the outsiders and these; at the end all are gone."""
        try:
            await self.start(OUTSIDERS, *names)
            yield
        finally:
            for process in self.processes.values():
                process.kill()

    def alarms(self, expected: Container[str] = ()) -> list[str]:
        """Return whatever any role called an error, but for `expected` events, and tracebacks that reached nobody."""
        found = []
        for name, process in self.processes.items():
            for line in process.said():
                if line.get("event") == "library.logged":
                    continue  # aiokafka calls an error what our own code then handles
                if line.get("event") in expected:
                    continue
                if line.get("level") in {"error", "critical"} or "Traceback" in line.get("raw", ""):
                    found.append(f"{name}: {line}")
        return found

    def _role(self, name: str, more: Mapping[str, str]) -> Process:
        role = name.partition("-")[0]
        port, metrics = self.ports.setdefault(name, free_port()), free_port()
        settings = {
            "ENVIRONMENT": "test",
            "DATABASE_DSN": self.postgres.dsn,
            "LOG": self.log,
            "PUBLIC_URL": self.addresses.public_url,
            "CITIZEN__ISSUER": self.addresses.issuer,
            "CITIZEN__AUDIENCE": self.addresses.audience,
            "HOST": HOST,
            "PORT": str(port),
            "METRICS_PORT": str(metrics),
            "ROOT_KEY_FILE": str(self.folder / "root.key"),
            "TUNING__RELAY_LEASE_SECONDS": str(LEASE_SECONDS),
            "TUNING__DRAIN_SECONDS": "2",
        }
        if self.broker is not None:
            settings |= {
                "KAFKA__BOOTSTRAP": self.broker.bootstrap,
                "KAFKA__SECURITY_PROTOCOL": "PLAINTEXT",
                "KAFKA__REPLICATION_FACTOR": "1",
                "KAFKA__SESSION_SECONDS": str(SESSION_SECONDS),
            }
        environment = {f"UNWAITH_{key}": value for key, value in {**settings, **more}.items()}
        listening = port if role == "api" else metrics
        return Process(name, ["-m", "broker.cli", role], environment, self.folder, f"http://{HOST}:{listening}/livez")

    def _outsiders(self) -> Process:
        where = self.addresses
        ports = [where.api, where.provider, *(where.organisations[name] for name in ORGANISATION_IDS)]
        command = ["-m", "tests.faults.outsiders", str(self.state.directory), *map(str, ports)]
        return Process(OUTSIDERS, command, {}, self.folder, f"{where.organisation(ORGANISATION_IDS[-1])}/livez")

    # -- servers -------------------------------------------------------------------------------------------------

    async def kept(self, work: Callable[[], T]) -> T:
        """Do something with a server on the thread that keeps it."""
        return await asyncio.get_running_loop().run_in_executor(self._keeper, work)

    async def start_postgres(self) -> None:
        await self.kept(self.postgres.start)

    async def kill_postgres(self) -> None:
        await self.kept(self.postgres.kill)

    async def start_broker(self) -> None:
        if self.broker is not None:
            await self.kept(self.broker.start)

    async def kill_broker(self) -> None:
        if self.broker is not None:
            await self.kept(self.broker.kill)

    @property
    def postgres_socket(self) -> Path:
        """PostgreSQL's socket, for what stands in between."""
        [found] = parse_qs(urlsplit(self.postgres.dsn).query)["host"]
        return Path(found) / ".s.PGSQL.5432"

    def _begin(self) -> None:
        self.postgres.start()
        if self.broker is not None:
            self.broker.start()
        asyncio.run(self._register())

    def _end(self) -> None:
        self.postgres.stop()
        if self.broker is not None:
            self.broker.stop()

    async def _register(self) -> None:
        """Put the sandbox's organisations into the store, as `unwaith run` does, with the short policy."""
        await migrate(self.postgres.dsn)
        async with self.database() as database:
            vault = await Vault.open(database, RootKeyFile.open(self.folder / "root.key"))
            hasty = [one.model_copy(update={"policy": SHORT}) for one in organisations_at(self.addresses)]
            await register_parties(database, vault, self.state, hasty)
            await register.put_places(database, sample_places())

    # -- looking -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        opened = await Database.open(self.postgres.dsn, size=4)
        try:
            yield opened
        finally:
            await opened.close()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        """Give a plain connection to the database, past the exchange's own pool."""
        connection = await self._connected()
        try:
            yield connection
        finally:
            await connection.close()

    async def _connected(self) -> Any:
        """Connect, waiting out a recovery: a server that answered may yet be about to end by what it was done to."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                return await asyncpg.connect(self.postgres.dsn, server_settings={"search_path": "unwaith,public"})
            except asyncpg.CannotConnectNowError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def value(self, query: str, *arguments: Any) -> Any:
        async with self.session() as connection:
            return await connection.fetchval(query, *arguments)

    async def open_deliveries(self) -> int:
        """Return how many deliveries have been accepted and have not ended."""
        return int(await self.value("SELECT count(*) FROM delivery WHERE status IN ('waiting', 'queued', 'published')"))

    async def until_settled(self, seconds: float = PATIENCE) -> None:
        """Wait until every delivery has left its lane."""
        await self.until(self._nothing_open, "every delivery has ended", seconds)

    async def _nothing_open(self) -> bool:
        return await self.open_deliveries() == 0

    async def until(self, holds: Callable[[], Coroutine[Any, Any, bool]], what: str, seconds: float = PATIENCE) -> None:
        """Ask until it holds; PostgreSQL being away is waited out. Fails saying what did not come to be."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        for attempt in itertools.count():
            try:
                if await holds():
                    return
            except AWAY:
                pass
            for process in self.processes.values():
                process.killed()  # raises for one that ended by itself
            if loop.time() > deadline:
                raise AssertionError(f"it never came to be that {what} ({attempt} looks)\n" + await self.standing())
            await asyncio.sleep(0.05)

    async def standing(self) -> str:
        """Return, for whoever reads a failure, what is still open and what the roles called an error."""
        async with self.database() as database:
            books = await changes.books(database)
        return "\n".join([str(books), *self.alarms()[-20:]])

    async def tell_outsiders(self, **behaviour: Any) -> None:
        """Have every organisation behave so from now on, until it is told otherwise or restarted."""
        async with aiohttp.ClientSession() as session:
            for name in ORGANISATION_IDS:
                url = f"{self.addresses.organisation(name)}/sandbox/behaviour"
                async with session.post(url, json=behaviour) as answer:
                    assert answer.status == 200, await answer.text()


def free_port() -> int:
    """Return a port that stays free while its process is dead.

    Below what systems give to outgoing connections: else a client that tries again and again to reach a dead process
    is given its port some day, and even connects to itself.
    """
    for port in _PORTS:
        try:
            with socket.create_server((HOST, port)):
                return port
        except OSError:
            continue
    raise RuntimeError("no port is free")


_PART: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
_PORTS: Final = iter(random.sample(range(12_000 + 5_000 * _PART, 17_000 + 5_000 * _PART), 5_000))
"""Another part of the range for each of pytest's workers, in another order each time."""

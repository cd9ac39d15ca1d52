"""The exchange under load: PostgreSQL with its full durability, Kafka if wanted, and every role as its own process."""

import asyncio
import math
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self

import aiohttp
import asyncpg
import orjson

from broker.main.roles import secret_name
from broker.main.samples import register_parties
from broker.sandbox import webhooks
from broker.sandbox.definitions import ORGANISATION_IDS, sample_organisations
from broker.sandbox.state import SandboxState
from broker.store import Database, register
from broker.store.migrate import migrate
from broker.vault import RootKeyFile, Vault
from contracts.agreement import Agreement
from contracts.organisation import Organisation
from tests.support.ports import free_row

LogKind = Literal["postgres", "kafka"]
Role = Literal["api", "relay", "deliver", "track"]
ROLES: Final[tuple[Role, ...]] = ("api", "relay", "deliver", "track")
AUDIENCE: Final = "http://localhost/v1"
CARDIFF, SWANSEA = 6815, 6855
HOMES: Final = 2_000
READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0


class DidNotRun(Exception):  # noqa: N818  says what holds
    """A part of the run ended or did not become ready."""


class Orderly:
    """A process that takes one JSON order a line and answers with one line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, *arguments: str) -> Self:
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=2**28,
            )
        )

    async def do(self, what: str, **order: Any) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise DidNotRun("no pipes")
        self._process.stdin.write(orjson.dumps({"do": what, **order}) + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise DidNotRun(f"a generator ended while asked to {what}")
        return orjson.loads(line)

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()


@dataclass
class Receiver:
    """The organisations' side; see `tests.load.receiver`."""

    process: asyncio.subprocess.Process
    url: str
    door: str
    """Where it can turn everybody away."""
    session: aiohttp.ClientSession

    @classmethod
    async def start(cls, keys: Path) -> "Receiver":
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.load.receiver", str(keys), stdout=asyncio.subprocess.PIPE
        )
        if process.stdout is None:
            raise DidNotRun("no pipe")
        port, door = map(int, (await process.stdout.readline()).split())
        session = aiohttp.ClientSession(trust_env=False)
        return cls(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{door}", session)

    async def behave(self, *, hangs: Sequence[str] = (), drips: Sequence[str] = (), shut: bool = False) -> None:
        """Have these organisations misbehave, and whoever is reached at the door; all others are well."""
        told = {"hangs": hangs, "drips": drips, "shut": shut}
        async with self.session.post(f"{self.url}/behave", json=told) as answer:
            await answer.read()

    async def taken(self) -> list[tuple[str, str, float]]:
        """Return (path, delivery id, seconds since the epoch) of all that arrived since it was last asked."""
        async with self.session.get(f"{self.url}/taken") as answer:
            return [(path, key, at) for path, key, at in orjson.loads(await answer.read())]

    async def count(self) -> int:
        async with self.session.get(f"{self.url}/count") as answer:
            return int(await answer.read())

    async def stop(self) -> None:
        await self.session.close()
        self.process.terminate()
        await self.process.wait()


@dataclass
class Exchange:
    """A registered exchange whose roles start and stop as a run needs them."""

    dsn: str
    folder: Path
    environment: dict[str, str]
    ports: dict[str, int]
    connection: Any
    """asyncpg, for the run's own questions."""
    _running: dict[Role, list[asyncio.subprocess.Process]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['http']}"

    async def start(self, *roles: Role, sampled: bool = False) -> dict[str, float]:
        """Start roles at once and return how long each took until it said it was ready, in seconds."""
        doors = {role: [self.ports["http" if role == "api" else role]] for role in roles}
        ready = await asyncio.gather(
            *(self._start(role, doors[role], self.ports[role], sampled=sampled) for role in roles)
        )
        return dict(zip(roles, ready, strict=True))

    async def start_several(self, count: int) -> None:
        """Start the API as `count` processes on its port, and wait until each of them is ready."""
        row = free_row(count)
        await self._start("api", row, row[0], "--processes", str(count))

    async def start_workers(self, count: int) -> None:
        """Start `count` delivery processes, and wait until each of them is ready."""
        await asyncio.gather(*(self._start("deliver", [port], port) for port in free_row(count)))

    async def _start(
        self, role: Role, doors: Sequence[int], metrics_port: int, *options: str, sampled: bool = False
    ) -> float:
        """Start a role and return the seconds until every door said it was ready."""
        began = time.perf_counter()
        command = ["tests.load.sampled", str(self.sampled(role))] if sampled else ["broker.cli"]
        log = (self.folder / f"{role}.log").open("ab")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *command,
            role,
            *options,
            stdout=log,
            stderr=log,
            env={**os.environ, **self.environment, "UNWAITH_METRICS_PORT": str(metrics_port)},
        )
        log.close()
        self._running.setdefault(role, []).append(process)
        closed = list(doors)
        async with aiohttp.ClientSession(trust_env=False) as session:
            while time.perf_counter() - began < READY_SECONDS:
                if process.returncode is not None:
                    raise DidNotRun(f"{role} ended: {self._tail(role)}")
                try:
                    async with session.get(f"http://127.0.0.1:{closed[0]}/readyz") as answer:
                        if answer.status == 200:
                            closed.pop(0)
                except aiohttp.ClientError:
                    pass
                if not closed:
                    return time.perf_counter() - began
                await asyncio.sleep(0.01)
        raise DidNotRun(f"{role} was not ready in {READY_SECONDS:.0f} s: {self._tail(role)}")

    async def stop(self, *roles: Role) -> None:
        """Stop roles in order; with none named, all that run."""
        for role in roles or tuple(self._running):
            await asyncio.gather(*(_ended(process) for process in self._running.pop(role, ())))

    def mark(self, *roles: Role) -> None:
        """Tell sampled roles to forget what they sampled so far."""
        for role in roles:
            for process in self._running[role]:
                process.send_signal(signal.SIGUSR1)

    def sampled(self, role: Role) -> Path:
        """Where a sampled role writes its result when it ends."""
        return self.folder / f"{role}.samples.json"

    def processor_seconds(self, role: Role) -> float:
        """Return the processor time a running role has used, in all its processes; NaN where the system does not tell."""
        try:
            return sum(_processor_seconds(process.pid) for process in self._running[role])
        except OSError:
            return math.nan

    def memory(self) -> dict[str, tuple[float, float]]:
        """Return resident memory of each running role, now and at its peak, in MB (10^6 bytes); its largest process."""
        return {role: max(resident(one.pid) for one in processes) for role, processes in self._running.items()}

    async def pause(self, *organisations: str) -> None:
        """Pause exactly these organisations."""
        await self.connection.execute(
            "UPDATE organisation SET paused_at = CASE WHEN id = ANY($1) THEN now() END,"
            " paused_reason = CASE WHEN id = ANY($1) THEN 'load' END",
            list(organisations),
        )
        await self.connection.execute("SELECT pg_notify('unwaith_due', '')")
        await asyncio.sleep(1.2)  # a poll of the configuration

    async def owed(self, *organisations: str) -> int:
        """Return how many lanes are owed something or wait for an answer."""
        found: int = await self.connection.fetchval(
            "SELECT count(*) FROM lane WHERE due IS NOT NULL AND ($1::text[] = '{}' OR organisation = ANY($1))",
            list(organisations),
        )
        return found

    async def settled(self, *organisations: str, seconds: float = 300.0) -> None:
        """Wait until nothing is owed to these organisations (all, with none named)."""
        end = time.monotonic() + seconds
        while await self.owed(*organisations):
            if time.monotonic() > end:
                raise DidNotRun("what was owed was not delivered in time")
            await asyncio.sleep(0.1)

    def _tail(self, role: Role) -> str:
        return "\n".join((self.folder / f"{role}.log").read_text(errors="replace").splitlines()[-10:])


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _processor_seconds(pid: int) -> float:
    """Raises OSError where the system does not tell."""
    found = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(found[11]) + int(found[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> tuple[float, float]:
    """Return a process's resident memory now and at its peak, in MB; zeros where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    found = {line.partition(":")[0]: line.split() for line in lines if line.startswith(("VmRSS:", "VmHWM:"))}
    return int(found["VmRSS"][1]) * 1024 / 1e6, int(found["VmHWM"][1]) * 1024 / 1e6


@asynccontextmanager
async def an_exchange(
    dsn: str,
    folder: Path,
    receiver: Receiver,
    bootstrap: str | None,
    organisations: Sequence[tuple[Organisation, Agreement]] = (),
) -> AsyncIterator[Exchange]:
    """Migrate and register an exchange on an empty database, or take one that is registered; stop its roles at the end.

    `bootstrap` names a Kafka; without one the log is PostgreSQL's. Without `organisations` the samples take part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    await migrate(dsn)
    await _register(dsn, folder, receiver.url, organisations)
    issuer = f"{receiver.url}/"
    ports = dict(zip(("http", *ROLES), free_row(1 + len(ROLES)), strict=True))
    environment = {
        "UNWAITH_ENVIRONMENT": "sandbox",
        "UNWAITH_DATABASE_DSN": dsn,
        "UNWAITH_ROOT_KEY_FILE": str(folder.parent / "root.key"),
        "UNWAITH_PUBLIC_URL": f"http://localhost:{ports['http']}",
        "UNWAITH_PORT": str(ports["http"]),
        "UNWAITH_CITIZEN__ISSUER": issuer,
        "UNWAITH_CITIZEN__AUDIENCE": AUDIENCE,
        "UNWAITH_CITIZEN__JWKS_URI": f"{issuer}keys",
        "UNWAITH_LOG": "kafka" if bootstrap else "postgres",
        "UNWAITH_HOLDING__MOST_A_DAY": "1000",  # counted as in production, and never so many
    }
    if bootstrap:
        environment |= {
            "UNWAITH_KAFKA__BOOTSTRAP": bootstrap,
            "UNWAITH_KAFKA__SECURITY_PROTOCOL": "PLAINTEXT",
            "UNWAITH_KAFKA__REPLICATION_FACTOR": "1",
        }
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "unwaith,public", "timezone": "UTC"})
    exchange = Exchange(dsn, folder, environment, ports, connection)
    try:
        yield exchange
    finally:
        await exchange.stop()
        await connection.close()


async def _register(
    dsn: str, folder: Path, receiver: str, organisations: Sequence[tuple[Organisation, Agreement]]
) -> None:
    database = await Database.open(dsn, size=2)
    try:
        vault = await Vault.open(database, RootKeyFile.open(folder.parent / "root.key"))
        state = SandboxState.open(folder.parent / "state")
        for organisation, agreement in organisations:
            await register.put_organisation(database, organisation)
            await register.put_agreement(database, agreement)
            secret = webhooks.written(state.webhook_secret(organisation.id)).encode()
            await vault.entrust(secret_name(organisation.id, "signing"), secret)
        if not organisations:
            reached = [
                one.model_copy(update={"adapter_settings": {"endpoint": f"{receiver}/{one.id}"}})
                for one in sample_organisations(dict.fromkeys(ORGANISATION_IDS, receiver))
            ]
            await register_parties(database, vault, state, reached)
        await register.put_places(
            database,
            [
                register.Place(home["uprn"], "en", custodian, home["postalCode"], {"uprn": home["uprn"]}, invented=True)
                for custodian, homes in zip((CARDIFF, SWANSEA), places(), strict=True)
                for home in homes
            ],
        )
    finally:
        await database.close()


def places() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return invented homes in wire form: people move from one of Cardiff's to one of Swansea's, so three are told."""
    return tuple(  # type: ignore[return-value]  # it has two
        [
            {
                "uprn": first + number,
                "buildingNumber": str(1 + number % 90),
                "streetName": "Heol y Bŵa",
                "dependentAddressLocality": "Tresampl",
                "addressLocality": town,
                "postalCode": f"{area}99 9ZZ",
            }
            for number in range(HOMES)
        ]
        for first, town, area in ((900_100_000_000, "Caerdydd", "CF"), (900_200_000_000, "Abertawe", "SA"))
    )

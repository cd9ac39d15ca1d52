"""Run it: `python -m tests.load [--quick] [--full] [--log postgres|kafka|both] [--only PART...]`."""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from broker.sandbox.definitions import ORGANISATION_IDS
from broker.sandbox.state import SandboxState
from broker.store.embedded import EmbeddedPostgres
from broker.telemetry.logs import configure_logs
from deploy.kafka.jars import PartMissing
from deploy.kafka.kafka import Broker
from tests.load import finding, floors, gazetteer, history, machine, measures, pages, plans, report
from tests.load.batches import batches
from tests.load.exchange import AUDIENCE, ROLES, Exchange, Orderly, Receiver, Role, an_exchange, places
from tests.load.figures import Figure, percentile, steady_rate
from tests.load.neighbours import neighbours
from tests.load.organisations import Ground
from tests.load.pools import pools
from tests.load.routing import routing
from tests.load.tokens import token_checks
from tests.support.ports import free_port

HISTORY_CHANGES = 1_000_000
PEOPLE_BESIDE = 300
"""Who tell while neighbours are ill."""
LINE = "line"
PARTS = (LINE, "neighbours", "pools", "batches", "routing", "gazetteer", "tokens")
TOKENS = 2_000
"""Verified a second time each, in each round."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long and how many."""

    people: int
    accept: float
    flowing: float
    steady: float
    records: int
    pairs: int
    half: float
    rounds: int
    pool: int
    backlog: int
    batched: int
    imported: int
    addresses: int


QUICK = Lengths(
    people=2_000,
    accept=3.0,
    flowing=2.0,
    steady=4.0,
    records=6_000,
    pairs=2,
    half=2.0,
    rounds=1,
    pool=2_400,
    backlog=12_000,
    batched=4_000,
    imported=100_000,
    addresses=60_000,
)
WHOLE = Lengths(
    people=10_000,
    accept=15.0,
    flowing=10.0,
    steady=20.0,
    records=40_000,
    pairs=10,
    half=3.5,
    rounds=10,
    pool=12_000,
    backlog=100_800,
    batched=24_000,
    imported=1_000_000,
    addresses=1_500_000,
)


@dataclass
class Run:
    """Everything of one run that outlives an exchange."""

    home: Path
    lengths: Lengths
    postgres: EmbeddedPostgres
    broker: Broker | None
    receiver: Receiver
    citizens: Orderly
    figures: list[Figure] = field(default_factory=list)

    def add(self, figures: Sequence[Figure]) -> None:
        self.figures += figures
        for figure in figures:
            say(f"  {figure.name} {figure.value:,.1f} {figure.unit}")


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


async def main(given: argparse.Namespace) -> int:
    configure_logs(level="WARNING", style="console")
    kinds = ("postgres", "kafka") if given.log == "both" else (given.log,)
    lengths = QUICK if given.quick else WHOLE
    before = report.last()
    code = 0
    sections: dict[str, Any] = {}
    async with prepared(lengths, kafka="kafka" in kinds) as run:
        if LINE in given.only:
            code, sections = await the_line(run, kinds, given, before)
        await the_rest(run, kinds, given.only)
        if "gazetteer" in given.only:
            await the_gazetteer(run)
        if "tokens" in given.only:
            say("tokens:")
            run.add(await token_checks(TOKENS))
    sys.stdout.write(report.moved(run.figures, before) + "\n")
    if not given.quick:
        report.record(before, run.figures, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", **sections)
    return code


async def the_line(
    run: Run, kinds: Sequence[str], given: argparse.Namespace, before: report.Recorded
) -> tuple[int, dict[str, Any]]:
    """Take the figures of three organisations and of the pages; return an exit code, and what else is recorded."""
    lengths = run.lengths
    described = await on(run.postgres.dsn, lambda c: machine.described(c, kafka=run.broker is not None))
    await on(run.postgres.dsn, lambda c: c.execute("CREATE DATABASE floor"))
    await on(run.postgres.dsn_of("floor"), lambda c: c.execute(floors.TABLES))
    for kind in kinds:
        await measure(run, kind, kind)
    run.add(await pages.measured(run.postgres.dsn, run.home, run.receiver, seconds=lengths.steady))
    await convey_floor(run)
    profiles = {} if given.quick else await profiled(run, kinds[0])
    found_plans, stored, code = {}, "", 0
    if given.full:
        stored = await on(run.postgres.dsn, fill)
        for kind in kinds:
            await measure(run, kind, f"{kind}.full")
        run.add(
            await pages.measured(run.postgres.dsn, run.home, run.receiver, seconds=lengths.steady, name="pages.full")
        )
    try:
        found_plans = await on(run.postgres.dsn, plans.plans)
    except Exception as fault:  # noqa: BLE001  the figures of many minutes are not lost for it
        say(f"The plans could not be taken ({type(fault).__name__}: {fault}): see tests/load/plans.py.")
        code = 1
    sections: dict[str, Any] = {"machine": described, "profiles": profiles}
    if given.full or "plans" not in before:
        sections |= {"plans": found_plans, "stored": stored}
    return code, sections


async def the_rest(run: Run, kinds: Sequence[str], parts: Sequence[str]) -> None:
    """Take the figures of many organisations, each part on databases of its own."""
    for kind in kinds[-1:]:  # one log will do: what is compared is compared on the same
        bootstrap = run.broker.bootstrap if kind == "kafka" and run.broker is not None else None
        ground = Ground(kind, run.home, run.postgres, bootstrap, run.receiver, run.citizens)
        lengths = run.lengths
        if "neighbours" in parts:
            say("neighbours:")
            run.add(await neighbours(ground, pairs=lengths.pairs, seconds=lengths.half, people=PEOPLE_BESIDE))
        if "pools" in parts:
            say("pools:")
            run.add(await pools(ground, rounds=lengths.rounds, deliveries=lengths.pool, backlog=lengths.backlog))
        if "batches" in parts:
            say("batches:")
            run.add(await batches(ground, deliveries=lengths.batched))
    if "routing" in parts:
        say("routing:")
        run.add(routing())


async def the_gazetteer(run: Run) -> None:
    """Take the figures of the gazetteer, on a database of its own."""
    say("gazetteer:")
    await on(run.postgres.dsn, lambda c: c.execute("CREATE DATABASE gazetteer"))
    run.add(await gazetteer.imports(run.postgres, run.home, run.lengths.imported))
    dsn = run.postgres.dsn_of("gazetteer")
    await finding.fill(dsn, run.lengths.addresses)
    run.add(await finding.measured(dsn, run.lengths.addresses))


@asynccontextmanager
async def prepared(lengths: Lengths, *, kafka: bool) -> AsyncIterator[Run]:
    """Start what every exchange shares."""
    home = Path(tempfile.mkdtemp(prefix="unwaith-load-"))
    home.chmod(0o755)  # PostgreSQL runs under another account when we are root
    postgres = EmbeddedPostgres(home / "postgres", settings={"track_commit_timestamp": "on"})
    broker = Broker(home / "kafka") if kafka else None
    state = SandboxState.open(home / "state")
    keys = home / "keys.json"
    keys.write_bytes(orjson.dumps({"keys": [state.signing_key.as_dict(private=False)]}))
    try:
        postgres.start()
        if broker is not None:
            broker.start()
        receiver = await Receiver.start(keys)
        citizens = await Orderly.start("tests.load.citizens")
        try:
            yield Run(home, lengths, postgres, broker, receiver, citizens)
        finally:
            await citizens.stop()
            await receiver.stop()
    finally:
        if broker is not None:
            broker.stop()
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


@asynccontextmanager
async def exchange(run: Run, kind: str, name: str) -> AsyncIterator[measures.Bench]:
    bootstrap = run.broker.bootstrap if kind == "kafka" and run.broker is not None else None
    async with an_exchange(run.postgres.dsn, run.home / name, run.receiver, bootstrap) as opened:
        yield measures.Bench(name, opened, run.citizens, run.receiver)


async def on(dsn: str, work: Any) -> Any:
    """Do some work on a connection of one's own."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "unwaith,public", "jit": "off"})
    try:
        return await work(connection)
    finally:
        await connection.close()


async def with_people(run: Run) -> None:
    """Sign everybody in."""
    old, new = places()
    await run.citizens.do(
        "mint",
        state=str(run.home / "state"),
        issuer=f"{run.receiver.url}/",
        audience=AUDIENCE,
        people=run.lengths.people,
        old=old,
        new=new,
    )


async def measure(run: Run, kind: str, name: str) -> None:
    """Take every figure of one exchange."""
    say(f"{name}:")
    await with_people(run)
    async with exchange(run, kind, name) as bench:
        opened = bench.exchange
        run.add(measures.readiness(bench.figure, await opened.start("api")))
        await previews(run, opened)
        run.add(await measures.accepting(bench, run.lengths.accept))
        await accept_floor(run, bench.figure("accept.floor"))
        run.add([measures.share(bench.figure("accept"), run.figures)])
        await opened.stop("api")
        await opened.start_several(measures.SEVERAL)
        await previews(run, opened)
        run.add([Figure(bench.figure("accept.several.processes"), measures.SEVERAL, "processes", "higher")])
        run.add(await measures.accepting(bench, run.lengths.accept, "accept.several"))
        await opened.stop("api")
        await opened.start("api")
        await opened.pause(*ORGANISATION_IDS)
        run.add(measures.readiness(bench.figure, await opened.start("relay", "deliver", "track")))
        run.add(await measures.draining(bench))
        run.add(await measures.following(bench, run.lengths.steady))
        run.add(await measures.accepting(bench, run.lengths.flowing, "accept.flowing"))
        await opened.settled()
        run.add(measures.memory(bench))


async def previews(run: Run, opened: Exchange) -> None:
    await run.citizens.do("preview", url=opened.url, connections=measures.CONNECTIONS)


async def accept_floor(run: Run, name: str) -> None:
    """Measure the bare way in, on the same PostgreSQL, from the same generator with the same bodies, a moment later."""
    dsn = run.postgres.dsn_of("floor")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.load.floors", "accept", dsn, str(port), cwd=Path.cwd()
    )
    try:
        await reachable(port)
        url = f"http://127.0.0.1:{port}"
        await run.citizens.do("post", url=url, connections=measures.CONNECTIONS, seconds=1.0)
        told = await run.citizens.do("post", url=url, connections=measures.CONNECTIONS, seconds=run.lengths.accept / 2)
        run.add(measures.accepted(name, told["answered"]))
    finally:
        process.terminate()
        await process.wait()


async def convey_floor(run: Run) -> None:
    """Measure the bare conveyor on the same Kafka, to the same receiver."""
    if run.broker is None:
        return
    say("floor:")
    url = f"{run.receiver.url}/floor"
    conveyor = await Orderly.start("tests.load.floors", "convey", run.broker.bootstrap, url)
    try:
        await conveyor.do("fill", records=1_000)
        await conveyor.do("drain")
        await conveyor.do("fill", records=run.lengths.records)
        await run.receiver.taken()
        await conveyor.do("drain")
        rate = steady_rate([at for _, _, at in await run.receiver.taken()])
        sent = (await conveyor.do("steady", seconds=run.lengths.steady / 2, rate=measures.RATE))["sent"]
        took = [(at - sent[key]) * 1000 for _, key, at in await run.receiver.taken()]
        run.add(
            [
                Figure("floor.convey.rate", rate, "/s", "higher"),
                Figure("floor.convey.arrival.p50", percentile(took, 0.5), "ms", "lower"),
                Figure("floor.convey.arrival.p99", percentile(took, 0.99), "ms", "lower"),
            ]
        )
    finally:
        await conveyor.stop()


async def reachable(port: int) -> None:
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
    raise TimeoutError


async def profiled(run: Run, kind: str) -> dict[str, Any]:
    """Return where each role's processor time goes: the API while accepting alone, the others while draining."""
    say("profile:")
    found: dict[str, Any] = {}
    async with exchange(run, kind, "profile") as bench:
        opened = bench.exchange
        await opened.start("api", sampled=True)
        await previews(run, opened)
        opened.mark("api")
        began = opened.processor_seconds("api")
        told = await run.citizens.do(
            "tell", url=opened.url, connections=measures.CONNECTIONS, seconds=run.lengths.flowing
        )
        count = len(told["answered"])
        found["api"] = ("accepted change", (opened.processor_seconds("api") - began) / count)
        await opened.stop("api")
        await opened.pause(*ORGANISATION_IDS)
        workers: tuple[Role, ...] = ("relay", "deliver", "track")
        await opened.start(*workers, sampled=True)
        opened.mark(*workers)
        before = {role: opened.processor_seconds(role) for role in workers}
        await run.receiver.taken()
        await opened.pause()
        await opened.settled()
        delivered = len(await run.receiver.taken())
        for role in workers:
            found[role] = ("delivery", (opened.processor_seconds(role) - before[role]) / delivered)
        await opened.stop()
        return {role: profile(opened, role, *found[role]) for role in ROLES}


def profile(opened: Exchange, role: Role, unit: str, seconds: float) -> dict[str, Any]:
    samples = orjson.loads(opened.sampled(role).read_bytes())
    within = [
        (name, part) for name, part in samples["within"].items() if not name.startswith(("python", "tests/", "typer"))
    ]
    begun = [one for one in within if "cli/" not in one[0]]
    return {
        "unit": unit,
        "micros": seconds * 1e6,
        "within": begun[:16],
        "own": list(samples["own"].items())[:16],
    }


async def fill(connection: Any) -> str:
    say("filling the store")
    told, owed, seconds = await history.fill(connection, HISTORY_CHANGES)
    size = await connection.fetchval("SELECT pg_size_pretty(pg_database_size(current_database()))")
    stored = f"{told:,} changes and {owed:,} deliveries were stored before, {size} in all, written in {seconds:.0f} s."
    say(f"  {stored}")
    return stored


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.load", description="How fast is it here?")
    parser.add_argument("--quick", action="store_true", help="under two minutes, nothing is recorded")
    parser.add_argument("--full", action="store_true", help="also with a million changes stored before")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="some parts of it")
    parser.add_argument("--log", choices=("postgres", "kafka", "both"), default="both")
    began = time.monotonic()
    os.environ.pop("UNWAITH_LOG", None)
    try:
        code = asyncio.run(main(parser.parse_args()))
    except PartMissing as missing:
        say(f"Kafka cannot run here: {missing}\nWithout it: python -m tests.load --log postgres")
        code = 1
    say(f"{time.monotonic() - began:.0f} s")
    sys.exit(code)

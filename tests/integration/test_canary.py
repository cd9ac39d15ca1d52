"""A person's data on every way through, and then looked for everywhere: it stands where it is owed, and nowhere else."""

import asyncio
import base64
import contextlib
import io
import json
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
import structlog

from broker.eventlog import EventLog
from broker.eventlog.cluster import Cluster
from broker.eventlog.kafka import KafkaLog
from broker.eventlog.postgres import PostgresLog
from broker.store import Database, register
from broker.store.embedded import EmbeddedPostgres
from broker.telemetry.logs import configure_logs
from broker.telemetry.metrics import Metrics, new_metrics
from broker.tracking import holding
from broker.vault import RootKeyFile
from contracts.changes import CHANGE_TYPES
from contracts.delivery import Delivery, Rejected, Unavailable
from contracts.examples import asked
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason
from contracts.topics import RECEIPTS, deliveries_topic
from deploy.kafka.kafka import Broker
from tests.support import line as lines
from tests.support.api import HOST, JSON, Api, a_move_on_the_wire, an_api, broken, served
from tests.support.canary import Canary, forms
from tests.support.line import now
from tests.support.tokens import verified_claims


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged, as in production but at DEBUG; what it touches is put back."""
    root = logging.getLogger()
    named = {name: logging.getLogger(name).level for name in ("alembic", "aiokafka", "uvicorn")}
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook)
    config = structlog.get_config()
    out = io.StringIO()
    configure_logs(level="DEBUG", out=out)
    for name in (*named, "asyncio", "asyncpg"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.setLevel(logging.DEBUG)
    try:
        yield out
    finally:
        root.handlers[:], level, sys.excepthook, threading.excepthook, sys.unraisablehook = before
        root.setLevel(level)
        for name, number in (named | {"asyncio": 0, "asyncpg": 0}).items():
            logging.getLogger(name).setLevel(number)
        logging.captureWarnings(capture=False)
        structlog.configure(**config)


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    """One set of metrics for every stage of the line."""
    shared = new_metrics()
    monkeypatch.setattr(lines, "new_metrics", lambda: shared)
    return shared


@pytest.fixture(params=["postgres", "kafka"])
def kept(request: pytest.FixtureRequest, postgres: EmbeddedPostgres) -> list[Path]:
    """The folders in which anything is kept, the log's last."""
    folders = [postgres.log_file.parent]
    if request.param == "kafka":
        request.getfixturevalue("own_broker")
        folders.append(request.getfixturevalue("tmp_path") / "kafka")
    return folders


@pytest.fixture
async def api(
    request: pytest.FixtureRequest, kept: list[Path], metrics: Metrics, database: Database, tmp_path: Path
) -> AsyncIterator[Api]:
    eventlog: EventLog = PostgresLog(database)
    if len(kept) > 1:
        broker: Broker = request.getfixturevalue("own_broker")
        eventlog = KafkaLog(Cluster(bootstrap=broker.bootstrap, replication_factor=1, min_insync=1))
    try:
        async with an_api(database, eventlog, RootKeyFile.open(tmp_path / "root.key")) as opened:
            yield opened
    finally:
        await eventlog.close()


class Everything:
    """Stands for a part that breaks with a person's data in its hands."""

    def __init__(self, canary: Canary) -> None:
        self._canary = canary

    def __getattr__(self, name: str) -> Any:
        async def breaks(*given: Any, **named: Any) -> Any:
            held = f"{self._canary.given} {self._canary.family}, {self._canary.building}"
            try:
                raise KeyError(held)
            except KeyError as cause:
                raise RuntimeError(f"{name} failed for {held} at {self._canary.postal_code}") from cause

        return breaks


async def refusals(api: Api, canary: Canary) -> AsyncIterator[httpx2.Response]:
    """Ask for everything that is refused, each time with the person's data in it."""
    caller = api.citizen(verified_claims=verified_claims(**canary.claims()))
    move = canary.move(a_move_on_the_wire())
    change = json.dumps(move, ensure_ascii=False)
    preview = "/v1/changes/preview"
    yield await api.post("/v1/addresses/search", {"postalCode": canary.street, "language": canary.given}, caller)
    yield await api.post("/v1/addresses/search", {canary.postal_code: 1, "postalCode": canary.postal_code}, caller)
    for body in (
        change[:-1],
        change.replace("{", "[", 1),
        change.replace(canary.building, canary.building + "\\ud800"),
        change.replace(canary.building, canary.building + "\\u0000"),
        change.replace(f'"{canary.building}"', f'{{"{canary.building}": NaN}}'),
        change.replace(f'"{canary.building}"', f'{{"{canary.building}": 1, "{canary.building}": 2}}'),
        change.replace('"household"', f'"{canary.family}"'),
        change.replace('"address"', f'"{canary.given}"'),
        change.replace('"2026-06-01"', f'"{canary.street}"'),
        change.replace('"2021-05-05"', '"1921-05-05"'),
        change.replace('"2026-06-01"', '"2001-06-01"'),
        change.encode("utf-16"),
        change.encode("latin-1", "replace"),
        change + " " * 65_536,
    ):
        yield await api.post(preview, body, caller)
    yield await api.post(preview, change, caller | {"content-type": "text/plain"})
    yield await api.post(preview, change)  # which is fine, as another person
    yield await api.post(preview, change, {"authorization": f"Bearer {canary.number}"})
    yield await api.post(preview, change, api.citizen(verified_claims=None))
    bad = canary.claims()
    bad["name"][0]["nameParts"][0]["type"] = "Nickname"
    yield await api.post(preview, change, api.citizen(verified_claims=verified_claims(**bad)))
    told = move | {"preview": "e30"}
    yield await api.post("/v1/changes", told, caller)
    yield await api.post("/v1/changes", told | {"leaveOut": ["nobody"]}, caller | {"idempotency-key": "a"})
    yield await api.post("/v1/changes", told, caller | {"idempotency-key": f"{canary.number} "})
    yield await api.post("/v1/changes", told | {"preview": canary.number}, caller | {"idempotency-key": canary.number})
    async for answer in refusals_of_other_types(api, canary, caller):
        yield answer
    for path in (f"/v1/changes/{canary.given}", f"/{canary.street}", f"/v1/changes?cursor={canary.number}"):
        yield await api.client.get(path, headers=caller)
    yield await api.client.get(f"/v1/deliveries?subject={canary.given}", headers=api.organisation())
    late = {"id": canary.given, "deliveryId": canary.number, "outcome": canary.family, "reference": canary.street}
    yield await api.post("/v1/receipts", late, api.organisation())
    for form in (f"grant_type={canary.number}", f"{canary.number}=1&{canary.number}=2"):
        yield await api.client.post(
            "/oauth/token", content=form, headers={"content-type": "application/x-www-form-urlencoded"}
        )
    for part in ("intake", "gazetteer", "vault", "directory", "database", "eventlog"):
        async with broken(api, **{part: Everything(canary)}) as client:
            for method, path, content in (
                ("POST", "/v1/addresses/search", '{"postalCode": "SA1 1AA"}'),
                ("POST", preview, change),
                ("POST", "/v1/changes", json.dumps(told)),
                ("GET", "/v1/changes", ""),
            ):
                head = JSON | caller | {"idempotency-key": "b"}
                answer_ = await client.request(method, path, content=content, headers=head)
                if answer_.status_code >= 400:
                    yield answer_


async def refusals_of_other_types(api: Api, canary: Canary, caller: dict[str, str]) -> AsyncIterator[httpx2.Response]:
    preview = "/v1/changes/preview"
    for name, one in every_other_type(canary).items():
        body = json.dumps(one, ensure_ascii=False)
        yield await api.post(preview, body.replace('"homeAddress"', f'"{canary.family}"'), caller)
        yield await api.post(preview, body.replace('"GB"', f'"{canary.given}"'), caller)
        yield await api.post(preview, body.replace(f'"{name}"', f'"{name} {canary.given}"', 1), caller)
        for word in (canary.email, canary.entry):
            if word in body:
                yield await api.post(preview, body.replace(word, f"@{word} {canary.street}"), caller)
    for said in (
        {"registrationReference": canary.entry, "deathDate": canary.street},
        {"registrationReference": f"{canary.street}@", "deathDate": "2026-02-03"},
        {"registrationReference": canary.entry, "deathDate": "2026-02-03", canary.family: canary.given},
    ):
        yield await api.post("/v1/confirmations", said, api.organisation())


async def on_the_wire(api: Api, canary: Canary) -> list[bytes]:
    """Say it on a socket in ways no client library would; return what came back."""
    said = []
    async with served(api.app) as port:
        for raw in (
            f"GET /{canary.number}?{canary.number} HTTP/1.1\r\nHost: {canary.number}\r\n\r\n",
            f"{canary.given} / HTTP/1.1\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: a\r\n{canary.family}: {canary.street}\r\n\r\n",
            f"POST /v1/changes HTTP/1.1\r\nHost: a\r\nContent-Length: {canary.number}\r\n\r\n{canary.building}",
            f"GET /{canary.street} HTTP/1.1\r\nHost: a\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(raw.encode())
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                said.append(await asyncio.wait_for(reader.read(), 10))
            writer.close()
    return said


async def test_a_persons_data_appears_nowhere_it_should_not(
    api: Api,
    kept: list[Path],
    logged: io.StringIO,
    metrics: Metrics,
    dsn: str,
    postgres: EmbeddedPostgres,
    capfd: pytest.CaptureFixture[str],
) -> None:
    canary = Canary()
    await is_told_and_delivered(api, canary)
    await every_other_type_is_told(api, canary)
    await is_refused_and_breaks(api, canary)

    assert logged.getvalue().count("request.failed") >= 5, "the faults were logged"
    assert canary.found_in(logged.getvalue()) == []
    assert b'outcome="applied"' in metrics.rendered()
    for each in (metrics, api.parts.metrics):
        assert canary.found_in(each.rendered()) == []
    out, err = capfd.readouterr()
    assert canary.found_in(out + err) == []

    await checkpoint(postgres)
    for folder in kept:
        assert canary.found_below(folder) == []
    assert [name async for name, value in every_value(dsn) if canary.found_in(value)] == []
    records = [record async for record in every_record(api)]
    assert len(records) >= 6
    assert [record for record in records if canary.found_in(record)] == []

    await planted(dsn, canary.building)
    await checkpoint(postgres)
    assert canary.found_below(kept[0]), "and the search would have found it"


async def is_told_and_delivered(api: Api, canary: Canary) -> None:
    """Tell a change all the way: one organisation breaks and then applies it, another refuses it."""
    breaks, refuses, _ = sorted(api.line.directory.organisations())

    async def disturbed(delivery: Delivery, seen: int) -> Receipt:
        if seen == 1:
            raise Unavailable(Reason.SERVER_ERROR) from RuntimeError(f"cannot apply {delivery.data.decode()}")
        return delivery.answered(Outcome.APPLIED, now())

    async def refused(delivery: Delivery, _seen: int) -> Receipt:
        raise Rejected(Reason.INVALID_FOR_RECEIVER) from ValueError(delivery.data.decode())

    api.line.systems.behaviour |= {breaks: disturbed, refuses: refused}
    api.line.start()
    headers = api.citizen(verified_claims=verified_claims(**canary.claims()))
    told = await api.tell(canary.move(a_move_on_the_wire()), headers=headers)
    assert told.status_code == 202, told.text
    assert canary.found_in(told.text), "here it must appear"
    async with asyncio.timeout(60):
        while await statuses(api, told, headers) != {"applied", "rejected"}:
            await asyncio.sleep(0.05)
    assert all(canary.found_in(item.data) for item in api.line.systems.arrived), "and here"
    assert api.line.systems.of(breaks)[1:], "it was tried again"


def every_other_type(canary: Canary) -> dict[str, dict[str, Any]]:
    """Return a change of each type that is no move, which can be told today."""
    examples = {name: asked(name) for name in CHANGE_TYPES if name != "address"}
    for one in examples.values():
        one["change"]["homeAddress"] = {"uprn": lines.NEW_UPRN, "addressCountry": "GB"}
        if "effectiveDate" in one["change"]:
            one["change"]["effectiveDate"] = "2026-06-01"
    return canary.changes(examples)


async def every_other_type_is_told(api: Api, canary: Canary) -> None:
    """Tell each: what need not be confirmed is sent, and refused there; of what is held one is looked at, one cancelled."""
    line, council = api.line, f"swansea-council-{api.line.prefix}"
    for name in CHANGE_TYPES:
        if name != "address":
            item = lines.agreement(council, "anywhere", paths=("/person", "/change"), change_type=name)
            await register.put_agreement(line.database, item.model_copy(update={"id": f"{council}-{name}"}))
    await line.directory.refresh()
    headers = api.citizen(verified_claims=verified_claims(**canary.claims()))
    told = {name: await api.tell(one, headers=headers) for name, one in every_other_type(canary).items()}
    assert {answer.status_code for answer in told.values()} == {202}, [answer.text for answer in told.values()]
    await api.post(
        "/v1/confirmations", {"registrationReference": canary.entry, "deathDate": "2000-01-01"}, api.organisation()
    )
    await holding.weigh(line.database, now)
    await api.post(f"/v1/changes/{told['name'].json()['reference']}/cancellation", "", headers)
    async with asyncio.timeout(60):
        while {name for name, answer in told.items() if await statuses(api, answer, headers) == {"rejected"}} != {
            "contact",
            "language",
        }:
            await asyncio.sleep(0.05)
    kept = {name: await statuses(api, answer, headers) for name, answer in told.items()}
    assert (kept["name"], kept["bereavement"]) == ({"cancelled"}, {"waiting"})


async def is_refused_and_breaks(api: Api, canary: Canary) -> None:
    refused = 0
    async for answer in refusals(api, canary):
        if answer.status_code == 409:
            continue  # whoever tells is shown anew what would be told
        if answer.status_code >= 400:
            refused += 1
            assert answer.headers["content-type"] in {"application/problem+json", "application/json"}
            assert canary.found_in(answer.content) == [], answer.status_code
            assert canary.found_in(str(answer.headers)) == []
    assert refused > 30
    for said in await on_the_wire(api, canary):
        assert canary.found_in(said) == []


async def statuses(api: Api, told: httpx2.Response, headers: dict[str, str]) -> set[str]:
    answer = await api.client.get(told.headers["location"], headers=headers)
    return {item["status"] for item in answer.json()["deliveries"]}


async def checkpoint(postgres: EmbeddedPostgres) -> None:
    """Have everything written to files, the write-ahead log included."""
    connection = await asyncpg.connect(postgres.dsn)
    try:
        await connection.execute("CHECKPOINT")
        await connection.execute("SELECT pg_switch_wal()")
    finally:
        await connection.close()


async def planted(dsn: str, word: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE TABLE planted (word text)")
        await connection.execute("INSERT INTO planted VALUES ($1)", word)
    finally:
        await connection.close()


async def every_value(dsn: str) -> AsyncIterator[tuple[str, bytes]]:
    """Yield every value of every row, with its table: what PostgreSQL compresses is not found in its files."""
    connection = await asyncpg.connect(dsn)
    try:
        for table in await connection.fetch(
            "SELECT schemaname s, tablename t FROM pg_tables WHERE schemaname !~ '^pg_'"
        ):
            name = f'"{table["s"]}"."{table["t"]}"'
            for row in await connection.fetch(f"SELECT * FROM {name}"):
                for value in row.values():
                    yield name, value if isinstance(value, bytes) else str(value).encode()
    finally:
        await connection.close()


async def every_record(api: Api) -> AsyncIterator[bytes]:
    """Yield key, headers and value of every record in the log."""
    topics = [RECEIPTS.name, *(deliveries_topic(name) for name in api.line.directory.organisations())]
    async with api.line.eventlog.consumer(topics, f"search-{api.line.prefix}") as consumer:
        quiet = 0
        while quiet < 4:
            found = await consumer.fetch(500, timedelta(milliseconds=500))
            quiet = 0 if found else quiet + 1
            for record in found:
                yield record.key + b"\n" + record.value + b"\n" + repr(record.headers).encode()


def test_the_search_knows_every_form() -> None:
    canary = Canary()
    for word in canary.words():
        for form in forms(word):
            assert canary.found_in(b"before" + form + b"after")
    text = json.dumps({"a": f"xx{canary.given}y"})
    for start in range(4):
        assert canary.found_in(base64.b64encode(b"z" * start + text.encode()))
        assert canary.found_in(base64.urlsafe_b64encode(b"z" * start + canary.building.encode() + b"!"))
    assert not canary.found_in("Gwenhwyfar, Tŷ Canŵ")

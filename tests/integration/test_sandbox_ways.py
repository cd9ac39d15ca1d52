"""The sample organisations' systems by SFTP, HL7 v2 and FHIR, reached by the adapters that reach real ones."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import asyncssh
import httpx
import pytest

from adapters.conformance import attempt
from adapters.sftp_answers import SftpAnswers
from broker.main.listening import Listener
from broker.main.roles import _adapters, _contexts, secret_name
from broker.main.rooms import Rooms
from broker.main.samples import _secrets
from broker.main.serving import serve
from broker.outbound.client import tls_context
from broker.outbound.connections import GuardedConnections
from broker.sandbox import definitions
from broker.sandbox.apps import EXCHANGE, sandbox_apps
from broker.sandbox.definitions import CARDIFF_AND_VALE, SWANSEA, SWANSEA_BAY
from broker.sandbox.people import sample_people
from broker.sandbox.state import SandboxState
from contracts.adapters import AdapterContext
from contracts.delivery import Delivery, Failure, Misconfigured, Rejected, Unavailable, Unknown
from contracts.events import canonical
from contracts.organisation import Organisation
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason

HOST = "127.0.0.1"
DEADLINE = timedelta(seconds=5)
NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
SIAN, LLYR, *_ = sample_people()
NEW_HOME = {
    "uprn": 900000000013,
    "buildingNumber": "2",
    "streetName": "Stryd y Morwellt",
    "dependentAddressLocality": "Trefenghraifft",
    "addressLocality": "Abertawe",
    "postalCode": "SA99 9AA",
    "addressCountry": "GB",
}


def move(
    person: Any = SIAN, *, sequence: int = 1, uprn: int = 900000000013, identifier: UUID | None = None
) -> Delivery:
    """Return a sample person's move to Swansea as the exchange sends it."""
    data = {
        "person": {
            "name": person.vocabulary_name()[0],
            "birthDate": person.birth_date.isoformat(),
            "identifiers": [{"system": NHS_NUMBER, "value": person.nhs_number, "assurance": "said-by-the-person"}],
        },
        "change": {"newAddress": {**NEW_HOME, "uprn": uprn}, "effectiveDate": "2026-09-01"},
        "roles": ["arriving"],
    }
    return Delivery(
        id=identifier or uuid4(),
        organisation="any",
        epoch=0,
        attempt=1,
        sequence=sequence,
        type="wales.unwaith.address-changed.v1",
        source="https://unwaith.example",
        subject=f"pseudonym-of-{person.key}",
        time=datetime(2026, 9, 1, tzinfo=UTC),
        dataschema="urn:wales:unwaith:schema:address-changed.v1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        origin="origin-1",
        data=canonical(data),
    )


@dataclass
class System:
    """One running system, and the exchange's adapter to it."""

    organisation: Organisation
    state: SandboxState
    http: httpx.AsyncClient
    deadline_seconds: float = 5.0

    async def send(self, delivery: Delivery) -> Receipt | Failure:
        """Send by a new adapter, as the engine makes it from what the register and the vault hold."""
        held = {
            secret_name(self.organisation.id, name): value
            for name, value in _secrets(self.state, self.organisation).items()
        }
        policy = self.organisation.policy.model_copy(update={"deadline_seconds": self.deadline_seconds})
        kept = Organisation.model_validate_json(
            self.organisation.model_copy(update={"policy": policy}).model_dump_json()
        )

        async def find(name: str) -> bytes | None:
            return held.get(name)

        rooms = cast(
            "Rooms",
            SimpleNamespace(
                database=None,
                directory=SimpleNamespace(now=lambda: datetime.now(UTC)),
                settings=SimpleNamespace(public_url="https://unwaith.example"),
                vault=SimpleNamespace(find=find),
            ),
        )
        adapter = await _adapters(_contexts(rooms, tls_context(), tls_context(spoken=None)))(kept)
        try:
            return await attempt(adapter, delivery)
        finally:
            await adapter.close()

    async def answered(self, delivery: Delivery) -> Outcome:
        ended = await self.send(delivery)
        assert isinstance(ended, Receipt), ended
        assert ended.outcome is not None
        return ended.outcome

    async def failed(self, delivery: Delivery) -> tuple[type[Failure], Reason]:
        ended = await self.send(delivery)
        assert isinstance(ended, Failure), ended
        return type(ended), ended.reason

    async def tell(self, **behaviour: Any) -> httpx.Response:
        return await self.http.post("/sandbox/behaviour", json=behaviour)

    async def listing(self) -> dict[str, Any]:
        told: dict[str, Any] = (await self.http.get("/inbox.json")).json()
        return told

    async def events(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = (await self.listing())["events"]
        return events

    async def turned_away(self) -> int:
        return int((await self.listing())["totals"]["turnedAway"])

    @property
    def door(self) -> int:
        return int(self.organisation.adapter_settings["port"])

    @property
    def files(self) -> Path:
        return self.state.files_path(self.organisation.id)


@asynccontextmanager
async def running(state: SandboxState, identifier: str) -> AsyncIterator[System]:
    """Serve one organisation as `unwaith run` does."""
    pages, door = Listener(None, HOST, 0, identifier, lifespan=True), Listener(None, HOST, 0, f"{identifier}'s door")
    addresses = dict.fromkeys(definitions.EVERY_ID, f"http://{HOST}:{pages.bind()}")
    doors = dict.fromkeys(definitions.WITH_DOORS, door.bind())
    every = definitions.every_organisation(addresses, doors, host_key=state.public_ssh_key(SWANSEA))
    [organisation] = [one for one in every if one.id == identifier]
    [_, (_, pages.app)] = sandbox_apps(
        state,
        issuer="http://127.0.0.1:8102/",
        clients=[],
        api_audience="https://api.unwaith.example",
        organisations=[organisation],
        doors={identifier: door.socket()},
    )
    stop = asyncio.Event()
    serving = asyncio.create_task(serve([pages], stop))
    try:
        async with asyncio.timeout(20):
            await pages.started.wait()
        async with httpx.AsyncClient(base_url=addresses[identifier], trust_env=False) as http:
            yield System(organisation, state, http)
    finally:
        stop.set()
        await serving
        door.close()


@pytest.fixture
def state(tmp_path: Path) -> SandboxState:
    return SandboxState.open(tmp_path / "sandbox")


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():
            await asyncio.sleep(0.02)


async def arrived(system: System, number: int) -> bool:
    return len(await system.events()) == number


@pytest.mark.parametrize("identifier", [SWANSEA, CARDIFF_AND_VALE, SWANSEA_BAY])
async def test_its_page_says_how_it_is_reached_and_what_it_was_told(state: SandboxState, identifier: str) -> None:
    async with running(state, identifier) as system:
        await system.send(move())
        await until(lambda: arrived(system, 1))
        page = await system.http.get("/")
        way = {SWANSEA: "SFTP", CARDIFF_AND_VALE: "HL7 v2", SWANSEA_BAY: "FHIR"}[identifier]
        assert f"<strong>{way}</strong>" in page.text
        assert system.organisation.name.en in page.text
        assert "Stryd y Morwellt" in page.text
        [event] = await system.events()
        assert (await system.http.get(f"/inbox/{event['id']}.json")).json()["data"]
        assert (await system.http.get("/livez")).text == "ok\n"
        can_say_later = identifier == SWANSEA
        assert (await system.tell(behaviour="later")).status_code == (200 if can_say_later else 409)


# --- SFTP -------------------------------------------------------------------------------------------------------


async def collected(system: System) -> dict[UUID, Outcome | None]:
    """Collect the council's files of answers as the exchange does, and let them go."""
    found: dict[UUID, Outcome | None] = {}
    context = AdapterContext(
        organisation=system.organisation.id,
        settings=json.loads(json.dumps(dict(system.organisation.adapter_settings))),
        secret=_secrets(system.state, system.organisation).__getitem__,
        http=cast("Any", SimpleNamespace(close=_nothing)),
        connections=GuardedConnections(
            tls=tls_context(spoken=None), deadline=DEADLINE, allowed_hosts=system.organisation.allowed_hosts
        ),
        deadline=DEADLINE,
        clock=lambda: datetime.now(UTC),
    )
    collector = SftpAnswers(context)
    async for answers in collector.collect():
        found |= {receipt.delivery_id: receipt.outcome for receipt in answers.receipts}
        await answers.done()
    await collector.close()
    return found


async def _nothing() -> None:
    return None


async def test_a_file_is_loaded_once_and_answered_by_file(state: SandboxState) -> None:
    async with running(state, SWANSEA) as system:
        told = move()
        assert await system.answered(told) is Outcome.ACCEPTED
        await until(lambda: arrived(system, 1))
        found: dict[UUID, Outcome | None] = {}

        async def said() -> bool:
            found.update(await collected(system))
            return bool(found)

        await until(said)
        assert found == {told.id: Outcome.APPLIED}
        assert await collected(system) == {}, "what was collected is put away"
        assert await system.answered(told) is Outcome.ACCEPTED  # again, as after a lost answer

        async def twice() -> bool:
            return [event["receipts"] for event in await system.events()] == [2]

        await until(twice)
        [event] = await system.events()
        assert (event["id"], event["sequence"], event["subject"]) == (str(told.id), 1, told.subject)
        data = (await system.http.get(f"/inbox/{told.id}.json")).json()["data"]
        assert data["columns"]["family_name"] == "Pen-y-dŵr"
        assert "nhs" not in json.dumps(data).lower()


BY_FILE = {
    "not_matched": Outcome.NOT_MATCHED,
    "must_review": Outcome.MUST_REVIEW,
    "refusing": Outcome.REJECTED_POLICY,
    "later": Outcome.APPLIED,
}


async def test_the_council_answers_by_file_as_told(state: SandboxState) -> None:
    async with running(state, SWANSEA) as system:
        told = {}
        for sequence, (behaviour, outcome) in enumerate(BY_FILE.items(), start=1):
            assert (await system.tell(behaviour=behaviour, seconds=0.1, times=1)).status_code == 200
            delivery = move(sequence=sequence)
            assert await system.answered(delivery) is Outcome.ACCEPTED
            told[delivery.id] = outcome
        found: dict[UUID, Outcome | None] = {}

        async def said() -> bool:
            found.update(await collected(system))
            return len(found) == len(told)

        await until(said)
        assert found == told


async def test_the_council_fails_and_is_silent_as_told(state: SandboxState) -> None:
    async with running(state, SWANSEA) as system:
        await system.tell(behaviour="failing", times=1)
        told = move()
        assert await system.failed(told) == (Unavailable, Reason.SERVER_ERROR)
        await system.tell(behaviour="silent", times=1)
        system.deadline_seconds = 1.0
        assert await system.failed(told) == (Unknown, Reason.DEADLINE_PASSED)
        system.deadline_seconds = 5.0
        assert await system.events() == []
        assert await system.answered(told) is Outcome.ACCEPTED
        await until(lambda: arrived(system, 1))


async def test_slow_is_taken_in_before_it_is_said(state: SandboxState) -> None:
    async with running(state, SWANSEA) as system:
        await system.tell(behaviour="slow", seconds=60)
        sending = asyncio.create_task(system.send(move()))
        await until(lambda: arrived(system, 1))
        assert not sending.done()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_what_a_crash_left_is_loaded_at_the_next_start_and_references_go_on(state: SandboxState) -> None:
    async with running(state, SWANSEA) as system:
        first = move()
        await system.send(first)
        await until(lambda: arrived(system, 1))
        files = system.files
    [loaded] = (files / "loaded").iterdir()
    again = files / "incoming" / loaded.name
    loaded.rename(again)  # as if it had not got there
    (files / "incoming" / "left.csv.part").write_bytes(b"half")
    async with running(state, SWANSEA) as system:

        async def reloaded() -> bool:
            return not again.exists()

        await until(reloaded)
        second = move(LLYR)
        await system.send(second)
        await until(lambda: arrived(system, 2))
        assert [event["reference"] for event in await system.events()] == ["ABT-000001", "ABT-000002"]
        assert (files / "incoming" / "left.csv.part").exists(), "what has no final name is nobody's"


def a_file(name: str, *records: Sequence[str], trailer: Sequence[str] | None = None) -> bytes:
    body = "".join(",".join(f'"{cell}"' for cell in record) + "\r\n" for record in records).encode()
    end = trailer or ("T", str(len(records) - 2), hashlib.sha256(body).hexdigest())
    return body + (",".join(f'"{cell}"' for cell in end) + "\r\n").encode()


HEAD = ("H", "unwaith-deliveries", "1", "x.csv")
COLUMNS = ("C", "row", "delivery_id", "sequence", "subject", "type", "roles", "family_name")
ROW = ("D", "1", str(uuid4()), "000000000001", "who", "type", "arriving", "Pen-y-dŵr")


async def test_a_row_that_comes_again_in_another_file_is_the_same_one(state: SandboxState) -> None:
    incoming = state.files_path(SWANSEA) / "incoming"
    incoming.mkdir(parents=True)
    for name in ("x.csv", "y.csv"):  # as when a batch was broken, and what was left of it closed anew
        (incoming / name).write_bytes(a_file(name, (*HEAD[:-1], name), COLUMNS, ROW))
    async with running(state, SWANSEA) as system:

        async def both_loaded() -> bool:
            return not list(incoming.iterdir())

        await until(both_loaded)
        listed = (await system.http.get("/inbox.json")).json()
        assert [event["receipts"] for event in listed["events"]] == [2]
        assert listed["totals"]["dataViolations"] == 0


async def test_files_that_are_not_whole_are_put_aside_and_nothing_of_them_is_loaded(state: SandboxState) -> None:
    whole = a_file("x.csv", HEAD, COLUMNS, ROW)
    bad = (
        b"",
        b"\xff\xfe",
        b"\x00" * 100,
        whole[:-20],
        whole[: len(whole) // 2],
        whole.replace(b"who", b"her"),
        whole + b'"D","2"\r\n',
        a_file("x.csv", ("H", "unwaith-deliveries", "2", "x.csv"), COLUMNS, ROW),
        a_file("x.csv", ("H", "unwaith-deliveries", "1", "y.csv"), COLUMNS, ROW),
        a_file("x.csv", HEAD, COLUMNS[:-2], ROW[:-2]),
        a_file("x.csv", HEAD, COLUMNS, ROW[:-1]),
        a_file("x.csv", HEAD, COLUMNS, ("D", "2", *ROW[2:])),
        a_file("x.csv", HEAD, COLUMNS, ("D", "1", "no-uuid", *ROW[3:])),
        a_file("x.csv", HEAD, COLUMNS, (*ROW[:3], "1" * 5000, *ROW[4:])),
        b'"H","unwaith-deliveries","1","x.csv',
    )
    async with running(state, SWANSEA) as system:
        async with (
            asyncssh.connect(
                HOST,
                system.door,
                username="unwaith",
                client_keys=[asyncssh.import_private_key(state.ssh_key(EXCHANGE))],
                known_hosts=None,
                config=None,
            ) as connection,
            connection.start_sftp_client() as files,
        ):
            for number, content in enumerate(bad, start=1):
                async with files.open("incoming/x.csv.part", "wb") as file:
                    await file.write(content)
                await files.rename("incoming/x.csv.part", "incoming/x.csv")

                async def set_aside(number: int = number) -> bool:
                    return await system.turned_away() == number

                await until(set_aside)
            assert await system.events() == []
            for path in ("../../provider.jwk", "/etc/passwd"):
                with pytest.raises(asyncssh.SFTPError):
                    async with files.open(path, "rb") as file:
                        await file.read()
            with pytest.raises(asyncssh.SFTPError):
                await files.symlink("/etc", "incoming/etc")
            with pytest.raises(asyncssh.SFTPError):
                await files.posix_rename("incoming/none", "incoming/x.csv")
            with pytest.raises(asyncssh.Error):
                await connection.run("id")
        assert await system.answered(move()) is Outcome.ACCEPTED


async def test_only_the_exchange_gets_in_by_ssh(state: SandboxState) -> None:
    async with running(state, SWANSEA) as system:
        stranger = asyncssh.generate_private_key("ssh-ed25519")
        for user, key in (("unwaith", stranger), ("root", asyncssh.import_private_key(state.ssh_key(EXCHANGE)))):
            with pytest.raises(asyncssh.PermissionDenied):
                await asyncssh.connect(
                    HOST, system.door, username=user, client_keys=[key], known_hosts=None, config=None
                )
        for noise in (b"", b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096)):
            assert await shouted(system.door, noise) is not None
        assert await system.answered(move()) is Outcome.ACCEPTED


async def shouted(port: int, noise: bytes) -> bytes:
    """Send something and hang up our side; return what came back."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(noise)
            writer.write_eof()
            return await reader.read()
        except OSError:
            return b""
        finally:
            writer.close()


# --- HL7 v2 -----------------------------------------------------------------------------------------------------


async def test_a_message_is_taken_in_once_whatever_repeats_it(state: SandboxState) -> None:
    async with running(state, CARDIFF_AND_VALE) as system:
        told = move()
        first = await system.send(told)
        second = await system.send(told)
        assert isinstance(first, Receipt)
        assert isinstance(second, Receipt)
        assert (
            (first.outcome, first.reference)
            == (second.outcome, second.reference)
            == (Outcome.ACCEPTED, "BIPCAF-000001")
        )
        [event] = await system.events()
        assert (event["receipts"], event["sequence"], event["type"]) == (2, None, "ADT^A31")
        data = (await system.http.get(f"/inbox/{event['id']}.json")).json()["data"]
        assert [segment[:3] for segment in data["segments"]] == ["MSH", "EVN", "PID", "PV1"]
        assert f"{SIAN.nhs_number}^^^NHS^NH" in data["segments"][2]
    async with running(state, CARDIFF_AND_VALE) as system:
        third = await system.send(told)
        assert isinstance(third, Receipt)
        assert third.reference == first.reference


RECEIVER: dict[str, Any] = {
    "not_matched": Outcome.NOT_MATCHED,
    "must_review": Outcome.MUST_REVIEW,
    "failing": (Unavailable, Reason.SERVER_ERROR),
    "refusing": (Rejected, Reason.INVALID_FOR_RECEIVER),
    "silent": (Unknown, Reason.CONNECTION_LOST),
}


async def test_the_receiver_answers_as_told(state: SandboxState) -> None:
    async with running(state, CARDIFF_AND_VALE) as system:
        for number, (behaviour, ended) in enumerate(RECEIVER.items(), start=1):
            assert (await system.tell(behaviour=behaviour, times=1)).status_code == 200
            told = move()
            if isinstance(ended, Outcome):
                assert await system.answered(told) is ended
                assert (await system.events())[-1]["outcome"] == ended.value
            else:
                assert await system.failed(told) == ended
                assert len(await system.events()) == number - 1
                assert await system.answered(told) is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("organisation", "again"), [(CARDIFF_AND_VALE, Outcome.ACCEPTED), (SWANSEA_BAY, Outcome.ALREADY_CURRENT)]
)
async def test_who_is_slow_has_taken_it_in(state: SandboxState, organisation: str, again: Outcome) -> None:
    async with running(state, organisation) as system:
        await system.tell(behaviour="slow", seconds=60, times=1)
        sending = asyncio.create_task(system.send(told := move()))
        await until(lambda: arrived(system, 1))
        assert not sending.done()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert await system.answered(told) is again


def adt(**changed: str) -> bytes:
    """Return a message that is taken in; `MSH_9=` changes a field."""
    head = ["", "^~\\&", "A", "B", "C", "D", "20260901090000", "", "ADT^A31^ADT_A05", "ID1", "P", "2.5"]
    person = ["", "1", "", "9990001014^^^NHS^NH", "", "Pen-y-dŵr^Siân", "", "19840301", "", "", "", "1 Stryd^^Abertawe"]
    visit = ["", "1", "N"]
    parts = {"MSH": head, "PID": person, "PV1": visit}
    for name, value in changed.items():
        segment, _, place = name.partition("_")
        parts[segment][int(place) - (segment == "MSH")] = value
    text = "".join(f"{name}{'|'.join(fields)}\r" for name, fields in parts.items())
    return b"\x0b" + text.encode() + b"\x1c\r"


NOT_TAKEN = (
    (adt(), ""),
    (adt(MSH_9="ORU^R01"), "200"),
    (adt(MSH_9="ADT^A01"), "201"),
    (adt(MSH_9=""), "200"),
    (adt(MSH_11="X"), "202"),
    (adt(MSH_12="2.3"), "203"),
    (adt(PID_3=""), "101"),
    (adt(PID_5=""), "101"),
    (adt(PID_11=""), "101"),
    (adt(PID_7="1984"), "102"),
    (b"\x0bMSH|^~\\&|A|B|C|D|2026||ADT^A31|ID1|P|2.5\r\x1c\r", "101"),
)


async def test_the_receiver_says_what_it_does_not_take(state: SandboxState) -> None:
    async with running(state, CARDIFF_AND_VALE) as system:
        for message, code in NOT_TAKEN:
            answer = (await shouted(system.door, message)).decode()
            assert answer.startswith("\x0bMSH|^~\\&|C|D|A|B|")
            assert answer.endswith("\x1c\r")
            assert f"MSA|{'AR' if code else 'AA'}|ID1" in answer
            assert (f"|{code}^^HL70357|E" in answer) is bool(code)
        assert len(await system.events()) == 1


async def test_what_is_no_hl7_is_not_answered_and_harms_nothing(state: SandboxState) -> None:
    nonsense = (
        b"",
        b"\x0b",
        b"\x1c\r",
        b"\x0b\x1c\r",
        b"GET / HTTP/1.1\r\n\r\n",
        b"MSH|^~\\&|no|frame\r\x1c\r",
        b"\x0bMSH|^~\\&\r\x1c\r",
        b"\x0bMSH#^~\\&#A#B\r\x1c\r",
        b"\x0bMSH|^~\\&|\xff\r\x1c\r",
        adt(MSH_10=""),
        adt(MSH_10="x" * 21),
        adt(MSH_10="a\nMSA|AA"),
        b"\x0b" + b"x" * 200_000,
        os.urandom(4096).replace(b"\x1c\r", b""),
    )
    async with running(state, CARDIFF_AND_VALE) as system:
        for noise in nonsense:
            assert await shouted(system.door, noise) == b"", noise[:40]
        assert await system.turned_away() == len(nonsense)
        assert await system.answered(move()) is Outcome.ACCEPTED


# --- FHIR -------------------------------------------------------------------------------------------------------


def bearer(system: System, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {system.state.bearer_token(SWANSEA_BAY)}", **more}


async def patient(system: System, identity: str = "sample-1") -> dict[str, Any]:
    answer = await system.http.get(f"/fhir/Patient/{identity}", headers=bearer(system))
    assert answer.status_code == 200
    assert answer.headers["etag"] == f'W/"{answer.json()["meta"]["versionId"]}"'
    told: dict[str, Any] = answer.json()
    return told


async def test_every_sample_person_is_found_and_moved(state: SandboxState) -> None:
    async with running(state, SWANSEA_BAY) as system:
        for person in sample_people():
            assert await system.answered(move(person)) in {Outcome.APPLIED, Outcome.ALREADY_CURRENT}, person.key
        assert await system.answered(move()) is Outcome.ALREADY_CURRENT


async def test_a_move_changes_the_record_and_outlives_a_restart(state: SandboxState) -> None:
    async with running(state, SWANSEA_BAY) as system:
        before = await patient(system)
        told = move()
        assert await system.answered(told) is Outcome.APPLIED
        after = await patient(system)
        [event] = await system.events()
        data = (await system.http.get(f"/inbox/{event['id']}.json")).json()["data"]
        assert data["requestId"] == str(told.id)
    assert [one["use"] for one in after["address"]] == ["old", "home"]
    assert after["address"][1]["line"][0] == "2 Stryd y Morwellt"
    assert after["meta"]["versionId"] == "2"
    async with running(state, SWANSEA_BAY) as system:
        assert await patient(system) == after != before
        assert await system.answered(move()) is Outcome.ALREADY_CURRENT


SERVER: dict[str, Any] = {
    "not_matched": Outcome.NOT_MATCHED,
    "must_review": Outcome.MUST_REVIEW,
    "failing": (Unavailable, Reason.SERVER_ERROR),
    "refusing": (Rejected, Reason.REFUSED_BY_POLICY),
    "silent": (Unavailable, Reason.DEADLINE_PASSED),
}


async def test_the_server_answers_as_told(state: SandboxState) -> None:
    async with running(state, SWANSEA_BAY) as system:
        told = move()
        for behaviour, ended in SERVER.items():
            assert (await system.tell(behaviour=behaviour, times=1)).status_code == 200
            if isinstance(ended, Outcome):
                assert await system.answered(told) is ended
            else:
                system.deadline_seconds = 1.0 if behaviour == "silent" else 5.0
                assert await system.failed(told) == ended
            assert await system.events() == []
        system.deadline_seconds = 5.0
        assert await system.answered(told) is Outcome.APPLIED


async def test_what_the_server_can_do_is_said(state: SandboxState) -> None:
    async with running(state, SWANSEA_BAY) as system:
        told = (await system.http.get("/fhir/metadata")).json()
        assert (told["resourceType"], told["fhirVersion"]) == ("CapabilityStatement", "4.0.1")
        [resource] = told["rest"][0]["resource"]
        assert {one["code"] for one in resource["interaction"]} == {"read", "search-type", "patch"}


async def test_only_the_exchange_gets_in_by_http(state: SandboxState) -> None:
    async with running(state, SWANSEA_BAY) as system:
        for header in (None, "Bearer x", "Basic eDp5", "Bearer", "Bearer ŵ".encode()):
            headers = {"authorization": header} if header else {}
            answer = await system.http.get("/fhir/Patient/sample-1", headers=cast("dict[str, str]", headers))
            assert answer.status_code == 401
            assert answer.json()["resourceType"] == "OperationOutcome"
        system.state = SandboxState.open(system.state.directory / "another")
        assert await system.failed(move()) == (Misconfigured, Reason.UNAUTHORISED)


BAD_PATCHES = (
    b"",
    b"\xff",
    b"{}",
    b"null",
    b"[1]",
    b'[{"op": "add"}]',
    b'[{"op": "add", "path": 1, "value": 1}]',
    b'[{"op": "add", "path": "", "value": {}}]',
    b'[{"op": "add", "path": "address", "value": {}}]',
    b'[{"op": "add", "path": "/address/7", "value": {}}]',
    b'[{"op": "add", "path": "/address/01", "value": {}}]',
    b'[{"op": "add", "path": "/address/-", "value": "text"}]',
    b'[{"op": "add", "path": "/address/-", "value": 1.5}]',
    b'[{"op": "replace", "path": "/address/-", "value": {}}]',
    b'[{"op": "replace", "path": "/address", "value": {}}]',
    b'[{"op": "remove", "path": "/nowhere"}]',
    b'[{"op": "remove", "path": "/birthDate"}]',
    b'[{"op": "replace", "path": "/identifier/0/value", "value": "9990002126"}]',
    b'[{"op": "test", "path": "/birthDate", "value": "1900-01-01"}]',
    b'[{"op": "copy", "from": "/birthDate", "path": "/address/-"}]',
    b"[" * 100_000,
    b"[" * 500 + b"]" * 500,
    b"[" + b'{"op":"test","path":"/active","value":true},' * 200 + b"{}]",
    b'[{"op": "add", "path": "/address/-", "value": {"line": ["\\ud800"]}}]',
)


async def test_bad_patches_change_nothing(state: SandboxState) -> None:
    async with running(state, SWANSEA_BAY) as system:
        before = await patient(system)
        headers = bearer(system, **{"content-type": "application/json-patch+json", "if-match": 'W/"1"'})
        for body in BAD_PATCHES:
            answer = await system.http.patch("/fhir/Patient/sample-1", content=body, headers=headers)
            assert answer.status_code in {400, 422}, body[:80]
            assert answer.json()["resourceType"] == "OperationOutcome"
        good = b'[{"op": "add", "path": "/address/-", "value": {"use": "temp"}}]'
        for status, path, changed in (
            (412, "sample-1", {"if-match": 'W/"2"'}),
            (412, "sample-1", {"if-match": ""}),
            (404, "sample-99", {}),
            (415, "sample-1", {"content-type": "application/json"}),
        ):
            answer = await system.http.patch(f"/fhir/Patient/{path}", content=good, headers={**headers, **changed})
            assert answer.status_code == status
        large = await system.http.patch("/fhir/Patient/sample-1", content=b" " * 300_000, headers=headers)
        assert large.status_code == 413
        assert await patient(system) == before
        assert await system.events() == []


async def test_a_bad_search_is_refused(state: SandboxState) -> None:
    async with running(state, SWANSEA_BAY) as system:
        for form in (b"", b"\xff=1", b"identifier=", b"identifier=9990001014", b"identifier=a|", b"a=1&" * 30):
            answer = await system.http.post("/fhir/Patient/_search", content=form, headers=bearer(system))
            assert answer.status_code == 400, form[:40]


async def test_two_patches_of_one_version_are_one(state: SandboxState) -> None:
    async with running(state, SWANSEA_BAY) as system:
        headers = bearer(system, **{"content-type": "application/json-patch+json", "if-match": 'W/"1"'})
        good = b'[{"op": "add", "path": "/address/-", "value": {"use": "temp"}}]'
        answers = await asyncio.gather(
            *(system.http.patch("/fhir/Patient/sample-1", content=good, headers=headers) for _ in range(8))
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
        assert len((await patient(system))["address"]) == 2

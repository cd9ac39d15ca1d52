"""Our messages before receivers nobody here wrote: HAPI (Java) and hl7apy (Python), each with its own parser."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, ClassVar

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.mllp import AbstractErrorHandler, AbstractHandler, MLLPServer
from hl7apy.parser import parse_message

from adapters.conformance import WELSH, attempt, sample_delivery, sample_withdrawal
from adapters.hl7v2 import control_id
from adapters.registry import adapter_for
from adapters.told import ToldAddress, postal_lines
from contracts.delivery import Misconfigured, Rejected, Unavailable, Unknown
from contracts.events import canonical
from contracts.receipts import Receipt
from contracts.statuses import Outcome
from deploy.kafka.jars import Jars
from tests.conformance.test_hl7v2 import BOARD, GOLDENS, TAKEN_BACK, golden
from tests.support.java import java_server
from tests.support.ways_out import context
from tests.support.welsh import people

HAPI = Path(__file__).parents[1] / "support" / "hl7v2"

# Where nothing is cached yet the first of them fetches the server, which may take minutes.
pytestmark = [pytest.mark.xdist_group("hl7v2-peers"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def hapi() -> Iterator[tuple[int, IO[str]]]:
    with java_server(Jars("hapi-hl7v2", HAPI), HAPI / "Receiver.java") as started:
        yield started


def at(port: int, **settings: Any) -> dict[str, Any]:
    return BOARD | {"host": "127.0.0.1", "port": port, "tls": False} | settings


async def test_hapi_reads_every_field_of_both_profiles(hapi: tuple[int, IO[str]]) -> None:
    port, read = hapi
    for version, event, structures in (("2.5", "A31", "v25"), ("2.5.1", "A28", "v251")):
        adapter = adapter_for(
            "hl7v2",
            context(at(port, version=version, arriving_as=event, person_authority="UNWAITH", previous_address=True)),
        )
        delivery = sample_delivery()
        ended = await attempt(adapter, delivery)
        await adapter.close()
        assert isinstance(ended, Receipt), repr(ended)
        assert ended.outcome is Outcome.ACCEPTED
        assert ended.reference is not None
        structure, *fields = read.readline().rstrip("\n").split("\x1f")
        assert structure == f"ca.uhn.hl7v2.model.{structures}.message.ADT_A05"
        head, person, homes = fields[:6], fields[6:16], fields[16:]
        assert head == [control_id(delivery), event, version, "UNICODE UTF-8", "20260301", "N"]
        assert person[:4] == ["9434765919", "NHS", "NH", person[3]]
        assert person[4:] == ["UNWAITH", "PI", "Gŵyr-Môn", "Siân", "Llŷr", "19870514"]
        assert homes == [
            *("Tŷ Gŵyr", "2 Ffordd y Môr", "Abertawe", "SA1 0ZZ", "GBR", "H", "20260301", ""),
            *("14 Heol y Dderwen Ddychmygol", "Treganna", "Caerdydd", "CF11 0ZZ", "20260301"),
        ]


async def test_hapi_s_own_refusals_are_understood(hapi: tuple[int, IO[str]]) -> None:
    port, _ = hapi
    adapter = adapter_for("hl7v2", context(at(port)))
    for given, kind in (
        ("Anghyflawn", Rejected),
        ("Anhysbys", Receipt),
        ("Cloedig", Unavailable),
        ("Gwall", Unknown),
    ):
        ended = await attempt(adapter, sample_delivery(data=WELSH.replace("Siân".encode(), given.encode())))
        assert type(ended) is kind, f"{given}: {ended!r}"
        if isinstance(ended, Receipt):
            assert ended.outcome is Outcome.NOT_MATCHED
    await adapter.close()


async def test_ten_thousand_people_reach_hapi_and_come_back_identical(hapi: tuple[int, IO[str]]) -> None:
    port, read = hapi
    adapter = adapter_for("hl7v2", context(at(port, keep_open=True, connections=8), deadline=timedelta(minutes=1)))
    sent = {}
    for data in people(10_000):
        delivery = sample_delivery(data=canonical(data))
        sent[control_id(delivery)] = (delivery, data)
    read_back: dict[str, list[str]] = {}

    def collect() -> None:
        while len(read_back) < len(sent):
            fields = read.readline().rstrip("\n").split("\x1f")
            read_back[fields[1]] = fields

    collecting = threading.Thread(target=collect, daemon=True)
    collecting.start()
    receipts = await asyncio.gather(*(adapter.deliver(delivery) for delivery, _ in sent.values()))
    assert {receipt.outcome for receipt in receipts} == {Outcome.ACCEPTED}
    await asyncio.to_thread(collecting.join, 60)
    await adapter.close()
    for key, (_, data) in sent.items():
        fields = read_back[key]
        *given, family = (part["value"] for part in data["person"]["name"]["nameParts"])
        home = data["change"]["newAddress"]
        first, *others = postal_lines(ToldAddress.model_validate(home))
        assert fields[7] == data["person"]["identifiers"][0]["value"]
        assert fields[13:17] == [family, given[0], " ".join(given[1:]), data["person"]["birthDate"].replace("-", "")]
        assert fields[17:21] == [first, ", ".join(others), home["addressLocality"], home["postalCode"]]


class _Acknowledges(AbstractHandler):  # type: ignore[misc]  # the library has no types
    seen: ClassVar[list[Any]] = []

    def reply(self) -> str:
        read = parse_message(self.incoming_message, validation_level=VALIDATION_LEVEL.STRICT)
        assert read.validate()
        self.seen.append(read)
        head = self.incoming_message.split("|")
        return f"\x0bMSH|^~\\&|A|B|C|D|20260301||ACK^A31|7|P|2.5\rMSA|AA|{head[9]}\r\x1c\r"


class _Refuses(AbstractErrorHandler):  # type: ignore[misc]
    def reply(self) -> str:
        head = self.incoming_message.split("|")
        return f"\x0bMSH|^~\\&|A|B|C|D|20260301||ACK|8|P|2.5\rMSA|AR|{head[9]}\rERR|||201^Unsupported^HL70357|E\r\x1c\r"


@pytest.fixture
def hl7apy_server() -> Iterator[int]:
    _Acknowledges.seen.clear()
    server = MLLPServer("127.0.0.1", 0, {"ADT^A31^ADT_A05": (_Acknowledges,), "ERR": (_Refuses,)})
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield server.server_address[1]
    server.shutdown()
    serving.join()
    server.server_close()


async def test_hl7apy_takes_our_message_and_closes_after_it(hl7apy_server: int) -> None:
    adapter = adapter_for("hl7v2", context(at(hl7apy_server)))
    for _ in range(3):
        assert (await adapter.deliver(sample_delivery())).outcome is Outcome.ACCEPTED
    await adapter.close()
    read = _Acknowledges.seen[0]
    assert read.pid.pid_5.pid_5_1.value == "Gŵyr-Môn"
    assert read.pid.pid_11.pid_11_1.value == "Tŷ Gŵyr"
    assert len(_Acknowledges.seen) == 3


async def test_hl7apy_refuses_an_event_it_does_not_serve(hl7apy_server: int) -> None:
    adapter = adapter_for("hl7v2", context(at(hl7apy_server, arriving_as="A28")))
    assert isinstance(await attempt(adapter, sample_delivery()), Misconfigured)
    await adapter.close()


@pytest.mark.parametrize("name", [*GOLDENS, *TAKEN_BACK])
def test_golden_messages_are_valid_to_the_letter_of_the_standard(name: str) -> None:
    assert parse_message(golden(name), validation_level=VALIDATION_LEVEL.STRICT).validate()


async def test_hapi_takes_what_takes_a_change_back(hapi: tuple[int, IO[str]]) -> None:
    port, read = hapi
    adapter = adapter_for("hl7v2", context(at(port)))
    ended = await attempt(adapter, sample_withdrawal(WELSH))
    await adapter.close()
    assert isinstance(ended, Receipt), repr(ended)
    assert ended.outcome is Outcome.ACCEPTED
    structure, *fields = read.readline().rstrip("\n").split("\x1f")
    assert (structure, fields[1]) == ("ca.uhn.hl7v2.model.v25.message.ADT_A05", "A31")
    assert fields[16:24] == ["14 Heol y Dderwen Ddychmygol", "Treganna", "Caerdydd", "CF11 0ZZ", "GBR", "H", "", ""]

"""Our searches and patches before a server whose REST, parser and validator nobody here wrote: HAPI FHIR, R4."""

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import pytest

from adapters.conformance import WELSH, attempt, sample_delivery, sample_withdrawal
from adapters.fhir import Fhir
from adapters.told import ToldAddress, postal_lines
from contracts.delivery import Misconfigured, Rejected, Unavailable
from contracts.events import canonical
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason
from deploy.kafka.jars import Jars
from tests.support.java import java_server
from tests.support.ways_out import context
from tests.support.welsh import nhs_number, people

HAPI = Path(__file__).parents[1] / "support" / "fhir"
NHS = "https://fhir.nhs.uk/Id/nhs-number"
PATIENCE = timedelta(minutes=1)

# Where nothing is cached yet the first of them fetches the server, which may take minutes.
pytestmark = [pytest.mark.xdist_group("fhir-hapi"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def hapi() -> Iterator[tuple[str, IO[str]]]:
    with java_server(Jars("hapi-fhir", HAPI), HAPI / "Server.java") as (port, printed):
        yield f"http://127.0.0.1:{port}/R4", printed


def keep(base: str, *patients: dict[str, Any]) -> None:
    """Have the server hold these."""
    entries = [
        {"resource": {"resourceType": "Patient"} | patient, "request": {"method": "POST", "url": "Patient"}}
        for patient in patients
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    request = urllib.request.Request(
        base, json.dumps(bundle).encode(), {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def patient(number: str, *, family: str = "GWYR-MON", given: str = "Sian", **more: Any) -> dict[str, Any]:
    return {
        "identifier": [{"system": NHS, "value": number}],
        "name": [{"use": "usual", "family": family, "given": [given]}],
        "birthDate": "1987-05-14",
        "address": [{"use": "home", "line": ["14 Heol y Dderwen Ddychmygol"], "postalCode": "CF11 0ZZ"}],
    } | more


def move(number: str, *, family: str = "Gŵyr-Môn") -> bytes:
    return WELSH.replace(b"943 476 5919", number.encode()).replace("Gŵyr-Môn".encode(), family.encode())


async def test_a_record_is_matched_and_patched_once_and_valid_afterwards(hapi: tuple[str, IO[str]]) -> None:
    base, printed = hapi
    keep(base, patient("9434765919", telecom=[{"system": "phone", "value": "029 2018 0000"}]))
    adapter = Fhir(context({"base": base}, deadline=PATIENCE))
    first = await attempt(adapter, sample_delivery())
    assert isinstance(first, Receipt), repr(first)
    assert first.outcome is Outcome.APPLIED
    made = json.loads(printed.readline())
    assert made["telecom"] == [{"system": "phone", "value": "029 2018 0000"}]
    old, new = made["address"]
    assert (old["use"], old["period"]) == ("old", {"end": "2026-03-01"})
    assert (new["use"], new["line"], new["city"]) == ("home", ["Tŷ Gŵyr", "2 Ffordd y Môr"], "Abertawe")
    again = await adapter.deliver(sample_delivery())
    assert again.outcome is Outcome.ALREADY_CURRENT
    await adapter.close()


async def test_what_hapi_answers_is_understood(hapi: tuple[str, IO[str]]) -> None:
    base, _ = hapi
    numbers = [nhs_number(900_000 - number) for number in range(1, 9)]
    unknown, other_name, twice, once, busy, forbidden, gone, invalid = numbers
    keep(
        base,
        patient(other_name, family="Jones"),
        *(patient(twice), patient(twice)),
        *(patient(once, family="Unwaith"), patient(busy, family="Prysur")),
        *(patient(forbidden, family="Gwaharddedig"), patient(gone, family="Mynd")),
        patient(invalid, contact=[{"gender": "female"}]),  # R4's invariant pat-1: a contact needs details
    )
    adapter = Fhir(context({"base": base}, deadline=PATIENCE))
    for number, family, what in (
        (unknown, "Gŵyr-Môn", Outcome.NOT_MATCHED),
        (other_name, "Gŵyr-Môn", Outcome.NOT_MATCHED),
        (twice, "Gŵyr-Môn", Outcome.SEVERAL_MATCHES),
        (once, "Unwaith", Outcome.APPLIED),
        (busy, "Prysur", (Unavailable, Reason.CONFLICTS)),
        (forbidden, "Gwaharddedig", (Misconfigured, Reason.UNAUTHORISED)),
        (gone, "Mynd", Outcome.NOT_MATCHED),
        (invalid, "Gŵyr-Môn", (Rejected, Reason.INVALID_FOR_RECEIVER)),
    ):
        ended = await attempt(adapter, sample_delivery(data=move(number, family=family)))
        found = ended.outcome if isinstance(ended, Receipt) else (type(ended), ended.reason)
        assert found == what, family
    await adapter.close()


async def test_what_is_taken_back_leaves_a_valid_record_as_it_was(hapi: tuple[str, IO[str]]) -> None:
    base, printed = hapi
    number = nhs_number(850_000)
    before = patient(number)
    keep(base, before)
    adapter = Fhir(context({"base": base}, deadline=PATIENCE))
    for delivery, what in (
        (sample_delivery(data=move(number)), Outcome.APPLIED),
        (sample_withdrawal(move(number)), Outcome.APPLIED),
        (sample_withdrawal(move(number)), Outcome.ALREADY_CURRENT),
    ):
        ended = await attempt(adapter, delivery)
        assert isinstance(ended, Receipt), repr(ended)
        assert ended.outcome is what
    await adapter.close()
    kept = (json.loads(line) for line in iter(printed.readline, ""))  # others' before it, too
    mine = (one for one in kept if one["identifier"] == before["identifier"])
    moved, back = next(mine), next(mine)
    assert [address["use"] for address in moved["address"]] == ["old", "home"]
    assert back["address"] == before["address"]


async def test_thousands_are_matched_and_their_homes_come_back_identical(hapi: tuple[str, IO[str]]) -> None:
    base, printed = hapi
    told = list(people(2_500))  # of the ten thousand that tests/conformance/test_fhir.py patches in memory
    before = []
    for data in told:
        *given, family = (part["value"] for part in data["person"]["name"]["nameParts"])
        number = data["person"]["identifiers"][0]["value"]
        before.append(patient(number, family=family, given=given[0], birthDate=data["person"]["birthDate"]))
    await asyncio.to_thread(keep, base, *before)
    made: dict[str, dict[str, Any]] = {}

    def collect() -> None:
        wanted = {old["identifier"][0]["value"] for old in before}
        for line in iter(printed.readline, ""):
            one = json.loads(line)
            made[one["identifier"][0]["value"]] = one
            if made.keys() >= wanted:
                return

    collecting = threading.Thread(target=collect, daemon=True)
    collecting.start()
    adapter = Fhir(context({"base": base}, deadline=timedelta(minutes=2)))
    receipts = await asyncio.gather(*(adapter.deliver(sample_delivery(data=canonical(data))) for data in told))
    assert {receipt.outcome for receipt in receipts} == {Outcome.APPLIED}
    await asyncio.to_thread(collecting.join, 60)
    await adapter.close()
    for data, old in zip(told, before, strict=True):
        record = made[old["identifier"][0]["value"]]
        home = data["change"]["newAddress"]
        now = record["address"][-1]
        assert record["name"] == old["name"]
        assert now["line"] == list(postal_lines(ToldAddress.model_validate(home)))
        assert (now["city"], now["postalCode"]) == (home["addressLocality"], home["postalCode"])
        assert [address["use"] for address in record["address"]] == ["old", "home"]

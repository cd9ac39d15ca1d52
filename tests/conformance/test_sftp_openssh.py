"""Our files before a server nobody here wrote: OpenSSH."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncssh
import pytest
import pytest_asyncio

from adapters.batch_file import COLUMNS
from adapters.conformance import attempt, sample_delivery
from adapters.sftp import Sftp, file_name
from adapters.sftp_answers import SftpAnswers
from contracts.delivery import Misconfigured
from contracts.events import canonical
from contracts.receipts import Receipt, ReceiptKind
from contracts.statuses import Outcome, Reason
from tests.conformance.test_sftp import rows_of
from tests.support.answers import answers_file
from tests.support.openssh import OpenSsh, openssh
from tests.support.ways_out import context
from tests.support.welsh import people

# Where nothing is cached yet the first of them fetches the server, which may take minutes.
pytestmark = [pytest.mark.xdist_group("sftp-openssh"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    with openssh(tmp_path_factory.mktemp("openssh")) as running:
        yield running


@pytest_asyncio.fixture
async def council(server: OpenSsh) -> AsyncIterator[Sftp]:
    adapter = Sftp(context(server.settings, {"ssh-key": server.key}, deadline=timedelta(minutes=1)))
    yield adapter
    await adapter.close()


def path_of(data: dict[str, Any], path: str) -> str:
    """Return what `path` names in the data, found without any code of the adapter's."""
    if path.startswith("/person/name/"):
        kind = {"family": "FamilyName", "given": "GivenName"}[path.rpartition("/")[2]]
        return " ".join(part["value"] for part in data["person"]["name"]["nameParts"] if part["type"] == kind)
    found: Any = data
    for name in path.split("/")[1:]:
        found = found.get(name, "") if found else ""
    return str(found)


async def test_ten_thousand_people_go_in_one_file_and_come_back_identical(council: Sftp, server: OpenSsh) -> None:
    told = list(people(10_000))
    deliveries = [sample_delivery(data=canonical(data)) for data in told]
    receipts = await council.deliver_many(deliveries)
    name = file_name("unwaith", deliveries)
    assert {receipt.outcome for receipt in receipts if isinstance(receipt, Receipt)} == {Outcome.ACCEPTED}
    assert [receipt.reference for receipt in receipts if isinstance(receipt, Receipt)] == [
        f"{name}#{number}" for number in range(1, len(deliveries) + 1)
    ]
    assert [path.name for path in (server.files / "incoming").iterdir()] == [name]
    rows = rows_of((server.files / "incoming" / name).read_bytes())
    assert [row["delivery_id"] for row in rows] == [str(delivery.id) for delivery in deliveries]
    for row, data in zip(rows, told, strict=True):
        for column in COLUMNS:
            assert row[column.name] == path_of(data, column.path)
    assert [type(one) for one in await council.deliver_many(deliveries)] == [Receipt] * len(deliveries)
    assert len(list((server.files / "incoming").iterdir())) == 1


async def test_ten_thousand_answers_are_collected_and_the_file_is_done(server: OpenSsh) -> None:
    answers = [
        (UUID(int=number), outcome, f"CT/{number}")
        for number, outcome in enumerate(
            [Outcome.APPLIED, Outcome.NOT_MATCHED, Outcome.MUST_REVIEW, Outcome.APPLIED] * 2500
        )
    ]
    outgoing = server.files / "outgoing"
    (outgoing / "atebion.csv").write_bytes(answers_file(answers))
    collector = SftpAnswers(context(server.settings | {"answers": str(outgoing)}, {"ssh-key": server.key}))
    (found,) = [file async for file in collector.collect()]
    assert [(one.delivery_id, one.outcome, one.reference) for one in found.receipts] == answers
    assert {one.kind for one in found.receipts} == {ReceiptKind.ANSWERED}
    (again,) = [file async for file in collector.collect()]
    assert [one.id for one in again.receipts] == [one.id for one in found.receipts]
    await found.done()
    assert [path.name for path in outgoing.iterdir()] == ["atebion.done"]
    (outgoing / "atebion.csv").write_bytes(answers_file(answers[:1]))  # the same name on another day
    (next_day,) = [file async for file in collector.collect()]
    await next_day.done()
    assert [path.name for path in outgoing.iterdir()] == ["atebion.done"]
    await collector.close()


async def test_an_upload_that_was_cut_leaves_nothing_that_could_be_loaded(council: Sftp, server: OpenSsh) -> None:
    incoming = server.files / "incoming"
    deliveries = [sample_delivery(data=canonical(data)) for data in people(3000)]
    name = file_name("unwaith", deliveries)
    uploading = asyncio.create_task(council.deliver_many(deliveries))
    while not (incoming / f"{name}.part").exists():
        assert not uploading.done()
        await asyncio.sleep(0)
    uploading.cancel()
    ended = await asyncio.gather(uploading, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError)
    assert not (incoming / name).exists()
    assert {type(one) for one in await council.deliver_many(deliveries)} == {Receipt}
    assert len(rows_of((incoming / name).read_bytes())) == 3000
    assert not (incoming / f"{name}.part").exists()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("host key", Reason.HOST_KEY_UNKNOWN),
        ("kind of host key", Reason.HOST_KEY_UNKNOWN),
        ("our key", Reason.UNAUTHORISED),
        ("user", Reason.UNAUTHORISED),
        ("folder", Reason.ENDPOINT_MISSING),
        ("folder is a file", Reason.ENDPOINT_MISSING),
    ],
)
async def test_what_a_person_must_put_right(server: OpenSsh, wrong: str, reason: Reason) -> None:
    settings, key = server.settings, server.key
    other = asyncssh.generate_private_key("ssh-ed25519")
    match wrong:
        case "host key":
            settings["host_keys"] = (other.export_public_key().decode().strip(),)
        case "kind of host key":
            ecdsa = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
            settings["host_keys"] = (ecdsa.export_public_key().decode().strip(),)
        case "our key":
            key = other.export_private_key().decode()
        case "user":
            settings["user"] = "nobody-of-this-name"
        case "folder":
            settings["folder"] += "/nowhere"
        case _:
            Path(server.files, "a-file").write_text("x")
            settings["folder"] = str(server.files / "a-file")
    adapter = Sftp(context(settings, {"ssh-key": key}))
    ended = await attempt(adapter, sample_delivery())
    await adapter.close()
    assert isinstance(ended, Misconfigured), repr(ended)
    assert ended.reason is reason

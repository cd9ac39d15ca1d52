"""Files by SFTP on the real way out: the suite against a scripted server, every fault, every byte of the file."""

import asyncio
import csv
import hashlib
import io
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from uuid import UUID, uuid4

import asyncssh
import pytest

from adapters.batch_file import COLUMNS, FileAnswer, Unreadable, read_answers, safe
from adapters.conformance import (
    DEADLINE,
    FAILS_AS,
    WELSH,
    AdapterConformance,
    Mishap,
    Says,
    Standing,
    attempt,
    sample_delivery,
    sample_withdrawal,
)
from adapters.conformance_sftp import FOLDER, SftpPeer
from adapters.registry import adapter_for, collector_for
from adapters.sftp import Sftp, file_name
from adapters.sftp_answers import SETTLED, SftpAnswers
from contracts.adapters import Adapter
from contracts.delivery import Delivery, Failure, Misconfigured, Rejected, Unavailable, Unknown
from contracts.events import canonical
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason
from tests.support.answers import answers_file, sealed
from tests.support.ways_out import context

GOLDEN = Path(__file__).parent / "golden"


@asynccontextmanager
async def council(*, deadline: timedelta = DEADLINE, **settings: Any) -> AsyncIterator[tuple[Sftp, SftpPeer]]:
    with TemporaryDirectory() as root:
        async with SftpPeer(Path(root)) as peer:
            adapter = Sftp(context(peer.settings | settings, {"ssh-key": peer.key}, deadline=deadline))
            try:
                yield adapter, peer
            finally:
                await adapter.close()


class TestSftp(AdapterConformance):
    mishaps = frozenset({*Mishap, *Standing}) - {Mishap.BOMB, Mishap.BABBLES, Mishap.REDIRECTS}
    outcomes = frozenset({Outcome.ACCEPTED})
    well = Outcome.ACCEPTED
    says_when = False
    fails_as: ClassVar = {
        **FAILS_AS,
        Standing.UNTRUSTED: ((Misconfigured,), Reason.HOST_KEY_UNKNOWN),
        Mishap.DRIPS: ((Unavailable,), Reason.DEADLINE_PASSED),
        Mishap.GARBAGE: ((Unavailable,), None),
        Mishap.FLOODS: ((Unavailable,), None),
    }

    @asynccontextmanager
    async def system(
        self, *, deadline: timedelta = DEADLINE, standing: Standing = Standing.PRESENT
    ) -> AsyncIterator[tuple[Adapter, SftpPeer]]:
        wrong: dict[str, Any] = {}
        if standing is Standing.UNTRUSTED:
            other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
            wrong = {"host_keys": (other,)}
        async with council(deadline=deadline, **wrong) as (adapter, peer):
            if standing is Standing.ABSENT:
                peer.leave()
            yield adapter, peer

    def key(self, delivery: Delivery) -> str:
        return file_name("unwaith", [delivery])

    def reference(self, delivery: Delivery) -> str:
        return f"{self.key(delivery)}#1"

    def carries(self, content: bytes, data: bytes) -> bool:
        assert data == WELSH
        (row,) = rows_of(content)
        return (row["family_name"], row["given_names"], row["new_building_name"], row["new_street"]) == (
            *("Gŵyr-Môn", "Siân Llŷr"),
            *("Tŷ Gŵyr", "Ffordd y Môr"),
        )


def rows_of(content: bytes) -> list[dict[str, str]]:
    """Read a file as its receiver does: the trailer first, then the rows, one leading ' taken away."""
    body = content[: content.rstrip(b"\r\n").rfind(b"\n") + 1]
    head, columns, *rows, trailer = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    assert head[:3] == ["H", "unwaith-deliveries", "1"]
    assert trailer == ["T", str(len(rows)), hashlib.sha256(body).hexdigest()]
    assert columns[0] == "C"
    assert [row[:2] for row in rows] == [["D", str(number)] for number in range(1, len(rows) + 1)]
    return [{name: cell.removeprefix("'") for name, cell in zip(columns[1:], row[1:], strict=True)} for row in rows]


def files_in(peer: SftpPeer) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (peer.root / FOLDER).iterdir()}


FIRST = UUID("0f5bb1f2-62d0-4d5c-9a3c-4a2f3c9d7e10")
SECOND = UUID("b1c7e5d4-0a3e-4f6b-8d2c-91f0a7c3e522")


def told_with(roles: tuple[str, ...] = ("arriving",), **change: Any) -> bytes:
    data = json.loads(WELSH)
    data["change"] = {name: value for name, value in (data["change"] | change).items() if value is not None}
    return canonical(data | {"roles": list(roles)})


async def test_golden_file() -> None:
    deliveries = [
        sample_delivery(delivery_id=FIRST),
        sample_delivery(delivery_id=SECOND, data=told_with(("leaving",), newAddress=None, tenure="=HYPERLINK(1)")),
    ]
    async with council() as (adapter, peer):
        receipts = await adapter.deliver_many(deliveries)
        ((name, content),) = files_in(peer).items()
    assert content.replace(b"\r\n", b"\n").decode() == (GOLDEN / "sftp-address.csv").read_text(encoding="utf-8")
    assert [one.reference for one in receipts if isinstance(one, Receipt)] == [f"{name}#1", f"{name}#2"]
    assert content.count(b"\r\n") == content.count(b"\n") == 5


WITH_WITHDRAWN = [
    *({"name": column.name, "path": column.path} for column in COLUMNS),
    {"name": "withdraws", "path": "/withdraws/id"},
]


async def test_golden_file_with_a_row_taken_back() -> None:
    deliveries = [sample_delivery(delivery_id=FIRST), replace(sample_withdrawal(WELSH), subject="another")]
    async with council(columns=WITH_WITHDRAWN) as (adapter, peer):
        receipts = await adapter.deliver_many(deliveries)
        ((_, content),) = files_in(peer).items()
    assert [type(one) for one in receipts] == [Receipt, Receipt]
    golden = (GOLDEN / "sftp-change-withdrawn.csv").read_text(encoding="utf-8")
    assert content.replace(b"\r\n", b"\n").decode() == golden
    told, back = rows_of(content)
    assert (told["type"], told["withdraws"]) == ("wales.unwaith.address-changed.v1", "")
    assert (back["type"], back["withdraws"]) == ("wales.unwaith.change-withdrawn.v1", str(FIRST))
    assert back["family_name"] == told["family_name"]
    assert not any(cell for name, cell in back.items() if name.startswith(("new_", "previous_"))), "it is no move"


async def test_who_has_no_column_for_it_is_put_no_row_that_takes_another_back() -> None:
    async with council() as (adapter, peer):
        kept, rejected = await adapter.deliver_many([sample_delivery(), sample_withdrawal(WELSH)])
        ((_, content),) = files_in(peer).items()
    assert isinstance(kept, Receipt)
    assert isinstance(rejected, Rejected)
    assert rejected.reason is Reason.INVALID_FOR_RECEIVER
    assert len(rows_of(content)) == 1


async def test_columns_are_the_organisation_s_own() -> None:
    wanted = (
        {"name": "Cyfenw", "path": "/person/name/family"},
        {"name": "Cod post", "path": "/change/newAddress/postalCode"},
        {"name": "UPRN", "path": "/change/newAddress/uprn"},
        {"name": "Ddim yno", "path": "/change/household"},
        {"name": "Rhifau", "path": "/person/identifiers"},
    )
    async with council(columns=wanted) as (adapter, peer):
        await adapter.deliver(sample_delivery())
        (row,) = rows_of(next(iter(files_in(peer).values())))
    assert list(row)[6:] == ["Cyfenw", "Cod post", "UPRN", "Ddim yno", "Rhifau"]
    assert list(row.values())[6:10] == ["Gŵyr-Môn", "SA1 0ZZ", "100100999002", ""]
    assert json.loads(row["Rhifau"]) == json.loads(WELSH)["person"]["identifiers"]


FORMULAS = ["=1+1", "+44", "-1", "@SUM(A1)", "\tx", "\rx", "\uff1dx", "\uff0bx", "\uff0dx", "\uff20x", "'x", "'=x"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_no_cell_is_a_formula_and_none_is_changed(cell: str) -> None:
    assert safe(cell) == "'" + cell
    assert safe(cell).removeprefix("'") == cell


@pytest.mark.parametrize("cell", ["", "Siân", "O'Neill", "1=1", "a\tb", " =1", "–1"])  # noqa: RUF001
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert safe(cell) == cell


async def test_a_file_that_is_there_already_is_compared_and_never_overwritten() -> None:
    async with council() as (adapter, peer):
        delivery = sample_delivery()
        first = await adapter.deliver(delivery)
        assert len(peer.arrivals) == 1
        again = await adapter.deliver(replace(delivery, attempt=2))
        assert (again.outcome, again.reference) == (first.outcome, first.reference)
        assert len(peer.arrivals) == 1, "it was written again"
        path = peer.root / FOLDER / file_name("unwaith", [delivery])
        for other in (b"", path.read_bytes()[:-1], path.read_bytes() + b"x", b"x" * len(path.read_bytes())):
            path.write_bytes(other)
            ended = await attempt(adapter, delivery)
            assert isinstance(ended, Unknown)
            assert ended.reason is Reason.CONFLICTS
            assert path.read_bytes() == other


async def test_what_an_earlier_try_left_is_overwritten() -> None:
    async with council() as (adapter, peer):
        delivery = sample_delivery()
        part = peer.root / FOLDER / (file_name("unwaith", [delivery]) + ".part")
        part.write_bytes(b"half a file" * 10_000)
        await adapter.deliver(delivery)
        ((name, content),) = files_in(peer).items()
        assert name == file_name("unwaith", [delivery])
        assert len(rows_of(content)) == 1


async def test_a_delivery_that_tells_too_little_is_rejected_alone() -> None:
    poor = [told_with(effectiveDate=None), told_with(newAddress=None, previousAddress=None), b"{}", b"[", b"\xff"]
    deliveries = [sample_delivery(data=data) for data in (WELSH, *poor, WELSH)]
    async with council() as (adapter, peer):
        ended = await adapter.deliver_many(deliveries)
        assert [type(one) for one in ended] == [Receipt, *[Rejected] * len(poor), Receipt]
        ((name, content),) = files_in(peer).items()
        assert [row["delivery_id"] for row in rows_of(content)] == [str(deliveries[0].id), str(deliveries[-1].id)]
        assert isinstance(ended[-1], Receipt)
        assert ended[-1].reference == f"{name}#2"
        only_poor = await adapter.deliver_many(deliveries[1:-1])
        assert [type(one) for one in only_poor] == [Rejected] * len(poor)
        assert len(files_in(peer)) == 1
        assert not await adapter.deliver_many([])


async def test_a_failure_is_everybody_s_who_was_to_be_in_the_file() -> None:
    async with council() as (adapter, peer):
        peer.does(Mishap.FAILS)
        deliveries = [sample_delivery(), sample_delivery(data=b"{}"), sample_delivery()]
        ended = await adapter.deliver_many(deliveries)
        assert [type(one) for one in ended] == [Unavailable] * 3, (
            "whoever makes no row too: what comes again is the same"
        )
        assert all(name.endswith(".part") for name in files_in(peer))
        peer.does(Says(Outcome.ACCEPTED))
        again = await adapter.deliver_many(deliveries)
        assert [type(one) for one in again] == [Receipt, Rejected, Receipt]
        assert [name.endswith(".csv") for name in files_in(peer)] == [True]


async def test_one_connection_serves_and_a_lost_one_is_made_anew() -> None:
    async with council() as (adapter, peer):
        for _ in range(3):
            await adapter.deliver(sample_delivery())
        assert peer.connections == 1
        await peer.hang_up()
        ended = await attempt(adapter, sample_delivery())
        assert isinstance(ended, Receipt | Unavailable)
        assert isinstance(await attempt(adapter, sample_delivery()), Receipt)


async def test_while_keys_change_over_either_of_them_opens() -> None:
    with TemporaryDirectory() as root:
        async with SftpPeer(Path(root)) as peer:
            other = asyncssh.generate_private_key("ssh-ed25519")
            old = other.export_private_key().decode()
            public = other.export_public_key().decode().strip()
            settings = peer.settings | {"host_keys": (public, *peer.settings["host_keys"])}
            adapter = Sftp(context(settings, {"ssh-key": old, "ssh-key-previous": peer.key}))
            await adapter.deliver(sample_delivery())
            await adapter.close()


def test_the_name_is_the_deliveries_and_their_order() -> None:
    one, two = sample_delivery(delivery_id=FIRST), sample_delivery(delivery_id=SECOND)
    assert file_name("unwaith", [one, two]) == file_name("unwaith", [replace(one, attempt=7), two])
    names = {file_name("unwaith", which) for which in ([one], [two], [one, two], [two, one])}
    assert len(names) == 4
    assert all(name.startswith("unwaith-20260301-") and len(name) <= 50 for name in names)


@pytest.mark.parametrize(
    ("settings", "secrets", "says_what"),
    [
        ({"host": None}, {}, "adapter setting host"),
        ({"user": "a b"}, {}, "adapter setting user"),
        ({"user": "-oProxyCommand"}, {}, "adapter setting user"),
        ({"folder": "../etc"}, {}, "adapter setting folder"),
        ({"folder": "a/../b"}, {}, "adapter setting folder"),
        ({"folder": ""}, {}, "adapter setting folder"),
        ({"host_keys": ()}, {}, "adapter setting host_keys"),
        ({"host_keys": ("hunter2",)}, {}, "adapter setting host_keys"),
        ({"columns": ({"name": "a", "path": "person"},)}, {}, "adapter setting columns"),
        ({"prefix": "A B"}, {}, "adapter setting prefix"),
        ({"password": "hunter2"}, {}, "adapter setting password"),
        ({}, {"ssh-key": None}, "secret ssh-key: is missing"),
        ({}, {"ssh-key": "hunter2"}, "secret ssh-key: must be a private key"),
        ({}, {"ssh-key": "protected"}, "secret ssh-key: must be a private key"),
    ],
)
async def test_wrong_settings_are_named_without_their_value(
    settings: dict[str, Any], secrets: dict[str, str | None], says_what: str
) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    good = {
        "host": "localhost",
        "user": "unwaith",
        "host_keys": (key.export_public_key().decode().strip(),),
        "folder": "incoming",
    }
    given = {"ssh-key": key.export_private_key().decode()} | secrets
    if given["ssh-key"] == "protected":
        given["ssh-key"] = key.export_private_key("pkcs8-pem", passphrase="hunter2").decode()
    wrong = context(
        {name: value for name, value in (good | settings).items() if value is not None},
        {name: value for name, value in given.items() if value is not None},
    )
    with pytest.raises(ValueError, match=says_what) as raised:
        adapter_for("sftp", wrong)
    assert "hunter2" not in str(raised.value).replace("adapter setting password", "")
    await wrong.close()


DELIVERY = UUID("5d0a3f0e-9f7c-4c0e-8a53-0c8c1d1e2f01")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n\r\n",
        b"\xff\xfe",
        sealed(b"", 0),
        sealed(b"A,x,applied,\r\n", 1),
        answers_file([(DELIVERY, "applied", "1")])[:-70],
        answers_file([(DELIVERY, "applied", "1")]).replace(b"applied", b"mislaid"),
        answers_file([(DELIVERY, "iawn, diolch", "")]),
        answers_file([("Siân Gŵyr", "applied", "")]),
        answers_file([(DELIVERY, "applied", "Mrs Jones, 3 High St")]),
        answers_file([(DELIVERY, "applied", "x" * 65)]),
        sealed(b"H,unwaith-answers,1,a\r\nA," + str(DELIVERY).encode() + b",applied,\r\n", 2),
        sealed(b"H,unwaith-answers,1,a\r\nA," + str(DELIVERY).encode() + b",applied,\r\n", "one"),
        sealed(b"H,unwaith-answers,2,a\r\n", 0),
        sealed(b"H,unwaith-answers,1,a\r\nB,x\r\n", 1),
        sealed(b'H,unwaith-answers,1,"a\r\n', 0),
        sealed(b"H,unwaith-answers,1,a\x00\r\n", 1),
    ],
)
def test_files_of_answers_that_are_not_whole_or_not_right(content: bytes) -> None:
    with pytest.raises(Unreadable) as raised:
        read_answers(content)
    assert "Siân" not in str(raised.value)


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_files_of_answers_as_people_write_them(ends: str) -> None:
    content = answers_file([(DELIVERY, Outcome.APPLIED, "CT/1"), (DELIVERY, Outcome.MUST_REVIEW, "")], ends=ends)
    for written in (content, content.rstrip(b"\r\n"), content + ends.encode()):
        told = list(read_answers(written))
        assert [(one.delivery_id, one.outcome, one.reference, one.row) for one in told] == [
            (DELIVERY, Outcome.APPLIED, "CT/1", 1),
            (DELIVERY, Outcome.MUST_REVIEW, None, 2),
        ]


async def test_answers_are_collected_until_they_are_durable() -> None:
    with TemporaryDirectory() as root:
        async with SftpPeer(Path(root)) as peer:
            folder = Path(root, "outgoing")
            folder.mkdir()
            ids = [uuid4() for _ in range(3)]
            (folder / "a.csv").write_bytes(
                answers_file([(ids[0], Outcome.APPLIED, "CT/1"), (ids[1], Outcome.NOT_MATCHED, "")])
            )
            (folder / "b.csv").write_bytes(answers_file([(ids[2], Outcome.MUST_REVIEW, "CRM-7")]))
            for ignored in ("c.csv.part", ".hidden.csv", "notes.txt", "old.done"):
                (folder / ignored).write_bytes(b"x")
            answers = SftpAnswers(context(peer.settings | {"answers": "outgoing"}, {"ssh-key": peer.key}))
            first = [list(found.receipts) async for found in answers.collect()]
            assert [[(one.delivery_id, one.outcome, one.reference) for one in file] for file in first] == [
                [(ids[0], Outcome.APPLIED, "CT/1"), (ids[1], Outcome.NOT_MATCHED, None)],
                [(ids[2], Outcome.MUST_REVIEW, "CRM-7")],
            ]
            async for found in answers.collect():
                assert {one.id for one in found.receipts} <= {one.id for file in first for one in file}
                await found.done()
                await found.done()  # a second time, as when the first one's answer was lost
            assert [found async for found in answers.collect()] == []
            assert sorted(path.name for path in folder.glob("*.done")) == ["a.done", "b.done", "old.done"]
            await answers.close()


async def test_a_large_file_is_read_beside_what_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def takes_long(content: bytes) -> Iterator[FileAnswer]:
        begun.set()
        assert goes_on.wait(10), "nothing else went on"
        return read_answers(content)

    def on_the_loop() -> datetime:
        asyncio.get_running_loop()  # the exchange's clock can be asked nowhere else
        return datetime.now(UTC)

    async def something_else() -> None:
        while not begun.is_set():
            await asyncio.sleep(0.01)
        goes_on.set()

    monkeypatch.setattr("adapters.sftp_answers.read_answers", takes_long)
    with TemporaryDirectory() as root:
        async with SftpPeer(Path(root)) as peer:
            folder = Path(root, "outgoing")
            folder.mkdir()
            (folder / "a.csv").write_bytes(answers_file([(uuid4(), Outcome.APPLIED, "")]))
            given = context(peer.settings | {"answers": "outgoing"}, {"ssh-key": peer.key})
            answers = SftpAnswers(replace(given, clock=on_the_loop))
            beside = asyncio.create_task(something_else())
            assert [len(file.receipts) async for file in answers.collect()] == [1]
            await beside
            await answers.close()


async def test_a_file_that_cannot_be_opened_is_said_and_holds_up_no_other() -> None:
    with TemporaryDirectory() as root:
        async with SftpPeer(Path(root)) as peer:
            folder = Path(root, "outgoing")
            (folder / "a.csv").mkdir(parents=True)
            (folder / "b.csv").write_bytes(answers_file([(uuid4(), Outcome.APPLIED, "")]))
            answers = SftpAnswers(context(peer.settings | {"answers": "outgoing"}, {"ssh-key": peer.key}))
            collecting = answers.collect()
            file = await anext(collecting)
            assert len(file.receipts) == 1
            await file.done()
            with pytest.raises(Failure):
                await anext(collecting)
            assert (folder / "b.done").exists()
            await answers.close()


async def test_a_name_that_is_used_again_says_something_new_and_a_second_reading_does_not() -> None:
    with TemporaryDirectory() as root:
        async with SftpPeer(Path(root)) as peer:
            folder = Path(root, "outgoing")
            folder.mkdir()
            answers = SftpAnswers(context(peer.settings | {"answers": "outgoing"}, {"ssh-key": peer.key}))
            delivery, read = uuid4(), []
            for outcome in (Outcome.MUST_REVIEW, Outcome.APPLIED, Outcome.APPLIED):
                (folder / "daily.csv").write_bytes(answers_file([(delivery, outcome, "CT/1")]))
                (file,) = [found async for found in answers.collect()]
                read += [receipt.id for receipt in file.receipts]
                await file.done()
            assert read[0] != read[1], "what was only to be looked at is applied now"
            assert read[1] == read[2], "read twice"
            await answers.close()


async def test_a_file_that_is_no_answer_is_left_while_it_may_be_written_and_then_set_aside() -> None:
    with TemporaryDirectory() as root:
        async with SftpPeer(Path(root)) as peer:
            folder = Path(root, "outgoing")
            folder.mkdir()
            good = answers_file([(uuid4(), Outcome.APPLIED, "")])
            (folder / "a.csv").write_bytes(good.replace(b"applied", b"failed,"))
            (folder / "b.csv").write_bytes(good)
            (folder / "c.csv").write_bytes(b"x" * (16 * 1024 * 1024 + 10))
            (folder / "d.csv").write_bytes(good[:40])
            later = context(peer.settings | {"answers": "outgoing"}, {"ssh-key": peer.key})
            at = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
            answers = SftpAnswers(replace(later, clock=lambda: at))
            (found,) = [file async for file in answers.collect()]
            assert not found.unreadable
            await found.done()
            at += SETTLED - timedelta(seconds=1)
            assert [file async for file in answers.collect()] == []
            (folder / "d.csv").write_bytes(good[:60])
            at += timedelta(seconds=1)
            refused = [file async for file in answers.collect()]
            assert [(file.unreadable, list(file.receipts)) for file in refused] == [(True, []), (True, [])]
            for file in refused:
                await file.done()
            assert sorted(path.name for path in folder.iterdir()) == ["a.unreadable", "b.done", "c.unreadable", "d.csv"]
            (folder / "d.csv").write_bytes(good)
            (whole,) = [file async for file in answers.collect()]
            (folder / "d.csv").write_bytes(good + b"\r\n")
            await whole.done()
            assert (folder / "d.csv").exists(), "it was written anew, so it is read again"
            await answers.close()


async def test_answers_need_a_folder() -> None:
    with TemporaryDirectory() as root:
        async with SftpPeer(Path(root)) as peer:
            unused = context(peer.settings, {"ssh-key": peer.key})
            with pytest.raises(ValueError, match="adapter setting answers"):
                SftpAnswers(unused)
            assert collector_for("sftp", unused) is None
            assert collector_for("webhook", unused) is None
            for same in (FOLDER, f"/{FOLDER}"):
                mixed = context(peer.settings | {"answers": same}, {"ssh-key": peer.key})
                with pytest.raises(ValueError, match="answers must be another folder"):
                    collector_for("sftp", mixed)
                await mixed.close()
            await unused.close()
            missing = SftpAnswers(context(peer.settings | {"answers": "nowhere"}, {"ssh-key": peer.key}))
            with pytest.raises(Failure) as raised:
                await anext(missing.collect())
            assert isinstance(raised.value, Misconfigured)
            assert raised.value.reason is Reason.ENDPOINT_MISSING
            await missing.close()


async def test_files_are_put_one_after_the_other() -> None:
    async with council() as (adapter, peer):
        deliveries = [sample_delivery() for _ in range(30)]
        await asyncio.gather(*map(adapter.deliver, deliveries))
        assert [arrival.key for arrival in peer.arrivals] == [file_name("unwaith", [one]) for one in deliveries]

"""From an organisation in the register to an adapter that reaches it: its way out, its secrets, its deadline."""

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.conformance import attempt, sample_delivery
from adapters.conformance_mllp import MllpPeer
from adapters.conformance_sftp import SftpPeer
from adapters.conformance_tls import certificate_of, server_tls
from broker.delivery.adapting import HeldAdapter
from broker.delivery.attempt import attempt as engine_attempt
from broker.main.roles import _adapters, _contexts, secret_name
from broker.main.rooms import Rooms
from broker.outbound.client import tls_context
from contracts.adapters import Adapter
from contracts.delivery import Misconfigured
from contracts.organisation import Organisation
from contracts.receipts import FailureKind, Receipt
from contracts.statuses import Reason
from tests.support.line import now

SETTINGS = SimpleNamespace(public_url="https://unwaith.example")


class Secrets:
    """A vault that holds these, by their whole names."""

    def __init__(self, **held: str) -> None:
        self._held = {secret_name("board", name.replace("_", "-")): value.encode() for name, value in held.items()}
        self.asked: list[str] = []

    async def find(self, name: str) -> bytes | None:
        self.asked.append(name)
        return self._held.get(name)


async def made(
    adapter: str, settings: dict[str, Any], secrets: Secrets, *allowed_hosts: str, deadline_seconds: float = 10.0
) -> Adapter:
    organisation = Organisation.model_validate(
        {
            "id": "board",
            "name": {"cy": "Bwrdd", "en": "Board"},
            "sector": "health-board",
            "adapter": adapter,
            "adapter_settings": settings,
            "allowed_hosts": allowed_hosts,
            "policy": {"deadline_seconds": deadline_seconds},
        }
    )
    kept = Organisation.model_validate_json(organisation.model_dump_json())  # as the register has it
    rooms = cast(
        "Rooms", SimpleNamespace(database=None, directory=SimpleNamespace(now=now), vault=secrets, settings=SETTINGS)
    )
    return await _adapters(_contexts(rooms, tls_context(), tls_context(spoken=None)))(kept)


async def test_a_board_by_hl7_is_reached_only_where_an_operator_allows_it() -> None:
    async with MllpPeer() as peer:
        parties = ("sending_application", "sending_facility", "receiving_application", "receiving_facility")
        settings = {"host": "localhost", "port": peer.port, "tls": False, **dict.fromkeys(parties, "108")}
        for allowed, reached in ((("localhost",), True), ((), False), (("another.example",), False)):
            adapter = await made("hl7v2", settings, Secrets(), *allowed)
            ended = await attempt(adapter, sample_delivery())
            await adapter.close()
            assert isinstance(ended, Receipt) is reached
            if not isinstance(ended, Receipt):
                assert isinstance(ended, Misconfigured)
                assert ended.reason is Reason.ADDRESS_NOT_ALLOWED
        assert len(peer.messages) == 1


async def test_a_council_by_sftp_gets_its_own_key_and_no_other_secret(tmp_path: Path) -> None:
    async with SftpPeer(tmp_path) as peer:
        secrets = Secrets(ssh_key=peer.key, signing="whsec_x")
        adapter = await made("sftp", peer.settings, secrets, "localhost")
        assert isinstance(await attempt(adapter, sample_delivery()), Receipt)
        await adapter.close()
        assert secrets.asked == ["webhook:board:ssh-key", "webhook:board:ssh-key-previous"]


def test_both_are_reached_on_the_loop_that_processes_run_on(tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_a_board_by_hl7_is_reached_only_where_an_operator_allows_it())
        runner.run(test_a_council_by_sftp_gets_its_own_key_and_no_other_secret(tmp_path))


async def test_an_adapter_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="adapter: must be one of fhir, hl7v2, pull, sftp, webhook"):
        await made("pigeon", {}, Secrets())
    async with SftpPeer(tmp_path) as peer:
        with pytest.raises(ValueError, match="secret ssh-key: is missing"):
            await made("sftp", peer.settings, Secrets(), "localhost")


@pytest.mark.parametrize("adapter", ["hl7v2", "webhook"])
async def test_who_cannot_even_be_connected_to_in_time_has_received_nothing(adapter: str) -> None:
    """The attempt's own end could only say that it may have arrived, and a few of those end a delivery."""
    open_until = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await open_until.wait()  # and no word of TLS
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        parties = ("sending_application", "sending_facility", "receiving_application", "receiving_facility")
        settings: dict[str, Any] = {
            "hl7v2": {"host": "localhost", "port": port, **dict.fromkeys(parties, "108")},
            "webhook": {"endpoint": f"https://localhost:{port}/"},
        }[adapter]
        secrets = Secrets(signing="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        reaching = await made(adapter, settings, secrets, "localhost", deadline_seconds=3.0)
        receipt = await engine_attempt(reaching, sample_delivery(), 3.0, lambda: datetime.now(UTC))
        await reaching.close()
        open_until.set()
    assert (receipt.failure, receipt.reason) == (FailureKind.UNAVAILABLE, Reason.DEADLINE_PASSED)


async def test_each_organisation_is_shown_its_own_certificate_and_the_next_one_once_it_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority = trustme.CA()

    def trusting(*, spoken: str | None = "http/1.1") -> ssl.SSLContext:
        made = tls_context(spoken=spoken)
        authority.configure_trust(made)
        return made

    monkeypatch.setattr("broker.main.roles.tls_context", trusting)
    shown: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")  # OPTIONS, which it refuses
                shown.append(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
                writer.write(b"HTTP/1.1 405 -\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    tls = server_tls(authority, clients=authority)
    async with await asyncio.start_server(take, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        signing = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        wanted = []
        held = HeldAdapter(lambda _: made("webhook", settings, secrets, "localhost"))
        settings = {"endpoint": f"https://localhost:{port}/"}
        reached = cast("Organisation", SimpleNamespace(policy=SimpleNamespace(batch=None)))
        for _ in range(3):
            pem = certificate_of(authority)
            wanted.append(x509.load_pem_x509_certificates(pem.encode())[0].public_bytes(Encoding.DER))
            secrets = Secrets(signing=signing, client_certificate=pem)
            made_so = await held.taken(reached, pem.encode())
            ended = await attempt(made_so.adapter, sample_delivery())
            held.back(made_so)
            assert isinstance(ended, Misconfigured), repr(ended)
        assert shown == wanted, "one connection for each, though all go to the same place"
        await held.close()


async def test_a_certificate_that_is_none_is_named() -> None:
    secrets = Secrets(signing="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", client_certificate="hunter2")
    with pytest.raises(ValueError, match="secret client-certificate: must be PEM") as raised:
        await made("webhook", {"endpoint": "https://h.example/"}, secrets)
    assert "hunter2" not in str(raised.value)

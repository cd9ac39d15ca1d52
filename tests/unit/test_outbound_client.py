"""The way out against a real server on loopback: what is sent, what is given back, what each fault is called."""

import asyncio
import gzip
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from adapters.conformance import Mishap
from adapters.conformance_http import HttpPeer, response
from broker.outbound.client import ANSWER_CAP, USER_AGENT, GuardedClient, tls_context
from broker.outbound.fetch import get_json
from contracts.delivery import Failure, Misconfigured, Unavailable, Unknown
from contracts.statuses import Reason

SOON = timedelta(seconds=5)


@asynccontextmanager
async def guarded(
    *, tls: ssl.SSLContext | None = None, deadline: timedelta = SOON, connections: int = 64
) -> AsyncIterator[GuardedClient]:
    client = GuardedClient(
        tls=tls or tls_context(), deadline=deadline, allowed_hosts=["localhost"], connections=connections
    )
    try:
        yield client
    finally:
        await client.close()


async def test_what_is_sent_is_ours_and_only_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login somebody password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with HttpPeer() as peer, guarded() as client:
        peer.does(response(200, b"", ("Set-Cookie", "seen=1; Path=/")))
        for _ in range(2):
            await client.post(peer.url, headers={"content-type": "text/plain"}, content="Tŷ Gŵyr".encode())
        request = peer.requests[1]
        assert request.body.decode() == "Tŷ Gŵyr"
        assert request.headers == {
            "host": peer.url.split("/")[2],
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": USER_AGENT,
            "content-type": "text/plain",
            "content-length": "9",
        }
        assert peer.accepted == 1, "the connection was not kept"


async def test_what_is_accepted_is_said_once() -> None:
    sent = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent.extend(await reader.readuntil(b"\r\n\r\n"))
        writer.write(response(204))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, guarded() as client:
        url = f"http://localhost:{server.sockets[0].getsockname()[1]}/"
        await client.post(url, headers={"Accept": "application/fhir+json"}, content=b"")
        assert [line for line in bytes(sent).lower().split(b"\r\n") if line.startswith(b"accept:")] == [
            b"accept: application/fhir+json"
        ]


async def test_connections_are_bounded() -> None:
    async with HttpPeer() as peer, guarded(connections=3) as client:
        await asyncio.gather(*(client.post(peer.url, headers={}, content=b"x") for _ in range(40)))
        assert len(peer.requests) == 40
        assert peer.accepted == 3


async def test_waiting_for_a_connection_counts_and_nothing_was_sent() -> None:
    async with HttpPeer() as peer, guarded(connections=1, deadline=timedelta(seconds=60)) as client:
        peer.does(Mishap.NEVER_ANSWERS)
        first = asyncio.create_task(client.post(peer.url, headers={}, content=b"x"))
        while not peer.requests:
            await asyncio.sleep(0.01)
        with pytest.raises(Unavailable) as second:
            await client.exchange("POST", peer.url, headers={}, content=b"x", within=timedelta(seconds=0.2))
        assert second.value.reason == Reason.DEADLINE_PASSED
        assert len(peer.requests) == 1
        await client.close()
        with pytest.raises(Unknown):
            await first


async def test_a_kept_connection_that_was_closed_is_passed_over() -> None:
    async with HttpPeer() as peer, guarded() as client:
        for number in range(1, 21):
            await client.post(peer.url, headers={}, content=b"x")
            assert len(peer.requests) == peer.accepted == number
            peer.hang_up()  # and the event loop has had no time to notice


async def test_closing_ends_what_is_under_way() -> None:
    async with HttpPeer() as peer, guarded() as client:
        peer.does(Mishap.NEVER_ANSWERS)
        under_way = asyncio.create_task(client.post(peer.url, headers={}, content=b"x"))
        while not peer.requests:
            await asyncio.sleep(0.01)
        await client.close()
        with pytest.raises(Unknown):
            await under_way


async def test_an_answer_is_cut_at_the_cap() -> None:
    async with HttpPeer() as peer, guarded() as client:
        peer.does(response(200, b"y" * (ANSWER_CAP + 1)))
        assert (await client.post(peer.url, headers={}, content=b"x")).body == b"y" * ANSWER_CAP


async def test_an_announcement_is_not_the_answer() -> None:
    async with HttpPeer() as peer, guarded() as client:
        peer.does(b"HTTP/1.1 103 Early Hints\r\nOutcome: none\r\n\r\n" + response(200, b"taken"))
        answer = await client.post(peer.url, headers={}, content=b"x")
        assert (answer.status, answer.body) == (200, b"taken")
        assert "outcome" not in answer.headers


async def test_a_body_without_length_ends_with_the_connection() -> None:
    async with HttpPeer() as peer, guarded() as client:
        peer.does(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        under_way = asyncio.create_task(client.post(peer.url, headers={}, content=b"x"))
        while not peer.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert not under_way.done()
        peer.hang_up()
        assert (await under_way).body == b"all of it"


@pytest.mark.parametrize(
    "behind",
    [
        b"x",
        response(200, b'{"outcome":"applied"}'),
    ],
)
async def test_what_nobody_asked_for_is_nobodys_answer(behind: bytes) -> None:
    async with HttpPeer() as peer, guarded() as client:
        peer.does(response(200, b"first") + behind, response(200, b"second"))
        assert (await client.post(peer.url, headers={}, content=b"x")).body == b"first"
        assert (await client.post(peer.url, headers={}, content=b"x")).body == b"second"
        assert peer.accepted == 2, "a connection that says too much is not used again"


async def test_what_follows_a_body_in_chunks_is_not_a_header_of_it() -> None:
    async with HttpPeer() as peer, guarded() as client:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nRetry-After: 1\r\n\r\n"
        peer.does(head + b"5\r\ntaken\r\n0\r\nRetry-After: 99\r\n\r\n")
        answer = await client.post(peer.url, headers={}, content=b"x")
        assert (answer.body, answer.headers["retry-after"]) == (b"taken", "1")
        await client.post(peer.url, headers={}, content=b"x")
        assert peer.accepted == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000,
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
            id="a head behind an announcement",
        ),
        pytest.param(b"HTTP/1.1 102 Processing\r\n\r\n" * 3_000, id="announcements without end"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;" + b"z" * 700_000,
        b"SSH-2.0-server\r\n",
    ],
)
async def test_an_answer_two_readers_could_read_differently_or_that_never_begins_is_none(answer: bytes) -> None:
    async with HttpPeer() as peer, guarded() as client:
        peer.does(answer)
        with pytest.raises(Unknown) as raised:
            await client.post(peer.url, headers={}, content=b"x")
        assert raised.value.reason is Reason.ANSWER_UNREADABLE


@pytest.mark.parametrize("name", ["X\r\nEvil", "X\nEvil", "X\0"])
async def test_a_header_is_one_line_or_nothing_is_sent(name: str) -> None:
    async with HttpPeer() as peer, guarded() as client:
        for headers in ({name: "x"}, {"x": name}):
            with pytest.raises(ValueError, match="one line"):
                await client.post(peer.url, headers=headers, content=b"x")
        assert not peer.requests


async def test_an_idle_connection_is_closed_before_a_server_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.outbound.client.KEPT_SECONDS", 0.1)
    async with HttpPeer() as peer, guarded() as client:
        await client.post(peer.url, headers={}, content=b"x")
        assert peer.connections == 1
        while peer.connections:
            await asyncio.sleep(0.02)
        await client.post(peer.url, headers={}, content=b"x")
        assert peer.accepted == 2


async def test_connections_to_another_place_make_room() -> None:
    async with HttpPeer() as one, HttpPeer() as other, guarded(connections=1) as client:
        await client.post(one.url, headers={}, content=b"x")
        await client.post(other.url, headers={}, content=b"x")
        while one.connections:
            await asyncio.sleep(0.01)
        assert other.connections == 1


async def test_a_name_with_a_dead_address_is_reached_at_its_other() -> None:
    def lookup(_host: str, port: int) -> list[object]:
        kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(socket.AF_INET6, *kind, ("::1", port, 0, 0)), (socket.AF_INET, *kind, ("127.0.0.1", port))]

    client = GuardedClient(tls=tls_context(), deadline=SOON, allowed_hosts=["localhost"], lookup=lookup)
    async with HttpPeer() as peer:  # listens on 127.0.0.1 alone
        assert (await client.post(peer.url, headers={}, content=b"x")).status == 204
    await client.close()


async def test_a_caller_that_gives_up_leaves_no_connection_in_mid_answer() -> None:
    async with HttpPeer() as peer, guarded(connections=1) as client:
        peer.does(Mishap.NEVER_ANSWERS, response(200, b"second"))
        under_way = asyncio.create_task(client.post(peer.url, headers={}, content=b"x"))
        while not peer.requests:
            await asyncio.sleep(0.01)
        under_way.cancel()
        await asyncio.gather(under_way, return_exceptions=True)
        assert (await client.post(peer.url, headers={}, content=b"x")).body == b"second"
        assert peer.accepted == 2


async def test_a_compressed_answer_stays_compressed() -> None:
    async with HttpPeer() as peer, guarded() as client:
        packed = gzip.compress(b'{"outcome":"applied"}', mtime=0)
        peer.does(response(200, packed, ("Content-Encoding", "gzip")))
        answer = await client.post(peer.url, headers={}, content=b"x")
        assert answer.body == packed
        assert answer.headers["content-encoding"] == "gzip"


async def test_an_answer_that_breaks_off_may_have_been_taken() -> None:
    async with HttpPeer() as peer, guarded() as client:
        peer.does(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf", Mishap.HANGS_UP_AFTER)
        under_way = asyncio.create_task(client.post(peer.url, headers={}, content=b"x"))
        while not peer.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        peer.hang_up()
        with pytest.raises(Unknown) as raised:
            await under_way
        assert raised.value.reason is Reason.CONNECTION_LOST


def server_tls(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_an_authority_of_ones_own_can_be_added_and_the_name_is_shown(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    serving = server_tls(authority)
    names: list[str | None] = []
    serving.sni_callback = lambda _object, name, _context: names.append(name)
    async with HttpPeer(tls=serving) as peer, guarded(tls=tls_context(tmp_path / "ca.pem")) as client:
        assert (await client.post(peer.url, headers={}, content=b"x")).status == 204
        assert names == ["localhost"]


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with (
        HttpPeer(tls=server_tls(authority, "elsewhere.example")) as peer,
        guarded(tls=tls_context(tmp_path / "ca.pem")) as client,
    ):
        with pytest.raises(Misconfigured) as raised:
            await client.post(peer.url, headers={}, content=b"x")
        assert raised.value.reason is Reason.TLS_FAILED
        assert not peer.requests


async def test_tls_older_than_1_2_is_refused() -> None:
    assert tls_context().minimum_version is ssl.TLSVersion.TLSv1_2
    assert tls_context().verify_mode is ssl.CERT_REQUIRED
    assert tls_context().check_hostname


async def test_plain_http_where_tls_is_expected_is_a_tls_failure() -> None:
    async def answer_in_clear(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response(400))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer_in_clear, "127.0.0.1", 0)
    async with server, guarded() as client:
        with pytest.raises(Misconfigured) as raised:
            await client.post(f"https://localhost:{server.sockets[0].getsockname()[1]}/", headers={}, content=b"x")
        assert raised.value.reason is Reason.TLS_FAILED


async def test_no_failure_shows_a_url_or_what_was_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://localhost:{unused.getsockname()[1]}/x?nhs=9434765919"
        async with guarded() as client:
            with pytest.raises(Unavailable) as raised:
                await client.post(url, headers={}, content=b"CF10 1EP")
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert str(raised.value) == "connection_refused"


DOCUMENT = {"keys": [{"kid": "a"}]}
PACKED = gzip.compress(json.dumps(DOCUMENT).encode(), mtime=0)


async def test_a_document_is_fetched() -> None:
    async with HttpPeer() as peer, guarded() as client:
        peer.does(response(200, json.dumps(DOCUMENT).encode()))
        assert await get_json(client, peer.url) == DOCUMENT
        assert peer.requests[0].method == "GET"
        assert peer.requests[0].body == b""


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (response(200, b"[]"), Misconfigured, Reason.ANSWER_UNREADABLE),
        (response(200, b"{"), Misconfigured, Reason.ANSWER_UNREADABLE),
        (response(200, b'{"keys":NaN}'), Misconfigured, Reason.ANSWER_UNREADABLE),
        (response(200, b"[" * 5000), Misconfigured, Reason.ANSWER_UNREADABLE),
        (response(200, PACKED, ("Content-Encoding", "gzip")), Misconfigured, Reason.ANSWER_UNREADABLE),
        (response(200, b'{"a":"' + b"x" * 6000 + b'"}'), Misconfigured, Reason.ANSWER_TOO_LARGE),
        (response(200, b"{}" + b" " * 6000), Misconfigured, Reason.ANSWER_TOO_LARGE),
        (response(302, b"", ("Location", "/astray")), Misconfigured, Reason.REDIRECTED),
        (response(404), Misconfigured, Reason.ENDPOINT_MISSING),
        (response(429), Unavailable, Reason.TOO_MANY_REQUESTS),
        (response(503), Unavailable, Reason.SERVER_ERROR),
        (Mishap.HANGS_UP_AFTER, Unavailable, Reason.CONNECTION_LOST),
        (Mishap.GARBAGE, Unavailable, Reason.ANSWER_UNREADABLE),
        (Mishap.NEVER_ANSWERS, Unavailable, Reason.DEADLINE_PASSED),
    ],
)
async def test_a_document_that_is_not_one(answer: bytes | Mishap, kind: type[Failure], reason: Reason) -> None:
    async with HttpPeer() as peer, guarded() as client:
        peer.does(answer)
        with pytest.raises(kind) as raised:
            await get_json(client, peer.url, cap=5100, deadline=timedelta(seconds=1))
        assert raised.value.reason is reason
        assert not peer.led_astray

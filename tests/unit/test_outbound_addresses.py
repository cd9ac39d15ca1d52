"""Which addresses may be connected to, and that nothing gets round it."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.outbound.addresses import NEVER, PRIVATE, may_connect
from broker.outbound.client import GuardedClient, tls_context
from broker.outbound.names import VettedNames
from contracts.delivery import Failure, Misconfigured, Unavailable
from contracts.statuses import Reason

PUBLIC = ("1.1.1.1", "8.8.8.8", "51.140.10.20", "192.0.1.1", "198.20.0.1", "2606:4700::1111", "2a00:1450:4009::200e")

INSIDE = [(str(network), str(edge)) for network in (*NEVER, *PRIVATE) for edge in (network[0], network[-1])]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_connected_to(address: str) -> None:
    assert may_connect(address, private_allowed=False)
    assert may_connect(address, private_allowed=True)


@pytest.mark.parametrize(("network", "address"), INSIDE)
def test_both_ends_of_every_listed_range_are_refused(network: str, address: str) -> None:
    assert not may_connect(address, private_allowed=False)


@pytest.mark.parametrize("network", [str(network) for network in NEVER])
def test_no_operator_can_allow_what_is_never_allowed(network: str) -> None:
    last = ip_network(network)[-1]
    assert not may_connect(str(last), private_allowed=True)


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "172.16.0.1", "192.168.1.1", "::1", "fd12::1"])
def test_an_operator_can_allow_private_addresses(address: str) -> None:
    assert may_connect(address, private_allowed=True)
    assert not may_connect(address, private_allowed=False)


@pytest.mark.parametrize(
    "address",
    [  # what `ipaddress.is_global` passes on Python 3.11, each holding or reaching something private
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "::7f00:1",
        "fec0::1",
        "5f00::1",
        "3fff::1",
        "192.88.99.1",
        "224.0.0.251",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:8.8.8.8",
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "fd00:ec2::254",
        "fe80::1%eth0",
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "4000::1",
        "not an address",
        "",
    ],
)
def test_private_addresses_in_other_clothes_are_refused(address: str) -> None:
    assert not may_connect(address, private_allowed=False)
    assert not may_connect(address, private_allowed=True)


@given(st.ip_addresses())
def test_whatever_the_standard_library_calls_private_is_refused(address: Any) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not may_connect(str(address), private_allowed=False)


@given(st.ip_addresses(v=4))
def test_no_mapped_address_passes(address: Any) -> None:
    for clothes in (f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}"):
        assert ip_address(clothes).version == 6
        if clothes != "::0.0.0.1":
            assert not may_connect(clothes, private_allowed=True)


def answers(*addresses: str) -> list[Any]:
    return [
        (
            socket.AF_INET6 if ":" in address else socket.AF_INET,
            socket.SOCK_STREAM,
            socket.IPPROTO_TCP,
            "",
            (address, 443, 0, 0) if ":" in address else (address, 443),
        )
        for address in addresses
    ]


async def told(url: str, *addresses: str, allowed: tuple[str, ...] = ()) -> Failure:
    """Return how a POST to `url` fails, where its name has these addresses."""
    client = GuardedClient(
        tls=tls_context(),
        deadline=timedelta(seconds=5),
        allowed_hosts=allowed,
        lookup=lambda _host, _port: answers(*addresses),
    )
    try:
        await client.post(url, headers={}, content=b"")
    except Failure as failure:
        return failure
    finally:
        await client.close()
    raise AssertionError("it was sent")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://LOCALHOST@127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[::ffff:7f00:1]/",
        "https://[fe80::1%25eth0]/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://\u2460\u2461\u2466.0.0.1/",
        "https://10.0.0.1:8443/x",
        "https://user:secret@public.example/",
        "https://public.example@127.0.0.1/",
        "http://public.example/",
        "http://8.8.8.8/",
        "file:///etc/passwd",
        "gopher://public.example/",
        "//public.example/",
        "https:///x",
        "https://public.example:99999/",
        "",
    ],
)
async def test_no_spelling_of_a_url_gets_past(url: str) -> None:
    """Asked of the check itself: nothing outside loopback may be a target, however broken the code is."""
    client = GuardedClient(tls=tls_context(), deadline=timedelta(seconds=5))
    with pytest.raises(Misconfigured) as raised:
        client._target(url)
    assert raised.value.reason is Reason.ADDRESS_NOT_ALLOWED
    await client.close()


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "https://2130706433/", "http://rebinding.example/"])
async def test_a_request_asks_the_check(url: str) -> None:
    failure = await told(url, "127.0.0.1")
    assert isinstance(failure, Misconfigured)
    assert failure.reason is Reason.ADDRESS_NOT_ALLOWED


async def test_a_request_to_a_name_with_a_private_address_is_refused() -> None:
    failure = await told("https://rebinding.example/", "127.0.0.1")
    assert isinstance(failure, Misconfigured)
    assert failure.reason is Reason.ADDRESS_NOT_ALLOWED


@pytest.mark.parametrize(
    "addresses",
    [("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("2606:4700::1111", "::ffff:10.0.0.1"), ("169.254.169.254", "8.8.8.8")],
)
async def test_one_address_that_is_not_allowed_refuses_the_whole_name(addresses: tuple[str, ...]) -> None:
    names = VettedNames((), lambda _host, _port: answers(*addresses))
    with pytest.raises(Misconfigured) as raised:
        await names.resolve("mixed.example", 443)
    assert raised.value.reason is Reason.ADDRESS_NOT_ALLOWED
    await names.close()


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("localhost", "LOCALHOST."), ("LOCALHOST", "localhost"), ("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")],
)
async def test_an_allowed_host_is_known_in_any_spelling(host: str, allowed: str) -> None:
    with socket.socket() as unused:  # bound and not listening: refused for certain
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        failure = await told(f"http://{host}:{port}/", "127.0.0.1", allowed=(allowed,))
    assert isinstance(failure, Unavailable)
    assert failure.reason is Reason.CONNECTION_REFUSED


async def test_an_allowed_host_may_not_reach_metadata() -> None:
    names = VettedNames(["crm.internal"], lambda _host, _port: answers("169.254.169.254"))
    with pytest.raises(Misconfigured):
        await names.resolve("crm.internal", 443)
    await names.close()


async def test_a_name_is_asked_once_for_a_connection_and_what_was_vetted_is_pinned() -> None:
    """A rebinding name: harmless when vetted, private when asked again."""
    asked: Iterator[str] = iter(["8.8.8.8", "127.0.0.1"])
    names = VettedNames((), lambda _host, _port: answers(next(asked)))
    vetted = await names.resolve("rebinding.example", 443)
    assert vetted == ("8.8.8.8",)
    with pytest.raises(Misconfigured):
        await names.resolve("rebinding.example", 443)
    await names.close()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no such name"), Misconfigured),
        (socket.gaierror(socket.EAI_FAIL, "failed"), Misconfigured),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), Unavailable),
        (UnicodeError("label too long"), Misconfigured),
    ],
)
async def test_a_name_server_that_is_silent_is_not_a_name_that_is_missing(
    fault: Exception, kind: type[Failure]
) -> None:
    def lookup(_host: str, _port: int) -> list[Any]:
        raise fault

    client = GuardedClient(tls=tls_context(), deadline=timedelta(seconds=5), lookup=lookup)
    with pytest.raises(kind) as raised:
        await client.post("https://missing.example/", headers={}, content=b"")
    assert raised.value.reason is Reason.NAME_NOT_RESOLVED
    await client.close()

"""Host names to vetted addresses: what comes out of here is what is connected to, and nothing else.

aiohttp connects to exactly the addresses a resolver returns, so vetting them here pins them: a name that answers
differently a moment later (rebinding) is never asked again for the same connection.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from broker.outbound.addresses import may_connect
from contracts.delivery import Misconfigured, Unavailable
from contracts.statuses import Reason

Lookup = Callable[[str, int], list[Any]]
"""What `socket.getaddrinfo` returns for a host and a port. Blocking."""

_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME), socket.EAI_FAIL})
"""The name does not exist or has no address: a person must put it right. Any other fault (`EAI_AGAIN`) may pass."""

_LOOKUPS_AT_ONCE: Final = 2
"""Threads of one client: a name server that hangs for one organisation holds up no other."""


def look_up(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)


@lru_cache(maxsize=4096)
def plain_host(host: str) -> str:
    """Return the one spelling of a host by which it is compared: lower case, no brackets, no final dot."""
    text = host.strip().lower().strip("[]").rstrip(".")
    try:
        return str(ip_address(text))
    except ValueError:
        return text


def is_literal(host: str) -> bool:
    """Return whether a host is an address rather than a name, in any spelling a system library would take for one."""
    last = host.rstrip(".").rpartition(".")[2]
    return ":" in host or last.isdigit() or last.startswith("0x")


class VettedNames(AbstractResolver):
    """Resolves names for one organisation's client. If any answer may not be connected to, none is returned."""

    def __init__(self, allowed_hosts: Iterable[str], lookup: Lookup = look_up) -> None:
        self._allowed = frozenset(plain_host(host) for host in allowed_hosts)
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="names")

    def allows(self, host: str) -> bool:
        """Return whether an operator has allowed this host private addresses and plain HTTP."""
        return plain_host(host) in self._allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host`, all of them vetted.

        Raises Misconfigured: the name does not exist, or any of its addresses is not allowed.
        Raises Unavailable: the name server gave no answer for now.
        """
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._threads, self._lookup, host, port)
        except socket.gaierror as fault:
            if fault.errno in _NO_SUCH_NAME:
                raise Misconfigured(Reason.NAME_NOT_RESOLVED) from None
            raise Unavailable(Reason.NAME_NOT_RESOLVED) from None
        except (OSError, UnicodeError):  # UnicodeError: a label the IDNA codec cannot take
            raise Misconfigured(Reason.NAME_NOT_RESOLVED) from None
        if not answers:
            raise Misconfigured(Reason.NAME_NOT_RESOLVED)
        private_allowed = self.allows(host)
        if not all(may_connect(sockaddr[0], private_allowed=private_allowed) for *_, sockaddr in answers):
            raise Misconfigured(Reason.ADDRESS_NOT_ALLOWED)
        return [
            ResolveResult(
                hostname=host,
                host=sockaddr[0],
                port=port,
                family=found_family,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found_family, _, proto, _, sockaddr in answers
            if family in (socket.AF_UNSPEC, found_family)
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

"""Host names to vetted addresses: what comes out of here is what is connected to, and nothing else.

The client connects to exactly these addresses, so vetting them here pins them: a name that answers differently a moment
later (rebinding) is never asked again for the same connection.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

from broker.outbound.addresses import may_connect
from contracts.delivery import Misconfigured, Unavailable
from contracts.statuses import Reason

Lookup = Callable[[str, int], list[Any]]
"""What `socket.getaddrinfo` returns for a host and a port. Blocking."""

_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME), socket.EAI_FAIL})
"""The name does not exist or has no address: a person must put it right. Any other fault (`EAI_AGAIN`) may pass."""

_LOOKUPS_AT_ONCE: Final = 2
"""Threads of one client: a name server that hangs for one organisation holds up no other."""
_KEPT_SECONDS: Final = 5.0
"""Vetted addresses serve connections made within so long; never longer, so that a moved service is found."""


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


class VettedNames:
    """Resolves names for one organisation's client. If any answer may not be connected to, none is returned."""

    def __init__(self, allowed_hosts: Iterable[str], lookup: Lookup = look_up) -> None:
        self._allowed = frozenset(plain_host(host) for host in allowed_hosts)
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="names")
        self._known: dict[tuple[str, int], tuple[float, tuple[str, ...]]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[tuple[str, ...]]] = {}

    def allows(self, host: str) -> bool:
        """Return whether an operator has allowed this host private addresses and plain HTTP."""
        return plain_host(host) in self._allowed

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Return what `resolve` does, or did within the last five seconds; whoever asks meanwhile shares one look-up.

        Raises Misconfigured and Unavailable as `resolve` does; a failure is not remembered.
        """
        key = (host, port)
        until, found = self._known.get(key, (0.0, ()))
        if asyncio.get_running_loop().time() < until:
            return found
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._remembered(key))
            asking.add_done_callback(lambda task: task.cancelled() or task.exception())  # all who waited may have left
        return await asyncio.shield(asking)  # one that gives up takes the answer from nobody else

    async def resolve(self, host: str, port: int) -> tuple[str, ...]:
        """Return the addresses of `host`, all of them vetted, the preferred first (RFC 6724, as the system has it).

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
        return tuple(str(sockaddr[0]) for *_, sockaddr in answers)

    async def _remembered(self, key: tuple[str, int]) -> tuple[str, ...]:
        try:
            found = await self.resolve(*key)
            self._known = {
                key: (asyncio.get_running_loop().time() + _KEPT_SECONDS, found)
            }  # one organisation, one name
            return found
        finally:
            del self._asking[key]

    async def close(self) -> None:
        for asking in self._asking.values():
            asking.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

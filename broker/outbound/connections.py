"""`GuardedConnections`: connections to one organisation's system for protocols other than HTTP (MLLP, SSH).

The same rules as HTTP has: a name is resolved once and only if every answer may be connected to, that very address is
connected to, TLS is verified for the name. Callers see `contracts.adapters.Connections`.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from datetime import timedelta

from broker.outbound.addresses import may_connect
from broker.outbound.certificates import ClientCertificate, failure_of
from broker.outbound.names import Lookup, VettedNames, is_literal, look_up, plain_host
from contracts.adapters import Protection, Spoken
from contracts.delivery import Failure, Misconfigured, Unavailable
from contracts.statuses import Reason


class GuardedConnections:
    """Makes connections to one organisation's hosts; keeps none.

    `tls`: the rules of `tls_context`, announcing no protocol.
    `deadline`: total time of connecting: name, connection, TLS.
    `allowed_hosts`: hosts, by name or address, an operator has allowed private addresses and connections in clear.
    `certificate`: what `tls` shows of us.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext,
        deadline: timedelta,
        allowed_hosts: Iterable[str] = (),
        certificate: ClientCertificate | None = None,
        lookup: Lookup = look_up,
    ) -> None:
        self._tls = tls
        self._certificate = certificate
        self._deadline = deadline
        self._names = VettedNames(allowed_hosts, lookup)

    async def create_connection(
        self, protocol_factory: Callable[[], Spoken], host: str, port: int, *, protection: Protection
    ) -> tuple[asyncio.Transport, Spoken]:
        """Connect to the first of the host's addresses that answers, within the deadline.

        Raises Misconfigured: the name does not exist, an address is not allowed, TLS fails, our certificate has expired
        or is refused, or a connection in clear to a host no operator has allowed.
        Raises Unavailable: refused, lost while connecting, the deadline passed, no answer from the name server.
        """
        allowed = self._names.allows(host)
        if protection == "none" and not allowed:
            raise Misconfigured(Reason.ADDRESS_NOT_ALLOWED)
        if is_literal(host) and not may_connect(plain_host(host), private_allowed=allowed):
            raise Misconfigured(Reason.ADDRESS_NOT_ALLOWED)
        if protection == "tls" and self._certificate is not None:
            self._certificate.check()
        loop = asyncio.get_running_loop()
        failure: Failure = Unavailable(Reason.CONNECTION_REFUSED)
        try:
            async with asyncio.timeout(self._deadline.total_seconds()):
                for address in await self._names.addresses(plain_host(host), port):
                    try:
                        return await loop.create_connection(
                            protocol_factory,
                            address,
                            port,
                            ssl=self._tls if protection == "tls" else None,
                            server_hostname=plain_host(host) if protection == "tls" else None,
                        )
                    except OSError as fault:  # TLS faults are OSErrors
                        failure = _failure(fault)
        except TimeoutError:
            failure = Unavailable(Reason.DEADLINE_PASSED)
        raise failure from None

    async def close(self) -> None:
        """Let go of the threads that look up names. Connections that were given out are their owners' to close."""
        await self._names.close()


def _failure(fault: OSError) -> Failure:
    """Say what a fault while connecting means. Pure; nothing of a delivery was sent."""
    match fault:
        case ssl.SSLEOFError() | ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
            return Unavailable(Reason.CONNECTION_LOST)
        case ssl.SSLError():
            return failure_of(fault)
        case _:
            return Unavailable(Reason.CONNECTION_REFUSED)

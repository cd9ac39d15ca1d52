"""One SSH connection to an organisation's file server, with its host key pinned and ours as the only way in."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import asyncssh
from asyncssh import SFTPClient
from pydantic import Field, StringConstraints

from contracts.adapters import AdapterContext, Connections
from contracts.delivery import Failure, Misconfigured, Unavailable
from contracts.statuses import Reason
from contracts.text import Strict

SECRETS: Final = ("ssh-key", "ssh-key-previous")
"""Names of our private keys, in OpenSSH's or PEM's form. While the second exists the server may know either."""

HOST_KEY_ALGORITHMS: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""How a server may prove itself (RFC 8709, RFC 5656, RFC 8332); nothing on SHA-1."""

Folder = Annotated[str, StringConstraints(pattern=r"^/?[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$")]
"""A folder there, from its root or from where we land. No part begins with a dot."""


class ServerSettings(Strict):
    """Where an organisation's file server is, and how it proves itself."""

    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:_-]{1,253}$")]
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}$")]
    host_keys: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]
    """Its public host keys as OpenSSH writes them (`ssh-ed25519 AAAA…`); several while it changes over."""


class SftpSession:
    """Opens the connection when it is needed, keeps it, and gives it to one task at a time."""

    def __init__(self, context: AdapterContext, settings: ServerSettings) -> None:
        """Raises ValueError naming the setting or secret that is wrong."""
        self._connections = context.connections
        self._deadline = context.deadline.total_seconds()
        self._settings = settings
        self._host_keys = [host_key(text) for text in settings.host_keys]
        self._keys = _private_keys(context)
        self._turn = asyncio.Lock()
        self._open: tuple[asyncssh.SSHClientConnection, SFTPClient] | None = None

    @asynccontextmanager
    async def files(self) -> AsyncIterator[SFTPClient]:
        """Give the server's files, within what remains of the deadline that began when this was asked.

        Raises Failure for whatever the connection or the server does, by the table in `adapters.sftp`: as if nothing
        had been taken, so whoever has asked for something to be taken must say so. A connection on which anything
        went wrong, cancelling too, is not used again.
        """
        in_step = False
        failure: Failure
        try:
            async with asyncio.timeout(self._deadline), self._turn:
                try:
                    yield await self._client()
                    in_step = True
                finally:
                    if not in_step:
                        self._drop()
                return
        except TimeoutError:
            failure = Unavailable(Reason.DEADLINE_PASSED)
        except (asyncssh.Error, OSError) as fault:
            failure = understood(fault)
        raise failure from None

    async def close(self) -> None:
        """End the connection. What is under way on it ends in a failure."""
        if self._open is not None:
            connection, _ = self._open
            self._drop()
            await connection.wait_closed()

    async def _client(self) -> SFTPClient:
        if self._open is not None and not self._open[0].is_closed():
            return self._open[1]
        connection = await asyncssh.connect(
            self._settings.host,
            self._settings.port,
            tunnel=_Guarded(self._connections),
            username=self._settings.user,
            client_keys=self._keys,
            known_hosts=(self._host_keys, [], []),
            server_host_key_algs=_preferring(self._host_keys),
            preferred_auth="publickey",
            agent_path=None,  # only what is given here: no agent, and no file of whoever runs this
            config=None,
            gss_host=None,
        )
        try:
            client = await connection.start_sftp_client()
        except BaseException:
            connection.abort()
            raise
        self._open = connection, client
        return client

    def _drop(self) -> None:
        if self._open is not None:
            self._open[0].abort()
            self._open = None


class _Guarded:
    """The guarded way out in the form asyncssh asks of a tunnel."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def create_connection(self, session_factory: Callable[[], Any], host: str, port: int) -> tuple[Any, Any]:
        return await self._connections.create_connection(session_factory, host, port, protection="own")

    def close(self) -> None:
        """The connection closes itself; nothing else is open."""

    async def wait_closed(self) -> None:
        """As `close`."""


def understood(fault: Exception) -> Failure:
    """Say what a fault of SSH or SFTP means while nothing has been taken. Pure; nothing of its text is repeated."""
    match fault:
        case asyncssh.HostKeyNotVerifiable():
            return Misconfigured(Reason.HOST_KEY_UNKNOWN)
        case asyncssh.PermissionDenied() | asyncssh.SFTPPermissionDenied() | asyncssh.SFTPWriteProtect():
            return Misconfigured(Reason.UNAUTHORISED)
        case asyncssh.SFTPNoSuchFile() | asyncssh.SFTPNoSuchPath() | asyncssh.SFTPNotADirectory():
            return Misconfigured(Reason.ENDPOINT_MISSING)
        case asyncssh.ChannelOpenError():
            return Misconfigured(Reason.ENDPOINT_MISSING)  # no SFTP there
        case asyncssh.KeyExchangeFailed():
            return Misconfigured(Reason.HOST_KEY_UNKNOWN)  # it has no key, or nothing safe, of what was agreed
        case asyncssh.SFTPConnectionLost() | asyncssh.SFTPNoConnection() | asyncssh.ConnectionLost():
            return Unavailable(Reason.CONNECTION_LOST)
        case asyncssh.SFTPError():
            return Unavailable(Reason.SERVER_ERROR)
        case asyncssh.ProtocolError() | asyncssh.ProtocolNotSupported() | asyncssh.MACError():
            return Unavailable(Reason.ANSWER_UNREADABLE)
        case _:
            return Unavailable(Reason.CONNECTION_LOST)


def _preferring(host_keys: Sequence[asyncssh.SSHKey]) -> list[str]:
    """Return the algorithms we take, those of the pinned keys first.

    The others are asked for too: a server that has none of the pinned keys then shows which it has, and is told from
    one that hangs up.
    """
    pinned = {algorithm.decode() for key in host_keys for algorithm in key.sig_algorithms}
    return sorted(HOST_KEY_ALGORITHMS, key=lambda algorithm: algorithm not in pinned)


def host_key(text: str) -> asyncssh.SSHKey:
    """Return a public host key as settings have it. Raises ValueError naming the setting."""
    try:
        return asyncssh.import_public_key(text)
    except (asyncssh.KeyImportError, ValueError):
        raise ValueError("adapter setting host_keys: must be public keys as OpenSSH writes them") from None


def _private_keys(context: AdapterContext) -> Sequence[asyncssh.SSHKey]:
    keys = []
    for name in SECRETS:
        try:
            keys.append(asyncssh.import_private_key(context.secret(name)))
        except KeyError:
            if not keys and name == SECRETS[0]:
                raise ValueError(f"secret {name}: is missing") from None
        except (asyncssh.KeyImportError, ValueError):
            raise ValueError(f"secret {name}: must be a private key, not protected by a passphrase") from None
    return keys

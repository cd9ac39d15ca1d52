"""The sample council's side of SSH and SFTP: one user, one key, one folder."""

import asyncio
from pathlib import Path
from typing import Protocol

import asyncssh

from broker.sandbox.behaviours import Behaviour


class Taking(Protocol):
    """Who is told of files that have their final name."""

    def next(self) -> Behaviour: ...

    def put(self, path: str, behaviour: Behaviour) -> None: ...


class Gate(asyncssh.SSHServer):
    """Lets the exchange in by its key, and nobody else. Nothing but SFTP is offered."""

    def __init__(self, user: str, exchange: str, connections: set[asyncssh.SSHServerConnection]) -> None:
        """`connections` is kept to those that are open."""
        self._user = user
        self._exchange = asyncssh.import_public_key(exchange)
        self._connections = connections
        self._own: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._own = conn
        self._connections.add(conn)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._own is not None:
            self._connections.discard(self._own)

    def begin_auth(self, _username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == self._user and key == self._exchange

    def password_auth_supported(self) -> bool:
        return False


class Files(asyncssh.SFTPServer):
    """The council's folder, and nothing outside it."""

    def __init__(self, channel: "asyncssh.SSHServerChannel[bytes]", folder: Path, taking: Taking) -> None:
        super().__init__(channel, chroot=str(folder).encode())
        self._channel = channel
        self._taking = taking

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Give a file its final name, as the council's behaviour has it. Overwrites nothing."""
        name = newpath.decode("utf-8", errors="replace")
        if not name.endswith(".csv"):  # an answers file that was read
            super().rename(oldpath, newpath)
            return
        behaviour = self._taking.next()
        match behaviour.behaviour:
            case "failing":
                raise asyncssh.SFTPFailure("told to fail")
            case "silent":
                await self._channel.get_connection().wait_closed()
                raise asyncssh.SFTPFailure("told not to answer")
        super().rename(oldpath, newpath)
        self._taking.put(name, behaviour)
        if behaviour.behaviour == "slow":
            await asyncio.sleep(behaviour.seconds)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename over what is there, as OpenSSH does: for files of answers alone."""
        if newpath.endswith(b".csv"):
            raise asyncssh.SFTPPermissionDenied("deliveries are not written over")
        super().posix_rename(oldpath, newpath)

    def symlink(self, _oldpath: bytes, _newpath: bytes) -> None:
        raise asyncssh.SFTPOpUnsupported("no links here")

    def link(self, _oldpath: bytes, _newpath: bytes) -> None:
        raise asyncssh.SFTPOpUnsupported("no links here")

"""A file server under script, for the conformance suite: asyncssh's, behind a door that can misbehave by itself."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import asyncssh

from adapters.conformance import Act, Arrival, Mishap
from adapters.conformance_peer import drip, flood, reset

USER: Final = "unwaith"
FOLDER: Final = "incoming"

AT_THE_DOOR: Final = frozenset({Mishap.HANGS_UP_BEFORE, Mishap.GARBAGE, Mishap.DRIPS, Mishap.FLOODS})
"""What happens before any SSH is spoken; the rest happens when a file is renamed."""


class SftpPeer:
    """Serves `root` on a free port of 127.0.0.1 between entering and leaving. Implements `adapters.conformance.Peer`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / FOLDER).mkdir(exist_ok=True)
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.client_key = asyncssh.generate_private_key("ssh-ed25519")
        self.port = 0
        self.arrivals: list[Arrival] = []
        self.led_astray = 0
        self.flooded = 0
        self._acts: list[Act] = []
        self._open: set[asyncio.Task[None]] = set()
        self._door: asyncio.Server | None = None
        self._server: asyncssh.SSHAcceptor | None = None

    @property
    def connections(self) -> int:
        return len(self._open)

    @property
    def settings(self) -> dict[str, Any]:
        """Where it is, as an adapter's settings have it."""
        public = self.host_key.export_public_key().decode().strip()
        return {"host": "localhost", "port": self.port, "user": USER, "host_keys": (public,), "folder": FOLDER}

    @property
    def key(self) -> str:
        """The private key it lets in."""
        return self.client_key.export_private_key().decode()

    def does(self, *acts: Act) -> None:
        """Do these in turn for the next files, or connections; the last for all that follow."""
        self._acts = list(acts)

    def leave(self) -> None:
        """Listen no more; the port stays known."""
        if self._door is not None:
            self._door.close()

    async def hang_up(self) -> None:
        """End every connection that is open."""
        for task in set(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def __aenter__(self) -> Self:
        self._server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _Gate(self),
            server_host_keys=[self.host_key],
            sftp_factory=lambda channel: _Files(channel, self),
        )
        self._door = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._door.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()
        await self.hang_up()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def act(self, among: frozenset[Mishap]) -> Act | None:
        """Return what is to be done now if it is one of these, and go on to the next."""
        if not self._acts or self._acts[0] not in among:
            return None
        return self.next()

    def next(self) -> Act | None:
        if len(self._acts) > 1:
            return self._acts.pop(0)
        return self._acts[0] if self._acts else None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  asyncio runs it as one
        self._open.add(task)
        try:
            match self.act(AT_THE_DOOR):
                case None:
                    await self._pass_on(reader, writer)
                case act:
                    await self._misbehave(act, reader, writer)
        except (OSError, EOFError):
            pass  # the other side hung up, which is its right
        except asyncio.CancelledError:
            pass  # the test is over; re-raising would be logged by the stream's own callback
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _misbehave(self, act: Act, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match act:
            case Mishap.HANGS_UP_BEFORE:
                reset(writer)
            case Mishap.GARBAGE:
                writer.write(b"220 ftp.example\r\n" * 3 + b"SSH-1.5-gone\r\n")
                await writer.drain()
                await reader.read()
            case Mishap.DRIPS:
                await drip(writer, b"SSH-2.0-araf-iawn-iawn-iawn-iawn\r\n")
            case _:
                await flood(self, writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until either side ends."""
        assert self._server is not None  # noqa: S101  the door opens after it
        there, back = await asyncio.open_connection("127.0.0.1", self._server.get_port())
        ways = [asyncio.create_task(_carry(reader, back)), asyncio.create_task(_carry(there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            back.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


class _Gate(asyncssh.SSHServer):
    def __init__(self, peer: SftpPeer) -> None:
        self._peer = peer

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        unwanted = self._peer.act(frozenset({Mishap.UNAUTHORISED}))
        return not unwanted and username == USER and key == self._peer.client_key.convert_to_public()


class _Files(asyncssh.SFTPServer):
    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], peer: SftpPeer) -> None:
        super().__init__(channel, chroot=str(peer.root).encode())
        self._channel = channel
        self._peer = peer

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if pflags & asyncssh.FXF_WRITE and self._peer.act(frozenset({Mishap.MISSING})):
            raise asyncssh.SFTPNoSuchFile("no such folder")
        return super().open(path, pflags, attrs)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        act = self._peer.next()
        content = Path(self.map_path(oldpath).decode()).read_bytes()  # noqa: ASYNC240  small and local
        self._peer.arrivals.append(Arrival(Path(newpath.decode()).name, content))
        connection = self._channel.get_connection()
        match act:
            case Mishap.FAILS:
                raise asyncssh.SFTPFailure("disk trouble of Siân Gŵyr-Môn")
            case Mishap.NEVER_ANSWERS:
                await connection.wait_closed()
            case Mishap.HANGS_UP_AFTER:
                super().rename(oldpath, newpath)
                connection.abort()
            case _:
                super().rename(oldpath, newpath)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(64 * 1024):
            writer.write(piece)
            await writer.drain()

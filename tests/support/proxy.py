"""A TCP proxy that a test puts in front of a server, to cut, delay and drip. One event loop, loopback only."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Self

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut one connection when its client sends `at`, having sent `after` before. Once.

    `forwarded`: whether the server still hears it; the answer is lost either way.
    """

    at: bytes
    after: bytes = b""
    forwarded: bool = True


class Proxy:
    """Passes bytes between clients of `port` and a server, as long as it is not told otherwise."""

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        """`connect` opens a connection to the server. Raises OSError: the client's connection is then closed."""
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self.port = 0
        self.cut: Cut | None = None
        """Set it; it is None again once it has happened."""
        self.cuts = 0
        self.delay = 0.0
        """Seconds every chunk waits, either way."""
        self.drip = 0.0
        """Seconds between single bytes of what the server says; 0 passes it on whole."""
        self.silent = False
        """Nothing passes, and nobody is told."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.hang_up()
        await asyncio.gather(*self._links, return_exceptions=True)

    def hang_up(self) -> None:
        """Cut every connection there is; new ones are welcome."""
        for writers in self._links.values():
            for writer in writers:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # asyncio runs it as one
        self._links[task] = (writer,)
        try:
            there, away = await self._connect()
            self._links[task] = (writer, away)
            asking = asyncio.create_task(self._ask(reader, writer, away))
            answering = asyncio.create_task(self._answer(there, writer))
            _, open_still = await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
            for still in open_still:
                still.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the server is away, or the test is over: either way the client is cut off
        finally:
            for one in self._links.pop(task):
                one.transport.abort()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, away: asyncio.StreamWriter
    ) -> None:
        armed = False
        while chunk := await reader.read(_CHUNK):
            await self._pass()
            cut = self.cut
            if cut is not None:
                armed = armed or not cut.after or cut.after in chunk
                if armed and cut.at in chunk.partition(cut.after)[2 if cut.after in chunk else 0]:
                    self.cut = None
                    self.cuts += 1
                    writer.transport.abort()
                    if cut.forwarded:
                        away.write(chunk)
                        await away.drain()
                        await asyncio.sleep(0.2)  # so that the server has surely read it before the connection ends
                    return
            away.write(chunk)
            await away.drain()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await there.read(_CHUNK):
            await self._pass()
            if writer.transport.is_closing():
                continue  # it was cut: what the server still says is heard by nobody
            for piece in [chunk[i : i + 1] for i in range(len(chunk))] if self.drip else [chunk]:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(self.drip)

    async def _pass(self) -> None:
        await asyncio.sleep(self.delay)
        while self.silent:
            await asyncio.sleep(0.02)

"""A sample council that is reached by SFTP: a file server of its own, a loader, and files of answers.

    applied not_matched must_review   the file is taken; an answer a row, by file, once it is loaded
    refusing                          the same, with `rejected_policy`
    later                             the same, after its time
    slow                              the file is taken; the server says so after its time
    failing                           the file is not taken (SSH_FX_FAILURE)
    silent                            the server never answers the renaming

A file is loaded when it has its final name. What is whole goes to `loaded`, what is not to `unreadable`.
"""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette

from broker.sandbox.behaviours import EVERY_KIND, Behaviour
from broker.sandbox.clock import Clock, utc_now
from broker.sandbox.definitions import ANSWERS_FOLDER, DELIVERIES_FOLDER, SFTP_USER
from broker.sandbox.delivery_files import LARGEST_FILE, NotWhole, Row, answers_file, read_deliveries
from broker.sandbox.desk import Desk, desk_app
from broker.sandbox.events import Event
from broker.sandbox.inbox import Arrival, InboxClosed, Owed
from contracts.events import canonical
from contracts.organisation import Organisation
from contracts.statuses import Outcome

if TYPE_CHECKING:
    import asyncssh

POLL_SECONDS: Final = 0.2
ANSWERS_A_FILE: Final = 1000
LOADED: Final = "loaded"
UNREADABLE: Final = "unreadable"


@dataclass(frozen=True, slots=True)
class FileServerKeys:
    """Who the server is, and who may come in."""

    host: bytes = field(repr=False)
    """Its private host key, in OpenSSH's form."""
    exchange: str
    """The public key of the exchange, in OpenSSH's form."""


def file_server_app(
    *,
    organisation: Organisation,
    keys: FileServerKeys,
    door: socket.socket,
    folder: Path,
    inbox: Path,
    clock: Clock = utc_now,
) -> Starlette:
    """Return a council's pages as an ASGI app whose lifespan serves its files at `door`, a bound socket.

    What the council holds is in `folder`, which is the exchange's whole view of it.
    """
    desk = Desk(organisation, inbox, clock, EVERY_KIND)
    return desk_app(desk, beside=_Council(desk, keys, door, folder).serving)


class _Council:
    def __init__(self, desk: Desk, keys: FileServerKeys, door: socket.socket, folder: Path) -> None:
        self._desk = desk
        self._keys = keys
        self._door = door
        self.folder = folder
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._to_load: asyncio.Queue[tuple[str, Behaviour]] = asyncio.Queue()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        for name in (DELIVERIES_FOLDER, ANSWERS_FOLDER, LOADED, UNREADABLE):
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in sorted((self.folder / DELIVERIES_FOLDER).glob("*.csv")):  # a restart came before they were loaded
            self._to_load.put_nowait((left.name, Behaviour()))
        tasks = [asyncio.create_task(self._load_each()), asyncio.create_task(self._answer_as_due())]
        server = await self._listen()
        try:
            yield
        finally:
            server.close()
            for connection in list(self._connections):
                connection.abort()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()

    async def _listen(self) -> "asyncssh.SSHAcceptor":
        import asyncssh

        from broker.sandbox.file_session import Files, Gate

        return await asyncssh.listen(
            sock=self._door,
            server_factory=lambda: Gate(SFTP_USER, self._keys.exchange, self._connections),
            server_host_keys=[asyncssh.import_private_key(self._keys.host)],
            sftp_factory=lambda channel: Files(channel, self.folder, self),
            config=None,
            gss_host=None,
            login_timeout=10,
        )

    # As its file server asks

    def next(self) -> Behaviour:
        """Return the behaviour for one file."""
        return self._desk.conduct.next()

    def put(self, path: str, behaviour: Behaviour) -> None:
        """Take note of a file that has its final name."""
        place = PurePosixPath(path)
        if place.parent.name == DELIVERIES_FOLDER and place.suffix == ".csv":
            self._to_load.put_nowait((place.name, behaviour))

    # Loading

    async def _load_each(self) -> None:
        while True:
            name, behaviour = await self._to_load.get()
            if not await self._load(name, behaviour):
                await asyncio.sleep(1)
                self._to_load.put_nowait((name, behaviour))

    async def _load(self, name: str, behaviour: Behaviour) -> bool:
        """Load one file. Returns whether that is over; False where it could not be kept now."""
        path = self.folder / DELIVERIES_FOLDER / name
        try:
            rows = await asyncio.to_thread(_rows_of, path)
        except FileNotFoundError:
            return True
        except (NotWhole, OSError) as fault:
            reason = str(fault) if isinstance(fault, NotWhole) else "it cannot be read"
            self._desk.turn_away(f"a file: {reason}")
            _put_away(path, self.folder / UNREADABLE)
            return True
        now = self._desk.clock()
        wait = timedelta(seconds=behaviour.seconds) if behaviour.behaviour == "later" else timedelta()
        outcome = Outcome.REJECTED_POLICY if behaviour.behaviour == "refusing" else behaviour.outcome
        arrivals = [Arrival(_event(row), row.delivery_id, outcome, now, answer_due=now + wait) for row in rows]
        try:
            await asyncio.gather(*map(self._desk.inbox.take, arrivals))
        except InboxClosed:
            return False
        _put_away(path, self.folder / LOADED)
        return True

    # Answering

    async def _answer_as_due(self) -> None:
        while True:
            with suppress(InboxClosed, OSError):
                while owed := await self._desk.inbox.owed(self._desk.clock(), ANSWERS_A_FILE):
                    await self._answer(owed)
            await asyncio.sleep(POLL_SECONDS)

    async def _answer(self, owed: Sequence[Owed]) -> None:
        """Write one file of answers. The same answers make the same file, so that a crash repeats it at most."""
        now = self._desk.clock()
        mark = hashlib.sha256("".join(one.id for one in owed).encode()).hexdigest()[:16]
        name = f"atebion-{mark}.csv"
        content = answers_file(name, ((one.event_id, one.outcome, one.reference) for one in owed))
        part = self.folder / ANSWERS_FOLDER / f"{name}.part"
        await asyncio.to_thread(part.write_bytes, content)
        part.rename(part.with_name(name))
        for one in owed:
            await self._desk.inbox.settle(one, now, taken=True)


def _rows_of(path: Path) -> Sequence[Row]:
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise NotWhole("it is too large")
    return read_deliveries(content, path.name)


def _put_away(path: Path, folder: Path) -> None:
    with suppress(OSError):
        path.replace(folder / path.name)


def _event(row: Row) -> Event:
    """Return what a row says; not in which file, for it may come again in another."""
    return Event(
        id=row.delivery_id,
        type=row.type,
        subject=row.subject,
        sequence=row.sequence,
        time="",
        origin="",
        data=canonical({"columns": row.told}),
    )

"""Files in which an organisation says what became of the rows it was sent: a receipt a row.

A file is collected when its name ends in `.csv` and it is whole (`adapters.batch_file`). When its receipts are durable
it is renamed to end in `.done`; until then it is read again, with the same receipts. A file that is cut short, altered
or of another form may still be being written, and is left; if it is the same ten minutes later it is given out as
unreadable, and renamed to end in `.unreadable`.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Final, cast
from uuid import uuid5

import asyncssh
from asyncssh import SFTPClient

from adapters.batch_file import FileAnswer, Unreadable, read_answers
from adapters.settings import settings_of
from adapters.sftp_session import SECRETS, SftpSession, understood
from adapters.sftp_settings import SftpSettings
from contracts.adapters import AdapterContext, Answers
from contracts.delivery import Failure
from contracts.receipts import Answer, Receipt

FILE_CAP: Final = 16 * 1024 * 1024
"""Bytes of one file: about 150,000 answers."""
FILES_AT_ONCE: Final = 1000
"""How many files one round takes, the first by name; the rest are the next round's."""

SETTLED: Final = timedelta(minutes=10)
"""A file that cannot be read and has not changed for so long is not being written any more."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}\.csv")


@dataclass(frozen=True, slots=True)
class _Read:
    """A file as it was read: its bytes, and what tells whether it is still the same."""

    content: bytes = field(repr=False)
    size: int | None
    written: int | None


@dataclass(slots=True)
class CollectedFile:
    """The receipts of one file."""

    receipts: Sequence[Receipt]
    path: str = field(repr=False)
    read: _Read = field(repr=False)
    session: SftpSession = field(repr=False)
    unreadable: bool = False

    async def done(self) -> None:
        """Have the file renamed: it is not read again. One that has been written anew stays. Raises Failure."""
        ending = "unreadable" if self.unreadable else "done"
        async with self.session.files() as files:
            with suppress(asyncssh.SFTPNoSuchFile):  # an earlier `done` whose answer was lost
                found = await files.stat(self.path)
                if (found.size, found.mtime) == (self.read.size, self.read.written):
                    await _rename_over(files, self.path, f"{self.path.removesuffix('.csv')}.{ending}")


class SftpAnswers:
    """Collects one organisation's files of answers. Implements `Collector`."""

    secrets: ClassVar[Sequence[str]] = SECRETS

    def __init__(self, context: AdapterContext) -> None:
        """Raises ValueError naming the setting or secret that is wrong or missing."""
        settings = settings_of(context, SftpSettings)
        if settings.answers is None:
            raise ValueError("adapter setting answers: must name the folder of files of answers")
        self._folder = settings.answers
        self._session = SftpSession(context, settings)
        self._context = context
        self._doubtful: dict[str, tuple[bytes, datetime]] = {}
        """Files that could not be read, by name: the SHA-256 of their bytes, and since when they are so."""

    async def collect(self) -> AsyncIterator[Answers]:
        """Give the files that are there now, by name, each once. Raises Failure.

        One that the server does not let us read is passed over, and raised for at the end.
        """
        async with self._session.files() as files:
            entries = await files.listdir(self._folder)
        names = sorted(name for name in entries if isinstance(name, str) and _NAME.fullmatch(name))
        self._doubtful = {name: doubt for name, doubt in self._doubtful.items() if name in names}
        refused: Failure | None = None
        for name in names[:FILES_AT_ONCE]:
            path = f"{self._folder}/{name}"
            read = await self._read(path)
            if isinstance(read, Failure):
                refused = read
                continue
            if read is None:
                continue
            try:
                receipts = await asyncio.to_thread(  # a large file takes seconds
                    _receipts, name, read.content, self._context.clock()
                )
            except Unreadable:
                if self._settled(name, read.content):
                    yield CollectedFile((), path, read, self._session, unreadable=True)
            else:
                yield CollectedFile(receipts, path, read, self._session)
        if refused is not None:
            raise refused

    async def close(self) -> None:
        await self._session.close()
        await self._context.close()

    def _settled(self, name: str, content: bytes) -> bool:
        """Return whether a file that cannot be read has been as it is for so long that nobody is writing it."""
        now, digest = self._context.clock(), hashlib.sha256(content).digest()
        known, since = self._doubtful.get(name, (b"", now))
        if known != digest:
            self._doubtful[name] = digest, now
            return False
        return now - since >= SETTLED

    async def _read(self, path: str) -> _Read | Failure | None:
        """Return the file, cut one byte beyond the cap, where its trailer fits no more; None if it is gone.

        Or why this one is not to be read, such as a folder that is named like a file. Raises Failure for all else.
        """
        async with self._session.files() as files:
            try:
                async with files.open(path, "rb") as file:
                    found = await file.stat()
                    return _Read(cast(bytes, await file.read(FILE_CAP + 1, 0)), found.size, found.mtime)
            except asyncssh.SFTPNoSuchFile:
                return None
            except (asyncssh.SFTPPermissionDenied, asyncssh.SFTPFailure, asyncssh.SFTPFileIsADirectory) as fault:
                return understood(fault)


def _receipts(name: str, content: bytes, now: datetime) -> Sequence[Receipt]:
    """Return the receipts of a whole file. Raises Unreadable."""
    return [_receipt(name, answer, now) for answer in read_answers(content)]


def _receipt(name: str, answer: FileAnswer, now: datetime) -> Receipt:
    """Return the receipt of a row. Its id is made of where it stands and what it says: read twice, it is the same.

    An organisation may use a file's name again: another answer in the same place is another receipt.
    """
    said = f"{answer.outcome}/{answer.reference or ''}"
    given = Answer(
        id=uuid5(answer.delivery_id, f"{name}#{answer.row}/{said}"),
        delivery_id=answer.delivery_id,
        outcome=answer.outcome,
        reference=answer.reference,
    )
    return given.receipt(epoch=0, attempt=0, now=now)


async def _rename_over(files: SFTPClient, old: str, new: str) -> None:
    """Rename, over a file that has the name already: an organisation may use a file's name again."""
    try:
        await files.posix_rename(old, new)
    except asyncssh.SFTPOpUnsupported:  # an extension of OpenSSH's
        with suppress(asyncssh.SFTPNoSuchFile):
            await files.remove(new)
        await files.rename(old, new)

"""Files in which an organisation says what became of the rows it was sent: a receipt a row.

A file is collected when its name ends in `.csv` and it is whole (`adapters.batch_file`). When its receipts are durable
it is renamed to end in `.done`; until then it is read again, with the same receipts. A file that is cut short, altered
or of another form is left where it is, and said to be `Misconfigured` once the others have been given out.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Final, cast
from uuid import uuid5

import asyncssh
from asyncssh import SFTPClient

from adapters.batch_file import FileAnswer, Unreadable, read_answers
from adapters.settings import settings_of
from adapters.sftp import SftpSettings
from adapters.sftp_session import SECRETS, SftpSession
from contracts.adapters import AdapterContext, Answers
from contracts.delivery import Misconfigured
from contracts.receipts import Answer, Receipt
from contracts.statuses import Reason

FILE_CAP: Final = 16 * 1024 * 1024
"""Bytes of one file: about 150,000 answers."""
FILES_AT_ONCE: Final = 1000
"""How many files one round takes, the first by name; the rest are the next round's."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}\.csv")


@dataclass(slots=True)
class CollectedFile:
    """The receipts of one file."""

    receipts: Sequence[Receipt]
    path: str = field(repr=False)
    session: SftpSession = field(repr=False)

    async def done(self) -> None:
        """Have the file renamed: it is not read again. Raises Failure, after which it is."""
        async with self.session.files() as files:
            with suppress(asyncssh.SFTPNoSuchFile):  # an earlier `done` whose answer was lost
                await _rename_over(files, self.path, f"{self.path.removesuffix('.csv')}.done")


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

    async def collect(self) -> AsyncIterator[Answers]:
        """Give the files that are there now, by name, each once. Raises Failure."""
        async with self._session.files() as files:
            entries = await files.listdir(self._folder)
        names = sorted(name for name in entries if isinstance(name, str) and _NAME.fullmatch(name))
        unreadable = False
        for name in names[:FILES_AT_ONCE]:
            path = f"{self._folder}/{name}"
            content = await self._read(path)
            if content is None:
                continue
            try:
                receipts = [self._receipt(name, answer) for answer in read_answers(content)]
            except Unreadable:
                unreadable = True
                continue
            yield CollectedFile(receipts, path, self._session)
        if unreadable:
            raise Misconfigured(Reason.ANSWER_UNREADABLE)

    async def close(self) -> None:
        await self._session.close()
        await self._context.close()

    async def _read(self, path: str) -> bytes | None:
        """Return the file, cut one byte beyond the cap, where its trailer fits no more; None if it is gone."""
        async with self._session.files() as files:
            try:
                async with files.open(path, "rb") as file:
                    return cast(bytes, await file.read(FILE_CAP + 1, 0))
            except asyncssh.SFTPNoSuchFile:
                return None

    def _receipt(self, name: str, answer: FileAnswer) -> Receipt:
        """Return the receipt of a row. Its id is made of the file's name and the row: read twice, it is the same."""
        given = Answer(
            id=uuid5(answer.delivery_id, f"{name}#{answer.row}"),
            delivery_id=answer.delivery_id,
            outcome=answer.outcome,
            reference=answer.reference,
        )
        return given.receipt(epoch=0, attempt=0, now=self._context.clock())


async def _rename_over(files: SFTPClient, old: str, new: str) -> None:
    """Rename, over a file that has the name already: an organisation may use a file's name again."""
    try:
        await files.posix_rename(old, new)
    except asyncssh.SFTPOpUnsupported:  # an extension of OpenSSH's
        with suppress(asyncssh.SFTPNoSuchFile):
            await files.remove(new)
        await files.rename(old, new)

"""SFTP: deliveries as a CSV file in an organisation's folder, for councils that load files by night.

What becomes of a file:

    written whole and renamed                accepted, each row: taken in, not yet applied
    it is there already, the same bytes      accepted, each row: an earlier try had arrived
    it is there already, other bytes         Unknown (`conflicts`): not overwritten; a few tries, then a person looks
    lost or out of time while renaming       Unknown: it may be there
    lost or out of time before that          Unavailable: a `.part` is nobody's
    the server fails, or its disk is full    Unavailable
    the folder is missing, no SFTP there     Misconfigured
    our key is refused, or may not write     Misconfigured
    its host key is not the pinned one       Misconfigured
    a row lacks what must be told            Rejected, that delivery alone
    a withdrawal, and no column for it       Rejected, that delivery alone

The idempotency key is the file's name, that of the batch of these deliveries, and in each row the delivery's id. A
row's reference is `<file>#<row>`. What the organisation did with a row comes later, by file (`adapters.sftp_answers`).
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final, cast

import asyncssh
from asyncssh import SFTPClient

from adapters.batch_file import Column, batch, cells
from adapters.settings import settings_from, settings_of
from adapters.sftp_answers import SftpAnswers
from adapters.sftp_session import SECRETS, SftpSession, host_key
from adapters.sftp_settings import SftpSettings
from adapters.told import told, withdrawn
from contracts.adapters import AdapterContext, Collector
from contracts.batches import batch_name
from contracts.delivery import Delivery, Failure, Rejected, Unavailable, Unknown
from contracts.events import SEQUENCE_DIGITS
from contracts.receipts import Receipt
from contracts.statuses import Outcome, Reason

WITHDRAWS: Final = "/withdraws/id"
"""Path of the column that says which row is taken back. An organisation that has it takes such rows."""


class Sftp:
    """Puts files into one organisation's folder. Implements `Adapter` and `BatchAdapter`."""

    secrets: ClassVar[Sequence[str]] = SECRETS

    @staticmethod
    def check_settings(settings: Mapping[str, Any]) -> None:
        """Raises ValueError naming the setting that is wrong."""
        for text in settings_from(settings, SftpSettings).host_keys:
            host_key(text)

    @staticmethod
    def collector(context: AdapterContext) -> Collector | None:
        """Return what collects its files of answers, if it has a folder for them. Raises ValueError as the adapter."""
        return SftpAnswers(context) if settings_of(context, SftpSettings).answers else None

    def __init__(self, context: AdapterContext) -> None:
        """Raises ValueError naming the setting or secret that is wrong."""
        self._settings = settings_of(context, SftpSettings)
        self._session = SftpSession(context, self._settings)
        self._context = context

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Put a file of this delivery alone."""
        (ended,) = await self.deliver_many([delivery])
        if isinstance(ended, Failure):
            raise ended
        return ended

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        """Put one file of all of them, in this order; the same deliveries always make the same file.

        One that makes no row is rejected once the others are there, or fails with them: tried again, it is still the
        same file under the same name.
        """
        if not deliveries:
            return []
        rows: list[tuple[Delivery, Sequence[str]]] = []
        ended: dict[int, Receipt | Failure] = {}
        for place, delivery in enumerate(deliveries):
            try:
                rows.append((delivery, _row(delivery, self._settings.columns)))
            except Failure as failure:
                ended[place] = failure
        name = file_name(self._settings.prefix, deliveries)
        failed = await self._put(name, batch(name, self._settings.columns, (row for _, row in rows))) if rows else None
        now = self._context.clock()
        numbers = iter(range(1, len(rows) + 1))
        return [
            failed or ended.get(place) or delivery.answered(Outcome.ACCEPTED, now, reference=f"{name}#{next(numbers)}")
            for place, delivery in enumerate(deliveries)
        ]

    async def close(self) -> None:
        await self._session.close()
        await self._context.close()

    async def _put(self, name: str, content: bytes) -> Failure | None:
        """Put the file, or find it there; return what went wrong."""
        path = f"{self._settings.folder}/{name}"
        renaming = False
        try:
            async with self._session.files() as files:
                there = await _there(files, path, len(content))
                if there is None:
                    await _write(files, f"{path}.part", content)
                    renaming = True
                    await files.rename(f"{path}.part", path)  # which overwrites nothing
        except Unavailable as failure:
            if renaming and failure.reason in {Reason.CONNECTION_LOST, Reason.DEADLINE_PASSED}:
                return Unknown(failure.reason)
            return failure
        except Failure as failure:
            return failure
        return None if there in {None, content} else Unknown(Reason.CONFLICTS)


def file_name(prefix: str, deliveries: Sequence[Delivery]) -> str:
    """Return the name of the file of these: that of the batch they make."""
    return f"{prefix}-{batch_name([(delivery.id, delivery.time) for delivery in deliveries])}.csv"


def _row(delivery: Delivery, columns: Sequence[Column]) -> Sequence[str]:
    """Raises Rejected for a delivery that tells no name, no day or no address: nobody could act on it.

    And for one that takes another back, where no column says which: it would be read as a change that says nothing.
    """
    back = withdrawn(delivery)
    if back is not None and all(column.path != WITHDRAWS for column in columns):
        raise Rejected(Reason.INVALID_FOR_RECEIVER)
    change = told(delivery) if back is None else back.told
    if not (change.family and change.change.effective_date):
        raise Rejected(Reason.FIELDS_MISSING)
    if not (change.change.new_address or change.change.previous_address):
        raise Rejected(Reason.FIELDS_MISSING)
    return (
        str(delivery.id),
        f"{delivery.sequence:0{SEQUENCE_DIGITS}d}",
        delivery.subject,
        delivery.type,
        " ".join(change.roles),
        *cells(json.loads(delivery.data), columns),
    )


async def _there(files: SFTPClient, path: str, size: int) -> bytes | None:
    """Return the start of the file that has this name, one byte more than `size` at most; None if there is none."""
    try:
        async with files.open(path, "rb") as file:
            return cast(bytes, await file.read(size + 1, 0))
    except asyncssh.SFTPNoSuchFile:
        return None


async def _write(files: SFTPClient, path: str, content: bytes) -> None:
    """Write the file and see that it is whole. A `.part` of an earlier try is overwritten."""
    async with files.open(path, "wb") as file:
        await file.write(content)
        with suppress(asyncssh.SFTPOpUnsupported):
            await file.fsync()
    if (await files.stat(path)).size != len(content):
        raise Unavailable(Reason.SERVER_ERROR)

"""A council of a `Line` that is reached by files, on a real OpenSSH server."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from adapters.sftp import Sftp
from broker.store import register
from contracts.adapters import Adapter
from contracts.delivery import Delivery, Failure
from contracts.organisation import BatchPolicy, Organisation
from contracts.receipts import Receipt
from contracts.times import WALES
from tests.conformance.test_sftp import rows_of
from tests.support.line import AGREEMENTS, QUICK, Line, now, organisation
from tests.support.openssh import OpenSsh
from tests.support.ways_out import context

DeliverMany = Callable[[Sequence[Delivery]], Awaitable[Sequence[Receipt | Failure]]]
Around = Callable[[DeliverMany, Sequence[Delivery]], Awaitable[Sequence[Receipt | Failure]]]


@dataclass
class Council:
    """Swansea, as it takes files. Cut-offs are a minute past: what is told now waits for tomorrow's."""

    line: Line
    server: OpenSsh
    around: Around | None = None
    """What happens around the handing over of a batch."""
    handed: list[list[Delivery]] = field(default_factory=list)
    """Every batch that was handed over, on every try."""

    @property
    def id(self) -> str:
        return f"swansea-council-{self.line.prefix}"

    async def takes_files(self, *, size: int = 100) -> None:
        """Register it so, with an agreement of which a file can be made, and have the line reach it."""
        closes = f"{(now() - timedelta(minutes=1)).astimezone(WALES):%H:%M}"
        settings = organisation(self.id).model_dump() | {
            "policy": QUICK.model_copy(
                update={"batch": BatchPolicy(size=size, closes=(closes,)), "deadline_seconds": 30.0}
            ),
        }
        await register.put_organisation(self.line.database, Organisation.model_validate(settings))
        (former,) = (one for one in AGREEMENTS if one.organisation == "swansea-council")
        (share,) = former.shares
        shares = (share.model_copy(update={"paths": ("/person", "/change/newAddress", "/change/effectiveDate")}),)
        renewed = {"id": f"{former.id}-{self.line.prefix}", "organisation": self.id, "version": 2, "shares": shares}
        await register.put_agreement(self.line.database, former.model_copy(update=renewed))
        await self.line.directory.refresh()
        scripted = self.line.adapter

        async def adapter(settings: Organisation) -> Adapter:
            return _Files(self) if settings.id == self.id else await scripted(settings)

        self.line.adapter = adapter  # type: ignore[method-assign]  # one is reached in another way

    async def cut_off(self) -> None:
        """Make everything that waits a day old: the last cut-off closes it."""
        async with self.line.database.transaction() as connection:
            await connection.execute(
                "UPDATE delivery SET due = due - interval '1 day' WHERE organisation = $1 AND sequence IS NULL", self.id
            )
            await connection.execute(
                "UPDATE lane SET due = due - interval '1 day' WHERE organisation = $1 AND NOT in_flight", self.id
            )
            await connection.execute("SELECT pg_notify('unwaith_due', '')")

    async def grants_run_out(self) -> None:
        """Make whoever has leave to send have had it."""
        async with self.line.database.connection() as connection:
            await connection.execute("UPDATE lane SET granted_until = now() WHERE organisation = $1", self.id)

    def files(self) -> dict[str, bytes]:
        """Return what lies in its folder, by name."""
        return {path.name: path.read_bytes() for path in (self.server.files / "incoming").glob("*.csv")}

    def rows(self) -> dict[str, list[str]]:
        """Return the delivery ids in each file, in order."""
        return {name: [row["delivery_id"] for row in rows_of(content)] for name, content in self.files().items()}

    async def closed(self) -> dict[str, list[str]]:
        """Return the delivery ids the store has closed under each file's name, in order."""
        async with self.line.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT * FROM batch_row WHERE organisation = $1 ORDER BY batch, row", self.id
            )
        closed: dict[str, list[str]] = {}
        for row in rows:
            closed.setdefault(f"unwaith-{row['batch']}.csv", []).append(str(row["delivery_id"]))
        return closed

    async def stored(self) -> dict[str, tuple[str, str | None]]:
        """Return the status and reference of each of its deliveries, by id."""
        async with self.line.database.connection() as connection:
            rows = await connection.fetch("SELECT id, status, reference FROM delivery WHERE organisation = $1", self.id)
        return {str(row["id"]): (row["status"], row["reference"]) for row in rows}


class _Files:
    """The adapter for files, with what a test does around it."""

    def __init__(self, council: Council) -> None:
        settings, key = council.server.settings, council.server.key
        self._council = council
        self._adapter = Sftp(context(settings, {"ssh-key": key}, deadline=timedelta(seconds=20)))

    async def deliver(self, delivery: Delivery) -> Receipt:
        return await self._adapter.deliver(delivery)

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Failure]:
        self._council.handed.append(list(deliveries))
        if self._council.around is None:
            return await self._adapter.deliver_many(deliveries)
        return await self._council.around(self._adapter.deliver_many, deliveries)

    async def close(self) -> None:
        await self._adapter.close()

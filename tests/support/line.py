"""The whole line in one process, on a real PostgreSQL and a given log, with organisations that answer as told."""

import asyncio
import contextlib
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from adapters.pull import Pull
from broker.delivery import Pool, PoolSettings
from broker.eventlog import EventLog, Partition, Received
from broker.intake import Accepted, Intake, Told, Writer
from broker.register import Directory
from broker.relay import Relay, RelaySettings
from broker.store import Database, StoreUnavailable, changes, register
from broker.store.mailbox import StoreMailbox
from broker.telemetry.metrics import new_metrics
from broker.tracking.tracker import Tracker, TrackerSettings
from broker.vault import RootKeyFile, StoreGate, Vault
from broker.verification import NO_HOLDS, StoredGazetteer
from contracts.adapters import Adapter
from contracts.agreement import Agreement
from contracts.changes.address import AddressChange
from contracts.delivery import Delivery
from contracts.organisation import DeliveryPolicy, Organisation
from contracts.person import IdentityLevel, NamePart, PersonName
from contracts.receipts import Quarantined, Receipt
from contracts.records import write_receipt
from contracts.requests import ChangeRequest, PreviewRequest
from contracts.statuses import Outcome
from contracts.topics import RECEIPTS
from tests.support.ways_out import context

CARDIFF, SWANSEA = 6815, 6855
OLD_UPRN, NEW_UPRN = 900000000001, 900000000002
COUNCILS = ("cardiff-council", "swansea-council")
ALL = (*COUNCILS, "transport-for-wales")

HEARS: Final = timedelta(milliseconds=50)
"""How soon whoever waits for records hears that the line ends; records themselves are told of at once."""
QUICK = DeliveryPolicy(first_delay_seconds=0.05, longest_delay_seconds=0.2, deadline_seconds=2.0, concurrency=32)

Behaviour = Callable[[Delivery, int], Awaitable[Receipt]]
"""What an organisation does with a delivery; the number says how often it has seen this id."""


def now() -> datetime:
    return datetime.now(UTC)


async def applies(delivery: Delivery, _seen: int) -> Receipt:
    return delivery.answered(Outcome.APPLIED, now())


def organisation(name: str, policy: DeliveryPolicy = QUICK) -> Organisation:
    return Organisation.model_validate(
        {
            "id": name,
            "name": {"cy": f"{name} (cy)", "en": f"{name} (en)"},
            "sector": "council",
            "adapter": "scripted",
            "policy": policy,
        }
    )


def agreement(
    name: str,
    where: str,
    *,
    area: tuple[int, ...] = (),
    paths: tuple[str, ...] = ("/person", "/change/newAddress"),
    required: bool = True,
    change_type: str = "address",
) -> Agreement:
    words = {"cy": "Enghraifft", "en": "Example"}
    return Agreement.model_validate(
        {
            "id": f"{name}-moves",
            "version": 1,
            "organisation": name,
            "title": words,
            "purpose": words,
            "lawful_basis": "UK GDPR Article 6(1)(e)",
            "legal_gateway": "Example, not legal advice",
            "change_type": change_type,
            "area": area,
            "shares": (
                {
                    "where": where,
                    "role": {"old": "leaving", "new": "arriving", "home": "resident"}.get(where, "national"),
                    "paths": paths,
                    "because": words,
                },
            ),
            "required": required,
            "retention_days": 365,
            "valid_from": date(2026, 1, 1),
            "review_by": date(2030, 1, 1),
        }
    )


AGREEMENTS = (
    agreement("cardiff-council", "old", area=(CARDIFF,), paths=("/person/name", "/change/previousAddress")),
    agreement("swansea-council", "new", area=(SWANSEA,), paths=("/person", "/change/newAddress")),
    agreement("transport-for-wales", "anywhere", paths=("/person/name", "/change/newAddress"), required=False),
)


def somebody(number: int = 1, family: str = "Llŷr-Gwŷdd") -> Told:
    return Told(
        issuer="https://provider.example/",
        subject=f"urn:person:{number}",
        level=IdentityLevel.P2,
        name=PersonName(
            name_parts=(NamePart(type="GivenName", value="Siân"), NamePart(type="FamilyName", value=family))
        ),
        birth_date=date(1980, 2, 29),
    )


def a_move(house: int = 7, on: date | None = None) -> PreviewRequest:
    """A move from Cardiff to Swansea; `house` makes one differ from another."""
    move = AddressChange.model_validate(
        {
            "previous_address": {"uprn": OLD_UPRN, "building_number": "1", "postal_code": "CF99 9ZZ"},
            "new_address": {
                "uprn": NEW_UPRN,
                "building_number": str(house),
                "street_name": "Heol y Bŵa",
                "postal_code": "SA99 9ZZ",
            },
            "effective_date": on or date(2026, 6, 1),
        }
    )
    return PreviewRequest(type="address", change=move)


@dataclass
class Systems:
    """The organisations' side: what arrived, and how they answer."""

    behaviour: dict[str, Behaviour] = field(default_factory=dict)
    arrived: list[Delivery] = field(default_factory=list)
    seen: dict[tuple[str, UUID], int] = field(default_factory=lambda: defaultdict(int))
    adapters: list[str] = field(default_factory=list)
    """For whom one was made, each time."""
    closed: list[str] = field(default_factory=list)

    def of(self, organisation: str) -> list[Delivery]:
        return [item for item in self.arrived if item.organisation == organisation]


class Scripted:
    """An adapter onto `Systems`."""

    def __init__(self, systems: Systems, name: str) -> None:
        self._systems = systems
        self._name = name
        systems.adapters.append(name)

    async def deliver(self, delivery: Delivery) -> Receipt:
        self._systems.arrived.append(delivery)
        self._systems.seen[self._name, delivery.id] += 1
        answer = self._systems.behaviour.get(self._name, applies)
        return await answer(delivery, self._systems.seen[self._name, delivery.id])

    async def close(self) -> None:
        self._systems.closed.append(self._name)


@dataclass
class Line:
    """Every stage, wired as `broker.main` wires them."""

    database: Database
    eventlog: EventLog
    vault: Vault
    directory: Directory
    intake: Intake
    systems: Systems
    prefix: str
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    relay_settings: RelaySettings = field(default_factory=lambda: RelaySettings(lease=timedelta(seconds=2)))

    def relay(self) -> Relay:
        return Relay(
            self.database, self.eventlog, self.directory.organisations, self.relay_settings, new_metrics(), now
        )

    def pool(self) -> Pool:
        gate = StoreGate(self.database, self.vault)
        return Pool(
            self.eventlog,
            gate,
            self.directory,
            self.adapter,
            PoolSettings(drain_seconds=1.0, fetch_wait=HEARS),
            new_metrics(),
            now,
            self.directory,
        )

    async def adapter(self, settings: Organisation) -> Adapter:
        if settings.adapter != "pull":
            return Scripted(self.systems, settings.id)
        mailbox = StoreMailbox(self.database, settings.id)
        return Pull(replace(context(settings.adapter_settings), organisation=settings.id, mailbox=mailbox))

    def tracker(self) -> Tracker:
        settings = TrackerSettings(fetch_wait=HEARS)
        return Tracker(self.database, self.eventlog, self.directory.organisations, settings, new_metrics(), now)

    def start(self, *parts: Relay | Pool | Tracker) -> list[asyncio.Task[None]]:
        """Run parts until the line ends; with none given, one of each."""
        chosen = parts or (self.relay(), self.pool(), self.tracker())
        tasks = [asyncio.create_task(part.run(self._stop)) for part in chosen]
        self._tasks.extend(tasks)
        return tasks

    async def tell(
        self, who: Told, request: PreviewRequest, *, key: str | None = None, leave_out: tuple[str, ...] = ()
    ) -> Accepted:
        """Preview and tell one change."""
        shown = await self.intake.preview(who, request)
        whole = ChangeRequest(
            type=request.type,
            change=request.change,
            preview=shown.digest,
            leave_out=leave_out,
            corrects=request.corrects,
        )
        return await self.intake.accept(who, key or secrets.token_hex(8), whole)

    async def statuses(self, accepted: Accepted) -> dict[str, str]:
        rows = await changes.deliveries_of(self.database, [accepted.change_id])
        return {row.organisation: row.status for row in rows}

    async def until(self, accepted: Accepted, wanted: dict[str, str], seconds: float = 30.0) -> None:
        """Wait for the statuses; on giving up the assertion shows how far it came."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (found := await self.statuses(accepted)) != wanted:
            if asyncio.get_running_loop().time() > deadline:
                assert found == wanted
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        self._stop.set()
        await self.wake()
        await asyncio.gather(*self._tasks)

    async def wake(self) -> None:
        """Have everybody look around now, who would look within a second anyway."""
        with contextlib.suppress(StoreUnavailable):
            async with self.database.connection() as connection:
                await connection.execute("SELECT pg_notify('unwaith_due', ''), pg_notify('unwaith_configuration', '')")


@asynccontextmanager
async def a_line(database: Database, eventlog: EventLog, root: RootKeyFile, *, prefix: str = "") -> AsyncIterator[Line]:
    """Three organisations, their agreements, two addresses, and intake running; stages start when asked.

    `prefix` names those of an earlier line.
    """
    prefix = prefix or secrets.token_hex(3)
    for name in ALL:
        await register.put_organisation(database, organisation(f"{name}-{prefix}"))
    for item in AGREEMENTS:
        named = f"{item.organisation}-{prefix}"
        await register.put_agreement(
            database, item.model_copy(update={"organisation": named, "id": f"{item.id}-{prefix}"})
        )
    await register.put_places(
        database,
        [
            register.Place(uprn, "en", code, postal_code, {"uprn": uprn}, invented=True)
            for uprn, code, postal_code in ((OLD_UPRN, CARDIFF, "CF99 9ZZ"), (NEW_UPRN, SWANSEA, "SA99 9ZZ"))
        ],
    )
    vault = await Vault.open(database, root)
    directory = Directory(database)
    await directory.refresh()
    writer = Writer(database)
    intake = Intake(database, vault, directory, StoredGazetteer(database), writer, new_metrics(), now, NO_HOLDS)
    line = Line(database, eventlog, vault, directory, intake, Systems(), prefix)
    stop = asyncio.Event()
    background = [asyncio.create_task(directory.run(stop)), asyncio.create_task(writer.run(stop))]
    try:
        yield line
    finally:
        await line.close()
        stop.set()
        await line.wake()
        await asyncio.gather(*background)


def receipted(said: Receipt | Quarantined | bytes, offset: int = 0) -> Received:
    """Return what a tracker reads of this: bytes stand as they are, as somebody else may have written them."""
    key, value, headers = (b"", said, ()) if isinstance(said, bytes) else write_receipt(said)
    return Received(Partition(RECEIPTS.name, 0), offset, key, value, headers)


def named(line: Line, **statuses: str) -> dict[str, str]:
    """Return expected statuses by the line's own organisation ids."""
    return {f"{name.replace('_', '-')}-{line.prefix}": status for name, status in statuses.items()}


def applied(line: Line) -> dict[str, str]:
    return {f"{name}-{line.prefix}": "applied" for name in ALL}

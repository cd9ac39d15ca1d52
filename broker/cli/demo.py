"""`unwaith demo`: a move and what changes after it, each told once and watched until every organisation has answered."""

import asyncio
import importlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

import httpx2 as httpx
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from broker.cli.citizen import Citizen, DidNotHappen, a_move, after_a_move, to_be_confirmed
from broker.cli.confirming import registrar_confirms, staff_release
from broker.main.embedded import DEMO_CLIENT, REDIRECT, Addresses, Sandbox, consecutive, sandbox
from broker.sandbox.addresses import sample_addresses
from broker.sandbox.definitions import REACHED_BY
from broker.sandbox.inbox_page import WAYS
from broker.sandbox.people import SamplePerson, sample_people
from broker.sandbox.state import SandboxState
from broker.telemetry.logs import configure_logs
from contracts.holds import HoldReason
from contracts.requests import ChangeView, DeliveryView, Preview
from contracts.statuses import ENDED, Status

PATIENCE_SECONDS: Final = 60.0
SWANSEA: Final = 6855
LATER_SECONDS: Final = {"cardiff-council": 0.6, "transport-for-wales": 1.4}
"""Each of these says `received` at once and answers again after so long, as real ones do."""
STEPS: Final[Mapping[Status, str]] = {
    Status.PUBLISHED: "sent",
    Status.RECEIVED: "received",
    Status.APPLIED: "applied",
}
"""What is shown of the way, and under which heading."""
_DONE: Final = frozenset({Status.APPLIED, Status.ALREADY_CURRENT})
ENDS: Final[Mapping[str, frozenset[Status]]] = {
    "webhook": _DONE,
    "sftp": _DONE,
    "hl7v2": frozenset({Status.RECEIVED}),  # AA: taken in; HL7 v2 has no word for applied
    "fhir": _DONE,
    "pull": _DONE,
}
"""How a delivery should end, by how its organisation is reached."""
HELD: Final[Mapping[HoldReason, str]] = {
    HoldReason.NEEDS_PERSON: "a person must see the certificate first.",
    HoldReason.AWAITS_REGISTRAR: "a registrar must confirm it first.",
}
"""What a change waits for, in words."""
RELEASED: Final[Mapping[HoldReason, str]] = {
    HoldReason.NEEDS_PERSON: "somebody of staff has signed in, looked at it on record, and agrees.",
    HoldReason.AWAITS_REGISTRAR: "a registrar's software has said the same number and day.",
}


async def demo(log: Literal["postgres", "kafka"], person: str, *, stop: asyncio.Event) -> int:
    """Show it; return 0 only if every organisation has answered as it should, else 1 with the reason on stderr."""
    configure_logs(level="ERROR", style="console")
    console = Console()
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="unwaith-demo-") as folder:
            async with _log(log, Path(folder), console) as defaults:
                settings = {"log_level": "ERROR", **defaults}
                async with sandbox(Path(folder) / "data", first_port=None, stop=stop, defaults=settings) as running:
                    console.print(f"Everything runs, on free ports, {time.monotonic() - began:.1f} s after the start.")
                    await _show(running, person, console, stop)
    except (DidNotHappen, httpx.HTTPError) as not_so:
        Console(stderr=True).print(f"[red]It did not end as it should:[/] {not_so}")
        return 1
    return 0


@asynccontextmanager
async def _log(kind: str, folder: Path, console: Console) -> AsyncIterator[dict[str, Any]]:
    """Start what the chosen log needs, and give the settings that name it."""
    if kind == "postgres":
        yield {}
        return
    kafka = _kafka()
    with console.status("Starting Apache Kafka"):
        broker = kafka.Broker(folder / "kafka")
        try:
            await asyncio.to_thread(broker.start)
        except (kafka.jars.PartMissing, kafka.BrokerFailed) as missing:
            raise DidNotHappen(str(missing)) from None
    try:
        console.print(f"Apache Kafka runs at {broker.bootstrap}.")
        yield {
            "log": "kafka",
            "kafka": {"bootstrap": broker.bootstrap, "security_protocol": "PLAINTEXT", "replication_factor": 1},
        }
    finally:
        await asyncio.to_thread(broker.stop)


def _kafka() -> ModuleType:
    """Return the checkout's own way of starting a Kafka. Raises DidNotHappen where there is no checkout."""
    root = Path(__file__).parents[2]
    if not (root / "deploy" / "kafka" / "kafka.py").is_file():
        raise DidNotHappen("LOG=kafka needs the project's checkout, which knows how to start a Kafka")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return importlib.import_module("deploy.kafka.kafka")


async def _show(running: Sandbox, person: str, console: Console, stop: asyncio.Event) -> None:
    await _answer_later(running)
    async with _signed_in(running.addresses, running.state, person, console) as (chosen, citizen):
        previous, home = await _tell_a_move(chosen, citizen, console, stop)
        today = datetime.now(UTC).date()
        for what, change in after_a_move(home, today, nhs_number=chosen.nhs_number):
            preview = await _previewed(citizen, what, change, console)
            await _tell(citizen, change, preview, console, stop)
        for what, why, change in to_be_confirmed(
            list(chosen.name_parts), home, previous, today, nhs_number=chosen.nhs_number
        ):
            preview = await _previewed(citizen, what, change, console)
            reference = await _tell_what_is_held(citizen, change, preview, why, console)
            if why is HoldReason.NEEDS_PERSON:
                await staff_release(running.addresses, reference)
            else:
                told = change["change"]
                await registrar_confirms(
                    running.addresses, running.state, told["registration"]["reference"], told["deathDate"]
                )
            console.print(f"Confirmed, and released: {RELEASED[why]}")
            await _watch(partial(citizen.follow, reference), console, stop)
        console.print(
            "[green]Every organisation has answered as it should.[/] Each change was told once; what must be confirmed was held until it was."
        )


async def tell(data: Path, port: int, person: str, *, stop: asyncio.Event) -> int:
    """Tell one move at the exchange that `unwaith run` serves; 0 only if every organisation answered as it should."""
    console = Console()
    if not (data / "sandbox").is_dir():
        Console(stderr=True).print(f"There is no sandbox in {data}. Start one: make run")
        return 2
    try:
        state = SandboxState.open(data / "sandbox")
        async with _signed_in(consecutive(port), state, person, console) as (chosen, citizen):
            await _tell_a_move(chosen, citizen, console, stop)
        console.print("[green]Every organisation has answered as it should.[/] It was told once.")
    except httpx.ConnectError:
        Console(stderr=True).print(f"Nothing answers at port {port}. Start it first: make run")
        return 2
    except (DidNotHappen, httpx.HTTPError) as not_so:
        Console(stderr=True).print(f"[red]It did not end as it should:[/] {not_so}")
        return 1
    return 0


@asynccontextmanager
async def _signed_in(
    addresses: Addresses, state: SandboxState, person: str, console: Console
) -> AsyncIterator[tuple[SamplePerson, Citizen]]:
    """Sign a sample person in and give their software. Raises DidNotHappen."""
    chosen = next((item for item in sample_people() if item.key == person), None)
    if chosen is None:
        raise DidNotHappen(f"there is no sample person {person}: " + ", ".join(p.key for p in sample_people()))
    async with Citizen(
        issuer=addresses.issuer,
        api=addresses.public_url,
        audience=addresses.audience,
        client_id=DEMO_CLIENT,
        key=state.client_key(DEMO_CLIENT),
        redirect_uri=REDIRECT.replace("127.0.0.1", "127.0.0.1:49152"),
    ) as citizen:
        await citizen.sign_in(person)
        console.print(f"[bold]{chosen.name}[/] has signed in: authorization code, PKCE, identity proven to P2.")
        yield chosen, citizen


async def _previewed(citizen: Citizen, what: str, change: dict[str, Any], console: Console) -> Preview:
    preview = await citizen.preview(change)
    names = ", ".join(recipient.name.en for recipient in preview.recipients)
    console.print(f"[bold]{what}[/]: {names} will be told.")
    return preview


async def _tell_what_is_held(
    citizen: Citizen, change: dict[str, Any], preview: Preview, why: HoldReason, console: Console
) -> str:
    """Tell what must be confirmed, see that it is held and nobody is told; return its reference. Raises DidNotHappen."""
    told = await citizen.tell(change, preview)
    view = await citizen.follow(told.reference)
    held = [hold.reason for hold in view.holds or () if hold.ended_at is None]
    if held != [why] or any(delivery.status is not Status.WAITING for delivery in view.deliveries):
        raise DidNotHappen(f"what must be confirmed was not held: {_standing(view)}")
    console.print(f"Told once. Reference [bold]{told.reference}[/]. Held, and nobody is told: {HELD[why]}")
    return told.reference


async def _tell_a_move(
    chosen: SamplePerson, citizen: Citizen, console: Console, stop: asyncio.Event
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Preview a move to Swansea, tell it, and watch it; return both homes. Raises DidNotHappen."""
    homes = sample_addresses()
    old = next(home.postal_code for home in homes if home.uprn == chosen.uprn)
    new = next(home.postal_code for home in homes if home.custodian_code == SWANSEA and home.postal_code != old)
    previous, home = await citizen.home_and_new_home(old, new)
    move = a_move(previous, home, datetime.now(UTC).date(), nhs_number=chosen.nhs_number)
    preview = await citizen.preview(move)
    console.print(_shown(preview))
    await _tell(citizen, move, preview, console, stop)
    return previous, home


async def _tell(
    citizen: Citizen, change: dict[str, Any], preview: Preview, console: Console, stop: asyncio.Event
) -> None:
    """Tell what was previewed, and watch until every organisation has answered as it should. Raises DidNotHappen."""
    told = await citizen.tell(change, preview)
    console.print(f"Told once. Reference [bold]{told.reference}[/]")
    await _watch(lambda: citizen.follow(told.reference), console, stop)


async def _answer_later(running: Sandbox) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for organisation, seconds in LATER_SECONDS.items():
            where = running.addresses.organisation(organisation) + "/sandbox/behaviour"
            (await client.post(where, json={"behaviour": "later", "seconds": seconds})).raise_for_status()


async def _watch(follow: Callable[[], Any], console: Console, stop: asyncio.Event) -> None:
    """Redraw the timeline until every delivery has gone as far as it goes. Raises DidNotHappen."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    view: ChangeView = await follow()
    with Live(_timeline(view), console=console, refresh_per_second=12) as live:
        while not all(delivery.status in ENDED | _ends(delivery) for delivery in view.deliveries):
            if time.monotonic() > deadline or stop.is_set():
                raise DidNotHappen("not every organisation answered: " + _standing(view))
            await asyncio.sleep(0.05)
            view = await follow()
            live.update(_timeline(view))
    console.print()
    if any(delivery.status not in _ends(delivery) for delivery in view.deliveries):
        raise DidNotHappen("not every organisation answered as it should: " + _standing(view))


def _ends(delivery: DeliveryView) -> frozenset[Status]:
    return ENDS[_way(delivery)]


def _way(delivery: DeliveryView) -> str:
    """Return by which adapter an organisation is reached; whoever registered one of their own knows better."""
    return REACHED_BY.get(delivery.organisation, "webhook")


def _standing(view: ChangeView) -> str:
    return ", ".join(f"{delivery.organisation} {delivery.status.value}" for delivery in view.deliveries)


def _shown(preview: Preview) -> Panel:
    table = Table.grid(padding=(0, 2))
    for recipient in preview.recipients:
        told = [
            f"{block}: {', '.join(recipient.data[block])}" for block in ("person", "change") if block in recipient.data
        ]
        table.add_row(f"[bold]{recipient.name.cy}[/]\n{recipient.name.en}", "\n".join(told), recipient.because[0].en)
    return Panel(table, title="Who will be told what, and why", expand=False)


def _timeline(view: ChangeView) -> Table:
    told = f"told at {view.accepted_at.astimezone(UTC):%H:%M:%S} UTC"
    table = Table(title=f"Change {view.reference}", caption=f"{told}; seconds since then, and each one's own reference")
    table.add_column("organisation", min_width=16)
    table.add_column("by", no_wrap=True)
    for word in STEPS.values():
        table.add_column(word, justify="right", no_wrap=True)
    table.add_column("answer", no_wrap=True, overflow="ellipsis", max_width=16)
    for delivery in view.deliveries:
        times = _times(delivery)
        since = (_since(view.accepted_at, times.get(step)) for step in STEPS)
        table.add_row(delivery.name.en, WAYS[_way(delivery)], *since, _answer(delivery))
    return table


def _answer(delivery: DeliveryView) -> str:
    """Return what the organisation said last, and its reference."""
    said = [entry for entry in delivery.timeline if entry.what == "answered"]
    if not said:
        return "-"
    reference = next((entry.reference for entry in reversed(said) if entry.reference), None)
    return f"{said[-1].outcome}\n{reference or ''}".strip()


def _times(delivery: DeliveryView) -> dict[Status, datetime]:
    times: dict[Status, datetime] = {}
    for entry in delivery.timeline:
        times.setdefault(Status.APPLIED if entry.status in _DONE else entry.status, entry.at)
    return times


def _since(beginning: datetime, at: datetime | None) -> str:
    return f"{(at - beginning).total_seconds():.3f}" if at else "-"

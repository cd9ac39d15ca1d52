"""The whole exchange on one machine: its own PostgreSQL, every role, and the sandbox, in one process.

For development and for trying it out. Refused in production, by the settings and here.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlette.applications import Starlette

from broker.identity.page_policy import STAFF
from broker.main.listening import Listener
from broker.main.roles import ROLES, work
from broker.main.rooms import Rooms, open_rooms
from broker.main.samples import register_parties, sample_places
from broker.sandbox.apps import PROVIDER, STAFF_PROVIDER, exchange_access, sandbox_apps, staff_provider_app
from broker.sandbox.clients import Client
from broker.sandbox.definitions import (
    EVERY_ID,
    ORGANISATION_IDS,
    SWANSEA,
    WITH_DOORS,
    every_organisation,
    sample_organisations,
)
from broker.sandbox.state import SandboxState
from broker.settings import Settings, load
from broker.store import register
from broker.store.embedded import EmbeddedPostgres
from broker.store.migrate import migrate
from broker.telemetry.metrics import Metrics
from broker.vault import RootKeyFile
from contracts.organisation import Organisation

HOST: Final = "127.0.0.1"
DEMO_CLIENT: Final = "unwaith-demo"
"""The sample citizen's software: a command line that listens on a loopback port for the provider's answer."""
REDIRECT: Final = "http://127.0.0.1/callback"
PAGES_CLIENT: Final = "unwaith-pages"
"""Our pages, at the citizens' provider and at the staff's."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything of a sandbox listens: pages and API, the provider, the organisations, metrics, staff's provider."""

    api: int
    provider: int
    organisations: Mapping[str, int]
    """Their pages, and their systems where those are reached by HTTP."""
    metrics: int
    staff_provider: int
    doors: Mapping[str, int] = field(default_factory=dict)
    """The systems of those that are reached by something else."""

    @property
    def public_url(self) -> str:
        return f"http://localhost:{self.api}"

    @property
    def issuer(self) -> str:
        return f"http://localhost:{self.provider}/"

    @property
    def staff_issuer(self) -> str:
        return f"http://localhost:{self.staff_provider}/"

    @property
    def audience(self) -> str:
        return f"{self.public_url}/v1"

    def organisation(self, name: str) -> str:
        return f"http://{HOST}:{self.organisations[name]}"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox."""

    addresses: Addresses
    state: SandboxState
    rooms: Rooms


_DOORS: Final = {organisation: f"{organisation}'s door" for organisation in WITH_DOORS}
NAMES: Final = (
    "api",
    PROVIDER,
    *ORGANISATION_IDS,
    "metrics",
    STAFF_PROVIDER,
    *(name for name in EVERY_ID if name not in ORGANISATION_IDS),
    *_DOORS.values(),
)
"""Everything that listens, in the order of its ports."""


def consecutive(first: int) -> Addresses:
    """Return where everything listens when the ports follow each other from `first`."""
    return _addresses({name: first + step for step, name in enumerate(NAMES)})


def _addresses(port: Mapping[str, int]) -> Addresses:
    return Addresses(
        port["api"],
        port[PROVIDER],
        {name: port[name] for name in EVERY_ID},
        port["metrics"],
        port[STAFF_PROVIDER],
        {organisation: port[name] for organisation, name in _DOORS.items()},
    )


def _taken(first: int | None) -> dict[str, Listener]:
    """Take every port now: `first` and those after it, or free ones. Raises PortBusy."""
    listeners = {
        name: Listener(None, HOST, 0 if first is None else first + step, name) for step, name in enumerate(NAMES)
    }
    for listener in listeners.values():
        listener.bind()
    return listeners


def sandbox_settings(data: Path, addresses: Addresses, defaults: Mapping[str, object]) -> Settings:
    """Return the settings of a sandbox; the environment may override them. Raises SettingsRefused."""
    settings = load(
        {
            "environment": "sandbox",
            "embedded": data / "postgres",
            "log": "postgres",
            "public_url": addresses.public_url,
            "host": HOST,
            "port": addresses.api,
            "metrics_port": addresses.metrics,
            "citizen": {"issuer": addresses.issuer, "audience": addresses.audience},
            "sign_in": {
                "issuer": addresses.issuer,
                "client_id": PAGES_CLIENT,
                "preset": "gov-uk-one-login",
                "scopes": "openid email profile",
                "client_key_file": data / "sandbox" / f"client-{PAGES_CLIENT}-rsa.jwk",
                "identity": {
                    "issuer": f"{addresses.issuer}identity/",
                    "did": f"did:web:localhost%3A{addresses.provider}",
                    "did_url": f"{addresses.issuer}.well-known/did.json",
                },
            },
            "staff_sign_in": {
                "issuer": addresses.staff_issuer,
                "client_id": PAGES_CLIENT,
                "client_key_file": data / "sandbox" / "staff" / f"client-{PAGES_CLIENT}-rsa.jwk",
            },
            "outbox": data / "outbox",
            "root_key_file": data / "root.key",
            **defaults,
        }
    )
    if settings.production or settings.embedded is None or settings.root_key_file is None:
        raise RuntimeError("the sandbox never runs in production")
    return settings


@asynccontextmanager
async def sandbox(
    data: Path,
    *,
    first_port: int | None,
    stop: asyncio.Event,
    defaults: Mapping[str, object],
    metrics: Metrics | None = None,
) -> AsyncIterator[Sandbox]:
    """Run everything until `stop` or the end of the block; what it keeps is in `data`.

    Raises PortBusy, PostgresDidNotStart and SettingsRefused before anything is served.
    """
    listeners = _taken(first_port)
    addresses = _addresses({name: listener.port for name, listener in listeners.items()})
    doors = {organisation: listeners.pop(name).socket() for organisation, name in _DOORS.items()}
    data.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240  nothing else runs yet
    settings = sandbox_settings(data, addresses, defaults)
    postgres = EmbeddedPostgres(settings.embedded or data / "postgres")
    root = RootKeyFile.open(settings.root_key_file or data / "root.key")
    async with postgres:
        await migrate(postgres.dsn)
        async with open_rooms(settings, postgres.dsn, root, metrics) as rooms:
            state = SandboxState.open(data / "sandbox")
            organisations = every_organisation_at(addresses, state)
            await register_parties(rooms.database, rooms.vault, state, organisations)
            await register.put_places(rooms.database, sample_places())
            await rooms.directory.refresh()
            clients = [_demo_client(state), _pages_client(state, addresses, "")]
            apps = outsiders(state, addresses, clients, organisations, doors)
            staff_state = SandboxState.open(data / "sandbox" / "staff")
            staff_client = _pages_client(staff_state, addresses, STAFF)
            apps.append(
                (
                    STAFF_PROVIDER,
                    staff_provider_app(staff_state, issuer=addresses.staff_issuer, clients=[staff_client]),
                )
            )
            beside = []
            for name, app in apps:
                listener = listeners[name]
                listener.app, listener.lifespan = app, True
                beside.append(listener)
            running = asyncio.create_task(work(rooms, ROLES, stop, doors=listeners, beside=beside))
            try:
                await _until_started(list(listeners.values()), running)
                yield Sandbox(addresses, state, rooms)
            finally:
                stop.set()
                await running


def organisations_at(addresses: Addresses) -> tuple[Organisation, ...]:
    """Return the three sample organisations that are reached by webhook alone, where they listen."""
    return sample_organisations({name: addresses.organisation(name) for name in ORGANISATION_IDS})


def every_organisation_at(addresses: Addresses, state: SandboxState) -> tuple[Organisation, ...]:
    """Return every sample organisation, each reached in its own way, where it listens."""
    return every_organisation(
        {name: addresses.organisation(name) for name in EVERY_ID},
        addresses.doors,
        host_key=state.public_ssh_key(SWANSEA),
    )


def outsiders(
    state: SandboxState,
    addresses: Addresses,
    clients: Sequence[Client],
    organisations: Sequence[Organisation],
    doors: Mapping[str, socket.socket] | None = None,
) -> list[tuple[str, Starlette]]:
    """Return the citizens' provider and the organisations' systems, by their names, as they find each other and us.

    `doors` has the bound socket of each that is not reached by HTTP.
    """
    return sandbox_apps(
        state,
        issuer=addresses.issuer,
        clients=clients,
        api_audience=addresses.audience,
        organisations=organisations,
        access={
            organisation.id: exchange_access(
                state,
                organisation.id,
                token_url=f"{addresses.public_url}/oauth/token",
                receipts_url=f"{addresses.public_url}/v1/receipts",
                events_url=f"{addresses.public_url}/v1/events",
            )
            for organisation in organisations
        },
        doors=doors,
    )


async def _until_started(listeners: Sequence[Listener], running: asyncio.Task[None]) -> None:
    """Wait until everything answers; whatever ends the work first is raised."""

    async def all_started() -> None:
        for listener in listeners:
            await listener.started.wait()

    started = asyncio.create_task(all_started())
    await asyncio.wait({started, running}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        started.cancel()
        await running


def _demo_client(state: SandboxState) -> Client:
    return Client(
        client_id=DEMO_CLIENT,
        jwk=state.client_key(DEMO_CLIENT).as_dict(private=False),
        redirect_uris=(REDIRECT,),
        sector="unwaith",
        any_loopback_port=True,
    )


def _pages_client(state: SandboxState, addresses: Addresses, prefix: str) -> Client:
    """Return our pages as a provider registers them, with an RSA key as at GOV.UK One Login."""
    return Client(
        client_id=PAGES_CLIENT,
        jwk=state.client_key(PAGES_CLIENT, "RSA").as_dict(private=False),
        redirect_uris=(f"{addresses.public_url}{prefix}/signed-in",),
        post_logout_redirect_uris=(f"{addresses.public_url}{prefix}/signed-out",),
        back_channel_logout_uri=f"{addresses.public_url}{prefix}/signed-out-there",
        sector="unwaith",
    )

"""Roles become tasks: any of them in any process, all of them in one if need be."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from adapters.registry import adapter_for, collector_for, collects, secrets_of
from broker.api import create_app
from broker.delivery import Pool, PoolSettings
from broker.intake import Writer
from broker.main.api import api_parts, fetching_client
from broker.main.credentials import authorizing, certificate_of, signing
from broker.main.front import Front
from broker.main.letters import notifier
from broker.main.listening import Listener
from broker.main.rooms import Rooms, utc_now
from broker.main.serving import serve
from broker.main.web import sweep, web_parts
from broker.outbound.client import GuardedClient, tls_context
from broker.outbound.connections import GuardedConnections
from broker.relay import Relay, RelaySettings
from broker.store import StoreUnavailable
from broker.store.mailbox import StoreMailbox
from broker.telemetry.health import health_app
from broker.tracking import holding, horizon, withdrawing
from broker.tracking.collecting import Collecting
from broker.tracking.replay import attend
from broker.tracking.tracker import Tracker, TrackerSettings
from broker.tracking.watching import watch
from broker.vault import SigningKeys, StoreGate
from broker.web import create_pages
from contracts.adapters import Adapter, AdapterContext, Collector
from contracts.grants import GateUnavailable
from contracts.organisation import Organisation

Role = Literal["api", "relay", "deliver", "track", "notify"]
ROLES: Final[tuple[Role, ...]] = ("api", "relay", "deliver", "track", "notify")

ADAPTERS_SHARE: Final = 0.95
"""Of an attempt's time, what its adapter has: it alone can tell that nothing was sent yet, and must come to say so."""


async def work(
    rooms: Rooms,
    roles: Sequence[Role],
    stop: asyncio.Event,
    *,
    doors: Mapping[str, Listener] | None = None,
    beside: Sequence[Listener] = (),
) -> None:
    """Run these roles until `stop`. A role that fails ends them all: whoever started the process starts it again.

    `doors` may hold listeners, by the names `api` and `metrics`, whose ports are taken already; `beside` is served too.
    """
    settings = rooms.settings
    known = doors or {}
    api = known.get("api") or Listener(None, settings.host, settings.port, "api")
    metrics = known.get("metrics") or Listener(None, settings.metrics_host, settings.metrics_port, "metrics")
    metrics.app = health_app(rooms.checks(with_log=list(roles) != ["api"]), rooms.metrics)
    directory_stop = asyncio.Event()  # the last to end: a worker that drains still needs to know of a pause

    async def ending(role: Coroutine[Any, Any, None]) -> None:
        try:
            await role
        finally:
            stop.set()

    async with asyncio.TaskGroup() as whole:
        whole.create_task(ending(rooms.directory.run(directory_stop)), name="directory")
        try:
            async with asyncio.TaskGroup() as group:
                for role in roles:
                    group.create_task(ending(_role(rooms, role, stop, api)), name=role)
                group.create_task(ending(serve([metrics, *beside], stop)), name="listeners")
        finally:
            directory_stop.set()


async def _role(rooms: Rooms, role: Role, stop: asyncio.Event, door: Listener) -> None:
    organisations, tuning = rooms.directory.organisations, rooms.settings.tuning
    match role:
        case "api":
            await _api(rooms, stop, door)
        case "relay":
            relaying = RelaySettings(credit=tuning.relay_credit, lease=timedelta(seconds=tuning.relay_lease_seconds))
            await Relay(rooms.database, rooms.eventlog, organisations, relaying, rooms.metrics, utc_now).run(stop)
        case "deliver":
            gate = StoreGate(rooms.database, rooms.vault)
            context = _contexts(rooms, tls_context(), tls_context(spoken=None))
            source, collectors = _adapters(context), _collectors(context)
            pooling = PoolSettings(drain_seconds=tuning.drain_seconds)
            directory = rooms.directory
            pool = Pool(rooms.eventlog, gate, directory, source, pooling, rooms.metrics, utc_now, directory)
            fetched = Collecting(rooms.database, rooms.eventlog, directory, collectors, rooms.metrics, directory.now)
            async with (
                asyncio.TaskGroup() as delivering
            ):  # together: this is the role with the way out to organisations
                delivering.create_task(pool.run(stop))
                delivering.create_task(fetched.run(stop))
        case "track":
            tracker = Tracker(rooms.database, rooms.eventlog, organisations, TrackerSettings(), rooms.metrics, utc_now)
            async with asyncio.TaskGroup() as tracking:
                tracking.create_task(tracker.run(stop))
                tracking.create_task(attend(rooms.database, utc_now, stop))
                tracking.create_task(horizon.attend(rooms.database, organisations, stop))
                tracking.create_task(holding.attend(rooms.database, utc_now, stop))
                tracking.create_task(withdrawing.attend(rooms.database, rooms.vault, utc_now, stop))
                tracking.create_task(watch(rooms.database, rooms.metrics, stop))
        case "notify":
            await notifier(rooms).run(stop)


async def _api(rooms: Rooms, stop: asyncio.Event, door: Listener) -> None:
    writer = Writer(rooms.database)
    served = asyncio.Event()  # the writer ends after the last request, not with it
    fetching = fetching_client(rooms.settings)
    written = asyncio.create_task(writer.run(served))
    beside = [written]
    try:
        parts = await api_parts(rooms, writer, fetching)
        pages = await web_parts(rooms, parts, fetching, stop)
        api = create_app(parts)
        door.app = api if pages is None else Front(api, create_pages(pages))
        if pages is not None:
            beside.append(asyncio.create_task(sweep(pages, stop)))
        await serve([door], stop)
        served.set()
        await written
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await fetching.close()


ContextSource = Callable[[Organisation], Awaitable[AdapterContext]]


def _adapters(contexts: ContextSource) -> Callable[[Organisation], Awaitable[Adapter]]:
    """Return what makes an organisation's adapter."""

    async def make(organisation: Organisation) -> Adapter:
        context = await contexts(organisation)
        try:
            return adapter_for(organisation.adapter, context)
        except ValueError:
            await context.close()
            raise

    return make


def _collectors(contexts: ContextSource) -> Callable[[Organisation], Awaitable[Collector | None]]:
    """Return what makes an organisation's collector, None for one that leaves no answers to be fetched."""

    async def make(organisation: Organisation) -> Collector | None:
        if not collects(organisation.adapter):
            return None
        context = await contexts(organisation)
        collector = None
        try:
            collector = collector_for(organisation.adapter, context)
        finally:
            if collector is None:
                await context.close()
        return collector

    return make


def _contexts(rooms: Rooms, http_tls: ssl.SSLContext, tls: ssl.SSLContext) -> ContextSource:
    """Return what makes the context of an organisation, with its own guarded way out and its own secrets."""
    clock = rooms.directory.now  # the store's: receivers refuse what is dated or signed by a wrong one
    assertions = SigningKeys(rooms.vault, "client-assertions", clock)
    signatures = SigningKeys(rooms.vault, "message-signatures", clock)

    async def make(organisation: Organisation) -> AdapterContext:
        try:
            found = {
                name: await rooms.vault.find(secret_name(organisation.id, name))
                for name in secrets_of(organisation.adapter)
            }
        except StoreUnavailable:
            raise GateUnavailable from None
        secrets = {name: value for name, value in found.items() if value is not None}
        certificate = certificate_of(secrets, clock)
        rules = (http_tls, tls)
        if certificate is not None:
            rules = (certificate.shown_in(tls_context()), certificate.shown_in(tls_context(spoken=None)))
        deadline = timedelta(seconds=ADAPTERS_SHARE * organisation.policy.deadline_seconds)
        http = GuardedClient(
            tls=rules[0],
            deadline=deadline,
            allowed_hosts=organisation.allowed_hosts,
            connections=organisation.policy.concurrency,
            certificate=certificate,
        )
        return AdapterContext(
            organisation=organisation.id,
            settings=organisation.adapter_settings,
            secret=secrets.__getitem__,
            http=http,
            connections=GuardedConnections(
                tls=rules[1], deadline=deadline, allowed_hosts=organisation.allowed_hosts, certificate=certificate
            ),
            mailbox=StoreMailbox(rooms.database, organisation.id),
            deadline=deadline,
            clock=clock,
            origin=urlsplit(rooms.settings.public_url).hostname or "localhost",
            rate=organisation.policy.rate,
            authorized=authorizing(http, secrets.__getitem__, assertions, deadline, clock),
            signed=signing(organisation.id, signatures, clock),
        )

    return make


def secret_name(organisation: str, name: str) -> str:
    """Return the vault's name for an organisation's secret: in its own namespace, never a file or a variable."""
    return f"webhook:{organisation}:{name}"  # whatever the adapter: the schema watches these names

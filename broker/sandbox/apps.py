"""Everything the sandbox serves, put together: one app a server."""

import socket
from collections.abc import Mapping, Sequence

from starlette.applications import Starlette

from broker.sandbox.agency import agency_app
from broker.sandbox.clients import Client
from broker.sandbox.clock import Clock, utc_now
from broker.sandbox.exchange_access import ExchangeAccess
from broker.sandbox.fhir_server import fhir_server_app
from broker.sandbox.file_server import FileServerKeys, file_server_app
from broker.sandbox.mllp_receiver import mllp_receiver_app
from broker.sandbox.organisations import organisation_app
from broker.sandbox.people import SAMPLE_STAFF
from broker.sandbox.provider import provider_app
from broker.sandbox.state import SandboxState
from contracts.organisation import Organisation

EXCHANGE: str = "exchange"
"""Whose private SSH key `SandboxState.ssh_key` gives: ours, at Swansea's file server."""
PROVIDER: str = "provider"
STAFF_PROVIDER: str = "staff-provider"


def sandbox_apps(
    state: SandboxState,
    *,
    issuer: str,
    clients: Sequence[Client],
    api_audience: str,
    organisations: Sequence[Organisation],
    access: Mapping[str, ExchangeAccess] | None = None,
    doors: Mapping[str, socket.socket] | None = None,
    clock: Clock = utc_now,
) -> list[tuple[str, Starlette]]:
    """Return (name, app) for `provider` and each organisation by its id, each to be served on a loopback port of its own.

    What an organisation is reached by says what its system is. Those by SFTP and HL7 v2 take connections at their
    socket in `doors`, bound, besides. What the exchange needs to come in is in `state`: `webhook_secret`, `ssh_key` of
    `EXCHANGE`, `bearer_token`. `access` is how an organisation comes to the exchange: one that pulls needs it, a webhook's
    system can answer later with it. The apps have lifespans that must run.
    """
    provider = provider_app(issuer=issuer, state=state, clients=clients, api_audience=api_audience, clock=clock)
    served = [(PROVIDER, provider)]
    for organisation in organisations:
        granted = (access or {}).get(organisation.id)
        served.append((organisation.id, _system(state, organisation, granted, doors or {}, clock)))
    return served


def _system(
    state: SandboxState,
    organisation: Organisation,
    access: ExchangeAccess | None,
    doors: Mapping[str, socket.socket],
    clock: Clock,
) -> Starlette:
    inbox = state.inbox_path(organisation.id)
    match organisation.adapter:
        case "sftp":
            return file_server_app(
                organisation=organisation,
                keys=FileServerKeys(state.ssh_key(organisation.id), state.public_ssh_key(EXCHANGE)),
                door=doors[organisation.id],
                folder=state.files_path(organisation.id),
                inbox=inbox,
                clock=clock,
            )
        case "hl7v2":
            door = doors[organisation.id]
            return mllp_receiver_app(organisation=organisation, door=door, inbox=inbox, clock=clock)
        case "fhir":
            token = state.bearer_token(organisation.id)
            return fhir_server_app(organisation=organisation, token=token, inbox=inbox, clock=clock)
        case "pull" if access is not None:
            return agency_app(organisation=organisation, inbox=inbox, access=access, clock=clock)
        case _:
            return organisation_app(
                organisation=organisation,
                secret=state.webhook_secret(organisation.id),
                inbox=inbox,
                access=access,
                clock=clock,
            )


def staff_provider_app(
    state: SandboxState, *, issuer: str, clients: Sequence[Client], clock: Clock = utc_now
) -> Starlette:
    """Return the provider at which sample staff sign in: another issuer with other keys than the citizens'.

    `state` must be one of its own.
    """
    return provider_app(
        issuer=issuer, state=state, clients=clients, api_audience=issuer, people=SAMPLE_STAFF, clock=clock
    )


def exchange_access(
    state: SandboxState, organisation: str, *, token_url: str, receipts_url: str, events_url: str | None = None
) -> ExchangeAccess:
    """Return how a sample organisation reaches the exchange: its id as client id, its key from `state`.

    Register `state.client_key(organisation).as_dict(private=False)` with the exchange as its key.
    """
    return ExchangeAccess(
        token_url=token_url,
        receipts_url=receipts_url,
        events_url=events_url,
        client_id=organisation,
        key=state.client_key(organisation),
    )

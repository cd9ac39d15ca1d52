"""Everything the sandbox serves, put together: one app a server."""

from collections.abc import Mapping, Sequence

from starlette.applications import Starlette

from broker.sandbox.clients import Client
from broker.sandbox.clock import Clock, utc_now
from broker.sandbox.later_answers import ExchangeAccess
from broker.sandbox.organisations import organisation_app
from broker.sandbox.people import SAMPLE_STAFF
from broker.sandbox.provider import provider_app
from broker.sandbox.state import SandboxState
from contracts.organisation import Organisation

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
    clock: Clock = utc_now,
) -> list[tuple[str, Starlette]]:
    """Return (name, app) for `provider` and each organisation by its id, each to be served on a loopback port of its own.

    An organisation's app checks signatures with `state.webhook_secret(id)`; the exchange signs with
    `webhooks.written` of it. It can answer later where `access` has its id. The apps have lifespans that must run.
    """
    provider = provider_app(issuer=issuer, state=state, clients=clients, api_audience=api_audience, clock=clock)
    served = [(PROVIDER, provider)]
    for organisation in organisations:
        app = organisation_app(
            organisation=organisation,
            secret=state.webhook_secret(organisation.id),
            inbox=state.inbox_path(organisation.id),
            access=(access or {}).get(organisation.id),
            clock=clock,
        )
        served.append((organisation.id, app))
    return served


def staff_provider_app(
    state: SandboxState, *, issuer: str, clients: Sequence[Client], clock: Clock = utc_now
) -> Starlette:
    """Return the provider at which sample staff sign in: another issuer with other keys than the citizens'.

    `state` must be one of its own.
    """
    return provider_app(
        issuer=issuer, state=state, clients=clients, api_audience=issuer, people=SAMPLE_STAFF, clock=clock
    )


def exchange_access(state: SandboxState, organisation: str, *, token_url: str, receipts_url: str) -> ExchangeAccess:
    """Return how a sample organisation reaches the exchange: its id as client id, its key from `state`.

    Register `state.client_key(organisation).as_dict(private=False)` with the exchange as its key.
    """
    return ExchangeAccess(
        token_url=token_url,
        receipts_url=receipts_url,
        client_id=organisation,
        key=state.client_key(organisation),
    )

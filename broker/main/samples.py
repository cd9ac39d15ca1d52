"""The sandbox's samples on our side of the door: who takes part, and which homes there are."""

from collections.abc import Iterable

from broker.main.roles import secret_name
from broker.sandbox import webhooks
from broker.sandbox.addresses import sample_addresses
from broker.sandbox.apps import EXCHANGE
from broker.sandbox.definitions import sample_agreements
from broker.sandbox.state import SandboxState
from broker.store import Database, register
from broker.vault import Vault
from contracts.organisation import Organisation


async def register_parties(
    database: Database, vault: Vault, state: SandboxState, organisations: Iterable[Organisation]
) -> None:
    """Put sample organisations into the store, with their secrets and clients' keys, and their sample agreements.

    Organisations and secrets are replaced; an agreement's version that is there stays. Raises StoreUnavailable.
    """
    taking_part = set()
    for organisation in organisations:
        taking_part.add(organisation.id)
        await register.put_organisation(database, organisation)
        await register.put_client(
            database,
            register.Client(
                client_id=organisation.id,
                organisation=organisation.id,
                jwks={"keys": [state.client_key(organisation.id).as_dict(private=False)]},
                scopes=frozenset({"receipts:write", "deliveries:read", "subscriptions:write"})
                | ({"confirmations:write"} if organisation.sector == "council" else set()),  # they keep the registers
            ),
        )
        for name, secret in _secrets(state, organisation).items():
            await vault.entrust(secret_name(organisation.id, name), secret)
    for agreement in sample_agreements():
        if agreement.organisation in taking_part:
            await register.put_agreement(database, agreement)


def _secrets(state: SandboxState, organisation: Organisation) -> dict[str, bytes]:
    """Return what the organisation's adapter asks for, by its names."""
    match organisation.adapter:
        case "webhook":
            return {"signing": webhooks.written(state.webhook_secret(organisation.id)).encode()}
        case "sftp":
            return {"ssh-key": state.ssh_key(EXCHANGE)}
        case "fhir":
            return {"bearer-token": state.bearer_token(organisation.id).encode()}
        case _:
            return {}


def sample_places() -> list[register.Place]:
    """Return the sandbox's invented homes as the gazetteer keeps them."""
    return [
        register.Place(
            uprn=sample.uprn,
            language=sample.language,
            custodian_code=sample.custodian_code,
            postal_code=sample.postal_code,
            address=sample.address().model_dump(mode="json", exclude_none=True),
            invented=True,
        )
        for sample in sample_addresses()
    ]

"""Every adapter by the name an organisation's `adapter` setting carries. A new adapter is one line here."""

from collections.abc import Mapping, Sequence
from typing import Final

from adapters.fhir import Fhir
from adapters.hl7v2 import Hl7v2
from adapters.sftp import Sftp
from adapters.webhook import Webhook
from contracts.adapters import Adapter, AdapterContext, AdapterFactory

ADAPTERS: Final[Mapping[str, AdapterFactory]] = {
    "fhir": Fhir,
    "hl7v2": Hl7v2,
    "sftp": Sftp,
    "webhook": Webhook,
}


def adapter_for(name: str, context: AdapterContext) -> Adapter:
    """Return the adapter `name` for the organisation of `context`.

    Raises ValueError, naming what must be put right, for an unknown name or wrong settings.
    """
    return _factory(name)(context)


def secrets_of(name: str) -> Sequence[str]:
    """Return the names of the secrets the adapter `name` may ask for. Raises ValueError for an unknown name."""
    return _factory(name).secrets


def _factory(name: str) -> AdapterFactory:
    if name not in ADAPTERS:
        raise ValueError(f"adapter: must be one of {', '.join(sorted(ADAPTERS))}")
    return ADAPTERS[name]

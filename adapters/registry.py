"""Every adapter by the name an organisation's `adapter` setting carries: ours here, others' from installed packages.

A package announces its adapters as entry points of the group `unwaith.adapters`; `unwaith adapter new` makes one. Who
installs a package on our machines trusts it: it runs with us.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from adapters.fhir import Fhir
from adapters.hl7v2 import Hl7v2
from adapters.pull import Pull
from adapters.sftp import Sftp
from adapters.webhook import Webhook
from contracts.adapters import (
    Adapter,
    AdapterContext,
    AdapterFactory,
    CarriesBySettings,
    CarriesTypes,
    ChecksSettings,
    Collector,
    MakesCollectors,
)
from contracts.agreement import Agreement
from contracts.changes import address, change_types
from contracts.organisation import Organisation

GROUP: Final = "unwaith.adapters"

ADAPTERS: Final[Mapping[str, AdapterFactory]] = {
    "fhir": Fhir,
    "hl7v2": Hl7v2,
    "pull": Pull,
    "sftp": Sftp,
    "webhook": Webhook,
}
"""Ours. Their names are nobody else's."""


def adapter_for(name: str, context: AdapterContext) -> Adapter:
    """Return the adapter `name` for the organisation of `context`.

    Raises ValueError, naming what must be put right, for an unknown name or wrong settings.
    """
    return _factory(name)(context)


def collects(name: str) -> bool:
    """Return whether the adapter `name` may have answers to collect. Raises ValueError for an unknown name."""
    return isinstance(_factory(name), MakesCollectors)


def collector_for(name: str, context: AdapterContext) -> Collector | None:
    """Return what fetches the answers of the organisation of `context`; None where there is nothing to fetch from.

    Raises ValueError as `adapter_for` does.
    """
    factory = _factory(name)
    return factory.collector(context) if isinstance(factory, MakesCollectors) else None


def secrets_of(name: str) -> Sequence[str]:
    """Return the names of the secrets the adapter `name` may ask for. Raises ValueError for an unknown name."""
    return tuple(_factory(name).secrets)


def check(name: str, settings: Mapping[str, Any]) -> None:
    """Look at what an organisation's adapter and its settings will be; secrets are not looked at.

    Raises ValueError, naming what must be put right, for an unknown name or wrong settings.
    """
    factory = _factory(name)
    if isinstance(factory, ChecksSettings):
        factory.check_settings(settings)


def carries(name: str, settings: Mapping[str, Any], event_type: str) -> bool:
    """Return whether the adapter `name` can carry changes of an event type with an organisation's settings.

    Raises ValueError for an unknown name, or settings that are wrong.
    """
    factory = _factory(name)
    if isinstance(factory, CarriesBySettings):
        return event_type in factory.carried_with(settings)
    carried = factory.carries if isinstance(factory, CarriesTypes) else {address.KIND.event_type}
    return carried is None or event_type in carried


def check_agreement(agreement: Agreement, reached: Organisation) -> None:
    """See that what is agreed with an organisation can be told to it by the way it is reached.

    Raises ValueError, naming what must be put right: an unknown change type, a place such a change has not, the newest
    alone of a type whose newest does not say it all, or a type that the adapter cannot carry.
    """
    kind = change_types().get(agreement.change_type)
    if kind is None:
        raise ValueError(f"agreement {agreement.id}: changeType must be one of {', '.join(change_types())}")
    places = (*kind.ends, "anywhere")
    if strange := sorted({share.where for share in agreement.shares} - set(places)):
        raise ValueError(
            f"agreement {agreement.id}: a change of {kind.name} has no place {', '.join(strange)};"
            f" where must be one of {', '.join(places)}"
        )
    if agreement.latest_only and not kind.replaces:
        raise ValueError(
            f"agreement {agreement.id}: latestOnly must be false, since a newer change of {kind.name} does not say all"
            " that an older one did"
        )
    if not carries(reached.adapter, reached.adapter_settings, kind.event_type):
        raise ValueError(
            f"agreement {agreement.id}: {agreement.organisation} is reached by {reached.adapter}, which cannot carry"
            f" a change of {kind.name} with its settings"
        )


def names() -> Sequence[str]:
    """Return every name an organisation's `adapter` may have."""
    return sorted(ADAPTERS.keys() | entry_points(group=GROUP).names)


def _factory(name: str) -> AdapterFactory:
    if name in ADAPTERS:
        return ADAPTERS[name]
    announcing = entry_points(group=GROUP, name=name)
    if not announcing:
        raise ValueError(f"adapter: must be one of {', '.join(names())}")
    if len({found.value for found in announcing}) > 1:
        packages = ", ".join(sorted(found.dist.name for found in announcing if found.dist is not None))
        raise ValueError(f"adapter {name}: several packages announce it, uninstall all but one: {packages}")
    return _loaded(next(iter(announcing)))


def _loaded(found: EntryPoint) -> AdapterFactory:
    try:
        factory: AdapterFactory = found.load()
        wrong = not callable(factory) or isinstance(factory.secrets, str)
    except Exception as fault:  # whatever a package of somebody else's does
        raise ValueError(f"adapter {found.name}: {found.value} cannot be loaded ({type(fault).__name__})") from fault
    if wrong:
        raise ValueError(f"adapter {found.name}: {found.value} is not an adapter's factory")
    return factory

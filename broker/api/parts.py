"""What the API is made from; `broker.main` puts it together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from broker.eventlog import EventLog
from broker.identity.citizens import CitizenTokens
from broker.identity.organisations import OrganisationTokens
from broker.identity.token_endpoint import TokenEndpoint
from broker.intake import Intake
from broker.register import Directory
from broker.store import Database
from broker.telemetry.health import Check
from broker.telemetry.metrics import Metrics
from broker.vault import Vault
from broker.verification import Gazetteer


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """Everything a route may use."""

    public_url: str
    database: Database
    eventlog: EventLog
    vault: Vault
    directory: Directory
    gazetteer: Gazetteer
    intake: Intake
    citizens: CitizenTokens | None
    """None: citizens' access by bearer token is off."""
    organisations: OrganisationTokens
    token_endpoint: TokenEndpoint
    checks: Mapping[str, Check]
    metrics: Metrics
    clock: Callable[[], datetime]

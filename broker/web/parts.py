"""What the pages are made from; `broker.main` puts it together."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from broker.identity.sessions import Sessions
from broker.identity.sign_in import Provider
from broker.intake import Intake
from broker.register import Directory
from broker.store import Database
from broker.telemetry.health import Check
from broker.telemetry.metrics import Metrics
from broker.vault import Vault
from broker.verification import Gazetteer


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How people of one trust domain come in."""

    provider: Provider
    sessions: Sessions
    prefix: str
    """Of the paths of its pages: empty for citizens, `/staff` for staff."""

    @property
    def home(self) -> str:
        return self.prefix or "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebParts:
    """Everything a page may use."""

    public_url: str
    """Without a closing slash. Only forms from there are taken."""
    database: Database
    vault: Vault
    directory: Directory
    gazetteer: Gazetteer
    intake: Intake
    metrics: Metrics
    citizens: Door
    staff: Door | None
    """None: there are no pages for staff."""
    checks: Mapping[str, Check]
    """What says whether the store and the log can be used now."""
    stop: asyncio.Event
    """Set when the process ends: whatever streams must end too."""
    clock: Callable[[], datetime]

    @property
    def secure(self) -> bool:
        return self.public_url.startswith("https:")

    @property
    def host(self) -> str:
        return urlsplit(self.public_url).netloc

    def door(self, domain: str) -> Door | None:
        return self.staff if domain == "staff" else self.citizens

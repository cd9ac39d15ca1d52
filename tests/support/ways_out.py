"""The context adapters get, on the real guarded way out, allowed to reach servers of this machine."""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.conformance import DEADLINE
from broker.outbound.client import GuardedClient, tls_context
from broker.outbound.connections import GuardedConnections
from contracts.adapters import AdapterContext

HERE = ("localhost", "127.0.0.1")


def context(
    settings: Mapping[str, Any],
    secrets: Mapping[str, str] | None = None,
    *,
    deadline: timedelta = DEADLINE,
    tls: ssl.SSLContext | None = None,
) -> AdapterContext:
    """Return the context of an organisation; `tls` instead of the system's authorities. Make it inside a loop."""
    named = dict(secrets or {})
    rules = tls or tls_context(spoken=None)
    return AdapterContext(
        organisation="swansea",
        settings=settings,
        secret=lambda name: named[name].encode(),
        http=GuardedClient(tls=rules, deadline=deadline, allowed_hosts=HERE),
        connections=GuardedConnections(tls=rules, deadline=deadline, allowed_hosts=HERE),
        deadline=deadline,
        clock=lambda: datetime.now(UTC),
    )

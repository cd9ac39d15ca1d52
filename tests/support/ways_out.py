"""The context adapters get, on the real guarded way out, allowed to reach servers of this machine."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from adapters.conformance import DEADLINE
from broker.main.credentials import authorizing, certificate_of, signing
from broker.outbound.client import GuardedClient, tls_context
from broker.outbound.connections import GuardedConnections
from broker.vault import Purpose, SigningKeys, Vault
from contracts.adapters import AdapterContext

HERE = ("localhost", "127.0.0.1")


class KeptInMemory:
    """What of a vault our signing keys need."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def find(self, name: str) -> bytes | None:
        return self.kept.get(name)

    async def exchange(self, name: str, was: bytes | None, becomes: bytes, _leaves: Sequence[bytes] = ()) -> bool:
        if self.kept.get(name) != was:
            return False
        self.kept[name] = becomes
        return True


OURS = KeptInMemory()
"""Of this process, for all tests: keys take long to make."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def our_keys(
    purpose: Purpose, clock: Callable[[], datetime] = utc_now, kept: KeptInMemory | None = None
) -> SigningKeys:
    """Return our keys for a purpose, as a process that has just begun has them."""
    return SigningKeys(cast("Vault", kept or OURS), purpose, clock)


def context(
    settings: Mapping[str, Any],
    secrets: Mapping[str, str] | None = None,
    *,
    deadline: timedelta = DEADLINE,
    tls: ssl.SSLContext | None = None,
    rate: float | None = None,
) -> AdapterContext:
    """Return the context of an organisation; `tls` instead of the system's authorities. Make it inside a loop."""
    named = {name: value.encode() for name, value in (secrets or {}).items()}
    rules = tls or tls_context(spoken=None)
    if (certificate := certificate_of(named, utc_now)) is not None:
        certificate.shown_in(rules)
    http = GuardedClient(tls=rules, deadline=deadline, allowed_hosts=HERE, certificate=certificate)
    return AdapterContext(
        organisation="swansea",
        settings=settings,
        secret=named.__getitem__,
        http=http,
        connections=GuardedConnections(tls=rules, deadline=deadline, allowed_hosts=HERE, certificate=certificate),
        deadline=deadline,
        clock=utc_now,
        origin="unwaith.example",
        rate=rate,
        authorized=authorizing(http, named.__getitem__, our_keys("client-assertions"), deadline, utc_now),
        signed=signing("swansea", our_keys("message-signatures"), utc_now),
    )

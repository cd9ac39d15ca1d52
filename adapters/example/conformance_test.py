"""EXAMPLE before the suite every adapter must pass. Needs pytest, pytest-asyncio in auto mode, and trustme."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from adapters.conformance import DEADLINE, AdapterConformance, Mishap, Says, Standing
from adapters.conformance_http import HttpPeer, response
from adapters.conformance_tls import tls_of
from adapters.example.adapter import Example
from broker.outbound.client import GuardedClient, tls_context
from broker.outbound.connections import GuardedConnections
from contracts.adapters import Adapter, AdapterContext
from contracts.delivery import Delivery
from contracts.statuses import Outcome

SAYS = {Outcome.APPLIED: 200, Outcome.ACCEPTED: 202, Outcome.REJECTED_INVALID: 422}
"""How the system says each outcome it can say."""


class TestExample(AdapterConformance):
    outcomes = frozenset(SAYS)
    # What cannot happen: this system's answers have no body that could be misread.
    mishaps = frozenset({*Mishap, *Standing}) - {Mishap.BABBLES, Mishap.FLOODS, Mishap.BOMB}

    def reference(self, _delivery: Delivery) -> None:
        return None  # it gives none

    @asynccontextmanager
    async def system(
        self, *, deadline: timedelta = DEADLINE, standing: Standing = Standing.PRESENT
    ) -> AsyncIterator[tuple[Adapter, HttpPeer]]:
        async with HttpPeer(tls=tls_of(standing), say=_say, key="idempotency-key") as peer:
            if standing is Standing.ABSENT:
                peer.leave()
            adapter = Example(_context(peer.url, deadline))
            try:
                yield adapter, peer
            finally:
                await adapter.close()


def _say(says: Says) -> bytes:
    return response(SAYS[says.outcome])


def _context(endpoint: str, deadline: timedelta) -> AdapterContext:
    here = ("localhost",)
    return AdapterContext(
        organisation="cardiff",
        settings={"endpoint": endpoint},
        secret={"token": b"a-token"}.__getitem__,
        http=GuardedClient(tls=tls_context(), deadline=deadline, allowed_hosts=here),
        connections=GuardedConnections(tls=tls_context(spoken=None), deadline=deadline, allowed_hosts=here),
        deadline=deadline,
        clock=lambda: datetime.now(UTC),
    )

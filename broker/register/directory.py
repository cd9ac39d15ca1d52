"""The configuration as this process knows it, and how fresh that is."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from broker.register.bodies import known
from broker.store import Database, StoreUnavailable, breakers, register
from contracts.agreement import Agreement
from contracts.body import Body
from contracts.breaker import Breaker
from contracts.grants import GateUnavailable
from contracts.organisation import Organisation

POLL_SECONDS: Final = 1.0
STALE_SECONDS: Final = 5.0
"""Without an answer for so long, nothing may be sent: a pause or a revocation might be unknown to us."""

log = structlog.get_logger()


class Directory:
    """A snapshot that follows the store. Reading it never waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known = register.Configuration(version=-1, organisations={}, agreements=())
        self._bodies = known(())
        self._heard_at = float("-inf")
        self._store_time = datetime.now(UTC)
        self._breakers: dict[str, Breaker] = {}
        self._woken = asyncio.Event()
        self._looking = asyncio.Lock()

    def organisations(self) -> Mapping[str, Organisation]:
        """Return every organisation by id, with its pause as it is now."""
        return self._known.organisations

    def secrets(self, organisation: str) -> bytes:
        """Return a mark of what an organisation has entrusted us: another when one of its secrets is replaced."""
        return self._known.secrets.get(organisation, b"")

    def agreements(self) -> tuple[Agreement, ...]:
        """Return every version of every agreement, with its revocation as it is now."""
        return self._known.agreements

    def bodies(self) -> tuple[Body, ...]:
        """Return everybody the register knows, connected or not, by id."""
        return self._bodies

    def fresh(self) -> bool:
        """Return whether the store confirmed this snapshot within `STALE_SECONDS`."""
        return asyncio.get_running_loop().time() - self._heard_at < STALE_SECONDS

    def breaker(self, organisation: str) -> Breaker:
        """Return where an organisation's breaker stands; one that was never open is closed."""
        return self._breakers.get(organisation, Breaker())

    def now(self) -> datetime:
        """Return the store's time, as far as this process can tell: late by at most one question to it."""
        gone = asyncio.get_running_loop().time() - self._heard_at
        return self._store_time + timedelta(seconds=gone) if gone < float("inf") else self._store_time

    async def move(self, organisation: str, to: Breaker) -> bool:
        """Record a breaker's next state for all workers; return False where another was first.

        Raises GateUnavailable where the store does not answer.
        """
        try:
            stands = await breakers.move(self._database, organisation, to)
        except StoreUnavailable:
            raise GateUnavailable from None
        self._breakers = {**self._breakers, organisation: stands or to}
        return stands is None

    async def refresh(self) -> None:
        """Look now. Raises StoreUnavailable."""
        async with self._looking:  # of two who look at once, the slower must not bring back what was before
            started = asyncio.get_running_loop().time()
            standing = await breakers.standing(self._database)
            ours = self._breakers  # a change of our own may have been recorded while we looked
            self._breakers = {
                key: max(found, ours.get(key, found), key=lambda one: one.version)
                for key, found in standing.breakers.items()
            }
            self._store_time = standing.now
            if standing.version != self._known.version:
                self._known = await register.configuration(self._database)
                self._bodies = known(self._known.bodies)
                log.info("configuration.read", version=self._known.version, count=len(self._known.organisations))
            self._heard_at = started

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the store until `stop`; a notice hastens, the poll is what counts."""
        listening = asyncio.create_task(self._listen(stop))
        try:
            while not stop.is_set():
                self._woken.clear()
                try:
                    await self.refresh()
                except StoreUnavailable:
                    log.warning("configuration.unconfirmed")
                try:
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._woken.wait()
                except TimeoutError:
                    pass
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                lost = await self._database.listen("unwaith_configuration", lambda _: self._woken.set())
                await lost
            except StoreUnavailable:
                pass
            await asyncio.sleep(POLL_SECONDS)

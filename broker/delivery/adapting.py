"""The adapter a line uses now: made of the settings and secrets as they are, and of nothing that is anybody else's."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from contracts.adapters import Adapter, BatchAdapter, Paced
from contracts.organisation import Organisation

AdapterSource = Callable[[Organisation], Awaitable[Adapter]]
"""Makes the adapter for an organisation's settings. Raises ValueError for wrong ones, GateUnavailable for no answer."""


@dataclass(eq=False, slots=True)
class Made:
    """An adapter, what it was made of, and how many use it now."""

    adapter: Adapter
    many: BatchAdapter | None
    """The same, where it hands over many at once. Told once: to ask what a thing can do takes longer than doing it."""
    paced: Paced | None
    settings: Organisation
    secrets: bytes
    users: int = 0

    def serves(self, settings: Organisation, secrets: bytes) -> bool:
        """Return whether it is still the one for these."""
        if settings is not self.settings:
            if settings.way != self.settings.way:
                return False
            self.settings = settings  # as good, and next time known at a glance
        return secrets == self.secrets


class HeldAdapter:
    """One organisation's adapter: exchanged when its settings or secrets change, closed when nobody uses it any more."""

    def __init__(self, adapters: AdapterSource) -> None:
        self._adapters = adapters
        self._made: Made | None = None
        self._making = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def taken(self, settings: Organisation, secrets: bytes) -> Made:
        """Return the adapter for these settings and this mark of the secrets, to be given `back`.

        Raises what the source does, and ValueError for batches with an adapter that takes one delivery at a time.
        """
        made = self._made
        if made is None or not made.serves(settings, secrets):
            async with self._making:
                made = await self._exchanged(settings, secrets)
        made.users += 1
        return made

    async def _exchanged(self, settings: Organisation, secrets: bytes) -> Made:
        former = self._made
        if former is not None and former.serves(settings, secrets):
            return former  # somebody else has made it meanwhile
        adapter = await self._adapters(settings)
        many = adapter if isinstance(adapter, BatchAdapter) else None
        if settings.policy.batch and many is None:
            await adapter.close()
            raise ValueError(f"policy.batch: the adapter {settings.adapter} takes one delivery at a time")
        paced = adapter if isinstance(adapter, Paced) else None
        self._made = made = Made(adapter, many, paced, settings, secrets)
        if former is not None and not former.users:
            self._close(former)
        return made

    def back(self, made: Made) -> None:
        """Give back what was taken. Of former settings, the last to do so closes it."""
        made.users -= 1
        if not made.users and made is not self._made:
            self._close(made)

    def rate(self) -> float | None:
        """Return how many requests a second the organisation has told its adapter it takes, None where it has not."""
        made = self._made
        return made.paced.rate if made is not None and made.paced is not None else None

    def _close(self, made: Made) -> None:
        """Close it beside what goes on."""
        closing = asyncio.create_task(made.adapter.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close what nobody uses; what somebody still does is closed when it is given back."""
        made, self._made = self._made, None
        if made is not None and not made.users:
            self._close(made)
        if self._closing:
            await asyncio.wait(self._closing)

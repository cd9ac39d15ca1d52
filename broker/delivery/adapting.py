"""The adapter a line uses now: made for the settings as they are, exchanged when they change, closed when spare."""

import asyncio
from collections.abc import Awaitable, Callable

from contracts.adapters import Adapter, BatchAdapter, Paced
from contracts.organisation import Organisation

AdapterSource = Callable[[Organisation], Awaitable[Adapter]]
"""Makes the adapter for an organisation's settings. Raises ValueError for wrong ones, GateUnavailable for no answer."""


class HeldAdapter:
    """One organisation's adapter."""

    def __init__(self, adapters: AdapterSource) -> None:
        self._adapters = adapters
        self._adapter: Adapter | None = None
        self._paced: Paced | None = None
        self._version = -1
        self._making = asyncio.Lock()
        self._former: list[Adapter] = []
        self._closing: set[asyncio.Task[None]] = set()

    async def of(self, settings: Organisation, version: int) -> Adapter:
        """Return the adapter for these settings; another version means other settings or secrets, and makes a new one.

        Raises what the source does, and ValueError for batches with an adapter that takes one delivery at a time.
        """
        if self._adapter is not None and self._version == version:
            return self._adapter
        async with self._making:
            if self._adapter is None or self._version != version:
                made = await self._adapters(settings)
                if settings.policy.batch and not isinstance(made, BatchAdapter):
                    await made.close()
                    raise ValueError(f"policy.batch: the adapter {settings.adapter} takes one delivery at a time")
                if self._adapter is not None:
                    self._former.append(self._adapter)  # attempts under way still use it
                self._adapter, self._version = made, version
                self._paced = made if isinstance(made, Paced) else None
            return self._adapter

    def rate(self) -> float | None:
        """Return how many requests a second the organisation has told its adapter it takes, None where it has not."""
        return self._paced.rate if self._paced is not None else None

    def spare(self) -> None:
        """Close, beside what goes on, the adapters of former settings: nobody uses them any more."""
        former, self._former = self._former, []
        for adapter in former:
            closing = asyncio.create_task(adapter.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all there are."""
        for adapter in (*self._former, *([self._adapter] if self._adapter else [])):
            await adapter.close()
        if self._closing:
            await asyncio.wait(self._closing)

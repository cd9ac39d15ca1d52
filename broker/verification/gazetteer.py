"""Where an address lies: the local custodian code of the authority it belongs to."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from broker.store import Database, register
from broker.store.together import Together
from contracts.address import Address

KEPT_SECONDS: Final = 60.0
"""How long the authority of a UPRN is believed without asking again: a person previews, reads, then tells."""
KEPT_MOST: Final = 20_000


class Gazetteer(Protocol):
    """A source of addresses and whose they are."""

    async def custodians(self, addresses: Sequence[Address]) -> list[int | None]:
        """Return the custodian code of each address, None where it cannot be said for certain.

        Raises StoreUnavailable when the source is ours and away.
        """
        ...

    async def at(self, postal_code: str, language: str) -> list[register.Place]:
        """Return the addresses at a postcode, at most 100, in `cy` or `en`."""
        ...


class StoredGazetteer:
    """The gazetteer over addresses held in our own store."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds, for what is remembered of a UPRN."""
        self._database = database
        self._clock = clock
        self._places = Together(partial(register.custodian_of_uprn, database))
        self._kept: OrderedDict[int, tuple[int, float]] = OrderedDict()
        """Custodian code by UPRN, and until when; the oldest first."""

    async def custodians(self, addresses: Sequence[Address]) -> list[int | None]:
        uprns = [address.uprn for address in addresses if address.uprn is not None]
        codes = [address.postal_code for address in addresses if address.uprn is None and address.postal_code]
        by_uprn = await self._by_uprn(uprns)
        by_code = await register.custodians_of_postal_code(self._database, codes) if codes else {}
        return [_custodian(address, by_uprn, by_code) for address in addresses]

    async def _by_uprn(self, uprns: Sequence[int]) -> dict[int, int]:
        """Return the custodian code of each UPRN that is known. What is not known is asked anew each time."""
        now = self._clock()
        found = {uprn: kept[0] for uprn in uprns if (kept := self._kept.get(uprn)) and now < kept[1]}
        if missing := [uprn for uprn in uprns if uprn not in found]:
            fresh = await self._places.answers(missing)
            for uprn, code in fresh.items():
                self._kept.pop(uprn, None)
                self._kept[uprn] = code, now + KEPT_SECONDS
            while len(self._kept) > KEPT_MOST:
                self._kept.popitem(last=False)
            found |= fresh
        return found

    async def at(self, postal_code: str, language: str) -> list[register.Place]:
        return await register.places_at(self._database, postal_code, language, 100)


def _custodian(address: Address, by_uprn: Mapping[int, int], by_code: Mapping[str, frozenset[int]]) -> int | None:
    if address.uprn is not None:
        return by_uprn.get(address.uprn)
    found = by_code.get(address.postal_code or "", frozenset())
    return next(iter(found)) if len(found) == 1 else None  # a postcode on a border says nothing for certain

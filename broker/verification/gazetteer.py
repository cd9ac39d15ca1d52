"""Where an address lies: the local custodian code of the authority it belongs to."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from broker.store import Database, register
from contracts.address import Address


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

    def __init__(self, database: Database) -> None:
        self._database = database

    async def custodians(self, addresses: Sequence[Address]) -> list[int | None]:
        uprns = [address.uprn for address in addresses if address.uprn is not None]
        codes = [address.postal_code for address in addresses if address.uprn is None and address.postal_code]
        by_uprn = await register.custodian_of_uprn(self._database, uprns) if uprns else {}
        by_code = await register.custodians_of_postal_code(self._database, codes) if codes else {}
        return [_custodian(address, by_uprn, by_code) for address in addresses]

    async def at(self, postal_code: str, language: str) -> list[register.Place]:
        return await register.places_at(self._database, postal_code, language, 100)


def _custodian(address: Address, by_uprn: Mapping[int, int], by_code: Mapping[str, frozenset[int]]) -> int | None:
    if address.uprn is not None:
        return by_uprn.get(address.uprn)
    found = by_code.get(address.postal_code or "", frozenset())
    return next(iter(found)) if len(found) == 1 else None  # a postcode on a border says nothing for certain

"""Where an address lies: the local custodian code of the authority it belongs to."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from broker.store import Database, editions, register
from broker.store.editions import Unit
from broker.store.together import Together
from broker.verification import finding
from broker.verification.open_data import packed
from contracts.address import Address

KEPT_SECONDS: Final = 60.0
"""How long the authority of a UPRN is believed without asking again: a person previews, reads, then tells."""
KEPT_MOST: Final = 20_000


class GazetteerAway(Exception):  # noqa: N818  it says what holds
    """The gazetteer cannot be asked now. Somebody may type their address; it is not checked."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an address lies, as far as the gazetteer can say."""

    custodian_code: int | None
    """None where it cannot be said for certain."""
    checked: bool = True
    """False where the gazetteer could not be asked: then nothing is known of it but what somebody typed."""


class Gazetteer(Protocol):
    """A source of addresses and whose they are. What is ours raises StoreUnavailable where our store is away."""

    async def placed(self, addresses: Sequence[Address]) -> list[Placed]:
        """Return where each address lies. Where others cannot be asked it says so instead of raising."""
        ...

    async def at(self, postal_code: str, language: str) -> list[register.Place]:
        """Return the addresses at a postcode, at most 100, in `cy` or `en`. Raises GazetteerAway."""
        ...

    async def search(self, text: str, postal_code: str | None, language: str) -> list[register.Place]:
        """Return the addresses that may be meant by what somebody typed, at most 20, the likeliest first.

        In `cy` or `en` where they have a form in it. A postcode may stand in the text instead. Raises GazetteerAway.
        """
        ...


NEAR_METRES: Final = 10_000
"""How far a property may lie from the middle of its postcode. The widest postcodes of the uplands reach some kilometres;
a property farther off and its postcode contradict each other."""


class StoredGazetteer:
    """The gazetteer over what our own store holds: addresses, and open data of postcodes and UPRNs.

    An address that is held says whose it is. Of one that is not, its postcode says it, where all that is known of the
    postcode says the same; with a UPRN only if that lies near it. Anything else is not certain.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds, for what is remembered of a UPRN."""
        self._database = database
        self._clock = clock
        self._places = Together(partial(register.custodian_of_uprn, database))
        self._kept: OrderedDict[int, tuple[int, float]] = OrderedDict()
        """Custodian code by UPRN, and until when; the oldest first."""

    async def placed(self, addresses: Sequence[Address]) -> list[Placed]:
        return [Placed(code) for code in await self.custodians(addresses)]

    async def custodians(self, addresses: Sequence[Address]) -> list[int | None]:
        """Return the custodian code of each address, None where it cannot be said for certain."""
        by_uprn = await self._by_uprn([address.uprn for address in addresses if address.uprn is not None])
        rest = [
            one
            for one in addresses
            if one.uprn not in by_uprn and one.postal_code is not None and one.address_country == "GB"
        ]
        by_code = await self._by_postal_code(rest) if rest else {}
        return [by_uprn[one.uprn] if one.uprn in by_uprn else by_code.get(id(one)) for one in addresses]

    async def _by_postal_code(self, addresses: Sequence[Address]) -> dict[int, int | None]:
        """Return what their postcodes say of addresses that are not held, by the identity of each object."""
        codes = {id(one): packed(one.postal_code or "") for one in addresses}
        held = await register.custodians_of_postal_code(self._database, [spaced(code) for code in codes.values()])
        units = await editions.units(self._database, list(codes.values()))
        uprns = [one.uprn for one in addresses if one.uprn is not None]
        points = await editions.points(self._database, uprns) if uprns else {}
        found: dict[int, int | None] = {}
        for one in addresses:
            code = codes[id(one)]
            unit = units.get(code)
            if one.uprn is None or _near(points.get(one.uprn), unit):
                found[id(one)] = authority(held.get(spaced(code), frozenset()), unit)
        return found

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

    async def search(self, text: str, postal_code: str | None, language: str) -> list[register.Place]:
        return await finding.find(self._database, finding.asked_by(text, postal_code), language)


def authority(held: AbstractSet[int], unit: Unit | None) -> int | None:
    """Return whose a postcode is, None unless everything that is known of it says the same.

    `held` are the authorities of the addresses held there; `unit` is what open data says. A postcode on a border, one
    of which a source is not sure or says that it lies elsewhere, and one that has ended say nothing for certain.
    """
    said: set[int | None] = {*held}
    if unit is not None:
        said |= unit.custodians if unit.current else {None}
    return said.pop() if len(said) == 1 else None


def _near(point: tuple[int, int] | None, unit: Unit | None) -> bool:
    return (
        point is not None
        and unit is not None
        and unit.point is not None
        and math.dist(point, unit.point) <= NEAR_METRES
    )


def spaced(code: str) -> str:
    """Return a packed postcode as people write it."""
    return f"{code[:-3]} {code[-3:]}"

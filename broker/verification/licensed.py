"""The gazetteer over OS Places: addresses from there, and from our store what it needs nobody for."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from broker.store.register import Place
from broker.verification.finding import MOST, asked_by
from broker.verification.gazetteer import KEPT_MOST, KEPT_SECONDS, GazetteerAway, Placed, StoredGazetteer
from broker.verification.os_places import OsPlaces, chosen
from contracts.address import Address

AT_MOST: Final = 100


class OsPlacesGazetteer:
    """Asks OS Places for addresses and UPRNs; postcodes alone are placed by the open data in our store.

    Whose a UPRN is is remembered for a minute, as long as somebody looks at a preview before they send it.
    """

    def __init__(
        self, places: OsPlaces, stored: StoredGazetteer, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._places = places
        self._stored = stored
        self._clock = clock
        self._kept: OrderedDict[int, tuple[int | None, float]] = OrderedDict()
        """Custodian code by UPRN, None for one that is not there, and until when; the oldest first."""

    async def placed(self, addresses: Sequence[Address]) -> list[Placed]:
        stored = await self._stored.custodians(addresses)
        return [await self._placed(address, code) for address, code in zip(addresses, stored, strict=True)]

    async def _placed(self, address: Address, stored: int | None) -> Placed:
        if address.uprn is None:  # typed: because it is not listed, or because nothing could be looked up
            return Placed(stored, checked=self._places.answers())
        try:
            code = await self._of_uprn(address.uprn)
        except GazetteerAway:
            return Placed(stored, checked=False)
        return Placed(code)

    async def _of_uprn(self, uprn: int) -> int | None:
        now, kept = self._clock(), self._kept.get(uprn)
        if kept is not None and now < kept[1]:
            return kept[0]
        codes = {place.custodian_code for place in await self._places.property(uprn)}
        code = codes.pop() if len(codes) == 1 else None
        self._kept.pop(uprn, None)
        self._kept[uprn] = code, now + KEPT_SECONDS
        while len(self._kept) > KEPT_MOST:
            self._kept.popitem(last=False)
        return code

    async def at(self, postal_code: str, language: str) -> list[Place]:
        return chosen(await self._places.at(postal_code), language)[:AT_MOST]

    async def search(self, text: str, postal_code: str | None, language: str) -> list[Place]:
        asked = asked_by(text, postal_code)
        if not asked.words:
            return await self.at(asked.postal_code, language) if asked.postal_code else []
        return chosen(await self._places.find(f"{text} {postal_code or ''}".strip()), language)[:MOST]

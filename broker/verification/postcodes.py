"""Does a postcode exist: for addresses that are typed, because what is chosen comes from a gazetteer."""

import re
from collections.abc import Collection, Iterable
from typing import Final

from uk_postcodes_parsing import is_in_ons_postcode_directory

from broker.store import Database, editions, register
from broker.verification.gazetteer import spaced
from broker.verification.open_data import packed
from contracts.address import Address

_SHAPE: Final = re.compile(r"[A-Z]{1,2}[0-9][0-9A-Z]?[0-9][A-Z]{2}")
_NO_FIXED_ABODE: Final = "ZZ993VZ"
"""ONS's pseudo postcode for somebody without a fixed address; it stands in no directory of real ones."""
_FORCES: Final = ("BFPO", "BF1")
"""British Forces: their own directory."""


def is_published(postal_code: str) -> bool:
    """Return whether it is a live postcode of the UK by the ONS Postcode Directory, or one that stands in none."""
    code = packed(postal_code)
    if code == _NO_FIXED_ABODE or code.startswith(_FORCES):
        return True
    return _SHAPE.fullmatch(code) is not None and bool(is_in_ons_postcode_directory(spaced(code)))


async def that_do_not_exist(database: Database, addresses: Iterable[Address]) -> Collection[str]:
    """Return the postcodes of typed addresses in the UK that nothing knows of, as they were typed.

    What our own store holds, or had imported, exists too: the directory in the program is as old as the program. Raises
    StoreUnavailable.
    """
    doubted = {
        one.postal_code: packed(one.postal_code)
        for one in addresses
        if one.uprn is None and one.address_country == "GB" and one.postal_code and not is_published(one.postal_code)
    }
    if not doubted:
        return ()
    imported = await editions.units(database, list(doubted.values()))
    held = await register.custodians_of_postal_code(database, [spaced(code) for code in doubted.values()])
    return [typed for typed, code in doubted.items() if code not in imported and spaced(code) not in held]

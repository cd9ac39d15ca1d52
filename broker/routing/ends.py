"""In which part of the world an end of a move lies: as far as its address says so for certain. Pure."""

import re
from collections.abc import Collection, Mapping
from typing import Final, Literal

from contracts.address import Address

End = Literal[
    "wales",
    "england",
    "scotland",
    "northern-ireland",
    "crown-dependency",
    "overseas",
    "bfpo",
    "no-fixed-abode",
    "unknown",
]

NO_FIXED_ABODE: Final = "ZZ99 3VZ"
"""The pseudo postcode of the NHS and of ONS for somebody without a fixed address."""

_AREAS: Final[Mapping[End, str]] = {
    "wales": "CF SA",
    "scotland": "AB DD EH FK G HS IV KA KW KY ML PA PH ZE",
    "northern-ireland": "BT",
    "crown-dependency": "GY IM JE",
    "england": (
        "AL B BA BB BD BH BL BN BR BS CB CM CO CR CT CV CW DA DE DH DL DN DT DY E EC EN EX FY GU HA HD HG HP HU HX IG "
        "IP KT L LA LE LN LS LU M ME MK N NG NN NR NW OL OX PE PL PO PR RG RH RM S SE SG SK SL SM SN SO SP SR SS ST SW "
        "TA TF TN TQ TR TS TW UB W WA WC WD WF WN WR WS WV YO"
    ),
}
"""Postcode areas (Royal Mail) that lie in one country with all their addresses. Those on a border say nothing for
certain: CA, CH, DG, GL, HR, LD, LL, NE, NP, SY, TD."""
_END_OF_AREA: Final[Mapping[str, End]] = {area: end for end, areas in _AREAS.items() for area in areas.split()}
_CROWN_COUNTRIES: Final = frozenset({"GG", "JE", "IM"})
_AREA: Final = re.compile(r"([A-Z]{1,2})[0-9]")
_LEAST_OF_SCOTLAND: Final = 9000
"""Custodian codes (GeoPlace) from here on are Scotland's; below it, those that are not Wales's are England's."""


def end_of(address: Address, code: int | None, wales: Collection[int]) -> End:
    """Return where an address lies. `code` is its local custodian code, if known; `wales` are those of Wales."""
    if code in wales:
        return "wales"
    if address.address_country != "GB":
        return "crown-dependency" if address.address_country in _CROWN_COUNTRIES else "overseas"
    postal_code = address.postal_code or ""  # pragma: no mutate  (another word that is no postcode is the same)
    if postal_code == NO_FIXED_ABODE:
        return "no-fixed-abode"
    if postal_code.startswith(("BFPO", "BF1 ")):
        return "bfpo"
    if code is not None:
        return "scotland" if code >= _LEAST_OF_SCOTLAND else "england"
    found = _AREA.match(postal_code)
    return _END_OF_AREA.get(found[1], "unknown") if found else "unknown"

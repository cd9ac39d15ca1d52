"""Addresses as they are looked for: one spelling for both languages, without marks, capitals and what says little.

A street has a Welsh and an English name that often differ only in their last or first word: `Heol yr Eglwys` stands
beside `Church Road`. What kind of street it is (`heol`, `road`) is one word for both, marked with `~`: it helps to
rank what was found, and finds too much to be looked for. Towns with two names have one of them.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

_KINDS: Final[Mapping[str, str]] = {
    word: f"~{kind}"
    for kind, words in {
        "road": "road rd heol hewl ffordd fford way",
        "street": "street st str stryd",
        "lane": "lane ln lon",
        "avenue": "avenue ave av rhodfa coedlan",
        "drive": "drive dr dreif",
        "row": "row rhes",
        "terrace": "terrace terr teras rhesdai",
        "close": "close cl clos",
        "court": "court ct cwrt llys",
        "crescent": "crescent cres cilgant",
        "square": "square sq sgwar",
        "place": "place pl plas",
        "quay": "quay cei",
        "hill": "hill rhiw allt bryn",
        "gardens": "gardens garden gdns gerddi gardd",
        "grove": "grove gr celli llwyn gelli",
        "mews": "mews",
        "park": "park parc",
        "house": "house ty",
        "cottage": "cottage bwthyn",
        "farm": "farm fferm",
        "flat": "flat fflat apartment apt unit uned rhandy",
    }.items()
    for word in words.split()
}
"""What kind of street or building it is. Kinds in Welsh where they are those of street nameplates."""
_LOOKED_FOR: Final = frozenset({"park", "hill", "grove", "place"})
"""Kinds that are as often all a name says."""
_LITTLE: Final = frozenset("the y yr r a an and of o i ar upon by".split())  # noqa: SIM905  words of two languages
_TOWNS: Final[Mapping[str, str]] = {
    "abertawe": "swansea", "caerdydd": "cardiff", "casnewydd": "newport", "wrecsam": "wrexham", "llanelwy": "st asaph",
    "tyddewi": "st davids", "caerfyrddin": "carmarthen", "aberteifi": "cardigan", "hwlffordd": "haverfordwest",
    "penfro": "pembroke", "doc penfro": "pembroke dock", "dinbych y pysgod": "tenby", "castell nedd": "neath",
    "y barri": "barry", "pen y bont ar ogwr": "bridgend", "aberhonddu": "brecon", "y fenni": "abergavenny",
    "trefynwy": "monmouth", "cas gwent": "chepstow", "caergybi": "holyhead", "yr wyddgrug": "mold",
    "dinbych": "denbigh", "rhuthun": "ruthin", "y fflint": "flint", "y drenewydd": "newtown", "y trallwng": "welshpool",
    "llanfair ym muallt": "builth wells", "trefyclo": "knighton", "llanandras": "presteigne",
    "y gelli gandryll": "hay on wye", "llanymddyfri": "llandovery", "rhydaman": "ammanford", "cydweli": "kidwelly",
    "aberdaugleddau": "milford haven", "abergwaun": "fishguard", "llanbedr pont steffan": "lampeter",
    "biwmares": "beaumaris", "bae colwyn": "colwyn bay", "merthyr tudful": "merthyr tydfil", "y bont faen": "cowbridge",
    "llanilltud fawr": "llantwit major", "coed duon": "blackwood", "caerffili": "caerphilly", "brynbuga": "usk",
}  # fmt: skip
"""Welsh names of towns, and the English ones (Welsh Language Commissioner's list of standardised place-names)."""

_POSTCODE: Final = re.compile(r"\b([a-z]{1,2}[0-9][0-9a-z]?)\s*([0-9][a-z]{2})\b", re.IGNORECASE)
_BROKEN: Final = re.compile(r"[^0-9a-z]+")
_TOWN: Final = re.compile(rf"\b({'|'.join(sorted(map(re.escape, _TOWNS), key=len, reverse=True))})\b")
_PARTS: Final = (
    "subBuildingName", "organisationName", "departmentName", "poBoxNumber", "buildingName", "buildingNumber",
    "dependentStreetName", "streetName", "doubleDependentAddressLocality", "dependentAddressLocality", "addressLocality",
)  # fmt: skip


def words_of(text: str) -> list[str]:
    """Return the words of an address in the order they stand; kinds of streets begin with `~`."""
    marked = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(one for one in marked if not unicodedata.combining(one)).replace("'", " ").replace("’", " ")
    plain = _BROKEN.sub(" ", plain).strip()
    plain = _TOWN.sub(lambda found: _TOWNS[found[0]], plain)
    found = []
    for word in plain.split():
        kind = _KINDS.get(word)
        if kind is not None:
            found.append(kind[1:] if kind[1:] in _LOOKED_FOR else kind)
        elif word not in _LITTLE:
            found.append(word)
    return found


def found_by(address: Mapping[str, Any]) -> str:
    """Return by which words an address in wire form is found, without its postcode."""
    return " ".join(words_of(" ".join(str(address[part]) for part in _PARTS if address.get(part))))


def without_postcode(text: str) -> tuple[str, str | None]:
    """Return a text without the postcode that stands in it, and that postcode with its space; None for none."""
    found = _POSTCODE.search(text)
    if found is None:
        return text, None
    return f"{text[: found.start()]} {text[found.end() :]}", f"{found[1]} {found[2]}".upper()


def is_number(word: str) -> bool:
    """Return whether a word is one of a house or flat: `12`, `12a`, `a1`."""
    return any(one.isdigit() for one in word)

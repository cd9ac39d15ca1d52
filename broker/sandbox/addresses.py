"""A small invented gazetteer: each property in English and in Welsh, as Wales' gazetteers hold it.

The UPRNs lie far above any that is given out, and the postcodes in sectors with none (ONS Postcode Directory);
the custodian codes are real, so that areas work. Streets and houses are made up.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from contracts.address import Address

FIRST_UPRN: Final = 900_000_000_001


@dataclass(frozen=True, slots=True)
class SampleAddress:
    """One property in one language. The two rows of a property share their `uprn`."""

    uprn: int
    custodian_code: int
    """GeoPlace local custodian code."""
    language: Literal["en", "cy"]
    sub_building_name: str | None
    building_number: str | None
    building_name: str | None
    street_name: str
    dependent_address_locality: str | None
    address_locality: str
    postal_code: str

    def address(self) -> Address:
        """Return it as a change carries it."""
        return Address(
            uprn=self.uprn,
            sub_building_name=self.sub_building_name,
            building_number=self.building_number,
            building_name=self.building_name,
            street_name=self.street_name,
            dependent_address_locality=self.dependent_address_locality,
            address_locality=self.address_locality,
            postal_code=self.postal_code,
        )


class _Words(NamedTuple):
    en: str
    cy: str


class _Street(NamedTuple):
    custodian_code: int
    name: _Words
    locality: _Words | None
    town: _Words
    postal_code: str
    numbers: tuple[str, ...] = ()
    houses: tuple[_Words, ...] = ()
    flats: tuple[tuple[_Words, _Words], ...] = ()
    """Flat, and the building it is in."""


_CARDIFF: Final = _Words("Cardiff", "Caerdydd")
_SWANSEA: Final = _Words("Swansea", "Abertawe")

_STREETS: Final = (
    _Street(
        6815,
        _Words("Otter Row", "Rhes y Dyfrgi"),
        _Words("Samplestow", "Tresampl"),
        _CARDIFF,
        "CF99 9AA",
        numbers=("1", "2", "3", "4", "5", "6"),
    ),
    _Street(
        6815,
        _Words("Heron Quay", "Cei'r Crëyr"),
        None,
        _CARDIFF,
        "CF99 9AB",
        flats=(
            (_Words("Flat 1", "Fflat 1"), _Words("Invention House", "Tŷ Dychymyg")),
            (_Words("Flat 2", "Fflat 2"), _Words("Invention House", "Tŷ Dychymyg")),
        ),
    ),
    _Street(
        6815, _Words("Bell Heather Way", "Ffordd Clychau'r Grug"), None, _CARDIFF, "CF99 9AD", numbers=("10", "12A")
    ),
    _Street(
        6815,
        _Words("Old Ferry Lane", "Lôn yr Hen Fferi"),
        _Words("Samplestow", "Tresampl"),
        _CARDIFF,
        "CF99 9AE",
        houses=(_Words("Lark Cottage", "Bwthyn yr Ehedydd"),),
    ),
    _Street(
        6855,
        _Words("Seagrass Street", "Stryd y Morwellt"),
        _Words("Examplewick", "Trefenghraifft"),
        _SWANSEA,
        "SA99 9AA",
        numbers=("1", "2", "3", "4", "5"),
    ),
    _Street(
        6855,
        _Words("Lamp Room Terrace", "Teras yr Ystafell Lampau"),
        None,
        _SWANSEA,
        "SA99 9AB",
        numbers=("21", "23", "25"),
    ),
    _Street(
        6855,
        _Words("Limpet Court", "Cwrt y Llygad Maharen"),
        None,
        _SWANSEA,
        "SA99 9AD",
        flats=((_Words("Flat 3", "Fflat 3"), _Words("Shell House", "Tŷ'r Gragen")),),
    ),
    _Street(
        6820,
        _Words("Sheepwash Road", "Ffordd y Golchfa"),
        _Words("Madeup", "Llanddychymyg"),
        _Words("Aberystwyth", "Aberystwyth"),
        "SY99 9AA",
        numbers=("7", "9"),
        houses=(_Words("Tŷ Newydd", "Tŷ Newydd"), _Words("The Old Dairy", "Yr Hen Laethdy")),
    ),
    _Street(
        6810,
        _Words("Slate Steps", "Grisiau'r Llechi"),
        None,
        _Words("Bangor", "Bangor"),
        "LL99 9AA",
        numbers=("4", "6"),
    ),
    _Street(
        6935,
        _Words("Transporter View", "Golygfa'r Bont Gludo"),
        None,
        _Words("Newport", "Casnewydd"),
        "NP99 9AA",
        numbers=("15",),
    ),
    _Street(
        6850,
        _Words("Kite Hill", "Allt y Barcud"),
        None,
        _Words("Brecon", "Aberhonddu"),
        "LD99 9AA",
        numbers=("2", "8"),
        houses=(_Words("Ford House", "Tŷ'r Rhyd"),),
    ),
)


def sample_addresses() -> list[SampleAddress]:
    """Return the whole sample gazetteer, English and Welsh, in order of UPRN."""
    rows: list[SampleAddress] = []
    uprn = FIRST_UPRN
    for street in _STREETS:
        for flat, number, house in _properties(street):
            rows.extend(_both(uprn, street, flat, number, house))
            uprn += 1
    return rows


def _properties(street: _Street) -> list[tuple[_Words | None, str | None, _Words | None]]:
    return [
        *((None, number, None) for number in street.numbers),
        *((None, None, house) for house in street.houses),
        *((flat, None, building) for flat, building in street.flats),
    ]


def _both(
    uprn: int, street: _Street, flat: _Words | None, number: str | None, house: _Words | None
) -> list[SampleAddress]:
    languages: tuple[Literal["en", "cy"], ...] = ("en", "cy")
    return [
        SampleAddress(
            uprn=uprn,
            custodian_code=street.custodian_code,
            language=language,
            sub_building_name=_in(language, flat),
            building_number=number,
            building_name=_in(language, house),
            street_name=getattr(street.name, language),
            dependent_address_locality=_in(language, street.locality),
            address_locality=getattr(street.town, language),
            postal_code=street.postal_code,
        )
        for language in languages
    ]


def _in(language: Literal["en", "cy"], words: _Words | None) -> str | None:
    if words is None:
        return None
    return words.en if language == "en" else words.cy

"""The councils and health boards of Wales: their names, codes and areas.

Source: ONS Geography Portal and Lookups (names and GSS codes of unitary authorities and local health boards), GeoPlace
(local custodian codes), NHS Organisation Data Service (ODS codes); Open Government Licence v3.0. What councils call
themselves, in both languages: Democracy Wales (democracywales.co.uk), the commission's list of the 22.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from contracts.text import Bilingual


@dataclass(frozen=True, slots=True)
class Council:
    """A unitary authority."""

    gss: str
    """ONS code, `W06000015`."""
    custodian_code: int
    """GeoPlace local custodian code, by which the gazetteer says whose an address is."""
    name: Bilingual
    """Of its area, `Cardiff`."""
    council: Bilingual
    """Its own, `Cardiff Council`."""
    board: str
    """GSS code of the health board it lies in."""


@dataclass(frozen=True, slots=True)
class HealthBoard:
    """A local health board."""

    gss: str
    """ONS code, `W11000029`."""
    ods: str
    """NHS Organisation Data Service code, `7A4`."""
    name: Bilingual
    area: tuple[int, ...]
    """Custodian codes of its councils."""


@cache
def councils() -> Mapping[int, Council]:
    """Return the 22 councils by custodian code."""
    return {
        int(row["local_custodian_code"]): Council(
            row["gss_code"],
            int(row["local_custodian_code"]),
            Bilingual(en=row["name_en"], cy=row["name_cy"]),
            Bilingual(en=row["council_en"], cy=row["council_cy"]),
            row["health_board_gss"],
        )
        for row in _rows("welsh-councils.csv")
    }


@cache
def health_boards() -> Mapping[str, HealthBoard]:
    """Return the seven health boards by GSS code."""
    return {
        row["gss_code"]: HealthBoard(
            row["gss_code"],
            row["ods_code"],
            Bilingual(en=row["name_en"], cy=row["name_cy"]),
            tuple(code for code, council in councils().items() if council.board == row["gss_code"]),
        )
        for row in _rows("welsh-health-boards.csv")
    }


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((resources.files(__name__) / name).read_text(encoding="utf-8").splitlines()))

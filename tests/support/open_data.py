"""Open data in the layouts of its publishers, INVENTED: no UPRN, postcode or place of it is real.

UPRNs lie far above any that is given out, and postcodes in sectors with none. The authorities' codes are real.
"""

import csv
import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

CARDIFF: Final = "W06000015"
SWANSEA: Final = "W06000011"
BRISTOL: Final = "E06000023"

ONSPD_2023: Final = [
    "pcd", "pcd2", "pcds", "dointr", "doterm", "oscty", "ced", "oslaua", "osward", "parish", "usertype", "oseast1m",
    "osnrth1m", "osgrdind", "oshlthau", "nhser", "ctry", "rgn", "streg", "pcon", "eer", "teclec", "ttwa", "pct",
    "itl", "statsward", "oa01", "casward", "park", "lsoa01", "msoa01", "ur01ind", "oac01", "oa11", "lsoa11",
    "msoa11", "wz11", "sicbl", "bua11", "buasd11", "ru11ind", "oac11", "lat", "long", "lep1", "lep2", "pfa", "imd",
    "calncv", "icb", "oa21", "lsoa21", "msoa21",
]  # fmt: skip
"""The columns of ONSPD, August 2023."""
ONS_2026: Final = [
    "pcd7", "pcd8", "pcds", "dointr", "doterm", "usrtypind", "east1m", "north1m", "gridind", "oa21cd", "cty26cd",
    "ced25cd", "lad26cd", "wd26cd", "nhser24cd", "ctry26cd", "rgn26cd", "pcon24cd", "ttwa15cd", "itl25cd",
    "npark16cd", "lsoa21cd", "msoa21cd", "wz11cd", "sicbl26cd", "bua24cd", "ruc21ind", "oac21ind", "lat", "long",
    "lep21cd1", "lep21cd2", "pfa23cd", "imd25ind", "icb26cd",
]  # fmt: skip
"""The names ONS gives the same columns since 2025, in the order of its postcode lookup of August 2026."""
_COLUMNS: Final = {
    True: ("pcds", "doterm", "oslaua", "oseast1m", "osnrth1m", "osgrdind"),
    False: ("pcds", "doterm", "lad26cd", "east1m", "north1m", "gridind"),
}

Postcode = tuple[str, str, str, str, str, str]
"""Postcode, month it ended, GSS code, easting, northing, grid indicator."""


def open_uprn(rows: Iterable[Sequence[object]]) -> bytes:
    """Return OS Open UPRN: (uprn, x, y) for each row. Ends of lines, header and columns as published."""
    lines = ["UPRN,X_COORDINATE,Y_COORDINATE,LATITUDE,LONGITUDE"]
    lines += [f"{uprn},{x},{y},51.5000000,-3.2000000" for uprn, x, y in rows]
    return ("\ufeff" + "\r\n".join(lines) + "\r\n").encode()


def open_uprn_zip(path: Path, content: bytes) -> Path:
    file = path / "osopenuprn_202610_csv.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("licence.txt", "Invented.")
        archive.writestr("osopenuprn_202610.csv", content)
        archive.writestr("versions.txt", "Invented.")
    return file


def onspd(rows: Iterable[Postcode], header: Sequence[str] = ONS_2026) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    out.write(",".join(header) + "\r\n")
    columns = _COLUMNS["oslaua" in header]
    for row in rows:
        values = dict.fromkeys(header, "") | dict(zip(columns, row, strict=True))
        writer.writerow(values.values())
    return out.getvalue().encode()


def onspd_zip(path: Path, rows: Iterable[Postcode], header: Sequence[str] = ONS_2026) -> Path:
    file, rows = path / "ONSPD_AUG_2026.zip", list(rows)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "Documents/LA_UA names and codes UK as at 04_26.csv", "LAD26CD,LAD26NM\r\nW06000015,Cardiff\r\n"
        )
        archive.writestr("Data/multi_csv/ONSPD_AUG_2026_UK_CF.csv", onspd(rows, header))
        archive.writestr("Data/ONSPD_AUG_2026_UK.csv", onspd(rows, header))
    return file


def code_point_zip(path: Path, **areas: Iterable[tuple[str, int, int, int, str]]) -> Path:
    """Write Code-Point Open: by postcode area, (postcode, quality, easting, northing, GSS code of the district)."""
    file = path / "codepo_gb_2026-08.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Doc/Code-Point_Open_Column_Headers.csv", "PC,PQ,EA,NO,CY,RH,LH,CC,DC,WC\r\n")
        for area, rows in areas.items():
            lines = [
                f'"{code}",{quality},{x},{y},"W92000004","","W11000029","","{district}","W05009999"'
                for code, quality, x, y, district in rows
            ]
            archive.writestr(f"Data/CSV/{area}.csv", "\r\n".join(lines) + "\r\n")
    return file

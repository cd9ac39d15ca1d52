"""Open data as its publishers lay it out, in files of that layout with invented content."""

import zipfile
import zlib
from pathlib import Path

import pytest

from broker.register.wales import councils
from broker.store.editions import Row
from broker.verification.open_data import SOURCES, Line, NotThisSource, edition_of, lines, opened, packed
from tests.support.open_data import (
    BRISTOL,
    CARDIFF,
    ONS_2026,
    ONSPD_2023,
    SWANSEA,
    code_point_zip,
    onspd,
    onspd_zip,
    open_uprn,
    open_uprn_zip,
)

CODES = {council.gss: code for code, council in councils().items()}


def read(name: str, file: Path) -> list[Line]:
    return list(lines(SOURCES[name], opened(SOURCES[name], file), CODES, lambda _: None))


def kept(name: str, file: Path) -> list[Row]:
    return [line.row for line in read(name, file) if line.row is not None]


def bad(name: str, file: Path) -> list[tuple[int, str]]:
    return [(line.number, line.bad) for line in read(name, file) if line.bad is not None]


def written(path: Path, content: bytes, name: str = "osopenuprn_202610.csv") -> Path:
    file = path / name
    file.write_bytes(content)
    return file


def test_open_uprn_from_its_zip_and_its_csv(tmp_path: Path) -> None:
    content = open_uprn([(900000000001, "318000.50", "176000.00"), (900000000002, 530000.0, 180000.0)])
    for file in (open_uprn_zip(tmp_path, content), written(tmp_path, content)):
        found = read("open-uprn", file)
        assert [(line.number, line.row, line.bad) for line in found] == [
            (2, (900000000001, 318000, 176000), None),
            (3, None, None),  # in London
        ]
        assert edition_of(SOURCES["open-uprn"], opened(SOURCES["open-uprn"], file)) == "202610"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("x,318000,176000,51,-3", "uprn"),
        ("0,318000,176000,51,-3", "uprn"),
        ("٣,318000,176000,51,-3", "uprn"),
        ("1000000000000,318000,176000,51,-3", "uprn"),
        ("9" * 5000 + ",318000,176000,51,-3", "uprn"),
        ("900000000001,nan,176000,51,-3", "coordinate"),
        ("900000000001,inf,176000,51,-3", "coordinate"),
        ("900000000001,-5,176000,51,-3", "coordinate"),
        ("900000000001,318000,176000,51", "columns"),
        ("900000000001,318000,176000,51,-3,", "columns"),
        ("\xff", "columns"),
    ],
)
def test_a_line_that_cannot_be_is_bad_with_its_number_and_the_next_is_read(
    tmp_path: Path, line: str, code: str
) -> None:
    content = open_uprn([(900000000001, 318000, 176000)]) + line.encode() + b"\r\n900000000002,318000,176000,51,-3\r\n"
    file = written(tmp_path, content)
    assert bad("open-uprn", file) == [(3, code)]
    assert len(kept("open-uprn", file)) == 2


def test_a_line_without_end_is_many_bad_ones(tmp_path: Path) -> None:
    content = open_uprn([(900000000001, 318000, 176000)]) + b"0" * 300_000 + b"\n" + b'"' + b"0" * 300_000
    found = bad("open-uprn", written(tmp_path, content))
    assert {code for _, code in found} == {"columns", "csv"}
    assert len(found) > 4, "read whole"


def test_code_point_open_has_no_header_and_a_file_for_each_area(tmp_path: Path) -> None:
    file = code_point_zip(
        tmp_path,
        cf=[
            ("CF99 9AA", 10, 318000, 176000, CARDIFF),
            ("CF999AB", 90, 0, 0, ""),
            ("CF999AD", 60, 318000, 176000, CARDIFF),
        ],
        sa=[("SA99 9AA", 50, 265000, 193000, SWANSEA), ("BS99 9AA", 10, 358000, 172000, BRISTOL)],
    )
    assert kept("code-point-open", file) == [
        ("CF999AA", 6815, True, 318000, 176000),
        ("CF999AB", None, True, None, None),
        ("CF999AD", None, True, None, None),  # the middle of something wider
        ("SA999AA", 6855, True, 265000, 193000),
        ("BS999AA", None, True, 358000, 172000),  # no authority of Wales
    ]
    assert [line.number for line in read("code-point-open", file)] == [1, 2, 3, 1, 2]


@pytest.mark.parametrize("header", [ONSPD_2023, ONS_2026], ids=["2023", "2026"])
def test_onspd_by_the_names_of_its_columns_then_and_now(tmp_path: Path, header: list[str]) -> None:
    rows = [
        ("CF99 9AA", "", CARDIFF, "318000", "176000", "1"),
        ("CF99 9ZZ", "199606", CARDIFF, "318100", "176100", "1"),
        ("SA99 9AA", "", SWANSEA, "265000", "193000", "6"),
        ("GY99 9AA", "", "L99999999", "", "", "9"),
    ]
    assert kept("onspd", onspd_zip(tmp_path, rows, header)) == [
        ("CF999AA", 6815, True, 318000, 176000),
        ("CF999ZZ", 6815, False, 318100, 176100),
        ("SA999AA", None, True, None, None),  # the middle of its sector says nothing of the postcode
        ("GY999AA", None, True, None, None),
    ]


def test_onspd_says_what_is_wrong_with_a_line(tmp_path: Path) -> None:
    rows = [
        ("CF99", "", CARDIFF, "1", "1", "1"),
        ("CF99 9AA", "soon", CARDIFF, "1", "1", "1"),
        ("CF99 9AA", "", "Cardiff", "1", "1", "1"),
        ("CF99 9AA", "", CARDIFF, "1", "1", ""),
    ]
    file = written(tmp_path, onspd(rows), "ONSPD_AUG_2026_UK.csv")
    assert bad("onspd", file) == [(2, "postcode"), (3, "doterm"), (4, "authority"), (5, "quality")]
    assert edition_of(SOURCES["onspd"], opened(SOURCES["onspd"], file)) == "AUG 2026"


def test_a_file_of_another_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotThisSource, match="pcds"):
        read("onspd", written(tmp_path, open_uprn([])))
    with pytest.raises(NotThisSource, match="osopenuprn"):
        opened(SOURCES["open-uprn"], onspd_zip(tmp_path, []))
    with pytest.raises(NotThisSource, match="UPRN"):
        read("open-uprn", written(tmp_path, b""))


def test_a_damaged_zip_says_so_and_not_later_than_at_its_end(tmp_path: Path) -> None:
    content = open_uprn([(900000000001 + n, 318000, 176000) for n in range(5000)])
    file = open_uprn_zip(tmp_path, content)
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    file.write_bytes(whole)
    with pytest.raises((zipfile.BadZipFile, zlib.error, EOFError)):
        read("open-uprn", file)


def test_how_far_it_is_never_falls_and_ends_at_the_whole(tmp_path: Path) -> None:
    content = open_uprn([(900000000001 + n, 318000, 176000) for n in range(25_000)])
    found = opened(SOURCES["open-uprn"], open_uprn_zip(tmp_path, content))
    told: list[int] = []
    for _ in lines(SOURCES["open-uprn"], found, CODES, told.append):
        pass
    assert told == sorted(told)
    assert told[-1] == found.size == len(content)


def test_a_postcode_is_kept_without_its_space() -> None:
    assert packed(" cf99  9aa ") == "CF999AA"

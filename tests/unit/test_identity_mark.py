"""Who was verified, as a change keeps it: equal for the same person, and useless without their key."""

from datetime import date
from typing import Literal

import pytest

from broker.intake.joining import identity_mark
from contracts.person import NamePart, PersonName

KEY = b"k" * 32
BORN = date(1980, 2, 29)


def named(*parts: tuple[Literal["GivenName", "FamilyName"], str]) -> PersonName:
    return PersonName(name_parts=tuple(NamePart(type=kind, value=value) for kind, value in parts))


SIAN = named(("GivenName", "Siân"), ("FamilyName", "Llŷr Gwŷdd"))


def test_capitals_spaces_and_since_when_do_not_count() -> None:
    loud = PersonName(
        name_parts=(
            NamePart(type="GivenName", value="SIÂN", valid_from=date(2001, 1, 1)),
            NamePart(type="FamilyName", value="LLŶR  GWŶDD"),
        )
    )
    assert identity_mark(KEY, loud, BORN) == identity_mark(KEY, SIAN, BORN)


@pytest.mark.parametrize(
    ("key", "name", "born"),
    [
        (b"K" * 32, SIAN, BORN),
        (KEY, SIAN, date(1980, 2, 28)),
        (KEY, named(("GivenName", "Sian"), ("FamilyName", "Llŷr Gwŷdd")), BORN),
        (KEY, named(("GivenName", "Siân Llŷr"), ("FamilyName", "Gwŷdd")), BORN),
        (KEY, named(("FamilyName", "Siân"), ("GivenName", "Llŷr Gwŷdd")), BORN),
        (KEY, named(("GivenName", "Siân")), BORN),
    ],
    ids=["key", "born", "accent", "border", "kind", "fewer"],
)
def test_anything_else_does(key: bytes, name: PersonName, born: date) -> None:
    assert identity_mark(key, name, born) != identity_mark(KEY, SIAN, BORN)

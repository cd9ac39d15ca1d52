"""Postcodes that exist, and those that stand in no directory and are none the less somebody's."""

import pytest

from broker.verification.postcodes import is_published


@pytest.mark.parametrize(
    ("code", "exists"),
    [
        ("CF10 3AT", True),
        ("cf103at", True),
        ("SW1A 1AA", True),
        ("BT1 5GS", True),
        ("ZZ99 3VZ", True),
        ("BFPO 57", True),
        ("BF1 3AA", True),
        ("CF99 9ZZ", False),
        ("ZZ99 3WZ", False),
        ("ZZ1 1ZZ", False),
        ("CF10", False),
        ("../../x", False),
        ("", False),
    ],
)
def test_a_postcode_exists_or_not(code: str, exists: bool) -> None:
    assert is_published(code) is exists

"""References a person can read out over the phone: 50 random bits in Crockford's base 32 and a check character."""

import secrets
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O or U to mishear or misread."""
LENGTH: Final = 10


def new_reference() -> str:
    """Return a new reference like `7K3M9-QX2TB-D`."""
    bits = secrets.randbits(5 * LENGTH)
    body = "".join(ALPHABET[bits >> 5 * place & 31] for place in range(LENGTH))
    return f"{body[:5]}-{body[5:]}-{check_character(body)}"


def check_character(body: str) -> str:
    """Return the check character by Luhn mod 32: one wrong character, or nearly any two swapped, is noticed."""
    total = 0
    for place, character in enumerate(reversed(body)):
        doubled = ALPHABET.index(character) * (2 - place % 2)
        total += doubled // 32 + doubled % 32
    return ALPHABET[-total % 32]


def read_reference(said: str) -> str | None:
    """Return a reference as we write it, however it was typed; None if it cannot be one of ours."""
    body = said.upper().replace("-", "").replace(" ", "").translate(str.maketrans("ILO", "110"))
    if len(body) != LENGTH + 1 or any(character not in ALPHABET for character in body):
        return None
    if check_character(body[:LENGTH]) != body[LENGTH]:
        return None
    return f"{body[:5]}-{body[5:LENGTH]}-{body[LENGTH]}"

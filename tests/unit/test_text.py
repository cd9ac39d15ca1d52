"""Text at the door: Welsh survives, what deceives the eye does not, and doing it twice changes nothing."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts.text import Bilingual, Code, Line, Name, normalise

DECEIVES = {
    "NUL": "\x00",
    "line feed": "\n",
    "tab": "\t",
    "delete": "\x7f",
    "next line": "\x85",
    "soft hyphen": "\u00ad",
    "Arabic letter mark": "\u061c",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "right-to-left mark": "\u200f",
    "line separator": "\u2028",
    "right-to-left override": "\u202e",
    "word joiner": "\u2060",
    "first strong isolate": "\u2068",
    "byte order mark": "\ufeff",
    "lone surrogate": "\ud800",
    "private use": "\ue000",
    "unassigned": "\U0001ffff",
}


@given(st.text())
def test_normalising_twice_is_normalising_once(value: str) -> None:
    try:
        once = normalise(value)
    except ValueError:
        return
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once == once.strip()
    assert not {unicodedata.category(character) for character in once} & {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(st.sampled_from(sorted(DECEIVES.values())), st.text("aŵ 日", max_size=5), st.text("aŷ 日", max_size=5))
def test_no_forbidden_character_passes_anywhere(character: str, before: str, after: str) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        normalise(f"a{before}{character}{after}b")


@given(st.text("ŵŷâôîêûẃÿẅŶŴ'- abc", min_size=1).filter(lambda text: text == text.strip()))
def test_welsh_letters_survive_in_either_form(value: str) -> None:
    assert normalise(unicodedata.normalize("NFD", value)) == unicodedata.normalize("NFC", value)


@pytest.mark.parametrize("value", [" a", "a ", "\u00a0a", "a\u3000"])
def test_white_space_at_either_end_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="white space"):
        normalise(value)


@pytest.mark.parametrize(("kind", "longest"), [(Line, 255), (Name, 300)])
def test_lengths(kind: Any, longest: int) -> None:
    adapter: TypeAdapter[str] = TypeAdapter(kind)
    assert adapter.validate_python("ŵ" * longest) == "ŵ" * longest
    for wrong in ("", "ŵ" * (longest + 1)):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


@pytest.mark.parametrize("value", ["cardiff", "bip-caf", "v1.2", "a_b"])
def test_codes(value: str) -> None:
    assert TypeAdapter(Code).validate_python(value) == value


@pytest.mark.parametrize("value", ["", "Cardiff", "-a", "a-", "a--b", "../a", "a b", "a\n", "ŵ"])
def test_what_is_no_code(value: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Code).validate_python(value)


def test_neither_language_may_be_missing() -> None:
    with pytest.raises(ValidationError):
        Bilingual.model_validate_json('{"en":"Council tax"}')
    with pytest.raises(ValidationError):
        Bilingual.model_validate_json('{"en":"Council tax","cy":""}')

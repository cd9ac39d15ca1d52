"""One spelling of addresses for both languages, and how candidates are ranked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.language.address_words import is_number, without_postcode, words_of
from broker.store.finding import Candidate, variants
from broker.verification.finding import asked_by, rank


@pytest.mark.parametrize(
    ("welsh", "english"),
    [
        ("12 Heol Abertawe", "12 Swansea Road"),
        ("Stryd y Castell, Y Fenni", "Castell Street, Abergavenny"),
        ("Fflat 3, Tŷ Gwyn", "flat 3 Gwyn House"),
        ("Pen-y-bont ar Ogwr", "BRIDGEND"),
        ("Castell-nedd", "Neath"),
        ("Sgwâr y Frenhines", "Frenhines sq."),
    ],
)
def test_both_languages_have_one_spelling(welsh: str, english: str) -> None:
    assert sorted(words_of(welsh)) == sorted(words_of(english))


@given(st.text(max_size=60))
def test_words_have_neither_marks_nor_spaces_whatever_is_typed(text: str) -> None:
    for word in words_of(text):
        assert word.removeprefix("~").isascii()
        assert word.removeprefix("~").isalnum()


@pytest.mark.parametrize(
    ("text", "rest", "code"),
    [
        ("3 Otter Row CF99 9AA", "3 Otter Row", "CF99 9AA"),
        ("cf999aa 3 Otter Row", "3 Otter Row", "CF99 9AA"),
        ("3 Otter Row", "3 Otter Row", None),
    ],
)
def test_a_postcode_is_taken_out_of_the_text(text: str, rest: str, code: str | None) -> None:
    left, found = without_postcode(text)
    assert (left.split(), found) == (rest.split(), code)


@given(st.from_regex(r"[a-z]{4,12}", fullmatch=True), st.data())
def test_one_wrong_letter_is_still_met(word: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(word) - 1))
    letter = data.draw(st.sampled_from("abcxyz"))
    changed = (
        word[:place] + word[place + 1 :],
        word[:place] + letter + word[place:],
        word[:place] + letter + word[place + 1 :],
    )
    for typed in changed:
        if len(typed) >= 4:
            assert set(variants(typed)) & set(variants(word))


def test_a_number_is_never_taken_for_another() -> None:
    assert is_number("12a")
    assert variants("1234") == []
    street = [Candidate(n, "en", f"{n} otter ~row cardiff") for n in (1, 2, 12, 21)]
    asked = asked_by("12 Otter Row", None)
    assert [uprn for uprn, _ in rank(asked, street)] == [12]


def test_of_two_languages_the_likelier_counts_and_a_property_comes_once() -> None:
    both = [Candidate(1, "en", "1 otter ~row cardiff"), Candidate(1, "cy", "1 ~row dyfrgi cardiff")]
    for typed in ("1 Otter Row", "1 Rhes y Dyfrgi"):
        [(uprn, alike)] = rank(asked_by(typed, None), both)
        assert uprn == 1
        assert alike > 85

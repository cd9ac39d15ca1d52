"""References a person reads out over the phone."""

from hypothesis import given
from hypothesis import strategies as st

from broker.intake.references import ALPHABET, LENGTH, check_character, new_reference, read_reference

bodies = st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH)


def written(body: str) -> str:
    return f"{body[:5]}-{body[5:]}-{check_character(body)}"


def test_a_new_reference_reads_back() -> None:
    for _ in range(200):
        reference = new_reference()
        assert read_reference(reference) == reference


@given(bodies)
def test_however_it_is_typed(body: str) -> None:
    reference = written(body)
    spoken = reference.lower().replace("-", " ").replace("1", "l").replace("0", "o")
    assert read_reference(spoken) == reference


@given(bodies, st.integers(0, LENGTH - 1), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(body: str, place: int, other: str) -> None:
    wrong = body[:place] + other + body[place + 1 :]
    assert (read_reference(wrong + check_character(body)) is not None) == (wrong == body)


@given(bodies, st.integers(0, LENGTH - 2))
def test_two_neighbours_swapped_are_noticed_but_for_the_first_and_last_letter(body: str, place: int) -> None:
    one, two = body[place], body[place + 1]
    swapped = body[:place] + two + one + body[place + 2 :]
    if one == two or {one, two} == {ALPHABET[0], ALPHABET[-1]}:  # what Luhn mod N cannot tell apart
        return
    assert read_reference(swapped + check_character(body)) is None


@given(st.text(max_size=40))
def test_anything_else_is_simply_not_one(text: str) -> None:
    found = read_reference(text)
    assert found is None or read_reference(found) == found

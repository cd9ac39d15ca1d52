"""Canonical JSON, whose digest is taken, and the CloudEvent it travels in."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.conformance import sample_delivery
from contracts.events import SEQUENCE_DIGITS, canonical, structured, timestamp

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abŵz_A", max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_canonical_json_says_the_same_and_is_one_form(value: Any) -> None:
    written = canonical(value)
    assert json.loads(written) == value
    assert canonical(json.loads(written)) == written


@given(st.permutations(["previousAddress", "newAddress", "effectiveDate", "ŵ", "a", "B"]))
def test_the_order_of_members_does_not_matter(names: list[str]) -> None:
    assert canonical(dict.fromkeys(names, 1)) == canonical(dict.fromkeys(sorted(names), 1))


def test_canonical_json_is_exactly_this() -> None:
    """Vector of our own kind in the form of RFC 8785: no white space, sorted, raw UTF-8, short escapes."""
    assert canonical({"tŷ": 'Gŵyr\n\x01"', "B": [1, True, None], "a": {}}) == (
        '{"B":[1,true,null],"a":{},"tŷ":"Gŵyr\\n\\u0001\\""}'.encode()
    )


@pytest.mark.parametrize("value", [1.0, [1.5], {"a": {"b": (0.1,)}}, float("nan")])
def test_floats_are_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical(value)


@pytest.mark.parametrize("value", [object(), b"x", {1, 2}])
def test_what_json_has_no_form_for_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical(value)


@given(VALUES.filter(lambda value: value is not None))
def test_the_data_bytes_stand_in_the_event_unchanged(value: Any) -> None:
    data = canonical(value)
    event = structured(sample_delivery(data=data))
    assert event.endswith(b',"data":' + data + b"}")
    assert json.loads(event)["data"] == value


def test_a_retry_is_the_same_event() -> None:
    first = sample_delivery()
    assert structured(replace(first, attempt=7, epoch=3)) == structured(first)


def test_sequences_compare_as_text_as_they_do_as_numbers() -> None:
    numbers = [1, 9, 10, 99, 100, 10**6 + 1, 10**SEQUENCE_DIGITS - 1]
    texts = [json.loads(structured(replace(sample_delivery(), sequence=number)))["sequence"] for number in numbers]
    assert texts == sorted(texts)
    assert {len(text) for text in texts} == {SEQUENCE_DIGITS}


@given(st.integers(0, 8_000 * 365 * 86_400 * 10), st.integers(-14 * 60, 14 * 60))
def test_times_are_utc_to_the_second(tenths: int, minutes: int) -> None:
    aware = datetime.fromtimestamp(tenths / 10, timezone(timedelta(minutes=minutes)))
    expected = aware.astimezone(UTC).replace(microsecond=0)
    text = timestamp(aware)
    assert text.endswith("Z")
    assert len(text) == len("2026-03-01T09:30:00Z")
    assert datetime.fromisoformat(text) == expected

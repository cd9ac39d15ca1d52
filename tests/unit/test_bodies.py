"""Reading a body is told the same faults the quick way and the thorough one, which only an escape in it brings about."""

import pytest

from broker.api.bodies import model_in
from broker.api.problems import NotReadable
from contracts.text import Strict


class Told(Strict):
    name: str
    number: int = 0


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("1e400", "number_too_large"),
        ("-1e400", "number_too_large"),
        ("9" * 41, "number_too_large"),
        ("NaN", "not_a_number"),
        ('1,"number":2', "duplicate_name"),
    ],
)
@pytest.mark.parametrize("name", ["Gwenllian", "Gwenll\\u0069an"])
def test_the_quick_way_and_the_thorough_one_find_the_same(name: str, number: str, code: str) -> None:
    with pytest.raises(NotReadable) as refused:
        model_in(f'{{"name":"{name}","number":{number}}}'.encode(), Told)
    assert refused.value.name == "malformed"
    assert [(error.pointer, error.code) for error in refused.value.errors] == [("/number", code)]

"""How the bench draws its figures from samples."""

import math
import random

import pytest

from tests.load.figures import median_within


def test_the_median_and_where_it_lies() -> None:
    assert median_within([5.0, 1.0, 3.0]) == (3.0, 1.0, 5.0)
    assert median_within([float(one) for one in range(1, 11)]) == (5.5, 2.0, 9.0)
    assert median_within([7.0]) == (7.0, 7.0, 7.0)


@pytest.mark.parametrize("count", [6, 10, 15, 30])
def test_it_lies_there_at_least_as_often_as_is_said(count: int) -> None:
    dice = random.Random(count)
    within = 0
    for _ in range(2_000):
        _, least, most = median_within([dice.expovariate(1.0) for _ in range(count)])
        within += least <= math.log(2) <= most
    assert within / 2_000 >= 0.94

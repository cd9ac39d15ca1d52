"""Where the fixtures of `tests/support` are announced, and which tests stay together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Final

import pytest

pytest_plugins = [
    name
    for name in (
        "tests.support.postgres",
        "tests.support.kafka",
        "tests.support.eventlogs",
        "tests.support.api",
        "tests.support.browser",
    )
    if find_spec(name)
]
ROWS: Final[Mapping[str, Sequence[int]]] = {
    "test_citizen_pages": (1, 2),
    "test_telling": (2,),
    "test_agreement_pages": (3,),
    "test_deciding": (3,),
    "test_operator_pages": (3,),
}
"""In which rows the tests of a file stand that need a whole exchange, in equal parts; in the first if none is named.

A row stays with one worker. So an exchange is started once for each file and not once more for each worker, and three
browsers at most are at work together: more of them wait for processors, which the other tests hardly use.
"""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Put the tests that need a whole exchange into their rows."""
    whole = [item for item in items if "site" in getattr(item, "fixturenames", ())]
    count, met = Counter(item.path for item in whole), Counter[object]()
    for item in whole:
        rows = ROWS.get(item.path.stem, (1,))
        row = rows[met[item.path] * len(rows) // count[item.path]]
        item.add_marker(pytest.mark.xdist_group(f"exchange-{row}"))
        met[item.path] += 1

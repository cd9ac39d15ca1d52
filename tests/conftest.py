"""Where the fixtures of `tests/support` are announced, and which tests stay together."""

from collections import Counter
from collections.abc import Sequence
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
TOGETHER: Final = 10
"""So many tests of a file at one exchange: fewer and it is started more often, more and the others wait for the last."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Keep tests at a whole exchange together: each worker that has one of a file starts that exchange anew."""
    found: Counter[str] = Counter()
    for item in items:
        if "site" in getattr(item, "fixturenames", ()) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}-{found[item.path.stem] // TOGETHER + 1}"))
            found[item.path.stem] += 1

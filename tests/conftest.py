"""Where the fixtures of `tests/support` are announced."""

from importlib.util import find_spec

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

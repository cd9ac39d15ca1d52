"""How one version of a document differs from another, place by place. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two versions differ."""

    pointer: str
    before: str | None
    """None where it is new."""
    after: str | None
    """None where it is gone."""


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return where two documents in wire form differ, by place.

    A list of plain values counts as a set: that its order changed is no difference.
    """
    old, new = dict(_flat(before, "")), dict(_flat(after, ""))
    return [
        Difference(pointer, old.get(pointer), new.get(pointer))
        for pointer in sorted(old.keys() | new.keys())
        if old.get(pointer) != new.get(pointer)
    ]


def of_documents(before: bytes | None, after: bytes) -> list[Difference]:
    """Return how `after` differs from `before`, both JSON; None for nothing."""
    return differences(orjson.loads(before) if before else {}, orjson.loads(after))


def _flat(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{pointer}/{key}")
    elif isinstance(value, list | tuple) and not any(isinstance(item, Mapping | list | tuple) for item in value):
        if value:
            yield pointer, ", ".join(sorted(map(_plain, value)))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _flat(inner, f"{pointer}/{place}")
    elif value is not None:
        yield pointer, _plain(value)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()

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
    """Return where two documents in wire form differ, by place (RFC 6901).

    A list of plain values counts as a set: that its order changed is no difference.
    """
    old, new = dict(_flat(before, "")), dict(_flat(after, ""))
    return [
        Difference(pointer, _shown(old.get(pointer)), _shown(new.get(pointer)))
        for pointer in sorted(old.keys() | new.keys())
        if old.get(pointer) != new.get(pointer)
    ]


def _flat(value: Any, pointer: str) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """Yield the plain values, each as JSON: what looks alike to a reader, as 1 and "1" do, is not the same."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list | tuple) and not any(isinstance(item, Mapping | list | tuple) for item in value):
        if value:
            yield pointer, tuple(sorted(map(orjson.dumps, value)))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _flat(inner, f"{pointer}/{place}")
    elif value is not None:
        yield pointer, (orjson.dumps(value),)


def _shown(values: tuple[bytes, ...] | None) -> str | None:
    return None if values is None else ", ".join(map(_plain, values))


def _plain(value: bytes) -> str:
    found = orjson.loads(value)
    return found if isinstance(found, str) else value.decode()

"""Minimisation by path: what is sent holds what was permitted, and nothing else."""

from collections.abc import Iterable, Mapping
from typing import Any


def minimise(whole: Mapping[str, Any], permitted: Iterable[str]) -> dict[str, Any]:
    """Return the parts of `whole` at the permitted paths (RFC 6901 without indexes), and everything below each.

    A path that leads nowhere permits nothing. Objects that end up empty are left out.
    """
    kept: dict[str, Any] = {}
    for path in sorted(permitted):  # "/change" before "/change/newAddress": the wider one has it all already
        _copy(whole, kept, path.split("/")[1:])
    return kept


def without(whole: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Return `whole` less what stands at these paths. `whole` stays as it is; what is not touched is shared with it."""
    left = dict(whole)
    for path in paths:
        target = left
        *above, last = path.split("/")[1:]
        for step in above:
            if not isinstance(target.get(step), dict):
                break
            target[step] = dict(target[step])
            target = target[step]
        else:
            target.pop(last, None)
    return left


def _copy(source: Mapping[str, Any], target: dict[str, Any], steps: list[str]) -> None:
    first, *rest = steps
    if first not in source:
        return
    if not rest:
        target[first] = source[first]
        return
    inner = source[first]
    if not isinstance(inner, dict):
        return
    below = target.get(first, {})  # `inner` itself where it is permitted whole already: copied onto itself
    _copy(inner, below, rest)
    if below:
        target[first] = below

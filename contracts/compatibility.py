"""Whether a published schema may become another under the same name, or needs a new version.

Knows the part of JSON Schema 2020-12 our schemas use; a change to any other keyword is reported, not guessed at.
"""

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, Final

Schema = Mapping[str, Any]

_WORDS: Final = frozenset(
    {"title", "description", "default", "examples", "deprecated", "$comment", "$id", "$schema", "discriminator"}
)
"""Keywords that constrain nothing."""

_FLOORS: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_CEILINGS: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT: Final = ("pattern", "format", "const")
_COMPARED: Final = frozenset(
    {*_FLOORS, *_CEILINGS, *_EXACT, "type", "enum", "required", "properties", "additionalProperties", "items", "anyOf"}
)


def compatible(old: Schema, new: Schema, *, sent: bool = False) -> list[str]:
    """Return what makes `new` unfit to replace `old`, a line each with its place; empty if it may.

    What others send us must stay acceptable: nothing narrower, nothing newly required, no property removed.
    With `sent`, what others read from us must in addition stay understandable: nothing wider. A new optional
    property is not wider where `old` lets unknown ones be.
    References within the schema are followed; they must not run in circles.
    """
    faults = _narrowed(_inlined(old, old), _inlined(new, new), "", removals=True)
    if sent:
        wider = _narrowed(_inlined(new, new), _inlined(old, old), "", removals=False)
        faults += [f"{line}, the other way round: readers of the old schema would be surprised" for line in wider]
    return faults


def _inlined(node: Any, root: Schema) -> Any:
    """Return `node` with every local reference replaced by what it points to."""
    if isinstance(node, Mapping):
        if "$ref" in node:
            target: Any = root
            for step in str(node["$ref"]).removeprefix("#/").split("/"):
                target = target[step]
            beside = {key: value for key, value in node.items() if key != "$ref"}
            return _inlined({**target, **beside}, root)
        return {key: _inlined(value, root) for key, value in node.items() if key != "$defs"}
    if isinstance(node, list):
        return [_inlined(item, root) for item in node]
    return node


def inlined(schema: Schema, root: Schema | None = None) -> dict[str, Any]:
    """Return `schema` without references, for schemas that do not refer to themselves. `root` is what they point into."""
    written: dict[str, Any] = _inlined(schema, schema if root is None else root)
    return written


def _narrowed(old: Schema, new: Schema, place: str, *, removals: bool) -> list[str]:
    """Return how `new` accepts less than `old`. `removals`: whether a property that is gone counts."""
    if not {"anyOf", "oneOf"}.isdisjoint({*old, *new}):
        return _alternatives(old, new, place, removals=removals)
    where = place or "/"
    before, after = _types(old), _types(new)
    if after is not None and (before is None or before - after):
        return [f"{where}: type narrowed"]  # what else differs follows from it
    checks: tuple[Callable[[], list[str]], ...] = (
        lambda: _values(old, new, where),
        lambda: _bounds(old, new, where),
        lambda: _members(old, new, place, removals=removals),
        lambda: _items(old, new, place, removals=removals),
        lambda: [
            f"{where}: {keyword} changed"
            for keyword in sorted({*old, *new} - _WORDS - _COMPARED)
            if old.get(keyword) != new.get(keyword)
        ],
    )
    return list(chain.from_iterable(check() for check in checks))


def _alternatives(old: Schema, new: Schema, place: str, *, removals: bool) -> list[str]:
    """Each alternative there was must fit one there is."""
    before, after = (schema.get("anyOf") or schema.get("oneOf") or [schema] for schema in (old, new))
    faults: list[str] = []
    for alternative in before:
        tried = [_narrowed(alternative, candidate, place, removals=removals) for candidate in after]
        if all(tried):
            fewest: list[str] = min(tried, key=len)
            faults += fewest
    return faults


def _types(schema: Schema) -> set[str] | None:
    """Return the types a schema accepts; None for any."""
    declared = schema.get("type")
    if declared is None:
        return None
    types = {declared} if isinstance(declared, str) else set(declared)
    return types | {"integer"} if "number" in types else types


def _values(old: Schema, new: Schema, where: str) -> list[str]:
    narrowed = "enum" in new and ("enum" not in old or set(old["enum"]) - set(new["enum"]))
    return [f"{where}: enum narrowed"] * bool(narrowed) + [
        f"{where}: {keyword} {'changed' if keyword in old else 'added'}"
        for keyword in _EXACT
        if keyword in new and new[keyword] != old.get(keyword)
    ]


def _bounds(old: Schema, new: Schema, where: str) -> list[str]:
    raised = [key for key in _FLOORS if key in new and (key not in old or new[key] > old[key])]
    lowered = [key for key in _CEILINGS if key in new and (key not in old or new[key] < old[key])]
    return [f"{where}: {key} narrowed" for key in (*raised, *lowered)]


def _members(old: Schema, new: Schema, place: str, *, removals: bool) -> list[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    where = place or "/"
    faults = [
        f"{place}/{name}: newly required" for name in new.get("required", []) if name not in old.get("required", [])
    ]
    others_before, others_after = old.get("additionalProperties", True), new.get("additionalProperties", True)
    for name, schema in before.items():
        if name in after:
            faults += _narrowed(schema, after[name], f"{place}/{name}", removals=removals)
        elif removals or others_after is False:
            faults.append(f"{place}/{name}: removed")
    if others_after is False and others_before is not False:
        faults.append(f"{where}: closed to additional properties")
    elif isinstance(others_after, Mapping) and others_before is not False:
        whole: Schema = others_before if isinstance(others_before, Mapping) else {}
        faults += _narrowed(whole, others_after, f"{place}/*", removals=removals)
    return faults


def _items(old: Schema, new: Schema, place: str, *, removals: bool) -> list[str]:
    if "items" not in new:
        return []
    return _narrowed(old.get("items", {}), new["items"], f"{place}/[]", removals=removals)

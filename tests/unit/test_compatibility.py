"""Planted changes: what would break somebody is named with its place, what would not is let through."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from contracts.compatibility import compatible
from contracts.publishing import schemas

OLD: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 10, "minLength": 2},
        "kind": {"enum": ["a", "b"], "type": "string"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "note": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]},
        "when": {"type": "string", "format": "date"},
        "home": {"$ref": "#/$defs/Home"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        "codes": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "$defs": {"Home": {"type": "object", "properties": {"street": {"type": "string"}, "title": {"type": "string"}}}},
}

Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> dict[str, Any]:
    new = copy.deepcopy(OLD)
    change(new)
    assert new != OLD
    return new


BREAKS: dict[str, tuple[Change, str]] = {
    "property removed": (lambda s: s["properties"].pop("kind"), "/kind: removed"),
    "inner property removed": (lambda s: s["$defs"]["Home"]["properties"].pop("street"), "/home/street: removed"),
    "a property called title removed": (
        lambda s: s["$defs"]["Home"]["properties"].pop("title"),
        "/home/title: removed",
    ),
    "newly required": (lambda s: s["required"].append("kind"), "/kind: newly required"),
    "required inside": (lambda s: s["$defs"]["Home"].update(required=["street"]), "/home/street: newly required"),
    "closed inside": (lambda s: s["$defs"]["Home"].update(additionalProperties=False), "/home: closed"),
    "members typed": (lambda s: s["$defs"]["Home"].update(additionalProperties={"type": "null"}), "/home/*: type"),
    "type changed": (lambda s: s["properties"]["count"].update(type="string"), "/count: type narrowed"),
    "null refused": (lambda s: s["properties"]["note"]["anyOf"].pop(), "/note: type narrowed"),
    "alternative narrowed": (lambda s: s["properties"]["note"]["anyOf"][0].update(maxLength=4), "/note: maxLength"),
    "enum narrowed": (lambda s: s["properties"]["kind"]["enum"].pop(), "/kind: enum narrowed"),
    "enum added": (lambda s: s["properties"]["id"].update(enum=["x"]), "/id: enum narrowed"),
    "const added": (lambda s: s["properties"]["id"].update(const="x"), "/id: const added"),
    "pattern changed": (lambda s: s["properties"]["id"].update(pattern="^[a-f]+$"), "/id: pattern changed"),
    "pattern added": (lambda s: s["properties"]["when"].update(pattern="^2"), "/when: pattern added"),
    "format changed": (lambda s: s["properties"]["when"].update(format="date-time"), "/when: format changed"),
    "minimum raised": (lambda s: s["properties"]["count"].update(minimum=2), "/count: minimum narrowed"),
    "maximum lowered": (lambda s: s["properties"]["count"].update(maximum=8), "/count: maximum narrowed"),
    "minLength raised": (lambda s: s["properties"]["id"].update(minLength=3), "/id: minLength narrowed"),
    "maxItems lowered": (lambda s: s["properties"]["tags"].update(maxItems=2), "/tags: maxItems narrowed"),
    "minItems added": (lambda s: s["properties"]["tags"].update(minItems=1), "/tags: minItems narrowed"),
    "items narrowed": (lambda s: s["properties"]["tags"]["items"].update(maxLength=1), "/tags/[]: maxLength narrowed"),
    "values narrowed": (lambda s: s["properties"]["codes"].update(additionalProperties={"type": "null"}), "/codes/*:"),
    "keyword not known": (lambda s: s["properties"]["tags"].update(uniqueItems=True), "/tags: uniqueItems changed"),
}

KEEPS: dict[str, Change] = {
    "optional property added": lambda s: s["properties"].update(more={"type": "string"}),
    "no longer required": lambda s: s["required"].clear(),
    "enum widened": lambda s: s["properties"]["kind"]["enum"].append("c"),
    "range widened": lambda s: s["properties"]["count"].update(minimum=0, maximum=10),
    "integer to number": lambda s: s["properties"]["count"].update(type="number"),
    "pattern dropped": lambda s: s["properties"]["id"].pop("pattern"),
    "null allowed": lambda s: s["properties"].update(when={"anyOf": [OLD["properties"]["when"], {"type": "null"}]}),
    "opened": lambda s: s.pop("additionalProperties"),
    "words": lambda s: s.update(description="other words", title="Another"),
    "reference written out": lambda s: s["properties"].update(home=OLD["$defs"]["Home"]),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_is_named_with_its_place(name: str) -> None:
    change, expected = BREAKS[name]
    faults = compatible(OLD, changed(change))
    assert any(line.startswith(expected) for line in faults), faults
    assert len(faults) == 1, faults


@pytest.mark.parametrize("name", KEEPS)
def test_what_breaks_nobody_is_let_through(name: str) -> None:
    assert compatible(OLD, changed(KEEPS[name])) == []


@pytest.mark.parametrize("name", sorted(set(KEEPS) - {"words", "reference written out"}))
def test_what_others_read_may_not_become_wider(name: str) -> None:
    assert compatible(OLD, changed(KEEPS[name]), sent=True)


def test_readers_that_ignore_the_unknown_may_be_sent_more() -> None:
    open_ = copy.deepcopy(OLD)
    del open_["additionalProperties"]
    wider = copy.deepcopy(open_)
    wider["properties"]["more"] = {"type": "string"}
    assert compatible(open_, wider, sent=True) == []


def test_every_published_schema_may_replace_itself() -> None:
    for schema in schemas().values():
        assert compatible(schema, copy.deepcopy(schema), sent=True) == []

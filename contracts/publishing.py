"""What outsiders are given to build against: JSON Schema, AsyncAPI and examples, made from the models and tables here.

`python -m contracts.publishing` writes `contracts/published/`; a test refuses files that differ from what is made.
Schemas hold no references, so each can be read and compared alone.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, get_args

from contracts.agreement import Agreement
from contracts.asyncapi import asyncapi
from contracts.changes import CHANGE_TYPES, EVENTS, ChangeKind, withdrawal
from contracts.changes.kind import Role
from contracts.compatibility import inlined
from contracts.events import SEQUENCE_DIGITS
from contracts.examples import examples
from contracts.organisation import Organisation
from contracts.person import Person
from contracts.problems import Problem
from contracts.receipts import Answer, Quarantined, Receipt
from contracts.registration import Registration
from contracts.subscriptions import SettingsRequest, SubscriptionRequest
from contracts.text import Strict

PUBLISHED: Final = Path(__file__).parent / "published"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
NAMESPACE: Final = "urn:wales:unwaith:schema:"

DOCUMENTS: Final[dict[str, type[Strict]]] = {
    "agreement.v1": Agreement,
    "answer.v1": Answer,
    "organisation.v1": Organisation,
    "problem.v1": Problem,
    "quarantined.v1": Quarantined,
    "receipt.v1": Receipt,
    "registration.v1": Registration,
    "subscription.v1": SubscriptionRequest,
    "subscription-settings.v1": SettingsRequest,
}
"""Documents that are published as their models are."""

SENT: Final = frozenset(
    {"event.v1", "problem.v1", *(kind.dataschema.removeprefix(NAMESPACE) for kind in EVENTS.values())}
)
"""Schemas of what others only read from us: these may not become wider under the same name either."""


def render() -> dict[str, bytes]:
    """Return every published file by its path below `contracts/published/`."""
    files = {f"schemas/{name}.json": schema for name, schema in schemas().items()}
    files |= {f"examples/{name}.json": document for name, (_, document) in examples().items()}
    files["asyncapi.json"] = asyncapi()
    return {path: _text(content) for path, content in sorted(files.items())}


def schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by its name with version, which is the end of its `$id`."""
    found = {name: _document(model) for name, model in DOCUMENTS.items()}
    found["event.v1"] = _envelope()
    for kind in CHANGE_TYPES.values():
        found[kind.dataschema.removeprefix(NAMESPACE)] = _event_data(kind)
    found[withdrawal.KIND.dataschema.removeprefix(NAMESPACE)] = _withdrawn_data()
    return {name: {"$schema": DIALECT, "$id": NAMESPACE + name, **schema} for name, schema in sorted(found.items())}


def _document(model: type[Strict]) -> dict[str, Any]:
    document: dict[str, Any] = _untitled(inlined(model.model_json_schema()))
    return document


def _roles(known: Iterable[str]) -> dict[str, Any]:
    return {
        "description": "What the change is to this organisation.",
        "type": "array",
        "minItems": 1,
        "items": {"type": "string", "enum": list(known)},
    }


_EVENT_ID: Final = {"type": "string", "format": "uuid", "description": "The `id` of an event you were sent before."}


def _event_data(kind: ChangeKind) -> dict[str, Any]:
    """Return the schema of one event's `data`.

    Everything but the roles is optional, because agreements permit by path; what is left out is absent, never null.
    Open: receivers ignore members they do not know, so that one can be added.
    """
    return {
        "title": kind.event_type,
        "description": "What one organisation is told of one change: the person and the change, both reduced to what "
        "its agreement permits. Members that are not permitted are absent; members not known must be ignored.",
        "type": "object",
        "required": ["roles"],
        "properties": {
            "person": _person(kind),
            "change": _minimised(_document(kind.model)),
            "roles": _roles(kind.roles),
            "corrects": {
                "description": "The event this one replaces. Where you have not had that one, there is nothing to replace.",
                "type": "object",
                "required": ["id"],
                "properties": {"id": _EVENT_ID},
            },
        },
    }


def _person(kind: ChangeKind) -> dict[str, Any]:
    schema = _minimised(_document(Person))
    if kind.about == "/person":
        return schema | {"description": "Who the change is about, as the identity provider verified it."}
    about = kind.about.removeprefix("/").replace("/", ".")
    return schema | {
        "description": "Who tells it, as the identity provider verified them. It is not about them, nor is `subject` the"
        f" pseudonym of who it is about: match on `{about}`."
    }


def _withdrawn_data() -> dict[str, Any]:
    """Return the schema of the data by which a change is taken back. It says nothing the organisation does not have."""
    return {
        "title": withdrawal.KIND.event_type,
        "description": "The person has taken back what an earlier event told you: what you did because of it is to be "
        "undone, or looked at by somebody. Members not known must be ignored.",
        "type": "object",
        "required": ["roles", "withdraws"],
        "properties": {
            "person": _minimised(_document(Person)) | {"description": "As the event that is taken back had it."},
            "withdraws": {
                "description": "The event that is taken back.",
                "type": "object",
                "required": ["id", "type"],
                "properties": {
                    "id": _EVENT_ID,
                    "type": {"type": "string", "description": "Its `type`."},
                    "sequence": {"type": "string", "description": "Its `sequence`."},
                    "change": {"type": "object", "description": "The `change` it told you, as you were sent it."},
                },
            },
            "roles": _roles(get_args(Role)),
        },
    }


def _minimised(schema: dict[str, Any], *, whole: bool = False) -> dict[str, Any]:
    """Return what is left of `schema` where any member may be absent.

    `whole`: inside a list, which is permitted as it is or not at all, so what is required stays.
    """
    present = [item for item in schema.get("anyOf", []) if item != {"type": "null"}]
    if len(present) == 1:
        schema = {**{key: value for key, value in schema.items() if key not in {"anyOf", "default"}}, **present[0]}
    left = {key: value for key, value in schema.items() if key not in {"additionalProperties", "default"}}
    if not whole:
        left.pop("required", None)
    if "properties" in left:
        left["properties"] = {name: _minimised(inner, whole=whole) for name, inner in left["properties"].items()}
    if "items" in left:
        left["items"] = _minimised(left["items"], whole=True)
    return left


def _envelope() -> dict[str, Any]:
    """Return the schema of the structured-mode event around the data (`contracts.events.structured`)."""
    types = [kind.event_type for kind in EVENTS.values()]
    properties: dict[str, dict[str, Any]] = {
        "specversion": {"const": "1.0"},
        "id": {
            "type": "string",
            "format": "uuid",
            "description": "The delivery's id: the same on every retry, with the same bytes. Apply it once.",
        },
        "type": {
            "type": "string",
            "pattern": r"^wales\.unwaith\.[a-z0-9-]+\.v[0-9]+$",
            "description": "The change type and its version.",
            "examples": types,
        },
        "source": {"type": "string", "format": "uri-reference", "minLength": 1, "description": "This exchange."},
        "subject": {
            "type": "string",
            "minLength": 1,
            "description": "Your own pseudonym for the person who tells the change: it means nothing to another organisation. "
            "They need not be who it is about: see `data`.",
        },
        "time": {
            "type": "string",
            "format": "date-time",
            "description": "When the change was accepted, to the second.",
        },
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"type": "string", "format": "uri", "description": "The `$id` of the schema of `data`."},
        "sequence": {
            "type": "string",
            "pattern": f"^[0-9]{{{SEQUENCE_DIGITS}}}$",
            "description": "Dense for each person at your organisation, compared as text. Ignore one that is not above the last you applied.",
        },
        "traceparent": {
            "type": "string",
            "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            "description": "W3C Trace Context of this delivery alone.",
        },
        "origin": {
            "type": "string",
            "minLength": 1,
            "description": "Names where the change began, to you alone: drop what you told us yourself.",
        },
        "data": {"type": "object", "description": "As `dataschema` describes."},
    }
    return {
        "title": "Event",
        "description": "A delivery as a CloudEvent 1.0.2 in structured mode. Attributes not known must be ignored.",
        "type": "object",
        "required": list(properties),
        "properties": properties,
    }


def _untitled(node: Any) -> Any:
    """Return `node` without the titles made up from member names."""
    if isinstance(node, list):
        return [_untitled(item) for item in node]
    if not isinstance(node, dict):
        return node
    left = {key: _untitled(value) for key, value in node.items() if key not in {"title", "properties"}}
    if "title" in node and node.get("type") == "object" and isinstance(node["title"], str):
        left = {"title": node["title"], **left}
    if "properties" in node:  # member names, not keywords: one may be called "title"
        left["properties"] = {name: _untitled(schema) for name, schema in node["properties"].items()}
    return left


def _text(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()


def main() -> None:
    """Write every published file, and remove those below it that are no longer made."""
    made = render()
    for path, content in made.items():
        (PUBLISHED / path).parent.mkdir(parents=True, exist_ok=True)
        (PUBLISHED / path).write_bytes(content)
    for folder in ("schemas", "examples"):
        for found in (PUBLISHED / folder).glob("*.json"):
            if f"{folder}/{found.name}" not in made:
                found.unlink()


if __name__ == "__main__":
    main()

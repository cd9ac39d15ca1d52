"""The published OpenAPI: what the code makes, valid, complete, and compatible with what was published before."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from broker.api.publish import PATH, document, render
from broker.identity.policy import POLICY, ForCitizens, ForOrganisations, Public
from contracts.compatibility import compatible, inlined
from contracts.problems import PROBLEMS

DOCUMENT = document()
NOT_DESCRIBED = {"/openapi.json", "/livez", "/readyz", "/metrics"}


def operations(of: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in of["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def test_the_published_document_is_what_the_code_makes() -> None:
    assert PATH.read_bytes() == render(), "run: python -m broker.api.publish"


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_route_of_the_policy_is_described_with_its_scope() -> None:
    found = {(method, path): operation for method, path, operation in operations(DOCUMENT)}
    assert set(found) == {route for route in POLICY if route[1] not in NOT_DESCRIBED}
    for route, operation in found.items():
        match POLICY[route]:
            case ForCitizens(scope=scope):
                assert operation["security"] == [{"citizen": [scope]}]
            case ForOrganisations(scope=scope):
                assert operation["security"] == [{"organisation": [scope]}]
            case Public():
                assert operation["security"] == []


def test_operations_have_names_that_generated_clients_can_keep() -> None:
    names = {operation["operationId"]: path for _, path, operation in operations(DOCUMENT)}
    assert names == {
        "search_addresses": "/v1/addresses/search",
        "preview_change": "/v1/changes/preview",
        "tell_change": "/v1/changes",
        "list_changes": "/v1/changes",
        "follow_change": "/v1/changes/{reference}",
        "cancel_change": "/v1/changes/{reference}/cancellation",
        "issue_token": "/oauth/token",
        "read_keys": "/.well-known/jwks.json",
        "read_assertion_keys": "/.well-known/jwks/client-assertions.json",
        "read_signature_keys": "/.well-known/jwks/message-signatures.json",
        "read_metadata": "/.well-known/oauth-authorization-server",
        "answer_later": "/v1/receipts",
        "confirm_death": "/v1/confirmations",
        "after_a_gap": "/v1/deliveries",
        "collect_events": "/v1/events",
        "collect_event": "/v1/events/{event_id}",
        "acknowledge_event": "/v1/events/{event_id}",
        "read_subscriptions": "/v1/subscriptions",
        "propose_subscription": "/v1/subscriptions",
        "propose_settings": "/v1/subscriptions/settings",
        "read_proposals": "/v1/subscriptions/proposals",
        "read_proposal": "/v1/subscriptions/proposals/{proposal_id}",
        "take_back_proposal": "/v1/subscriptions/proposals/{proposal_id}",
    }


def test_every_refusal_is_a_problem_and_every_problem_is_described_somewhere() -> None:
    described = set()
    for _, path, operation in operations(DOCUMENT):
        for code, answer in operation["responses"].items():
            assert answer["description"]
            if code[0] in "45":
                described.add(int(code))
                kinds = set(answer["content"])
                allowed = {"application/problem+json"} | ({"application/json"} if path == "/oauth/token" else set())
                assert kinds <= allowed, (path, code)
    assert described == {int(status) for status in PROBLEMS.values()} - {405}  # which has no operation to stand at


def test_every_example_is_valid() -> None:
    for _, path, operation in operations(DOCUMENT):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = {**content["schema"], "components": DOCUMENT["components"]}
            check = jsonschema_rs.validator_for(schema, validate_formats=True)
            for example in content.get("examples", {}).values():
                check.validate(example["value"])
            assert content.get("examples") or path == "/oauth/token"


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=PATH.parent, capture_output=True, check=False)


def test_no_operation_changed_incompatibly_since_the_last_commit() -> None:
    old = git("show", f"HEAD:./{PATH.name}")
    if old.returncode:
        pytest.skip("nothing was published at the last commit, or this is no git checkout")
    assert broken_by(json.loads(old.stdout), DOCUMENT) == []


def broken_by(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what a client written for `old` would stumble over at `new`."""
    now = {(method, path): operation for method, path, operation in operations(new)}
    faults = []
    for method, path, before in operations(old):
        after = now.get((method, path))
        if after is None:
            faults.append(f"{method} {path}: removed")
            continue
        if before["operationId"] != after["operationId"]:
            faults.append(f"{method} {path}: renamed")
        faults += [f"{method} {path} body {line}" for line in compatible(body(before, old), body(after, new))]
        for code, answer in before["responses"].items():
            if code not in after["responses"]:
                continue  # what no longer happens surprises nobody
            pair = [answered(answer, old), answered(after["responses"][code], new)]
            faults += [f"{method} {path} {code} {line}" for line in compatible(*pair, sent=True)]
        known = {parameter["name"] for parameter in before.get("parameters", ())}
        faults += [
            f"{method} {path}: {parameter['name']} newly required"
            for parameter in after.get("parameters", ())
            if parameter.get("required") and parameter["name"] not in known
        ]
    return faults


def body(operation: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    return schema_of(operation.get("requestBody", {}), root)


def answered(answer: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of an answer, open: readers ignore what they do not know."""
    opened: Mapping[str, Any] = without_closing(schema_of(answer, root))
    return opened


def schema_of(described: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    for content in described.get("content", {}).values():
        return inlined(content["schema"], root)
    return {}


def without_closing(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: without_closing(inner)
            for key, inner in node.items()
            if not (key == "additionalProperties" and inner is False)
        }
    return [without_closing(inner) for inner in node] if isinstance(node, list) else node


@pytest.mark.parametrize(
    "change",
    [
        lambda new: new["paths"].pop("/v1/receipts"),
        lambda new: new["paths"]["/v1/changes"]["post"].update(operationId="tell"),
        lambda new: new["components"]["schemas"]["AddressChangeRequest"]["required"].append("leaveOut"),
        lambda new: new["components"]["schemas"]["AddressSearch"]["properties"]["text"]["anyOf"][0].update(maxLength=8),
        lambda new: new["components"]["schemas"]["ChangeView"]["properties"].pop("deliveries"),
        lambda new: new["components"]["schemas"]["Status"]["enum"].append("lost"),
        lambda new: new["paths"]["/v1/changes"]["get"]["parameters"].append({"name": "page", "required": True}),
    ],
    ids=["operation removed", "renamed", "newly required", "narrower", "answer lost", "answer wider", "parameter"],
)
def test_what_would_break_a_client_is_noticed(change: Any) -> None:
    new = json.loads(json.dumps(DOCUMENT))
    change(new)
    assert broken_by(DOCUMENT, new)


def test_what_breaks_nobody_is_let_through() -> None:
    new = json.loads(json.dumps(DOCUMENT))
    new["components"]["schemas"]["ChangeView"]["properties"]["note"] = {"type": "string"}
    new["components"]["schemas"]["AddressChangeRequest"]["properties"]["note"] = {"type": "string"}
    new["paths"]["/v1/news"] = new["paths"]["/v1/changes"]
    assert broken_by(DOCUMENT, new) == []

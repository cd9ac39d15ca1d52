"""The published description of the API: OpenAPI 3.1, made from the contracts and the policy table."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from broker.identity.policy import POLICY, ForCitizens, ForOrganisations
from contracts.receipts import Answer
from contracts.requests import AddressSearch, ChangeRequest, PreviewRequest

VERSION: Final = "1.0.0"
_BODIES: Final = (AddressSearch, PreviewRequest, ChangeRequest, Answer)


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document; made once, then kept on the application."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title="Unwaith",
        version=VERSION,
        openapi_version="3.1.0",
        summary="Tell a change once; every organisation that must know is told, and answers.",
        routes=app.routes,
    )
    _, definitions = models_json_schema(
        [(model, "validation") for model in _BODIES], ref_template="#/components/schemas/{model}"
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name, schema in definitions["$defs"].items():
        schemas.setdefault(name, schema)
    components["securitySchemes"] = {
        "citizen": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "RFC 9068 access token of the citizens' authorization server",
        },
        "organisation": {
            "type": "oauth2",
            "flows": {
                "clientCredentials": {
                    "tokenUrl": "/oauth/token",
                    "scopes": {
                        "receipts:write": "Answer for one's own deliveries.",
                        "deliveries:read": "Read what became of one's own deliveries.",
                    },
                }
            },
        },
    }
    for (method, path), rule in POLICY.items():
        operation = document["paths"].get(path, {}).get(method.lower())
        if operation is None:
            continue
        _tidy(operation)
        match rule:
            case ForCitizens(scope=scope):
                operation["security"] = [{"citizen": [scope]}]
            case ForOrganisations(scope=scope):
                operation["security"] = [{"organisation": [scope]}]
            case _:
                operation["security"] = []
    app.openapi_schema = document
    return document


def _tidy(operation: dict[str, Any]) -> None:
    """Problems are `application/problem+json`, which FastAPI cannot be told for each answer."""
    for code, answer in operation["responses"].items():
        content = answer.get("content", {})
        if code[0] in "45" and "application/json" in content:
            answer["content"] = {"application/problem+json": content.pop("application/json")}

"""The published description of the API: OpenAPI 3.1, made from the routes, the contracts and the policy table.

`python -m broker.api.publish` writes it to `contracts/published/openapi.json`; a test compares.
"""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from broker.api.answers import HEADERS
from broker.identity.policy import POLICY, ForCitizens, ForOrganisations
from contracts.confirmation import DeathConfirmation
from contracts.problems import Problem
from contracts.receipts import Answer
from contracts.requests import AddressSearch, ChangeRequest, PreviewRequest, change_requests, preview_requests
from contracts.subscriptions import SettingsRequest, SubscriptionRequest

VERSION: Final = "1.0.0"
_MODELS: Final = (AddressSearch, Answer, DeathConfirmation, Problem, SettingsRequest, SubscriptionRequest)
"""What FastAPI does not find by itself: bodies are read by us, and problems have a media type of their own."""
_PLACE: Final = "#/components/schemas/{model}"
_ABOUT: Final = """\
A person tells a change once; every organisation that must know is told, and answers.

Bodies are JSON in UTF-8, not compressed, at most 64 KiB. Every name is known or refused; numbers are not text and text
is no number. Text is normalised to NFC and holds no control, bidirectional or invisible characters.
Every refusal is a problem (RFC 9457): `errors` names each field by JSON pointer and never repeats a value.
Absent means absent: nothing is answered as null.
"""


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document; made once, then kept on the application."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title="Unwaith",
        version=VERSION,
        openapi_version="3.1.0",
        summary="Tell a change once; every organisation that must know is told, and answers.",
        description=_ABOUT,
        license_info={"name": "MIT", "identifier": "MIT"},
        tags=[
            {"name": "citizens", "description": "A person's software: tell a change, follow it."},
            {"name": "organisations", "description": "An organisation's software: answer, look back."},
            {"name": "tokens", "description": "How an organisation gets its token, and how it is checked."},
        ],
        routes=app.routes,
        separate_input_output_schemas=False,  # what is absent is left out, so a default does not make it required
    )
    _, definitions = models_json_schema([(model, "validation") for model in _MODELS], ref_template=_PLACE)
    requests, parts_of_requests = TypeAdapter.json_schemas(
        [
            (PreviewRequest.__name__, "validation", preview_requests()),
            (ChangeRequest.__name__, "validation", change_requests()),
        ],
        ref_template=_PLACE,
    )
    components = document.setdefault("components", {})
    schemas = components.get("schemas", {}) | definitions["$defs"] | parts_of_requests["$defs"]
    schemas |= {name: schema for (name, _), schema in requests.items()}
    for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own answer, which we never give
        schemas.pop(unused, None)
    components["schemas"] = dict(sorted(schemas.items()))
    components["headers"] = dict(HEADERS)
    components["securitySchemes"] = _SECURITY
    for (method, path), rule in POLICY.items():
        operation = document["paths"].get(path, {}).get(method.lower())
        if operation is None:
            continue
        _tidy(operation)
        match rule:
            case ForCitizens(scope=scope):
                operation["tags"], operation["security"] = ["citizens"], [{"citizen": [scope]}]
            case ForOrganisations(scope=scope):
                operation["tags"], operation["security"] = ["organisations"], [{"organisation": [scope]}]
            case _:
                operation["tags"], operation["security"] = ["tokens"], []
    app.openapi_schema = document
    return document


_SECURITY: Final = {
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
                    "confirmations:write": "Confirm deaths, as a registrar.",
                    "receipts:write": "Answer for one's own deliveries.",
                    "deliveries:read": "Read what became of one's own deliveries.",
                    "subscriptions:write": "Propose one's own agreements and settings, and read what became of that.",
                },
            }
        },
    },
}


def _tidy(operation: dict[str, Any]) -> None:
    """Take out what FastAPI adds of its own: an answer it would give for parameters, which routes here read."""
    validation = operation["responses"].get("422", {}).get("content", {}).get("application/json", {})
    if validation.get("schema") == {"$ref": "#/components/schemas/HTTPValidationError"}:
        del operation["responses"]["422"]
    operation["responses"] = dict(sorted(operation["responses"].items()))

"""How routes describe what they read and answer."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from contracts.problems import Problem
from contracts.text import Strict

Described = dict[int | str, dict[str, Any]]


def problems(*codes: int) -> Described:
    """Return the OpenAPI of refusals by status."""
    return {code: {"model": Problem, "description": "A problem (RFC 9457)."} for code in codes}


READ: Final = problems(400, 401, 403, 503)
WRITTEN: Final = problems(400, 401, 403, 413, 415, 422, 503)


def body_of(model: type[Strict], *parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI of a JSON body read by `read_model`; `broker.api.openapi` fills in the component."""
    reference = {"$ref": f"#/components/schemas/{model.__name__}"}
    extra: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}}
    if parameters:
        extra["parameters"] = list(parameters)
    return extra


def json_answer(model: Strict, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `model` as JSON, without what is absent."""
    return Response(json_bytes(model), status_code=status, media_type="application/json", headers=headers)


def json_bytes(model: Strict) -> bytes:
    return model.model_dump_json(exclude_none=True).encode()

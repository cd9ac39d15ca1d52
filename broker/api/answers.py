"""How routes describe what they read and answer."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from broker.api.problems import MEDIA_TYPE
from contracts.problems import PROBLEMS, TYPE_PREFIX, Problem
from contracts.text import Strict

Described = dict[int | str, dict[str, Any]]

_TEXT: Final = {"type": "string"}
HEADERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "Allow": {"description": "The methods there are (RFC 9110, section 10.2.1).", "schema": _TEXT, "required": True},
    "ETag": {
        "description": "Changes when what is answered changes; to be sent back in `If-None-Match`.",
        "schema": {"type": "string", "pattern": '^"[0-9a-f]+"$'},
        "required": True,
    },
    "Link": {
        "description": "The next page, `rel=next` (RFC 8288); absent on the last.",
        "schema": _TEXT,
    },
    "Location": {
        "description": "Where what was told or asked for can be followed.",
        "schema": {"type": "string", "pattern": "^/v1/(changes|subscriptions/proposals)/[0-9A-Za-z-]+$"},
        "required": True,
    },
    "Retry-After": {
        "description": "Seconds after which to ask again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
        "required": True,
    },
    "WWW-Authenticate": {
        "description": "What is wrong with the token, or missing from it (RFC 6750, section 3).",
        "schema": _TEXT,
    },
}
"""Every header of ours that means something to a caller."""

_HEADERS_OF: Final[Mapping[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    405: ("Allow",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


_NAMES: Final[Mapping[int, str]] = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
"""As RFC 9110, section 15.5, has them: Python's own names for these changed with version 3.13."""


def headers(*names: str) -> dict[str, Any]:
    """Return references to headers of `HEADERS`."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def problems(*codes: int) -> Described:
    """Return the OpenAPI of refusals by status."""
    return {code: _refusal(code) for code in sorted(codes)}


def _refusal(code: int) -> dict[str, Any]:
    types = [f"`{TYPE_PREFIX}{name}`" for name, status in PROBLEMS.items() if status == code]
    answer: dict[str, Any] = {
        "description": f"{_NAMES.get(code) or HTTPStatus(code).phrase}: a problem (RFC 9457) of type {' or '.join(types)}.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}},
    }
    if code in _HEADERS_OF:
        answer["headers"] = headers(*_HEADERS_OF[code])
    return answer


ALWAYS: Final = (408, 414, 431, 500, 503)
"""What can meet any request, before a route is found."""
READ: Final = problems(400, 401, 403, *ALWAYS)
WRITTEN: Final = problems(400, 401, 403, 413, 415, 422, *ALWAYS)


def body_of(model: type[Strict], *parameters: Mapping[str, Any], **examples: Any) -> dict[str, Any]:
    """Return the OpenAPI of a JSON body read by `read_model`, with an example by each name given.

    `broker.api.openapi` fills in the component.
    """
    content = {
        "schema": {"$ref": f"#/components/schemas/{model.__name__}"},
        "examples": {name: {"value": example} for name, example in examples.items()},
    }
    extra: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": content}}}
    if parameters:
        extra["parameters"] = list(parameters)
    return extra


def json_answer(model: Strict, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `model` as JSON, without what is absent."""
    return Response(json_bytes(model), status_code=status, media_type="application/json", headers=headers)


def json_bytes(model: Strict) -> bytes:
    return model.model_dump_json(exclude_none=True).encode()

"""Problems our API answers with (RFC 9457): stable types, so that software can tell them apart."""

from http import HTTPStatus
from typing import Any

from contracts.text import Strict

TYPE_PREFIX = "urn:wales:unwaith:problem:"


class FieldProblem(Strict):
    """One field that is wrong: where (RFC 6901) and how. Never the value."""

    pointer: str
    code: str
    detail: str


class Problem(Strict):
    """The body of every 4xx and 5xx, `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str | None = None
    errors: tuple[FieldProblem, ...] = ()
    preview: dict[str, Any] | None = None
    """With `preview-changed`: the new preview to be shown and agreed to."""

    def __repr__(self) -> str:
        return f"Problem({self.type}, {self.status})"

    __str__ = __repr__


PROBLEMS: dict[str, HTTPStatus] = {
    "malformed": HTTPStatus.BAD_REQUEST,
    "invalid-token": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "identity-level": HTTPStatus.FORBIDDEN,
    "not-found": HTTPStatus.NOT_FOUND,
    "method-not-allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "request-timeout": HTTPStatus.REQUEST_TIMEOUT,
    "preview-changed": HTTPStatus.CONFLICT,
    "too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "uri-too-long": HTTPStatus.REQUEST_URI_TOO_LONG,
    "unsupported-media-type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "idempotency-key-missing": HTTPStatus.BAD_REQUEST,
    "idempotency-key-reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "nobody-to-tell": HTTPStatus.UNPROCESSABLE_ENTITY,
    "already-told": HTTPStatus.CONFLICT,
    "already-decided": HTTPStatus.CONFLICT,
    "too-many-proposals": HTTPStatus.TOO_MANY_REQUESTS,
    "too-many-changes": HTTPStatus.TOO_MANY_REQUESTS,
    "head-too-large": HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "too-busy": HTTPStatus.TOO_MANY_REQUESTS,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Every problem type and its status."""

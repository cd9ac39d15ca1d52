"""The `Idempotency-Key` header: read strictly, and described."""

import re
from typing import Any, Final

from fastapi import Request

from broker.api.problems import NotReadable
from contracts.problems import FieldProblem

_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")


def idempotency_key(request: Request) -> str:
    """Return the `Idempotency-Key`. Raises NotReadable unless there is one and it is one."""
    sent = request.headers.getlist("idempotency-key")
    if not any(sent):
        raise NotReadable("idempotency-key-missing")
    if len(sent) > 1 or not _KEY.fullmatch(sent[0]):
        fault = FieldProblem(pointer="/Idempotency-Key", code="pattern", detail="must be 1 to 128 visible ASCII, once")
        raise NotReadable("malformed", [fault])
    return sent[0]


def key_parameter(description: str) -> dict[str, Any]:
    """Return the OpenAPI of the header."""
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": True,
        "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
        "description": description,
    }

"""Reading a JSON body strictly: size, media type, encoding, duplicate names, and then the contract's own model."""

import json
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import ValidationError

from broker.api.problems import NotReadable, field_problems
from contracts.problems import FieldProblem
from contracts.text import Strict

LARGEST_BODY: Final = 64 * 1024
"""Bytes. A change with a large household is under 10 KB."""

M = TypeVar("M", bound=Strict)


class _DuplicateNameError(ValueError):
    pass


async def read_bytes(request: Request, media_type: str) -> bytes:
    """Return the body. Raises NotReadable for another media type or for more than `LARGEST_BODY`, unread."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != media_type:
        raise NotReadable("unsupported-media-type")
    announced = request.headers.get("content-length")
    if announced is not None and (not announced.isdigit() or int(announced) > LARGEST_BODY):
        raise NotReadable("too-large")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise NotReadable("too-large")
    return bytes(body)


async def read_model(request: Request, model: type[M]) -> M:
    """Return the body as `model`. Raises NotReadable naming each field that is wrong, never its value."""
    raw = await read_bytes(request, "application/json")
    try:
        text = raw.decode("utf-8")
        json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except _DuplicateNameError:
        raise NotReadable("malformed", [_whole("duplicate_name", "holds the same name twice")]) from None
    except (ValueError, RecursionError):
        raise NotReadable("malformed", [_whole("not_json", "is not JSON in UTF-8")]) from None
    try:
        return model.model_validate_json(raw, by_alias=True, by_name=False)
    except ValidationError as wrong:
        found = field_problems(wrong)
    raise NotReadable("invalid", found)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateNameError
    return found


def _no_constant(_name: str) -> Any:
    raise ValueError


def _whole(code: str, detail: str) -> FieldProblem:
    return FieldProblem(pointer="", code=code, detail=detail)

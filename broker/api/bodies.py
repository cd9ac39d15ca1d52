"""Reading a body strictly: size, media type, encoding, what JSON leaves open, and then the contract's own model."""

import functools
import json
import math
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from broker.api.problems import NotReadable, field_problems
from contracts.problems import FieldProblem
from contracts.text import Strict

LARGEST_BODY: Final = 64 * 1024
"""Bytes. A change with a large household is under 10 KB."""

_LONGEST_NUMBER: Final = 40
"""Characters of a number. JSON sets no bound, and Python's time to read one grows with its square."""

M = TypeVar("M", bound=Strict)


async def read_bytes(request: Request, media_type: str) -> bytes:
    """Return the body, of `media_type` in UTF-8 and not compressed.

    Raises NotReadable for anything else, and for more than `LARGEST_BODY`: unread if its size was announced.
    """
    types = request.headers.getlist("content-type")
    codings = request.headers.getlist("content-encoding")
    if len(types) != 1 or not _is(types[0], media_type) or any(coding.lower() != "identity" for coding in codings):
        raise NotReadable("unsupported-media-type")
    announced = request.headers.get("content-length")
    if announced is not None and (not announced.isascii() or not announced.isdigit() or _too_large(announced)):
        raise NotReadable("too-large")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise NotReadable("too-large")
    return bytes(body)


async def read_model(
    request: Request, model: type[M] | TypeAdapter[M], not_theirs: AbstractSet[str] = frozenset()
) -> M:
    """Return the JSON body as `model`, which may be one of several told apart by `type`. Raises NotReadable naming each field that is wrong, never its value.

    `not_theirs` are names of ours that this caller cannot say anything about: they are named where they are refused.
    """
    return model_in(await read_bytes(request, "application/json"), model, not_theirs)


def model_in(raw: bytes, model: type[M] | TypeAdapter[M], not_theirs: AbstractSet[str] = frozenset()) -> M:
    """Return the model in `raw`. Raises NotReadable and nothing else, whatever the bytes."""
    faults = list(_faults(_read(raw), names_of(model)))
    if faults:
        raise NotReadable("malformed", faults)
    try:
        if isinstance(model, TypeAdapter):
            return model.validate_json(raw, by_alias=True, by_name=False)
        return model.model_validate_json(raw, by_alias=True, by_name=False)
    except ValidationError as wrong:
        found = field_problems(wrong, by_type=isinstance(model, TypeAdapter), not_theirs=not_theirs)
    if any(item.code == "json_invalid" for item in found):  # nested deeper than the model's own reader goes
        raise NotReadable("malformed", [_NOT_JSON])
    raise NotReadable("invalid", found)


@functools.cache
def names_of(model: type[M] | TypeAdapter[M]) -> frozenset[str]:
    """Return every member name a model knows, at any depth: only these are ever repeated to a caller."""

    def found(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from node.get("properties", {})
            for inner in node.values():
                yield from found(inner)
        elif isinstance(node, list):
            for inner in node:
                yield from found(inner)

    return frozenset(found(model.json_schema() if isinstance(model, TypeAdapter) else model.model_json_schema()))


_NOT_JSON: Final = FieldProblem(pointer="", code="not_json", detail="is not JSON in UTF-8")


@dataclass(frozen=True, slots=True)
class _Fault:
    """Stands in the value read for what must not be there, so that its place can be told."""

    code: str
    detail: str


_TWICE: Final = _Fault("duplicate_name", "is there twice")
_NO_NUMBER: Final = _Fault("not_a_number", "is not a number JSON knows")
_HUGE: Final = _Fault("number_too_large", "is too large a number")
_HALF: Final = _Fault("not_text", "holds half a character (a lone surrogate)")


class _Suspicious(Exception):  # noqa: N818  leaves the decoder's callbacks; never this file
    pass


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _Suspicious


def _bounded(digits: str) -> None:
    if len(digits) > _LONGEST_NUMBER:
        raise _Suspicious


def _plain_fraction(digits: str) -> None:
    _bounded(digits)
    if not math.isfinite(float(digits)):
        raise _Suspicious


def _constant(_name: str) -> None:
    raise _Suspicious


_PLAIN: Final = json.JSONDecoder(
    object_pairs_hook=_once, parse_int=_bounded, parse_float=_plain_fraction, parse_constant=_constant
)
"""Reads what is beyond doubt, and keeps nothing of it."""


def _read(raw: bytes) -> Any:
    """Return what `raw` says, with faults in their places; None if there are none to look for."""
    try:
        text = raw.decode("utf-8")
        if "\\u" not in text:
            _PLAIN.decode(text)
            return None
    except (_Suspicious, ValueError, RecursionError):
        pass  # below it is told what is wrong, and where
    return _doubted(raw)


def _doubted(raw: bytes) -> Any:
    """As `_read`, keeping what it reads: five times the work, for the few bodies it is needed for."""
    suspicious = False

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal suspicious
        found: dict[str, Any] = {}
        for name, value in pairs:
            found[name] = _TWICE if name in found else value
        suspicious = suspicious or len(found) != len(pairs)
        return found

    def fault(kind: _Fault) -> _Fault:
        nonlocal suspicious
        suspicious = True
        return kind

    def whole(digits: str) -> Any:
        return int(digits) if len(digits) <= _LONGEST_NUMBER else fault(_HUGE)

    def broken(digits: str) -> Any:
        return value if math.isfinite(value := float(digits)) else fault(_HUGE)

    try:
        text = raw.decode("utf-8")
        found = json.loads(
            text,
            object_pairs_hook=once,
            parse_int=whole,
            parse_float=broken,
            parse_constant=lambda _name: fault(_NO_NUMBER),
        )
    except (ValueError, RecursionError):
        raise NotReadable("malformed", [_NOT_JSON]) from None
    return found if suspicious or "\\ud" in text or "\\uD" in text else None


def _faults(value: Any, names: frozenset[str], pointer: str = "") -> Iterator[FieldProblem]:
    """Yield what must not be in a value, each by the pointer to the last place whose name is known."""
    match value:
        case _Fault(code, detail):
            yield FieldProblem(pointer=pointer, code=code, detail=detail)
        case str() if not _whole_text(value):
            yield FieldProblem(pointer=pointer, code=_HALF.code, detail=_HALF.detail)
        case dict():
            for name, inner in value.items():
                yield from _faults(name, names, pointer)
                yield from _faults(inner, names, f"{pointer}/{name}" if name in names else pointer)
        case list():
            for place, inner in enumerate(value):
                yield from _faults(inner, names, f"{pointer}/{place}")
        case _:
            pass


def _whole_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is(content_type: str, media_type: str) -> bool:
    """Return whether a Content-Type is `media_type`, in UTF-8 where it says (RFC 9110, section 8.3)."""
    if content_type == media_type:
        return True
    named, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [part.partition("=")[2].strip('"') for part in parameters if part.partition("=")[0].strip() == "charset"]
    return named == media_type and all(charset == "utf-8" for charset in charsets)


def _too_large(digits: str) -> bool:
    return len(digits) > len(str(LARGEST_BODY)) + 10 or int(digits) > LARGEST_BODY

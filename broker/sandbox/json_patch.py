"""JSON Patch (RFC 6902), as far as records are changed by it: add, remove, replace and test. Pure."""

import copy
from collections.abc import Sequence
from typing import Any, Final

MOST_OPERATIONS: Final = 100


class NotApplicable(Exception):  # noqa: N818  answered as 422
    """The patch cannot be applied. Says which operation and why, never a value."""


def patched(document: Any, operations: Any) -> Any:
    """Return the document with all operations applied, or raise NotApplicable; the document itself stays as it is."""
    if not isinstance(operations, list) or len(operations) > MOST_OPERATIONS:
        raise NotApplicable("a patch is a list of a hundred operations at most")
    result = copy.deepcopy(document)
    for number, operation in enumerate(operations):
        try:
            result = _applied(result, operation)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as fault:
            raise NotApplicable(f"operation {number} does not apply ({type(fault).__name__})") from None
    return result


def _applied(document: Any, operation: Any) -> Any:
    kind, path = operation["op"], _steps(operation["path"])
    if not path:
        raise ValueError("the whole is not replaced here")
    *way, last = path
    holder = document
    for step in way:
        holder = holder[_place(holder, step)]
    match kind:
        case "add" if isinstance(holder, list):
            holder.insert(len(holder) if last == "-" else _place(holder, last, beyond=1), operation["value"])
        case "add" if isinstance(holder, dict):
            holder[last] = operation["value"]
        case "replace":
            holder[_there(holder, last)] = operation["value"]
        case "remove":
            del holder[_there(holder, last)]
        case "test" if holder[_there(holder, last)] == operation["value"]:
            pass
        case _:
            raise ValueError("not so, or no operation known here")
    return document


def _steps(path: str) -> Sequence[str]:
    """Return the reference tokens of a JSON Pointer (RFC 6901)."""
    if path and not path.startswith("/"):
        raise ValueError("a path begins with a slash")
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _there(holder: Any, step: str) -> Any:
    place = _place(holder, step)
    holder[place]  # raises, where there is nothing
    return place


def _place(holder: Any, step: str, *, beyond: int = 0) -> Any:
    """Return the key or index of a step. Raises for an index that is none (RFC 6901, section 4)."""
    if isinstance(holder, dict):
        return step
    if not isinstance(holder, list) or not (step.isascii() and step.isdigit()) or (step[0] == "0" and step != "0"):
        raise ValueError("no such place")
    if int(step) >= len(holder) + beyond:
        raise IndexError
    return int(step)

"""Query parameters: only those that are published, each once. A person's data has no business in a URL."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from fastapi import Request

from broker.api.problems import NotReadable
from contracts.problems import FieldProblem


def parameters_in(operation: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the query parameters an operation's own part of the OpenAPI declares."""
    declared = (operation or {}).get("parameters", ())
    return frozenset(item["name"] for item in declared if item["in"] == "query")


def check_query(request: Request, known: AbstractSet[str]) -> None:
    """Raise NotReadable for a parameter that is not `known` (its name is not repeated) or that is there twice."""
    if not request.scope["query_string"]:
        return
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            raise NotReadable("malformed", [query_problem("", "unknown_parameter", "the query has an unknown name")])
        if name in seen:
            raise NotReadable("malformed", [query_problem(name, "repeated", "is there twice")])
        seen.add(name)


def query_problem(name: str, code: str, detail: str) -> FieldProblem:
    return FieldProblem(pointer=f"/{name}" if name else "", code=code, detail=detail)

"""Every refusal and fault as `application/problem+json` (RFC 9457). A value that was sent is never repeated."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from http import HTTPStatus
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from broker import intake
from broker.eventlog import LogUnavailable
from broker.identity.refusals import Absent, Forbidden, InvalidToken, KeysUnavailable, challenge
from broker.language import words_in
from broker.register import subscribing
from broker.register.reading import Faulty
from broker.store import StoreUnavailable, proposals
from broker.store.changes import PersonErased
from broker.vault import PersonGone
from broker.verification import GazetteerAway
from contracts.problems import PROBLEMS, TYPE_PREFIX, FieldProblem, Problem
from contracts.requests import Preview

MEDIA_TYPE: Final = "application/problem+json"

TITLES: Final[Mapping[str, str]] = {
    "malformed": "The request cannot be read",
    "invalid-token": "Sign in again",
    "forbidden": "This is not allowed",
    "identity-level": "Your identity must be proven first",
    "not-found": "There is nothing here",
    "method-not-allowed": "This method is not possible here",
    "request-timeout": "The request did not come in time",
    "preview-changed": "More would be told than you were shown",
    "too-large": "The request is too large",
    "uri-too-long": "The address of the request is too long",
    "unsupported-media-type": "This must be application/json",
    "invalid": "Something in the request cannot be so",
    "idempotency-key-missing": "An Idempotency-Key header is needed",
    "idempotency-key-reused": "This Idempotency-Key belongs to something else",
    "nobody-to-tell": "Nobody would be told of this change",
    "already-told": "Everybody was told this already, or is about to be",
    "already-decided": "This was approved or refused already",
    "too-many-proposals": "No more can be proposed just now",
    "too-many-changes": "No more changes are taken in today",
    "head-too-large": "The head of the request is too large",
    "too-busy": "Too much is waiting just now",
    "unavailable": "This cannot be done just now",
    "internal": "Something went wrong here",
}

DETAILS: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "extra_forbidden": "holds a field that is not known",
    "not_theirs": "is not for the caller to say",
    "string_type": "must be text",
    "string_too_short": "is too short",
    "string_too_long": "is too long",
    "string_pattern_mismatch": "does not have the right form",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "literal_error": "is not one of the values allowed",
    "enum": "is not one of the values allowed",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
    "too_long": "is too long",
    "too_short": "is too short",
    "tuple_type": "must be a list",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
    "date_type": "must be a date, YYYY-MM-DD",
    "date_parsing": "must be a date, YYYY-MM-DD",
    "date_from_datetime_parsing": "must be a date, YYYY-MM-DD",
    "date_from_datetime_inexact": "must be a date, YYYY-MM-DD",
    "datetime_parsing": "must be a time with its zone (RFC 3339)",
    "datetime_from_date_parsing": "must be a time with its zone (RFC 3339)",
    "datetime_type": "must be a time with its zone (RFC 3339)",
    "timezone_aware": "must be a time with its zone (RFC 3339)",
}
"""Our own words for pydantic's codes: its messages may repeat what was sent."""

RETRY_SECONDS: Final = "1"
LATER_SECONDS: Final = "3600"

log = structlog.get_logger()


class NotReadable(Exception):  # noqa: N818  an answer, not a fault
    """The request is refused before anything looks at what it says."""

    def __init__(self, name: str, errors: Sequence[FieldProblem] = ()) -> None:
        super().__init__(name)
        self.name = name
        self.errors = tuple(errors)


def problem(
    name: str,
    *,
    errors: Sequence[FieldProblem] = (),
    detail: str | None = None,
    preview: Preview | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer for one of `contracts.problems.PROBLEMS`."""
    body = Problem(
        type=TYPE_PREFIX + name,
        title=TITLES[name],
        status=PROBLEMS[name],
        detail=detail,
        errors=tuple(errors[:MOST_ERRORS]),
        preview=preview.model_dump(mode="json", exclude_none=True) if preview else None,
    )
    content: dict[str, Any] = body.model_dump(mode="json", exclude_none=True)
    if not errors:
        content.pop("errors", None)
    return Response(
        orjson.dumps(content),
        status_code=PROBLEMS[name],
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", "Content-Language": "en", **(headers or {})},
    )


MOST_ERRORS: Final = 20
"""Fields named in one answer: a body of nothing but faults must not be answered by one ten times its size."""


_OF_THE_TYPE: Final = {"union_tag_not_found": "missing", "union_tag_invalid": "literal_error"}


def field_problems(
    error: ValidationError, *, by_type: bool = False, not_theirs: AbstractSet[str] = frozenset()
) -> list[FieldProblem]:
    """Return what is wrong, field by field, in our own words.

    `by_type`: it was read as one of several told apart by `type`, which then leads every place. `not_theirs`: names of
    ours that the caller cannot say anything about.
    """
    found = []
    for item in error.errors(include_url=False, include_input=False, include_context=True):
        code = item["type"]
        place = item["loc"][1:] if by_type else item["loc"]
        if code in _OF_THE_TYPE:
            code, place = _OF_THE_TYPE[code], ("type",)
        elif code == "extra_forbidden" and place[-1] in not_theirs:
            code = "not_theirs"
        elif code == "extra_forbidden":
            place = place[:-1]  # an unknown name is not repeated
        detail = DETAILS.get(code, "is not valid")
        if code == "value_error":
            detail = str(item.get("ctx", {}).get("error", detail))  # written by our own models, never with the value
        pointer = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in place)
        found.append(FieldProblem(pointer=pointer, code=code, detail=detail))
    return list(dict.fromkeys(found))


def _faults(refused: Faulty) -> list[FieldProblem]:
    """Return what the register found wrong, in its own words: the same as operators read."""
    words = words_in("en")
    return [
        FieldProblem(
            pointer=fault.pointer, code=fault.code, detail=words(f"staff-problem-{fault.code}", about=fault.about)
        )
        for fault in refused.faults
    ]


def install(app: FastAPI) -> None:
    """Answer every refusal of the rooms below, and every fault, with a problem."""

    def on(kind: type[Exception], answer: Any) -> None:
        async def handle(_request: Request, refusal: Exception) -> Response:
            response: Response = answer(refusal)
            return response

        app.add_exception_handler(kind, handle)

    again = {"Retry-After": RETRY_SECONDS}
    on(NotReadable, lambda r: problem(r.name, errors=r.errors))
    on(InvalidToken, lambda r: problem("invalid-token", headers={"WWW-Authenticate": challenge(r)}))
    on(Forbidden, lambda r: problem("forbidden", detail=r.denial.value, headers={"WWW-Authenticate": challenge(r)}))
    on(Absent, lambda _: problem("not-found"))
    on(KeysUnavailable, lambda _: problem("unavailable", headers={"Retry-After": "5"}))
    on(PersonGone, lambda _: problem("forbidden"))
    on(PersonErased, lambda _: problem("forbidden"))
    on(intake.NotAcceptable, lambda r: problem("invalid", errors=r.errors))
    on(intake.LevelTooLow, lambda r: problem("identity-level", detail=f"level {r.needed.value} is needed"))
    on(intake.NobodyToTell, lambda _: problem("nobody-to-tell"))
    on(intake.AlreadyTold, lambda r: problem("already-told", headers={"Location": f"/v1/changes/{r.reference}"}))
    on(Faulty, lambda r: problem("invalid", errors=_faults(r)))
    on(proposals.KeyReused, lambda _: problem("idempotency-key-reused"))
    on(proposals.TooMany, lambda _: problem("too-many-proposals", headers={"Retry-After": LATER_SECONDS}))
    on(subscribing.NotThere, lambda _: problem("not-found"))
    on(subscribing.Decided, lambda _: problem("already-decided"))
    on(intake.TooMany, lambda _: problem("too-many-changes", headers={"Retry-After": LATER_SECONDS}))
    on(intake.PreviewChanged, lambda r: problem("preview-changed", preview=r.preview))
    on(intake.KeyReused, lambda _: problem("idempotency-key-reused"))
    on(intake.TooBusy, lambda _: problem("too-busy", headers=again))
    on(StoreUnavailable, lambda _: problem("unavailable", headers=again))
    on(GazetteerAway, lambda _: problem("unavailable", headers=again))
    on(LogUnavailable, lambda _: problem("unavailable", headers=again))
    on(Exception, lambda _: problem("internal"))  # and is raised further, to be logged by the outermost layer

    async def no_route(request: Request, refusal: Exception) -> Response:
        status = getattr(refusal, "status_code", None)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            return problem("method-not-allowed", headers={"Allow": ", ".join(_methods(app, request))})
        return problem("not-found" if status == HTTPStatus.NOT_FOUND else "malformed")

    app.add_exception_handler(HTTPException, no_route)


def _methods(app: FastAPI, request: Request) -> list[str]:
    """Return the methods of every route at the path asked for (RFC 9110, section 10.2.1)."""
    routes: list[Any] = list(app.routes)
    there = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in there for method in route.methods or ()})

"""The journey of another telephone number or e-mail address at which organisations reach somebody."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import orjson
from pydantic import ValidationError

from broker.language import Words, long_date
from broker.web.changed.home import has_home, home_row, home_step, own_home
from broker.web.telling.journey import Answers, Journey, Row, Step, Who, answers_of
from broker.web.telling.questions import Question, Taken, choice, day, line, written_to
from broker.web.visit import Form, Page, Visit
from contracts.changes.contact import ContactPoint

_WHAT: Final = {"mobile": "reach-mobile", "home-phone": "reach-home-phone", "email": "reach-email"}
_POINT: Final[Mapping[str, tuple[str, str]]] = {
    "mobile": ("phone", "mobile"),
    "home-phone": ("phone", "home"),
    "email": ("email", "home"),
}
"""System and use, as FHIR's ContactPoint has them."""


def _answered(step: str, answers: Answers) -> bool:
    match step:
        case "home":
            return has_home(answers)
        case "previous" | "new":
            return step in answers and answers[step]["what"] == answers.get("what")
        case _:
            return step in answers


def _change(answers: Answers, _who: Who) -> Mapping[str, Any]:
    points = {
        name: _point(answers[step]["what"], answers[step]["value"])
        for step, name in (("previous", "previousContact"), ("new", "newContact"))
        if answers[step]["value"]
    }
    return {**points, "effectiveDate": answers["date"], "homeAddress": answers["home"]["address"]}


def _rows(answers: Answers, words: Words) -> list[Row]:
    effective = long_date(date.fromisoformat(answers["date"]), words.language)
    return [
        Row("reach-what", words(_WHAT[answers["what"]]), "/reach/what", "reach-what"),
        Row(
            "field-previous-contact",
            answers["previous"]["value"] or words("reach-none"),
            "/reach/previous",
            "field-previous-contact",
        ),
        Row("field-new-contact", answers["new"]["value"], "/reach/new", "field-new-contact"),
        home_row(answers, "/reach/home"),
        Row("field-effective-date", effective, "/reach/date", "field-effective-date"),
    ]


CONTACT: Final = Journey(
    type="contact",
    root="/reach",
    asked=(
        Step("what", "/reach/what"),
        Step("previous", "/reach/previous"),
        Step("new", "/reach/new"),
        home_step("/reach"),
        Step("date", "/reach/date"),
    ),
    is_answered=_answered,
    change=_change,
    rows=_rows,
    amend=lambda _answers: "/reach/new",
    dated="/reach/date",
    offered="kind-contact",
    declared="declared-contact",
)


def _value(step: str) -> Question:
    """Return the question for one of the two, the earlier of which may be left empty."""

    async def take(visit: Visit, form: Form) -> Taken:
        answers = answers_of(visit.data)
        what = answers.get("what", "email")
        said = line(form, "value")
        if not said and step == "new":
            return [("value", "reach-email-missing" if what == "email" else "reach-phone-missing")]
        value = said if what == "email" else read_phone(said)
        if said and not _fits(what, value):
            return [("value", "reach-email-wrong" if what == "email" else "reach-phone-wrong")]
        if step == "new" and value == (answers.get("previous") or {}).get("value"):
            return [("value", "reach-same")]
        return {step: {"what": what, "value": value}}

    def look(visit: Visit) -> Mapping[str, Any]:
        answers = answers_of(visit.data)
        known = answers.get(step) or {}
        what = answers.get("what", "email")
        return {
            "email": what == "email",
            "step": step,
            "value": known.get("value") if known.get("what") == what else "",
        }

    return Question(CONTACT, step, "changed/reach.html", take, look=look)


def read_phone(said: str) -> str:
    """Return a telephone number in the form of E.164; one without its country's code is of the United Kingdom."""
    said = re.sub(r"^\s*(\+|00)(.*?)\(0\)", r"\1\2", said)  # +44 (0)29: the nought is not dialled from abroad
    packed = re.sub(r"[\s().-]", "", said)
    if packed.startswith("00"):
        return f"+{packed[2:]}"
    return f"+44{packed[1:]}" if packed.startswith("0") else packed


def _point(what: str, value: str) -> dict[str, str]:
    system, use = _POINT[what]
    return {"system": system, "use": use, "value": value}


def _fits(what: str, value: str) -> bool:
    try:
        ContactPoint.model_validate_json(orjson.dumps(_point(what, value)))
    except ValidationError:
        return False
    return True


def pages() -> list[Page]:
    return [
        *choice(CONTACT, "what", _WHAT, title="reach-what-title", missing="reach-what-missing").pages(),
        *_value("previous").pages(),
        *_value("new").pages(),
        *own_home(CONTACT).pages(),
        *day(CONTACT, title="reach-date-title").pages(),
        *written_to(CONTACT).pages(),
    ]

"""The journey of a change of name. A person looks at it and at its evidence before anybody is told."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from broker.language import Words, long_date
from broker.web.changed.home import has_home, home_row, home_step, own_home
from broker.web.telling.journey import Answers, Journey, Row, Step, Who, answers_of
from broker.web.telling.questions import Question, Taken, choice, day, line, line_fault, name_of, written_to
from broker.web.telling.wording import REASONS, name_in_full
from broker.web.visit import Fault, Form, Page, Visit

_UNPROVEN: Final = "correction"
"""The reason that needs no evidence: a slip was put right."""
_NUMBER: Final = 40
"""Characters of a certificate's number, as the contract has it."""


def _answered(step: str, answers: Answers) -> bool:
    match step:
        case "home":
            return has_home(answers)
        case "evidence":
            return bool(answers.get(step)) or (step in answers and answers.get("reason") == _UNPROVEN)
        case _:
            return step in answers


def _change(answers: Answers, who: Who) -> Mapping[str, Any]:
    return {
        "previousName": who["person"]["name"],
        "newName": answers["new"]["name"],
        **({"title": answers["new"]["title"]} if answers["new"]["title"] else {}),
        "reason": answers["reason"],
        **({"evidenceReference": answers["evidence"]} if answers["evidence"] else {}),
        "effectiveDate": answers["date"],
        "homeAddress": answers["home"]["address"],
    }


def _rows(answers: Answers, words: Words) -> list[Row]:
    new = answers["new"]
    whole = f"{new['title']} {name_in_full(new['name'])}".strip()
    effective = long_date(date.fromisoformat(answers["date"]), words.language)
    return [
        Row("field-new-name", whole, "/name/new", "field-new-name"),
        Row("field-reason", words(REASONS[answers["reason"]]), "/name/reason", "field-reason"),
        Row(
            "field-evidence-reference",
            answers["evidence"] or words("name-evidence-none"),
            "/name/evidence",
            "field-evidence-reference",
        ),
        home_row(answers, "/name/home"),
        Row("field-effective-date", effective, "/name/date", "field-effective-date"),
    ]


NAME: Final = Journey(
    type="name",
    root="/name",
    asked=(
        Step("new", "/name/new"),
        Step("reason", "/name/reason"),
        Step("evidence", "/name/evidence"),
        home_step("/name"),
        Step("date", "/name/date"),
    ),
    is_answered=_answered,
    change=_change,
    rows=_rows,
    amend=lambda _answers: "/name/new",
    dated="/name/date",
    offered="kind-name",
    declared="declared-name",
)


async def _take_name(visit: Visit, form: Form) -> Taken:
    name, faults = name_of(form, "", "name-missing")
    title = line(form, "title")
    if fault := line_fault(title, None):
        faults = [("title", fault), *faults]
    if name is not None and name_in_full(name) == name_in_full(visit.signed_in.who["person"]["name"]):
        faults = [*faults, ("given", "name-same")]
    return faults or {"new": {"name": name, "title": title}}


def _look_at_name(visit: Visit) -> Mapping[str, Any]:
    known = (answers_of(visit.data).get("new") or {}).get("name") or {"nameParts": []}
    parts = {part["type"]: part["value"] for part in known["nameParts"]}
    return {
        "before": name_in_full(visit.signed_in.who["person"]["name"]),
        "given": parts.get("GivenName"),
        "family": parts.get("FamilyName"),
    }


async def _take_evidence(visit: Visit, form: Form) -> Taken:
    said = line(form, "evidence")
    wanted = answers_of(visit.data).get("reason") != _UNPROVEN
    faults: list[Fault] = []
    if not said and wanted:
        faults.append(("evidence", "name-evidence-missing"))
    elif said and not is_number(said):
        faults.append(("evidence", "number-wrong"))
    return faults or {"evidence": said}


def is_number(said: str) -> bool:
    """Return whether this can be the number on a certificate: letters, figures, spaces, `/`, `.` and `-`."""
    plain = said.replace(" ", "").replace("/", "").replace(".", "").replace("-", "")
    return len(said) <= _NUMBER and plain.isascii() and plain.isalnum() and said[0].isalnum()


def pages() -> list[Page]:
    return [
        *Question(NAME, "new", "changed/name.html", _take_name, look=_look_at_name).pages(),
        *choice(NAME, "reason", REASONS, title="name-reason-title", missing="name-reason-missing").pages(),
        *Question(NAME, "evidence", "changed/evidence.html", _take_evidence).pages(),
        *own_home(NAME).pages(),
        *day(NAME, title="name-date-title").pages(),
        *written_to(NAME).pages(),
    ]

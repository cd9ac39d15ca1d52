"""What is asked about a move, and what it becomes."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from broker.language import Words, long_date
from broker.web.telling.addresses import Finder
from broker.web.telling.journey import Answers, Journey, Row, Step, Who
from broker.web.telling.questions import day, written_to
from broker.web.telling.wording import address_line, child_in_words
from contracts.changes.address import ADULT


def _answered(step: str, answers: Answers) -> bool:
    match step:
        case "new" | "previous":
            return "address" in (answers.get(step) or {})
        case "children":
            return answers.get("children_moved") == "no" or bool(
                answers.get("children_moved") == "yes" and answers.get("children") and answers.get("children_done")
            )
        case "private":
            return answers.get("private") == "no"
        case _:
            return step in answers


def _change(answers: Answers, _who: Who) -> Mapping[str, Any]:
    return {
        "previousAddress": answers["previous"]["address"],
        "newAddress": answers["new"]["address"],
        "effectiveDate": answers["date"],
        "household": answers.get("children") or [] if answers.get("children_moved") == "yes" else [],
    }


def _rows(answers: Answers, words: Words) -> list[Row]:
    children = answers.get("children") or []
    moved = answers["children_moved"] == "yes"
    return [
        Row("check-new", address_line(answers["new"]["address"]), "/move/new/postcode", "check-change-new"),
        Row("check-previous", address_line(answers["previous"]["address"]), "/move/previous", "check-change-previous"),
        Row(
            "check-date",
            long_date(date.fromisoformat(answers["date"]), words.language),
            "/move/date",
            "check-change-date",
        ),
        Row(
            "check-children",
            "; ".join(child_in_words(child, words) for child in children) if moved else words("check-children-none"),
            "/move/children",
            "check-change-children",
        ),
        Row("check-private", words("check-private-no"), "/move/private", "check-change-private"),
    ]


def _amend(answers: Answers) -> str:
    late = any(is_adult(child["birthDate"], answers["date"]) for child in answers.get("children") or [])
    return "/move/children/list" if late else "/move/previous"


def is_adult(born: str, on: str) -> bool:
    """Return whether somebody born on one day is an adult on another; both as ISO 8601."""
    return int(on[:4]) - int(born[:4]) - (on[4:] < born[4:]) >= ADULT


MOVE: Final = Journey(
    type="address",
    root="/move",
    asked=(
        Step("new", "/move/new/postcode"),
        Step("previous", "/move/previous"),
        Step("date", "/move/date"),
        Step("children", "/move/children"),
        Step("private", "/move/private"),
    ),
    is_answered=_answered,
    change=_change,
    rows=_rows,
    amend=_amend,
    dated="/move/date",
    offered="kind-address",
    declared="declaration-mine",
)

NEW: Final = Finder(
    MOVE,
    "new",
    by_postcode="new-postcode-title",
    chosen="new-choose-title",
    typed="new-type-title",
    filled_in=True,
    unlike="previous",
)
PREVIOUS: Final = Finder(
    MOVE,
    "previous",
    by_postcode="previous-postcode-title",
    chosen="previous-choose-title",
    typed="previous-type-title",
    suggesting={
        "title": "suggested-title",
        "body": "suggested-body",
        "question": "suggested-question",
        "yes": "suggested-yes",
        "no": "suggested-no",
        "missing": "suggested-missing",
    },
    unlike="new",
)
DAY: Final = day(MOVE, title="date-title")
WRITTEN_TO: Final = written_to(MOVE)

"""The journey of the language somebody is written and spoken to in, and of the form they need things in."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from broker.language import Words, long_date
from broker.web.changed.home import has_home, home_row, home_step, own_home
from broker.web.telling.journey import Answers, Journey, Row, Step, Who, answers_of
from broker.web.telling.questions import Question, Taken, choice, day, written_to
from broker.web.telling.wording import FORMATS
from broker.web.visit import Form, Page, Visit

_STAYS: Final = "stays"
_LANGUAGES: Final = {"cy": "contact-in-welsh", "en": "contact-in-english", _STAYS: "speech-stays"}


def _answered(step: str, answers: Answers) -> bool:
    match step:
        case "home":
            return has_home(answers)
        case "formats":
            return step in answers and bool(answers[step] or answers.get("speech") != _STAYS)
        case _:
            return step in answers


def _change(answers: Answers, _who: Who) -> Mapping[str, Any]:
    return {
        **({"newLanguage": answers["speech"]} if answers["speech"] != _STAYS else {}),
        **({"newFormats": answers["formats"]} if answers["formats"] else {}),
        "effectiveDate": answers["date"],
        "homeAddress": answers["home"]["address"],
    }


def _rows(answers: Answers, words: Words) -> list[Row]:
    formats = "; ".join(words(FORMATS[one]) for one in answers["formats"]) or words("formats-stay")
    effective = long_date(date.fromisoformat(answers["date"]), words.language)
    return [
        Row("field-new-language", words(_LANGUAGES[answers["speech"]]), "/language/speech", "field-new-language"),
        Row("field-new-formats", formats, "/language/formats", "field-new-formats"),
        home_row(answers, "/language/home"),
        Row("field-effective-date", effective, "/language/date", "field-effective-date"),
    ]


LANGUAGE: Final = Journey(
    type="language",
    root="/language",
    asked=(
        Step("speech", "/language/speech"),
        Step("formats", "/language/formats"),
        home_step("/language"),
        Step("date", "/language/date"),
    ),
    is_answered=_answered,
    change=_change,
    rows=_rows,
    amend=lambda _answers: "/language/formats",
    dated="/language/date",
    offered="kind-language",
    declared="declared-language",
)


async def _take_formats(visit: Visit, _form: Form) -> Taken:
    chosen = [one for one in FORMATS if one in await visit.chosen("formats")]
    if not chosen and answers_of(visit.data).get("speech") == _STAYS:
        return [("formats", "formats-missing")]
    if "standard" in chosen and len(chosen) > 1:
        return [("formats", "formats-standard-alone")]
    return {"formats": chosen}


def pages() -> list[Page]:
    return [
        *choice(
            LANGUAGE, "speech", _LANGUAGES, title="speech-title", missing="speech-missing", hint="speech-hint"
        ).pages(),
        *Question(LANGUAGE, "formats", "changed/formats.html", _take_formats, {"formats": FORMATS}).pages(),
        *own_home(LANGUAGE).pages(),
        *day(LANGUAGE, title="speech-date-title").pages(),
        *written_to(LANGUAGE).pages(),
    ]
